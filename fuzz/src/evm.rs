//! Typed data and calldata as alloy has them.

use alloy_primitives::{Address as AlloyAddress, B256, U256};
use alloy_sol_types::{Eip712Domain, SolCall as _, SolStruct};
use x402_core::permit2::{EXACT_PROXY, Kind, PERMIT2, Permit, UPTO_PROXY};
use x402_core::{Address, Amount, Authorization, ChainId, Domain, Nonce, Signature, Timestamp};
use x402_core::{Transfer, eip3009};

use crate::Cut;

/// What a token is asked and told.
mod token {
    alloy_sol_types::sol! {
        struct TransferWithAuthorization {
            address from;
            address to;
            uint256 value;
            uint256 validAfter;
            uint256 validBefore;
            bytes32 nonce;
        }

        struct ReceiveWithAuthorization {
            address from;
            address to;
            uint256 value;
            uint256 validAfter;
            uint256 validBefore;
            bytes32 nonce;
        }

        struct CancelAuthorization {
            address authorizer;
            bytes32 nonce;
        }

        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore,
            bytes32 nonce, uint8 v, bytes32 r, bytes32 s
        ) external;

        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore,
            bytes32 nonce, bytes signature
        ) external;
    }
}

/// Permits of the scheme `exact`.
mod exact {
    alloy_sol_types::sol! {
        struct TokenPermissions {
            address token;
            uint256 amount;
        }

        struct Witness {
            address to;
            uint256 validAfter;
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

        function settle(
            PermitTransferFrom permit, address owner, Witness witness, bytes signature
        ) external;
    }
}

mod upto {
    alloy_sol_types::sol! {
        struct TokenPermissions {
            address token;
            uint256 amount;
        }

        struct Witness {
            address to;
            address facilitator;
            uint256 validAfter;
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

        function settle(
            PermitTransferFrom permit, uint256 amount, address owner, Witness witness,
            bytes signature
        ) external;
    }
}

pub fn theirs(address: Address) -> AlloyAddress {
    AlloyAddress::from(*address.as_bytes())
}

fn number(bytes: [u8; 32]) -> U256 {
    U256::from_be_bytes(bytes)
}

pub fn domain_of(domain: &Domain<'_>) -> Eip712Domain {
    Eip712Domain::new(
        Some(domain.name.to_owned().into()),
        Some(domain.version.to_owned().into()),
        Some(U256::from(domain.chain_id.get())),
        Some(theirs(domain.verifying_contract)),
        None,
    )
}

pub fn permit_domain(chain_id: ChainId) -> Eip712Domain {
    let chain_id = U256::from(chain_id.get());
    Eip712Domain::new(Some("Permit2".into()), None, Some(chain_id), Some(theirs(PERMIT2)), None)
}

/// `TransferWithAuthorization`, to be submitted by anybody.
pub fn transfer_digest(a: &Authorization, domain: &Eip712Domain) -> [u8; 32] {
    transfer_of(a).eip712_signing_hash(domain).0
}

/// `ReceiveWithAuthorization`, to be submitted by the payee.
pub fn receive_digest(a: &Authorization, domain: &Eip712Domain) -> [u8; 32] {
    let token::TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } =
        transfer_of(a);
    let receive =
        token::ReceiveWithAuthorization { from, to, value, validAfter, validBefore, nonce };
    receive.eip712_signing_hash(domain).0
}

pub fn cancel_digest(c: &eip3009::CancelAuthorization, domain: &Eip712Domain) -> [u8; 32] {
    let (authorizer, nonce) = (theirs(c.authorizer), B256::from(*c.nonce.as_bytes()));
    token::CancelAuthorization { authorizer, nonce }.eip712_signing_hash(domain).0
}

fn transfer_of(a: &Authorization) -> token::TransferWithAuthorization {
    token::TransferWithAuthorization {
        from: theirs(a.from),
        to: theirs(a.to),
        value: number(a.value.to_be_bytes()),
        validAfter: number(a.valid_after.to_be_bytes()),
        validBefore: number(a.valid_before.to_be_bytes()),
        nonce: B256::from(*a.nonce.as_bytes()),
    }
}

/// The members of a permit as alloy has them.
macro_rules! members {
    ($scheme:ident, $permit:expr) => {{
        let permit = $permit;
        let permitted = $scheme::TokenPermissions {
            token: theirs(permit.token),
            amount: number(permit.amount.to_be_bytes()),
        };
        let nonce = number(*permit.nonce.as_bytes());
        (permitted, nonce, number(permit.deadline.to_be_bytes()))
    }};
}

fn exact_witness(permit: &Permit) -> exact::Witness {
    exact::Witness { to: theirs(permit.to), validAfter: number(permit.valid_after.to_be_bytes()) }
}

fn upto_witness(permit: &Permit, facilitator: Address) -> upto::Witness {
    upto::Witness {
        to: theirs(permit.to),
        facilitator: theirs(facilitator),
        validAfter: number(permit.valid_after.to_be_bytes()),
    }
}

pub fn permit_digest(permit: &Permit, chain_id: ChainId) -> [u8; 32] {
    let domain = permit_domain(chain_id);
    match permit.kind {
        Kind::Exact => {
            let (permitted, nonce, deadline) = members!(exact, permit);
            let (spender, witness) = (theirs(EXACT_PROXY), exact_witness(permit));
            exact::PermitWitnessTransferFrom { permitted, spender, nonce, deadline, witness }
                .eip712_signing_hash(&domain)
                .0
        }
        Kind::Upto { facilitator } => {
            let (permitted, nonce, deadline) = members!(upto, permit);
            let (spender, witness) = (theirs(UPTO_PROXY), upto_witness(permit, facilitator));
            upto::PermitWitnessTransferFrom { permitted, spender, nonce, deadline, witness }
                .eip712_signing_hash(&domain)
                .0
        }
    }
}

/// The call that moves so much of what was signed, with the signature of a key.
pub fn calldata(transfer: &Transfer, amount: Amount, signature: &Signature) -> Vec<u8> {
    match transfer {
        Transfer::Eip3009(authorization) => {
            let (v, r, s) = (signature.v(), signature.r().into(), signature.s().into());
            let token::TransferWithAuthorization {
                from,
                to,
                value,
                validAfter,
                validBefore,
                nonce,
            } = transfer_of(authorization);
            token::transferWithAuthorization_0Call {
                from,
                to,
                value,
                validAfter,
                validBefore,
                nonce,
                v,
                r,
                s,
            }
            .abi_encode()
        }
        Transfer::Permit2(_) => calldata_with_bytes(transfer, amount, &signature.to_rsv()),
    }
}

/// As [`calldata`], with the signature of a contract.
pub fn calldata_with_bytes(transfer: &Transfer, amount: Amount, signature: &[u8]) -> Vec<u8> {
    let signature = signature.to_vec().into();
    match transfer {
        Transfer::Eip3009(authorization) => {
            let token::TransferWithAuthorization {
                from,
                to,
                value,
                validAfter,
                validBefore,
                nonce,
            } = transfer_of(authorization);
            token::transferWithAuthorization_1Call {
                from,
                to,
                value,
                validAfter,
                validBefore,
                nonce,
                signature,
            }
            .abi_encode()
        }
        Transfer::Permit2(terms) => {
            let owner = theirs(terms.from);
            match terms.kind {
                Kind::Exact => {
                    let (permitted, nonce, deadline) = members!(exact, terms);
                    let permit = exact::PermitTransferFrom { permitted, nonce, deadline };
                    let witness = exact_witness(terms);
                    exact::settleCall { permit, owner, witness, signature }.abi_encode()
                }
                Kind::Upto { facilitator } => {
                    let (permitted, nonce, deadline) = members!(upto, terms);
                    let permit = upto::PermitTransferFrom { permitted, nonce, deadline };
                    let witness = upto_witness(terms, facilitator);
                    let amount = number(amount.to_be_bytes());
                    upto::settleCall { permit, amount, owner, witness, signature }.abi_encode()
                }
            }
        }
    }
}

/// An authorization of whatever the input says.
pub fn authorization(cut: &mut Cut<'_>) -> Authorization {
    Authorization {
        from: Address::new(cut.array()),
        to: Address::new(cut.array()),
        value: Amount::from_be_bytes(cut.array()),
        valid_after: Timestamp::from_be_bytes(cut.array()),
        valid_before: Timestamp::from_be_bytes(cut.array()),
        nonce: Nonce::new(cut.array()),
    }
}

/// A permit of whatever the input says.
pub fn permit(cut: &mut Cut<'_>) -> Permit {
    let a = authorization(cut);
    let token = Address::new(cut.array());
    let facilitator = Address::new(cut.array());
    let kind = if cut.byte().is_multiple_of(2) { Kind::Exact } else { Kind::Upto { facilitator } };
    Permit {
        from: a.from,
        token,
        amount: a.value,
        nonce: a.nonce,
        deadline: a.valid_before,
        to: a.to,
        valid_after: a.valid_after,
        kind,
    }
}
