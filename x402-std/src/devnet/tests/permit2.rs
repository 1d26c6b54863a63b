//! Permit2 and the proxies of x402 answer as those in use do: logs, their order, and errors.

use alloy_primitives::{Bytes, LogData, address};
use alloy_sol_types::{Eip712Domain, SolCall, SolError, SolEvent, SolStruct, sol};

use super::scene::*;
use super::*;

sol! {
    interface Permit2 {
        function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external;
        function nonceBitmap(address owner, uint256 word) external view returns (uint256);
    }

    event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);
    event Settled();
    event SettledWithPermit();
    event EIP2612PermitFailedWithReason(address indexed token, address indexed owner, string reason);

    error InvalidContractSignature();
    error InvalidNonce();
    error InvalidSignature();
    error InvalidSignatureLength();
    error InvalidSigner();
    error SignatureExpired(uint256 signatureDeadline);

    error AmountExceedsPermitted();
    error InvalidAmount();
    error InvalidDestination();
    error InvalidOwner();
    error PaymentTooEarly();
    error Permit2612AmountMismatch();
    error UnauthorizedFacilitator();
}

/// What both proxies take, with the witness of one of them.
macro_rules! proxy {
    ($name:ident, { $($witness:tt)* }, ($($amount:tt)*)) => {
        mod $name {
            alloy_sol_types::sol! {
                struct TokenPermissions {
                    address token;
                    uint256 amount;
                }

                struct Witness {
                    $($witness)*
                }

                struct PermitWitnessTransferFrom {
                    TokenPermissions permitted;
                    address spender;
                    uint256 nonce;
                    uint256 deadline;
                    Witness witness;
                }

                struct PermitTransferFrom {
                    TokenPermissions permitted;
                    uint256 nonce;
                    uint256 deadline;
                }

                struct EIP2612Permit {
                    uint256 value;
                    uint256 deadline;
                    bytes32 r;
                    bytes32 s;
                    uint8 v;
                }

                function settle(PermitTransferFrom permit, $($amount)* address owner, Witness witness, bytes signature) external;
                function settleWithPermit(EIP2612Permit permit2612, PermitTransferFrom permit, $($amount)* address owner, Witness witness, bytes signature) external;
            }
        }
    };
}

proxy!(exact, { address to; uint256 validAfter; }, ());
proxy!(upto, { address to; address facilitator; uint256 validAfter; }, (uint256 amount,));

const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");
const EXACT: Address = address!("402085c248EeA27D92E8b30b2C58ed07f9E20001");
const UPTO: Address = address!("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");
const FAILED: &str = "TRANSFER_FROM_FAILED";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Proxy {
    Exact,
    Upto,
}

const PROXIES: [Proxy; 2] = [Proxy::Exact, Proxy::Upto];

/// A payment by Permit2; `amount` is what the proxy of `upto` is told to move.
#[derive(Clone, Copy)]
struct Terms {
    token: Address,
    owner: Address,
    to: Address,
    facilitator: Address,
    permitted: u64,
    amount: u64,
    nonce: U256,
    deadline: u64,
    after: u64,
}

/// 5 USDC of the buyer's to the owner of the token, moved by the settler.
fn terms() -> Terms {
    Terms {
        token: usdc(),
        owner: buyer(),
        to: owner(),
        facilitator: settler(),
        permitted: 5_000_000,
        amount: 5_000_000,
        nonce: U256::from(0x1234),
        deadline: NOW + 3_600,
        after: NOW - 10,
    }
}

impl Proxy {
    fn address(self) -> Address {
        match self {
            Self::Exact => EXACT,
            Self::Upto => UPTO,
        }
    }

    fn digest(self, terms: &Terms) -> B256 {
        let domain = Eip712Domain::new(
            Some("Permit2".into()),
            None,
            Some(U256::from(1)),
            Some(PERMIT2),
            None,
        );
        let (token, amount) = (terms.token, U256::from(terms.permitted));
        let (nonce, deadline) = (terms.nonce, U256::from(terms.deadline));
        let (to, after, spender) = (terms.to, U256::from(terms.after), self.address());
        match self {
            Self::Exact => exact::PermitWitnessTransferFrom {
                permitted: exact::TokenPermissions { token, amount },
                spender,
                nonce,
                deadline,
                witness: exact::Witness { to, validAfter: after },
            }
            .eip712_signing_hash(&domain),
            Self::Upto => upto::PermitWitnessTransferFrom {
                permitted: upto::TokenPermissions { token, amount },
                spender,
                nonce,
                deadline,
                witness: upto::Witness { to, facilitator: terms.facilitator, validAfter: after },
            }
            .eip712_signing_hash(&domain),
        }
    }

