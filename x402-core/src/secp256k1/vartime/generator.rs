use super::super::field::field;
use super::point::Affine;
use crate::hex;

/// What is too much flash for a device, and a twentieth of the time elsewhere.
#[cfg(target_pointer_width = "64")]
mod wide;

/// The width of the digits that the table serves: odd, below 2^(width - 1) in size.
pub(super) const WIDTH: u32 = if cfg!(target_pointer_width = "64") { 8 } else { 6 };

/// G, 3G, 5G …: x and y, 32 bytes each, big-endian. The unit test multiplies them out.
const TABLE: [[[u8; 32]; 2]; 16] = [
    row(
        "0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8",
    ),
    row(
        "0xf9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
        "0x388f7b0f632de8140fe337e62a37f3566500a99934c2231b6cb9fd7584b8e672",
    ),
    row(
        "0x2f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4",
        "0xd8ac222636e5e3d6d4dba9dda6c9c426f788271bab0d6840dca87d3aa6ac62d6",
    ),
    row(
        "0x5cbdf0646e5db4eaa398f365f2ea7a0e3d419b7e0330e39ce92bddedcac4f9bc",
        "0x6aebca40ba255960a3178d6d861a54dba813d0b813fde7b5a5082628087264da",
    ),
    row(
        "0xacd484e2f0c7f65309ad178a9f559abde09796974c57e714c35f110dfc27ccbe",
        "0xcc338921b0a7d9fd64380971763b61e9add888a4375f8e0f05cc262ac64f9c37",
    ),
    row(
        "0x774ae7f858a9411e5ef4246b70c65aac5649980be5c17891bbec17895da008cb",
        "0xd984a032eb6b5e190243dd56d7b7b365372db1e2dff9d6a8301d74c9c953c61b",
    ),
    row(
        "0xf28773c2d975288bc7d1d205c3748651b075fbc6610e58cddeeddf8f19405aa8",
        "0x0ab0902e8d880a89758212eb65cdaf473a1a06da521fa91f29b5cb52db03ed81",
    ),
    row(
        "0xd7924d4f7d43ea965a465ae3095ff41131e5946f3c85f79e44adbcf8e27e080e",
        "0x581e2872a86c72a683842ec228cc6defea40af2bd896d3a5c504dc9ff6a26b58",
    ),
    row(
        "0xdefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34",
        "0x4211ab0694635168e997b0ead2a93daeced1f4a04a95c0f6cfb199f69e56eb77",
    ),
    row(
        "0x2b4ea0a797a443d293ef5cff444f4979f06acfebd7e86d277475656138385b6c",
        "0x85e89bc037945d93b343083b5a1c86131a01f60c50269763b570c854e5c09b7a",
    ),
    row(
        "0x352bbf4a4cdd12564f93fa332ce333301d9ad40271f8107181340aef25be59d5",
        "0x321eb4075348f534d59c18259dda3e1f4a1b3b2e71b1039c67bd3d8bcf81998c",
    ),
    row(
        "0x2fa2104d6b38d11b0230010559879124e42ab8dfeff5ff29dc9cdadd4ecacc3f",
        "0x02de1068295dd865b64569335bd5dd80181d70ecfc882648423ba76b532b7d67",
    ),
    row(
        "0x9248279b09b4d68dab21a9b066edda83263c3d84e09572e269ca0cd7f5453714",
        "0x73016f7bf234aade5d1aa71bdea2b1ff3fc0de2a887912ffe54a32ce97cb3402",
    ),
    row(
        "0xdaed4f2be3a8bf278e70132fb0beb7522f570e144bf615c07e996d443dee8729",
        "0xa69dce4a7d6c98e8d4a1aca87ef8d7003f83c230f3afa726ab40e52290be1c55",
    ),
    row(
        "0xc44d12c7065d812e8acf28d7cbb19f9011ecd9e9fdf281b0e6a3b5e87d22e7db",
        "0x2119a460ce326cdc76c45926c982fdac0e106e861edf61c5a039063f0e0e6482",
    ),
    row(
        "0x6a245bf6dc698504c89a20cfded60853152b695336c28063b61c65cbd269e6b4",
        "0xe022cf42c2bd4a708b3f5126f16a24ad8b33ba48d0423b6efd5e6348100d8a82",
    ),
];

const fn row(x: &str, y: &str) -> [[u8; 32]; 2] {
    [hex::literal(x), hex::literal(y)]
}

/// The multiple of the generator for the digit `2 * half + 1`.
pub(super) fn multiple(half: usize) -> Option<Affine> {
    let row = TABLE.get(half);
    #[cfg(target_pointer_width = "64")]
    let row = row.or_else(|| wide::TABLE.get(half.checked_sub(TABLE.len())?));
    let [x, y] = row?;
    Some(Affine { x: field(x)?, y: field(y)? })
}
