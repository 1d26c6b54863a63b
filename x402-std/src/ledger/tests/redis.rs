use std::time::Instant;

use ::redis::aio::MultiplexedConnection;
use ::redis::{RedisConnectionInfo, cmd};
use tokio::net::TcpStream;

use super::credit::{answered, balance, draw, drawn, earn, settled, units, used};
use super::owed::{
    a_sum_that_lacks_a_payment_is_an_error, account, claim, later, sums_are_those_of_the_entries,
};
use super::server::{
    PASSWORD, Server, assert_storage, eventually, nobody, silent, url_of_tests, write_certificate,
};
use super::{
    Arc, Ledger as _, LedgerError, State, Step, an_old_ledger_shrinks, answer, claim_new, convert,
    entry, payment, state,
};
use crate::chain::{Block, PaidLog, Settlement, TxHash};
use crate::ledger::{Conclusion, Owner, RedisLedger};

/// A ledger behind a prefix of its own, with its URL.
pub(crate) async fn new_ledger() -> (RedisLedger, String) {
    let url = url_of_tests("X402_TEST_REDIS");
    let prefix = u128::from_be_bytes(Owner::random().unwrap().0);
    let url = format!("{url}?prefix={prefix:x}:");
    (RedisLedger::connect(&url).await.unwrap(), url)
}

/// Sends a command to a server without a password, by its URL or its port.
async fn command(url: &str, words: &[&[u8]]) {
    let place = url.trim_start_matches("redis://");
    let place = place.split(['/', '?']).next().unwrap();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let stream = TcpStream::connect(place).await.unwrap();
    let config = ::redis::AsyncConnectionConfig::new();
    let password = url.contains(PASSWORD).then(|| PASSWORD.to_owned());
    let login = RedisConnectionInfo { password, ..RedisConnectionInfo::default() };
    let (mut connection, driver) =
        MultiplexedConnection::new_with_config(&login, stream, config).await.unwrap();
    tokio::spawn(driver);
    let (name, rest) = words.split_first().unwrap();
    let mut command = cmd(core::str::from_utf8(name).unwrap());
    for word in rest {
        command.arg(*word);
    }
    let _: ::redis::Value = command.query_async(&mut connection).await.unwrap();
}

fn prefix(url: &str) -> &str {
    url.rsplit('=').next().unwrap()
}

/// A server of one's own, with a password.
fn server(has_tls: bool) -> Server {
    let mut server = Server::new("redis-server");
    let folder = server.folder.path().display().to_string();
    let port = server.port.to_string();
    let ports =
        if has_tls { ["--port", "0", "--tls-port", &port] } else { ["--port", &port, "", ""] };
    let rest = ["--bind", "127.0.0.1", "--dir", &folder, "--save", "", "--requirepass", PASSWORD];
    let safe = ["--appendonly", "yes", "--appendfsync", "always"];
    let ports = &ports[..if has_tls { 4 } else { 2 }];
    server.arguments = [ports, &rest, &safe].concat().into_iter().map(Into::into).collect();
    if has_tls {
        let (certificate, key) = write_certificate(server.folder.path());
        let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
        let files = files.into_iter().chain(["--tls-auth-clients", "no"]).map(str::to_owned);
        server.arguments.extend(files);
    }
    server.start();
    server
}

fn url(server: &Server, password: &str) -> String {
    format!("redis://:{password}@localhost:{}", server.port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_forgets_nothing() {
    let mut server = server(false);
    let url = url(&server, PASSWORD);
    let ledger = eventually(async || RedisLedger::connect(&url).await).await;
    for wrong in [url.replace(PASSWORD, "CANARY-other"), url.replace(&format!(":{PASSWORD}@"), "")]
    {
        assert_storage(&RedisLedger::connect(&wrong).await.unwrap_err());
    }
    super::server::a_server_that_is_killed_forgets_nothing(&mut server, Arc::new(ledger)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_share_keys_are_told_the_same_ledger() {
    let (ledger, url) = new_ledger().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                RedisLedger::connect(&url).await.unwrap().identity().await.unwrap()
            })
        })
        .collect();
    let known = ledger.identity().await.unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap(), known);
    }
    assert_ne!(new_ledger().await.0.identity().await.unwrap(), known);
}

