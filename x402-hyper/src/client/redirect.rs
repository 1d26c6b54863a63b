//! Where an unpaid request goes next: never to another origin.

use bytes::Bytes;
use http::header::LOCATION;
use http::{Method, Request, Response, StatusCode, Uri};

use super::fetch::{has_sound_port, has_user};

/// Where the answer sends the request, if it is to be followed: within the origin, and with the
/// same method. Everything else is the caller's to decide.
pub(super) fn target(request: &Request<Bytes>, response: &Response<Bytes>) -> Option<Uri> {
    let is_followed = match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
            matches!(*request.method(), Method::GET | Method::HEAD)
        }
        _ => false,
    };
    if !is_followed {
        return None;
    }
    let mut locations = response.headers().get_all(LOCATION).iter();
    let (Some(location), None) = (locations.next(), locations.next()) else {
        return None;
    };
    let uri = resolve(request.uri(), location.to_str().ok()?)?;
    (has_sound_port(&uri) && !has_user(&uri) && origin(&uri)? == origin(request.uri())?)
        .then_some(uri)
}

/// Scheme, host in lower case, and port.
pub(super) fn origin(uri: &Uri) -> Option<(&str, String, u16)> {
    let scheme = uri.scheme_str()?;
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let port = uri.port_u16().unwrap_or(default_port);
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// A reference by RFC 3986, section 5.2, without its fragment.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default();
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let head = reference.split(['/', '?']).next().unwrap_or_default();
    if head.contains(':') {
        return reference.parse().ok();
    }
    if reference.starts_with("//") {
        return format!("{scheme}:{reference}").parse().ok();
    }
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let mut target = if path.is_empty() {
        base.path().to_owned()
    } else if path.starts_with('/') {
        without_dots(path)
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        without_dots(&format!("{folder}/{path}"))
    };
    let kept = if reference.is_empty() { base.query() } else { None };
    if let Some(query) = query.or(kept) {
        target.push('?');
        target.push_str(query);
    }
    format!("{scheme}://{authority}{target}").parse().ok()
}

/// Section 5.2.4: `.` and `..` segments are taken out.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_as_the_rfc_says() {
        // RFC 3986, section 5.4, the rows that HTTP can use.
        let base: Uri = "http://a/b/c/d?q".parse().unwrap();
        for (reference, target) in [
            ("http://g/x", "http://g/x"),
            ("//g/x", "http://g/x"),
            ("/g", "http://a/g"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("?y", "http://a/b/c/d?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("g#s", "http://a/b/c/g"),
            ("", "http://a/b/c/d?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
        ] {
            assert_eq!(resolve(&base, reference), target.parse().ok(), "{reference}");
        }
    }

    #[test]
    fn follows_within_the_origin_only() {
        let answer = |status: u16, location: &str| {
            let response = Response::builder().status(status).header(LOCATION, location);
            response.body(Bytes::new()).unwrap()
        };
        let get = Request::get("http://a.example/x").body(Bytes::new()).unwrap();
        for location in ["/y", "http://A.example:80/y", "http://a.example/y"] {
            assert!(target(&get, &answer(302, location)).is_some(), "{location}");
        }
        for location in [
            "https://a.example/y",
            "http://b.example/y",
            "http://a.example:81/y",
            "//b.example/y",
            "http://u@a.example/y",
            "http://a.example:65616/y",
            "http://a.example:/y",
            "ftp://a.example/y",
            "mailto:a@b",
            "http://",
        ] {
            assert_eq!(target(&get, &answer(307, location)), None, "{location}");
        }
        let post = Request::post("http://a.example/x").body(Bytes::new()).unwrap();
        for (status, is_followed) in [(301, false), (302, false), (303, false), (307, true)] {
            assert_eq!(target(&post, &answer(status, "/y")).is_some(), is_followed, "{status}");
        }
    }
}
