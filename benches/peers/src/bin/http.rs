//! Answers of 402, and of a free route, beside plain hyper and axum, x402-axum and @x402/express: each
//! server on a thread, or in a process, of its own, asked over 32 connections by another.
//!
//! What counts is how long a server was on the processor for a request: on a shared machine requests per
//! second say little.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, sync::mpsc, thread};

use axum::{Router, routing::get};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tower_layer::Layer as _;
use x402_axum::X402Middleware;
use x402_chain_eip155::{KnownNetworkEip155 as _, V2Eip155Exact};
use x402_core::{Address, Amount, Asset, ChainId, Offer};
use x402_hyper::server::{PaymentLayer, Quote};
use x402_std::Seller;
use x402_std::ledger::MemoryLedger;
use x402_std::seller::SellerOptions;
use x402_types::networks::USDC;

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(700);
const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

type Answer = Result<Response<Full<Bytes>>, Infallible>;

async fn goods<B>(_: Request<B>) -> Answer {
    Ok(Response::new(Full::from("the goods")))
}

/// A server on a thread of its own, or in a process.
struct Server {
    name: &'static str,
    path: &'static str,
    status: u16,
    address: SocketAddr,
    /// Where the kernel says how long each thread was on a processor.
    schedule: PathBuf,
    process: Option<Child>,
    /// The least nanoseconds for a request, and the most requests per second.
    best: (f64, f64),
}

