// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// Stands in for the upgradeable proxy that tokens in use are behind: it keeps the state, another
/// contract has the code, and its admin alone is not let through.
contract AdminProxy {
    address private immutable IMPLEMENTATION;
    address private immutable ADMIN;

    constructor(address implementation, address admin) {
        IMPLEMENTATION = implementation;
        ADMIN = admin;
    }

    fallback(bytes calldata data) external payable returns (bytes memory) {
        require(msg.sender != ADMIN, "Cannot call fallback function from the proxy admin");
        (bool success, bytes memory answer) = IMPLEMENTATION.delegatecall(data);
        if (success) return answer;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }
}
