//! Who is connected, what is waited for, and who gives way.

use core::fmt;
use core::net::IpAddr;
use core::task::Waker;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// How long a connection is left to send the head of a request, whoever else comes.
const REST_GRACE: Duration = Duration::from_millis(100);
/// How long one is left to go on with the body of a request.
const BODY_GRACE: Duration = Duration::from_millis(500);
/// How long one is left to read, perhaps what was paid for: networks have their moments.
const READ_GRACE: Duration = Duration::from_secs(2);
/// How often it is looked who gives way, while somebody waits for a place.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How many are found at once that may give way: then nobody has to be looked at for each who comes.
const FOUND: usize = 64;
/// How many places an address has at least.
const LEAST_SHARE: usize = 8;
/// How much of an answer may wait in memory for one who does not read, beside what was in the way when it was
/// that much: in bytes.
const AHEAD: usize = 8 << 10;

/// The places of a listener.
#[derive(Clone)]
pub(super) struct Seats(Arc<Shared>);

struct Shared {
    room: Arc<Semaphore>,
    table: Mutex<Table>,
    /// How many places an address has at most.
    share: usize,
    trusted: Vec<IpNet>,
}

#[derive(Default)]
struct Table {
    next: u64,
    seated: BTreeMap<Place, Arc<Seated>>,
    counts: HashMap<IpAddr, usize>,
    /// Who may give way, the first one first, as far as was found.
    due: VecDeque<(Place, Due)>,
}

/// An address, and a number.
type Place = (IpAddr, u64);
/// Whose turn it is to give way: first who sends no request, then who is stuck in one; in each the longest.
type Due = (bool, Instant);

/// A place that a connection has, and the work that it has begun. It is free when the last copy is dropped.
#[derive(Clone)]
pub(crate) struct Seat(Arc<Held>);

struct Held {
    place: Place,
    seated: Arc<Seated>,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

/// A connection, as those see it who may need its place.
pub(super) struct Seated {
    state: Mutex<State>,
    shut: Notify,
}

struct State {
    /// Since when it is waited for the head of a request; `None` while one is worked on.
    resting: Option<Instant>,
    /// Since when it is waited for more of a body.
    body: Option<Instant>,
    /// Since when nothing can be written.
    unread: Option<Instant>,
    /// Whether there is no connection any more that could give way.
    is_gone: bool,
    /// How much of an answer was given to be written, and was not, as far as is known.
    ahead: usize,
    /// Who waits until that is less.
    waker: Option<Waker>,
}

/// A request that is worked on, until this is dropped.
pub(super) struct Turn(Seat);

impl Seats {
    pub(super) fn new(seats: usize, trusted: Vec<IpNet>) -> Self {
        let room = Arc::new(Semaphore::new(seats.min(Semaphore::MAX_PERMITS)));
        let share = (seats / 2).max(LEAST_SHARE);
        Self(Arc::new(Shared { room, table: Mutex::default(), share, trusted }))
    }

    /// A place for a connection from there; waits until there is one. `None` where the address has its share.
    pub(super) async fn take(&self, address: IpAddr) -> Option<Seat> {
        let shared = &self.0;
        let origin = origin(address);
        // Whose place is about to be free: nobody else has to give way for this one.
        let mut is_made = false;
        if !shared.is_trusted(address) && shared.table().count(origin) >= shared.share {
            is_made = shared.table().shut_one_of(origin);
            if !is_made {
                tracing::debug!(%address, "has its share of the connections");
                return None;
            }
        }
        loop {
            let room = Arc::clone(&shared.room);
            if let Ok(permit) = room.try_acquire_owned() {
                return Some(self.enter(origin, permit));
            }
            if !core::mem::take(&mut is_made) {
                self.shut_one();
            }
            let room = Arc::clone(&shared.room);
            // It is never closed.
            if let Ok(Ok(permit)) = timeout(LOOK_AGAIN, room.acquire_owned()).await {
                return Some(self.enter(origin, permit));
            }
        }
    }

    /// Has the one give way whose turn it is, if anyone can.
    pub(super) fn shut_one(&self) -> bool {
        self.0.table().shut_one()
    }

