use crate::wire::base64::{Base64Error, value};

/// Decodes base64 as it arrives, as strictly as [`decode`](crate::wire::base64::decode).
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The digits of the group so far.
    group: u32,
    digits: u8,
    padding: u8,
    /// A blank was seen, behind which nothing may come.
    is_over: bool,
}

impl Decoder {
    /// Takes a character and gives up to three bytes, once they are known.
    pub(super) fn push(
        &mut self,
        digit: u8,
    ) -> Result<impl Iterator<Item = u8> + use<>, Base64Error> {
        match digit {
            b' ' | b'\t' => self.is_over = true,
            _ if self.is_over => return Err(Base64Error::Digit),
            b'=' => self.padding = self.padding.saturating_add(1),
            _ if self.padding > 0 => return Err(Base64Error::Digit),
            _ => {
                let value = value(digit).ok_or(Base64Error::Digit)?;
                self.group = (self.group << 6) | u32::from(value);
                self.digits += 1;
            }
        }
        if self.digits < 4 {
            return Ok(bytes(0, 0));
        }
        self.digits = 0;
        Ok(bytes(self.group, 3))
    }

    /// The bytes of the last group, at the end of the text.
    pub(super) fn finish(self) -> Result<impl Iterator<Item = u8> + use<>, Base64Error> {
        let padding = match self.digits {
            0 => 0,
            1 => return Err(Base64Error::Length),
            digits => 4 - digits,
        };
        if self.padding != 0 && self.padding != padding {
            return Err(Base64Error::Length);
        }
        let group = self.group << (6 * u32::from(padding));
        let kept = usize::from(self.digits.saturating_sub(1));
        let [_, all @ ..] = group.to_be_bytes();
        if self.digits > 0 && all.iter().skip(kept).any(|byte| *byte != 0) {
            return Err(Base64Error::Trailing);
        }
        Ok(bytes(group, kept))
    }
}

fn bytes(group: u32, count: usize) -> impl Iterator<Item = u8> {
    let [_, all @ ..] = group.to_be_bytes();
    all.into_iter().take(count)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::wire::base64::decode;

    fn streamed(text: &[u8]) -> Result<Vec<u8>, Base64Error> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for digit in text {
            out.extend(decoder.push(*digit)?);
        }
        out.extend(decoder.finish()?);
        Ok(out)
    }

    #[test]
    fn decodes_as_the_other_decoder_does() {
        let alphabet = b"AQgw/+=_ B";
        let digits = (0..alphabet.len().pow(5)).map(|number| {
            let mut rest = number;
            let text: Vec<u8> = core::iter::from_fn(|| {
                let digit = alphabet.get(rest % alphabet.len()).copied();
                rest /= alphabet.len();
                digit.filter(|_| rest > 0)
            })
            .collect();
            text
        });
        for text in digits {
            let mut out = [0; 16];
            // Blanks at the end are those of the header field.
            let expected = decode(text.trim_ascii_end(), &mut out).map(<[u8]>::to_vec);
            assert_eq!(streamed(&text).ok(), expected.ok(), "{text:?}");
        }
    }
}
