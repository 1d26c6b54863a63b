//! Answers of 402 that were made before: for what has the same price for everybody.

use core::hash::BuildHasher as _;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Method, Response, Uri};

use super::pricing::Sale;

/// How many answers are kept. One takes the place of another that falls into the same slot.
const SLOTS: usize = 256;
/// For how long, in seconds: their quotes are good for longer.
const FRESH: u64 = 10;
/// The longest URL of which an answer is kept, its host included, in bytes.
const MAX_URL: usize = 1 << 10;

/// A few answers, each for one sale, method and URL.
pub(super) struct Prepared {
    slots: Vec<Mutex<Option<Entry>>>,
    hasher: RandomState,
}

struct Entry {
    sale: Arc<Sale>,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    made_at: u64,
    answer: Response<Bytes>,
}

impl Prepared {
    pub(super) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Mutex::new(None)).collect();
        Self { slots, hasher: RandomState::new() }
    }

    /// The answer to a request without a payment, made now if it was not before.
    pub(super) fn answer(
        &self,
        head: &Parts,
        sale: &Arc<Sale>,
        now: u64,
        make: impl FnOnce() -> Response<Bytes>,
    ) -> Response<Bytes> {
        let length = url_len(head);
        // What is measured is measured for this request.
        let is_kept = length <= MAX_URL && sale.metering.is_none();
        let Some(mut slot) = self.slot(head).filter(|_| is_kept) else { return make() };
        if let Some(entry) = slot.as_ref().filter(|entry| entry.is_for(head, sale, now)) {
            return entry.answer.clone();
        }
        let answer = make();
        *slot = Some(Entry {
            sale: Arc::clone(sale),
            method: head.method.clone(),
            uri: head.uri.clone(),
            host: head.headers.get(HOST).cloned(),
            made_at: now,
            answer: answer.clone(),
        });
        answer
    }

    fn slot(&self, head: &Parts) -> Option<MutexGuard<'_, Option<Entry>>> {
        let hash = self.hasher.hash_one((&head.uri, &head.method));
        let index = usize::try_from(hash % SLOTS as u64).ok()?;
        let slot = self.slots.get(index)?;
        // An entry is whole whatever panicked.
        Some(slot.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    fn is_for(&self, head: &Parts, sale: &Arc<Sale>, now: u64) -> bool {
        is_same(&self.sale, sale)
            && self.method == head.method
            && self.uri == head.uri
            && self.host.as_ref() == head.headers.get(HOST)
            && now.saturating_sub(self.made_at) < FRESH
    }
}

fn url_len(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    let host = head.headers.get(HOST).map_or(0, HeaderValue::len);
    target.saturating_add(authority).saturating_add(host)
}

/// Whether the terms are the same, in all that an answer tells of them.
fn is_same(one: &Arc<Sale>, other: &Arc<Sale>) -> bool {
    if Arc::ptr_eq(one, other) {
        return true;
    }
    let mut offers = one.offers.iter().zip(&other.offers);
    let are_same = one.offers.len() == other.offers.len()
        && offers.all(|(a, b)| (a.requirements(), a.asset()) == (b.requirements(), b.asset()));
    are_same && (one.route, one.settle) == (other.route, other.settle) && texts(one) == texts(other)
}

fn texts(sale: &Sale) -> [&str; 5] {
    let Sale { description, mime_type, base_url, extensions, output_schema, .. } = sale;
    [description, mime_type, base_url, extensions, output_schema]
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use http::Request;
    use x402_std::quote::RouteHash;

    use super::*;
    use crate::server::testing::offer;

    fn head(method: &str, uri: &str, host: &str) -> Parts {
        let request = Request::builder().method(method).uri(uri).header(HOST, host);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn are_for_one_sale_one_method_and_one_url_and_a_while() {
        let prepared = Prepared::new();
        let made = Cell::new(0);
        let answer = |head: &Parts, sale: &Arc<Sale>, now| {
            let make = || {
                made.set(made.get() + 1);
                Response::new(Bytes::from(made.get().to_string()))
            };
            prepared.answer(head, sale, now, make).into_body()
        };
        let sale = Arc::new(Sale::from(offer(1)));
        let first = head("GET", "/a?b", "x");
        assert_eq!(answer(&first, &sale, 100), "1");
        for now in [100, 105, 109] {
            assert_eq!(answer(&first, &sale, now), "1");
        }
        assert_eq!(answer(&first, &sale, 110), "2");
        // However it came about.
        assert_eq!(answer(&first, &Arc::new(Sale::from(offer(1))), 111), "2");
        let other = Arc::new(Sale::from(offer(2)));
        let described = Arc::new(Sale { description: "a".into(), ..Sale::from(offer(1)) });
        let elsewhere = Arc::new(Sale { route: RouteHash::of("/a/*"), ..Sale::from(offer(1)) });
        for (number, (head, sale)) in [
            (head("POST", "/a?b", "x"), &sale),
            (head("GET", "/a?c", "x"), &sale),
            (head("GET", "/b?b", "x"), &sale),
            (head("GET", "/a?b", "y"), &sale),
            (head("GET", "/a?b", "x"), &other),
            (head("GET", "/a?b", "x"), &described),
            (head("GET", "/a?b", "x"), &elsewhere),
        ]
        .iter()
        .enumerate()
        {
            assert_eq!(answer(head, sale, 111), (3 + number).to_string());
        }
        let long = head("GET", &format!("/{}", "a".repeat(MAX_URL)), "x");
        assert_ne!(answer(&long, &sale, 111), answer(&long, &sale, 111));
        let long = head("GET", "/", &"a".repeat(MAX_URL));
        assert_ne!(answer(&long, &sale, 111), answer(&long, &sale, 111));
    }

    #[test]
    fn are_no_more_than_there_is_room_for() {
        let prepared = Prepared::new();
        let sale = Arc::new(Sale::from(offer(1)));
        for number in 0..10_000 {
            let head = head("GET", &format!("/{number}"), "x");
            prepared.answer(&head, &sale, 1, || Response::new(Bytes::new()));
        }
        assert!(Arc::strong_count(&sale) <= 1 + SLOTS);
    }
}