/// A server that hangs is an error in time, and is used again once it goes on.
#[tokio::test]
async fn a_redis_that_hangs_is_an_error_in_time() {
    let server = server(false);
    let url = url(&server, PASSWORD);
    let ledger = eventually(async || RedisLedger::connect(&url).await).await;
    claim_new(&ledger, &payment(1)).await;
    server.signal("-STOP");
    let start = Instant::now();
    assert_storage(&ledger.find(payment(1).id()).await.unwrap_err());
    assert!(start.elapsed().as_secs() < 10);
    server.signal("-CONT");
    let found = eventually(async || ledger.find(payment(1).id()).await).await;
    assert_eq!(found.unwrap().state, State::Claimed);
}

#[tokio::test]
async fn redis_is_spoken_to_by_tls() {
    let server = server(true);
    let url = url(&server, PASSWORD).replace("redis://", "rediss://");
    let roots = server.folder.path().join("server.crt").display().to_string();
    let sure = format!("{url}?sslrootcert={roots}");
    let ledger = eventually(async || RedisLedger::connect(&sure).await).await;
    claim_new(&ledger, &payment(1)).await;
    for (wrong, word) in
        [(url, "UnknownIssuer"), (sure.replace("localhost", "127.0.0.1"), "not valid for")]
    {
        let error = RedisLedger::connect(&wrong).await.unwrap_err();
        assert_storage(&error);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_redis_that_is_gone_or_silent_is_an_error_without_its_url() {
    let (_listener, port) = silent();
    for port in [nobody(), port] {
        let start = Instant::now();
        let url = format!("redis://x402:{PASSWORD}@127.0.0.1:{port}/?prefix=CANARY");
        assert_storage(&RedisLedger::connect(&url).await.unwrap_err());
        assert!(start.elapsed().as_secs() < 10);
    }
}

#[tokio::test]
async fn a_redis_that_would_forget_payments_is_refused() {
    let server = server(false);
    let url = url(&server, PASSWORD);
    drop(eventually(async || RedisLedger::connect(&url).await).await);
    for (name, value, sound) in [
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("appendfsync", "everysec", "always"),
        ("appendonly", "no", "yes"),
    ] {
        let set = |value: &'static str| {
            let words = [&b"CONFIG"[..], b"SET", name.as_bytes(), value.as_bytes()];
            let url = &url;
            async move { command(url, &words).await }
        };
        set(value).await;
        let error = RedisLedger::connect(&url).await.unwrap_err();
        assert_storage(&error);
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(value) && text.contains(sound), "{text}");
        set(sound).await;
        RedisLedger::connect(&url).await.unwrap();
    }
    // Where it may not be asked it is believed.
    let user: Vec<&[u8]> = vec![
        b"ACL",
        b"SETUSER",
        b"shop",
        b"on",
        b">CANARY-shop",
        b"~*",
        b"&*",
        b"+@all",
        b"-config",
    ];
    command(&url, &user).await;
    let shop = format!("redis://shop:CANARY-shop@localhost:{}", server.port);
    claim_new(&RedisLedger::connect(&shop).await.unwrap(), &payment(1)).await;
}

#[tokio::test]
async fn keys_of_another_format_are_refused_by_their_number() {
    let (_ledger, url) = new_ledger().await;
    let key = format!("{}format", prefix(&url));
    command(&url, &[b"SET", key.as_bytes(), b"7"]).await;
    let error = RedisLedger::connect(&url).await.unwrap_err().to_string();
    assert!(error.contains("format 7") && error.contains("reads formats 3 and 4"), "{error}");
}

