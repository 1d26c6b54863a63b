use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, RedisResult};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::ledger::LedgerError;
use crate::ledger::remote::{
    CALL_TIMEOUT, Secrets, failed, is_loopback, no_answer, take_member, tls,
};
use crate::percent;

const PORT: u16 = 6379;
const PREFIX: &str = "x402:";

/// One server, and the connection to it.
pub(super) struct Server {
    address: Address,
    secrets: Secrets,
    prefix: String,
    link: Mutex<Link>,
    /// Held by the one who connects: the others wait for what becomes of it.
    connecting: tokio::sync::Mutex<()>,
}

/// The connection, if there is one, and how many there have been.
#[derive(Default)]
struct Link {
    connection: Option<MultiplexedConnection>,
    number: u64,
}

impl Server {
    pub(super) fn new(url: &str) -> Result<Self, LedgerError> {
        let secrets = Secrets::of(url);
        let (url, prefix) = take_member(url, "prefix");
        let address = Address::read(&url)?;
        let prefix = prefix.unwrap_or_else(|| PREFIX.to_owned());
        let connecting = tokio::sync::Mutex::default();
        Ok(Self { address, secrets, prefix, link: Mutex::default(), connecting })
    }

    /// A key of the ledger.
    pub(super) fn key(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}{name}", self.prefix)
    }

    /// Ends a call in time, and lets nothing secret out of it. A connection on which nobody answers
    /// is not used again.
    pub(super) async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let number = self.link().number;
        let result = tokio::time::timeout(CALL_TIMEOUT, work).await;
        self.secrets.hide(result.unwrap_or_else(|_| {
            self.forget(number);
            Err(no_answer())
        }))
    }

    /// The connection, for one command.
    pub(super) async fn line(&self) -> Result<Line<'_>, LedgerError> {
        if let Some(line) = self.open_line() {
            return Ok(line);
        }
        let _turn = self.connecting.lock().await;
        if let Some(line) = self.open_line() {
            return Ok(line);
        }
        let connection = self.address.connect().await?;
        let mut link = self.link();
        link.connection = Some(connection.clone());
        link.number += 1;
        Ok(Line { server: self, connection, number: link.number })
    }

    fn open_line(&self) -> Option<Line<'_>> {
        let link = self.link();
        let connection = link.connection.clone()?;
        Some(Line { server: self, connection, number: link.number })
    }

    /// Does not use the connection of that number again, if it still is in use.
    fn forget(&self, number: u64) {
        let mut link = self.link();
        if link.number == number {
            link.connection = None;
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        // Its two members are written one after the other, with nothing in between that panics.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection while a command has it. The others have it too.
pub(super) struct Line<'s> {
    server: &'s Server,
    connection: MultiplexedConnection,
    number: u64,
}

impl Line<'_> {
    pub(super) const fn connection(&mut self) -> &mut MultiplexedConnection {
        &mut self.connection
    }

    /// Judges what came of the command: is the connection good for another?
    pub(super) fn end<T>(self, result: RedisResult<T>) -> Result<T, LedgerError> {
        result.map_err(|error| {
            if error.is_io_error()
                || error.is_connection_dropped()
                || error.is_unrecoverable_error()
            {
                self.server.forget(self.number);
            }
            storage(&error)
        })
    }
}

fn storage(error: &RedisError) -> LedgerError {
    failed(format_args!("Redis: {error}"))
}

/// What the URL says.
struct Address {
    host: String,
    port: u16,
    login: RedisConnectionInfo,
    tls: Option<Arc<ClientConfig>>,
}

impl Address {
    fn read(url: &str) -> Result<Self, LedgerError> {
        let malformed = || {
            failed(
                "the URL of Redis is malformed: rediss://user:password@host:port/database?prefix=x402:",
            )
        };
        let (url, roots) = take_member(url, "sslrootcert");
        let (has_tls, rest) = match url.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            _ => return Err(malformed()),
        };
        let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (place, database) = place.split_once('/').unwrap_or((place, ""));
        let (host, port) = split_port(place).ok_or_else(malformed)?;
        if !has_tls && !is_loopback(host) {
            return Err(failed("Redis on another machine is reached by TLS only: rediss://"));
        }
        let login = login(user, database).ok_or_else(malformed)?;
        let tls = if has_tls { Some(tls(roots.as_deref())?) } else { None };
        Ok(Self { host: host.to_owned(), port, login, tls })
    }

    async fn connect(&self) -> Result<MultiplexedConnection, LedgerError> {
        let unreachable = |error| failed(format_args!("Redis cannot be reached: {error}"));
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(unreachable)?;
        // Commands are short, and each is waited for.
        stream.set_nodelay(true).map_err(unreachable)?;
        match &self.tls {
            None => greet(&self.login, stream).await,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(failed)?;
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name, stream).await.map_err(unreachable)?;
                greet(&self.login, stream).await
            }
        }
    }
}

/// Logs in, and has the answers read from then on.
async fn greet(
    login: &RedisConnectionInfo,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<MultiplexedConnection, LedgerError> {
    // How long a call may take is for the call to say.
    let config = AsyncConnectionConfig::new();
    let connected = MultiplexedConnection::new_with_config(login, stream, config).await;
    let (connection, driver) = connected.map_err(|error| storage(&error))?;
    tokio::spawn(driver);
    Ok(connection)
}

/// `host`, `host:port` or `[v6]:port`.
fn split_port(place: &str) -> Option<(&str, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = match port {
        "" => PORT,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    (!host.is_empty()).then_some((host, port))
}

fn login(user: &str, database: &str) -> Option<RedisConnectionInfo> {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (user, password) = (percent::decoded(user)?, percent::decoded(password)?);
    let db = if database.is_empty() { 0 } else { database.parse().ok()? };
    let given = |text: String| (!text.is_empty()).then_some(text);
    let (username, password) = (given(user), given(password));
    Some(RedisConnectionInfo { db, username, password, ..RedisConnectionInfo::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_as_whom() {
        let read = |url| Address::read(url).unwrap();
        let address = read("redis://127.0.0.1");
        assert_eq!((address.host.as_str(), address.port), ("127.0.0.1", 6379));
        assert!(address.tls.is_none() && address.login.username.is_none());
        let address = read("rediss://me:p%40ss@db.example:1/7");
        assert_eq!((address.host.as_str(), address.port), ("db.example", 1));
        assert_eq!(address.login.username.as_deref(), Some("me"));
        assert_eq!((address.login.password.as_deref(), address.login.db), (Some("p@ss"), 7));
        assert!(address.tls.is_some());
        let address = read("redis://:pass@[::1]:2/");
        assert_eq!((address.host.as_str(), address.port), ("::1", 2));
        assert_eq!(
            (address.login.username.as_deref(), address.login.password.as_deref()),
            (None, Some("pass"))
        );
    }

    #[test]
    fn what_is_no_url_is_refused_and_not_shown() {
        for url in [
            "CANARY",
            "redis://",
            "redis://:CANARY@",
            "redis://:CANARY@localhost:port",
            "redis://:CANARY@localhost:99999",
            "redis://:CANARY@localhost/seven",
            "redis://:CANARY@[::1",
            "redis://:%CANARY@localhost",
            "redis+unix:///CANARY",
            "redis://:CANARY@db.example",
            "rediss://:CANARY@db.example?sslrootcert=/nowhere",
        ] {
            let error = Server::new(url).err().unwrap().to_string();
            assert!(!error.contains("CANARY"), "{url}: {error}");
        }
    }
}
