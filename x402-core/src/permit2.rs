/*!
[Permit2](https://github.com/Uniswap/permit2): transfers of any ERC-20 by a signature of its holder,
by way of the proxies of x402.

The holder lets the Permit2 contract move the token once, by an `approve`. Then a signed
`PermitWitnessTransferFrom` lets its `spender` move so much of it; the spenders are contracts that
move it only to the recipient in the signed `witness`. There is one for the scheme `exact`, and one
for `upto`, which moves less than was signed where it is told so by the facilitator that the witness
names.

The types are those of the x402 specification, schemes `exact` and `upto` for EVM.
*/

use crate::eip712::Digest;
use crate::{Address, Amount, ChainId, DomainSeparator, Nonce, Timestamp};
use crate::{hex, keccak256};

/// The Permit2 contract, at the same address on every chain.
pub const PERMIT2: Address =
    Address::new(hex::literal("0x000000000022D473030F116dDEE9F6B43aC78BA3"));
/// The spender of the scheme `exact`: `x402ExactPermit2Proxy`.
pub const EXACT_PROXY: Address =
    Address::new(hex::literal("0x402085c248EeA27D92E8b30b2C58ed07f9E20001"));
/// The spender of the scheme `upto`: `x402UptoPermit2Proxy`.
pub const UPTO_PROXY: Address =
    Address::new(hex::literal("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"));

/// `keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)")`: Permit2's
/// domain has no version.
pub const DOMAIN_TYPE_HASH: [u8; 32] =
    hex::literal("0x8cad95687ba82c2ce50e74f7b754645e5117c3a5bec8151c0726d5857980a866");
/// `keccak256` of the type `TokenPermissions`.
pub const TOKEN_PERMISSIONS_TYPE_HASH: [u8; 32] =
    hex::literal("0x618358ac3db8dc274f0cd8829da7e234bd48cd73c4a740aede1adec9846d06a1");
/// `keccak256` of the type `Witness` of the scheme `exact`.
pub const EXACT_WITNESS_TYPE_HASH: [u8; 32] =
    hex::literal("0xd97b3239a7f32295517bd14cb074edfdd188dfe5eb42f802bb26d4fd1eb12c37");
/// `keccak256` of the type `Witness` of the scheme `upto`.
pub const UPTO_WITNESS_TYPE_HASH: [u8; 32] =
    hex::literal("0xd4171c445a74218b01d4fd8af34ff1106580ea1e36ff837e64484bfaa2253b75");
/// `keccak256` of the type `PermitWitnessTransferFrom` with the witness of the scheme `exact`.
pub const EXACT_PERMIT_TYPE_HASH: [u8; 32] =
    hex::literal("0xebc156cd23678a74c94df13d772ef5478420637f0c94bd10d509e1dc98f521c7");
/// `keccak256` of the type `PermitWitnessTransferFrom` with the witness of the scheme `upto`.
pub const UPTO_PERMIT_TYPE_HASH: [u8; 32] =
    hex::literal("0x51dff6974ad4388c499e7fcfe838d2bd767162553a144098ce20ea661d70c2ee");

/// Selector of the exact proxy's `settle`.
pub const SETTLE_EXACT_SELECTOR: [u8; 4] = hex::literal("0x13cd3b53");
/// Selector of the upto proxy's `settle`.
pub const SETTLE_UPTO_SELECTOR: [u8; 4] = hex::literal("0xff11e7b4");
/// Selector of the exact proxy's `settleWithPermit`.
pub const SETTLE_EXACT_WITH_PERMIT_SELECTOR: [u8; 4] = hex::literal("0xfa340378");
/// Selector of the upto proxy's `settleWithPermit`.
pub const SETTLE_UPTO_WITH_PERMIT_SELECTOR: [u8; 4] = hex::literal("0x016c1748");

/// The EIP-712 domain of Permit2 on a chain.
#[must_use]
pub fn domain(chain_id: ChainId) -> DomainSeparator {
    DomainSeparator::new(keccak256(&[
        &DOMAIN_TYPE_HASH,
        &keccak256(&[b"Permit2"]),
        &Amount::from_units(chain_id.get().into()).to_be_bytes(),
        &PERMIT2.to_word(),
    ]))
}

