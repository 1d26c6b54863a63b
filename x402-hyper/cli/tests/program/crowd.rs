//! What many bad clients can do to the good ones: crowds of ours against the program, on this machine only.
//!
//! `X402_LONG=1` has them as large as they were seen, and wants what is promised: nine and ninety of a hundred
//! within a second, once the crowd is there, and less than 100 MB of memory (what is not optimised has 20 more: the
//! program alone is larger by so much). Else they are small, and nobody waits as long as a crowd was once able to
//! have him wait.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use x402_hyper::listener::raise_descriptors;

use crate::process::Running;
use crate::seller::{Chain, SETTLER_KEY, payment};

/// How large a crowd is, and how it is met.
struct Size {
    crowd: usize,
    connections: usize,
    descriptors: usize,
    /// How long it takes until the crowd is there.
    gathering: Duration,
    /// How long good clients come then.
    time: Duration,
    /// How long 99 of 100 of them wait at most.
    most: Duration,
}

fn size(crowd: usize, small: Size) -> Size {
    match std::env::var_os("X402_LONG") {
        Some(_) => Size {
            crowd,
            connections: 1024,
            gathering: Duration::from_secs(3),
            time: Duration::from_secs(15),
            most: Duration::from_secs(1),
            descriptors: if small.descriptors == 0 { 0 } else { 1024 },
        },
        None => small,
    }
}

const fn small(crowd: usize, connections: usize, descriptors: usize) -> Size {
    let (time, most) = (Duration::from_secs(2), Duration::from_secs(3));
    let gathering = Duration::from_secs(1);
    Size { crowd, connections, descriptors, gathering, time, most }
}

/// A service of the program, and what is behind it.
struct Place {
    program: Running,
    address: SocketAddr,
    _chain: Chain,
    _folder: tempfile::TempDir,
}

/// What became of the good clients.
struct Met {
    waits: Vec<Duration>,
    /// In KiB, the most that was seen.
    memory: u64,
    /// Of those who paid, how many there were, and how many were not served.
    paid: (usize, usize),
}

/// A server that answers everything at once, and `/static/long` at length, as fast as it is read.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) -> Option<()> {
    const LONG: usize = 32 << 20;
    let mut text = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            (stream.read_buf(&mut text).await.ok()? > 0).then_some(())?;
        };
        let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
        text.drain(..end);
        if head.contains("transfer-encoding: chunked") {
            // Read and forgotten.
            while !text.ends_with(b"0\r\n\r\n") {
                text.drain(..text.len().saturating_sub(5));
                (stream.read_buf(&mut text).await.ok()? > 0).then_some(())?;
            }
            text.clear();
        }
        if !head.starts_with("get /static/long") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved").await.ok()?;
            continue;
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let part = [b'a'; 16 << 10];
        for _ in 0..LONG / part.len() {
            stream.write_all(&part).await.ok()?;
        }
    }
}

impl Place {
    fn gateway(size: &Size, upstream: SocketAddr) -> Self {
        let (chain, folder) = (Chain::start(), tempfile::tempdir().unwrap());
        let path = crate::seller::config(folder.path(), chain.address, upstream);
        let text = std::fs::read_to_string(&path).unwrap();
        let text = format!(
            "connections: {}\n{text}  - {{path: /static/*, pricing: free}}\n",
            size.connections
        );
        std::fs::write(&path, text).unwrap();
        Self::start("serve", &path, size.descriptors, chain, folder)
    }

    fn facilitator(size: &Size) -> Self {
        let (chain, folder) = (Chain::start(), tempfile::tempdir().unwrap());
        let path = folder.path().join("facilitator.yaml");
        let key = folder.path().join("settler.key");
        std::fs::write(&key, SETTLER_KEY).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let text = format!(
            "listen: 127.0.0.1:0\nledger: ./facilitator.redb\nconnections: {}\nchains:\n  - \
             {{network: ethereum, rpc: 'http://{}', key_file: ./settler.key, assets: [USDC]}}\n",
            size.connections, chain.address
        );
        std::fs::write(&path, text).unwrap();
        Self::start("facilitator", &path, size.descriptors, chain, folder)
    }

    fn start(
        command: &str,
        config: &Path,
        descriptors: usize,
        chain: Chain,
        folder: tempfile::TempDir,
    ) -> Self {
        let args = [command, "--config", config.to_str().unwrap()];
        let env = [("X402_KEY", SETTLER_KEY)];
        let mut program = match descriptors {
            0 => Running::start(&args, &env),
            most => Running::start_within(most, &args, &env),
        };
        let line = program.line("listening on http://");
        let address = line.split(['/', ',']).nth(2).unwrap().parse().unwrap();
        Self { program, address, _chain: chain, _folder: folder }
    }

    /// What it has of memory now, in KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    }

