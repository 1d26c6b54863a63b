//! Passes the answer of paid work on to the client as it comes, keeps it, and ends it when it is
//! kept.

use core::pin::{Pin, pin};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use x402_core::PaymentId;
use x402_std::ledger::{Answer, LedgerError};

use super::body::Piece;
use super::dialect;
use super::future::Head;
use super::gauge::Gauge;
use super::layer::Limits;
use super::request_body::{Rest, Unhashed};
use super::right::{Begun, Right};
use super::task::Client;
use super::{BoxError, answer};

/// How long the rest of a request's body may take once its answer is there.
const REST_TIME: Duration = Duration::from_secs(5);

/// An answer that is owed, while it is passed on.
pub(super) struct Relay<B> {
    pub(super) right: Right,
    pub(super) remains: Remains<B>,
    /// The head of the answer, to be kept.
    pub(super) kept: Vec<(String, Vec<u8>)>,
    pub(super) limits: Limits,
    /// What it costs, where that is known in the end only.
    pub(super) gauge: Option<Gauge>,
}

/// What is left of the request's body, when the service behind is done with it.
pub(super) enum Remains<B> {
    Coming(oneshot::Receiver<Rest<B>>),
    Here(Rest<B>),
}

/// An answer's head, on its way.
struct First<A, E> {
    client: oneshot::Sender<Result<Head<A>, E>>,
    head: Head<A>,
}

/// How the passing on of an answer's body has ended.
enum Pumped {
    /// Nobody is there any more for whom it was made.
    Abandoned,
    Broken,
    /// It was not over when it had to be.
    Late,
    Whole(Whole),
}

/// A body that was passed on, but for its last frame.
struct Whole {
    /// All of it, if it was short enough.
    kept: Option<Vec<u8>>,
    last: Option<Frame<Bytes>>,
}

impl<B: Body<Data = Bytes>> Relay<B> {
    pub(super) async fn run<A, C, E>(self, answer: Response<A>, client: Client<C, E>)
    where
        A: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let Self { right, remains, kept, limits, mut gauge } = self;
        let (head, body) = answer.into_parts();
        let status = head.status;
        let head = Head::Relayed(Response::from_parts(head, body.size_hint()));
        let mut body = pin!(body);
        let mut first = Some(First { client: client.head, head });
        let (id, amount) = (right.id(), right.amount());
        // Then the rest of the request is waited for.
        let time = right.time_left().map(|left| left.saturating_sub(REST_TIME));
        // The end of an answer waits until it is kept, so that whoever has seen it can have it
        // again. Without a body, its head is its end.
        let is_empty = body.is_end_stream();
        let begun = match gauge.as_ref().is_some_and(Gauge::is_sold) && !is_empty {
            // Before anybody has what is handed out by the head.
            true => right.hand_out(begun(status, &kept)).await,
            false => Ok(Begun::Owed(right)),
        };
        let right = match begun {
            Ok(right) => right,
            Err(error) => return refuse(id, error, first, &client.pieces).await,
        };
        if !is_empty {
            deliver(first.take());
        }
        // What goes through a tunnel is not seen here.
        let has_begun = AtomicBool::new(status == StatusCode::SWITCHING_PROTOCOLS);
        let pump = pump(body.as_mut(), &client.pieces, &has_begun, limits.kept, gauge.as_mut());
        // Whether its client reads or not: else who does not would never pay.
        let pump = async {
            match time {
                Some(time) => timeout(time, pump).await.unwrap_or(Pumped::Late),
                None => pump.await,
            }
        };
        let (pumped, hash) = settle(pump, remains.hash(limits.body)).await;
        // Who has not ended his request when the answer breaks may have broken it, and has had what came of it.
        let has_left = first.is_none() && hash.is_none();
        let has_passed = gauge.as_ref().is_some_and(Gauge::has_passed);
        let (body, last, is_whole) = match pumped {
            Pumped::Whole(whole) => (whole.kept, whole.last, true),
            // What has passed is to be paid.
            Pumped::Abandoned => (None, None, false),
            Pumped::Late if has_begun.load(Relaxed) => (None, None, false),
            Pumped::Broken if has_passed || has_left => (None, None, false),
            // Not given: the work is owed still, or nothing is.
            Pumped::Broken | Pumped::Late => return right.give_up().await,
        };
        let cost = gauge.map_or(amount, |gauge| gauge.cost(status, is_whole));
        // A tunnel cannot be repeated.
        let body = body.filter(|_| status != StatusCode::SWITCHING_PROTOCOLS);
        let request_body = hash.unwrap_or(Answer::NOT_KNOWN);
        let answer = Answer { status: status.as_u16(), headers: kept, body, request_body };
        if let Err(error) = right.keep(answer, cost).await {
            return refuse(id, error, first, &client.pieces).await;
        }
        if !is_whole {
            return;
        }
        deliver(first);
        if let Some(last) = last {
            send(&client.pieces, Piece::Frame(last)).await;
        }
        send(&client.pieces, Piece::End).await;
    }
}

