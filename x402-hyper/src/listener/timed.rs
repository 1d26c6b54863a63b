//! Time limits on peers that send, or read, too slowly.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::BoxError;
use super::seats::{Seat, Seated};

/// How slow a body may be: so many bytes in so much time of waiting for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

pin_project! {
    /// A body that fails when it comes too slowly, or is too long. Only the time counts that is spent waiting
    /// for it, so that a slow reader is not taken for a slow sender.
    pub struct Timed<B> {
        #[pin]
        body: B,
        pace: Pace,
        // How much more may come, in bytes.
        left: u64,
        waiting: Waiting,
        mark: Mark,
        // The place that the work takes, whether its client is there or not.
        held: Option<Seat>,
        // How much has come, and how long was waited for it, since the last time it was enough.
        bytes: usize,
        waited: Duration,
    }
}

/// A body came too slowly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooSlow;

/// A body is longer than it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLong;

/// Shows who may need the connection's place that it is waited for the body of a request.
#[derive(Default)]
struct Mark {
    seat: Option<Seat>,
    is_set: bool,
}

impl Mark {
    /// It is waited for, and was for so long since it last came fast enough: who sends a byte now and then
    /// has nobody wait for less.
    fn set(&mut self, waited: Duration) {
        if let Some(seat) = self.seat.as_ref().filter(|_| !self.is_set) {
            self.is_set = true;
            seat.seated().wait_for_body(Instant::now().checked_sub(waited));
        }
    }

    fn unset(&mut self) {
        if let Some(seat) = self.seat.as_ref().filter(|_| self.is_set) {
            self.is_set = false;
            seat.seated().wait_for_body(None);
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.unset();
    }
}

impl Pace {
    /// That of a request's body.
    pub(crate) const fn of_body(time: Duration) -> Self {
        Self { bytes: 1 << 10, time }
    }
}

/// A body broke off, or is in no form that there is.
#[derive(Debug)]
pub(crate) struct BrokenOff(BoxError);

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
    /// The body of an answer, which takes that place until it ends.
    #[cfg(feature = "gateway")]
    pub(crate) fn new(body: B, pace: Pace, held: Option<Seat>) -> Self {
        Self::with(body, pace, Mark::default(), held)
    }

    pub(super) const fn of_request(body: B, pace: Pace, seat: Seat) -> Self {
        Self::with(body, pace, Mark { seat: Some(seat), is_set: false }, None)
    }

    /// The same body, at this pace, and no longer than so many bytes.
    #[cfg(feature = "gateway")]
    pub(crate) fn within(self, pace: Pace, limit: Option<u64>) -> Self {
        Self { pace, left: limit.unwrap_or(u64::MAX), ..self }
    }

    const fn with(body: B, pace: Pace, mark: Mark, held: Option<Seat>) -> Self {
        let (waiting, waited) = (Waiting(None), Duration::ZERO);
        Self { body, pace, left: u64::MAX, waiting, mark, held, bytes: 0, waited }
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
            this.mark.set(*this.waited);
            let patience = this.pace.time.saturating_sub(*this.waited);
            ready!(this.waiting.poll(patience, cx));
            return Poll::Ready(Some(Err(TooSlow.into())));
        };
        this.mark.unset();
        *this.waited += this.waiting.end();
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            *this.bytes += data.remaining();
            let come = u64::try_from(data.remaining()).unwrap_or(u64::MAX);
            let Some(left) = this.left.checked_sub(come) else {
                return Poll::Ready(Some(Err(TooLong.into())));
            };
            *this.left = left;
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

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is too long")
    }
}

impl core::error::Error for TooLong {}

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
        seated: Arc<Seated>,
    }
}

impl<I> TimedIo<I> {
    pub(super) const fn new(io: I, patience: Duration, seated: Arc<Seated>) -> Self {
        Self { io, patience, waiting: Waiting(None), seated }
    }
}

/// The outcome of writing so many bytes, which who may need the place is shown.
fn written(
    outcome: Poll<io::Result<usize>>,
    waiting: &mut Waiting,
    patience: Duration,
    seated: &Seated,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if outcome.is_pending() != waiting.0.is_some() {
        seated.wait_for_reader(outcome.is_pending());
    }
    if let Poll::Ready(Ok(bytes)) = &outcome {
        seated.write(*bytes);
    }
    bounded(outcome, waiting, patience, cx)
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
        let outcome = this.io.poll_write(cx, buf);
        written(outcome, this.waiting, *this.patience, this.seated, cx)
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
        let outcome = this.io.poll_write_vectored(cx, bufs);
        written(outcome, this.waiting, *this.patience, this.seated, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