impl Server {
    fn start<F: Future<Output = ()>>(
        (name, path, status): (&'static str, &'static str, u16),
        serve: impl FnOnce(TcpListener) -> F + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let thread = fs::read_link("/proc/thread-self").expect("a thread");
                let address = listener.local_addr().expect("an address");
                sender.send((address, Path::new("/proc").join(thread))).expect("heard");
                serve(listener).await;
            });
        });
        let (address, thread) = receiver.recv().expect("a server");
        Self { name, path, status, address, schedule: thread, process: None, best: (f64::MAX, 0.0) }
    }

    /// The seller of tests/interop, if what it needs is installed.
    fn express(facilitator: &str) -> Option<Self> {
        let interop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
        if !interop.join("node_modules/@x402/express").exists() {
            eprintln!("@x402/express is not installed: tests/run interop installs it");
            return None;
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.expect("a port");
        let mut process = Command::new("node")
            .arg(interop.join("sellers/express.mjs"))
            .env("PORT", address.port().to_string())
            .env("FACILITATOR_URL", facilitator)
            .env("NETWORK", "eip155:84532")
            .env("PAY_TO", PAY_TO)
            .env("ASSET", "0x036CbD53842c5426634e7929541eC2318f3dCF7e")
            .env("AMOUNT", "10000")
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it listens");
        let schedule = PathBuf::from(format!("/proc/{}/task", process.id()));
        let (name, path, status) = ("402 by @x402/express", "/paid", 402);
        let (process, best) = (Some(process), (f64::MAX, 0.0));
        Some(Self { name, path, status, address, schedule, process, best })
    }

    /// How long it was on a processor, in nanoseconds.
    fn busy(&self) -> u64 {
        let of_thread = |thread: &Path| -> u64 {
            let text = fs::read_to_string(thread.join("schedstat")).expect("a thread");
            text.split(' ').next().and_then(|number| number.parse().ok()).expect("nanoseconds")
        };
        if self.process.is_none() {
            return of_thread(&self.schedule);
        }
        let threads = fs::read_dir(&self.schedule).expect("a process");
        threads.map(|thread| of_thread(&thread.expect("a thread").path())).sum()
    }

    /// Asks for a while.
    async fn ask(&mut self) {
        let (count, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let (count, is_over) = (Arc::clone(&count), Arc::clone(&is_over));
            let (address, path, status) = (self.address, self.path, self.status);
            connections.push(tokio::spawn(async move {
                let stream = TcpStream::connect(address).await.expect("a connection");
                let (mut sender, connection) =
                    client::handshake(TokioIo::new(stream)).await.expect("HTTP");
                tokio::spawn(connection);
                while !is_over.load(Ordering::Relaxed) {
                    let request = Request::get(path).header("host", "api.example.com");
                    let request = request.body(Empty::<Bytes>::new()).expect("a request");
                    let answer = sender.send_request(request).await.expect("an answer");
                    assert_eq!(answer.status(), status);
                    answer.into_body().collect().await.expect("a body");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        let (busy, start) = (self.busy(), Instant::now());
        tokio::time::sleep(ROUND).await;
        let asked = count.load(Ordering::Relaxed) as f64;
        let (busy, time) = ((self.busy() - busy) as f64, start.elapsed().as_secs_f64());
        is_over.store(true, Ordering::Relaxed);
        for connection in connections {
            connection.await.expect("it ends");
        }
        self.best = (self.best.0.min(busy / asked), self.best.1.max(asked / time));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Serves as plain hyper does, a task for each connection: whatever the service's types are.
macro_rules! serve {
    ($listener:expr, $service:expr) => {
        loop {
            let (stream, _) = $listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), $service);
            // Whoever has asked enough hangs up.
            tokio::spawn(async move { drop(connection.await) });
        }
    };
}

/// The layer, with one route that is free and one that costs a cent.
fn layer() -> PaymentLayer {
    let seller =
        Seller::with_rails(Arc::new(MemoryLedger::new()), Vec::new(), SellerOptions::default());
    let usdc = *Asset::find(ChainId::BASE_SEPOLIA, "USDC").expect("USDC");
    let pay_to = Address::parse(PAY_TO).expect("an address");
    let cent = Offer::new(usdc, pay_to, Amount::from_units(10_000), 60);
    PaymentLayer::new(
        seller,
        move |request: &hyper::http::request::Parts| {
            if request.uri.path() == "/paid" { cent.into() } else { Quote::Free }
        },
    )
}

/// What x402-axum asks its facilitator for.
async fn supported(_: Request<hyper::body::Incoming>) -> Answer {
    let kinds = r#"{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:84532"}],"extensions":[],"signers":{}}"#;
    Ok(Response::builder()
        .header("content-type", "application/json")
        .body(Full::from(kinds))
        .expect("an answer"))
}

fn servers() -> Vec<Server> {
    let facilitator = Server::start(("facilitator", "/supported", 200), |listener| async move {
        serve!(listener, service_fn(supported))
    });
    let url = format!("http://{}", facilitator.address);
    let express = Server::express(&url);
    let paid = |listener: TcpListener| async move {
        let service = layer().layer(service_fn(goods));
        serve!(listener, service.clone())
    };
    let free = |listener: TcpListener| async move {
        let service = layer().layer(service_fn(goods));
        serve!(listener, service.clone())
    };
    let servers = [
        Server::start(("plain hyper", "/", 200), |listener| async move {
            serve!(listener, service_fn(goods))
        }),
        Server::start(("a free route through PaymentLayer", "/", 200), free),
        Server::start(("402 by PaymentLayer", "/paid", 402), paid),
        Server::start(("plain axum", "/", 200), |listener| async move {
            let router = Router::new().route("/", get(async || "the goods"));
            axum::serve(listener, router).await.expect("served");
        }),
        Server::start(("402 by x402-axum", "/paid", 402), move |listener| async move {
            let middleware = X402Middleware::try_new(&url).expect("a URL");
            let pay_to: alloy_primitives::Address = PAY_TO.parse().expect("an address");
            let price = V2Eip155Exact::price_tag(pay_to, USDC::base_sepolia().amount(10_000_u64));
            let goods = get(async || "the goods").layer(middleware.with_price_tag(price));
            axum::serve(listener, Router::new().route("/paid", goods)).await.expect("served");
        }),
    ];
    servers.into_iter().chain(express).collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut servers = servers();
    for _ in 0..ROUNDS {
        for server in &mut servers {
            server.ask().await;
        }
    }
    let (time, rate) = servers[0].best;
    let mut table = String::from(
        "| over HTTP, 32 connections | time | requests per second |\n|---|---:|---:|\n",
    );
    for Server { name, best, .. } in &servers {
        let row = format!("| {name} | {:.2} | {:.2} |\n", best.0 / time, best.1 / rate);
        table.push_str(&row);
    }
    print!("{table}");
    // The table of benches shows it.
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/answers.md");
    fs::write(results, table).expect("written");
    eprintln!("plain hyper: {time:.0} ns, {rate:.0} requests per second");
}