/// By which scheme, so by which spender.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// All of it, by whoever submits it.
    Exact,
    /// At most so much, by one facilitator alone.
    Upto {
        /// That facilitator.
        facilitator: Address,
    },
}

/// Leave to move tokens, as the payer signs it.
///
/// ```text
/// PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,
///                           uint256 deadline,Witness witness)
/// TokenPermissions(address token,uint256 amount)
/// Witness(address to,uint256 validAfter)                          exact
/// Witness(address to,address facilitator,uint256 validAfter)      upto
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Permit {
    /// Who pays.
    pub from: Address,
    /// The token.
    pub token: Address,
    /// How much, in atomic units; at most so much where the kind is [`Kind::Upto`].
    pub amount: Amount,
    /// What makes it single, among all of the payer's permits: the number as 32 big-endian bytes.
    pub nonce: Nonce,
    /// Valid in blocks whose time is not later than this.
    pub deadline: Timestamp,
    /// Who is paid.
    pub to: Address,
    /// Valid in blocks whose time is not earlier than this.
    pub valid_after: Timestamp,
    /// By which scheme.
    pub kind: Kind,
}

impl Permit {
    /// The contract that may move it.
    #[must_use]
    pub const fn spender(&self) -> Address {
        match self.kind {
            Kind::Exact => EXACT_PROXY,
            Kind::Upto { .. } => UPTO_PROXY,
        }
    }

    /// The only account that may submit it, where there is one.
    #[must_use]
    pub const fn facilitator(&self) -> Option<Address> {
        match self.kind {
            Kind::Exact => None,
            Kind::Upto { facilitator } => Some(facilitator),
        }
    }

    /// The digest that the payer signs.
    #[must_use]
    pub fn digest(&self, chain_id: ChainId) -> Digest {
        domain(chain_id).digest(&self.struct_hash())
    }

    /// The EIP-712 hash of the struct.
    #[must_use]
    pub fn struct_hash(&self) -> [u8; 32] {
        let (token, amount) = (self.token.to_word(), self.amount.to_be_bytes());
        let permitted = keccak256(&[&TOKEN_PERMISSIONS_TYPE_HASH, &token, &amount]);
        let (to, after) = (self.to.to_word(), self.valid_after.to_be_bytes());
        let (type_hash, witness) = match self.kind {
            Kind::Exact => {
                (EXACT_PERMIT_TYPE_HASH, keccak256(&[&EXACT_WITNESS_TYPE_HASH, &to, &after]))
            }
            Kind::Upto { facilitator } => {
                let parts: [&[u8]; 4] =
                    [&UPTO_WITNESS_TYPE_HASH, &to, &facilitator.to_word(), &after];
                (UPTO_PERMIT_TYPE_HASH, keccak256(&parts))
            }
        };
        let (spender, deadline) = (self.spender().to_word(), self.deadline.to_be_bytes());
        let nonce = self.nonce.as_bytes();
        let parts: [&[u8]; 6] = [&type_hash, &permitted, &spender, nonce, &deadline, &witness];
        keccak256(&parts)
    }

    /// Length of [`Self::calldata`] for a signature of so many bytes.
    #[must_use]
    pub const fn calldata_len(&self, signature: usize) -> usize {
        let words = match self.kind {
            Kind::Exact => 9,
            Kind::Upto { .. } => 11,
        };
        4 + words * 32 + signature.next_multiple_of(32)
    }

