use super::RequestBody;
use crate::metering::usage::BYTES_PER_TOKEN;

/// The tokens of a request, and how they were counted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Counted {
    /// Four bytes of the body to a token, rounded up: an estimate, too high for what is not text, and
    /// too low for scripts of which a character takes more than one token.
    Bytes4(u64),
    /// As many as there are bytes, which is the most there can be: what is counted could be read in two ways.
    Most(u64),
    /// With the vocabulary of the model, as OpenAI counts messages.
    Tiktoken(u64),
}

impl Counted {
    /// How many there are.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        match self {
            Self::Bytes4(tokens) | Self::Most(tokens) | Self::Tiktoken(tokens) => tokens,
        }
    }
}

impl RequestBody<'_> {
    /// The tokens of the request.
    ///
    /// With the feature `tiktoken` they are counted where the body is as OpenAI's APIs take it and
    /// names a model whose vocabulary is known. A megabyte takes some 20 milliseconds, and one that
    /// was written to take long some 200; the first request also waits for the vocabulary. That is
    /// nothing for a thread that serves others.
    #[must_use]
    pub fn count_input(&self) -> Counted {
        #[cfg(feature = "tiktoken")]
        if tiktoken::is_unclear(self) {
            return Counted::Most(self.len() as u64);
        }
        #[cfg(feature = "tiktoken")]
        if let Some(tokens) = tiktoken::count(self) {
            return Counted::Tiktoken(tokens);
        }
        Counted::Bytes4((self.len() as u64).div_ceil(BYTES_PER_TOKEN))
    }
}

#[cfg(feature = "tiktoken")]
mod tiktoken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_four_bytes_to_a_token_where_nobody_knows_better() {
        for (length, expected) in [(0, 0), (1, 1), (4, 1), (5, 2), (1_000_001, 250_001)] {
            let body = vec![b'x'; length];
            let counted = RequestBody::read(&body, |_| None).count_input();
            assert_eq!(counted, Counted::Bytes4(expected));
            assert_eq!(counted.tokens(), expected);
        }
    }
}
