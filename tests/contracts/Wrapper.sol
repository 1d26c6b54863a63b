// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// A stranger's contract in tests, which makes any call that anybody asks of it: what it is asked to
/// settle is not the call that the transaction makes.
contract Wrapper {
    /// Makes one call, and reverts as that does.
    function relay(address target, bytes calldata data) external returns (bytes memory) {
        (bool success, bytes memory answer) = target.call(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        return answer;
    }
}