    fn enter(&self, origin: IpAddr, permit: OwnedSemaphorePermit) -> Seat {
        let seated = Arc::new(Seated::new());
        let mut table = self.0.table();
        let place = (origin, table.next);
        table.next += 1;
        table.seated.insert(place, Arc::clone(&seated));
        *table.counts.entry(origin).or_default() += 1;
        Seat(Arc::new(Held { place, seated, shared: Arc::clone(&self.0), _permit: permit }))
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // What a panic leaves half done is a count, at worst.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// What has a share: of IPv6 what one client has, at least.
fn origin(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

impl Table {
    fn count(&self, origin: IpAddr) -> usize {
        self.counts.get(&origin).copied().unwrap_or_default()
    }

    fn shut_one(&mut self) -> bool {
        if self.due.is_empty() {
            self.find_due();
        }
        while let Some((place, due)) = self.due.pop_front() {
            // It may have gone on meanwhile.
            if self.seated.get(&place).is_some_and(|seated| seated.give_way(due)) {
                return true;
            }
        }
        false
    }

    fn find_due(&mut self) {
        let now = Instant::now();
        let due = self.seated.iter();
        let mut due: Vec<_> =
            due.filter_map(|(place, seated)| Some((seated.due(now)?, *place))).collect();
        if due.len() > FOUND {
            due.select_nth_unstable(FOUND);
            due.truncate(FOUND);
        }
        due.sort_unstable();
        self.due = due.into_iter().map(|(due, place)| (place, due)).collect();
    }

    fn shut_one_of(&mut self, origin: IpAddr) -> bool {
        let now = Instant::now();
        let own = self.seated.range((origin, 0)..=(origin, u64::MAX)).map(|(_, seated)| seated);
        let due = own.filter_map(|seated| Some((seated.due(now)?, seated)));
        due.min_by_key(|(due, _)| *due).is_some_and(|(due, seated)| seated.give_way(due))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        table.seated.remove(&self.place);
        let origin = self.place.0;
        if let Some(count) = table.counts.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                table.counts.remove(&origin);
            }
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seat").field(&self.0.place).finish()
    }
}

impl Seat {
    pub(super) fn seated(&self) -> &Arc<Seated> {
        &self.0.seated
    }

    /// Begins with a request; `None` where the place was given away.
    pub(super) fn begin(&self) -> Option<Turn> {
        let mut state = self.seated().state();
        if state.is_gone {
            return None;
        }
        state.resting = None;
        state.ahead = 0;
        drop(state);
        Some(Turn(self.clone()))
    }
}

impl Turn {
    pub(super) fn seated(&self) -> &Seated {
        self.0.seated()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.seated().state().resting = Some(Instant::now());
    }
}

impl Seated {
    fn new() -> Self {
        let state = State {
            resting: Some(Instant::now()),
            body: None,
            unread: None,
            is_gone: false,
            ahead: 0,
            waker: None,
        };
        Self { state: Mutex::new(state), shut: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment: whole, whatever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, now: Instant) -> Option<Due> {
        self.state().due(now)
    }

    /// Gives the place away, if it is as it was.
    fn give_way(&self, due: Due) -> bool {
        let mut state = self.state();
        if state.due(Instant::now()) != Some(due) {
            return false;
        }
        state.is_gone = true;
        drop(state);
        self.shut.notify_one();
        true
    }

    /// Ready when the place was given away.
    pub(super) async fn shut(&self) {
        self.shut.notified().await;
    }

    /// The connection has ended: what is left of it cannot give way.
    pub(super) fn leave(&self) {
        self.state().is_gone = true;
    }

    /// Since when it is waited for a body, if it is.
    pub(super) fn wait_for_body(&self, since: Option<Instant>) {
        self.state().body = since;
    }

    pub(super) fn wait_for_reader(&self, is_waiting: bool) {
        self.state().unread = is_waiting.then(Instant::now);
    }

    /// So many bytes are given to be written.
    pub(super) fn give(&self, bytes: usize) {
        self.state().ahead += bytes;
    }

    /// So many were, the head among them.
    pub(super) fn write(&self, bytes: usize) {
        let mut state = self.state();
        state.ahead = state.ahead.saturating_sub(bytes);
        if state.ahead < AHEAD
            && let Some(waker) = state.waker.take()
        {
            drop(state);
            waker.wake();
        }
    }

    /// Whether enough waits to be written; then this is woken when it is less.
    pub(super) fn is_ahead(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        if state.ahead < AHEAD {
            return false;
        }
        state.waker = Some(waker.clone());
        true
    }
}

impl State {
    fn due(&self, now: Instant) -> Option<Due> {
        if self.is_gone {
            return None;
        }
        let older = |since: &Instant, grace| now.saturating_duration_since(*since) >= grace;
        // What was answered may be on its way still.
        if self.unread.is_none()
            && let Some(since) = self.resting
        {
            return older(&since, REST_GRACE).then_some((false, since));
        }
        let body = self.body.filter(|since| older(since, BODY_GRACE));
        let unread = self.unread.filter(|since| older(since, READ_GRACE));
        Some((true, [body, unread].into_iter().flatten().min()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn take(seats: &Seats, text: &str) -> Option<Seat> {
        timeout(Duration::from_secs(60), seats.take(address(text))).await.expect("no place")
    }

    /// A place whose request is worked on.
    async fn busy(seats: &Seats, text: &str) -> (Seat, Turn) {
        let seat = take(seats, text).await.unwrap();
        let turn = seat.begin().unwrap();
        (seat, turn)
    }

    fn is_gone(seat: &Seat) -> bool {
        seat.seated().state().is_gone
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_a_half_and_a_network_of_ipv6_is_one() {
        let seats = Seats::new(64, vec!["192.0.2.0/28".parse().unwrap()]);
        for (first, others) in [("203.0.113.1", "203.0.113.1"), ("2001:db8::1", "2001:db8::ff:2")] {
            let mut held = Vec::new();
            for _ in 0..32 {
                held.push(busy(&seats, first).await);
            }
            assert!(take(&seats, others).await.is_none(), "{others}");
            drop(held.pop());
            assert!(take(&seats, others).await.is_some(), "{others}");
        }
        for text in ["203.0.113.2", "2001:db8:0:1::1", "127.0.0.1", "::1"] {
            assert!(take(&seats, text).await.is_some(), "{text}");
        }
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(busy(&seats, "192.0.2.3").await);
        }
        for _ in 0..20 {
            held.push(busy(&seats, "127.0.0.1").await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_its_share_has_its_own_give_way() {
        let seats = Seats::new(64, Vec::new());
        let stranger = take(&seats, "203.0.113.9").await.unwrap();
        let mut held = Vec::new();
        for _ in 0..32 {
            held.push(take(&seats, "203.0.113.1").await.unwrap());
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        tokio::time::advance(REST_GRACE).await;
        let _more = take(&seats, "203.0.113.1").await.unwrap();
        assert!(is_gone(&held[0]) && held[1..].iter().all(|seat| !is_gone(seat)));
        assert!(!is_gone(&stranger), "the oldest of all is another's");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_its_share_takes_no_place_of_others() {
        let seats = Seats::new(16, Vec::new());
        let mut others = Vec::new();
        for text in ["203.0.113.8", "203.0.113.9"] {
            for _ in 0..4 {
                others.push(take(&seats, text).await.unwrap());
            }
        }
        let mut held = VecDeque::new();
        for _ in 0..8 {
            held.push_back(take(&seats, "203.0.113.1").await.unwrap());
        }
        tokio::time::advance(REST_GRACE).await;
        let more = {
            let seats = seats.clone();
            tokio::spawn(async move { take(&seats, "203.0.113.1").await })
        };
        held[0].seated().shut().await;
        drop(held.pop_front());
        assert!(more.await.unwrap().is_some());
        assert!(others.iter().all(|seat| !is_gone(seat)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_gives_way_and_none_that_works() {
        let seats = Seats::new(4, Vec::new());
        let stuck = busy(&seats, "203.0.113.1").await;
        stuck.0.seated().wait_for_body(Some(Instant::now()));
        let works = busy(&seats, "203.0.113.2").await;
        let mut idle = Vec::new();
        for text in ["203.0.113.3", "203.0.113.4"] {
            idle.push(take(&seats, text).await.unwrap());
            tokio::time::advance(Duration::from_millis(600)).await;
        }
        // Those who rest go before one who is stuck, though that is the oldest.
        for next in &idle {
            assert!(seats.shut_one());
            assert!(is_gone(next) && !is_gone(&stuck.0));
            timeout(Duration::from_secs(1), next.seated().shut()).await.unwrap();
        }
        assert!(idle[0].begin().is_none(), "what comes on a place that is gone is not begun");
        assert!(seats.shut_one() && is_gone(&stuck.0));
        assert!(!seats.shut_one() && !is_gone(&works.0));
        // What is left of a connection that has ended cannot give way.
        drop(works.1);
        works.0.seated().leave();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!seats.shut_one());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_is_left_a_moment() {
        let seats = Seats::new(1, Vec::new());
        let first = take(&seats, "203.0.113.1").await.unwrap();
        let (begin, others) = (Instant::now(), seats.clone());
        let second = tokio::spawn(async move { take(&others, "203.0.113.2").await });
        first.seated().shut().await;
        assert!(begin.elapsed() >= REST_GRACE && begin.elapsed() < REST_GRACE + LOOK_AGAIN * 2);
        drop(first);
        assert!(second.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_before_and_goes_on_does_not_give_way() {
        let seats = Seats::new(8, Vec::new());
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(take(&seats, "203.0.113.1").await.unwrap());
            tokio::time::advance(Duration::from_millis(200)).await;
        }
        assert!(seats.shut_one() && is_gone(&held[0]));
        // It was found with the first.
        drop(held[1].begin().unwrap());
        assert!(seats.shut_one() && is_gone(&held[2]) && !is_gone(&held[1]));
    }

    #[tokio::test]
    async fn an_answer_waits_for_its_reader_with_little() {
        use core::task::Context;
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::task::Wake;

        #[derive(Default)]
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }

        let seats = Seats::new(1, Vec::new());
        let (seat, _turn) = busy(&seats, "203.0.113.1").await;
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        seat.seated().give(AHEAD - 1);
        assert!(!seat.seated().is_ahead(cx.waker()));
        seat.seated().give(10_000);
        assert!(seat.seated().is_ahead(cx.waker()));
        seat.seated().write(5_000);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        seat.seated().write(6_000);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(!seat.seated().is_ahead(cx.waker()));
    }
}
