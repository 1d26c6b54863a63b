//! Message heads: what is read is what httparse reads and what hyper serves, and written again it is
//! the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use x402_core::head::{HeadError, RequestHead, ResponseHead};
use x402_core::headers::{HeaderError, PaymentHeaders};
use x402_fuzz::served::{Served, serve};

const FIELDS: usize = 32;

fuzz_target!(|data: &[u8]| {
    check_request(data);
    check_response(data);
    if let Some(served) = serve(data) {
        check_served(data, &served);
    }
});

fn check_request(data: &[u8]) {
    let ours = RequestHead::<FIELDS>::parse(data);
    let mut slots = [httparse::EMPTY_HEADER; 2 * FIELDS];
    let mut theirs = httparse::Request::new(&mut slots);
    let status = theirs.parse(data);
    if matches!(ours, Err(HeadError::TooManyFields)) {
        assert!(status.is_err() || theirs.headers.len() >= FIELDS);
        return;
    }
    let Ok(Some(head)) = ours else {
        assert_eq!(ours.is_err(), status.is_err());
        return;
    };
    assert_eq!(status, Ok(httparse::Status::Complete(head.len)));
    assert_eq!((Some(head.method), Some(head.target)), (theirs.method, theirs.path));
    let theirs = theirs.headers.iter().map(|field| (field.name, field.value));
    assert!(head.fields().eq(theirs));

    // What follows the head does not count, and nothing of it may be missing.
    let short = RequestHead::<FIELDS>::parse(&data[..head.len - 1]);
    assert!(short.is_ok_and(|short| short.is_none()));
    let mut written = format!("{} {} HTTP/1.1\r\n", head.method, head.target).into_bytes();
    write_fields(&mut written, head.fields());
    let again = RequestHead::<FIELDS>::parse(&written).ok().flatten().expect("we wrote it");
    assert_eq!((again.method, again.target), (head.method, head.target));
    assert!(again.fields().eq(head.fields()) && again.len == written.len());
}

fn check_response(data: &[u8]) {
    let ours = ResponseHead::<FIELDS>::parse(data);
    let mut slots = [httparse::EMPTY_HEADER; 2 * FIELDS];
    let mut theirs = httparse::Response::new(&mut slots);
    let status = theirs.parse(data);
    if matches!(ours, Err(HeadError::TooManyFields)) {
        assert!(status.is_err() || theirs.headers.len() >= FIELDS);
        return;
    }
    let Ok(Some(head)) = ours else {
        assert_eq!(ours.is_err(), status.is_err());
        return;
    };
    assert_eq!(status, Ok(httparse::Status::Complete(head.len)));
    assert_eq!(Some(head.status), theirs.code);
    let theirs = theirs.headers.iter().map(|field| (field.name, field.value));
    assert!(head.fields().eq(theirs));
    let mut written = format!("HTTP/1.1 {:03} Any\r\n", head.status).into_bytes();
    write_fields(&mut written, head.fields());
    let again = ResponseHead::<FIELDS>::parse(&written).ok().flatten().expect("we wrote it");
    assert!(again.fields().eq(head.fields()) && again.status == head.status);
}

fn write_fields<'h>(out: &mut Vec<u8>, fields: impl Iterator<Item = (&'h str, &'h [u8])>) {
    for (name, value) in fields {
        out.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    out.extend(b"\r\n");
}

/// What hyper hands to a service is what the head says, and so is the payment in it.
fn check_served(data: &[u8], served: &Served) {
    let head = match RequestHead::<128>::parse(data) {
        Ok(Some(head)) => head,
        other => panic!("hyper serves it: {other:?}"),
    };
    assert_eq!(head.method, served.method);
    let ours = head.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()));
    // Of several equal lengths of the body hyper keeps one: what frames the body is its own business.
    let is_ours = |(name, _): &(String, Vec<u8>)| name != "content-length";
    let mut ours: Vec<_> = ours.filter(is_ours).collect();
    let mut theirs: Vec<_> = served.fields.iter().filter(|field| is_ours(field)).cloned().collect();
    // The fields of one name are in their order, those of others in any.
    ours.sort_by(|a, b| a.0.cmp(&b.0));
    theirs.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(ours, theirs);
    let collected = PaymentHeaders::collect(head.fields());
    let theirs = served.fields.iter().map(|(name, value)| (name, value.as_slice()));
    assert_eq!(outcome(&collected), outcome(&PaymentHeaders::collect(theirs)));
}

/// Which field is found to be wrong first depends on their order.
fn outcome(collected: &Result<Option<PaymentHeaders<'_>>, HeaderError>) -> Option<String> {
    collected.as_ref().ok().map(|payment| format!("{payment:?}"))
}
