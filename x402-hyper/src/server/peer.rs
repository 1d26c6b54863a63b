//! Whether others could read a request on its way.

use core::net::IpAddr;

use http::request::Parts;

/// The address that a connection comes from, in the extensions of its requests. The server that takes the
/// connection puts it there, unless it speaks TLS itself.
///
/// What only the payer may know (the name of a balance) is neither taken nor told where others could read it
/// on its way. They could where the address is not one of this machine, or where a proxy on this machine says by
/// `X-Forwarded-For` (or `Forwarded`) that its client is elsewhere; but for a sale whose
/// [`base_url`](super::Sale::base_url) begins with `https://`, for then the proxy speaks TLS to its client,
/// and for one on this machine that says so by `X-Forwarded-Proto`. Of several that are said each counts: what
/// comes first the client may have written. Whoever says `X-Forwarded-Proto: http` is believed, wherever he is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer(pub IpAddr);

/// Whether a request for what is sold at this URL could be read by others on its way.
pub(super) fn is_exposed(head: &Parts, base_url: &str) -> bool {
    let is = |proto: &str, scheme: &str| proto.eq_ignore_ascii_case(scheme);
    if members(head, "x-forwarded-proto").any(|proto| is(proto, "http")) {
        return true;
    }
    let scheme = base_url.split_once("://").map(|(scheme, _)| scheme);
    let is_sold_by_tls = scheme.is_some_and(|scheme| is(scheme, "https"));
    let Some(Peer(peer)) = head.extensions.get().filter(|_| !is_sold_by_tls) else { return false };
    // Of somebody else `https` proves nothing: a client can say so himself.
    if !is_local(*peer) {
        return true;
    }
    let mut protos = members(head, "x-forwarded-proto").peekable();
    let is_tls = protos.peek().is_some() && protos.all(|proto| is(proto, "https"));
    !is_tls && is_forwarded(head)
}

/// Whether the origin that a request names may be another's: anybody can write a `Host`, and what a payer has
/// signed for that one would be good here. Not where the seller says it, nor for who is on this machine.
pub(super) fn may_be_elsewhere(head: &Parts, base_url: &str) -> bool {
    let peer = head.extensions.get().filter(|_| base_url.is_empty());
    peer.is_some_and(|Peer(peer)| !is_local(*peer) || is_forwarded(head))
}

/// Whether a proxy says of a request that it comes from elsewhere.
fn is_forwarded(head: &Parts) -> bool {
    let is_here = |client: &str| client.parse().is_ok_and(is_local);
    head.headers.contains_key("forwarded")
        || members(head, "x-forwarded-for").any(|client| !is_here(client))
}

/// Whether it is an address of this machine, also as a socket of both families has it.
fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// What a field says, of all its lines.
fn members<'a>(head: &'a Parts, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = head.headers.get_all(name).into_iter();
    lines.flat_map(|line| line.to_str().unwrap_or_default().split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(peer: Option<&str>, proto: Option<&str>, client: Option<&str>) -> Parts {
        let mut request = Request::builder().uri("/");
        for (name, value) in [("X-Forwarded-Proto", proto), ("X-Forwarded-For", client)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        if let Some(peer) = peer {
            head.extensions.insert(Peer(peer.parse().unwrap()));
        }
        head
    }

    #[test]
    fn who_is_behind_a_proxy_of_this_machine_is_not_on_it() {
        for (proto, client, base_url, expected) in [
            (None, "127.0.0.1", "", false),
            (None, "::1, 10.0.0.1", "", true),
            (None, "127.0.0.1, ::1", "", false),
            (None, "::ffff:127.0.0.1", "", false),
            (None, "192.0.2.7", "", true),
            (None, "192.0.2.7, 127.0.0.1", "http://shop.example", true),
            (None, "unknown", "", true),
            (None, "", "", true),
            (None, "192.0.2.7", "https://shop.example", false),
            (Some("https"), "192.0.2.7", "", false),
            (Some("HTTPS"), "unknown", "", false),
            (Some("http"), "127.0.0.1", "", true),
            (Some("wss"), "192.0.2.7", "", true),
        ] {
            let local = head(Some("127.0.0.1"), proto, Some(client));
            assert_eq!(is_exposed(&local, base_url), expected, "{proto:?} {client} {base_url}");
            // Elsewhere it makes nothing better.
            let far = head(Some("10.0.0.1"), proto, Some(client));
            let is_far = base_url.is_empty() || base_url.starts_with("http:");
            assert_eq!(is_exposed(&far, base_url), is_far || proto == Some("http"));
        }
    }

    #[test]
    fn plain_http_is_read_on_its_way_but_for_this_machine() {
        const TLS: &str = "https://shop.example";
        for (peer, proto, base_url, expected) in [
            (None, None, "", false),
            (Some("127.0.0.1"), None, "", false),
            (Some("127.9.9.9"), None, "http://shop.example", false),
            (Some("::1"), None, "", false),
            (Some("::ffff:127.0.0.1"), None, "", false),
            (Some("::ffff:10.0.0.1"), None, "", true),
            (Some("10.0.0.1"), None, "", true),
            (Some("fd00::1"), None, "http://shop.example", true),
            (Some("10.0.0.1"), None, TLS, false),
            (Some("10.0.0.1"), None, "HTTPS://shop.example", false),
            (Some("10.0.0.1"), None, "http://https://", true),
            (Some("10.0.0.1"), Some("https"), "", true),
            (Some("10.0.0.1"), Some("https"), TLS, false),
            (Some("10.0.0.1"), Some("http"), TLS, true),
            (Some("127.0.0.1"), Some("HTTP"), TLS, true),
            (Some("127.0.0.1"), Some("https"), "", false),
            (Some("127.0.0.1"), Some("https, http"), TLS, true),
            (Some("127.0.0.1"), Some("https, https"), "", false),
            (Some("127.0.0.1"), Some(" http , https"), TLS, true),
            (None, Some("http"), "", true),
        ] {
            let head = head(peer, proto, None);
            assert_eq!(is_exposed(&head, base_url), expected, "{peer:?} {proto:?} {base_url}");
        }
    }

    /// A client writes the first line, and the proxy the second.
    #[test]
    fn what_a_client_writes_before_the_proxy_hides_nothing() {
        for (name, said, expected) in [
            ("x-forwarded-for", ["127.0.0.1", "192.0.2.7"], true),
            ("x-forwarded-for", ["127.0.0.1", "::1"], false),
            ("x-forwarded-proto", ["https", "http"], true),
            ("forwarded", ["for=127.0.0.1", "for=192.0.2.7"], true),
        ] {
            let mut head = head(Some("127.0.0.1"), None, None);
            for value in said {
                head.headers.append(name, value.parse().unwrap());
            }
            assert_eq!(is_exposed(&head, ""), expected, "{name}: {said:?}");
        }
    }

    #[test]
    fn an_origin_is_known_where_it_is_said_or_nobody_is_between() {
        for (peer, client, base_url, expected) in [
            (None, None, "", false),
            (Some("127.0.0.1"), None, "", false),
            (Some("127.0.0.1"), Some("192.0.2.7"), "", true),
            (Some("127.0.0.1"), Some("192.0.2.7"), "http://shop.example", false),
            (Some("192.0.2.7"), None, "", true),
            (Some("192.0.2.7"), None, "https://shop.example", false),
        ] {
            let head = head(peer, None, client);
            assert_eq!(may_be_elsewhere(&head, base_url), expected, "{peer:?} {client:?}");
        }
    }
}
