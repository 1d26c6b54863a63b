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

/// As [`is_sound`], of the URL of a database, which may name several hosts, and whose password may have letters that
/// end an authority elsewhere.
pub(crate) fn is_sound_of_database(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('?').next().unwrap_or_default();
    let (_, places) = rest.rsplit_once('@').unwrap_or(("", rest));
    places.split('/').next().unwrap_or_default().split(',').all(is_sound)
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

    #[test]
    fn a_database_may_have_several_hosts() {
        for sound in [
            "postgres://me:p/w@a:1,b:2/d?options=x:y",
            "postgresql://a/d",
            "redis://:p@b/1",
            "rediss://h:6380?prefix=a:",
            "postgres:///d?host=/run",
        ] {
            assert!(is_sound_of_database(sound), "{sound}");
        }
        for odd in ["redis://:p@h:+80/1", "postgres://a:1,b:99999/d", "postgres://me:p@h:0x50?a"] {
            assert!(!is_sound_of_database(odd), "{odd}");
        }
    }
}
