//! Strings of JSON, as many bytes at a time as a register has.

/// The bytes of a register.
const WIDTH: usize = size_of::<usize>();

/// A byte in each of the places.
const fn each(byte: u8) -> usize {
    usize::from_ne_bytes([byte; WIDTH])
}

/// How many bytes there are before the first quote, backslash or control character.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let word = usize::from_le_bytes(*word);
        // A byte below the bound borrows: its high bit is set, and in what is above it may be wrong.
        let below = |word: usize, bound: u8| word.wrapping_sub(each(bound));
        let (quote, backslash) = (word ^ each(b'"'), word ^ each(b'\\'));
        let ends = below(word, b' ') | below(quote, 1) | below(backslash, 1);
        // A byte whose own high bit is set is none of them.
        let ends = ends & !word & each(0x80);
        if ends != 0 {
            return WIDTH * index + ends.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, ..b' ' | b'"' | b'\\');
    bytes.len() - rest.len() + rest.iter().take_while(is_plain).count()
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn finds_the_first_byte_that_is_not_plain_wherever_it_is() {
        for byte in 0..=255_u8 {
            let is_plain = byte >= b' ' && byte != b'"' && byte != b'\\';
            for (before, behind) in (0..20).flat_map(|before| (0..10).map(move |b| (before, b))) {
                // What is behind looks like an end, too, and so does nothing in front.
                let mut text = vec![0x80; before];
                text.push(byte);
                text.extend([b'"', b'!', 0xff, 0].iter().cycle().take(behind));
                let expected = before + usize::from(is_plain);
                assert_eq!(plain(&text), expected, "{byte:#x} at {before} before {behind}");
            }
        }
    }
}
