// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import {Permit2} from "Permit2.sol";

/// What both proxies have: where Permit2 is, and what they revert with.
abstract contract Proxy {
    Permit2 public constant PERMIT2 = Permit2(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    event Settled();

    error InvalidAmount();
    error InvalidDestination();
    error InvalidOwner();
    error PaymentTooEarly();

    function _settle(
        Permit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        address to,
        uint256 validAfter,
        bytes32 witness,
        string memory witnessType,
        bytes calldata signature
    ) internal {
        if (amount == 0) revert InvalidAmount();
        if (owner == address(0)) revert InvalidOwner();
        if (to == address(0)) revert InvalidDestination();
        if (block.timestamp < validAfter) revert PaymentTooEarly();
        PERMIT2.permitWitnessTransferFrom(
            permit,
            Permit2.SignatureTransferDetails({to: to, requestedAmount: amount}),
            owner,
            witness,
            witnessType,
            signature
        );
        emit Settled();
    }
}

/// Stands in for x402ExactPermit2Proxy in tests: moves all of what was signed, to the witness alone.
contract ExactProxy is Proxy {
    struct Witness {
        address to;
        uint256 validAfter;
    }

    bytes32 private constant WITNESS_TYPE = keccak256("Witness(address to,uint256 validAfter)");
    string private constant WITNESS_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";

    function settle(
        Permit2.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        bytes32 hash = keccak256(abi.encode(WITNESS_TYPE, witness.to, witness.validAfter));
        _settle(
            permit,
            permit.permitted.amount,
            owner,
            witness.to,
            witness.validAfter,
            hash,
            WITNESS_STRING,
            signature
        );
    }
}

/// Stands in for x402UptoPermit2Proxy in tests: moves at most what was signed, for one facilitator.
contract UptoProxy is Proxy {
    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    error AmountExceedsPermitted();
    error UnauthorizedFacilitator();

    bytes32 private constant WITNESS_TYPE =
        keccak256("Witness(address to,address facilitator,uint256 validAfter)");
    string private constant WITNESS_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";

    function settle(
        Permit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        if (msg.sender != witness.facilitator) revert UnauthorizedFacilitator();
        if (amount > permit.permitted.amount) revert AmountExceedsPermitted();
        bytes32 hash = keccak256(
            abi.encode(WITNESS_TYPE, witness.to, witness.facilitator, witness.validAfter)
        );
        _settle(
            permit, amount, owner, witness.to, witness.validAfter, hash, WITNESS_STRING, signature
        );
    }
}
