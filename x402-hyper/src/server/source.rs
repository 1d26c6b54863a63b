use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use pin_project_lite::pin_project;
use tokio::time::timeout;

use super::BoxError;

pin_project! {
    /// A request's body: as it comes, or read already.
    #[project = SourceProj]
    pub(super) enum Source<B> {
        Stream { #[pin] body: B },
        Held { data: Bytes },
    }
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unreadable {
    Broken,
    TooLarge,
}

impl<B> Source<B> {
    pub(super) const fn stream(body: B) -> Self {
        Self::Stream { body }
    }
}

impl<B: Body<Data = Bytes>> Source<B>
where
    B::Error: Into<BoxError>,
{
    /// Reads all of a body of at most so many bytes, in so much time.
    pub(super) async fn read(body: B, limit: usize, time: Duration) -> Result<Bytes, Unreadable> {
        let whole = timeout(time, Limited::new(body, limit).collect()).await;
        match whole.map_err(|_| Unreadable::Broken)? {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if is_too_long(&error) => Err(Unreadable::TooLarge),
            Err(_) => Err(Unreadable::Broken),
        }
    }
}

fn is_too_long(error: &BoxError) -> bool {
    #[cfg(feature = "gateway")]
    if error.is::<crate::listener::TooLong>() {
        return true;
    }
    error.is::<LengthLimitError>()
}

impl<B: Body<Data = Bytes>> Body for Source<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project() {
            SourceProj::Stream { body } => body.poll_frame(cx),
            SourceProj::Held { data } => {
                let data = core::mem::take(data);
                Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stream { body } => body.is_end_stream(),
            Self::Held { data } => data.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Stream { body } => body.size_hint(),
            Self::Held { data } => SizeHint::with_exact(data.len() as u64),
        }
    }
}
