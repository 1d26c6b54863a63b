//! Who breaks off his own request once he has the answer, or never ends it, has bought what he got, and the
//! payment is used.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use super::*;
use crate::faults::PRICE;

/// How the request's body does not end.
#[derive(Clone, Copy, Debug)]
enum Break {
    /// It is no chunk that comes next.
    Invalid,
    /// Nothing more is sent.
    HalfClosed,
    /// There is less than was said.
    TooShort,
}

/// Sends a request that has no end, and breaks it off once an answer, or its status, is there.
fn attack(shop: &Shop, fields: &Fields, how: Break) -> String {
    let whole = http::request("POST /api/analyze", fields, "");
    let said = match how {
        Break::TooShort => "Content-Length: 5\r\n\r\n",
        _ => "Transfer-Encoding: chunked\r\n\r\n",
    };
    let head = whole.replace("Content-Length: 0\r\n\r\n", said);
    let mut stream = TcpStream::connect(shop.address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream.write_all(head.as_bytes()).expect("the head");
    let mut answer = vec![0; 16];
    let count = stream.read(&mut answer).unwrap_or(0);
    answer.truncate(count);
    let broken = match how {
        Break::Invalid => stream.write_all(b"no chunk\r\n"),
        Break::HalfClosed => stream.shutdown(Shutdown::Write),
        Break::TooShort => Ok(()),
    };
    // The answer may have ended before.
    drop(broken);
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_was_had_is_paid_whatever_becomes_of_the_request() {
    for settle in ["first", "after", "later"] {
        for how in [Break::Invalid, Break::HalfClosed, Break::TooShort] {
            let shop = Shop::settling(settle, "\nlater: {max_delay: 1, max_owed: \"5\"}\n");
            let fields = paying(&terms("1"));
            let answers: Vec<_> = (0..4).map(|_| attack(&shop, &fields, how)).collect();
            let answers: Vec<_> =
                answers.iter().filter_map(|answer| answer.split("\r\n\r\n").nth(1)).collect();
            // What it has had is the same each time.
            let had = usize::from(answers.contains(&"{\"served\":1}"));
            assert!(answers.iter().all(|body| !body.contains("\"served\":2")), "{answers:?}");
            let worked = shop.upstream.hits();
            let deadline = Instant::now() + Duration::from_secs(20);
            while shop.recipient_balance() == 0 && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(100));
            }
            let (paid, had_of) = (shop.recipient_balance(), had as u128 * PRICE);
            println!("{settle}, {how:?}: paid {paid}, had {had_of}, worked {worked} times");
            assert_eq!((worked, paid), (1, PRICE), "{settle}, {how:?}: {answers:?}");
            // Whoever asks again has the same, or nothing where that came to no end; and no other work is done.
            let again = shop.send(&fields);
            assert!(again.status == 409 || again.json()["served"] == 1, "{}", again.body);
            assert_eq!((shop.upstream.hits(), shop.recipient_balance()), (1, PRICE));
        }
    }
}
