//! A request's body, of which it is known in the end whether it was read.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How much of a body is read that nobody wants, so that its connection need not be closed, and for how long.
const MOST: u64 = 64 << 10;
const TIME: Duration = Duration::from_millis(50);

/// A body that comes back when whoever reads it has had enough before its end.
pub(super) struct Lent<B> {
    body: Option<B>,
    back: Option<oneshot::Sender<B>>,
}

/// Where it comes back.
pub(super) struct Lender<B>(Option<oneshot::Receiver<B>>);

impl<B: Body> Lent<B> {
    pub(super) fn new(body: B) -> (Self, Lender<B>) {
        let (back, lender) = match body.is_end_stream() {
            true => (None, None),
            false => {
                let (back, lender) = oneshot::channel();
                (Some(back), Some(lender))
            }
        };
        (Self { body: Some(body), back }, Lender(lender))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Lender<B> {
    /// Whether the body is over, now or soon: a short rest is read, where `may_read` has it so.
    pub(super) async fn ended(self, may_read: bool) -> bool {
        let Some(mut lender) = self.0 else { return true };
        match lender.try_recv() {
            Ok(body) => may_read && timeout(TIME, drained(body)).await.unwrap_or(false),
            // It was read to its end, and not given back; or it is being read.
            Err(error) => error == oneshot::error::TryRecvError::Closed,
        }
    }
}

async fn drained<B: Body<Data = Bytes> + Unpin>(mut body: B) -> bool {
    let is_short = body.size_hint().upper().is_some_and(|most| most <= MOST);
    while is_short && !body.is_end_stream() {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => return false,
            None => return true,
        }
    }
    is_short
}

impl<B: Body<Data = Bytes> + Unpin> Body for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        let is_over = match &frame {
            Poll::Pending => false,
            Poll::Ready(None) => true,
            Poll::Ready(Some(_)) => body.is_end_stream(),
        };
        if is_over {
            self.back = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody asks any more.
            drop(back.send(body));
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_is_over_when_it_was_read_or_is_short() {
        let (body, lender) = Lent::new(Empty::<Bytes>::new());
        assert!(lender.ended(false).await);
        drop(body);
        for (length, is_read, may_read, is_over) in [
            (3, true, false, true),
            (3, false, false, false),
            (3, false, true, true),
            (MOST + 1, false, true, false),
        ] {
            let data = vec![0; usize::try_from(length).unwrap()];
            let (mut body, lender) = Lent::new(Full::new(Bytes::from(data)));
            if is_read {
                body.frame().await.unwrap().unwrap();
            }
            drop(body);
            assert_eq!(lender.ended(may_read).await, is_over, "{length} {is_read} {may_read}");
        }
        let (_held, lender) = Lent::new(Full::new(Bytes::from_static(b"a")));
        assert!(!lender.ended(true).await);
    }
}
