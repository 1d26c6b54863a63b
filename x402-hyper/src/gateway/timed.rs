//! Time limits on peers that send, or read, too slowly.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::server::BoxError;

/// How slow a body may be: so many bytes in so much time of waiting for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

pin_project! {
    /// A body that fails when it comes too slowly. Only the time counts that is spent waiting for
    /// it, so that a slow reader is not taken for a slow sender.
    pub struct Timed<B> {
        #[pin]
        body: B,
        pace: Pace,
        waiting: Waiting,
        // How much has come, and how long was waited for it, since the last time it was enough.
        bytes: usize,
        waited: Duration,
    }
}

/// A body came too slowly.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooSlow;

/// A body broke off, or is in no form that there is.
#[derive(Debug)]
pub(super) struct BrokenOff(BoxError);

/// A wait, and the end of patience.
#[derive(Default)]
struct Waiting(Option<(Instant, Pin<Box<Sleep>>)>);

impl Waiting {
    /// Ready when the wait, which may begin here, has taken too long.
    fn poll(&mut self, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let begin = || {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + patience)))
        };
        self.0.get_or_insert_with(begin).1.as_mut().poll(cx)
    }

    /// Ends the wait and returns how long it was.
    fn end(&mut self) -> Duration {
        self.0.take().map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }
}

impl<B> Timed<B> {
    pub(super) fn new(body: B, pace: Pace) -> Self {
        let (waiting, waited) = (Waiting::default(), Duration::ZERO);
        Self { body, pace, waiting, bytes: 0, waited }
    }
}

impl<B> fmt::Debug for Timed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for Timed<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let Poll::Ready(frame) = this.body.poll_frame(cx) else {
            let patience = this.pace.time.saturating_sub(*this.waited);
            ready!(this.waiting.poll(patience, cx));
            return Poll::Ready(Some(Err(TooSlow.into())));
        };
        *this.waited += this.waiting.end();
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            *this.bytes += data.remaining();
        }
        if *this.bytes >= this.pace.bytes {
            (*this.bytes, *this.waited) = (0, Duration::ZERO);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BrokenOff(error.into()).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body comes too slowly")
    }
}

impl core::error::Error for TooSlow {}

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body broke off")
    }
}

impl core::error::Error for BrokenOff {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&*self.0)
    }
}

pin_project! {
    /// A connection whose writes fail when the peer reads nothing for too long.
    pub(super) struct TimedIo<I> {
        #[pin]
        io: I,
        patience: Duration,
        waiting: Waiting,
    }
}

impl<I> TimedIo<I> {
    pub(super) fn new(io: I, patience: Duration) -> Self {
        Self { io, patience, waiting: Waiting::default() }
    }
}

/// The outcome of a write, or the end of patience with it.
fn bounded<T>(
    written: Poll<io::Result<T>>,
    waiting: &mut Waiting,
    patience: Duration,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    if written.is_pending() {
        return waiting.poll(patience, cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
    }
    waiting.end();
    written
}

impl<I: AsyncRead> AsyncRead for TimedIo<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buf)
    }
}

impl<I: AsyncWrite> AsyncWrite for TimedIo<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        bounded(this.io.poll_write(cx, buf), this.waiting, *this.patience, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        bounded(this.io.poll_flush(cx), this.waiting, *this.patience, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        bounded(this.io.poll_shutdown(cx), this.waiting, *this.patience, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        bounded(this.io.poll_write_vectored(cx, bufs), this.waiting, *this.patience, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
