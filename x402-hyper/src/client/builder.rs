use core::fmt;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use x402_core::{Address, Asset, ChainId};

use super::QuotingClient;
use super::sign::AnySigner;
use super::{Budget, ClientError, Dialect, HttpOptions, Keep, Limits, PayingClient, Payment};

/// Makes a [`PayingClient`].
pub struct Builder {
    signer: Arc<dyn AnySigner>,
    limits: Limits,
    options: HttpOptions,
    budget: Option<Budget>,
    keep: Option<Arc<Keep>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(signer: Arc<dyn AnySigner>, limits: Limits) -> Self {
        Self { signer, limits, options: HttpOptions::default(), budget: None, keep: None }
    }

    /// Pays nobody else.
    #[must_use]
    pub const fn recipient(mut self, recipient: Address) -> Self {
        self.limits.recipient = Some(recipient);
        self
    }

    /// Pays with nothing else, but for what else is named so; a symbol or an address.
    #[must_use]
    pub fn asset(mut self, asset: impl Into<String>) -> Self {
        self.limits.assets.push(asset.into());
        self
    }

    /// Pays in no other dialect.
    #[must_use]
    pub const fn dialect(mut self, dialect: Dialect) -> Self {
        self.limits.dialect = Some(dialect);
        self
    }

    /// Signs permits too; see [`Limits::permit2`].
    #[must_use]
    pub const fn permit2(mut self, is_allowed: bool) -> Self {
        self.limits.permit2 = is_allowed;
        self
    }

    /// Pays on no other network.
    #[must_use]
    pub const fn network(mut self, network: ChainId) -> Self {
        self.limits.network = Some(network);
        self
    }

    /// Pays no more than a budget allows, which counts over payments, restarts and processes.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Keeps each payment, once it is signed and before it is sent: by [`Payment::save`], say, so that
    /// nothing that ends this process loses it. Where that fails, the payment is not sent.
    #[must_use]
    pub fn keep(
        mut self,
        keep: impl Fn(&Payment) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.keep = Some(Arc::new(keep));
        self
    }

    /// Signs no longer validity than this, in seconds.
    #[must_use]
    pub const fn max_timeout_seconds(mut self, seconds: u32) -> Self {
        self.limits.max_timeout_seconds = seconds;
        self
    }

    /// Lets a token be asked for that the core's table does not have. A token of the table cannot
    /// be replaced.
    #[must_use]
    pub fn known_asset(mut self, asset: &Asset<'_>) -> Self {
        self.options.known_assets.push(asset.into());
        self
    }

    /// Limits the time of each request.
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.options.request_timeout = timeout;
        self
    }

    /// Limits the length of an answer's body, in bytes.
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.options.body_limit = bytes;
        self
    }

    /// Replaces all options of HTTP at once, known assets included.
    #[must_use]
    pub fn http(mut self, options: HttpOptions) -> Self {
        self.options = options;
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// [`ClientError::Tls`] where TLS cannot be set up.
    pub fn build(self) -> Result<PayingClient, ClientError> {
        let quoting = QuotingClient::new(self.options)?;
        let (limits, budget) = (Arc::new(self.limits), self.budget.map(Arc::new));
        Ok(PayingClient { quoting, signer: self.signer, limits, budget, keep: self.keep })
    }
}
