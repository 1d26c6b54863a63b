//! Which names of balances are good: in the hash `names`, by account, as bytes.

use std::sync::LazyLock;

use ::redis::{Script, cmd};

use super::server::Server;
use super::{ATTEMPTS, RedisLedger, hex, scripts};
use crate::BoxFuture;
use crate::ledger::remote::failed;
use crate::ledger::{CreditAccount, CreditNames, LedgerError, NameLedger, Renewal};

/// account, old bytes (or empty), new bytes -> 0 (not the old ones) | done
static SWAP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
    if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    return 1",
    )
});

async fn read(server: &Server, account: &str) -> Result<Option<Vec<u8>>, LedgerError> {
    let mut command = cmd("HGET");
    command.arg(server.key("names", "")).arg(account);
    let mut line = server.line().await?;
    let result = command.query_async(line.connection()).await;
    line.end(result)
}

fn names(bytes: Option<&Vec<u8>>) -> Result<CreditNames, LedgerError> {
    bytes.map_or(Ok(CreditNames::default()), |bytes| CreditNames::from_bytes(bytes))
}

/// Reads what holds, and writes what holds after it if it still is as it was read.
async fn renew(
    server: &Server,
    account: &str,
    renewal: Renewal,
) -> Result<CreditNames, LedgerError> {
    for _ in 0..ATTEMPTS {
        let old = read(server, account).await?;
        let new = names(old.as_ref())?.after(renewal)?;
        let mut call = SWAP.key(server.key("names", ""));
        call.arg(account).arg(old.unwrap_or_default()).arg(&new.to_bytes()[..]);
        let mut line = server.line().await?;
        let result = call.invoke_async(line.connection()).await;
        if line.end::<u8>(result)? == scripts::DONE {
            return Ok(new);
        }
    }
    Err(failed("others keep replacing the names"))
}

impl NameLedger for RedisLedger {
    fn credit_names(
        &self,
        account: CreditAccount,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        Box::pin(self.server.call(async move {
            let bytes = read(&self.server, &hex(&account.to_bytes())).await?;
            names(bytes.as_ref())
        }))
    }

    fn renew_names(
        &self,
        account: CreditAccount,
        renewal: Renewal,
    ) -> BoxFuture<'_, Result<CreditNames, LedgerError>> {
        Box::pin(
            self.server
                .call(async move { renew(&self.server, &hex(&account.to_bytes()), renewal).await }),
        )
    }
}
