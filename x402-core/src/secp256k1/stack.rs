//! What calculations have left on the stack, overwritten.

use k256::elliptic_curve::zeroize::Zeroize as _;

/// In words of eight bytes: more than twice what k256 takes of the stack of a host.
const WORDS: usize = 5120;

/// Overwrites the stack below its caller.
///
/// Scalars are wiped when they are dropped, and not the copies that the compiler makes of them on the way: after
/// a signature its nonce, and the inverse of that, are below whoever asked for it, and with one of them and the
/// signature everybody has the key. What has calculated with them must not be inlined into the caller.
#[inline(never)]
pub(super) fn wipe() {
    [0_u64; WORDS].zeroize();
}
