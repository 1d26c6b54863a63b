// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import {Wrapper} from "Wrapper.sol";

bytes4 constant AGREES = 0x1626ba7e;
bytes4 constant REFUSES = 0xffffffff;

/// A payer in tests that agrees to everything (EIP-1271) and does whatever it is asked to.
contract YesWallet is Wrapper {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return AGREES;
    }
}

/// A hostile payer in tests: agrees where the call names no price of gas, as simulations mostly do.
/// In a transaction it burns all gas that the token gives it, and has not agreed.
contract GasPriceWallet {
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        if (tx.gasprice == 0) return AGREES;
        assembly ("memory-safe") {
            invalid()
        }
    }
}

/// A hostile payer in tests: agrees up to the block that somebody named, so that the newest block's
/// state agrees to what the next block's refuses.
contract BlockWallet {
    uint256 public last;

    /// Sets up to which block, inclusive, it agrees.
    function agreeUntil(uint256 number) external {
        last = number;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        return block.number <= last ? AGREES : REFUSES;
    }
}

/// A payer in tests that changes its mind when told to, ahead of our transaction for instance.
contract SwitchWallet {
    bool public agrees;

    /// Sets what it answers from now on; at first it refuses.
    function set(bool answer) external {
        agrees = answer;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        return agrees ? AGREES : REFUSES;
    }
}
