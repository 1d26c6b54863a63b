//! The token answers as Circle's FiatToken v2.2 does: each check, its order and its words.

use alloy_sol_types::SolCall;

use super::scene::*;
use super::*;

const NOT_YET: &str = "FiatTokenV2: authorization is not yet valid";
const EXPIRED: &str = "FiatTokenV2: authorization is expired";
const USED: &str = "FiatTokenV2: authorization is used or canceled";
const INVALID: &str = "FiatTokenV2: invalid signature";
const PAYEE_CALLS: &str = "FiatTokenV2: caller must be the payee";
const HIGH_S: &str = "ECRecover: invalid signature 's' value";
const ODD_V: &str = "ECRecover: invalid signature 'v' value";
const LENGTH: &str = "ECRecover: invalid signature length";
const NOBODY: &str = "ECRecover: invalid signature";
const BALANCE: &str = "ERC20: transfer amount exceeds balance";
const BLACKLISTED: &str = "Blacklistable: account is blacklisted";
const PAUSED: &str = "Pausable: paused";

fn blacklist(chain: &Devnet, account: Address) {
    as_owner(chain, &FiatToken::blacklistCall { account });
}

fn un_blacklist(chain: &Devnet, account: Address) {
    as_owner(chain, &FiatToken::unBlacklistCall { account });
}

/// Both forms of an authorization that the payee sends are refused for one reason.
#[track_caller]
fn refuses(
    chain: &Devnet,
    kind: Kind,
    terms: &TransferWithAuthorization,
    signature: &[u8],
    reason: &str,
) {
    for data in kind.forms(terms, signature) {
        reverts(chain, settler(), usdc(), &data, reason);
    }
}

#[test]
fn use_is_logged_and_then_at_once_the_transfer() {
    for kind in KINDS {
        let chain = chain();
        let mut nonce = 0;
        for (to, value) in [(settler(), 5_000_000), (settler(), 0), (buyer(), 3)] {
            for form in 0..2 {
                nonce += 1;
                let nonce = B256::with_last_byte(nonce);
                let terms =
                    TransferWithAuthorization { to, value: U256::from(value), nonce, ..terms() };
                let data = &kind.forms(&terms, &kind.sign(BUYER_KEY, &terms))[form];
                let sender = if to == buyer() { BUYER_KEY } else { SETTLER_KEY };
                let logs = logs_of(&chain, sender, usdc(), data);
                assert_eq!(logs, [used(&terms), moved(buyer(), to, value)], "{kind:?} {form}");
                refuses(&chain, Kind::Transfer, &terms, &[27; 65], USED);
            }
        }
        assert_eq!(chain.balance_of(USDC, accounts()[2]), Ok(10_000_000));
        assert_eq!(chain.balance_of(USDC, accounts()[1]), Ok(999_990_000_000));
    }
}

#[test]
fn cancellation_is_logged_alone_and_ends_the_authorization() {
    let chain = chain();
    for form in 0..2 {
        let nonce = B256::repeat_byte(u8::try_from(form).unwrap());
        let terms = TransferWithAuthorization { nonce, ..terms() };
        let cancel = CancelAuthorization { authorizer: buyer(), nonce };
        let data = &cancellations(buyer(), nonce, &sign_for_usdc(BUYER_KEY, &cancel))[form];
        let logs = logs_of(&chain, SETTLER_KEY, usdc(), data);
        assert_eq!(logs, [log(&AuthorizationCanceled { authorizer: buyer(), nonce })]);
        for kind in KINDS {
            refuses(&chain, kind, &terms, &kind.sign(BUYER_KEY, &terms), USED);
        }
        reverts(&chain, settler(), usdc(), data, USED);
        let state = FiatToken::authorizationStateCall { authorizer: buyer(), nonce };
        assert!(view(&chain, usdc(), &state));
    }
    assert_eq!(chain.balance_of(USDC, accounts()[2]), Ok(0));
}

