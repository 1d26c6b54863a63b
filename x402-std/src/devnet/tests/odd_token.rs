//! The token that moves or logs otherwise, in the place of one that was in use.

use alloy_sol_types::SolCall;

use super::scene::*;
use super::*;

const ODD_TOKEN: &str = include_str!("../../../../tests/contracts/bytecode/OddToken.runtime.hex");

/// The logs of 5 USDC paid in a mode, and what the payee and the owner have after.
#[track_caller]
fn pays(mode: u8, kind: Kind) -> (Vec<(Address, alloy_primitives::LogData)>, u128, u128) {
    let chain = chain();
    install(&chain, usdc(), ODD_TOKEN);
    as_owner(&chain, &FiatToken::setModeCall { mode });
    let data = kind.whole(&terms(), &kind.sign(BUYER_KEY, &terms()));
    let logs = logs_of(&chain, SETTLER_KEY, usdc(), &data);
    reverts(&chain, settler(), usdc(), &data, "FiatTokenV2: authorization is used or canceled");
    let has = |account: usize| chain.balance_of(USDC, accounts()[account]).unwrap();
    (logs, has(2), has(0))
}

#[test]
fn each_mode_logs_and_moves_what_it_says() {
    let (used, whole) = (used(&terms()), moved(buyer(), settler(), 5_000_000));
    let part = |units| moved(buyer(), settler(), units);
    let fee = moved(buyer(), owner(), 50_000);
    let between =
        log(&Approval { owner: buyer(), spender: settler(), value: U256::from(5_000_000) });
    let allowance = log(&Approval { owner: buyer(), spender: settler(), value: U256::ZERO });
    for kind in KINDS {
        for (mode, logs, payee, owner) in [
            (0, vec![used.clone(), whole.clone()], 5_000_000, 0),
            (1, vec![used.clone(), part(4_950_000), fee.clone()], 4_950_000, 50_000),
            (2, vec![used.clone(), part(4_999_999), part(1)], 5_000_000, 0),
            (3, vec![whole.clone(), used.clone()], 5_000_000, 0),
            (4, vec![used.clone(), between.clone(), whole.clone()], 5_000_000, 0),
            (5, vec![used.clone()], 0, 0),
            (6, vec![used.clone(), whole.clone(), allowance.clone()], 5_000_000, 0),
        ] {
            assert_eq!(pays(mode, kind), (logs, payee, owner), "mode {mode}, {kind:?}");
        }
    }
}

#[test]
fn only_the_owner_chooses_one_of_the_modes() {
    let chain = chain();
    install(&chain, usdc(), ODD_TOKEN);
    let set = |mode| FiatToken::setModeCall { mode }.abi_encode();
    reverts(&chain, buyer(), usdc(), &set(1), "OddToken: caller is not the owner");
    assert!(try_call(&chain, owner(), usdc(), &set(6)).is_ok());
    assert!(try_call(&chain, owner(), usdc(), &set(7)).is_err());
}

#[test]
fn fee_and_split_are_of_every_transfer() {
    let chain = chain();
    install(&chain, usdc(), ODD_TOKEN);
    let transfer =
        |units| FiatToken::transferCall { to: settler(), value: U256::from(units) }.abi_encode();
    as_owner(&chain, &FiatToken::setModeCall { mode: 1 });
    let logs = logs_of(&chain, BUYER_KEY, usdc(), &transfer(50));
    assert_eq!(logs, [moved(buyer(), settler(), 49), moved(buyer(), owner(), 1)]);
    let logs = logs_of(&chain, BUYER_KEY, usdc(), &transfer(1));
    assert_eq!(logs, [moved(buyer(), settler(), 1)]);
    as_owner(&chain, &FiatToken::setModeCall { mode: 2 });
    let logs = logs_of(&chain, BUYER_KEY, usdc(), &transfer(50));
    assert_eq!(logs, [moved(buyer(), settler(), 49), moved(buyer(), settler(), 1)]);
}
