use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use http::Extensions;
use tokio::sync::watch;
use tower_layer::Layer;
use x402_std::Seller;
use x402_std::config::RequestLimits;
use x402_std::quote::TokenKeys;

use super::cors::Cors;
use super::prepared::Prepared;
use super::pricing::Pricing;
use super::readiness::Readiness;
use super::service::PaymentService;
use super::tokens::Tokens;

/// Puts a price before a service: makes [`PaymentService`]s.
///
/// See the [module](super) for an example.
#[derive(Clone)]
pub struct PaymentLayer {
    shared: Shared,
}

/// What the services of a layer, and their tasks, have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) seller: Arc<Seller>,
    pub(super) pricing: Arc<dyn Pricing>,
    pub(super) limits: Limits,
    pub(super) tokens: Option<Tokens>,
    pub(super) prepared: Arc<Prepared>,
    /// Who is asked before a payment is taken.
    pub(super) readiness: Option<Arc<dyn Readiness>>,
    pub(super) cors: Cors,
    /// How many paid requests are being worked on.
    busy: Arc<watch::Sender<usize>>,
}

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) payment_size: usize,
    pub(super) kept: usize,
    pub(super) body: u64,
    pub(super) body_time: Duration,
    pub(super) alone: Duration,
    /// For how long, in seconds, the name of a balance is good; `None` for as long as it is not replaced.
    pub(super) name_life: Option<u64>,
}

impl Limits {
    /// As they are for a request with these extensions.
    pub(super) fn of(self, extensions: &Extensions) -> Self {
        let Some(own) = extensions.get::<RequestLimits>() else { return self };
        Self {
            kept: own.kept_answer.unwrap_or(self.kept),
            body_time: own.body_time.unwrap_or(self.body_time),
            alone: own.answer_timeout.unwrap_or_default().max(self.alone),
            ..self
        }
    }
}

/// Counts a paid request as being worked on, until dropped.
pub(super) struct Busy(Arc<watch::Sender<usize>>);

impl PaymentLayer {
    /// Sells what `pricing` names, through `seller`.
    pub fn new(seller: Arc<Seller>, pricing: impl Pricing) -> Self {
        let limits = Limits {
            payment_size: 16 << 10,
            kept: 1 << 20,
            body: 64 << 20,
            body_time: Duration::from_secs(30),
            alone: Duration::from_secs(300),
            name_life: None,
        };
        let busy = Arc::new(watch::Sender::new(0));
        let (pricing, prepared) = (Arc::new(pricing), Arc::new(Prepared::new()));
        let (tokens, readiness, cors) = (None, None, Cors::any());
        Self { shared: Shared { seller, pricing, limits, tokens, prepared, readiness, cors, busy } }
    }

    /// Signs what it says with these keys, and keeps to it: a price, so that what is paid for it in time is
    /// taken though the price has changed; and the time that was bought, as a pass. Payers can draw on
    /// what they have paid and not used.
    ///
    /// All gateways that sell the same, under one name, have the same keys, and keep them.
    #[must_use]
    pub fn signing(mut self, keys: TokenKeys) -> Self {
        self.shared.tokens = Some(Tokens::new(keys));
        // Those that were made have other quotes, or none.
        self.shared.prepared = Arc::new(Prepared::new());
        self
    }

    /// Asks whether the work can be begun before a payment is taken for it. Without it, it always can.
    #[must_use]
    pub fn ready_by(mut self, readiness: impl Readiness) -> Self {
        self.shared.readiness = Some(Arc::new(readiness));
        self
    }

    /// Tells browsers whose pages may buy here (everybody's).
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.shared.cors = cors;
        self
    }

    /// Answers 431 where the payment's header fields are longer than so many bytes (16 KiB).
    #[must_use]
    pub const fn payment_size_up_to(mut self, bytes: usize) -> Self {
        self.shared.limits.payment_size = bytes;
        self
    }

    /// Keeps an answer, so that it can be given again, if its body has at most so many bytes
    /// (1 MiB). The repetition of a request whose answer was larger is told that it was served.
    #[must_use]
    pub const fn keep_answers_up_to(mut self, bytes: usize) -> Self {
        self.shared.limits.kept = bytes;
        self
    }

    /// Reads so much of a request's body (64 MiB), for so long (30 s), where only its hash is
    /// wanted: a repetition's, and what the service behind has left unread.
    #[must_use]
    pub const fn hash_bodies_up_to(mut self, bytes: u64, time: Duration) -> Self {
        self.shared.limits.body = bytes;
        self.shared.limits.body_time = time;
        self
    }

    /// Goes on for so long (5 minutes) with paid work whose client is gone. After that it counts
    /// as not done: a repetition of the request does it anew.
    #[must_use]
    pub const fn finish_within(mut self, time: Duration) -> Self {
        self.shared.limits.alone = time;
        self
    }

    /// Takes the name of a balance for so long from its making, to the second (without end). Who pays has a new
    /// one told, and who signs for it; the balance itself stays.
    #[must_use]
    pub const fn credit_names_for(mut self, time: Duration) -> Self {
        self.shared.limits.name_life = Some(time.as_secs());
        self
    }

    /// Waits until no paid request is being worked on: what a server waits for before it ends, for
    /// the work of clients who are gone is in no connection.
    pub async fn idle(&self) {
        // The sender is ours, so the wait cannot fail.
        drop(self.shared.busy.subscribe().wait_for(|count| *count == 0).await);
    }
}

impl<S> Layer<S> for PaymentLayer {
    type Service = PaymentService<S>;

    fn layer(&self, inner: S) -> PaymentService<S> {
        PaymentService::new(inner, Arc::new(self.shared.clone()))
    }
}

impl fmt::Debug for PaymentLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentLayer").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn busy(&self) -> Busy {
        self.busy.send_modify(|count| *count += 1);
        Busy(Arc::clone(&self.busy))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