#[tokio::test]
async fn a_damaged_key_is_an_error_of_its_own_payment() {
    let (ledger, url) = new_ledger().await;
    claim_new(&ledger, &payment(1)).await;
    claim_new(&ledger, &payment(2)).await;
    let id = payment(1).id();
    let hex = x402_core::hex::Hex(&id.to_bytes()).to_string();
    let key = format!("{}entry:{hex}", prefix(&url));
    command(&url, &[b"HSET", key.as_bytes(), b"entry", b"x"]).await;
    assert!(matches!(ledger.find(id).await, Err(LedgerError::Corrupt)));
    assert!(matches!(ledger.apply(id, Step::Refused).await, Err(LedgerError::Corrupt)));
    assert!(matches!(ledger.open_entries().await, Err(LedgerError::Corrupt)));
    assert_eq!(state(&ledger, payment(2).id()).await, State::Claimed);
    claim_new(&ledger, &payment(3)).await;
}

#[tokio::test]
async fn a_sum_that_is_damaged_is_an_error() {
    let (ledger, url) = new_ledger().await;
    let key = format!("{}owed", prefix(&url));
    let lose = async || command(&url, &[b"DEL", key.as_bytes()]).await;
    a_sum_that_lacks_a_payment_is_an_error(&ledger, lose).await;
}