    /// Has good clients come, ten in a second, and as many who pay, if any.
    async fn meet(&self, size: &Size, free: &str, pays: bool) -> Met {
        let (begin, address) = (Instant::now(), self.address);
        let (mut clients, mut memory, mut number) = (JoinSet::new(), 0, 0);
        while begin.elapsed() < size.time {
            let get = format!("GET {free} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            clients.spawn(async move { (false, ask(address, &get).await) });
            if pays {
                number += 1;
                let post = format!(
                    "POST /api/analyze HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n{}\r\n{{}}",
                    payment(number)
                );
                clients.spawn(async move { (true, ask(address, &post).await) });
            }
            sleep(Duration::from_millis(100)).await;
            memory = memory.max(self.memory());
        }
        let mut met = Met { waits: Vec::new(), memory, paid: (0, 0) };
        while let Some(client) = clients.join_next().await {
            let (is_paid, (waited, is_served)) = client.unwrap();
            if is_paid {
                met.paid.0 += 1;
                met.paid.1 += usize::from(!is_served);
            } else {
                met.waits.push(if is_served { waited } else { Duration::MAX });
            }
        }
        met.waits.sort_unstable();
        met
    }
}

/// Asks once: how long it took, and whether it was answered with 200.
async fn ask(address: SocketAddr, request: &str) -> (Duration, bool) {
    let begin = Instant::now();
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        answer.starts_with(b"HTTP/1.1 200").then_some(())
    };
    let asked = timeout(Duration::from_secs(40), asked).await;
    (begin.elapsed(), matches!(asked, Ok(Some(()))))
}

impl Met {
    #[track_caller]
    fn check(&self, size: &Size, what: &str) {
        let wait = self.waits[(self.waits.len() * 99).div_ceil(100) - 1];
        let (paid, unserved) = self.paid;
        println!(
            "{what}: {} asked, 99 of 100 within {wait:?}, {paid} paid, {unserved} of them not served, {} KiB",
            self.waits.len(),
            self.memory
        );
        assert_eq!(unserved, 0, "{what}: of {paid} who paid");
        assert!(wait < size.most, "{what}: {:?}", self.waits);
        let most = if cfg!(debug_assertions) { 120_000 } else { 100_000 };
        assert!(self.memory < most, "{what}: {} KiB", self.memory);
    }
}

/// So many bad clients, each a task, which ends with the set.
fn crowd<F: Future<Output = ()> + Send + 'static>(
    size: &Size,
    client: impl Fn(usize) -> F,
) -> JoinSet<()> {
    (0..size.crowd).map(client).collect()
}

fn runtime() -> Runtime {
    let _ = raise_descriptors();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Sends a body, letter by letter, that the server behind is waiting for; and does so again.
async fn drip(address: SocketAddr) {
    loop {
        let dripped = async {
            let mut stream = TcpStream::connect(address).await?;
            let head = "POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            loop {
                sleep(Duration::from_millis(900)).await;
                stream.write_all(b"1\r\na\r\n").await?;
            }
            #[allow(unreachable_code, reason = "it says which error there is")]
            Ok::<_, std::io::Error>(())
        };
        drop(dripped.await);
        sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn slow_clients_take_no_descriptor_from_who_pays() {
    let size = size(1_000, small(150, 1024, 128));
    runtime().block_on(async {
        let place = Place::gateway(&size, upstream().await);
        let address = place.address;
        let _crowd = crowd(&size, |_| drip(address));
        sleep(size.gathering).await;
        place.meet(&size, "/health", true).await.check(&size, "slow clients");
    });
}

#[test]
fn silent_clients_that_come_again_hold_nobody_up() {
    let size = size(2_000, small(250, 100, 0));
    runtime().block_on(async {
        let place = Place::gateway(&size, upstream().await);
        let address = place.address;
        let _crowd = crowd(&size, |_| async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(address).await {
                    drop(stream.read(&mut [0; 1]).await);
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        sleep(size.gathering).await;
        place.meet(&size, "/health", true).await.check(&size, "silent clients");
    });
}

#[test]
fn clients_that_do_not_read_cost_little() {
    let size = size(1_000, small(100, 1024, 0));
    runtime().block_on(async {
        let place = Place::gateway(&size, upstream().await);
        let address = place.address;
        let _crowd = crowd(&size, |_| async move {
            let socket = TcpSocket::new_v4().unwrap();
            // What the kernel holds for it is no matter here.
            socket.set_recv_buffer_size(8 << 10).unwrap();
            if let Ok(mut stream) = socket.connect(address).await {
                let get = "GET /static/long HTTP/1.1\r\nHost: a\r\n\r\n";
                drop(stream.write_all(get.as_bytes()).await);
                sleep(Duration::from_secs(60)).await;
            }
        });
        sleep(size.gathering).await;
        place.meet(&size, "/health", true).await.check(&size, "clients that do not read");
    });
}

#[test]
fn bodies_that_never_come_do_not_hold_the_facilitator() {
    let size = size(1_100, small(150, 100, 0));
    runtime().block_on(async {
        let place = Place::facilitator(&size);
        let address = place.address;
        let _crowd = crowd(&size, |_| async move {
            let head = "POST /verify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                        Content-Length: 1000\r\n\r\n{";
            loop {
                if let Ok(mut stream) = TcpStream::connect(address).await {
                    drop(stream.write_all(head.as_bytes()).await);
                    drop(stream.read(&mut [0; 1]).await);
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        sleep(size.gathering).await;
        place.meet(&size, "/healthz", false).await.check(&size, "bodies that never come");
    });
}
