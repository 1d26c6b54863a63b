use crate::{Address, TransferMethod};

/// How much of what was signed is taken, and by which method it is moved.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Scheme {
    /// Exactly the price.
    Exact(TransferMethod),
    /// At most what was signed; how much is said when it is settled. By Permit2.
    Upto {
        /// The only account that may submit it.
        facilitator: Address,
    },
}

impl Scheme {
    /// The name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Upto { .. } => "upto",
        }
    }
}
