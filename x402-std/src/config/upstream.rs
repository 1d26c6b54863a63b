//! The server that does the work, which is another one than the gateway, and what is said of it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_saphyr::Spanned;

use super::error::{Origin, Problem};
use super::raw::RawUpstream;
use super::{Keepalive, Upstream};
use crate::port;

const HELP: &str = "write http://, a host and a port: http://127.0.0.1:3000";
/// What is said where the gateway stands before itself.
const ITSELF: &str = "the upstream is the address that this server listens on";
const ITSELF_HELP: &str = "name the server that does the work";

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
    let upstream = Upstream::at(authority, path.trim_end_matches('/'));
    if is_listener(&upstream, listen) {
        return problem(ITSELF, ITSELF_HELP);
    }
    Ok(upstream)
}

/// Refuses the name and the port under which clients reach the gateway.
pub(super) fn refuse_public(
    origin: Origin,
    upstream: &Upstream,
    public_url: Option<&str>,
) -> Result<(), Problem> {
    let public = public_url.and_then(|url| url.strip_prefix("http://"));
    let Some(public) = public else { return Ok(()) };
    let (authority, path) = public.split_at(public.find('/').unwrap_or(public.len()));
    let public = Upstream::at(authority, path.trim_end_matches('/'));
    // Behind one proxy both may have one name, with paths that have nothing in common.
    let paths = [&public.base_path, &upstream.base_path].map(|path| format!("{path}/"));
    let [ours, theirs] = &paths;
    let is_same = public.host().eq_ignore_ascii_case(upstream.host())
        && public.port() == upstream.port()
        && (ours.starts_with(theirs.as_str()) || theirs.starts_with(ours.as_str()));
    match is_same {
        true => Err(Problem::new(origin, "the upstream is public_url", ITSELF_HELP)),
        false => Ok(()),
    }
}

/// `host`, `host:port` or `[v6]:port`.
pub(super) fn is_authority(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let (is_host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, port)) => (host.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (!host.is_empty() && host.chars().all(is_name), port)
        }
    };
    is_host && (port.is_empty() || port::is_sound(text))
}

/// Whether what is sent to the upstream comes to who listens there, as far as that can be told without asking
/// for the addresses of a name.
fn is_listener(upstream: &Upstream, listen: SocketAddr) -> bool {
    if upstream.port() != listen.port() {
        return false;
    }
    let own = listen.ip();
    match upstream.host().parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        // Where nothing in particular is named, a connection is made to this machine.
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => takes(own, Ipv4Addr::LOCALHOST.into()),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => takes(own, Ipv6Addr::LOCALHOST.into()),
        Ok(ip) => takes(own, ip),
        Err(_) => {
            let name = upstream.host().trim_end_matches('.').to_ascii_lowercase();
            let is_here = name == "localhost" || name.ends_with(".localhost");
            is_here && (own.is_loopback() || own.is_unspecified())
        }
    }
}

/// Whether who listens at the one address is reached at the other.
fn takes(listen: IpAddr, ip: IpAddr) -> bool {
    match listen.to_canonical() {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => ip.is_loopback() || ip.is_unspecified(),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => ip.is_ipv4() && ip.is_loopback(),
        own => own == ip,
    }
}

impl Upstream {
    fn at(authority: &str, base_path: &str) -> Self {
        let (authority, base_path) = (authority.to_owned(), base_path.to_owned());
        Self { authority, base_path, keepalive: Keepalive::default() }
    }

    /// Its host: a name or an address, which has no brackets here.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => &self.authority,
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Its port: 80, if none is named.
    #[must_use]
    pub fn port(&self) -> u16 {
        let port = self.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.unwrap_or(80)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(authority: &str) -> Upstream {
        Upstream::at(authority, "")
    }

    #[test]
    fn authorities_have_a_host_and_a_port() {
        for (authority, host, port) in [
            ("app", "app", 80),
            ("app.internal:8080", "app.internal", 8080),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:3000", "::1", 3000),
            ("[::1]", "::1", 80),
        ] {
            let upstream = upstream(authority);
            assert_eq!((upstream.host(), upstream.port()), (host, port), "{authority}");
        }
    }

    #[test]
    fn a_gateway_does_not_stand_before_itself() {
        for (listen, own, others) in [
            (
                "127.0.0.1:4021",
                &[
                    "127.0.0.1:4021",
                    "localhost:4021",
                    "Localhost.:4021",
                    "a.localhost:4021",
                    "0.0.0.0:4021",
                ][..],
                &[
                    "127.0.0.1:4022",
                    "127.0.0.1",
                    "127.0.0.2:4021",
                    "[::1]:4021",
                    "192.0.2.1:4021",
                    "app:4021",
                ][..],
            ),
            (
                "0.0.0.0:4021",
                &[
                    "127.0.0.1:4021",
                    "127.9.9.9:4021",
                    "localhost:4021",
                    "0.0.0.0:4021",
                    "[::ffff:127.0.0.1]:4021",
                ],
                &["[::1]:4021", "localhost:4022", "192.0.2.1:4021"],
            ),
            (
                "[::]:4021",
                &["127.0.0.1:4021", "localhost:4021", "[::1]:4021", "[::]:4021", "0.0.0.0:4021"],
                &["[::1]:4022", "[2001:db8::1]:4021"],
            ),
            ("[::1]:4021", &["[::1]:4021", "localhost:4021", "[::]:4021"], &["127.0.0.1:4021"]),
            ("192.0.2.1:80", &["192.0.2.1", "192.0.2.1:80"], &["127.0.0.1", "localhost"]),
        ] {
            let listen: SocketAddr = listen.parse().unwrap();
            for authority in own {
                assert!(is_listener(&upstream(authority), listen), "{authority} of {listen}");
            }
            for authority in others {
                assert!(!is_listener(&upstream(authority), listen), "{authority} of {listen}");
            }
        }
    }
}