impl<B: Body<Data = Bytes>> Remains<B> {
    /// The Keccak-256 of the request's body, or `None` where it was not all there, or too much.
    pub(super) async fn hash(self, limit: u64) -> Option<[u8; 32]> {
        let rest = match self {
            Self::Coming(rest) => rest.await.unwrap_or(Rest::Broken),
            Self::Here(rest) => rest,
        };
        rest.hash(limit).await.inspect_err(|error: &Unhashed| tracing::debug!(?error)).ok()
    }
}

/// The head of an answer whose body is to follow.
fn begun(status: StatusCode, kept: &[(String, Vec<u8>)]) -> Answer {
    let (status, headers) = (status.as_u16(), kept.to_vec());
    Answer { status, headers, body: None, request_body: Answer::NOT_KNOWN }
}

/// What is not kept is not given either: else its repetition would be work of its own, and one payment had
/// bought two.
async fn refuse<A, E>(
    id: PaymentId,
    error: LedgerError,
    first: Option<First<A, E>>,
    pieces: &mpsc::Sender<Piece>,
) {
    tracing::error!(payment = %id, %error, "the answer is not kept");
    if let Some(First { client, .. }) = first {
        drop(client.send(Ok(Head::Own(answer::broken()))));
    }
    send(pieces, Piece::Failed(error.into())).await;
}

/// Waits for the answer, and meanwhile, and a little longer, for the hash of the request's body:
/// who sends all of a request before reading the answer must get rid of it.
pub(super) async fn settle<P>(
    pump: impl Future<Output = P>,
    hash: impl Future<Output = Option<[u8; 32]>>,
) -> (P, Option<[u8; 32]>) {
    let (mut pump, mut hash) = (pin!(pump), pin!(hash));
    let mut hashed = None;
    let pumped = loop {
        tokio::select! {
            biased;
            pumped = &mut pump => break pumped,
            hash = &mut hash, if hashed.is_none() => hashed = Some(hash),
        }
    };
    let hashed = match hashed {
        Some(hashed) => hashed,
        None => timeout(REST_TIME, hash).await.unwrap_or_default(),
    };
    (pumped, hashed)
}

/// Passes a body on, frame by frame, measures it, and keeps up to `limit` bytes of it. A client that is
/// gone holds nothing up; of what is made only for who listens, it is the end.
async fn pump<A>(
    mut body: Pin<&mut A>,
    pieces: &mpsc::Sender<Piece>,
    has_begun: &AtomicBool,
    limit: usize,
    mut gauge: Option<&mut Gauge>,
) -> Pumped
where
    A: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let is_live = gauge.as_ref().is_some_and(|gauge| gauge.is_live());
    let mut whole = Whole { kept: Some(Vec::new()), last: None };
    loop {
        let frame = tokio::select! {
            biased;
            () = pieces.closed(), if is_live => return Pumped::Abandoned,
            frame = next(body.as_mut()) => frame,
        };
        let mut frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                send(pieces, Piece::Failed(error)).await;
                return Pumped::Broken;
            }
            None => return Pumped::Whole(whole),
        };
        if let (Some(gauge), Some(data)) = (gauge.as_deref_mut(), frame.data_ref()) {
            gauge.feed(data);
        }
        whole.keep(&mut frame, limit);
        if body.is_end_stream() {
            whole.last = Some(frame);
            return Pumped::Whole(whole);
        }
        has_begun.store(true, Relaxed);
        send(pieces, Piece::Frame(frame)).await;
    }
}

async fn next<A>(mut body: Pin<&mut A>) -> Option<Result<Frame<Bytes>, BoxError>>
where
    A: Body<Data = Bytes, Error: Into<BoxError>>,
{
    Some(body.frame().await?.map_err(Into::into))
}

impl Whole {
    fn keep(&mut self, frame: &mut Frame<Bytes>, limit: usize) {
        if let Some(trailers) = frame.trailers_mut() {
            dialect::strip_answer(trailers);
        }
        let (Some(data), Some(kept)) = (frame.data_ref(), &mut self.kept) else { return };
        if kept.len().saturating_add(data.len()) <= limit {
            kept.extend_from_slice(data);
        } else {
            self.kept = None;
        }
    }
}

/// Sends the head of an answer; a client that is gone needs none.
fn deliver<A, E>(first: Option<First<A, E>>) {
    if let Some(First { client, head }) = first {
        drop(client.send(Ok(head)));
    }
}

async fn send(pieces: &mpsc::Sender<Piece>, piece: Piece) {
    // A client that is gone is no reason to stop.
    drop(pieces.send(piece).await);
}