    fn sign(self, terms: &Terms) -> Vec<u8> {
        sign_digest(BUYER_KEY, self.digest(terms))
    }

    /// The call of `settle`, and with a permit that of `settleWithPermit`.
    fn call(self, terms: &Terms, signature: &[u8], permit: Option<&(Permit, Vec<u8>)>) -> Vec<u8> {
        let (token, amount) = (terms.token, U256::from(terms.permitted));
        let (nonce, deadline) = (terms.nonce, U256::from(terms.deadline));
        let (owner, to, after) = (terms.owner, terms.to, U256::from(terms.after));
        let signature = Bytes::copy_from_slice(signature);
        let shown = permit.map(|(permit, signature)| {
            let (v, r, s) = split(signature);
            (permit.value, permit.deadline, v, r, s)
        });
        match self {
            Self::Exact => {
                let permitted = exact::TokenPermissions { token, amount };
                let permit = exact::PermitTransferFrom { permitted, nonce, deadline };
                let witness = exact::Witness { to, validAfter: after };
                let Some((value, deadline, v, r, s)) = shown else {
                    return exact::settleCall { permit, owner, witness, signature }.abi_encode();
                };
                let permit2612 = exact::EIP2612Permit { value, deadline, r, s, v };
                exact::settleWithPermitCall { permit2612, permit, owner, witness, signature }
                    .abi_encode()
            }
            Self::Upto => {
                let permitted = upto::TokenPermissions { token, amount };
                let permit = upto::PermitTransferFrom { permitted, nonce, deadline };
                let witness =
                    upto::Witness { to, facilitator: terms.facilitator, validAfter: after };
                let amount = U256::from(terms.amount);
                let Some((value, deadline, v, r, s)) = shown else {
                    return upto::settleCall { permit, amount, owner, witness, signature }
                        .abi_encode();
                };
                let permit2612 = upto::EIP2612Permit { value, deadline, r, s, v };
                upto::settleWithPermitCall { permit2612, permit, amount, owner, witness, signature }
                    .abi_encode()
            }
        }
    }

    fn signed(self, terms: &Terms) -> Vec<u8> {
        self.call(terms, &self.sign(terms), None)
    }

    fn wrote(self, event: &impl SolEvent) -> (Address, LogData) {
        (self.address(), event.encode_log_data())
    }

    #[track_caller]
    fn reverts(self, chain: &Devnet, terms: &Terms, reason: &impl SolError) {
        let reason = hex::encode_prefixed(reason.abi_encode());
        reverts(chain, settler(), self.address(), &self.signed(terms), &reason);
    }
}

/// A chain with Permit2 and both proxies, where the buyer lets Permit2 move all or nothing.
fn chain_where_permit2_may_move(value: U256) -> Devnet {
    let chain = chain();
    let code = include_str!("../../../../tests/contracts/bytecode/Permit2.runtime.hex");
    install(&chain, PERMIT2, code);
    let code = include_str!("../../../../tests/contracts/bytecode/ExactProxy.runtime.hex");
    install(&chain, EXACT, code);
    let code = include_str!("../../../../tests/contracts/bytecode/UptoProxy.runtime.hex");
    install(&chain, UPTO, code);
    let approve = FiatToken::approveCall { spender: PERMIT2, value }.abi_encode();
    logs_of(&chain, BUYER_KEY, usdc(), &approve);
    chain
}

fn chain_with_permit2() -> Devnet {
    chain_where_permit2_may_move(U256::MAX)
}

/// The buyer's permit that Permit2 may move `value`, signed by a key.
fn permit(key: B256, value: u64) -> (Permit, Vec<u8>) {
    let permit = Permit {
        owner: buyer(),
        spender: PERMIT2,
        value: U256::from(value),
        nonce: U256::ZERO,
        deadline: U256::from(NOW + 3_600),
    };
    let signature = sign_for_usdc(key, &permit);
    (permit, signature)
}

fn word(chain: &Devnet, nonce: U256) -> U256 {
    view(chain, PERMIT2, &Permit2::nonceBitmapCall { owner: buyer(), word: nonce >> 8 })
}