#[test]
fn cancellation_needs_the_payers_signature_in_either_form() {
    let (chain, nonce) = (chain(), B256::ZERO);
    let cancel = CancelAuthorization { authorizer: buyer(), nonce };
    let good = sign_for_usdc(BUYER_KEY, &cancel);
    let odd_v = [&good[..64], &[good[64] - 27]].concat();
    for (signature, reason) in [
        (sign_for_usdc(SETTLER_KEY, &cancel), INVALID),
        (Kind::Transfer.sign(BUYER_KEY, &terms()), INVALID),
        (with_high_s(&good), HIGH_S),
        (odd_v, ODD_V),
        (vec![0; 65], ODD_V),
    ] {
        for data in cancellations(buyer(), nonce, &signature) {
            reverts(&chain, buyer(), usdc(), &data, reason);
        }
    }
}

#[test]
fn bounds_of_time_are_strict() {
    let one = U256::from(1);
    for kind in KINDS {
        for form in 0..2 {
            let answers = || {
                let (chain, time) = (chain(), NOW + 100);
                ok(&chain, "evm_mine", &json!([format!("{time:#x}")]));
                let now = U256::from(time);
                let with = |valid_after, valid_before| {
                    let terms = TransferWithAuthorization {
                        validAfter: valid_after,
                        validBefore: valid_before,
                        ..terms()
                    };
                    let data = &kind.forms(&terms, &kind.sign(BUYER_KEY, &terms))[form];
                    try_call(&chain, settler(), usdc(), data).err()
                };
                let answers = [
                    with(now, now + one),
                    with(now - one, now),
                    with(now, now),
                    with(now - one, now + one),
                ];
                let is_still_then = rpc::lock(&chain.chain).clock.now() == time;
                is_still_then.then_some(answers)
            };
            // The clock runs: a try that took more than its second says nothing.
            let answers = (0..20).find_map(|_| answers()).expect("a second for four calls");
            let expected = [Some(NOT_YET), Some(EXPIRED), Some(NOT_YET), None];
            assert_eq!(answers.each_ref().map(Option::as_deref), expected, "{kind:?} {form}");
        }
    }
}

#[test]
fn only_the_one_canonical_signature_of_the_payer_is_taken() {
    let chain = chain();
    for kind in KINDS {
        let good = kind.sign(BUYER_KEY, &terms());
        let other = if kind == Kind::Transfer { Kind::Receive } else { Kind::Transfer };
        let with_v = |v: u8| [&good[..64], &[v]].concat();
        let with_r = |r: u8| [&[r; 32], &good[32..]].concat();
        refuses(&chain, kind, &terms(), &kind.sign(SETTLER_KEY, &terms()), INVALID);
        refuses(&chain, kind, &terms(), &other.sign(BUYER_KEY, &terms()), INVALID);
        refuses(&chain, kind, &terms(), &with_v(good[64] ^ 27 ^ 28), INVALID);
        for v in [0, 1, 26, 29, 37, 255] {
            refuses(&chain, kind, &terms(), &with_v(v), ODD_V);
        }
        refuses(&chain, kind, &terms(), &with_high_s(&good), HIGH_S);
        // s is looked at before v.
        let both = [&with_high_s(&good)[..64], &[0]].concat();
        refuses(&chain, kind, &terms(), &both, HIGH_S);
        for r in [0, 0xff] {
            refuses(&chain, kind, &terms(), &with_r(r), NOBODY);
        }
        for length in [0, 1, 64, 66, 96] {
            let mut signature = good.clone();
            signature.resize(length, 0);
            reverts(&chain, settler(), usdc(), &kind.whole(&terms(), &signature), LENGTH);
        }
        let nobodys = TransferWithAuthorization { from: Address::ZERO, ..terms() };
        refuses(&chain, kind, &nobodys, &with_r(0), NOBODY);
        for data in kind.forms(&terms(), &good) {
            assert!(try_call(&chain, settler(), usdc(), &data).is_ok());
        }
    }
}

