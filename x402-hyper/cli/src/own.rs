//! Whether the server behind the gateway is the gateway, whose requests would never end.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;

use tokio::net::lookup_host;
use tokio::time::timeout;
use x402_std::config::Upstream;

use crate::exit::Failure;

/// How long the addresses of a name are asked for: that it has none now says nothing of later.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refuses an upstream that is an address, or the name of one, at which this program itself listens.
pub(crate) async fn refuse_itself(upstream: &Upstream, own: SocketAddr) -> Result<(), Failure> {
    if upstream.port() != own.port() {
        return Ok(());
    }
    let found = timeout(PATIENCE, lookup_host((upstream.host(), upstream.port()))).await;
    let Ok(Ok(mut found)) = found else { return Ok(()) };
    if !found.any(|address| is_taken_by(own.ip(), address.ip())) {
        return Ok(());
    }
    Err(Failure::usage("the upstream is the address that this server listens on")
        .at(format!("upstream http://{}", upstream.authority))
        .help("name the server that does the work"))
}

/// Whether who listens at the one address is reached at the other.
fn is_taken_by(own: IpAddr, ip: IpAddr) -> bool {
    let (own, ip) = (own.to_canonical(), ip.to_canonical());
    // A connection to no address in particular is one to this machine.
    let is_everywhere = own.is_unspecified() && (own.is_ipv6() || ip.is_ipv4());
    own == ip || is_everywhere && is_here(ip) || ip.is_unspecified() && own.is_loopback()
}

/// Whether an address is one of this machine's: it is reached from itself. Nothing is sent.
fn is_here(ip: IpAddr) -> bool {
    let any: IpAddr =
        if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    ip.is_loopback() || from.is_ok_and(|from| from.ip() == ip)
}

#[cfg(test)]
mod tests {
    use x402_std::config::Keepalive;

    use super::*;

    #[tokio::test]
    async fn an_upstream_that_is_this_program_is_refused() {
        for (own, authority, is_refused) in [
            ("127.0.0.1:4021", "localhost:4021", true),
            ("0.0.0.0:4021", "localhost:4021", true),
            ("0.0.0.0:4021", "127.0.0.9:4021", true),
            ("[::]:4021", "127.0.0.1:4021", true),
            ("0.0.0.0:80", "127.0.0.1", true),
            ("127.0.0.1:4021", "localhost:4022", false),
            ("0.0.0.0:4021", "192.0.2.1:4021", false),
            ("127.0.0.2:4021", "127.0.0.1:4021", false),
            ("0.0.0.0:4021", "no-such-host.invalid:4021", false),
        ] {
            let (base_path, keepalive) = (String::new(), Keepalive::default());
            let upstream = Upstream { authority: authority.to_owned(), base_path, keepalive };
            let refused = refuse_itself(&upstream, own.parse().unwrap()).await.is_err();
            assert_eq!(refused, is_refused, "{authority} of {own}");
        }
    }
}