#[test]
fn selectors_are_the_official_ones() {
    assert_eq!(exact::settleCall::SELECTOR, hex!("13cd3b53"));
    assert_eq!(exact::settleWithPermitCall::SELECTOR, hex!("fa340378"));
    assert_eq!(exact::settleCall::SELECTOR, x402_core::permit2::SETTLE_EXACT_SELECTOR);
    assert_eq!(upto::settleCall::SELECTOR, x402_core::permit2::SETTLE_UPTO_SELECTOR);
    assert_eq!(Permit2::invalidateUnorderedNoncesCall::SELECTOR, hex!("3ff9dcb1"));
    assert_eq!(Permit2::nonceBitmapCall::SELECTOR, hex!("4fe02b44"));
}

#[test]
fn settlement_is_logged_after_the_transfer_by_the_proxy() {
    for proxy in PROXIES {
        let chain = chain_with_permit2();
        let data = proxy.signed(&terms());
        let logs = logs_of(&chain, SETTLER_KEY, proxy.address(), &data);
        let transfer = moved(buyer(), owner(), 5_000_000);
        assert_eq!(logs, [transfer, proxy.wrote(&Settled {})], "{proxy:?}");
        assert_eq!(word(&chain, terms().nonce), U256::from(1) << 0x34);
        assert_eq!(word(&chain, U256::ZERO), U256::ZERO);
        proxy.reverts(&chain, &terms(), &InvalidNonce {});
    }
}

#[test]
fn less_than_was_permitted_moves_for_the_named_facilitator_alone() {
    let chain = chain_with_permit2();
    let some = Terms { amount: 3, ..terms() };
    let reason = hex::encode_prefixed(UnauthorizedFacilitator {}.abi_encode());
    reverts(&chain, buyer(), UPTO, &Proxy::Upto.signed(&some), &reason);
    let above = Terms { amount: 5_000_001, ..terms() };
    Proxy::Upto.reverts(&chain, &above, &AmountExceedsPermitted {});
    let logs = logs_of(&chain, SETTLER_KEY, UPTO, &Proxy::Upto.signed(&some));
    assert_eq!(logs, [moved(buyer(), owner(), 3), Proxy::Upto.wrote(&Settled {})]);
    // What was left of it cannot be moved either.
    Proxy::Upto.reverts(&chain, &Terms { amount: 1, ..terms() }, &InvalidNonce {});
}

#[test]
fn permit_is_shown_to_the_token_first() {
    for proxy in PROXIES {
        let chain = chain_where_permit2_may_move(U256::ZERO);
        reverts(&chain, settler(), proxy.address(), &proxy.signed(&terms()), FAILED);
        let signature = proxy.sign(&terms());
        let good = permit(BUYER_KEY, 5_000_000);
        let data = proxy.call(&terms(), &signature, Some(&good));
        let logs = logs_of(&chain, SETTLER_KEY, proxy.address(), &data);
        let value = U256::from(5_000_000);
        let approval = log(&Approval { owner: buyer(), spender: PERMIT2, value });
        let transfer = moved(buyer(), owner(), 5_000_000);
        assert_eq!(logs, [approval, transfer, proxy.wrote(&SettledWithPermit {})], "{proxy:?}");
    }
}

#[test]
fn refused_permit_is_logged_and_matters_only_where_it_was_needed() {
    for proxy in PROXIES {
        let signature = proxy.sign(&terms());
        let forged = permit(SETTLER_KEY, 5_000_000);
        let data = proxy.call(&terms(), &signature, Some(&forged));
        let chain = chain_where_permit2_may_move(U256::ZERO);
        reverts(&chain, settler(), proxy.address(), &data, FAILED);

        let chain = chain_with_permit2();
        let logs = logs_of(&chain, SETTLER_KEY, proxy.address(), &data);
        let refused = proxy.wrote(&EIP2612PermitFailedWithReason {
            token: usdc(),
            owner: buyer(),
            reason: "EIP2612: invalid signature".to_owned(),
        });
        let transfer = moved(buyer(), owner(), 5_000_000);
        assert_eq!(logs, [refused, transfer, proxy.wrote(&SettledWithPermit {})], "{proxy:?}");

        let other = proxy.call(&terms(), &signature, Some(&permit(BUYER_KEY, 5_000_001)));
        let reason = hex::encode_prefixed(Permit2612AmountMismatch {}.abi_encode());
        reverts(&chain, settler(), proxy.address(), &other, &reason);
    }
}

