//! What a server puts up with: times, lengths, and how many connections.

use core::ops::RangeInclusive;
use core::time::Duration;

use ipnet::IpNet;

use super::error::{Origin, Problem};
use super::later::check_number;
use super::raw::Text;
use super::snippet::quote;

/// In seconds. Longer, no authorization that is paid by after the work would be valid for it.
const ANSWER_TIMES: RangeInclusive<u64> = 1..=43_200;
/// In seconds: what is silent for a day is not there.
const IDLE_TIMES: RangeInclusive<u64> = 1..=86_400;
/// In seconds.
const BODY_TIMES: RangeInclusive<u64> = 1..=3_600;
/// In bytes: a tebibyte.
const BODY_LIMITS: RangeInclusive<u64> = 1..=1 << 40;
/// In bytes. A payment alone may take 16 KiB.
const HEAD_LIMITS: RangeInclusive<u64> = 4 << 10..=1 << 20;
/// In bytes: each is held in memory, and in the ledger.
const KEPT_ANSWERS: RangeInclusive<u64> = 1 << 10..=64 << 20;
/// More than a machine has ports.
const CONNECTIONS: RangeInclusive<u64> = 1..=65_536;

/// What a gateway puts up with; `None` for what is usual.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// What holds for each request, unless its route says otherwise.
    pub request: RequestLimits,
    /// How long the head of a request may be, in bytes.
    pub head: Option<usize>,
    /// How many connections are open at once, and from where many may come.
    pub seats: SeatLimits,
}

/// What holds for a request; `None` for what is usual.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RequestLimits {
    /// How long the server behind may take to begin its answer.
    pub answer_timeout: Option<Duration>,
    /// How long the server behind may say nothing in the middle of an answer.
    pub idle_timeout: Option<Duration>,
    /// How long a request's body may keep the gateway waiting for every KiB of it; and altogether, where it
    /// is read before anything is done with it.
    pub body_time: Option<Duration>,
    /// How long a request's body may be, in bytes.
    pub body_limit: Option<u64>,
    /// How many bytes of an answer are kept, to be given again, or held until the money has moved.
    pub kept_answer: Option<usize>,
}

/// How many connections a server has open, and with whom.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SeatLimits {
    /// How many there are at once, at most: fewer where there are too few file descriptors. `None` for what
    /// is usual.
    pub connections: Option<usize>,
    /// The proxies that may have any number of them.
    pub trusted_proxies: Vec<IpNet>,
}

impl RequestLimits {
    /// How long an answer may take to begin, unless the file says.
    pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

    /// These, and what they leave out as `others` have it.
    #[must_use]
    pub const fn or(self, others: Self) -> Self {
        /// `Option::or` is not `const` yet.
        macro_rules! or {
            ($name:ident) => {
                match self.$name {
                    Some(limit) => Some(limit),
                    None => others.$name,
                }
            };
        }
        Self {
            answer_timeout: or!(answer_timeout),
            idle_timeout: or!(idle_timeout),
            body_time: or!(body_time),
            body_limit: or!(body_limit),
            kept_answer: or!(kept_answer),
        }
    }
}

/// The keys of a request's limits, as they stand in the file or in a route.
pub(super) struct RawLimits<'a> {
    pub(super) answer_timeout: Option<&'a Text>,
    pub(super) idle_timeout: Option<&'a Text>,
    pub(super) body_time: Option<&'a Text>,
    pub(super) body_limit: Option<&'a Text>,
    pub(super) kept_answer: Option<&'a Text>,
}

impl RawLimits<'_> {
    pub(super) fn check(&self) -> Result<RequestLimits, Problem> {
        Ok(RequestLimits {
            answer_timeout: check_time(self.answer_timeout, ANSWER_TIMES)?,
            idle_timeout: check_time(self.idle_timeout, IDLE_TIMES)?,
            body_time: check_body_time(self.body_time)?,
            body_limit: check_some(self.body_limit, BODY_LIMITS, BYTES)?,
            kept_answer: check_size(self.kept_answer, KEPT_ANSWERS, BYTES)?,
        })
    }
}

const BYTES: &str = "a number of bytes";

pub(super) fn check_body_time(text: Option<&Text>) -> Result<Option<Duration>, Problem> {
    check_time(text, BODY_TIMES)
}

pub(super) fn check_head_limit(text: Option<&Text>) -> Result<Option<usize>, Problem> {
    check_size(text, HEAD_LIMITS, BYTES)
}

pub(super) fn check_seats(
    connections: Option<&Text>,
    proxies: Option<&[Text]>,
) -> Result<SeatLimits, Problem> {
    let connections = check_size(connections, CONNECTIONS, "a number of connections")?;
    let proxies = proxies.unwrap_or_default().iter();
    let trusted_proxies = proxies.map(check_network).collect::<Result<_, _>>()?;
    Ok(SeatLimits { connections, trusted_proxies })
}

fn check_time(
    text: Option<&Text>,
    range: RangeInclusive<u64>,
) -> Result<Option<Duration>, Problem> {
    Ok(check_some(text, range, "a time in seconds")?.map(Duration::from_secs))
}

fn check_size(
    text: Option<&Text>,
    range: RangeInclusive<u64>,
    what: &str,
) -> Result<Option<usize>, Problem> {
    // Below the limit of the range.
    let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(check_some(text, range, what)?.map(size))
}

fn check_some(
    text: Option<&Text>,
    range: RangeInclusive<u64>,
    what: &str,
) -> Result<Option<u64>, Problem> {
    text.map(|text| check_number(text, range, what)).transpose()
}

/// An address, or all that begin like one.
fn check_network(text: &Text) -> Result<IpNet, Problem> {
    let problem = |message: &str| {
        let message = format!("{} {message}", quote(&text.value));
        let help =
            "write an IP address, or those that begin alike: 192.0.2.7, 10.0.0.0/8, fd00::/8";
        Problem::new(Origin::of(text), message, help)
    };
    let network = match text.value.contains('/') {
        true => text.value.parse().ok(),
        false => text.value.parse().ok().map(|address: core::net::IpAddr| IpNet::from(address)),
    };
    let network: IpNet = network.ok_or_else(|| problem("is no address of a proxy"))?;
    if network.addr() != network.network() {
        return Err(problem("is longer than its prefix"));
    }
    if network.prefix_len() == 0 {
        return Err(problem("is everybody"));
    }
    Ok(network)
}
