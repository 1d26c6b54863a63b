use core::time::Duration;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tempfile::TempDir;

use super::credit::{balance, draw, earn, units};
use super::owed::sums_are_those_of_the_entries;
use super::{
    Claiming, DAY, Entry, Ledger, LedgerError, NOW, REQUEST, State, Step, claim_new, payment,
    state, transaction,
};
use crate::ledger::{Draw, DrawId, Drawing, Renewal, Settle};

/// Longer than a server takes to start on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

/// In the URLs of these servers, and in nothing that is shown.
pub(super) const PASSWORD: &str = "CANARY-word";

/// The value of a variable that tests/run sets.
pub(super) fn url_of_tests(name: &str) -> String {
    let missing = |_| panic!("{name} is not set: tests/run starts the server and sets it");
    std::env::var(name).unwrap_or_else(missing)
}

/// A server of one's own, which can be killed and started again on what it wrote.
pub(super) struct Server {
    pub(super) folder: TempDir,
    pub(super) port: u16,
    pub(super) arguments: Vec<String>,
    program: &'static str,
    child: Option<Child>,
}

impl Server {
    pub(super) fn new(program: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { folder, port, arguments: Vec::new(), program, child: None }
    }

    pub(super) fn start(&mut self) {
        let mut command = command(self.program);
        command.args(&self.arguments).current_dir(self.folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(child.spawn().unwrap());
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() && Instant::now() < deadline {
                // The last one's children may still be about.
                std::thread::sleep(Duration::from_millis(200));
                return self.start();
            }
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{} does not start",
                self.program
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The hard way: nothing is written any more.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends it a signal that std has no function for.
    pub(super) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program of PostgreSQL or Redis; as another user where we are root, whom PostgreSQL refuses.
pub(super) fn command(program: &str) -> Command {
    let folder = std::env::var("X402_TEST_POSTGRES_BIN").unwrap_or_default();
    let there = Path::new(&folder).join(program);
    let program = if there.exists() { there } else { program.into() };
    if !is_root() || program.ends_with("redis-server") {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    id(&["-u"]) == 0
}

fn id(arguments: &[&str]) -> u32 {
    let output = Command::new("id").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Gives a path to the user that PostgreSQL runs as.
pub(super) fn give(path: &Path) {
    if is_root() {
        let (user, group) = (id(&["-u", "postgres"]), id(&["-g", "postgres"]));
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}

/// A certificate for `localhost`, and its key, in two files.
pub(super) fn write_certificate(folder: &Path) -> (String, String) {
    use std::os::unix::fs::PermissionsExt as _;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    give(&key);
    (certificate.display().to_string(), key.display().to_string())
}

/// Tries again until it works.
pub(super) async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Result<T, LedgerError>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[track_caller]
pub(super) fn assert_storage(error: &LedgerError) {
    let shown = format!("{error} {error:?}");
    assert!(matches!(error, LedgerError::Storage(_)), "{shown}");
    assert!(!shown.contains("CANARY") && !shown.contains("://"), "{shown}");
}

/// A server that is killed in the middle of everything has what it said it had, once it is back; and
/// the ledger finds it again by itself.
pub(super) async fn a_server_that_is_killed_forgets_nothing(
    server: &mut Server,
    ledger: Arc<dyn Ledger>,
) {
    let first = payment(1);
    claim_new(&*ledger, &first).await;
    ledger.apply(first.id(), Step::Journalled(transaction(1))).await.unwrap();
    earn(&*ledger, 1, 1, units(1_000_000)).await;
    let names = ledger.renew_names(draw(1, 0, 0).account, Renewal::default()).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let draws = tokio::spawn(draw_until(Arc::clone(&stop), Arc::clone(&ledger)));
    let tasks: Vec<_> = (1..=8_u128)
        .map(|task| {
            let (ledger, stop) = (Arc::clone(&ledger), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut taken, mut errors) = (Vec::new(), 0);
                for number in (task << 32).. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let entry = Entry::new(&payment(number), REQUEST, NOW).unwrap();
                    let entry = Entry { settle: Settle::Later, ..entry };
                    match ledger.claim(entry).await {
                        Ok(claiming) => {
                            assert!(matches!(claiming, Claiming::New(_)), "{claiming:?}");
                            taken.push(number);
                        }
                        Err(error) => {
                            assert_storage(&error);
                            errors += 1;
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
                (taken, errors)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(400)).await;
    server.kill();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_storage(&ledger.find(first.id()).await.unwrap_err());
    stop.store(true, Ordering::SeqCst);
    let mut taken = Vec::new();
    for task in tasks {
        let (numbers, errors) = task.await.unwrap();
        assert!(errors > 0, "it was told that the server is gone");
        taken.extend(numbers);
    }
    assert!(taken.len() >= 8, "{}", taken.len());
    let drawn = draws.await.unwrap();
    assert!(!drawn.is_empty());
    server.start();
    let entry = eventually(async || ledger.find(first.id()).await).await.unwrap();
    assert_eq!((entry.state, entry.transaction), (State::Broadcast, Some(transaction(1))));
    for number in taken {
        assert_eq!(state(&*ledger, payment(number).id()).await, State::Claimed);
    }
    sums_are_those_of_the_entries(&*ledger).await;
    assert_eq!(ledger.credit_names(draw(1, 0, 0).account).await.unwrap(), names);
    let held = ledger.held_draws().await.unwrap();
    assert!(drawn.iter().all(|id| held.iter().any(|held| held.id == *id)));
    // What it was not said of may be held too; then it is taken as well.
    assert_eq!(balance(&*ledger, 1).await, units(1_000_000 - held.len() as u128));
    let _ = ledger.claim(Entry::new(&payment(2), REQUEST, NOW + DAY).unwrap()).await.unwrap();
}

/// Draws one unit after the other until told to stop; gives those that were said to be held.
async fn draw_until(stop: Arc<AtomicBool>, ledger: Arc<dyn Ledger>) -> Vec<DrawId> {
    let mut drawn = Vec::new();
    for number in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let draw = Draw::new(draw(1, 0, 0).account, nonce, REQUEST, units(1), NOW);
        match ledger.draw(draw.clone()).await {
            Ok(drawing) => {
                assert_eq!(drawing, Drawing::New);
                drawn.push(draw.id);
            }
            Err(error) => {
                assert_storage(&error);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drawn
}

/// An address where somebody takes connections and says nothing.
pub(super) fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// An address where nobody listens.
pub(super) fn nobody() -> u16 {
    silent().1
}