/// A call that is wrong in every way, mended from the first check to the last.
#[test]
fn refusals_come_in_circles_order() {
    for kind in KINDS {
        for form in 0..2 {
            let chain = chain();
            let mut wrong = TransferWithAuthorization {
                value: U256::MAX,
                validAfter: U256::MAX,
                validBefore: U256::ZERO,
                ..terms()
            };
            let cancel = CancelAuthorization { authorizer: buyer(), nonce: wrong.nonce };
            let cancel = sign_for_usdc(BUYER_KEY, &cancel);
            logs_of(&chain, KEY, usdc(), &cancellations(buyer(), wrong.nonce, &cancel)[0]);
            as_owner(&chain, &FiatToken::pauseCall {});
            blacklist(&chain, buyer());
            blacklist(&chain, settler());

            let stranger = Address::from(PAYEE);
            let refuses = |terms: &TransferWithAuthorization, signature: &[u8], reason: &str| {
                reverts(&chain, stranger, usdc(), &kind.forms(terms, signature)[form], reason);
            };
            let high = with_high_s(&kind.sign(BUYER_KEY, &wrong));
            refuses(&wrong, &high, PAUSED);
            as_owner(&chain, &FiatToken::unpauseCall {});
            refuses(&wrong, &high, BLACKLISTED);
            un_blacklist(&chain, buyer());
            refuses(&wrong, &high, BLACKLISTED);
            un_blacklist(&chain, settler());
            if kind == Kind::Receive {
                refuses(&wrong, &high, PAYEE_CALLS);
            }
            let refuses = |terms: &TransferWithAuthorization, signature: &[u8], reason: &str| {
                reverts(&chain, settler(), usdc(), &kind.forms(terms, signature)[form], reason);
            };
            refuses(&wrong, &high, NOT_YET);
            wrong.validAfter = U256::ZERO;
            refuses(&wrong, &high, EXPIRED);
            wrong.validBefore = U256::MAX;
            refuses(&wrong, &high, USED);
            wrong.nonce = B256::ZERO;
            refuses(&wrong, &high, HIGH_S);
            refuses(&wrong, &[0; 65], ODD_V);
            refuses(&wrong, &kind.sign(SETTLER_KEY, &wrong), INVALID);
            refuses(&wrong, &kind.sign(BUYER_KEY, &wrong), BALANCE);
            wrong.value = U256::from(1_000_000_000_001_u64);
            refuses(&wrong, &kind.sign(BUYER_KEY, &wrong), BALANCE);
            wrong.value = U256::from(1_000_000_000_000_u64);
            let right = &kind.forms(&wrong, &kind.sign(BUYER_KEY, &wrong))[form];
            let logs = logs_of(&chain, SETTLER_KEY, usdc(), right);
            assert_eq!(logs, [used(&wrong), moved(buyer(), settler(), 1_000_000_000_000)]);
        }
    }
}

#[test]
fn nobody_pays_to_the_zero_address_or_to_the_token() {
    let chain = chain();
    for (to, reason) in
        [(Address::ZERO, "ERC20: transfer to the zero address"), (usdc(), BLACKLISTED)]
    {
        let terms = TransferWithAuthorization { to, ..terms() };
        let signature = Kind::Transfer.sign(BUYER_KEY, &terms);
        refuses(&chain, Kind::Transfer, &terms, &signature, reason);
    }
    assert!(view(&chain, usdc(), &FiatToken::isBlacklistedCall { account: usdc() }));
}

#[test]
fn blacklist_is_of_payer_and_payee_and_not_of_who_sends_the_authorization() {
    let chain = chain();
    blacklist(&chain, owner());
    let signature = Kind::Transfer.sign(BUYER_KEY, &terms());
    for data in Kind::Transfer.forms(&terms(), &signature) {
        assert!(try_call(&chain, owner(), usdc(), &data).is_ok());
    }
    for account in [buyer(), settler()] {
        let listed = log(&Blacklisted { account });
        let call = FiatToken::blacklistCall { account }.abi_encode();
        assert_eq!(logs_of(&chain, KEY, usdc(), &call), [listed]);
        for kind in KINDS {
            refuses(&chain, kind, &terms(), &kind.sign(BUYER_KEY, &terms()), BLACKLISTED);
        }
        let unlisted = log(&UnBlacklisted { account });
        let call = FiatToken::unBlacklistCall { account }.abi_encode();
        assert_eq!(logs_of(&chain, KEY, usdc(), &call), [unlisted]);
    }
    // Nothing was used up, and no balance changed.
    let logs = logs_of(&chain, KEY, usdc(), &Kind::Transfer.whole(&terms(), &signature));
    assert_eq!(logs, [used(&terms()), moved(buyer(), settler(), 5_000_000)]);
    assert_eq!(chain.balance_of(USDC, accounts()[1]), Ok(999_995_000_000));
}