#[test]
fn proxies_refuse_nothing_nobody_nowhere_and_too_early() {
    let chain = chain_with_permit2();
    for proxy in PROXIES {
        let nothing = Terms { permitted: 0, amount: 0, ..terms() };
        proxy.reverts(&chain, &nothing, &InvalidAmount {});
        proxy.reverts(&chain, &Terms { owner: Address::ZERO, ..terms() }, &InvalidOwner {});
        proxy.reverts(&chain, &Terms { to: Address::ZERO, ..terms() }, &InvalidDestination {});
        let early = Terms { after: NOW + 1_000, ..terms() };
        proxy.reverts(&chain, &early, &PaymentTooEarly {});
        // In this order.
        let all = Terms { owner: Address::ZERO, to: Address::ZERO, ..early };
        proxy.reverts(&chain, &Terms { permitted: 0, amount: 0, ..all }, &InvalidAmount {});
        proxy.reverts(&chain, &all, &InvalidOwner {});
        proxy.reverts(&chain, &Terms { owner: buyer(), ..all }, &InvalidDestination {});
    }
    // Nothing of something that was permitted, too.
    Proxy::Upto.reverts(&chain, &Terms { amount: 0, ..terms() }, &InvalidAmount {});
}

#[test]
fn permit2_refuses_in_its_own_words() {
    let chain = chain_with_permit2();
    for proxy in PROXIES {
        let late = Terms { deadline: NOW - 1, ..terms() };
        let expired = SignatureExpired { signatureDeadline: U256::from(NOW - 1) };
        proxy.reverts(&chain, &late, &expired);
        let refuses = |signature: &[u8], reason: Vec<u8>| {
            let data = proxy.call(&terms(), signature, None);
            let reason = hex::encode_prefixed(reason);
            reverts(&chain, settler(), proxy.address(), &data, &reason);
        };
        let good = proxy.sign(&terms());
        let other = sign_digest(SETTLER_KEY, proxy.digest(&terms()));
        refuses(&other, InvalidSigner {}.abi_encode());
        refuses(&[&good[..64], &[good[64] - 27]].concat(), InvalidSignature {}.abi_encode());
        for length in [0, 63, 66] {
            refuses(&vec![0; length], InvalidSignatureLength {}.abi_encode());
        }
        for changed in [
            Terms { to: settler(), ..terms() },
            Terms { after: NOW - 11, ..terms() },
            Terms { nonce: U256::ZERO, ..terms() },
            Terms { permitted: 5_000_001, ..terms() },
            Terms { deadline: NOW + 3_601, ..terms() },
        ] {
            let data = proxy.call(&changed, &good, None);
            let reason = hex::encode_prefixed(InvalidSigner {}.abi_encode());
            reverts(&chain, settler(), proxy.address(), &data, &reason);
        }
    }
}

#[test]
fn permit2_takes_the_short_form_and_a_high_s() {
    let chain = chain_with_permit2();
    for proxy in PROXIES {
        let good = proxy.sign(&terms());
        let mut short = good[..64].to_vec();
        short[32] |= (good[64] - 27) << 7;
        for signature in [good.clone(), short, with_high_s(&good)] {
            let data = proxy.call(&terms(), &signature, None);
            assert!(try_call(&chain, settler(), proxy.address(), &data).is_ok());
        }
    }
}

#[test]
fn payers_with_code_are_asked() {
    let chain = chain_with_permit2();
    let wallet = include_str!("../../../../tests/contracts/bytecode/SwitchWallet.runtime.hex");
    install(&chain, buyer(), wallet);
    for proxy in PROXIES {
        proxy.reverts(&chain, &terms(), &InvalidContractSignature {});
    }
    let wallet = include_str!("../../../../tests/contracts/bytecode/YesWallet.runtime.hex");
    install(&chain, buyer(), wallet);
    for proxy in PROXIES {
        let data = proxy.call(&terms(), &[], None);
        assert!(try_call(&chain, settler(), proxy.address(), &data).is_ok());
    }
}

#[test]
fn nonces_are_burnt_by_their_owner_for_himself() {
    let chain = chain_with_permit2();
    let (place, mask) = (terms().nonce >> 8, U256::from(0b101) << 0x32);
    let burn = Permit2::invalidateUnorderedNoncesCall { wordPos: place, mask }.abi_encode();
    logs_of(&chain, SETTLER_KEY, PERMIT2, &burn);
    assert_eq!(word(&chain, terms().nonce), U256::ZERO);
    let event = UnorderedNonceInvalidation { owner: buyer(), word: place, mask };
    // Again and again: what is burnt is burnt, and the log says it each time.
    for _ in 0..2 {
        let logs = logs_of(&chain, BUYER_KEY, PERMIT2, &burn);
        assert_eq!(logs, [(PERMIT2, event.encode_log_data())]);
        assert_eq!(word(&chain, terms().nonce), mask);
    }
    for proxy in PROXIES {
        proxy.reverts(&chain, &terms(), &InvalidNonce {});
        let beside = Terms { nonce: terms().nonce - U256::from(1), ..terms() };
        let data = proxy.signed(&beside);
        assert!(try_call(&chain, settler(), proxy.address(), &data).is_ok());
    }
}

