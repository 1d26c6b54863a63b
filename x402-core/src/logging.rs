//! How the types that hold bytes show themselves to [`defmt`]: as people know them. Keys and signatures
//! do not.

use defmt::{Display2Format, Format, Formatter, write};

use crate::{Address, Amount, ChainId, Nonce, Offer, PaymentId, Price, Signature, Timestamp};

macro_rules! as_displayed {
    ($($name:ty,)*) => {$(
        impl Format for $name {
            fn format(&self, f: Formatter<'_>) {
                Display2Format(self).format(f);
            }
        }
    )*};
}

as_displayed! { Address, Amount, ChainId, Nonce, PaymentId, Price, Timestamp, }

impl Format for Offer<'_> {
    fn format(&self, f: Formatter<'_>) {
        let (asset, terms) = (self.asset(), self.requirements());
        let price = terms.amount.to_price(asset.decimals);
        write!(f, "{} {=str} on {} to {}", price, asset.symbol, terms.chain_id, terms.pay_to);
    }
}

impl Format for Signature {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Signature(..)");
    }
}

#[cfg(feature = "k256")]
impl Format for crate::secp256k1::CombSigner {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "CombSigner(..)");
    }
}

#[cfg(feature = "k256")]
impl Format for crate::secp256k1::K256Signer {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "K256Signer(..)");
    }
}