    /// ABI calldata of the spender's `settle`, which moves the money.
    ///
    /// ```text
    /// settle(((token, amount), nonce, deadline), owner, (to, validAfter), signature)
    /// settle(((token, amount), nonce, deadline), moved, owner, (to, facilitator, validAfter), signature)
    /// ```
    ///
    /// `moved` is how much is taken: at most what was signed where the kind is [`Kind::Upto`], else
    /// exactly that. Writes to the front of `out` and returns that part of it, or `None` where `moved`
    /// is none of that, or `out` is shorter than [`Self::calldata_len`].
    pub fn calldata<'o>(
        &self,
        moved: Amount,
        signature: &[u8],
        out: &'o mut [u8],
    ) -> Option<&'o [u8]> {
        let is_signed = match self.kind {
            Kind::Exact => moved == self.amount,
            Kind::Upto { .. } => moved <= self.amount,
        };
        if !is_signed {
            return None;
        }
        let data = out.get_mut(..self.calldata_len(signature.len()))?;
        data.fill(0);
        let (selector, rest) = data.split_at_mut_checked(4)?;
        let (token, amount) = (self.token.to_word(), self.amount.to_be_bytes());
        let (nonce, deadline) = (*self.nonce.as_bytes(), self.deadline.to_be_bytes());
        let (owner, to) = (self.from.to_word(), self.to.to_word());
        let after = self.valid_after.to_be_bytes();
        let length = Amount::from_units(signature.len() as u128).to_be_bytes();
        let offset = |words: u128| Amount::from_units(words * 32).to_be_bytes();
        let tail = match self.kind {
            Kind::Exact => {
                selector.copy_from_slice(&SETTLE_EXACT_SELECTOR);
                let words = [token, amount, nonce, deadline, owner, to, after, offset(8), length];
                put(rest, &words)?
            }
            Kind::Upto { facilitator } => {
                selector.copy_from_slice(&SETTLE_UPTO_SELECTOR);
                let (moved, facilitator) = (moved.to_be_bytes(), facilitator.to_word());
                let head = [token, amount, nonce, deadline, moved, owner, to, facilitator, after];
                let rest = put(rest, &head)?;
                put(rest, &[offset(10), length])?
            }
        };
        tail.get_mut(..signature.len())?.copy_from_slice(signature);
        Some(data)
    }
}

impl Permit {
    /// How much a call of the proxy moves by this permit, in atomic units: `settle`, or
    /// `settleWithPermit`, which has the five words of an EIP-2612 permit in front of the same. `None`
    /// where it is another call, or that of another permit. The signature is not looked at: the proxy
    /// has.
    #[must_use]
    pub fn moved_by(&self, calldata: &[u8]) -> Option<Amount> {
        const PERMIT_WORDS: usize = 5;
        let (selector, rest) = calldata.split_first_chunk()?;
        let (plain, with_permit) = match self.kind {
            Kind::Exact => (SETTLE_EXACT_SELECTOR, SETTLE_EXACT_WITH_PERMIT_SELECTOR),
            Kind::Upto { .. } => (SETTLE_UPTO_SELECTOR, SETTLE_UPTO_WITH_PERMIT_SELECTOR),
        };
        let words = match *selector {
            selector if selector == plain => rest.as_chunks().0,
            selector if selector == with_permit => rest.as_chunks().0.get(PERMIT_WORDS..)?,
            _ => return None,
        };
        let (token, amount) = (self.token.to_word(), self.amount.to_be_bytes());
        let permitted = [token, amount, *self.nonce.as_bytes(), self.deadline.to_be_bytes()];
        let (owner, to) = (self.from.to_word(), self.to.to_word());
        let after = self.valid_after.to_be_bytes();
        let words = words.strip_prefix(&permitted)?;
        match self.kind {
            Kind::Exact => words.starts_with(&[owner, to, after]).then_some(self.amount),
            Kind::Upto { facilitator } => {
                let (moved, words) = words.split_first()?;
                let is_this = words.starts_with(&[owner, to, facilitator.to_word(), after]);
                is_this.then(|| Amount::from_be_bytes(*moved))
            }
        }
    }
}

/// Puts words at the front, and returns what is behind them.
fn put<'o>(out: &'o mut [u8], words: &[[u8; 32]]) -> Option<&'o mut [u8]> {
    let (front, rest) = out.split_at_mut_checked(words.len() * 32)?;
    for (slot, word) in front.as_chunks_mut().0.iter_mut().zip(words) {
        *slot = *word;
    }
    Some(rest)
}