#[test]
fn blacklisted_accounts_keep_their_balance_and_may_cancel_and_approve() {
    let chain = chain();
    blacklist(&chain, buyer());
    assert!(view(&chain, usdc(), &FiatToken::isBlacklistedCall { account: buyer() }));
    assert_eq!(chain.balance_of(USDC, accounts()[1]), Ok(1_000_000_000_000));
    let approve = FiatToken::approveCall { spender: settler(), value: U256::from(9) };
    logs_of(&chain, BUYER_KEY, usdc(), &approve.abi_encode());
    let permit = Permit {
        owner: buyer(),
        spender: settler(),
        value: U256::from(9),
        nonce: U256::ZERO,
        deadline: U256::MAX,
    };
    logs_of(&chain, KEY, usdc(), &permits(&permit, &sign_for_usdc(BUYER_KEY, &permit))[0]);
    let cancel = CancelAuthorization { authorizer: buyer(), nonce: terms().nonce };
    let cancel = sign_for_usdc(BUYER_KEY, &cancel);
    logs_of(&chain, KEY, usdc(), &cancellations(buyer(), terms().nonce, &cancel)[1]);

    let transfer = FiatToken::transferCall { to: settler(), value: U256::from(1) }.abi_encode();
    reverts(&chain, buyer(), usdc(), &transfer, BLACKLISTED);
    let to_buyer = FiatToken::transferCall { to: buyer(), value: U256::ZERO }.abi_encode();
    reverts(&chain, settler(), usdc(), &to_buyer, BLACKLISTED);
    let mint = FiatToken::mintCall { to: buyer(), value: U256::from(1) }.abi_encode();
    reverts(&chain, owner(), usdc(), &mint, BLACKLISTED);
    let from = FiatToken::transferFromCall { from: buyer(), to: owner(), value: U256::from(1) };
    reverts(&chain, settler(), usdc(), &from.abi_encode(), BLACKLISTED);
    un_blacklist(&chain, buyer());
    assert!(try_call(&chain, settler(), usdc(), &from.abi_encode()).is_ok());
    for account in [settler(), owner()] {
        blacklist(&chain, account);
        reverts(&chain, settler(), usdc(), &from.abi_encode(), BLACKLISTED);
        un_blacklist(&chain, account);
    }
}

#[test]
fn nothing_is_done_while_paused() {
    let chain = chain();
    let pause = FiatToken::pauseCall {}.abi_encode();
    assert_eq!(logs_of(&chain, KEY, usdc(), &pause), [log(&Pause {})]);
    let permit = Permit {
        owner: buyer(),
        spender: settler(),
        value: U256::from(9),
        nonce: U256::ZERO,
        deadline: U256::MAX,
    };
    let cancel = CancelAuthorization { authorizer: buyer(), nonce: B256::ZERO };
    let (to, from, value) = (settler(), settler(), U256::ZERO);
    let mut calls = vec![
        FiatToken::transferCall { to, value }.abi_encode(),
        FiatToken::transferFromCall { from, to, value }.abi_encode(),
        FiatToken::approveCall { spender: to, value }.abi_encode(),
    ];
    calls.extend(permits(&permit, &sign_for_usdc(BUYER_KEY, &permit)));
    calls.extend(cancellations(buyer(), B256::ZERO, &sign_for_usdc(BUYER_KEY, &cancel)));
    for kind in KINDS {
        calls.extend(kind.forms(&terms(), &kind.sign(BUYER_KEY, &terms())));
    }
    for data in &calls {
        reverts(&chain, settler(), usdc(), data, PAUSED);
    }
    let mint = FiatToken::mintCall { to, value }.abi_encode();
    reverts(&chain, owner(), usdc(), &mint, PAUSED);
    assert!(view(&chain, usdc(), &FiatToken::pausedCall {}));
    assert_eq!(chain.balance_of(USDC, accounts()[1]), Ok(1_000_000_000_000));

    let unpause = FiatToken::unpauseCall {}.abi_encode();
    assert_eq!(logs_of(&chain, KEY, usdc(), &unpause), [log(&Unpause {})]);
    for data in &calls {
        assert!(try_call(&chain, settler(), usdc(), data).is_ok());
    }
}

