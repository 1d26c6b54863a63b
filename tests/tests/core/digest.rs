//! Digests and calldata against alloy.

use alloy_primitives::{Address as AlloyAddress, B256, U256};
use alloy_sol_types::{Eip712Domain, SolCall as _, SolEvent as _, SolStruct, sol};
use proptest::prelude::*;
use x402_core::eip3009::CancelAuthorization as Cancel;
use x402_core::settlement::{AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC};
use x402_core::{Address, Asset, Authorization, ChainId, Domain};

use crate::arbitrary::{address, authorization, cases, nonce, signer};

sol! {
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

    interface Token {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

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

fn theirs(address: Address) -> AlloyAddress {
    AlloyAddress::from(*address.as_bytes())
}

fn domain_of(domain: &Domain<'_>) -> Eip712Domain {
    Eip712Domain::new(
        Some(domain.name.to_owned().into()),
        Some(domain.version.to_owned().into()),
        Some(U256::from(domain.chain_id.get())),
        Some(theirs(domain.verifying_contract)),
        None,
    )
}

fn number(bytes: [u8; 32]) -> U256 {
    U256::from_be_bytes(bytes)
}

fn transfer_of(a: &Authorization) -> TransferWithAuthorization {
    TransferWithAuthorization {
        from: theirs(a.from),
        to: theirs(a.to),
        value: number(a.value.to_be_bytes()),
        validAfter: number(a.valid_after.to_be_bytes()),
        validBefore: number(a.valid_before.to_be_bytes()),
        nonce: B256::from(*a.nonce.as_bytes()),
    }
}

fn receive_of(a: &Authorization) -> ReceiveWithAuthorization {
    let TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } =
        transfer_of(a);
    ReceiveWithAuthorization { from, to, value, validAfter, validBefore, nonce }
}

fn digest_of(message: &impl SolStruct, domain: &Domain<'_>) -> [u8; 32] {
    message.eip712_signing_hash(&domain_of(domain)).0
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn digests_are_alloys(
        name in any::<String>(),
        version in any::<String>(),
        id in any::<u64>(),
        contract in address(),
        authorization in authorization(),
        canceled in nonce(),
    ) {
        let chain_id = ChainId::new(id);
        let domain =
            Domain { name: &name, version: &version, chain_id, verifying_contract: contract };
        let separator = domain.separator();
        prop_assert_eq!(separator.as_bytes(), &domain_of(&domain).separator().0);

        let transfer = authorization.digest(&separator);
        prop_assert_eq!(transfer.as_bytes(), &digest_of(&transfer_of(&authorization), &domain));
        let receive = authorization.receive_digest(&separator);
        prop_assert_eq!(receive.as_bytes(), &digest_of(&receive_of(&authorization), &domain));

        let cancel = Cancel { authorizer: contract, nonce: canceled }.digest(&separator);
        let alloys = CancelAuthorization {
            authorizer: theirs(contract),
            nonce: B256::from(*canceled.as_bytes()),
        };
        prop_assert_eq!(cancel.as_bytes(), &digest_of(&alloys, &domain));
    }

    #[test]
    fn calldata_is_alloys(
        authorization in authorization(),
        signer in signer(),
        tail in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } =
            transfer_of(&authorization);
        let digest = x402_core::Digest::new(*authorization.nonce.as_bytes());
        let Ok(signature) = x402_core::Signer::sign(&signer, &digest);
        let (v, r, s) = (signature.v(), signature.r().into(), signature.s().into());
        let call = Token::transferWithAuthorization_0Call {
            from, to, value, validAfter, validBefore, nonce, v, r, s,
        };
        prop_assert_eq!(&authorization.calldata(&signature)[..], call.abi_encode());

        let signature = tail.clone().into();
        let call = Token::transferWithAuthorization_1Call {
            from, to, value, validAfter, validBefore, nonce, signature,
        };
        let length = Authorization::calldata_with_bytes_len(tail.len());
        let mut out = vec![0xaa; length + 1];
        let ours = authorization.calldata_with_bytes(&tail, &mut out).unwrap();
        prop_assert_eq!(ours, call.abi_encode());
        prop_assert!(authorization.calldata_with_bytes(&tail, &mut out[..length - 1]).is_none());
    }

    #[test]
    fn addresses_are_shown_as_alloy_shows_them(address in address()) {
        prop_assert_eq!(address.to_string(), theirs(address).to_checksum(None));
    }
}

#[test]
fn every_asset_has_alloys_separator() {
    for asset in Asset::all() {
        let domain = asset.domain();
        assert_eq!(domain.separator().as_bytes(), &domain_of(&domain).separator().0, "{asset:?}");
    }
}

#[test]
fn topics_are_alloys() {
    assert_eq!(TRANSFER_TOPIC, Token::Transfer::SIGNATURE_HASH.0);
    assert_eq!(AUTHORIZATION_USED_TOPIC, Token::AuthorizationUsed::SIGNATURE_HASH.0);
}
