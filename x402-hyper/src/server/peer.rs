//! Whether others could read a request on its way.

use core::net::IpAddr;

use http::request::Parts;

/// The address that a connection comes from, in the extensions of its requests. The server that takes the
/// connection puts it there, unless it speaks TLS itself.
///
/// Where it is not one of this machine, what only the payer may know (the name of a balance) is neither taken
/// nor told, but for a sale whose [`base_url`](super::Sale::base_url) begins with `https://`: then it is a
/// proxy that speaks TLS to the client. Whoever passes a request on and says by `X-Forwarded-Proto: http` that
/// it came without TLS is believed, wherever he is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer(pub IpAddr);

/// Whether a request for what is sold at this URL could be read by others on its way.
pub(super) fn is_exposed(head: &Parts, base_url: &str) -> bool {
    let proto = head.headers.get("x-forwarded-proto").and_then(|proto| proto.to_str().ok());
    // The first is what the client spoke to the first of several proxies.
    let first = proto.and_then(|proto| proto.split(',').next()).map(str::trim);
    if first.is_some_and(|first| first.eq_ignore_ascii_case("http")) {
        return true;
    }
    let is_far = head.extensions.get::<Peer>().is_some_and(|Peer(peer)| !peer.is_loopback());
    let scheme = base_url.split_once("://").map(|(scheme, _)| scheme);
    is_far && !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn plain_http_is_read_on_its_way_but_for_this_machine() {
        const TLS: &str = "https://shop.example";
        for (peer, proto, base_url, expected) in [
            (None, None, "", false),
            (Some("127.0.0.1"), None, "", false),
            (Some("127.9.9.9"), None, "http://shop.example", false),
            (Some("::1"), None, "", false),
            (Some("10.0.0.1"), None, "", true),
            (Some("fd00::1"), None, "http://shop.example", true),
            (Some("10.0.0.1"), None, TLS, false),
            (Some("10.0.0.1"), None, "HTTPS://shop.example", false),
            (Some("10.0.0.1"), None, "http://https://", true),
            // A client can say so himself: it proves nothing.
            (Some("10.0.0.1"), Some("https"), "", true),
            (Some("10.0.0.1"), Some("https"), TLS, false),
            (Some("10.0.0.1"), Some("http"), TLS, true),
            (Some("127.0.0.1"), Some("HTTP"), TLS, true),
            (Some("127.0.0.1"), Some("https"), "", false),
            (Some("127.0.0.1"), Some("https, http"), TLS, false),
            (Some("127.0.0.1"), Some(" http , https"), TLS, true),
            (None, Some("http"), "", true),
        ] {
            let request = Request::builder().uri("/");
            let request = match proto {
                Some(proto) => request.header("X-Forwarded-Proto", proto),
                None => request,
            };
            let (mut head, ()) = request.body(()).unwrap().into_parts();
            if let Some(peer) = peer {
                head.extensions.insert(Peer(peer.parse().unwrap()));
            }
            assert_eq!(is_exposed(&head, base_url), expected, "{peer:?} {proto:?} {base_url}");
        }
    }
}
