//! What exists before the first block.
use alloy_primitives::{Address, Bytes, TxKind, U256, address, hex};
use revm::{
    bytecode::Bytecode,
    context::{BlockEnv, TxEnv, result::ResultAndState},
    state::{Account, AccountInfo},
};

use super::{
    MULTICALL3, Token,
    evm::{self, State},
    failure::{Failure, returned},
};

const TOKEN_CREATION: &str = include_str!("bytecode/Token.creation.hex");
const MULTICALL3_RUNTIME: &str = include_str!("bytecode/Multicall3.runtime.hex");

/// Accounts 0 to 9 of the mnemonic "test test test test test test test test test test test junk",
/// which every Ethereum development tool knows.
pub(super) const ACCOUNTS: [Address; 10] = [
    address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("0x976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// Deploys and owns the tokens: account 0, so that whoever knows its key can mint, pause and
/// blacklist by transaction.
pub(super) const OWNER: Address = ACCOUNTS[0];
/// Has tokens at genesis.
pub(super) const BUYER: Address = ACCOUNTS[1];
/// Whole units of each token that [`BUYER`] has at genesis.
const BUYER_TOKENS: u64 = 1_000_000;
/// Ether that each of [`ACCOUNTS`] has at genesis.
const ETHER: u64 = 10_000;
const WEI_PER_ETHER: u64 = 1_000_000_000_000_000_000;

/// Gas for a message of the chain to itself: more than any needs.
const GAS: u64 = 10_000_000;

/// The state before the first block.
///
/// # Errors
/// A token cannot be deployed or minted, for the reason given.
pub(super) fn state(chain_id: u64, tokens: &[Token]) -> Result<State, Failure> {
    let mut state = State::default();
    for account in ACCOUNTS {
        let balance = U256::from(ETHER) * U256::from(WEI_PER_ETHER);
        state.insert_account_info(account, AccountInfo { balance, ..AccountInfo::default() });
    }
    state.insert_account_info(Address::from(MULTICALL3), contract(decode(MULTICALL3_RUNTIME)?)?);
    for token in tokens {
        let unit = U256::from(10).checked_pow(U256::from(token.decimals));
        let amount = unit.and_then(|unit| unit.checked_mul(U256::from(BUYER_TOKENS)));
        let amount = amount.ok_or_else(|| Failure::server("too many decimals"))?;
        place(&mut state, token)?;
        mint(&mut state, chain_id, Address::from(token.address), BUYER, amount)?;
    }
    Ok(state)
}

/// Creates `amount` atomic units of `token` for `to`, as its owner would, outside any block.
///
/// # Errors
/// The token reverts, for the reason given, or there is no token.
pub(super) fn mint(
    state: &mut State,
    chain_id: u64,
    token: Address,
    to: Address,
    amount: U256,
) -> Result<(), Failure> {
    // mint(address,uint256)
    let recipient = to.into_word();
    let data = [&hex!("40c10f19")[..], recipient.as_slice(), &amount.to_be_bytes::<32>()];
    let tx = evm::message(OWNER, TxKind::Call(token), Bytes::from(data.concat()), GAS);
    let ResultAndState { result, state: mut changes } =
        evm::simulate(state, chain_id, BlockEnv::default(), tx)?;
    if returned(result)?.is_empty() {
        return Err(Failure::server("no token is there"));
    }
    // The owner sent no transaction: its nonce stays.
    changes.retain(|address, _| *address == token);
    revm::DatabaseCommit::commit(state, changes);
    Ok(())
}

/// An account that is a contract with this code.
///
/// # Errors
/// The code is malformed.
pub(super) fn contract(code: Bytes) -> Result<AccountInfo, Failure> {
    let code =
        Bytecode::new_raw_checked(code).map_err(|error| Failure::params(error.to_string()))?;
    Ok(AccountInfo {
        nonce: 1,
        code_hash: code.hash_slow(),
        code: Some(code),
        ..AccountInfo::default()
    })
}

/// Runs the token's constructor on a chain of its own and moves what came of it to the token's
/// address.
fn place(state: &mut State, token: &Token) -> Result<(), Failure> {
    let address = Address::from(token.address);
    let Account { info, storage, .. } = deploy(token)?;
    state.insert_account_info(address, info);
    for (slot, value) in storage {
        let Ok(()) = state.insert_account_storage(address, slot, value.present_value());
    }
    Ok(())
}

fn deploy(token: &Token) -> Result<Account, Failure> {
    let code = [decode(TOKEN_CREATION)?.as_ref(), &constructor_arguments(token)].concat();
    let tx = TxEnv { nonce: 0, ..evm::message(OWNER, TxKind::Create, Bytes::from(code), GAS) };
    let ResultAndState { result, mut state } =
        evm::simulate(&State::default(), 1, BlockEnv::default(), tx)?;
    let created = result.created_address();
    returned(result)?;
    created
        .and_then(|address| state.remove(&address))
        .ok_or_else(|| Failure::server("the constructor made nothing"))
}

/// `(string name, string symbol, string version, uint8 decimals)` in the contract ABI.
fn constructor_arguments(token: &Token) -> Vec<u8> {
    let texts = [&token.name, &token.symbol, &token.version];
    let mut head = Vec::new();
    let mut tail = Vec::new();
    for text in texts {
        head.extend(U256::from(4 * 32 + tail.len()).to_be_bytes::<32>());
        tail.extend(U256::from(text.len()).to_be_bytes::<32>());
        tail.extend(text.as_bytes());
        tail.resize(tail.len().next_multiple_of(32), 0);
    }
    head.extend(U256::from(token.decimals).to_be_bytes::<32>());
    [head, tail].concat()
}

fn decode(text: &str) -> Result<Bytes, Failure> {
    hex::decode(text.trim()).map(Bytes::from).map_err(|error| Failure::server(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructor_leaves_the_runtime_code_as_compiled() {
        let account = deploy(&Token::usdc()).unwrap();
        let runtime = decode(include_str!("bytecode/Token.runtime.hex")).unwrap();
        assert_eq!(account.info.code.unwrap().original_bytes(), runtime);
    }

    #[test]
    fn long_and_empty_texts_are_kept() {
        let long = "A name of more than thirty-one bytes, and 1 more: \u{20ac}".to_owned();
        let token = Token { name: long, symbol: String::new(), decimals: 18, ..Token::usdc() };
        let arguments = constructor_arguments(&token);
        assert_eq!(arguments.len() % 32, 0);
        assert!(state(5, &[token]).is_ok());
    }

    #[test]
    fn too_many_decimals_are_refused() {
        assert!(state(1, &[Token { decimals: 77, ..Token::usdc() }]).is_err());
    }
}
