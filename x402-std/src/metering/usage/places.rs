//! Where in an answer the usage stands, and where the text that the buyer is after.

use super::Pointer;

/// What a number or a text of an answer says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// Tokens of the request that were read from a cache, and are not in `Input`.
    CacheRead,
    /// Tokens of the request that were written to a cache, and are not in `Input`.
    CacheWrite,
    /// A text that was made for the buyer.
    Content,
    /// Tokens of the request.
    Input,
    /// Tokens of the answer.
    Output,
    /// Tokens of both.
    Total,
}

use Meaning::{CacheRead, CacheWrite, Content, Input, Output, Total};

/// A place: what stands there, and the names that lead to it, of which [`ANY`] is every one.
type Place = (Meaning, &'static [&'static str]);

const ANY: &str = "*";

/// Where things stand that a scan is after; at most 32 of them, at most [`Pointer::MAX_STEPS`] deep.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Places {
    /// Of a provider whose answers are known.
    Known(&'static [Place]),
    /// Of whom the seller has told about.
    Told {
        /// Where the tokens of the request stand.
        input: Pointer,
        /// Where the tokens of the answer stand.
        output: Pointer,
    },
}

impl Places {
    /// All of them, a bit for each.
    pub(super) fn all(&self) -> u32 {
        let count = match self {
            Self::Known(places) => places.len(),
            Self::Told { .. } => 2,
        };
        (0..32).take(count).fold(0, |all, place| all | 1 << place)
    }

    /// Those that go on with that name where `depth` names are behind.
    pub(super) fn follow(&self, places: u32, depth: usize, name: &str) -> u32 {
        self.retain(places, |place| match self {
            Self::Known(known) => known
                .get(place)
                .and_then(|(_, steps)| steps.get(depth))
                .is_some_and(|step| *step == name || *step == ANY),
            Self::Told { .. } => {
                let step = self.told(place).and_then(|pointer| pointer.steps().get(depth));
                step.is_some_and(|step| **step == *name)
            }
        })
    }

    /// What stands where those lead to with so many names: two things, where both pointers are one.
    pub(super) fn meanings(&self, places: u32, depth: usize) -> impl Iterator<Item = Meaning> {
        bits(places).filter_map(move |place| match self {
            Self::Known(known) => {
                known.get(place).filter(|(_, steps)| steps.len() == depth).map(|place| place.0)
            }
            Self::Told { .. } => {
                let is_here = self.told(place)?.steps().len() == depth;
                is_here.then_some(if place == 0 { Input } else { Output })
            }
        })
    }

    fn told(&self, place: usize) -> Option<&Pointer> {
        match self {
            Self::Told { input, .. } if place == 0 => Some(input),
            Self::Told { output, .. } if place == 1 => Some(output),
            _ => None,
        }
    }

    fn retain(&self, places: u32, holds: impl Fn(usize) -> bool) -> u32 {
        bits(places).filter(|place| holds(*place)).fold(0, |kept, place| kept | 1 << place)
    }
}

/// The places of which the bits are set.
fn bits(mut places: u32) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let place = places.trailing_zeros();
        places &= places.checked_sub(1)?;
        Some(place as usize)
    })
}

/// OpenAI: the APIs of chat completions, completions, embeddings and responses, in one answer.
///
/// <https://platform.openai.com/docs/api-reference>
pub(super) const OPEN_AI: &[Place] = &[
    (Input, &["usage", "prompt_tokens"]),
    (Output, &["usage", "completion_tokens"]),
    (Total, &["usage", "total_tokens"]),
    (Input, &["usage", "input_tokens"]),
    (Output, &["usage", "output_tokens"]),
    (Content, &["choices", ANY, "message", "content"]),
    (Content, &["choices", ANY, "message", "reasoning_content"]),
    (Content, &["choices", ANY, "message", "refusal"]),
    (Content, &["choices", ANY, "message", "tool_calls", ANY, "function", "arguments"]),
    (Content, &["choices", ANY, "text"]),
    (Content, &["output", ANY, "content", ANY, "text"]),
    (Content, &["output", ANY, "summary", ANY, "text"]),
    (Content, &["output", ANY, "arguments"]),
];

/// The same as a stream of events.
pub(super) const OPEN_AI_EVENTS: &[Place] = &[
    (Input, &["usage", "prompt_tokens"]),
    (Output, &["usage", "completion_tokens"]),
    (Total, &["usage", "total_tokens"]),
    (Input, &["usage", "input_tokens"]),
    (Output, &["usage", "output_tokens"]),
    (Input, &["response", "usage", "input_tokens"]),
    (Output, &["response", "usage", "output_tokens"]),
    (Total, &["response", "usage", "total_tokens"]),
    (Content, &["choices", ANY, "delta", "content"]),
    (Content, &["choices", ANY, "delta", "reasoning_content"]),
    (Content, &["choices", ANY, "delta", "refusal"]),
    (Content, &["choices", ANY, "delta", "tool_calls", ANY, "function", "arguments"]),
    (Content, &["choices", ANY, "text"]),
    (Content, &["delta"]),
];

/// Anthropic: the API of messages, in one answer.
///
/// <https://docs.anthropic.com/en/api/messages>
pub(super) const ANTHROPIC: &[Place] = &[
    (Input, &["usage", "input_tokens"]),
    (CacheWrite, &["usage", "cache_creation_input_tokens"]),
    (CacheRead, &["usage", "cache_read_input_tokens"]),
    (Output, &["usage", "output_tokens"]),
    (Content, &["content", ANY, "text"]),
    (Content, &["content", ANY, "thinking"]),
];

/// The same as a stream of events.
///
/// `message_start` has the tokens of the answer too, which are those before it begins.
pub(super) const ANTHROPIC_EVENTS: &[Place] = &[
    (Input, &["message", "usage", "input_tokens"]),
    (CacheWrite, &["message", "usage", "cache_creation_input_tokens"]),
    (CacheRead, &["message", "usage", "cache_read_input_tokens"]),
    (Input, &["usage", "input_tokens"]),
    (CacheWrite, &["usage", "cache_creation_input_tokens"]),
    (CacheRead, &["usage", "cache_read_input_tokens"]),
    (Output, &["usage", "output_tokens"]),
    (Content, &["delta", "text"]),
    (Content, &["delta", "thinking"]),
    (Content, &["delta", "partial_json"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fit_their_bits_and_their_depth() {
        for places in [OPEN_AI, OPEN_AI_EVENTS, ANTHROPIC, ANTHROPIC_EVENTS] {
            assert!(places.len() <= 32);
            assert!(places.iter().all(|(_, steps)| steps.len() <= Pointer::MAX_STEPS));
            assert_eq!(Places::Known(places).all().count_ones() as usize, places.len());
        }
    }

    #[test]
    fn are_followed_name_by_name() {
        let places = Places::Known(OPEN_AI_EVENTS);
        let mut left = places.all();
        for (depth, name) in ["choices", "17", "delta", "content"].iter().enumerate() {
            assert_eq!(places.meanings(left, depth).count(), 0);
            left = places.follow(left, depth, name);
        }
        assert!(places.meanings(left, 4).eq([Content]));
        assert_eq!(places.follow(places.all(), 0, "choice"), 0);
    }
}
