use ::redis::{RedisResult, cmd};

use super::server::Server;
use crate::ledger::LedgerError;
use crate::ledger::remote::failed;

/// The format of the keys; entries carry one of their own.
pub(super) const FORMAT: &str = "4";
/// The format before, which is converted.
pub(super) const OLD_FORMAT: &str = "3";

/// Sees to it that the server keeps what it is given, and that what it holds is of this format; `true`
/// where it is of the one before.
pub(super) async fn check(server: &Server) -> Result<bool, LedgerError> {
    let policy = setting(server, "maxmemory-policy").await?;
    if let Some(policy) = policy.filter(|policy| policy.starts_with("allkeys")) {
        return Err(failed(format_args!(
            "Redis would evict payments (maxmemory-policy is {policy}): set it to noeviction"
        )));
    }
    for (name, safe) in [("appendonly", "yes"), ("appendfsync", "always")] {
        if let Some(value) = setting(server, name).await?
            && value != safe
        {
            return Err(failed(format_args!(
                "Redis would forget payments when it crashes ({name} is {value}): set it to {safe}"
            )));
        }
    }
    check_format(server).await
}

/// A setting of the server; `None`, with a warning, where it does not say.
async fn setting(server: &Server, name: &'static str) -> Result<Option<String>, LedgerError> {
    let mut line = server.line().await?;
    let answer: RedisResult<Vec<String>> =
        cmd("CONFIG").arg("GET").arg(name).query_async(line.connection()).await;
    let value = match answer {
        // It is forbidden, or there is no such command.
        Err(error) if error.code().is_some() => None,
        answer => line.end(answer)?.into_iter().nth(1),
    };
    if value.is_none() {
        tracing::warn!(setting = name, "Redis does not say whether it keeps payments (CONFIG GET)");
    }
    Ok(value)
}

async fn check_format(server: &Server) -> Result<bool, LedgerError> {
    let key = server.key("format", "");
    let mut line = server.line().await?;
    let signed = cmd("SETNX").arg(&key).arg(FORMAT).query_async(line.connection()).await;
    let _: bool = line.end(signed)?;
    let mut line = server.line().await?;
    let format = cmd("GET").arg(&key).query_async(line.connection()).await;
    let format: String = line.end(format)?;
    if format != FORMAT && format != OLD_FORMAT {
        return Err(failed(format_args!(
            "it is a ledger of format {format}, and this version reads formats {OLD_FORMAT} and \
             {FORMAT}: use the version that wrote it, or another prefix"
        )));
    }
    Ok(format == OLD_FORMAT)
}
