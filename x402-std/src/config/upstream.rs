//! The server behind: its URL, and what is said of it.

use core::net::{Ipv6Addr, SocketAddr};

use serde_saphyr::Spanned;

use super::error::{Origin, Problem};
use super::raw::RawUpstream;
use super::{Keepalive, Upstream};

/// A URL, or a map with one.
pub(super) fn check_upstream(
    raw: Spanned<RawUpstream>,
    listen: SocketAddr,
) -> Result<Upstream, Problem> {
    let origin = Origin::of(&raw);
    let server = match raw.value {
        RawUpstream::Url(url) => return check_url(&url, origin, listen),
        RawUpstream::Map(server) => server,
    };
    let keepalive = match server.keepalive.as_ref().map(|text| (text, text.value.as_str())) {
        None | Some((_, "without_body")) => Keepalive::WithoutBody,
        Some((_, "always")) => Keepalive::Always,
        Some((text, other)) => {
            let known = ["always", "without_body"];
            return Err(Problem::unknown(Origin::of(text), "keepalive", other, &known));
        }
    };
    let upstream = check_url(&server.url.value, Origin::of(&server.url), listen)?;
    Ok(Upstream { keepalive, ..upstream })
}

pub(super) fn check_url(
    url: &str,
    origin: Origin,
    listen: SocketAddr,
) -> Result<Upstream, Problem> {
    const HELP: &str = "write http://, a host and a port: http://127.0.0.1:3000";
    let problem = |message: &str, help: &str| Err(Problem::new(origin, message, help));
    let Some(rest) = url.strip_prefix("http://") else {
        return problem("the upstream is reached by plain http only", HELP);
    };
    if let Some(c) = rest.chars().find(|c| !c.is_ascii_graphic() || "@?#\\\"<>".contains(*c)) {
        let message = format!("an upstream has no `{}` in it", c.escape_default());
        return problem(&message, HELP);
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !is_authority(authority) {
        return problem("the upstream's host or port is none", HELP);
    }
    if authority.parse() == Ok(listen) {
        let message = "the upstream is the address that this server listens on";
        return problem(message, "name the server that does the work");
    }
    let base_path = path.trim_end_matches('/').to_owned();
    let (authority, keepalive) = (authority.to_owned(), Keepalive::default());
    Ok(Upstream { authority, base_path, keepalive })
}

/// `host`, `host:port` or `[v6]:port`.
fn is_authority(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let (is_host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, port)) => (host.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (!host.is_empty() && host.chars().all(is_name), port)
        }
    };
    let is_port = match port.strip_prefix(':') {
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()) && port.parse() != Ok(0_u16),
        None => port.is_empty(),
    };
    let is_number = port.len() < 2 || port[1..].parse::<u16>().is_ok();
    is_host && is_port && is_number && port != ":"
}
