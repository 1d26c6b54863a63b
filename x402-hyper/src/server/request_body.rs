use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use pin_project_lite::pin_project;
use sha3::{Digest as _, Keccak256};
use tokio::sync::oneshot;

use super::dialect;
use super::source::Source;

pin_project! {
    /// The body of a request behind a [`PaymentService`](super::PaymentService).
    ///
    /// That of a paid request is hashed while it is read, so that a repetition can be told from
    /// another request; nothing is buffered. Payment fields in trailers are dropped.
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Free { #[pin] body: Source<B> },
        // In a box, so that the body of a free request does not carry the hasher's state.
        Paid { body: Box<Hashed<B>> },
    }
}

/// A body that is hashed, and says in the end what became of it.
struct Hashed<B> {
    unread: Option<Unread<B>>,
    report: Option<oneshot::Sender<Rest<B>>>,
}

/// A body with the hash of what was read of it.
pub(super) struct Unread<B> {
    // In a box, so that it can be handed back when whoever reads it has had enough.
    body: Pin<Box<Source<B>>>,
    hasher: Box<Keccak256>,
}

/// What is left of a request's body when the service behind is done with it.
pub(super) enum Rest<B> {
    /// It broke while it was read.
    Broken,
    /// There is more, or nobody looked whether there is.
    Unread(Unread<B>),
    /// It was read to the end; the Keccak-256 of it.
    Whole([u8; 32]),
}

/// Why a body has no hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unhashed {
    Broken,
    TooLarge,
}

impl<B> RequestBody<B> {
    /// A body that is passed on as it is.
    pub(super) const fn free(body: Source<B>) -> Self {
        Self { kind: Kind::Free { body } }
    }

    /// A body that is hashed; what is left of it in the end comes out of the receiver.
    pub(super) fn hashed(body: Source<B>) -> (Self, oneshot::Receiver<Rest<B>>) {
        let (report, rest) = oneshot::channel();
        let body = Hashed { unread: Some(Unread::new(body)), report: Some(report) };
        (Self { kind: Kind::Paid { body: Box::new(body) } }, rest)
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut frame = ready!(match self.project().kind.project() {
            KindProj::Free { body } => body.poll_frame(cx),
            KindProj::Paid { body } => body.poll_frame(cx),
        });
        if let Some(trailers) = frame.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut())
        {
            dialect::strip_request(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Free { body } => body.is_end_stream(),
            Kind::Paid { body } => {
                body.unread.as_ref().is_none_or(|unread| unread.body.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Free { body } => body.size_hint(),
            Kind::Paid { body } => match &body.unread {
                Some(unread) => unread.body.size_hint(),
                None => SizeHint::with_exact(0),
            },
        }
    }
}

impl<B: Body<Data = Bytes>> Hashed<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(unread) = &mut self.unread else { return Poll::Ready(None) };
        let frame = ready!(unread.poll_frame(cx));
        let rest = match &frame {
            Some(Ok(_)) => return Poll::Ready(frame),
            Some(Err(_)) => {
                self.unread = None;
                Rest::Broken
            }
            None => match self.unread.take() {
                Some(unread) => Rest::Whole(unread.hasher.finalize().into()),
                None => Rest::Broken,
            },
        };
        self.report(rest);
        Poll::Ready(frame)
    }
}

impl<B> Hashed<B> {
    fn report(&mut self, rest: Rest<B>) {
        if let Some(report) = self.report.take() {
            // Nobody to tell: the answer was given without it.
            drop(report.send(rest));
        }
    }
}

impl<B> Drop for Hashed<B> {
    fn drop(&mut self) {
        if let Some(unread) = self.unread.take() {
            self.report(Rest::Unread(unread));
        }
    }
}

impl<B> Unread<B> {
    pub(super) fn new(body: Source<B>) -> Self {
        Self { body: Box::pin(body), hasher: Box::default() }
    }
}

impl<B: Body<Data = Bytes>> Unread<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.hasher.update(data);
        }
        Poll::Ready(frame)
    }

    /// Reads the rest, up to `limit` bytes of it, and returns the Keccak-256 of the whole.
    pub(super) async fn hash(mut self, limit: u64) -> Result<[u8; 32], Unhashed> {
        let mut left = limit;
        if self.body.size_hint().lower() > left {
            return Err(Unhashed::TooLarge);
        }
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|_| Unhashed::Broken)?;
            let Some(data) = frame.data_ref() else { continue };
            let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
            left = left.checked_sub(len).ok_or(Unhashed::TooLarge)?;
            self.hasher.update(data);
        }
        Ok(self.hasher.finalize().into())
    }
}

impl<B: Body<Data = Bytes>> Rest<B> {
    /// The Keccak-256 of the whole body, the rest of which is read up to `limit` bytes.
    pub(super) async fn hash(self, limit: u64) -> Result<[u8; 32], Unhashed> {
        match self {
            Self::Broken => Err(Unhashed::Broken),
            Self::Unread(unread) => unread.hash(limit).await,
            Self::Whole(hash) => Ok(hash),
        }
    }
}
