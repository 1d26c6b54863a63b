use core::error::Error as _;
use core::str::FromStr as _;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config};

use super::tls::Tls;
use crate::ledger::LedgerError;
use crate::ledger::remote::{
    CALL_TIMEOUT, Secrets, failed, is_loopback, no_answer, take_member, tls,
};

/// How many connections one process has at most.
const CONNECTIONS: usize = 8;

/// Ends on the server what was given up here: a call of ours is over by then.
const SESSION: &str =
    "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'";

/// A few connections to one server, made when they are needed.
pub(super) struct Pool {
    config: Config,
    tls: Tls,
    secrets: Secrets,
    idle: Mutex<Vec<Client>>,
    turns: Semaphore,
}

impl Pool {
    pub(super) fn new(url: &str) -> Result<Self, LedgerError> {
        let (config, tls) = read(url)?;
        let secrets = Secrets::of(url);
        let turns = Semaphore::new(CONNECTIONS);
        Ok(Self { config, tls, secrets, idle: Mutex::default(), turns })
    }

    /// Ends a call in time, and lets nothing secret out of it.
    pub(super) async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let result = tokio::time::timeout(CALL_TIMEOUT, work).await;
        self.secrets.hide(result.unwrap_or_else(|_| Err(no_answer())))
    }

    /// Lets nothing secret out of a call that takes as long as it takes.
    pub(super) async fn call_at_leisure<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        self.secrets.hide(work.await)
    }

    /// A connection for one call.
    pub(super) async fn take(&self) -> Result<Turn<'_>, LedgerError> {
        let permit = self.turns.acquire().await.map_err(failed)?;
        let idle = {
            let mut idle = self.lock();
            // One that the server has closed is found out here, and costs nobody a call.
            idle.retain(|client| !client.is_closed());
            idle.pop()
        };
        let client = match idle {
            Some(client) => client,
            None => self.connect().await?,
        };
        Ok(Turn { pool: self, client, _permit: permit })
    }

    async fn connect(&self) -> Result<Client, LedgerError> {
        let (client, connection) = self.config.connect(self.tls.clone()).await.map_err(storage)?;
        tokio::spawn(async move {
            // The calls that needed it have their own errors.
            let _ = connection.await;
        });
        client.batch_execute(SESSION).await.map_err(storage)?;
        Ok(client)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Client>> {
        // A list is whole whatever panicked while it was locked.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection while a call has it; closed when dropped.
pub(super) struct Turn<'p> {
    pool: &'p Pool,
    client: Client,
    _permit: SemaphorePermit<'p>,
}

impl Turn<'_> {
    pub(super) const fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Gives the connection back, unless the call failed in a way that leaves it in doubt.
    pub(super) fn end<T>(self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        if !matches!(result, Err(LedgerError::Storage(_))) {
            self.pool.lock().push(self.client);
        }
        result
    }
}

/// What the URL says, and TLS where it has to be.
fn read(url: &str) -> Result<(Config, Tls), LedgerError> {
    let (url, roots) = take_member(url, "sslrootcert");
    let (url, mode) = take_member(&url, "sslmode");
    // Its own error might repeat a part of the URL.
    let malformed =
        || failed("the URL of PostgreSQL is malformed: postgres://user:password@host/database");
    let mut config = Config::from_str(&url).map_err(|_| malformed())?;
    if config.get_hosts().is_empty() || !url.contains("://") {
        return Err(malformed());
    }
    let is_local = config.get_hosts().iter().all(is_local_host)
        && config.get_hostaddrs().iter().all(core::net::IpAddr::is_loopback);
    let has_tls = match mode.as_deref() {
        Some("require" | "verify-ca" | "verify-full") => true,
        None | Some("disable" | "allow" | "prefer") if is_local => false,
        None | Some("allow" | "prefer") => true,
        Some("disable") => {
            return Err(failed(
                "PostgreSQL on another machine is reached by TLS only: no sslmode=disable",
            ));
        }
        Some(_) => return Err(failed("sslmode is none of PostgreSQL's")),
    };
    config.ssl_mode(if has_tls { SslMode::Require } else { SslMode::Disable });
    config.connect_timeout(CALL_TIMEOUT);
    config.tcp_user_timeout(CALL_TIMEOUT * 2);
    config.keepalives_idle(Duration::from_secs(30));
    if config.get_application_name().is_none() {
        config.application_name("x402");
    }
    Ok((config, Tls::new(tls(roots.as_deref())?)))
}

fn is_local_host(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => is_loopback(name),
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// What PostgreSQL or the way to it says. The details of an error, which may hold values, stay out.
pub(super) fn storage(error: tokio_postgres::Error) -> LedgerError {
    if let Some(error) = error.as_db_error() {
        return failed(format_args!("PostgreSQL: {} ({})", error.message(), error.code().code()));
    }
    let mut text = format!("PostgreSQL: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    LedgerError::Storage(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Result<SslMode, String> {
        read(url).map(|(config, _)| config.get_ssl_mode()).map_err(|error| error.to_string())
    }

    #[test]
    fn another_machine_is_reached_by_tls_only() {
        for url in [
            "postgres://a@127.0.0.1/d",
            "postgresql://a@localhost:1/d?sslmode=prefer",
            "postgres://a@%2Frun%2Fpostgresql/d?sslmode=disable",
            "postgres://a@[::1]/d",
        ] {
            assert_eq!(mode(url), Ok(SslMode::Disable), "{url}");
        }
        for url in [
            "postgres://a@db.example/d",
            "postgres://a@127.0.0.1,db.example/d",
            "postgres://a@127.0.0.1/d?hostaddr=192.0.2.1",
            "postgres://a@db.example/d?sslmode=prefer",
            "postgres://a@127.0.0.1/d?sslmode=verify-full",
        ] {
            assert_eq!(mode(url), Ok(SslMode::Require), "{url}");
        }
        assert!(
            mode("postgres://a@db.example/d?sslmode=disable").unwrap_err().contains("TLS only")
        );
    }

    #[test]
    fn what_is_no_url_is_refused_and_not_shown() {
        for url in [
            "CANARY",
            "host=localhost password=CANARY",
            "postgres://",
            "postgres://a:CANARY@host:port/d",
            "postgres://a:CANARY@localhost/d?sslmode=CANARY",
            "postgres://a:CANARY@localhost/d?unknown=CANARY",
            "postgres://a:CANARY@db.example/d?sslmode=disable",
            "postgres:///d?sslmode=disable",
        ] {
            let error = mode(url).unwrap_err();
            assert!(!error.contains("CANARY"), "{url}: {error}");
        }
        let error = mode("postgres://a:CANARY@db.example/d?sslrootcert=/nowhere").unwrap_err();
        assert!(error.contains("/nowhere") && !error.contains("CANARY"), "{error}");
    }
}
