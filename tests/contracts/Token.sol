// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// A token for development chains: ERC-20, EIP-2612 permits and EIP-3009 authorizations.
///
/// It answers as Circle's FiatToken v2.2 (USDC, EURC) does: order of checks and of logs, bounds of time,
/// contract wallets, blacklist, pause and revert texts, so that software that was written against
/// this token meets nothing new on a public chain. Simpler is who may do what: its owner mints,
/// without an allowance, and is pauser and blacklister too. It is not meant to hold value.
contract Token {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
    event Pause();
    event Unpause();
    event Blacklisted(address indexed account);
    event UnBlacklisted(address indexed account);

    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH =
        keccak256(
            "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH =
        keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
    bytes32 public constant CANCEL_AUTHORIZATION_TYPEHASH =
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
    bytes32 public constant PERMIT_TYPEHASH =
        keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256(
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        );

    /// Half the order of secp256k1: for every signature (r, s) there is a second, (r, n - s).
    uint256 private constant MAX_S =
        0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    /// What an EIP-1271 wallet answers when it agrees, padded as the ABI pads a bytes4.
    bytes32 private constant WALLET_AGREES = bytes32(bytes4(0x1626ba7e));
    /// The highest bit of an account's word: blacklisted. The others are its balance.
    uint256 private constant BLACKLISTED = 1 << 255;

    /// Everything lives in storage, nothing in the code: a genesis may copy both to another address.
    address public owner;
    string public name;
    string public symbol;
    string public version;
    uint8 public decimals;
    bool public paused;
    uint256 public totalSupply;
    /// Balance, and whether blacklisted, in one word: a transfer reads no more of storage than USDC's.
    mapping(address => uint256) private accounts;
    mapping(address => mapping(address => uint256)) public allowance;
    mapping(address => uint256) public nonces;
    /// True once the authorization with this nonce was used or canceled.
    mapping(address => mapping(bytes32 => bool)) public authorizationState;

    constructor(
        string memory name_,
        string memory symbol_,
        string memory version_,
        uint8 decimals_
    ) {
        owner = msg.sender;
        name = name_;
        symbol = symbol_;
        version = version_;
        decimals = decimals_;
    }

    modifier onlyOwner(string memory otherwise) {
        require(msg.sender == owner, otherwise);
        _;
    }

    modifier whenNotPaused() {
        require(!paused, "Pausable: paused");
        _;
    }

    modifier notBlacklisted(address account) {
        require(!isBlacklisted(account), "Blacklistable: account is blacklisted");
        _;
    }

    /// Computed anew each time, so that it holds wherever code and storage were put.
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    DOMAIN_TYPEHASH,
                    keccak256(bytes(name)),
                    keccak256(bytes(version)),
                    block.chainid,
                    address(this)
                )
            );
    }

    function balanceOf(address account) public view returns (uint256) {
        return accounts[account] & ~BLACKLISTED;
    }

    /// The token itself always is: nothing is ever lost by sending it there.
    function isBlacklisted(address account) public view returns (bool) {
        return account == address(this) || accounts[account] & BLACKLISTED != 0;
    }

    function pause() external onlyOwner("Pausable: caller is not the pauser") {
        paused = true;
        emit Pause();
    }

    function unpause() external onlyOwner("Pausable: caller is not the pauser") {
        paused = false;
        emit Unpause();
    }

    function blacklist(
        address account
    ) external onlyOwner("Blacklistable: caller is not the blacklister") {
        accounts[account] |= BLACKLISTED;
        emit Blacklisted(account);
    }

    function unBlacklist(
        address account
    ) external onlyOwner("Blacklistable: caller is not the blacklister") {
        accounts[account] &= ~BLACKLISTED;
        emit UnBlacklisted(account);
    }

    function mint(
        address to,
        uint256 value
    )
        external
        whenNotPaused
        onlyOwner("FiatToken: caller is not a minter")
        notBlacklisted(to)
        returns (bool)
    {
        require(to != address(0), "FiatToken: mint to the zero address");
        totalSupply += value;
        _setBalance(to, balanceOf(to) + value);
        emit Transfer(address(0), to, value);
        return true;
    }

    function transfer(
        address to,
        uint256 value
    ) external whenNotPaused notBlacklisted(msg.sender) notBlacklisted(to) returns (bool) {
        _transfer(msg.sender, to, value);
        return true;
    }

    /// The blacklist does not count here, nor for a permit or a cancellation.
    function approve(address spender, uint256 value) external whenNotPaused returns (bool) {
        _approve(msg.sender, spender, value);
        return true;
    }

    function transferFrom(
        address from,
        address to,
        uint256 value
    )
        external
        whenNotPaused
        notBlacklisted(msg.sender)
        notBlacklisted(from)
        notBlacklisted(to)
        returns (bool)
    {
        uint256 allowed = allowance[from][msg.sender];
        require(value <= allowed, "ERC20: transfer amount exceeds allowance");
        _transfer(from, to, value);
        unchecked {
            allowance[from][msg.sender] = allowed - value;
        }
        return true;
    }

    function permit(
        address holder,
        address spender,
        uint256 value,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external whenNotPaused {
        _permit(holder, spender, value, deadline, abi.encodePacked(r, s, v));
    }

    function permit(
        address holder,
        address spender,
        uint256 value,
        uint256 deadline,
        bytes memory signature
    ) external whenNotPaused {
        _permit(holder, spender, value, deadline, signature);
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external whenNotPaused notBlacklisted(from) notBlacklisted(to) {
        _requireValid(from, validAfter, validBefore, nonce);
        bytes32 signed = _hash(
            TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce
        );
        _requireSigned(from, signed, abi.encodePacked(r, s, v));
        _pay(from, to, value, nonce);
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external whenNotPaused notBlacklisted(from) notBlacklisted(to) {
        _requireValid(from, validAfter, validBefore, nonce);
        bytes32 signed = _hash(
            TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce
        );
        _requireSigned(from, signed, signature);
        _pay(from, to, value, nonce);
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external whenNotPaused notBlacklisted(from) notBlacklisted(to) {
        require(to == msg.sender, "FiatTokenV2: caller must be the payee");
        _requireValid(from, validAfter, validBefore, nonce);
        bytes32 signed = _hash(
            RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce
        );
        _requireSigned(from, signed, abi.encodePacked(r, s, v));
        _pay(from, to, value, nonce);
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external whenNotPaused notBlacklisted(from) notBlacklisted(to) {
        require(to == msg.sender, "FiatTokenV2: caller must be the payee");
        _requireValid(from, validAfter, validBefore, nonce);
        bytes32 signed = _hash(
            RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce
        );
        _requireSigned(from, signed, signature);
        _pay(from, to, value, nonce);
    }

    function cancelAuthorization(
        address authorizer,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external whenNotPaused {
        _cancel(authorizer, nonce, abi.encodePacked(r, s, v));
    }

    function cancelAuthorization(
        address authorizer,
        bytes32 nonce,
        bytes memory signature
    ) external whenNotPaused {
        _cancel(authorizer, nonce, signature);
    }

    /// The struct hash of a transfer or receive authorization.
    function _hash(
        bytes32 typehash,
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce
    ) private pure returns (bytes32) {
        return keccak256(abi.encode(typehash, from, to, value, validAfter, validBefore, nonce));
    }

    /// Checks an authorization but for its signature: times, then nonce.
    function _requireValid(
        address from,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce
    ) private view {
        require(block.timestamp > validAfter, "FiatTokenV2: authorization is not yet valid");
        require(block.timestamp < validBefore, "FiatTokenV2: authorization is expired");
        _requireUnused(from, nonce);
    }

    /// Uses an authorization and moves its value. The log of the use comes first, that of the
    /// transfer is the very next.
    function _pay(address from, address to, uint256 value, bytes32 nonce) internal virtual {
        _use(from, nonce);
        _transfer(from, to, value);
    }

    function _use(address from, bytes32 nonce) internal {
        authorizationState[from][nonce] = true;
        emit AuthorizationUsed(from, nonce);
    }

    function _cancel(address authorizer, bytes32 nonce, bytes memory signature) private {
        _requireUnused(authorizer, nonce);
        bytes32 structHash = keccak256(
            abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)
        );
        _requireSigned(authorizer, structHash, signature);
        authorizationState[authorizer][nonce] = true;
        emit AuthorizationCanceled(authorizer, nonce);
    }

    function _permit(
        address holder,
        address spender,
        uint256 value,
        uint256 deadline,
        bytes memory signature
    ) private {
        require(
            deadline == type(uint256).max || deadline >= block.timestamp,
            "FiatTokenV2: permit is expired"
        );
        bytes32 structHash = keccak256(
            abi.encode(PERMIT_TYPEHASH, holder, spender, value, nonces[holder]++, deadline)
        );
        require(_signedBy(holder, structHash, signature), "EIP2612: invalid signature");
        _approve(holder, spender, value);
    }

    function _transfer(address from, address to, uint256 value) internal virtual {
        require(from != address(0), "ERC20: transfer from the zero address");
        require(to != address(0), "ERC20: transfer to the zero address");
        uint256 balance = balanceOf(from);
        require(value <= balance, "ERC20: transfer amount exceeds balance");
        _setBalance(from, balance - value);
        // Read after the line before wrote: paying oneself must change nothing.
        _setBalance(to, balanceOf(to) + value);
        emit Transfer(from, to, value);
    }

    /// Of accounts that are not blacklisted only: their word is their balance.
    function _setBalance(address account, uint256 balance) private {
        require(balance < BLACKLISTED, "FiatTokenV2_2: Balance exceeds (2^255 - 1)");
        require(!isBlacklisted(account), "FiatTokenV2_2: Account is blacklisted");
        accounts[account] = balance;
    }

    function _approve(address holder, address spender, uint256 value) private {
        require(holder != address(0), "ERC20: approve from the zero address");
        require(spender != address(0), "ERC20: approve to the zero address");
        allowance[holder][spender] = value;
        emit Approval(holder, spender, value);
    }

    function _requireUnused(address authorizer, bytes32 nonce) private view {
        require(
            !authorizationState[authorizer][nonce],
            "FiatTokenV2: authorization is used or canceled"
        );
    }

    function _requireSigned(
        address signer,
        bytes32 structHash,
        bytes memory signature
    ) private view {
        require(_signedBy(signer, structHash, signature), "FiatTokenV2: invalid signature");
    }

    /// Whether `signer` stands behind this struct: a wallet contract is asked, a key is recovered.
    function _signedBy(
        address signer,
        bytes32 structHash,
        bytes memory signature
    ) private view returns (bool) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", DOMAIN_SEPARATOR(), structHash));
        if (signer.code.length == 0) {
            return _recover(digest, signature) == signer;
        }
        (bool answered, bytes memory answer) = signer.staticcall(
            abi.encodeWithSelector(0x1626ba7e, digest, signature)
        );
        return answered && answer.length >= 32 && abi.decode(answer, (bytes32)) == WALLET_AGREES;
    }

    function _recover(bytes32 digest, bytes memory signature) private pure returns (address) {
        require(signature.length == 65, "ECRecover: invalid signature length");
        bytes32 r;
        bytes32 s;
        uint8 v;
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
        require(uint256(s) <= MAX_S, "ECRecover: invalid signature 's' value");
        require(v == 27 || v == 28, "ECRecover: invalid signature 'v' value");
        address signer = ecrecover(digest, v, r, s);
        require(signer != address(0), "ECRecover: invalid signature");
        return signer;
    }
}
