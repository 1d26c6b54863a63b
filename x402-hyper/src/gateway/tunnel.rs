//! Connections of another protocol, passed through for as long as was paid for: WebSockets, mostly.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::frames::Frames;

/// How long both sides may take to begin.
const BEGIN_TIME: Duration = Duration::from_secs(10);
/// How long what is on its way to a client may take, once that sends nothing more, or its time is over.
const LINGER: Duration = Duration::from_secs(5);

/// A close frame of a WebSocket ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)): the
/// time is over. Codes from 4000 on are for private use.
const TIME_IS_OVER: &[u8] = b"\x88\x12\x11\x32payment required";
/// The server goes away (1001).
const GOING_AWAY: &[u8] = b"\x88\x02\x03\xe9";

/// A connection through the gateway.
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) upstream: OnUpgrade,
    pub(super) end: Instant,
    pub(super) is_websocket: bool,
    /// Tells when the gateway ends.
    pub(super) stop: watch::Receiver<bool>,
}

/// The body of the answer that begins a tunnel: nothing, until the tunnel ends.
pub(super) struct Tunnelled(oneshot::Receiver<()>);

impl Tunnel {
    /// Begins to pass on; the body ends with it. `held` is let go of then.
    pub(super) fn open(self, held: impl Send + 'static) -> Tunnelled {
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            if let Err(error) = self.run().await {
                tracing::debug!(%error, "a tunnel ended");
            }
            drop(held);
            // Nobody need be there who waits for it.
            let _ = end.send(());
        });
        Tunnelled(ended)
    }

    async fn run(self) -> io::Result<()> {
        let Self { client, upstream, end, is_websocket, stop } = self;
        let both = async { tokio::try_join!(client, upstream).map_err(io::Error::other) };
        let (client, upstream) = timeout(BEGIN_TIME, both).await??;
        let (mut from_client, to_client) = tokio::io::split(TokioIo::new(client));
        let (from_upstream, mut to_upstream) = tokio::io::split(TokioIo::new(upstream));
        let up = async {
            tokio::io::copy(&mut from_client, &mut to_upstream).await?;
            to_upstream.shutdown().await
        };
        let frames = is_websocket.then(Frames::default);
        let down = Down { from: from_upstream, to: to_client, frames, end, stop };
        let mut down = core::pin::pin!(down.run());
        tokio::select! {
            biased;
            ended = &mut down => ended,
            sent = up => {
                // The client is gone, or has said all: nobody pays for more.
                let _ = timeout(LINGER, down).await;
                sent
            }
        }
    }
}

/// The way to the client.
struct Down<R, W> {
    from: R,
    to: W,
    /// Where the frames end, if it is known what they are.
    frames: Option<Frames>,
    end: Instant,
    stop: watch::Receiver<bool>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Down<R, W> {
    async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        let last = loop {
            let stopped = async { drop(self.stop.wait_for(|stop| *stop).await) };
            let read = tokio::select! {
                biased;
                () = sleep_until(self.end) => break TIME_IS_OVER,
                () = stopped => break GOING_AWAY,
                read = self.from.read(&mut buffer) => read?,
            };
            let Some(data) = buffer.get(..read).filter(|data| !data.is_empty()) else {
                return self.to.shutdown().await;
            };
            if let Some(frames) = &mut self.frames {
                frames.pass(data);
            }
            self.to.write_all(data).await?;
        };
        timeout(LINGER, self.close(&mut buffer, last)).await?
    }

    /// Lets the frame that is under way come to its end, and says why there is no other.
    async fn close(&mut self, buffer: &mut [u8], last: &[u8]) -> io::Result<()> {
        if let Some(mut frames) = self.frames.take() {
            while !frames.is_between() {
                let read = self.from.read(buffer).await?;
                let data = buffer.get(..read).unwrap_or_default();
                if data.is_empty() {
                    return self.to.shutdown().await;
                }
                let rest = frames.pass_one(data);
                self.to.write_all(data.get(..data.len() - rest.len()).unwrap_or_default()).await?;
            }
            self.to.write_all(last).await?;
        }
        self.to.shutdown().await
    }
}

impl Body for Tunnelled {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.0).poll(cx).map(|_| None)
    }
}

/// Whether a head asks for another protocol, or agrees to it. An offer of HTTP/2 can be passed over in
/// silence.
pub(super) fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut offers = headers.get_all(UPGRADE).iter();
    offers.find(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c")).cloned()
}

/// Puts the fields into a head by which a tunnel begins.
pub(super) fn ask(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

pub(super) fn is_websocket(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}
