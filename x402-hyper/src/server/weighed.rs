//! The task of a request whose price depends on its body: reads it, has it priced, and goes on from there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::BoxError;
use super::answer::{ABSENT, BROKEN_BODY, LARGE_SIGNED, LARGE_UNPRICED};
use super::drawing::{self, BodyHash};
use super::future::{Head, Receiver};
use super::layer::Shared;
use super::pricing::Quote;
use super::request_body::RequestBody;
use super::service::Decision;
use super::source::{Source, Unreadable};
use super::task::{Client, Task, way};

/// Starts the task of a request with a body of at most `limit` bytes; `call` is the call of the service
/// behind.
pub(super) fn spawn<A, B, C, E, F>(
    shared: &Arc<Shared>,
    limit: usize,
    request: Request<B>,
    call: C,
) -> Receiver<A, E>
where
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    C: FnOnce(Request<RequestBody<B>>) -> F + Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<Response<A>, E>> + Send + 'static,
{
    let (client, receiver) = way();
    tokio::spawn(weigh(Arc::clone(shared), limit, request, call, client));
    receiver
}

async fn weigh<A, B, C, E, F>(
    shared: Arc<Shared>,
    limit: usize,
    request: Request<B>,
    call: C,
    client: Client<A, E>,
) where
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    C: FnOnce(Request<RequestBody<B>>) -> F + Send + 'static,
    F: Future<Output = Result<Response<A>, E>> + Send + 'static,
{
    let (mut head, body) = request.into_parts();
    // Where its payer has signed for the body it was read for that, perhaps for nothing else.
    let is_signed = drawing::is_signed(&head.headers);
    let quote = is_signed.then(|| shared.pricing.quote(&head));
    let quote = quote.filter(|quote| !matches!(quote, Quote::ByBody(_)));
    let limits = shared.limits.of(&head.extensions);
    let data = match Source::read(body, limit, limits.body_time).await {
        Ok(data) => data,
        Err(Unreadable::Broken) => return client.head(Ok(Head::Own(BROKEN_BODY.answer()))),
        Err(Unreadable::TooLarge) => {
            let notice = if quote.is_some() { LARGE_SIGNED } else { LARGE_UNPRICED };
            return client.head(Ok(Head::Own(notice.answer())));
        }
    };
    if is_signed {
        head.extensions.insert(BodyHash::of(&data));
    }
    let decision = match quote {
        Some(quote) => shared.decide(&mut head, quote, None),
        None => {
            let quote = shared.pricing.quote_body(&head, &data);
            shared.decide(&mut head, quote, Some(&data))
        }
    };
    let request = Request::from_parts(head, Source::Held { data });
    match decision {
        Decision::Own(answer) => client.head(Ok(Head::Own(answer))),
        // It was read, and still is to be read: nothing is given away.
        Decision::ByBody(_) => client.head(Ok(Head::Own(ABSENT.answer()))),
        Decision::Free => {
            let answer = call(request.map(RequestBody::free)).await;
            client.head(answer.map(Head::Inner));
        }
        Decision::Passed(passing) => {
            let answer = call(request.map(RequestBody::free)).await;
            client.head(answer.map(|answer| passing.limit(answer)));
        }
        Decision::Paid(order) => Task { shared, order, client, limits }.run(request, call).await,
    }
}
