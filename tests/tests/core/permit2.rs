//! Permit2's digests and calldata against alloy.

use alloy_primitives::{Address as AlloyAddress, U256};
use alloy_sol_types::{Eip712Domain, SolCall as _, SolStruct as _};
use proptest::prelude::*;
use x402_core::permit2::{EXACT_PROXY, Kind, PERMIT2, Permit, UPTO_PROXY, domain};
use x402_core::{Address, Amount, ChainId};

use crate::arbitrary::{address, amount, cases, nonce, timestamp};

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

fn theirs(address: Address) -> AlloyAddress {
    AlloyAddress::from(*address.as_bytes())
}

fn number(bytes: [u8; 32]) -> U256 {
    U256::from_be_bytes(bytes)
}

fn kind() -> impl Strategy<Value = Kind> {
    let upto = address().prop_map(|facilitator| Kind::Upto { facilitator });
    prop_oneof![Just(Kind::Exact), upto]
}

fn permit() -> impl Strategy<Value = Permit> {
    let addresses = (address(), address(), address());
    (addresses, amount(), timestamp(), timestamp(), nonce(), kind()).prop_map(
        |((from, to, token), amount, valid_after, deadline, nonce, kind)| Permit {
            from,
            to,
            token,
            amount,
            valid_after,
            deadline,
            nonce,
            kind,
        },
    )
}

fn domain_of(chain_id: ChainId) -> Eip712Domain {
    Eip712Domain::new(
        Some("Permit2".into()),
        None,
        Some(U256::from(chain_id.get())),
        Some(theirs(PERMIT2)),
        None,
    )
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

fn alloys_digest(permit: &Permit, chain_id: ChainId) -> [u8; 32] {
    let domain = domain_of(chain_id);
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

fn alloys_calldata(terms: &Permit, charge: Amount, signature: &[u8]) -> Vec<u8> {
    let (owner, signature) = (theirs(terms.from), signature.to_vec().into());
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
            let amount = number(charge.to_be_bytes());
            upto::settleCall { permit, amount, owner, witness, signature }.abi_encode()
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn digests_are_alloys(permit in permit(), id in any::<u64>()) {
        let chain_id = ChainId::new(id);
        let (separator, digest) = (domain(chain_id), permit.digest(chain_id));
        prop_assert_eq!(separator.as_bytes(), &domain_of(chain_id).separator().0);
        prop_assert_eq!(digest.as_bytes(), &alloys_digest(&permit, chain_id));
    }

    #[test]
    fn calldata_is_alloys(
        permit in permit(),
        other in amount(),
        signature in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let charge = match permit.kind {
            Kind::Exact => permit.amount,
            Kind::Upto { .. } => permit.amount.min(other),
        };
        let length = permit.calldata_len(signature.len());
        let mut out = vec![0xaa; length + 1];
        let ours = permit.calldata(charge, &signature, &mut out).unwrap();
        prop_assert_eq!(ours, alloys_calldata(&permit, charge, &signature));
        prop_assert_eq!(out[length], 0xaa);
        let short = permit.calldata(charge, &signature, &mut out[..length - 1]);
        prop_assert_eq!(short, None);
    }

    #[test]
    fn no_more_is_charged_than_was_signed(permit in permit(), charge in amount()) {
        let mut out = [0; 452];
        let is_charged = permit.calldata(charge, &[7; 65], &mut out).is_some();
        let is_due = match permit.kind {
            Kind::Exact => charge == permit.amount,
            Kind::Upto { .. } => charge <= permit.amount,
        };
        prop_assert_eq!(is_charged, is_due);
    }
}
