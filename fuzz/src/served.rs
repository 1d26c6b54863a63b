//! A request as hyper reads it: over a connection in memory, by a service that looks at it.

use core::convert::Infallible;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{Request, Response};

/// What a service is given.
#[derive(Clone, Debug)]
pub struct Served {
    pub method: String,
    /// In lower case, with the values.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// What hyper hands to its service for these bytes, if it takes the head for one.
pub fn serve(bytes: &[u8]) -> Option<Served> {
    let seen = Arc::new(Mutex::new(None));
    let service = service_fn(|request: Request<Incoming>| {
        let served = Served {
            method: request.method().to_string(),
            fields: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
        };
        seen.lock().unwrap().get_or_insert(served);
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    // The date would need a clock, and a second request nobody looks at.
    server.auto_date_header(false).keep_alive(false).header_read_timeout(None);
    let connection = pin!(server.serve_connection(Wire(bytes.to_vec(), 0), service));
    // Nothing waits for anything: one look is enough, and what is unfinished stays so.
    let _ = connection.poll(&mut Context::from_waker(Waker::noop()));
    seen.lock().unwrap().take()
}

/// Bytes that are there at once, and a place where all answers fit.
struct Wire(Vec<u8>, usize);

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let length = buffer.remaining().min(self.0.len() - self.1);
        buffer.put_slice(&self.0[self.1..self.1 + length]);
        self.1 += length;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
