use std::time::Instant;

use tokio_postgres::{Client, NoTls};

use super::owed::a_sum_that_lacks_a_payment_is_an_error;
use super::server::{
    PASSWORD, Server, assert_storage, command, eventually, give, nobody, silent, url_of_tests,
    write_certificate,
};
use super::{
    Arc, Ledger as _, LedgerError, State, Step, an_old_ledger_shrinks, claim_new, convert, entry,
    payment, state,
};
use crate::ledger::{Owner, PostgresLedger};

/// A ledger in a schema of its own, with its URL.
pub(crate) async fn new_ledger() -> (PostgresLedger, String) {
    let url = new_url().await;
    (PostgresLedger::connect(&url).await.unwrap(), url)
}

async fn new_url() -> String {
    let url = url_of_tests("X402_TEST_POSTGRES");
    let name = format!("x402_{:x}", u128::from_be_bytes(Owner::random().unwrap().0));
    let client = client(&url).await;
    client.batch_execute(&format!("CREATE SCHEMA {name}")).await.unwrap();
    format!("{url}?options=-csearch_path%3D{name}")
}

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A cluster of one's own, with a password and, if need be, TLS.
fn server(has_tls: bool) -> Server {
    let mut server = Server::new("postgres");
    let folder = server.folder.path();
    let (data, word) = (folder.join("data"), folder.join("password"));
    std::fs::write(&word, PASSWORD).unwrap();
    give(folder);
    give(&word);
    let [data, word] = [data, word].map(|path| path.display().to_string());
    let made = command("initdb")
        .args(["-D", &data, "-U", "x402", "-A", "scram-sha-256", "--pwfile", &word, "--no-sync"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let socket = folder.display().to_string();
    let port = server.port.to_string();
    let mut arguments: Vec<String> =
        ["-D", &data, "-p", &port, "-h", "localhost", "-k", &socket].map(Into::into).into();
    if has_tls {
        let (certificate, key) = write_certificate(folder);
        for setting in
            ["ssl=on".into(), format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}")]
        {
            arguments.extend(["-c".to_owned(), setting]);
        }
    }
    server.arguments = arguments;
    server.start();
    server
}

fn url(server: &Server, password: &str) -> String {
    format!("postgres://x402:{password}@localhost:{}/postgres", server.port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_forgets_nothing() {
    let mut server = server(false);
    let url = url(&server, PASSWORD);
    let ledger = eventually(async || PostgresLedger::connect(&url).await).await;
    let error = PostgresLedger::connect(&url.replace(PASSWORD, "CANARY-other")).await.unwrap_err();
    assert_storage(&error);
    assert!(error.to_string().contains("28P01"), "{error}");
    super::server::a_server_that_is_killed_forgets_nothing(&mut server, Arc::new(ledger)).await;
}

#[tokio::test]
async fn postgres_is_spoken_to_by_tls() {
    let server = server(true);
    let url = url(&server, PASSWORD);
    let roots = server.folder.path().join("server.crt").display().to_string();
    let sure = format!("{url}?sslmode=verify-full&sslrootcert={roots}");
    let ledger = eventually(async || PostgresLedger::connect(&sure).await).await;
    claim_new(&ledger, &payment(1)).await;
    for (wrong, word) in [
        (format!("{url}?sslmode=require"), "UnknownIssuer"),
        (sure.replace("localhost", "127.0.0.1"), "not valid for"),
    ] {
        let error = PostgresLedger::connect(&wrong).await.unwrap_err();
        assert_storage(&error);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_postgres_that_is_gone_or_silent_is_an_error_without_its_url() {
    let (_listener, port) = silent();
    for port in [nobody(), port] {
        let start = Instant::now();
        let url = format!("postgres://x402:{PASSWORD}@127.0.0.1:{port}/CANARY-base");
        assert_storage(&PostgresLedger::connect(&url).await.unwrap_err());
        assert!(start.elapsed().as_secs() < 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connect_at_once_and_one_makes_the_tables() {
    let url = new_url().await;
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let url = url.clone();
            tokio::spawn(async move {
                let ledger = PostgresLedger::connect(&url).await.unwrap();
                claim_new(&ledger, &payment(number)).await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let ledger = PostgresLedger::connect(&url).await.unwrap();
    assert_eq!(ledger.open_entries().await.unwrap().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_share_tables_are_told_the_same_ledger() {
    let (ledger, url) = new_ledger().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                PostgresLedger::connect(&url).await.unwrap().identity().await.unwrap()
            })
        })
        .collect();
    let known = ledger.identity().await.unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap(), known);
    }
    assert_ne!(new_ledger().await.0.identity().await.unwrap(), known);
}

#[tokio::test]
async fn tables_of_another_format_are_refused_by_their_number() {
    let (ledger, url) = new_ledger().await;
    claim_new(&ledger, &payment(1)).await;
    client(&url).await.execute("UPDATE x402_ledger SET format = 7", &[]).await.unwrap();
    let error = PostgresLedger::connect(&url).await.unwrap_err().to_string();
    assert!(error.contains("format 7") && error.contains("reads formats 3 and 4"), "{error}");
}

#[tokio::test]
async fn who_may_only_read_and_write_rows_uses_the_tables_that_are_there() {
    let (owner, url) = new_ledger().await;
    let name = url.rsplit("%3D").next().unwrap();
    let role = format!("role_{name}");
    let grants = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {name} TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role}"
    );
    client(&url).await.batch_execute(&grants).await.unwrap();
    let (_, rest) = url.split_once('@').unwrap();
    let ledger = PostgresLedger::connect(&format!("postgres://{role}@{rest}")).await.unwrap();
    let known = ledger.identity().await.unwrap();
    assert_eq!(owner.identity().await.unwrap(), known);
    claim_new(&ledger, &payment(1)).await;
    ledger.apply(payment(1).id(), Step::Refused).await.unwrap();
    assert!(ledger.lease(payment(1).id(), Owner([1; 16]), 1).await.unwrap());
}

#[tokio::test]
async fn a_damaged_row_is_an_error_of_its_own_payment() {
    let (ledger, url) = new_ledger().await;
    claim_new(&ledger, &payment(1)).await;
    claim_new(&ledger, &payment(2)).await;
    let key = &payment(1).id().to_bytes()[..];
    let damage = "UPDATE x402_entries SET entry = 'x' WHERE id = $1";
    client(&url).await.execute(damage, &[&key]).await.unwrap();
    let id = payment(1).id();
    assert!(matches!(ledger.find(id).await, Err(LedgerError::Corrupt)));
    assert!(matches!(ledger.apply(id, Step::Refused).await, Err(LedgerError::Corrupt)));
    assert!(matches!(ledger.open_entries().await, Err(LedgerError::Corrupt)));
    assert_eq!(state(&ledger, payment(2).id()).await, State::Claimed);
    claim_new(&ledger, &payment(3)).await;
}

#[tokio::test]
async fn a_sum_that_is_damaged_is_an_error() {
    let (ledger, url) = new_ledger().await;
    let lose = async || {
        let lost = client(&url).await.execute("DELETE FROM x402_owed", &[]).await;
        assert_eq!(lost.unwrap(), 1);
    };
    a_sum_that_lacks_a_payment_is_an_error(&ledger, lose).await;
}

/// A connection that the server closes while nobody uses it costs nobody a call.
#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let url = format!("{}&application_name=x402-closed", new_url().await);
    let ledger = PostgresLedger::connect(&url).await.unwrap();
    claim_new(&ledger, &payment(1)).await;
    let close = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE application_name = 'x402-closed' AND pid <> pg_backend_pid()";
    let closed = client(&url).await.query(close, &[]).await.unwrap();
    assert!(!closed.is_empty());
    tokio::time::sleep(core::time::Duration::from_millis(200)).await;
    assert_eq!(state(&ledger, payment(1).id()).await, State::Claimed);
}

#[tokio::test]
async fn an_old_ledger_in_postgres_shrinks_as_new_payments_come() {
    let (ledger, _url) = new_ledger().await;
    an_old_ledger_shrinks(&ledger).await;
}

#[tokio::test]
async fn what_older_versions_gave_a_time_in_postgres_is_kept() {
    let (ledger, url) = new_ledger().await;
    let client = client(&url).await;
    let gives = async |id: x402_core::PaymentId, time: u64| {
        let (key, due) = (&id.to_bytes()[..], i64::try_from(time).unwrap());
        let update = "UPDATE x402_entries SET due = $2 WHERE id = $1";
        assert_eq!(client.execute(update, &[&key, &due]).await.unwrap(), 1);
    };
    super::unserved::what_an_older_version_gave_a_time_is_kept(&ledger, gives).await;
}

/// Tables as the version before wrote them.
async fn old_url() -> String {
    let (ledger, url) = new_ledger().await;
    drop(ledger);
    let client = client(&url).await;
    client.batch_execute("DROP TABLE x402_logs; UPDATE x402_ledger SET format = 3").await.unwrap();
    for (entry, bytes) in convert::entries() {
        let debtor = entry.is_debt().then(|| entry.payment.payer().as_bytes().to_vec());
        let due = i64::try_from(entry.keep_until()).unwrap();
        let insert = "INSERT INTO x402_entries (id, entry, open, due, debtor)
                      VALUES ($1, $2, $3, $4, $5)";
        let id = entry.id().to_bytes().to_vec();
        client.execute(insert, &[&id, &bytes, &entry.is_open(), &due, &debtor]).await.unwrap();
    }
    for table in ["owed", "balances"] {
        let insert = format!("INSERT INTO x402_{table} (account, amount) VALUES ($1, $2)");
        for (account, amount) in convert::rows(table) {
            client.execute(&insert, &[&account, &convert::bytes(amount)]).await.unwrap();
        }
    }
    let done = convert::rows("done");
    for (id, draw) in convert::rows("draws") {
        let due = done.iter().find(|row| row.0 == id).map(|row| row.1.parse::<i64>().unwrap());
        let insert = "INSERT INTO x402_draws (id, draw, due) VALUES ($1, $2, $3)";
        client.execute(insert, &[&id, &convert::bytes(draw), &due]).await.unwrap();
    }
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn old_tables_are_converted_once_by_those_who_connect_at_once() {
    let url = old_url().await;
    let connected = super::credit::race(6, |_| {
        let url = url.clone();
        async move { PostgresLedger::connect(&url).await.unwrap() }
    })
    .await;
    convert::nothing_is_lost(&connected[0]).await;
    let format = client(&url).await.query_one("SELECT format FROM x402_ledger", &[]).await;
    assert_eq!(format.unwrap().get::<_, i64>(0), 4);
    let filled = entry(&connected[5], connected[0].ids().await.unwrap()[0]).await;
    drop(PostgresLedger::connect(&url).await.unwrap());
    let again = entry(&connected[5], filled.id()).await;
    assert_eq!(format!("{again:?}"), format!("{filled:?}"));
}

/// As many as a shop has had in a few days: more than are read at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_old_rows_are_converted_all() {
    let url = old_url().await;
    let client = client(&url).await;
    let (settled, bytes) =
        convert::entries().into_iter().find(|row| row.0.settlement.is_some()).unwrap();
    for number in 0..350_u64 {
        // The same payment but for its nonce, whose bytes the entry has too.
        let mut entry = bytes.clone();
        let at = 2 + 188;
        assert_eq!(entry[at..][..8], settled.payment.to_bytes()[188..196]);
        entry[at..][..8].copy_from_slice(&(number + 1_000).to_be_bytes());
        let decoded = crate::ledger::encoding::decode(&entry).unwrap();
        let id = decoded.id().to_bytes().to_vec();
        let insert = "INSERT INTO x402_entries (id, entry, open, due) VALUES ($1, $2, false, $3)";
        let due = i64::try_from(decoded.keep_until()).unwrap();
        client.execute(insert, &[&id, &entry, &due]).await.unwrap();
    }
    let ledger = PostgresLedger::connect(&url).await.unwrap();
    let settlement = settled.settlement.unwrap();
    let paid = ledger.paid_by(settled.payment.chain_id(), settlement.transaction).await.unwrap();
    assert!(paid.len() >= 351, "{}", paid.len());
}

#[tokio::test]
async fn old_tables_are_converted_by_who_made_them_and_then_used_by_all() {
    let url = old_url().await;
    let name = url.rsplit("%3D").next().unwrap();
    let role = format!("role_{name}");
    let grants = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {name} TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role}"
    );
    client(&url).await.batch_execute(&grants).await.unwrap();
    let (_, rest) = url.split_once('@').unwrap();
    let as_role = format!("postgres://{role}@{rest}");
    let error = PostgresLedger::connect(&as_role).await.unwrap_err();
    assert_storage(&error);
    let text = error.to_string();
    assert!(text.contains("format 3") && text.contains("who has made its tables"), "{text}");
    drop(PostgresLedger::connect(&url).await.unwrap());
    convert::nothing_is_lost(&PostgresLedger::connect(&as_role).await.unwrap()).await;
}

/// The two have connections of their own, as two processes do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_processes_that_race_for_a_log_in_postgres_one_wins() {
    let (ledger, url) = new_ledger().await;
    let other = PostgresLedger::connect(&url).await.unwrap();
    super::logs::of_two_processes_that_race_one_wins([Arc::new(ledger), Arc::new(other)]).await;
}

#[tokio::test]
async fn whole_transactions_in_postgres() {
    let (ledger, url) = new_ledger().await;
    let mark = |id: x402_core::PaymentId| {
        let (ledger, url) = (&ledger, &url);
        async move {
            let settlement = entry(ledger, id).await.settlement.unwrap();
            let name = [&id.to_bytes()[..8], &settlement.transaction.0].concat();
            let insert = "INSERT INTO x402_logs (transaction, slot, id, until, unfinal)
                          VALUES ($1, $2, $2, $3, false)";
            let until = entry(ledger, id).await.keep_until() + crate::ledger::LOG_KEEP_SECONDS;
            let until = i64::try_from(until).unwrap();
            let id = id.to_bytes().to_vec();
            client(url).await.execute(insert, &[&name, &id, &until]).await.unwrap();
        }
    };
    super::logs::whole_transactions_are_used_until_their_logs_are_known(&ledger, mark).await;
}
