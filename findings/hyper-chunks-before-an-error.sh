#!/usr/bin/env bash
# hyper 1.12.0, HTTP/1.1 server: what a response body hands over in the same turn as its error never reaches the
# client, nor does the head. The connection is dropped with what was buffered; where the body waits for one turn
# before the error, all of it is written.
#
# Who it touches: whoever meters a stream (tokens, bytes) as it passes through a proxy and charges what has
# passed: when the upstream breaks right behind its last chunks, they are counted, charged, and not had.
#
# Seen on 2026-11-30 with hyper 1.12.0, hyper-util 0.1.21, tokio 1.54.1 on Linux (amd64), Rust 1.95. Fails if it
# is otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml << 'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
bytes = "=1.12.2"
http-body = "1"
hyper = { version = "=1.12.0", features = ["http1", "server"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "rt"] }
TOML
cat > src/main.rs << 'RUST'
use std::{convert::Infallible, io, pin::Pin, task::{Context, Poll}};
use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::{Request, Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Two chunks, and then an error: at once, or a turn later.
struct Breaks { waits: bool, given: u8 }

impl Body for Breaks {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>)
        -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.given += 1;
        match self.given {
            1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"first"))))),
            2 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"last"))))),
            3 if self.waits => { cx.waker().wake_by_ref(); Poll::Pending }
            _ => Poll::Ready(Some(Err(io::Error::other("upstream is gone")))),
        }
    }
}

async fn had(waits: bool) -> String {
    let (mut client, server) = tokio::io::duplex(4096);
    let answer = service_fn(move |_: Request<hyper::body::Incoming>| async move {
        Ok::<_, Infallible>(Response::new(Breaks { waits, given: 0 }))
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(server), answer);
    let asking = async move {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut text = String::new();
        let _ = client.read_to_string(&mut text).await;
        text
    };
    let (_, text) = tokio::join!(serving, asking);
    let chunks = ["first", "last"].into_iter().filter(|chunk| text.contains(chunk));
    chunks.collect::<Vec<_>>().join(" ")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("at once: [{}]", had(false).await);
    println!("a turn later: [{}]", had(true).await);
}
RUST
seen=$(cargo run --quiet)
echo "$seen"
expected=$'at once: []\na turn later: [first last]'
[[ $seen == "$expected" ]] || { echo "expected: $expected; it is otherwise now" >&2; exit 1; }
