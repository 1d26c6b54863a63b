//! Frames of WebSockets: they end where tungstenite has their ends, however the stream is cut.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use tungstenite::protocol::frame::FrameHeader;
use x402_fuzz::{Cut, pieces};

// The gateway keeps it to itself, and it needs nothing of the gateway.
#[path = "../../x402-hyper/src/gateway/frames.rs"]
mod frames;

use frames::Frames;

fuzz_target!(|data: &[u8]| {
    let mut cut = Cut(data);
    let lengths: [u8; 8] = cut.array();
    let (stream, ends) = (cut.0, ends(cut.0));
    let is_end = |at: usize| at == 0 || ends.binary_search(&at).is_ok();
    let (mut passing, mut stopping, mut at) = (Frames::default(), Frames::default(), 0);
    assert!(passing.is_between());
    for piece in pieces(stream, &lengths) {
        passing.pass(piece);
        let (mut rest, end) = (piece, at + piece.len());
        while !rest.is_empty() {
            rest = stopping.pass_one(rest);
            // At the end of that frame, or of what there is of it.
            let next = ends[ends.partition_point(|end| *end <= at)..].first();
            at = end - rest.len();
            assert_eq!(at, next.map_or(end, |next| end.min(*next)));
            assert_eq!(stopping.is_between(), is_end(at), "{at} of {ends:?}");
        }
        assert_eq!(passing.is_between(), is_end(at), "{at} of {ends:?}");
    }
    assert_eq!(at, stream.len());
});

/// Where the frames end that are whole.
fn ends(stream: &[u8]) -> Vec<usize> {
    let mut ends = vec![];
    let mut at = 0;
    while let Some(length) = length(&stream[at..])
        && length <= (stream.len() - at) as u128
    {
        at += length as usize;
        ends.push(at);
    }
    ends
}

/// How long the frame is that begins there, its head included.
fn length(stream: &[u8]) -> Option<u128> {
    let mut head = stream[..stream.len().min(14)].to_vec();
    // Tungstenite refuses what the frame may be for; its length does not depend on that.
    *head.first_mut()? = 0x82;
    let mut cursor = Cursor::new(head.as_slice());
    let (_, payload) = FrameHeader::parse(&mut cursor).expect("bytes do not fail")?;
    Some(u128::from(cursor.position()) + u128::from(payload))
}
