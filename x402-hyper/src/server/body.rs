use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::mpsc;

use super::BoxError;
use super::gauge::Until;

pin_project! {
    /// The body of an answer of a [`PaymentService`](super::PaymentService).
    ///
    /// That of a free request is the inner service's, passed through.
    pub struct PaymentBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Own { data: Bytes },
        Passed { #[pin] body: Until<B> },
        Relayed { relay: Relay },
    }
}

/// One piece of an answer on its way from the task that makes it.
#[derive(Debug)]
pub(super) enum Piece {
    End,
    Failed(BoxError),
    Frame(Frame<Bytes>),
}

/// The end of an answer that is made in another task.
struct Relay {
    pieces: mpsc::Receiver<Piece>,
    /// How much is still to come.
    left: SizeHint,
    /// What is told next: a server drops what it has not written yet when it hears of a failure, and
    /// what was handed over is charged.
    failure: Option<BoxError>,
    is_over: bool,
}

/// The task that made the answer ended before the answer did.
#[derive(Clone, Copy, Debug)]
struct CutOff;

impl<B> PaymentBody<B> {
    pub(super) const fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(super) const fn passed(body: Until<B>) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    pub(crate) const fn own(data: Bytes) -> Self {
        Self { kind: Kind::Own { data } }
    }

    pub(super) fn relayed(pieces: mpsc::Receiver<Piece>, left: SizeHint) -> Self {
        Self {
            kind: Kind::Relayed { relay: Relay { pieces, left, failure: None, is_over: false } },
        }
    }
}

impl<B> fmt::Debug for PaymentBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentBody").finish_non_exhaustive()
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for PaymentBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            KindProj::Own { data } => {
                let data = core::mem::take(data);
                Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
            }
            KindProj::Passed { body } => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            KindProj::Relayed { relay } => relay.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Own { data } => data.is_empty(),
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Relayed { relay } => relay.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { data } => SizeHint::with_exact(length(data)),
            Kind::Passed { body } => body.size_hint(),
            Kind::Relayed { relay } => relay.left,
        }
    }
}

impl Relay {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(error) = self.failure.take() {
            self.is_over = true;
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Frame(frame)) => {
                self.count(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Piece::End) => {
                self.is_over = true;
                Poll::Ready(None)
            }
            Some(Piece::Failed(error)) => self.fail(error, cx),
            None => self.fail(CutOff.into(), cx),
        }
    }

    /// Lets the server write what it has, and fails at the next call.
    fn fail<T>(&mut self, error: BoxError, cx: &Context<'_>) -> Poll<T> {
        self.failure = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn count(&mut self, frame: &Frame<Bytes>) {
        let Some(data) = frame.data_ref() else { return };
        if let Some(exact) = self.left.exact() {
            self.left = SizeHint::with_exact(exact.saturating_sub(length(data)));
        }
    }
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer was cut off")
    }
}

impl core::error::Error for CutOff {}

fn length(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}