/// Half of a change would be money made of nothing, or lost.
#[tokio::test]
async fn a_redis_without_memory_changes_nothing() {
    let server = server(false);
    let url = url(&server, PASSWORD);
    let ledger = eventually(async || RedisLedger::connect(&url).await).await;
    earn(&ledger, 1, 1, units(1_000)).await;
    let [held, other, new] = [1, 2, 3].map(|nonce| draw(1, nonce, 300));
    drawn(&ledger, &held).await;
    drawn(&ledger, &other).await;
    let served = settled(&ledger, 1, 2, units(50)).await;
    let [owed, debt, refused, more] =
        [3, 4, 5, 6].map(|number| later(1, 1, number, units(100), false));
    for entry in [&owed, &debt, &refused] {
        claim(&ledger, entry.clone()).await;
    }
    let worked = || Step::Worked(answer(), units(100));
    ledger.apply(debt.id(), worked()).await.unwrap();
    let [reversed, confirmed] = paid_and_under_way(&ledger).await;
    command(&url, &[b"CONFIG", b"SET", b"maxmemory", b"1"]).await;
    assert_storage(&ledger.apply(confirmed, by_log(2)).await.unwrap_err());
    assert_storage(&ledger.apply(reversed, Step::Reversed).await.unwrap_err());
    let logs = async |id: x402_core::PaymentId| {
        let paid = ledger.paid_by(id.chain_id, TxHash([9; 32])).await.unwrap();
        paid.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(
        (logs(reversed).await, state(&ledger, reversed).await),
        (vec![reversed], State::Served)
    );
    assert_eq!(state(&ledger, confirmed).await, State::Broadcast);
    let credit = crate::ledger::CreditAccount::of(&entry(&ledger, reversed).await.payment);
    assert_eq!(ledger.balance(credit).await.unwrap(), units(35));
    assert_storage(&ledger.draw(new.clone()).await.unwrap_err());
    assert_storage(&ledger.conclude(held.id, used(100)).await.unwrap_err());
    assert_storage(&ledger.conclude(other.id, Conclusion::Returned).await.unwrap_err());
    assert_storage(&ledger.apply(served, answered(0)).await.unwrap_err());
    assert_eq!(balance(&ledger, 1).await, units(400));
    assert_eq!(ledger.held_draws().await.unwrap().len(), 2);
    assert_eq!(state(&ledger, served).await, State::Settled);
    assert_storage(&ledger.claim(more.clone()).await.unwrap_err());
    assert_storage(&ledger.apply(owed.id(), worked()).await.unwrap_err());
    assert_storage(&ledger.apply(debt.id(), Step::Refused).await.unwrap_err());
    // What is let go makes room.
    ledger.apply(refused.id(), Step::Refused).await.unwrap();
    let owes = ledger.owes(account(1, 1)).await.unwrap();
    assert_eq!((owes.sum, owes.debts), (units(200), vec![]));
    sums_are_those_of_the_entries(&ledger).await;
    command(&url, &[b"CONFIG", b"SET", b"maxmemory", b"0"]).await;
    drawn(&ledger, &new).await;
    ledger.conclude(held.id, used(100)).await.unwrap();
    ledger.conclude(other.id, Conclusion::Returned).await.unwrap();
    ledger.apply(served, answered(0)).await.unwrap();
    assert_eq!(balance(&ledger, 1).await, units(100 + 200 + 300 + 50));
    claim(&ledger, more).await;
    ledger.apply(debt.id(), Step::Refused).await.unwrap();
    let owes = ledger.owes(account(1, 1)).await.unwrap();
    assert_eq!((owes.sum, owes.debts), (units(300), vec![debt.id()]));
    ledger.apply(reversed, Step::Reversed).await.unwrap();
    assert_eq!(ledger.balance(credit).await.unwrap(), units(5));
    ledger.apply(confirmed, by_log(1)).await.unwrap();
    assert_eq!(logs(reversed).await, [confirmed]);
}

fn by_log(position: u32) -> Step {
    let block = Block { number: 5, hash: [5; 32] };
    let log = Some(PaidLog { block, position });
    Step::Confirmed(Settlement { transaction: TxHash([9; 32]), log })
}

/// A payment that a log has paid for and that has left credit, and one that is under way.
async fn paid_and_under_way(ledger: &RedisLedger) -> [x402_core::PaymentId; 2] {
    let [reversed, confirmed] =
        [7, 8].map(|number| super::credit::paid(9, number, units(100), false));
    for entry in [&reversed, &confirmed] {
        claim(ledger, entry.clone()).await;
        let journalled = Step::Journalled(super::transaction(1));
        ledger.apply(entry.id(), journalled).await.unwrap();
    }
    ledger.apply(reversed.id(), by_log(1)).await.unwrap();
    ledger.apply(reversed.id(), answered(70)).await.unwrap();
    earn(ledger, 9, 9, units(5)).await;
    [reversed.id(), confirmed.id()]
}

/// Scripts are forgotten by a server that is told to, or starts anew.
#[tokio::test]
async fn scripts_are_sent_again() {
    let (ledger, url) = new_ledger().await;
    claim_new(&ledger, &payment(1)).await;
    command(&url, &[b"SCRIPT", b"FLUSH"]).await;
    claim_new(&ledger, &payment(2)).await;
}

#[tokio::test]
async fn an_old_ledger_in_redis_shrinks_as_new_payments_come() {
    let (ledger, _url) = new_ledger().await;
    an_old_ledger_shrinks(&ledger).await;
}

#[tokio::test]
async fn what_older_versions_gave_a_time_in_redis_is_kept() {
    let (ledger, url) = new_ledger().await;
    let gives = async |id: x402_core::PaymentId, time: u64| {
        let (due, id) = (format!("{}due", prefix(&url)), hex(&id.to_bytes()));
        let time = time.to_string();
        command(&url, &[b"ZADD", due.as_bytes(), time.as_bytes(), id.as_bytes()]).await;
    };
    super::unserved::what_an_older_version_gave_a_time_is_kept(&ledger, gives).await;
}

fn hex(bytes: &[u8]) -> String {
    x402_core::hex::Hex(bytes).to_string()
}

/// Keys as the version before wrote them.
async fn old_url() -> String {
    let (ledger, url) = new_ledger().await;
    drop(ledger);
    let prefix = prefix(&url);
    let key = |name: &str| format!("{prefix}{name}").into_bytes();
    command(&url, &[b"SET", &key("format"), b"3"]).await;
    for (entry, bytes) in convert::entries() {
        let id = hex(&entry.id().to_bytes());
        let stage: &[u8] = if entry.is_open() { b"open" } else { b"over" };
        let name = key(&format!("entry:{id}"));
        let set = [&b"HSET"[..], &name, b"entry", &bytes, b"stage", stage, b"identifier", b""];
        command(&url, &set).await;
        if entry.is_open() {
            command(&url, &[b"SADD", &key("open"), id.as_bytes()]).await;
        } else {
            let due = entry.keep_until().to_string();
            command(&url, &[b"ZADD", &key("due"), due.as_bytes(), id.as_bytes()]).await;
        }
        if entry.is_debt() {
            let debts = key(&format!("debts:{}", hex(entry.payment.payer().as_bytes())));
            command(&url, &[b"SADD", &debts, id.as_bytes()]).await;
        }
    }
    for table in ["owed", "balances"] {
        for (account, amount) in convert::rows(table) {
            let (account, amount) = (hex(&account), format!("0x{amount}"));
            let set = [&b"HSET"[..], &key(table), account.as_bytes(), amount.as_bytes()];
            command(&url, &set).await;
        }
    }
    for (id, draw) in convert::rows("draws") {
        let name = key(&format!("draw:{}", hex(&id)));
        command(&url, &[b"SET", &name, &convert::bytes(draw)]).await;
    }
    for (id, _) in convert::rows("held") {
        command(&url, &[b"SADD", &key("held"), hex(&id).as_bytes()]).await;
    }
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn old_keys_are_converted_once_by_those_who_connect_at_once() {
    let url = old_url().await;
    let connected = super::credit::race(6, |_| {
        let url = url.clone();
        async move { RedisLedger::connect(&url).await.unwrap() }
    })
    .await;
    convert::nothing_is_lost(&connected[0]).await;
    // Who has read them before, and converts them late, undoes nothing.
    let before = connected[0].paid_by(payment(1).id().chain_id, TxHash([2; 32])).await;
    connected[5].convert().await.unwrap();
    let after = connected[0].paid_by(payment(1).id().chain_id, TxHash([2; 32])).await;
    assert_eq!(after.unwrap(), before.unwrap());
}

/// Whoever goes on from there does the rest.
#[tokio::test]
async fn a_conversion_that_was_broken_off_is_gone_on_with() {
    let url = old_url().await;
    drop(RedisLedger::connect(&url).await.unwrap());
    let prefix = prefix(&url);
    // As if it had stopped before the last of it.
    let paid = format!("{prefix}paid:{}", {
        let chain_id = payment(1).id().chain_id.get().to_be_bytes();
        hex(&[&chain_id[..], &[7; 32]].concat())
    });
    command(&url, &[b"DEL", paid.as_bytes()]).await;
    command(&url, &[b"SET", format!("{prefix}format").as_bytes(), b"3"]).await;
    convert::nothing_is_lost(&RedisLedger::connect(&url).await.unwrap()).await;
}

/// The two have connections of their own, as two processes do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_processes_that_race_for_a_log_in_redis_one_wins() {
    let (ledger, url) = new_ledger().await;
    let other = RedisLedger::connect(&url).await.unwrap();
    super::logs::of_two_processes_that_race_one_wins([Arc::new(ledger), Arc::new(other)]).await;
}

#[tokio::test]
async fn whole_transactions_in_redis() {
    let (ledger, url) = new_ledger().await;
    let mark = |id: x402_core::PaymentId| {
        let (ledger, url) = (&ledger, &url);
        async move {
            let entry = entry(ledger, id).await;
            let transaction = entry.settlement.unwrap().transaction;
            let name = hex(&[&id.to_bytes()[..8], &transaction.0].concat());
            let (prefix, id) = (prefix(url), hex(&id.to_bytes()));
            let paid = format!("{prefix}paid:{name}");
            command(url, &[b"HSET", paid.as_bytes(), id.as_bytes(), b""]).await;
            let until = (entry.keep_until() + crate::ledger::LOG_KEEP_SECONDS).to_string();
            let (all, member) = (format!("{prefix}paid"), format!("{name}/{id}"));
            let add = [&b"ZADD"[..], all.as_bytes(), until.as_bytes(), member.as_bytes()];
            command(url, &add).await;
        }
    };
    super::logs::whole_transactions_are_used_until_their_logs_are_known(&ledger, mark).await;
}
