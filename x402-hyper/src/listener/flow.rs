//! What waits for one reader.

use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::seats::Turn;

pin_project! {
    /// The body of an answer, which gives no more while much of what it gave is not written. With it the
    /// turn of its request ends.
    pub(super) struct Answering<B> {
        #[pin]
        body: B,
        turn: Turn,
    }
}

impl<B> Answering<B> {
    pub(super) const fn new(body: B, turn: Turn) -> Self {
        Self { body, turn }
    }
}

impl<B: Body<Data = Bytes>> Body for Answering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if this.turn.seated().is_ahead(cx.waker()) {
            return Poll::Pending;
        }
        let frame = this.body.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.turn.seated().give(data.remaining());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
