//! What is sold by the one image and bought by the other.

use x402_core::device::Limits;
use x402_core::secp256k1::InvalidKey;
use x402_core::{Address, Amount, Asset, ChainId, Offer};

#[cfg(feature = "libsecp256k1")]
pub use crate::libsecp::{Key, Recovery};
#[cfg(not(feature = "libsecp256k1"))]
pub use x402_core::secp256k1::{CombSigner as Key, Vartime as Recovery};

/// USDC on the chain that the tests run: a constant, so that no table of all tokens is linked.
#[must_use]
pub fn usdc() -> Asset<'static> {
    Asset {
        chain_id: ChainId::ETHEREUM,
        symbol: "USDC",
        address: Address::new([
            0xa0, 0xb8, 0x69, 0x91, 0xc6, 0x21, 0x8b, 0x36, 0xc1, 0xd1, 0x9d, 0x4a, 0x2e, 0x9e,
            0xb0, 0xce, 0x36, 0x06, 0xeb, 0x48,
        ]),
        name: "USD Coin",
        version: "2",
        decimals: 6,
        transfer_method: x402_core::TransferMethod::Eip3009,
        log_order: x402_core::LogOrder::TransferNext,
    }
}

/// 0x209693Bc6afc0C5328bA36FaF03C514EF312287C.
#[must_use]
pub const fn payee() -> Address {
    Address::new([
        0x20, 0x96, 0x93, 0xbc, 0x6a, 0xfc, 0x0c, 0x53, 0x28, 0xba, 0x36, 0xfa, 0xf0, 0x3c, 0x51,
        0x4e, 0xf3, 0x12, 0x28, 0x7c,
    ])
}

/// A cent for a reading.
#[must_use]
pub fn offer() -> Offer<'static> {
    Offer::new(usdc(), payee(), Amount::from_units(10_000), 60)
}

/// A cent at a time, and a dollar altogether.
#[must_use]
pub fn limits() -> Limits<'static> {
    Limits {
        asset: usdc(),
        recipient: payee(),
        max: Amount::from_units(10_000),
        budget: Amount::from_units(1_000_000),
        max_timeout_seconds: 60,
    }
}

/// The second account of the development mnemonic, which every Ethereum tool knows.
pub const KEY_BYTES: [u8; 32] = [
    0x59, 0xc6, 0x99, 0x5e, 0x99, 0x8f, 0x97, 0xa5, 0xa0, 0x04, 0x49, 0x66, 0xf0, 0x94, 0x53, 0x89,
    0xdc, 0x9e, 0x86, 0xda, 0xe8, 0x8c, 0x7a, 0x84, 0x12, 0xf4, 0x60, 0x3b, 0x6b, 0x78, 0x69, 0x0d,
];

/// The holder of [`KEY_BYTES`].
///
/// # Errors
///
/// None: it is a key.
pub fn signer() -> Result<Key, InvalidKey> {
    Key::from_bytes(&KEY_BYTES)
}
