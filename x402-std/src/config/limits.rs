//! What a server puts up with: times, lengths, and how many connections.

use core::ops::RangeInclusive;
use core::time::Duration;

use ipnet::IpNet;

use super::error::{Origin, Problem};
use super::later::check_number;
use super::raw::{RawConfig, RawRoute, Text};
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
const HEAD_LIMITS: RangeInclusive<u64> = 8 << 10..=1 << 20;
/// In bytes: each is held in memory, and in the ledger.
const KEPT_ANSWERS: RangeInclusive<u64> = 1 << 10..=64 << 20;
/// More than a machine has ports.
const CONNECTIONS: RangeInclusive<u64> = 1..=65_536;

/// What a gateway puts up with; `None` for what is usual.
///
/// What the gateway puts up with, each key with what it is where it is left out:
///
/// | key | unit | | usual |
/// |---|---|---|---|
/// | `answer_timeout` | seconds | how long the upstream may take to begin its answer, the sending of the request included | 120 |
/// | `idle_timeout` | seconds | how long the upstream may say nothing in the middle of an answer | 120 |
/// | `body_time` | seconds | how long a request's body may keep the gateway waiting for every KiB of it; and altogether, where it is read before anything is done (prices that depend on it, and repetitions: 30) | 20 |
/// | `body_limit` | bytes | how long a request's body may be; else 413 | none |
/// | `kept_answer` | bytes | how much of an answer is kept, to be given again; with `settle: after` a longer one is not given, and not charged | 1 MiB |
/// | `head_limit` | bytes | how long a request's head may be, else 431 (32 KiB), and that of an answer of the upstream's, else 502; twice as much waits in memory for a client who does not read | 16 KiB |
/// | `connections` | | how many are open at once: two file descriptors each, so fewer where there are too few | 1024 |
/// | `trusted_proxies` | | addresses, or those that begin alike (`10.0.0.0/8`), that may have any number of these: others have half of them, but for this machine | none |
///
/// The first five are keys of a route, too, which wins. A connection that sends no whole head in ten seconds is
/// closed, whatever the file says, and sooner when others wait for its place.
///
/// Where the money moves after the work (`settle: after` and `later`, and ceilings that buyers sign), a buyer is
/// asked for an authorization that is valid for the work: for `answer_timeout` and the time to settle, at least. A
/// `timeout` that is shorter is refused.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// What holds for each request, unless its route says otherwise.
    pub request: RequestLimits,
    /// How long the head of a request may be, and that of an answer of the server behind, in bytes.
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
    pub fn or(self, others: Self) -> Self {
        Self {
            answer_timeout: self.answer_timeout.or(others.answer_timeout),
            idle_timeout: self.idle_timeout.or(others.idle_timeout),
            body_time: self.body_time.or(others.body_time),
            body_limit: self.body_limit.or(others.body_limit),
            kept_answer: self.kept_answer.or(others.kept_answer),
        }
    }
}

/// Those of a file.
pub(super) fn check_limits(raw: &RawConfig) -> Result<Limits, Problem> {
    let request = RawLimits {
        answer_timeout: raw.answer_timeout.as_ref(),
        idle_timeout: raw.idle_timeout.as_ref(),
        body_time: raw.body_time.as_ref(),
        body_limit: raw.body_limit.as_ref(),
        kept_answer: raw.kept_answer.as_ref(),
    };
    Ok(Limits {
        request: request.check()?,
        head: check_size(raw.head_limit.as_ref(), HEAD_LIMITS, BYTES)?,
        seats: check_seats(raw.connections.as_ref(), raw.trusted_proxies.as_deref())?,
    })
}

/// Those of a route.
pub(super) fn check_request_limits(raw: &RawRoute) -> Result<RequestLimits, Problem> {
    let request = RawLimits {
        answer_timeout: raw.answer_timeout.as_ref(),
        idle_timeout: raw.idle_timeout.as_ref(),
        body_time: raw.body_time.as_ref(),
        body_limit: raw.body_limit.as_ref(),
        kept_answer: raw.kept_answer.as_ref(),
    };
    request.check()
}

/// The keys of a request's limits, as they stand in the file or in a route.
struct RawLimits<'a> {
    answer_timeout: Option<&'a Text>,
    idle_timeout: Option<&'a Text>,
    body_time: Option<&'a Text>,
    body_limit: Option<&'a Text>,
    kept_answer: Option<&'a Text>,
}

impl RawLimits<'_> {
    fn check(&self) -> Result<RequestLimits, Problem> {
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
        false => {
            text.value.parse().ok().map(|it: core::net::IpAddr| IpNet::from(it.to_canonical()))
        }
    };
    let network: IpNet = network.ok_or_else(|| problem("is no address of a proxy"))?;
    // Who comes by IPv4 is known by that, and would be none of these.
    if network.addr() != network.addr().to_canonical() {
        return Err(problem("is IPv4 written as IPv6"));
    }
    if network.addr() != network.network() {
        return Err(problem("is longer than its prefix"));
    }
    if network.prefix_len() == 0 {
        return Err(problem("is everybody"));
    }
    Ok(network)
}
