use http_body::SizeHint;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::server::body::{PaymentBody, Piece};

type Relayed = PaymentBody<Full<Bytes>>;

/// What a client reads of an answer whose pieces are all there before the server asks for the first.
async fn read(pieces: impl IntoIterator<Item = Piece>) -> String {
    let (sender, receiver) = mpsc::channel(4);
    for piece in pieces {
        sender.try_send(piece).unwrap();
    }
    drop(sender);
    let body = Arc::new(Mutex::new(Some(Relayed::relayed(receiver, SizeHint::new()))));
    let service = hyper::service::service_fn(move |_| {
        ready(Ok::<_, Infallible>(Response::new(body.lock().unwrap().take().unwrap())))
    });
    let (mut client, server) = tokio::io::duplex(4_096);
    let served = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let asks = async move {
        client.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        all
    };
    let (served, all) = tokio::join!(served, asks);
    assert!(served.is_err());
    all
}

/// It is charged: the server must not drop it with the connection.
#[tokio::test]
async fn what_was_handed_over_before_a_failure_is_written() {
    let piece = |text: &'static str| Piece::Frame(Frame::data(Bytes::from(text)));
    let failed = || Piece::Failed(broken().into());
    // And so it is when the task that makes the answer ends.
    for end in [vec![failed()], vec![]] {
        let all = read([piece("one"), piece("two")].into_iter().chain(end)).await;
        assert!(all.ends_with("3\r\none\r\n3\r\ntwo\r\n"), "{all}");
    }
}
