//! Base64: the bytes are those of the crate `base64`, which takes what is padded and what is not.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use libfuzzer_sys::fuzz_target;
use x402_core::wire::base64::{Base64, Base64Error, decode, decoded_room, encoded_len};

fuzz_target!(|data: &[u8]| {
    let mut room = vec![0xaa; decoded_room(data.len())];
    let ours = decode(data, &mut room).map(<[u8]>::to_vec);
    let theirs = STANDARD.decode(data).or_else(|_| STANDARD_NO_PAD.decode(data));
    assert_eq!(ours.as_ref().ok(), theirs.as_ref().ok());
    if let Ok(bytes) = &ours {
        let mut exact = vec![0; bytes.len()];
        assert_eq!(decode(data, &mut exact), Ok(bytes.as_slice()));
        if let Some((_, short)) = exact.split_first_mut() {
            assert_eq!(decode(data, short), Err(Base64Error::Room));
        }
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    let written = Base64(text).to_string();
    assert_eq!(written, STANDARD.encode(text));
    assert_eq!(written.len(), encoded_len(text.len()));
});
