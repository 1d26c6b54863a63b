//! The fields that come behind a body.

use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A body whose trailers lose what is not to be passed on.
    pub struct Trailers<B> {
        #[pin]
        body: B,
        strip: fn(&mut HeaderMap),
    }
}

impl<B> Trailers<B> {
    pub(super) fn new(body: B, strip: fn(&mut HeaderMap)) -> Self {
        Self { body, strip }
    }
}

impl<B: Body<Data = Bytes>> Body for Trailers<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let mut frame = this.body.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            (this.strip)(trailers);
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
