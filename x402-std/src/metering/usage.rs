/*!
The tokens that an answer has used, read while it passes through.

A [`UsageMeter`] is shown every piece of an answer's body and keeps none: what it holds has a fixed
size, whatever the answer is. It reads one JSON document, a stream of events (`text/event-stream`), or
JSON line by line (`application/x-ndjson`).

```
use x402_std::metering::usage::{TokenUsage, UsageMeter, UsageSource};

let header = |name: &str| (name == "content-type").then_some("text/event-stream");
let mut meter = UsageMeter::new(&UsageSource::OpenAi, header);
meter.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}],\"usage\":null}\n\n");
meter.feed(b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"comple");
meter.feed(b"tion_tokens\":12}}\n\ndata: [DONE]\n\n");
assert_eq!(meter.finish(), Some(TokenUsage { input: 9, output: 12 }));
```

# Streams that break off

Where an answer does not come to the end that has the usage, what has [passed](UsageMeter::passed) is
an estimate of the tokens: the texts that were made for the buyer, four bytes to a token, rounded up.

# What cannot be read

A body that is compressed: the seller has to keep `Accept-Encoding` from the upstream. Then, and where
the upstream does not say what was used, there is no usage, and the estimate is all there is.
*/

mod lines;
mod places;
mod pointer;
mod scan;

use lines::{Lines, Part};
use places::Places;
pub use pointer::{Pointer, PointerError};
use scan::{Counts, Scan};
use x402_core::tariff::Usage;

/// How much memory a meter holds at most, in bytes, its own size included.
pub const MAX_METER_BYTES: usize = 8 * 1024;

/// How many bytes of text are taken for a token where nobody has counted.
pub const BYTES_PER_TOKEN: u64 = 4;

/// Where the upstream says what was used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UsageSource {
    /// As Anthropic does in the API of messages. Tokens of the request that were written to a cache
    /// or read from it count as tokens of the request.
    Anthropic,
    /// In header fields of the answer, as decimal numbers.
    Header {
        /// The name of the field with the tokens of the request.
        input: String,
        /// The name of the field with the tokens of the answer.
        output: String,
    },
    /// As OpenAI does in the APIs of chat completions, completions, embeddings and responses, and
    /// whoever does the same. Streams of chat completions only say so when they are asked to
    /// ([`RequestBody::with_usage_included`](super::request::RequestBody::with_usage_included)).
    OpenAi,
    /// At two places of the JSON, as whole numbers; of a stream, the largest of any event.
    Pointer {
        /// Where the tokens of the request stand.
        input: Pointer,
        /// Where the tokens of the answer stand.
        output: Pointer,
    },
}

/// How the parts of a body are told apart that are of use one by one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stream {
    /// `text/event-stream`
    Events,
    /// `application/x-ndjson`, and whatever else it is called.
    Lines,
}

impl Stream {
    /// By the field `Content-Type`; `None` for a body that is of use as a whole.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is = |names: &[&str]| names.iter().any(|name| essence.eq_ignore_ascii_case(name));
        if is(&["text/event-stream"]) {
            Some(Self::Events)
        } else if is(&["application/x-ndjson", "application/jsonl", "application/ndjson"]) {
            Some(Self::Lines)
        } else {
            None
        }
    }
}

/// How many tokens were used.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct TokenUsage {
    /// Tokens of the request, those from a cache included.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
}

impl From<TokenUsage> for Usage {
    fn from(tokens: TokenUsage) -> Self {
        Self::tokens(tokens.input, tokens.output)
    }
}

/// What has passed of an answer.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Passed {
    /// How many bytes of the body.
    pub bytes: u64,
    /// How many events of a stream, or lines.
    pub events: u64,
    /// How long the texts are that were made for the buyer, in bytes of UTF-8; of an answer of which
    /// it is not known where they stand, all of the body.
    pub content_bytes: u64,
    /// The tokens of the request, where the answer has already said so.
    pub input_tokens: Option<u64>,
}

impl Passed {
    /// The tokens of the answer, estimated: [`BYTES_PER_TOKEN`], rounded up.
    #[must_use]
    pub const fn estimated_output(&self) -> u64 {
        self.content_bytes.div_ceil(BYTES_PER_TOKEN)
    }

    /// What was used, estimated: of the request what the answer says, or else `counted`.
    #[must_use]
    pub fn estimate(&self, counted: u64) -> TokenUsage {
        let input = self.input_tokens.unwrap_or(counted);
        TokenUsage { input, output: self.estimated_output() }
    }
}

/// Reads the tokens used out of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageMeter {
    kind: Kind,
    body: Body,
    bytes: u64,
    events: u64,
}

/// What the numbers mean that are found.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Anthropic,
    Header(Option<TokenUsage>),
    OpenAi,
    Pointer,
}

/// How the body is read.
#[derive(Clone, Debug, PartialEq)]
enum Body {
    /// As one document.
    Document(Scan),
    /// As a document in each event, and whether it has begun.
    Events(Lines, Scan, bool),
    /// As a document in each line, and whether it has begun.
    Lines(Scan, bool),
    /// Not at all.
    Opaque,
}

