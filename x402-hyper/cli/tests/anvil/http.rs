//! HTTP/1.1 by hand over a raw socket: what is sent and read is what is on the wire.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The value of a field that must be there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} appears twice");
        value
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// Sends a request with `Connection: close` and reads the answer to its end.
pub fn exchange(to: SocketAddr, request: &str) -> Answer {
    try_exchange(to, request).expect("an answer")
}

/// As [`exchange`]; `None` where no whole answer comes.
pub fn try_exchange(to: SocketAddr, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let answer = bytes.windows(4).any(|end| end == b"\r\n\r\n").then(|| parse(&bytes))?;
    let length = answer.header("Content-Length").and_then(|length| length.parse().ok());
    length.is_none_or(|length: usize| answer.body.len() == length).then_some(answer)
}

/// Sends a request and hangs up after a while, whatever has come by then.
pub fn abandon(to: SocketAddr, request: &str, after: Duration) {
    let Ok(mut stream) = TcpStream::connect(to) else { return };
    let _ = stream.write_all(request.as_bytes());
    std::thread::sleep(after);
}

/// A request with these header fields and this body.
pub fn request(line: &str, headers: &[(&str, String)], body: &str) -> String {
    let mut text = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text
}

pub fn post_json(to: SocketAddr, body: &str) -> Answer {
    exchange(to, &request("POST /", &[("Content-Type", "application/json".into())], body))
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers: Vec<_> = lines
        .map(|line| line.split_once(':').expect("a field"))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked")
    });
    let body = if chunked { dechunk(body) } else { body.to_owned() };
    Answer { status: status.parse().expect("a status"), headers, body }
}

/// A body in chunks, as far as it has come.
pub fn dechunk(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            break;
        }
        let Some(chunk) = rest.get(..size) else { return body + rest };
        body.push_str(chunk);
        text = rest.get(size + 2..).unwrap_or_default();
    }
    body
}
