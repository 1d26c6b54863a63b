//! The prices of a gateway while it serves.

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use x402_std::Seller;
use x402_std::config::Config;

use super::minutes::FIELDS;
use super::router::Handling;
use super::{GatewayError, Router};
use crate::server::{Pricing, Quote};

/// The prices of a gateway, which can be replaced while it serves: what was quoted before is kept, where
/// the gateway [signs](super::Gateway::signing) it.
#[derive(Clone)]
pub struct Prices(Arc<RwLock<Arc<Router>>>);

impl Prices {
    pub(super) fn new(router: Router) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(router))))
    }

    /// Has every request from now on priced by this router.
    pub fn replace(&self, router: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(router);
    }

    fn now(&self) -> Arc<Router> {
        // An `Arc` is whole whatever panicked.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How a request is handled, beside its price.
    pub(super) fn handling(&self, path: &str, method: &Method) -> Handling {
        self.now().handling(path, method)
    }
}

impl Router {
    /// The routes of a configuration, that are paid for through `seller`.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Settler`] where buyers could sign a ceiling, and it is not known who settles.
    pub fn of_seller(config: &Config, seller: &Seller) -> Result<Self, GatewayError> {
        let router = Self::from_config(config);
        if !router.needs_settler() {
            return Ok(router);
        }
        let settler = seller.settler(config.asset.chain_id).ok_or(GatewayError::Settler)?;
        Ok(router.settled_by(settler))
    }
}

impl Pricing for Prices {
    fn quote(&self, request: &Parts) -> Quote {
        self.now().quote(request)
    }

    fn quote_body(&self, request: &Parts, body: &Bytes) -> Quote {
        self.now().quote_body(request, body)
    }

    fn fields(&self) -> Option<&'static [&'static str]> {
        Some(FIELDS)
    }
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prices").field(&self.now()).finish()
    }
}
