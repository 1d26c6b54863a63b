use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::{mpsc, oneshot};

use super::answer;
use super::body::{PaymentBody, Piece};
use super::cors::Access;
use super::gauge::Until;
use super::passing::Passing;

pin_project! {
    /// The future of a [`PaymentService`](super::PaymentService)'s answer.
    ///
    /// Dropping that of a paid request stops nothing: the work is done in a task of its own.
    pub struct ResponseFuture<F, B, E> {
        #[pin]
        kind: Kind<F, B, E>,
        // What browsers are told of the answer.
        access: Option<Access>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F, B, E> {
        Free { #[pin] inner: F },
        Own { answer: Option<Response<Bytes>> },
        Paid { answer: Receiver<B, E> },
        Passed { #[pin] inner: F, passing: Passing },
    }
}

/// The head of an answer that a task makes, with where its body comes from.
pub(super) enum Head<B> {
    /// All of it.
    Own(Response<Bytes>),
    /// All of it, as the inner service made it.
    Inner(Response<B>),
    /// As that, until the time is over that was paid for.
    Passed(Response<Until<B>>),
    /// The head; the body follows in pieces, so much of it.
    Relayed(Response<SizeHint>),
}

impl<B> Head<B> {
    /// An answer whose body comes with it. One without its body is broken.
    fn whole(self) -> Response<PaymentBody<B>> {
        match self {
            Self::Own(answer) => answer.map(PaymentBody::own),
            Self::Inner(answer) => answer.map(PaymentBody::inner),
            Self::Passed(answer) => answer.map(PaymentBody::passed),
            Self::Relayed(_) => answer::broken().map(PaymentBody::own),
        }
    }
}

/// Where an answer that a task makes comes in.
pub(super) struct Receiver<B, E> {
    pub(super) head: oneshot::Receiver<Result<Head<B>, E>>,
    /// Taken when the head is there; dropped before, it tells the task that nobody waits.
    pub(super) pieces: Option<mpsc::Receiver<Piece>>,
}

impl<F, B, E> ResponseFuture<F, B, E> {
    pub(super) const fn free(inner: F) -> Self {
        Self { kind: Kind::Free { inner }, access: None }
    }

    pub(super) const fn own(answer: Response<Bytes>) -> Self {
        Self { kind: Kind::Own { answer: Some(answer) }, access: None }
    }

    pub(super) const fn passed(inner: F, passing: Passing) -> Self {
        Self { kind: Kind::Passed { inner, passing }, access: None }
    }

    pub(super) const fn paid(answer: Receiver<B, E>) -> Self {
        Self { kind: Kind::Paid { answer }, access: None }
    }

    /// The same, with that said of the answer, whoever makes it.
    pub(super) fn telling(self, access: Option<Access>) -> Self {
        Self { access, ..self }
    }
}

impl<F, B, E> fmt::Debug for ResponseFuture<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<F: Future<Output = Result<Response<B>, E>>, B: Body<Data = Bytes>, E> Future
    for ResponseFuture<F, B, E>
{
    type Output = Result<Response<PaymentBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(match this.kind.project() {
            KindProj::Free { inner } => {
                inner.poll(cx).map(|answer| Ok(answer?.map(PaymentBody::inner)))
            }
            KindProj::Own { answer } => {
                let answer = answer.take().unwrap_or_else(answer::broken);
                Poll::Ready(Ok(answer.map(PaymentBody::own)))
            }
            KindProj::Paid { answer } => answer.poll(cx),
            KindProj::Passed { inner, passing } => {
                inner.poll(cx).map(|answer| Ok(passing.limit(answer?).whole()))
            }
        })?;
        if let Some(access) = this.access {
            access.tell(answer.headers_mut());
        }
        Poll::Ready(Ok(answer))
    }
}

impl<B, E> Receiver<B, E> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<PaymentBody<B>>, E>> {
        let head = ready!(Pin::new(&mut self.head).poll(cx));
        let pieces = self.pieces.take();
        Poll::Ready(match (head, pieces) {
            (Ok(Err(error)), _) => Err(error),
            (Ok(Ok(Head::Relayed(answer))), Some(pieces)) => {
                Ok(answer.map(|left| PaymentBody::relayed(pieces, left)))
            }
            (Ok(Ok(head)), _) => Ok(head.whole()),
            // The task is gone: the inner service panicked, or took longer than it may.
            (Err(_), _) => Ok(answer::broken().map(PaymentBody::own)),
        })
    }
}
