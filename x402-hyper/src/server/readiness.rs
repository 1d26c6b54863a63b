use bytes::Bytes;
use http::Response;
use x402_std::BoxFuture;

/// What says whether the work that is sold can be begun at all.
///
/// It is asked before a payment is taken, or a balance drawn on, that has not been before: where the answer is
/// no, nobody is charged for what cannot be had. What was taken before is owed, and goes on without being asked.
pub trait Readiness: Send + Sync + 'static {
    /// Whether it can, at this moment.
    ///
    /// # Errors
    ///
    /// The answer to the request: that it cannot, why, and what to do. That nothing was charged is added.
    fn ready(&self) -> BoxFuture<'_, Result<(), Response<Bytes>>>;
}