#[test]
fn only_the_owner_pauses_blacklists_and_mints() {
    let chain = chain();
    let account = settler();
    let pauser = "Pausable: caller is not the pauser";
    let blacklister = "Blacklistable: caller is not the blacklister";
    for (data, reason) in [
        (FiatToken::pauseCall {}.abi_encode(), pauser),
        (FiatToken::unpauseCall {}.abi_encode(), pauser),
        (FiatToken::blacklistCall { account }.abi_encode(), blacklister),
        (FiatToken::unBlacklistCall { account }.abi_encode(), blacklister),
        (
            FiatToken::mintCall { to: account, value: U256::from(1) }.abi_encode(),
            "FiatToken: caller is not a minter",
        ),
    ] {
        reverts(&chain, buyer(), usdc(), &data, reason);
        assert!(try_call(&chain, owner(), usdc(), &data).is_ok());
    }
}

#[test]
fn permits_are_refused_in_circles_words() {
    let chain = chain();
    let mut permit = Permit {
        owner: buyer(),
        spender: settler(),
        value: U256::from(9),
        nonce: U256::ZERO,
        deadline: U256::from(NOW - 1),
    };
    let refuses = |permit: &Permit, signature: &[u8], reason: &str| {
        for data in permits(permit, signature) {
            reverts(&chain, settler(), usdc(), &data, reason);
        }
    };
    refuses(&permit, &sign_for_usdc(BUYER_KEY, &permit), "FiatTokenV2: permit is expired");
    permit.deadline = U256::MAX;
    refuses(&permit, &sign_for_usdc(SETTLER_KEY, &permit), "EIP2612: invalid signature");
    refuses(&permit, &with_high_s(&sign_for_usdc(BUYER_KEY, &permit)), HIGH_S);
    for form in 0..2_u64 {
        permit.nonce = U256::from(form);
        let data = permits(&permit, &sign_for_usdc(BUYER_KEY, &permit))
            [usize::try_from(form).unwrap()]
        .clone();
        let approval = Approval { owner: buyer(), spender: settler(), value: U256::from(9) };
        assert_eq!(logs_of(&chain, KEY, usdc(), &data), [log(&approval)]);
        reverts(&chain, settler(), usdc(), &data, "EIP2612: invalid signature");
    }
    assert_eq!(view(&chain, usdc(), &FiatToken::noncesCall { owner: buyer() }), U256::from(2));
}

#[test]
fn allowance_bounds_what_a_spender_moves_and_no_log_tells_of_it() {
    let chain = chain();
    let value = U256::from(9);
    let approve = FiatToken::approveCall { spender: settler(), value }.abi_encode();
    logs_of(&chain, BUYER_KEY, usdc(), &approve);
    let take =
        |value| FiatToken::transferFromCall { from: buyer(), to: owner(), value }.abi_encode();
    let exceeds = "ERC20: transfer amount exceeds allowance";
    reverts(&chain, settler(), usdc(), &take(U256::from(10)), exceeds);
    let logs = logs_of(&chain, SETTLER_KEY, usdc(), &take(U256::from(4)));
    assert_eq!(logs, [moved(buyer(), owner(), 4)]);
    let allowance = FiatToken::allowanceCall { owner: buyer(), spender: settler() };
    assert_eq!(view(&chain, usdc(), &allowance), U256::from(5));
}

#[test]
fn balance_has_255_bits() {
    let chain = chain();
    let mint = |value: U256| FiatToken::mintCall { to: settler(), value }.abi_encode();
    let most = U256::MAX >> 1;
    let above = "FiatTokenV2_2: Balance exceeds (2^255 - 1)";
    reverts(&chain, owner(), usdc(), &mint(most + U256::from(1)), above);
    logs_of(&chain, KEY, usdc(), &mint(most));
    let balance = FiatToken::balanceOfCall { account: settler() };
    assert_eq!(view(&chain, usdc(), &balance), most);
    let transfer = FiatToken::transferCall { to: settler(), value: U256::from(1) }.abi_encode();
    reverts(&chain, buyer(), usdc(), &transfer, above);
}
