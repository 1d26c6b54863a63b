//! Where the frames of a WebSocket end ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)).

/// What has passed of one direction of a WebSocket: only lengths are read.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// How far the head of a frame has come.
    head: [u8; Self::HEAD],
    read: usize,
    /// How much of a frame is to come, once its head is there.
    left: u64,
}

impl Frames {
    /// The longest head: flags, a length of 64 bits, and a mask.
    const HEAD: usize = 2 + 8 + 4;

    /// Whether the next byte begins a frame.
    pub(super) const fn is_between(&self) -> bool {
        self.read == 0 && self.left == 0
    }

    pub(super) fn pass(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            data = self.pass_one(data);
        }
    }

    /// Passes to the end of the frame that is under way, or begins, and returns what is behind it.
    pub(super) fn pass_one<'d>(&mut self, mut data: &'d [u8]) -> &'d [u8] {
        while let (0, Some((byte, rest))) = (self.left, data.split_first()) {
            data = rest;
            if let Some(slot) = self.head.get_mut(self.read) {
                *slot = *byte;
            }
            self.read += 1;
            if let Some(length) = self.length() {
                (self.read, self.left) = (0, length);
                if length == 0 {
                    return data;
                }
            }
        }
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let passed = self.left.min(len);
        self.left -= passed;
        // No more than there is.
        data.get(usize::try_from(passed).unwrap_or(usize::MAX)..).unwrap_or_default()
    }

    /// The length of the payload, once the whole head is there.
    fn length(&self) -> Option<u64> {
        let [_, second, rest @ ..] = self.head;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (extended, length) = match second & 0x7f {
            126 => (2, rest.first_chunk().map(|bytes| u16::from_be_bytes(*bytes).into())),
            127 => (8, rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))),
            short => (0, Some(short.into())),
        };
        (self.read == 2 + extended + mask).then_some(length)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match length {
            0..=125 => frame.push(u8::try_from(length).unwrap() | mask),
            126..=0xffff => {
                frame.push(126 | mask);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(127 | mask);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if is_masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.resize(frame.len() + length, 0xff);
        frame
    }

    #[test]
    fn end_where_they_say_however_they_are_cut() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_001, 0, 5];
        for is_masked in [false, true] {
            let all: Vec<_> = lengths.iter().map(|length| frame(*length, is_masked)).collect();
            let ends: Vec<usize> = all
                .iter()
                .scan(0, |end, frame| {
                    *end += frame.len();
                    Some(*end)
                })
                .collect();
            let bytes = all.concat();
            for piece in [1, 2, 3, 7, 1000, bytes.len()] {
                let (mut frames, mut at) = (Frames::default(), 0);
                assert!(frames.is_between());
                for data in bytes.chunks(piece) {
                    frames.pass(data);
                    at += data.len();
                    assert_eq!(frames.is_between(), ends.contains(&at), "{piece} {at}");
                }
            }
            let (mut frames, mut rest) = (Frames::default(), &bytes[..]);
            for end in ends {
                rest = frames.pass_one(rest);
                assert_eq!(bytes.len() - rest.len(), end);
            }
        }
    }
}
