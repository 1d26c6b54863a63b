//! The port of a URL (RFC 3986, section 3.2.3).

/// Whether the authority of a URL names no port, or one from 1 to 65535 in decimal digits.
///
/// Any other is taken for none by [`http::Uri`](https://docs.rs/http): what is sent would go to the port of the
/// scheme, and to whoever listens there.
#[must_use]
pub fn is_sound(authority: &str) -> bool {
    let (_, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let port = match place.split_once(']') {
        Some((_, "")) => return true,
        Some((_, rest)) => rest.strip_prefix(':'),
        None => match place.split_once(':') {
            None => return true,
            Some((_, port)) => Some(port),
        },
    };
    port.is_some_and(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse().is_ok_and(|port: u16| port != 0)
    })
}

/// As [`is_sound`], of a whole URL: what is between `://` and the path, the query or the fragment.
#[must_use]
pub fn is_sound_in(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    is_sound(rest.split(['/', '?', '#']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_ports_are_ports() {
        for sound in [
            "",
            "host",
            "host:1",
            "host:65535",
            "[::1]",
            "[::1]:80",
            "me:pw@host",
            "me:p@[::1]:8545",
        ] {
            assert!(is_sound(sound), "{sound}");
            assert!(is_sound_in(&format!("https://{sound}/a:b?c:d")), "{sound}");
        }
        for odd in [
            ":",
            ":0",
            ":65536",
            ":99999",
            ":4294967376",
            ":+80",
            ":-1",
            ":0x50",
            ":80a",
            ": 80",
            ":8 0",
            ":٨٠",
            ":80:80",
        ] {
            for host in ["host", "[::1]", "me:pw@host"] {
                assert!(!is_sound(&format!("{host}{odd}")), "{host}{odd}");
                assert!(!is_sound_in(&format!("http://{host}{odd}/a")), "{host}{odd}");
                assert!(!is_sound_in(&format!("http://{host}{odd}?a")), "{host}{odd}");
            }
        }
        assert!(!is_sound("[::1]80") && !is_sound("::1"));
    }
}
