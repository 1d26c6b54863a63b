use core::fmt;

/// The bytes that are read at once.
const CHUNK_LEN: usize = 64;

/// A stream of bytes, and what was read of it beyond the head of a message.
///
/// It is what bodies are read from, too.
#[derive(Debug)]
pub struct Connection<T> {
    pub(super) stream: T,
    chunk: [u8; CHUNK_LEN],
    start: usize,
    end: usize,
}

impl<T> Connection<T> {
    /// Wraps a stream of which nothing was read yet.
    pub const fn new(stream: T) -> Self {
        Self { stream, chunk: [0; CHUNK_LEN], start: 0, end: 0 }
    }

    /// The stream.
    pub const fn get_ref(&self) -> &T {
        &self.stream
    }

    /// The stream. What was read of it and not taken is lost.
    pub fn into_inner(self) -> T {
        self.stream
    }

    /// Takes a byte of what was read.
    pub(super) fn take(&mut self) -> Option<u8> {
        let byte = self.chunk.get(self.start..self.end)?.first().copied()?;
        self.start += 1;
        Some(byte)
    }

    /// What was read and not taken.
    pub(super) fn waiting(&self) -> &[u8] {
        self.chunk.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes so many bytes of what was read.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Moves what was read to `out`, as much as fits; says how much that was.
    pub(super) fn drain(&mut self, out: &mut [u8]) -> usize {
        let mut count = 0;
        for slot in out {
            let Some(byte) = self.take() else { break };
            *slot = byte;
            count += 1;
        }
        count
    }

    /// Room for the next bytes, once all are taken.
    pub(super) const fn chunk(&mut self) -> (&mut T, &mut [u8]) {
        (&mut self.stream, &mut self.chunk)
    }

    /// So many bytes were read into it.
    pub(super) fn filled(&mut self, count: usize) {
        (self.start, self.end) = (0, count.min(CHUNK_LEN));
    }
}

/// What goes wrong on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DeviceError<P, E> {
    /// The other side closed the connection within a message.
    Closed,
    /// The stream failed.
    Io(E),
    /// What was read, or was to be written, is not as it must be.
    Protocol(P),
}

impl<P: fmt::Display, E: fmt::Debug> fmt::Display for DeviceError<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed within a message"),
            Self::Io(error) => write!(f, "the connection failed: {error:?}"),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

impl<P: fmt::Debug + fmt::Display, E: fmt::Debug> core::error::Error for DeviceError<P, E> {}
