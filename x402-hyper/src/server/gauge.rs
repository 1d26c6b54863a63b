//! Measures an answer on its way, and ends it when the time is over that was paid for.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode, response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use x402_core::Amount;
use x402_std::metering::usage::Stream;

use super::metering::{Meter, Metering, Passage};

/// The end of a time that begins now; one that clocks cannot count is over in thirty years.
pub(crate) fn from_now(duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(duration.min(FAR)).unwrap_or(now)
}

/// The measure of one answer.
pub(super) struct Gauge {
    meter: Box<dyn Meter>,
    began: Instant,
    end: Option<Instant>,
    ceiling: Amount,
    has_passed: bool,
    /// Whether it goes on for as long as somebody listens.
    is_live: bool,
    /// Whether all of the ceiling is due, whatever has passed.
    is_sold: bool,
}

impl Gauge {
    /// Of an answer that begins now.
    pub(super) fn begin(
        metering: &dyn Metering,
        answer: &response::Parts,
        ceiling: Amount,
    ) -> Self {
        let period = metering.period();
        // What goes through a tunnel is not seen here; its end is.
        let is_tunnel = answer.status == StatusCode::SWITCHING_PROTOCOLS;
        let is_stream = period.is_some() || stream_of(&answer.headers).is_some();
        Self {
            meter: metering.meter(answer),
            began: Instant::now(),
            end: period.map(|period| from_now(period.duration)),
            ceiling,
            has_passed: false,
            is_live: is_stream && !is_tunnel,
            is_sold: false,
        }
    }

    /// When the time is over that is paid for, if it is time.
    pub(super) const fn end(&self) -> Option<Instant> {
        self.end
    }

    /// All of the ceiling is due: what it bought was handed out.
    pub(super) const fn sell(&mut self) {
        self.is_sold = true;
    }

    /// Whether what it bought is handed out with the head.
    pub(super) const fn is_sold(&self) -> bool {
        self.is_sold
    }

    pub(super) fn feed(&mut self, data: &[u8]) {
        self.has_passed |= !data.is_empty();
        self.meter.feed(data);
    }

    /// Whether something of the answer has passed, or all of it was sold.
    pub(super) const fn has_passed(&self) -> bool {
        self.has_passed || self.is_sold
    }

    /// Whether the answer is made for who listens, and ends when nobody does.
    pub(super) const fn is_live(&self) -> bool {
        self.is_live
    }

    /// What is due for an answer that has ended; nothing for a refusal, and for what the client has already.
    pub(super) fn cost(self, status: StatusCode, is_whole: bool) -> Amount {
        let Self { meter, began, ceiling, is_sold, .. } = self;
        if is_sold {
            return ceiling;
        }
        if status.as_u16() >= 400 || status == StatusCode::NOT_MODIFIED {
            return Amount::ZERO;
        }
        let passage = Passage { elapsed: began.elapsed(), is_whole, ceiling };
        meter.cost(&passage).min(ceiling)
    }
}

/// Of a body of parts that are of use one by one: how they are told apart.
fn stream_of(headers: &HeaderMap) -> Option<Stream> {
    Stream::of(headers.get(CONTENT_TYPE)?.to_str().ok()?)
}

/// What is said where a stream ends because its time does. What came before may be cut anywhere.
const fn last_words(stream: Stream) -> &'static str {
    match stream {
        Stream::Events => concat!(
            "\n\nevent: payment-required\n",
            r#"data: {"code":"402","reason":"Payment required","#,
            r#""message":"the time that was paid for is over","help":"pay for more minutes"}"#,
            "\n\n",
        ),
        Stream::Lines => concat!(
            "\n",
            r#"{"code":"402","reason":"Payment required","#,
            r#""message":"the time that was paid for is over","help":"pay for more minutes"}"#,
            "\n",
        ),
    }
}

pin_project! {
    /// A body that ends at a time, if it has not before.
    pub(super) struct Until<B> {
        #[pin]
        body: Option<B>,
        end: Option<End>,
    }
}

struct End {
    sleep: Pin<Box<Sleep>>,
    last_words: Option<&'static str>,
}

impl<B: Body<Data = Bytes>> Until<B> {
    /// The body of an answer with these fields, which ends at `end`, with words that its reader
    /// understands.
    pub(super) fn new(body: B, headers: &HeaderMap, end: Option<Instant>) -> Self {
        // Of a body whose length was told, there is no room for more.
        let stream = stream_of(headers).filter(|_| body.size_hint().exact().is_none());
        let end = end.map(|end| End {
            sleep: Box::pin(sleep_until(end)),
            last_words: stream.map(last_words),
        });
        Self { body: Some(body), end }
    }
}

impl<B: Body<Data = Bytes>> Body for Until<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        if let Some(end) = this.end
            && end.sleep.as_mut().poll(cx).is_ready()
        {
            // The sender notices that nobody listens any more.
            this.body.set(None);
            let words = this.end.take().and_then(|end| end.last_words);
            return Poll::Ready(
                words.map(|words| Ok(Frame::data(Bytes::from_static(words.as_bytes())))),
            );
        }
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let frame = ready!(body.poll_frame(cx));
        if frame.is_none() {
            *this.end = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
