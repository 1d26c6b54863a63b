//! The task of a paid request: takes the payment, has the work done once, and keeps the answer,
//! whether the client is still there or not.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, response};
use http_body::Body;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use x402_core::{ChainId, Offer, Refusal, Scheme};
use x402_std::ledger::{Answer, DrawId};
use x402_std::seller::{Admission, DrawRefusal, Drawn, NamedDraw, Presented, Purchase, Receipt};

use super::answer::{
    self, Asked, BROKEN_BODY, CUT_ANSWER, LARGE_ANSWER, LARGE_BODY, UPSTREAM_PRICE,
};
use super::answer::{REPLACED_CREDIT, UNSIGNED_CREDIT};
use super::body::Piece;
use super::dialect;
use super::drawing::{Drawing, Naming};
use super::future::{Head, Receiver};
use super::gauge::{Gauge, Until};
use super::held::{Held, Settled, Unsettled};
use super::layer::{Limits, Shared};
use super::metering::Metering;
use super::relay::{Relay, Remains};
use super::request_body::{RequestBody, Rest, Unhashed, Unread};
use super::right::Right;
use super::source::Source;
use super::watch::work;
use super::{Allowance, BoxError};

/// How many pieces of an answer may wait for the client. The service behind waits with them.
const PIECES: usize = 4;

/// A request with a payment that has yet to be taken.
pub(super) struct Order {
    pub(super) means: Means,
    pub(super) offer: Offer<'static>,
    pub(super) asked: Asked,
    pub(super) purchase: Purchase,
}

/// What a request is paid with.
pub(super) enum Means {
    Credit(Drawing),
    /// Nothing: its payer wants the name of a balance.
    Naming(Naming),
    Payment(Box<Presented>),
}

/// The way to the client.
pub(super) struct Client<A, E> {
    pub(super) head: oneshot::Sender<Result<Head<A>, E>>,
    pub(super) pieces: mpsc::Sender<Piece>,
}

/// The task of a paid request.
pub(super) struct Task<A, E> {
    pub(super) shared: Arc<Shared>,
    pub(super) order: Box<Order>,
    pub(super) client: Client<A, E>,
    pub(super) limits: Limits,
}

/// What a payment, or a draw, was taken for.
enum Admitted {
    /// The answer was given before.
    Again(Receipt, Answer),
    Work(Right),
}

/// Starts the task of a paid request; `call` is the call of the service behind.
pub(super) fn spawn<A, B, C, E, F>(
    shared: &Arc<Shared>,
    order: Box<Order>,
    request: Request<Source<B>>,
    call: C,
) -> Receiver<A, E>
where
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    C: FnOnce(Request<RequestBody<B>>) -> F + Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<Response<A>, E>> + Send + 'static,
{
    let (client, receiver) = way();
    let limits = shared.limits.of(request.extensions());
    let task = Task { shared: Arc::clone(shared), order, client, limits };
    tokio::spawn(task.run(request, call));
    receiver
}

/// The way to the client, and its other end.
pub(super) fn way<A, E>() -> (Client<A, E>, Receiver<A, E>) {
    let (head, receiver) = oneshot::channel();
    let (pieces, received) = mpsc::channel(PIECES);
    (Client { head, pieces }, Receiver { head: receiver, pieces: Some(received) })
}

