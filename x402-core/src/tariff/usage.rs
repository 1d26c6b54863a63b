/// What a request uses, or uses at most. A [`Model`](super::Model) counts what it has a price for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Usage {
    /// The tokens of the request.
    pub input_tokens: u64,
    /// The tokens of the answer.
    pub output_tokens: u64,
    /// The minutes that were begun.
    pub minutes: u64,
}

impl Usage {
    /// Of tokens.
    #[must_use]
    pub const fn tokens(input: u64, output: u64) -> Self {
        Self { input_tokens: input, output_tokens: output, minutes: 0 }
    }

    /// Of time, which is counted in minutes that were begun.
    #[must_use]
    pub const fn duration(milliseconds: u64) -> Self {
        const MINUTE: u64 = 60_000;
        Self { input_tokens: 0, output_tokens: 0, minutes: milliseconds.div_ceil(MINUTE) }
    }
}