impl UsageMeter {
    /// A meter for an answer of which `header` gives the fields: the value of a name in lower case,
    /// as a text.
    #[must_use]
    pub fn new<'h>(source: &UsageSource, header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let kind = Kind::new(source, &header);
        let coding = header("content-encoding").map(str::trim);
        let is_plain = coding.is_none_or(|coding| coding.eq_ignore_ascii_case("identity"));
        let body = match source {
            UsageSource::Header { .. } => Body::Opaque,
            _ if !is_plain => Body::Opaque,
            source => Body::new(source, header("content-type").unwrap_or_default()),
        };
        Self { kind, body, bytes: 0, events: 0 }
    }

    /// Reads the next piece of the body, wherever it was cut.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let events = match &mut self.body {
            Body::Document(scan) => {
                scan.feed(bytes);
                0
            }
            Body::Events(lines, scan, has_begun) => feed_events(lines, scan, has_begun, bytes),
            Body::Lines(scan, has_begun) => feed_lines(scan, has_begun, bytes),
            Body::Opaque => 0,
        };
        self.events = self.events.saturating_add(events);
    }

    /// What has passed so far.
    #[must_use]
    pub fn passed(&self) -> Passed {
        let scan = self.body.scan();
        let is_known = matches!(self.kind, Kind::Anthropic | Kind::OpenAi);
        let content_bytes = scan.filter(|_| is_known).map_or(self.bytes, Scan::content);
        let input_tokens = match &self.kind {
            Kind::Header(usage) => usage.map(|usage| usage.input),
            kind => scan.and_then(|scan| kind.input(scan.counts())),
        };
        Passed { bytes: self.bytes, events: self.events, content_bytes, input_tokens }
    }

    /// What the answer says that was used; `None` where it does not say both.
    ///
    /// Of numbers that come several times the largest counts: they are of all that came before. A
    /// document that is not whole says nothing.
    #[must_use]
    pub fn finish(mut self) -> Option<TokenUsage> {
        if let Kind::Header(usage) = self.kind {
            return usage;
        }
        let scan = self.body.scan_mut()?;
        scan.end();
        let counts = scan.counts();
        Some(TokenUsage { input: self.kind.input(counts)?, output: self.kind.output(counts)? })
    }
}

impl Kind {
    fn new<'h>(source: &UsageSource, header: &impl Fn(&str) -> Option<&'h str>) -> Self {
        let number = |name: &String| parse_number(header(&name.to_ascii_lowercase())?);
        match source {
            UsageSource::Anthropic => Self::Anthropic,
            UsageSource::Header { input, output } => {
                let usage = number(input).zip(number(output));
                Self::Header(usage.map(|(input, output)| TokenUsage { input, output }))
            }
            UsageSource::OpenAi => Self::OpenAi,
            UsageSource::Pointer { .. } => Self::Pointer,
        }
    }

    fn input(self, counts: &Counts) -> Option<u64> {
        let caches = [counts.cache_write, counts.cache_read].into_iter().flatten();
        counts.input.map(|input| caches.fold(input, u64::saturating_add))
    }

    /// Embeddings have no tokens of the answer, and a total.
    fn output(self, counts: &Counts) -> Option<u64> {
        let rest = || counts.total?.checked_sub(counts.input?);
        counts.output.or_else(rest)
    }
}

impl Body {
    fn new(source: &UsageSource, content_type: &str) -> Self {
        match Stream::of(content_type) {
            Some(Stream::Events) => {
                Self::Events(Lines::new(), Scan::new(places(source, true)), false)
            }
            Some(Stream::Lines) => Self::Lines(Scan::new(places(source, true)), false),
            None => Self::Document(Scan::new(places(source, false))),
        }
    }

    const fn scan(&self) -> Option<&Scan> {
        match self {
            Self::Document(scan) | Self::Events(_, scan, _) | Self::Lines(scan, _) => Some(scan),
            Self::Opaque => None,
        }
    }

    const fn scan_mut(&mut self) -> Option<&mut Scan> {
        match self {
            Self::Document(scan) | Self::Events(_, scan, _) | Self::Lines(scan, _) => Some(scan),
            Self::Opaque => None,
        }
    }
}

fn places(source: &UsageSource, is_stream: bool) -> Places {
    match source {
        UsageSource::Anthropic if is_stream => Places::Known(places::ANTHROPIC_EVENTS),
        UsageSource::Anthropic => Places::Known(places::ANTHROPIC),
        UsageSource::OpenAi if is_stream => Places::Known(places::OPEN_AI_EVENTS),
        UsageSource::OpenAi => Places::Known(places::OPEN_AI),
        UsageSource::Pointer { input, output } => {
            Places::Told { input: input.clone(), output: output.clone() }
        }
        UsageSource::Header { .. } => Places::Known(&[]),
    }
}

/// Reads on in a stream of events, and gives how many have ended.
fn feed_events(lines: &mut Lines, scan: &mut Scan, has_begun: &mut bool, bytes: &[u8]) -> u64 {
    let mut events = 0;
    lines.feed(bytes, |part| match part {
        Part::Data(data) => {
            *has_begun = true;
            scan.feed(data);
        }
        Part::DataEnd => {
            *has_begun = true;
            scan.feed(b"\n");
        }
        Part::End => {
            events += u64::from(core::mem::take(has_begun));
            scan.end();
        }
    });
    events
}

/// Reads on in lines of JSON, and gives how many have ended.
fn feed_lines(scan: &mut Scan, has_begun: &mut bool, bytes: &[u8]) -> u64 {
    let mut ended = 0;
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        scan.feed(piece);
        *has_begun |= !piece.trim_ascii().is_empty();
        if piece.ends_with(b"\n") {
            ended += u64::from(core::mem::take(has_begun));
            scan.end();
        }
    }
    ended
}

/// A decimal number, and nothing else but blanks around it.
fn parse_number(text: &str) -> Option<u64> {
    let digits = text.trim();
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests;