/// Why the token refused is lost on the way: Permit2 says the same of all.
#[test]
fn refusals_of_the_token_are_one_text() {
    for proxy in PROXIES {
        let refuses = |chain: &Devnet| {
            reverts(chain, settler(), proxy.address(), &proxy.signed(&terms()), FAILED);
        };
        refuses(&chain_where_permit2_may_move(U256::from(4_999_999)));
        for account in [PERMIT2, buyer(), owner()] {
            let chain = chain_with_permit2();
            as_owner(&chain, &FiatToken::blacklistCall { account });
            refuses(&chain);
        }
        let chain = chain_with_permit2();
        as_owner(&chain, &FiatToken::pauseCall {});
        refuses(&chain);
        as_owner(&chain, &FiatToken::unpauseCall {});
        let rest = FiatToken::transferCall { to: owner(), value: U256::from(999_995_000_001_u64) };
        logs_of(&chain, BUYER_KEY, usdc(), &rest.abi_encode());
        refuses(&chain);
    }
}

#[test]
fn strangers_settle_through_a_wrapper_what_names_no_facilitator() {
    let chain = chain_with_permit2();
    let wrapper = address!("c0de000000000000000000000000000000000001");
    let code = include_str!("../../../../tests/contracts/bytecode/Wrapper.runtime.hex");
    install(&chain, wrapper, code);
    let relay = |proxy: Proxy| {
        let data = Bytes::from(proxy.signed(&terms()));
        Wrapper::relayCall { target: proxy.address(), data }.abi_encode()
    };
    let reason = hex::encode_prefixed(UnauthorizedFacilitator {}.abi_encode());
    reverts(&chain, settler(), wrapper, &relay(Proxy::Upto), &reason);
    let logs = logs_of(&chain, KEY, wrapper, &relay(Proxy::Exact));
    assert_eq!(logs, [moved(buyer(), owner(), 5_000_000), Proxy::Exact.wrote(&Settled {})]);
}

/// A token that, asked to move anything, makes one call and answers whether that succeeded.
fn token_that_calls(target: Address, data: &[u8]) -> String {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    // codecopy(0, 50, length)
    let copy = [&[0x61][..], &length, &hex!("60325f39")].concat();
    // mstore(0, call(gas(), target, 0, 0, length, 0, 0)); return(0, 32)
    let call =
        [&hex!("5f5f61")[..], &length, &hex!("5f5f73"), target.as_slice(), &hex!("5af15f52")];
    let code = [copy, call.concat(), hex!("60205ff3").to_vec()].concat();
    let room = vec![0; 50 - code.len()];
    hex::encode([code, room, data.to_vec()].concat())
}

#[test]
fn proxy_is_not_entered_again_from_within() {
    let token = address!("c0de000000000000000000000000000000000002");
    for (outer, inner) in PROXIES.iter().flat_map(|outer| PROXIES.map(|inner| (*outer, inner))) {
        let chain = chain_with_permit2();
        let second = Terms { facilitator: token, ..terms() };
        install(&chain, token, &token_that_calls(inner.address(), &inner.signed(&second)));
        let data = outer.signed(&Terms { token, nonce: U256::ZERO, ..terms() });
        if outer == inner {
            reverts(&chain, settler(), outer.address(), &data, FAILED);
            continue;
        }
        let logs = logs_of(&chain, SETTLER_KEY, outer.address(), &data);
        let transfer = moved(buyer(), owner(), 5_000_000);
        assert_eq!(logs, [transfer, inner.wrote(&Settled {}), outer.wrote(&Settled {})]);
    }
}

#[test]
fn token_may_write_more_between_the_transfer_and_the_settlement() {
    for proxy in PROXIES {
        let chain = chain_with_permit2();
        let code = include_str!("../../../../tests/contracts/bytecode/OddToken.runtime.hex");
        install(&chain, usdc(), code);
        as_owner(&chain, &FiatToken::setModeCall { mode: 6 });
        let logs = logs_of(&chain, SETTLER_KEY, proxy.address(), &proxy.signed(&terms()));
        let allowance = log(&Approval { owner: buyer(), spender: PERMIT2, value: U256::MAX });
        let transfer = moved(buyer(), owner(), 5_000_000);
        assert_eq!(logs, [transfer, allowance, proxy.wrote(&Settled {})]);
    }
}