impl<A, E> Task<A, E>
where
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    pub(super) async fn run<B, C, F>(self, request: Request<Source<B>>, call: C)
    where
        B: Body<Data = Bytes>,
        C: FnOnce(Request<RequestBody<B>>) -> F,
        F: Future<Output = Result<Response<A>, E>>,
    {
        let _busy = self.shared.busy();
        let (client, time) = (self.client.pieces.clone(), self.limits.alone);
        let is_tunnel = AtomicBool::new(false);
        let alone = async {
            client.closed().await;
            sleep(time).await;
            // Its client is not here.
            if is_tunnel.load(Relaxed) {
                core::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = self.answer(request, call, &is_tunnel) => {}
            () = alone => tracing::warn!("paid work took too long without its client"),
        }
    }

    async fn answer<B, C, F>(self, request: Request<Source<B>>, call: C, is_tunnel: &AtomicBool)
    where
        B: Body<Data = Bytes>,
        C: FnOnce(Request<RequestBody<B>>) -> F,
        F: Future<Output = Result<Response<A>, E>>,
    {
        if let Some(refused) = self.unready().await {
            return self.own(refused);
        }
        let admitted = match &self.order.means {
            Means::Credit(drawing) => self.draw(drawing).await,
            Means::Naming(naming) => Err(self.rename(naming).await),
            Means::Payment(payment) => self.admit(payment).await,
        };
        match admitted {
            Ok(Admitted::Work(right)) => self.serve(right, request, call, is_tunnel).await,
            Ok(Admitted::Again(receipt, answer)) => {
                let body = Unread::new(request.into_body());
                self.repeat(receipt, answer, body).await;
            }
            Err(answer) => self.own(answer),
        }
    }

    /// The answer where the work cannot be begun, and nothing was taken for it before.
    async fn unready(&self) -> Option<Response<Bytes>> {
        if matches!(self.order.means, Means::Naming(_)) {
            return None;
        }
        let mut refused = self.shared.readiness.as_ref()?.ready().await.err()?;
        let seller = &self.shared.seller;
        // Looked up after it was asked: whatever another request with this payment has had taken by now is there.
        let was_taken = match &self.order.means {
            Means::Credit(drawing) => {
                let (account, nonce) = (&drawing.name.account, *drawing.nonce.as_bytes());
                seller.has_draw(DrawId::new(account, nonce)).await
            }
            Means::Naming(_) => return None,
            Means::Payment(payment) => seller.has_payment(payment.payment.id()).await,
        };
        match was_taken {
            Ok(false) => {
                answer::not_charged(refused.headers_mut());
                Some(refused)
            }
            Ok(true) => None,
            Err(rejection) => Some(answer::rejected(&rejection, &self.order.asked, None)),
        }
    }

    async fn admit(&self, payment: &Presented) -> Result<Admitted, Response<Bytes>> {
        let Order { offer, purchase, asked, .. } = &*self.order;
        let terms = offer.requirements();
        match self.shared.seller.admit_for(payment, terms, *purchase).await {
            Ok(Admission::Serve(ticket)) => Ok(Admitted::Work(Right::Paid(ticket))),
            Ok(Admission::Pledged(pledge)) => Ok(Admitted::Work(Right::Pledged(pledge))),
            Ok(Admission::Replay(receipt, answer)) => Ok(Admitted::Again(receipt, answer)),
            Err(rejection) => Err(answer::rejected(&rejection, asked, Some(offer))),
        }
    }

    async fn draw(&self, drawing: &Drawing) -> Result<Admitted, Response<Bytes>> {
        let Order { offer, purchase, asked, .. } = &*self.order;
        let Drawing { name, nonce, signed } = drawing.clone();
        let Purchase { request, amount, .. } = *purchase;
        let draw = NamedDraw { name, nonce: *nonce.as_bytes(), request, amount, signed };
        match self.shared.seller.draw_by(&draw).await {
            Ok(Drawn::Serve(ticket)) => Ok(Admitted::Work(Right::Drawn(ticket))),
            Ok(Drawn::Replay { answer, .. }) => {
                let receipt = Receipt { payer: name.account.payer, transaction: None };
                Ok(Admitted::Again(receipt, answer))
            }
            Ok(Drawn::Short(balance)) => Err(answer::short(balance, asked, offer)),
            Err(DrawRefusal::Replaced) => Err(REPLACED_CREDIT.answer()),
            Err(DrawRefusal::Unsigned) => Err(UNSIGNED_CREDIT.answer()),
            Err(DrawRefusal::Rejected(rejection)) => {
                Err(answer::rejected(&rejection, asked, Some(offer)))
            }
        }
    }

    /// Gives an answer again, to the same request.
    async fn repeat<B>(self, receipt: Receipt, answer: Answer, body: Unread<B>)
    where
        B: Body<Data = Bytes>,
    {
        let limits = self.limits;
        let Order { asked, offer, .. } = &*self.order;
        let refuse = |refusal: Refusal| answer::rejected(&refusal.into(), asked, Some(offer));
        if answer.body.is_none() {
            let mut refused = refuse(Refusal::Served);
            answer::handed_out(&answer, refused.headers_mut());
            self.withhold(refused.headers_mut());
            return self.own(refused);
        }
        // Of a request that never ended nobody knows which body it had: it is the same by all that is known.
        let hash = match answer.request_body {
            Answer::NOT_KNOWN => Ok(Ok(Answer::NOT_KNOWN)),
            _ => timeout(limits.body_time, body.hash(limits.body)).await,
        };
        let answer = match hash.unwrap_or(Err(Unhashed::Broken)) {
            Ok(hash) if hash == answer.request_body => match answer::again(answer) {
                Some(mut answer) => {
                    let chain_id = offer.requirements().chain_id;
                    let dialect = asked.dialect;
                    let headers = answer.headers_mut();
                    answer::receipt(headers, &receipt, chain_id, dialect, None);
                    self.withhold(headers);
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
    async fn serve<B, C, F>(
        self,
        right: Right,
        request: Request<Source<B>>,
        call: C,
        is_tunnel: &AtomicBool,
    ) where
        B: Body<Data = Bytes>,
        C: FnOnce(Request<RequestBody<B>>) -> F,
        F: Future<Output = Result<Response<A>, E>>,
    {
        let metering = self.order.asked.sale.metering.clone();
        let (mut request, watch) = work(request, metering.as_deref());
        request.extensions_mut().insert(right.paid());
        let period = metering.as_ref().and_then(|metering| metering.period());
        if let Some(period) = period {
            // A tunnel is not ended by who passes its answer on.
            let time = right.time_left().unwrap_or(period.duration).min(period.duration);
            request.extensions_mut().insert(Allowance::For(time));
        }
        let answer = match call(request).await {
            Ok(answer) => answer,
            // The work is owed still, or nothing is; so it is wherever below the right is given up.
            Err(error) => {
                right.give_up().await;
                return self.client.head(Err(error));
            }
        };
        if answer.status() == StatusCode::PAYMENT_REQUIRED {
            return self.overpriced(right).await;
        }
        let (mut head, body) = answer.into_parts();
        is_tunnel.store(head.status == StatusCode::SWITCHING_PROTOCOLS, Relaxed);
        answer::clean(&mut head.headers);
        let gauge = metering.as_ref();
        let mut gauge = gauge.map(|metering| Gauge::begin(&**metering, &head, right.amount()));
        if let (Some(gauge), Some(metering)) = (&mut gauge, &metering)
            && self.hand_out(&right, &**metering, &mut head).await
        {
            gauge.sell();
        }
        // What is withheld is not kept either: who has read the request could ask for it again elsewhere.
        self.withhold(&mut head.headers);
        let kept = answer::kept(&head.headers);
        let chain_id = right.chain_id();
        // The service behind has done the work all the same.
        let broken = || (!head.status.is_client_error()).then_some(Remains::Here(Rest::Broken));
        let remains = watch.remains().or_else(broken);
        let Some(remains) = remains.filter(|_| right.is_earned_by(head.status)) else {
            self.give_up(right, &mut head.headers).await;
            return self.client.head(Ok(Head::Inner(Response::from_parts(head, body))));
        };
        if let Some(receipt) = right.receipt() {
            let dialect = self.order.asked.dialect;
            answer::receipt(&mut head.headers, &receipt, chain_id, dialect, None);
        }
        self.tell_balance(&mut head.headers).await;
        let limits = self.limits;
        let end = gauge.as_ref().and_then(Gauge::end);
        let body = Until::new(body, &head.headers, end);
        let answer = Response::from_parts(head, body);
        match right {
            Right::Pledged(pledge) if !pledge.is_later() => {
                let held = Held { pledge, remains, kept, limits, gauge };
                self.settled(held.settle(answer).await, chain_id);
            }
            right => Relay { right, remains, kept, limits, gauge }.run(answer, self.client).await,
        }
    }

    /// Lets go of a right whose work was not done, and says what that means for the payer: what was paid
    /// before is owed still, and else nothing is charged.
    async fn give_up(&self, right: Right, headers: &mut HeaderMap) {
        let charged = right.receipt().filter(|_| right.is_settled());
        let (chain_id, dialect) = (right.chain_id(), self.order.asked.dialect);
        right.give_up().await;
        match charged {
            Some(receipt) => answer::receipt(headers, &receipt, chain_id, dialect, None),
            None => answer::not_charged(headers),
        }
        self.tell_balance(headers).await;
    }

    /// Says what is left of the balance that was drawn on.
    async fn tell_balance(&self, headers: &mut HeaderMap) {
        if let Means::Credit(drawing) = &self.order.means
            && let Ok(balance) = self.shared.seller.balance(drawing.name.account).await
        {
            dialect::balance(balance, &self.order.offer, headers);
        }
    }

    /// The service behind wants to be paid itself. That is not the work, and not passed on.
    async fn overpriced(self, right: Right) {
        let mut answer = UPSTREAM_PRICE.answer();
        tracing::warn!(payment = %right.id(), "the service behind a price answered 402");
        self.give_up(right, answer.headers_mut()).await;
        self.own(answer);
    }

    /// Hands out what was bought beforehand: a pass for time, or the name of the balance that the unused
    /// rest goes to. Says whether all of it is gone by that.
    async fn hand_out(
        &self,
        right: &Right,
        metering: &dyn Metering,
        answer: &mut response::Parts,
    ) -> bool {
        let (Order { offer, asked, .. }, Some(tokens)) = (&*self.order, &self.shared.tokens) else {
            return false;
        };
        let (payer, headers) = (right.payer(), &mut answer.headers);
        let period = metering.period().filter(|_| right.is_paid() && answer.status.as_u16() < 400);
        if let Some(period) = period {
            let now = self.shared.seller.now();
            let (pass, until) = tokens.issue(payer, &asked.sale, offer, &period, now);
            dialect::tell(headers, dialect::PASS, &pass);
            dialect::tell(headers, dialect::PASS_EXPIRES, &until.to_string());
            return true;
        }
        // By `upto` no more moves than is used, unless it was moved before.
        if matches!(offer.requirements().scheme, Scheme::Exact(_)) || right.is_paid() {
            self.tell_name(tokens, payer, headers).await;
        }
        false
    }

    /// Gives an answer that was held until the money had arrived.
    fn settled(self, settled: Result<Settled, Unsettled>, chain_id: ChainId) {
        let Order { asked, offer, .. } = &*self.order;
        let answer = match settled {
            Ok(Settled { receipt, cost, mut answer }) => {
                let is_ceiling = matches!(offer.requirements().scheme, Scheme::Upto { .. });
                let taken = is_ceiling.then_some(cost);
                let headers = answer.headers_mut();
                answer::receipt(headers, &receipt, chain_id, asked.dialect, taken);
                answer
            }
            Err(Unsettled::Rejected(rejection)) => answer::rejected(&rejection, asked, Some(offer)),
            Err(Unsettled::Broken) => answer::uncharged(&CUT_ANSWER),
            Err(Unsettled::TooLarge) => answer::uncharged(&LARGE_ANSWER),
        };
        self.own(answer);
    }

    fn own(self, answer: Response<Bytes>) {
        self.client.head(Ok(Head::Own(answer)));
    }
}

impl<A, E> Client<A, E> {
    pub(super) fn head(self, head: Result<Head<A>, E>) {
        // A client that is gone needs no answer.
        drop(self.head.send(head));
    }
}
