//! The task of a paid request: takes the payment, has the work done once, and keeps the answer,
//! whether the client is still there or not.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use x402_core::{Offer, Refusal};
use x402_std::ledger::{Answer, RequestId};
use x402_std::seller::{Admission, Presented, Receipt, Ticket};

use super::answer::{self, Asked, BROKEN_BODY, LARGE_BODY};
use super::body::Piece;
use super::future::{Head, Receiver};
use super::layer::Shared;
use super::relay::{Relay, Remains};
use super::request_body::{RequestBody, Rest, Unhashed, Unread};
use super::{BoxError, Paid};

/// How many pieces of an answer may wait for the client. The service behind waits with them.
const PIECES: usize = 4;

/// A request with a payment that has yet to be taken.
pub(super) struct Order {
    pub(super) payment: Presented,
    pub(super) offer: Offer<'static>,
    pub(super) asked: Asked,
    pub(super) request: RequestId,
    pub(super) is_head: bool,
}

/// The way to the client.
pub(super) struct Client<A, E> {
    pub(super) head: oneshot::Sender<Result<Head<A>, E>>,
    pub(super) pieces: mpsc::Sender<Piece>,
}

struct Task<A, E> {
    shared: Arc<Shared>,
    order: Box<Order>,
    client: Client<A, E>,
}

/// Starts the task of a paid request; `call` is the call of the service behind.
pub(super) fn spawn<A, B, C, E, F>(
    shared: &Arc<Shared>,
    order: Box<Order>,
    request: Request<B>,
    call: C,
) -> Receiver<A, E>
where
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    C: FnOnce(Request<RequestBody<B>>) -> F + Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<Response<A>, E>> + Send + 'static,
{
    let (head, receiver) = oneshot::channel();
    let (pieces, received) = mpsc::channel(PIECES);
    let shared = Arc::clone(shared);
    let task = Task { shared, order, client: Client { head, pieces } };
    tokio::spawn(task.run(request, call));
    Receiver { head: receiver, pieces: Some(received) }
}

impl<A, E> Task<A, E>
where
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    async fn run<B, C, F>(self, request: Request<B>, call: C)
    where
        B: Body<Data = Bytes>,
        C: FnOnce(Request<RequestBody<B>>) -> F,
        F: Future<Output = Result<Response<A>, E>>,
    {
        let _busy = self.shared.busy();
        let (client, time) = (self.client.pieces.clone(), self.shared.limits.alone);
        let alone = async {
            client.closed().await;
            sleep(time).await;
        };
        tokio::select! {
            biased;
            () = self.answer(request, call) => {}
            () = alone => tracing::warn!("paid work took too long without its client"),
        }
    }

    async fn answer<B, C, F>(self, request: Request<B>, call: C)
    where
        B: Body<Data = Bytes>,
        C: FnOnce(Request<RequestBody<B>>) -> F,
        F: Future<Output = Result<Response<A>, E>>,
    {
        let Order { payment, offer, request: id, .. } = &*self.order;
        let terms = offer.requirements();
        match self.shared.seller.admit(payment, terms, *id).await {
            Ok(Admission::Serve(ticket)) => self.serve(ticket, request, call).await,
            Ok(Admission::Replay(receipt, answer)) => {
                let body = Unread::new(request.into_body());
                self.repeat(receipt, answer, body).await;
            }
            Err(rejection) => {
                let answer = answer::rejected(&rejection, &self.order.asked, Some(offer));
                self.own(answer);
            }
        }
    }

    /// Gives an answer again, to the same request.
    async fn repeat<B>(self, receipt: Receipt, answer: Answer, body: Unread<B>)
    where
        B: Body<Data = Bytes>,
    {
        let limits = &self.shared.limits;
        let hash = timeout(limits.body_time, body.hash(limits.body)).await;
        let Order { asked, offer, .. } = &*self.order;
        let refuse = |refusal: Refusal| answer::rejected(&refusal.into(), asked, Some(offer));
        let answer = match hash.unwrap_or(Err(Unhashed::Broken)) {
            Ok(hash) if hash == answer.request_body => match answer::again(answer) {
                Some(mut answer) => {
                    let chain_id = offer.requirements().chain_id;
                    answer::receipt(answer.headers_mut(), &receipt, chain_id, asked.dialect);
                    answer
                }
                None => refuse(Refusal::Served),
            },
            Ok(_) => refuse(Refusal::Conflict),
            Err(Unhashed::Broken) => BROKEN_BODY.answer(),
            Err(Unhashed::TooLarge) => LARGE_BODY.answer(),
        };
        self.own(answer);
    }

    /// Has the work done.
    async fn serve<B, C, F>(self, ticket: Ticket, request: Request<B>, call: C)
    where
        B: Body<Data = Bytes>,
        C: FnOnce(Request<RequestBody<B>>) -> F,
        F: Future<Output = Result<Response<A>, E>>,
    {
        let Receipt { payer, transaction } = *ticket.receipt();
        let (mut head, body) = request.into_parts();
        head.extensions.insert(Paid { payer, transaction, payment: ticket.id() });
        let (body, mut rest) = RequestBody::hashed(body);
        let mut answer = match call(Request::from_parts(head, body)).await {
            Ok(answer) => answer,
            // The work is owed still; so it is wherever below the ticket is dropped.
            Err(error) => return self.client.head(Err(error)),
        };
        answer::clean(answer.headers_mut());
        let kept = answer::kept(answer.headers());
        let (chain_id, dialect) = (ticket.id().chain_id, self.order.asked.dialect);
        answer::receipt(answer.headers_mut(), ticket.receipt(), chain_id, dialect);
        if answer.status().as_u16() >= 500 {
            drop(ticket);
            return self.client.head(Ok(Head::Inner(answer)));
        }
        let remains = match rest.try_recv() {
            Ok(Rest::Broken) => {
                drop(ticket);
                return self.broken(answer);
            }
            Ok(rest) => Remains::Here(rest),
            Err(_) => Remains::Coming(rest),
        };
        let limits = self.shared.limits;
        Relay { ticket, remains, kept, limits }.run(answer, self.client).await;
    }

    /// The request broke off while the work was done, so it was not: the payment is good for the
    /// whole request. What the service says to that is passed on where it is a complaint.
    fn broken(self, answer: Response<A>) {
        if answer.status().is_client_error() {
            self.client.head(Ok(Head::Inner(answer)));
        } else {
            self.own(BROKEN_BODY.answer());
        }
    }

    fn own(self, answer: Response<Bytes>) {
        let is_head = self.order.is_head;
        let answer = if is_head { answer.map(|_| Bytes::new()) } else { answer };
        self.client.head(Ok(Head::Own(answer)));
    }
}

impl<A, E> Client<A, E> {
    fn head(self, head: Result<Head<A>, E>) {
        // A client that is gone needs no answer.
        drop(self.head.send(head));
    }
}
