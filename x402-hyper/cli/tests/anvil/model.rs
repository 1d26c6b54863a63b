//! What the upstream answers where it is a language model, or something that goes on for a while: what
//! the request tells it to.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Holds a stream after its first piece, until somebody has seen that.
#[derive(Default)]
pub struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub fn open(&self) {
        *self.open.lock().expect("the gate") = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let open = self.open.lock().expect("the gate");
        let wait = self.opened.wait_timeout_while(open, Duration::from_secs(20), |open| !*open);
        drop(wait.expect("the gate"));
    }
}

/// Answers by the `script` of a request's body: `json:IN:OUT`, `chunks:N` or `break:N`; or to a `GET` with
/// events for so many seconds.
pub fn answer(stream: &mut TcpStream, request: &str, gate: &Gate) -> std::io::Result<()> {
    if let Some((_, rest)) = request.split_once("seconds=") {
        let seconds = rest.split(|c: char| !c.is_ascii_digit()).next();
        return ticks(stream, seconds.and_then(|text| text.parse().ok()).expect("a number"));
    }
    let (_, body) = request.split_once("\r\n\r\n").expect("a head");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let script: Vec<_> = body["script"].as_str().expect("a script").split(':').collect();
    let number = |at: usize| script[at].parse::<usize>().expect("a number");
    match script[0] {
        "json" => document(stream, number(1), number(2)),
        "chunks" => {
            let is_told = body["stream_options"]["include_usage"] == true;
            chunks(stream, number(1), gate)?;
            if is_told {
                let usage = format!(r#"{{"prompt_tokens":9,"completion_tokens":{}}}"#, number(1));
                piece(stream, &format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n"))?;
            }
            piece(stream, "data: [DONE]\n\n")?;
            stream.write_all(b"0\r\n\r\n")
        }
        // Whoever reads on finds the end of the connection, and not that of the answer.
        _ => chunks(stream, number(1), gate),
    }
}

fn document(stream: &mut TcpStream, input: usize, output: usize) -> std::io::Result<()> {
    let usage = format!(r#"{{"prompt_tokens":{input},"completion_tokens":{output}}}"#);
    let body = format!(r#"{{"choices":[{{"message":{{"content":"words"}}}}],"usage":{usage}}}"#);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn begin(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\
          Connection: close\r\n\r\n",
    )
}

/// So many events of four letters each; behind the first one it waits.
fn chunks(stream: &mut TcpStream, count: usize, gate: &Gate) -> std::io::Result<()> {
    begin(stream)?;
    for number in 0..count {
        piece(stream, "data: {\"choices\":[{\"delta\":{\"content\":\"abcd\"}}]}\n\n")?;
        if number == 0 {
            gate.wait();
        }
    }
    Ok(())
}

/// Ten events a second.
fn ticks(stream: &mut TcpStream, seconds: u64) -> std::io::Result<()> {
    begin(stream)?;
    for number in 0..seconds * 10 {
        piece(stream, &format!("data: {number}\n\n"))?;
        std::thread::sleep(Duration::from_millis(100));
    }
    stream.write_all(b"0\r\n\r\n")
}

fn piece(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n{text}\r\n", text.len())
}
