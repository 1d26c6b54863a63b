// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import {Token} from "Token.sol";

/// A token in tests that moves or logs otherwise than what was signed makes one expect.
///
/// Its storage is that of `Token` and one slot more: its code may replace that of a token in use.
contract OddToken is Token {
    enum Mode {
        /// As `Token`.
        Plain,
        /// A hundredth, or 1, goes to the owner: two transfers, and none is of what was signed.
        Fee,
        /// All of it goes to the payee, in two transfers.
        Split,
        /// The transfer, then the use.
        TransferFirst,
        /// The use, a log that is no transfer, then the transfer.
        Between,
        /// The use, and nothing moves.
        Nothing,
        /// After each transfer the log of an allowance, as tokens write that keep one in `transferFrom`.
        Allowance
    }

    /// Plain at first.
    Mode public mode;

    constructor(
        string memory name_,
        string memory symbol_,
        string memory version_,
        uint8 decimals_
    ) Token(name_, symbol_, version_, decimals_) {}

    function setMode(Mode mode_) external onlyOwner("OddToken: caller is not the owner") {
        mode = mode_;
    }

    function _pay(address from, address to, uint256 value, bytes32 nonce) internal override {
        if (mode == Mode.TransferFirst) {
            _transfer(from, to, value);
            _use(from, nonce);
            return;
        }
        _use(from, nonce);
        if (mode == Mode.Nothing) return;
        if (mode == Mode.Between) emit Approval(from, to, value);
        _transfer(from, to, value);
    }

    function _transfer(address from, address to, uint256 value) internal override {
        if (value > 1 && (mode == Mode.Fee || mode == Mode.Split)) {
            uint256 part = mode == Mode.Fee && value >= 100 ? value / 100 : 1;
            super._transfer(from, to, value - part);
            super._transfer(from, mode == Mode.Fee ? owner : to, part);
        } else {
            super._transfer(from, to, value);
        }
        if (mode == Mode.Allowance) emit Approval(from, msg.sender, allowance[from][msg.sender]);
    }
}
