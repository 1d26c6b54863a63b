use std::collections::BTreeMap;

use x402_core::Claimed;

use super::*;
use crate::ledger::{Conclusion, CreditAccount, CreditNames, Draw, DrawId, DrawRule, DrawState};
use crate::ledger::{Drawing, Renewal};

pub(super) fn units(units: u128) -> Amount {
    Amount::from_units(units)
}

fn worked(used: u128) -> Step {
    Step::Worked(answer(), units(used))
}

pub(super) fn answered(used: u128) -> Step {
    Step::Answered(answer(), units(used))
}

pub(super) fn used(amount: u128) -> Conclusion {
    Conclusion::Used(units(amount), answer())
}

/// A payment of a payer's to one seller, of the scheme `exact`, or `upto`.
pub(super) fn paid(payer: u8, number: u64, amount: Amount, is_upto: bool) -> Entry {
    let entry = Entry::new(&payment(1), REQUEST, NOW).unwrap();
    let mut bytes = entry.payment.to_bytes();
    bytes[28..48].fill(payer);
    bytes[48..68].fill(0x5e);
    bytes[68..100].copy_from_slice(&amount.to_be_bytes());
    bytes[188..196].copy_from_slice(&number.to_be_bytes());
    bytes[196..228].copy_from_slice(&amount.to_be_bytes());
    if is_upto {
        bytes[228..249].fill(2);
    }
    let entry = Entry { payment: Claimed::from_bytes(&bytes).unwrap(), ..entry };
    assert_eq!(entry.payment.amount(), amount);
    assert_eq!(entry.payment.transfer().facilitator().is_some(), is_upto);
    entry
}

pub(super) fn account(payer: u8) -> CreditAccount {
    CreditAccount::of(&paid(payer, 0, units(0), false).payment)
}

pub(super) fn draw(payer: u8, nonce: u8, amount: u128) -> Draw {
    Draw::new(account(payer), [nonce; 32], REQUEST, units(amount), NOW)
}

async fn take(ledger: &dyn Ledger, entry: &Entry, steps: impl IntoIterator<Item = Step>) {
    let claiming = ledger.claim(entry.clone()).await.unwrap();
    assert!(matches!(claiming, Claiming::New(_)), "{claiming:?}");
    for step in steps {
        ledger.apply(entry.id(), step).await.unwrap();
    }
}

fn journalled() -> Step {
    Step::Journalled(transaction(1))
}

fn confirmed() -> Step {
    Step::Confirmed(settlement(1))
}

/// A payment that has arrived.
pub(super) async fn settled(
    ledger: &dyn Ledger,
    payer: u8,
    number: u64,
    amount: Amount,
) -> PaymentId {
    let entry = paid(payer, number, amount, false);
    take(ledger, &entry, [journalled(), confirmed()]).await;
    entry.id()
}

/// Puts so much into a payer's balance.
pub(super) async fn earn(ledger: &dyn Ledger, payer: u8, number: u64, amount: Amount) {
    let id = settled(ledger, payer, number, amount).await;
    ledger.apply(id, answered(0)).await.unwrap();
}

pub(super) async fn balance(ledger: &dyn Ledger, payer: u8) -> Amount {
    ledger.balance(account(payer)).await.unwrap()
}

pub(super) async fn drawn(ledger: &dyn Ledger, draw: &Draw) {
    assert_eq!(ledger.draw(draw.clone()).await.unwrap(), Drawing::New);
}

pub(super) async fn what_is_not_used_is_credit_once(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    assert_eq!(balance(ledger, 1).await, units(0));
    // Paid first: with the answer.
    let first = paid(1, 1, units(10_000), false);
    take(ledger, &first, [journalled(), confirmed()]).await;
    assert_eq!(balance(ledger, 1).await, units(0), "nothing was served");
    ledger.apply(first.id(), answered(7_000)).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(3_000));
    assert_eq!(entry(ledger, first.id()).await.credit, units(3_000));
    for step in [answered(0), confirmed(), worked(0)] {
        let again = ledger.apply(first.id(), step).await;
        assert!(matches!(again, Err(LedgerError::Illegal(_))), "{again:?}");
    }
    assert_eq!(balance(ledger, 1).await, units(3_000), "never twice");
    // Paid after the work: with the money's arrival.
    let after = paid(1, 2, units(10_000), false);
    take(ledger, &after, [worked(9_999), journalled(), Step::TimedOut]).await;
    assert_eq!(balance(ledger, 1).await, units(3_000), "nothing was paid");
    ledger.apply(after.id(), Step::Reverted).await.unwrap();
    ledger.apply(after.id(), confirmed()).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(3_001));
    assert_eq!(entry(ledger, after.id()).await.payment.amount(), units(10_000));
    // By `upto` less is moved, where it was not moved before.
    let upto = paid(1, 3, units(10_000), true);
    take(ledger, &upto, [worked(4_000), journalled(), confirmed()]).await;
    let upto = entry(ledger, upto.id()).await;
    assert_eq!((upto.payment.amount(), upto.credit), (units(4_000), units(0)));
    let before = paid(1, 4, units(10_000), true);
    take(ledger, &before, [journalled(), confirmed(), answered(4_000)]).await;
    assert_eq!(balance(ledger, 1).await, units(9_001));
    // All of it was used, or it was forgiven before it was paid.
    let all = paid(1, 5, units(10_000), false);
    take(ledger, &all, [journalled(), confirmed(), answered(10_000)]).await;
    let forgiven = paid(1, 6, units(10_000), false);
    let steps = [worked(1), Step::Refused, Step::Forgiven, confirmed(), answered(10_000)];
    take(ledger, &forgiven, steps).await;
    assert_eq!(balance(ledger, 1).await, units(9_001));
    // Each payer has a balance of his own.
    earn(ledger, 0, 7, units(5)).await;
    let all = [(account(0), units(5)), (account(1), units(9_001))];
    assert_eq!(ledger.balances().await.unwrap(), all);
}

pub(super) async fn work_that_costs_more_than_was_paid_is_refused(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    for (number, is_upto) in [(1, false), (2, true)] {
        let after = paid(1, number, units(10_000), is_upto);
        take(ledger, &after, []).await;
        let refused = ledger.apply(after.id(), worked(10_001)).await;
        assert!(matches!(refused, Err(LedgerError::Amount)), "{refused:?}");
        assert_eq!(state(ledger, after.id()).await, State::Claimed);
        ledger.apply(after.id(), journalled()).await.unwrap();
        ledger.apply(after.id(), confirmed()).await.unwrap();
        let refused = ledger.apply(after.id(), answered(10_001)).await;
        assert!(matches!(refused, Err(LedgerError::Amount)), "{refused:?}");
        assert_eq!(state(ledger, after.id()).await, State::Settled);
    }
    assert!(ledger.balances().await.unwrap().is_empty());
}

pub(super) async fn a_draw_is_made_once_and_only_of_what_is_there(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let first = draw(1, 1, 600);
    assert_eq!(ledger.draw(first.clone()).await.unwrap(), Drawing::Short(units(0)));
    earn(ledger, 1, 1, units(1_000)).await;
    earn(ledger, 2, 2, units(5_000)).await;
    assert_eq!(ledger.draw(draw(1, 1, 1_001)).await.unwrap(), Drawing::Short(units(1_000)));
    assert!(ledger.find_draw(first.id).await.unwrap().is_none(), "nothing was recorded");
    drawn(ledger, &first).await;
    assert_eq!(balance(ledger, 1).await, units(400));
    assert_eq!(ledger.find_draw(first.id).await.unwrap(), Some(first.clone()));
    // The same again, for whatever amount and request, takes nothing.
    let again = Draw { request: RequestId([9; 32]), ..draw(1, 1, 1) };
    assert_eq!(ledger.draw(again).await.unwrap(), Drawing::Known(Box::new(first.clone())));
    assert_eq!(ledger.draw(draw(1, 2, 401)).await.unwrap(), Drawing::Short(units(400)));
    let second = draw(1, 2, 400);
    drawn(ledger, &second).await;
    assert_eq!(ledger.balances().await.unwrap(), [(account(2), units(5_000))], "all is drawn");
    let mut held = [first, second];
    held.sort_by_key(|draw| draw.id);
    assert_eq!(ledger.held_draws().await.unwrap(), held);
}

pub(super) async fn a_draw_is_concluded_once(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    earn(ledger, 1, 1, units(1_000)).await;
    let draw = draw(1, 1, 600);
    for conclusion in [used(0), Conclusion::Returned] {
        let missing = ledger.conclude(draw.id, conclusion).await;
        assert!(matches!(missing, Err(LedgerError::Missing)), "{missing:?}");
    }
    drawn(ledger, &draw).await;
    let more = ledger.conclude(draw.id, used(601)).await;
    assert!(matches!(more, Err(LedgerError::Amount)), "{more:?}");
    assert_eq!(balance(ledger, 1).await, units(400));
    // Given back, it is as if it had never been.
    ledger.conclude(draw.id, Conclusion::Returned).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(1_000));
    assert!(ledger.find_draw(draw.id).await.unwrap().is_none());
    let missing = ledger.conclude(draw.id, Conclusion::Returned).await;
    assert!(matches!(missing, Err(LedgerError::Missing)), "{missing:?}");
    drawn(ledger, &draw).await;
    ledger.conclude(draw.id, used(250)).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(750));
    let state = DrawState::Done { used: units(250), answer: answer() };
    let done = Draw { state, ..draw };
    for conclusion in [used(0), used(250), Conclusion::Returned] {
        let again = ledger.conclude(done.id, conclusion).await;
        assert!(matches!(again, Err(LedgerError::Concluded)), "{again:?}");
    }
    assert_eq!(ledger.find_draw(done.id).await.unwrap(), Some(done.clone()));
    assert_eq!(ledger.draw(done.clone()).await.unwrap(), Drawing::Known(Box::new(done)));
    assert_eq!(balance(ledger, 1).await, units(750));
    assert!(ledger.held_draws().await.unwrap().is_empty());
    // What was used up whole leaves no balance.
    let all = super::credit::draw(1, 2, 750);
    drawn(ledger, &all).await;
    ledger.conclude(all.id, used(750)).await.unwrap();
    assert!(ledger.balances().await.unwrap().is_empty());
}

/// Runs as many tasks at once, and gives what came of each.
pub(super) async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: u8,
    task: impl Fn(u8) -> F,
) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(count.into()));
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let (barrier, task) = (Arc::clone(&barrier), task(number));
            tokio::spawn(async move {
                barrier.wait().await;
                task.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

pub(super) async fn of_draws_that_race_none_overdraws(ledger: Arc<dyn Ledger>) {
    // For 20 draws and a little more.
    earn(&*ledger, 1, 1, units(20 * 100 + 99)).await;
    let drawings = race(50, |nonce| {
        let ledger = Arc::clone(&ledger);
        async move { ledger.draw(draw(1, nonce, 100)).await.unwrap() }
    })
    .await;
    let count = |wanted: &Drawing| drawings.iter().filter(|drawing| *drawing == wanted).count();
    assert_eq!((count(&Drawing::New), count(&Drawing::Short(units(99)))), (20, 30));
    assert_eq!(balance(&*ledger, 1).await, units(99));
    // What comes in and goes out at the same time adds up.
    let held = ledger.held_draws().await.unwrap();
    assert_eq!(held.len(), 20);
    let ends = race(40, |number| {
        let (ledger, id) = (Arc::clone(&ledger), held[usize::from(number) / 2].id);
        async move {
            match number % 2 {
                0 => ledger.conclude(id, used(30)).await.unwrap(),
                _ => earn(&*ledger, 1, 100 + u64::from(number), units(1)).await,
            }
        }
    });
    ends.await;
    assert_eq!(balance(&*ledger, 1).await, units(99 + 20 * 70 + 20));
}

pub(super) async fn of_those_who_race_for_one_draw_one_wins(ledger: Arc<dyn Ledger>) {
    earn(&*ledger, 1, 1, units(10_000)).await;
    let drawings = race(50, |number| {
        let ledger = Arc::clone(&ledger);
        async move { ledger.draw(draw(1, 7, 100 + u128::from(number))).await.unwrap() }
    })
    .await;
    let winners: Vec<_> = (0_u8..).zip(&drawings).filter(|row| *row.1 == Drawing::New).collect();
    let [(winner, _)] = winners[..] else { panic!("{drawings:?}") };
    let held = units(100 + u128::from(winner));
    assert_eq!(Some(balance(&*ledger, 1).await), units(10_000).checked_sub(held));
    for (number, drawing) in (0..).zip(drawings) {
        match drawing {
            Drawing::Known(known) => assert_eq!(known.amount, held),
            other => assert_eq!((other, number), (Drawing::New, winner)),
        }
    }
}

pub(super) async fn of_those_who_race_to_conclude_one_wins(ledger: Arc<dyn Ledger>) {
    earn(&*ledger, 1, 1, units(1_000)).await;
    let held = draw(1, 1, 1_000);
    drawn(&*ledger, &held).await;
    let ends = race(50, |number| {
        let (ledger, id) = (Arc::clone(&ledger), held.id);
        async move { ledger.conclude(id, used(number.into())).await }
    })
    .await;
    let mut winner = None;
    for (number, end) in (0_u128..).zip(ends) {
        match end {
            Ok(()) => assert_eq!(winner.replace(number), None, "one of them"),
            Err(error) => assert!(matches!(error, LedgerError::Concluded), "{error:?}"),
        }
    }
    assert_eq!(balance(&*ledger, 1).await, units(1_000 - winner.unwrap()));
}

pub(super) async fn done_draws_are_forgotten_in_time_and_held_ones_never(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    earn(ledger, 1, 1, units(1_000)).await;
    let [done, held] = [draw(1, 1, 100), draw(1, 2, 100)];
    drawn(ledger, &done).await;
    drawn(ledger, &held).await;
    ledger.conclude(done.id, used(60)).await.unwrap();
    for (nonce, at, is_known) in [(3, NOW + DAY, true), (4, NOW + DAY + 61, false)] {
        let draw = Draw { drawn_at: at, ..draw(1, nonce, 10) };
        drawn(ledger, &draw).await;
        assert_eq!(ledger.find_draw(done.id).await.unwrap().is_some(), is_known, "{nonce}");
    }
    let later = Draw { drawn_at: NOW + 9 * DAY, ..draw(1, 6, 10) };
    drawn(ledger, &later).await;
    assert_eq!(ledger.find_draw(held.id).await.unwrap(), Some(held.clone()));
    ledger.conclude(held.id, Conclusion::Returned).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(1_000 - 60 - 30));
}

pub(super) async fn the_body_of_an_answer_follows_once(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let head = Answer { body: None, request_body: Answer::NOT_KNOWN, ..answer() };
    let id = settled(ledger, 1, 1, units(10_000)).await;
    let follows = async || ledger.apply(id, Step::Followed(answer())).await;
    assert!(matches!(follows().await, Err(LedgerError::Illegal(_))), "there is no head");
    ledger.apply(id, Step::Answered(head.clone(), units(4_000))).await.unwrap();
    assert_eq!(entry(ledger, id).await.answer, Some(head.clone()));
    follows().await.unwrap();
    let there = entry(ledger, id).await;
    assert_eq!((there.state, there.answer), (State::Served, Some(answer())));
    assert!(matches!(follows().await, Err(LedgerError::Illegal(_))), "it is there");
    assert_eq!(balance(ledger, 1).await, units(6_000));
    // So is that of a draw's.
    let draw = draw(1, 1, 5_000);
    drawn(ledger, &draw).await;
    let concludes = async |conclusion| ledger.conclude(draw.id, conclusion).await;
    let followed = || Conclusion::Followed(answer());
    assert!(matches!(concludes(followed()).await, Err(LedgerError::Concluded)));
    concludes(Conclusion::Used(units(4_500), head)).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(1_500));
    for again in [Conclusion::Returned, Conclusion::Used(units(0), answer())] {
        assert!(matches!(concludes(again).await, Err(LedgerError::Concluded)));
    }
    concludes(followed()).await.unwrap();
    assert!(matches!(concludes(followed()).await, Err(LedgerError::Concluded)));
    let done = DrawState::Done { used: units(4_500), answer: answer() };
    assert_eq!(ledger.find_draw(draw.id).await.unwrap().unwrap().state, done);
    assert_eq!(balance(ledger, 1).await, units(1_500));
    assert!(ledger.held_draws().await.unwrap().is_empty());
}

pub(super) async fn a_balance_that_cannot_be_counted_is_an_error(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    earn(ledger, 1, 1, Amount::MAX).await;
    let more = paid(1, 2, units(1), false);
    take(ledger, &more, [journalled(), confirmed()]).await;
    let overflow = ledger.apply(more.id(), answered(0)).await;
    assert!(matches!(overflow, Err(LedgerError::Overflow)), "{overflow:?}");
    assert_eq!(state(ledger, more.id()).await, State::Settled, "nothing has changed");
    assert_eq!(balance(ledger, 1).await, Amount::MAX);
    // All bits of it come and go.
    let all = Draw { amount: Amount::MAX, ..draw(1, 1, 0) };
    drawn(ledger, &all).await;
    ledger.apply(more.id(), answered(0)).await.unwrap();
    assert_eq!(balance(ledger, 1).await, units(1));
    let overflow = ledger.conclude(all.id, used(0)).await;
    assert!(matches!(overflow, Err(LedgerError::Overflow)), "{overflow:?}");
    let overflow = ledger.conclude(all.id, Conclusion::Returned).await;
    assert!(matches!(overflow, Err(LedgerError::Overflow)), "{overflow:?}");
    assert!(ledger.find_draw(all.id).await.unwrap().unwrap().is_held());
    ledger.conclude(all.id, used(1)).await.unwrap();
    assert_eq!(balance(ledger, 1).await, Amount::MAX);
}

pub(super) async fn names_of_a_balance_are_replaced_and_nothing_else(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let names = async |payer| ledger.credit_names(account(payer)).await.unwrap();
    assert_eq!(names(1).await, CreditNames::default());
    earn(ledger, 1, 1, units(1_000)).await;
    let held = draw(1, 1, 400);
    drawn(ledger, &held).await;
    let renew = async |renewal| ledger.renew_names(account(1), renewal).await;
    let renewed = renew(Renewal::default()).await.unwrap();
    assert_eq!((renewed.generation, renewed.rule, renewed.proved_at), (1, DrawRule::Name, 0));
    assert_eq!(names(1).await, renewed);
    // What draws need stays as it is, until somebody says so; so does the time of the last proof.
    let signed = Renewal { rule: Some(DrawRule::Signature), proved_at: Some(NOW) };
    let renewed = renew(signed).await.unwrap();
    let expected = CreditNames { generation: 2, rule: DrawRule::Signature, proved_at: NOW };
    assert_eq!(renewed, expected);
    let renewed = renew(Renewal::default()).await.unwrap();
    assert_eq!(renewed, CreditNames { generation: 3, ..expected });
    // A proof is good once, and none that is older is good after it.
    for (rule, time) in [(None, NOW), (Some(DrawRule::Name), NOW), (None, NOW - 1), (None, 0)] {
        let again = renew(Renewal { rule, proved_at: Some(time) }).await;
        assert!(matches!(again, Err(LedgerError::Outdated)), "{again:?}");
    }
    assert_eq!(names(1).await, renewed, "nothing has changed");
    let free = Renewal { rule: Some(DrawRule::Name), proved_at: Some(NOW + 1) };
    let last = CreditNames { generation: 4, rule: DrawRule::Name, proved_at: NOW + 1 };
    assert_eq!(renew(free).await.unwrap(), last);
    // Neither the balance nor what is held of it is another, nor the names of other balances.
    assert_eq!(ledger.balances().await.unwrap(), [(account(1), units(600))]);
    assert_eq!(ledger.held_draws().await.unwrap(), core::slice::from_ref(&held));
    ledger.conclude(held.id, used(400)).await.unwrap();
    let elsewhere = CreditAccount { seller: account(1).payer, ..account(1) };
    for other in [account(2), elsewhere] {
        assert_eq!(ledger.credit_names(other).await.unwrap(), CreditNames::default());
    }
    // Of a balance that is used up they are remembered, and payments are what they were.
    drawn(ledger, &draw(1, 2, 600)).await;
    assert!(ledger.balances().await.unwrap().is_empty());
    assert_eq!(names(1).await, last);
    let ids = ledger.ids().await.unwrap();
    assert_eq!((ids.len(), open_ids(ledger).await.len()), (1, 0));
}

pub(super) async fn of_those_who_replace_names_at_once_each_has_another(ledger: Arc<dyn Ledger>) {
    let renewed = race(8, |_| {
        let ledger = Arc::clone(&ledger);
        async move { ledger.renew_names(account(1), Renewal::default()).await.unwrap().generation }
    });
    let mut renewed = renewed.await;
    renewed.sort_unstable();
    assert_eq!(renewed, (1..=8).collect::<Vec<_>>());
    // A proof that comes eight times is good once.
    let proved = race(8, |number| {
        let (ledger, rule) = (Arc::clone(&ledger), (number % 2 == 0).then_some(DrawRule::Name));
        async move { ledger.renew_names(account(1), Renewal { rule, proved_at: Some(NOW) }).await }
    });
    let proved = proved.await;
    let refused = proved.iter().filter(|one| matches!(one, Err(LedgerError::Outdated))).count();
    assert_eq!((proved.iter().filter(|one| one.is_ok()).count(), refused), (1, 7), "{proved:?}");
    let names = ledger.credit_names(account(1)).await.unwrap();
    assert_eq!((names.generation, names.proved_at), (9, NOW));
}

/// Numbers that look random (xorshift), the same in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Of few bits or of many, so that every carry comes up.
    fn amount(&mut self) -> u128 {
        let wide = (u128::from(self.below(u64::MAX)) << 56) | u128::from(self.below(u64::MAX));
        wide >> self.below(120)
    }
}

/// What balances and draws are, said as plainly as it can be.
#[derive(Default)]
struct Model {
    balances: BTreeMap<CreditAccount, u128>,
    /// What is held, or `None` where the work is done.
    draws: BTreeMap<DrawId, (CreditAccount, Option<u128>)>,
}

impl Model {
    fn balance(&mut self, account: CreditAccount) -> &mut u128 {
        self.balances.entry(account).or_default()
    }

    fn draw(&mut self, draw: &Draw, amount: u128) -> &'static str {
        if self.draws.contains_key(&draw.id) {
            return "known";
        }
        let Some(rest) = self.balance(draw.account).checked_sub(amount) else { return "short" };
        *self.balance(draw.account) = rest;
        self.draws.insert(draw.id, (draw.account, Some(amount)));
        "new"
    }

    /// `None` gives everything back.
    fn conclude(&mut self, id: DrawId, used: Option<u128>) -> &'static str {
        let Some((account, held)) = self.draws.get(&id).copied() else { return "missing" };
        let Some(held) = held else { return "concluded" };
        let Some(rest) = held.checked_sub(used.unwrap_or_default()) else { return "amount" };
        *self.balance(account) += rest;
        match used {
            Some(_) => self.draws.insert(id, (account, None)),
            None => self.draws.remove(&id),
        };
        "ok"
    }
}

pub(super) async fn balances_are_as_a_plain_model_says(ledger: Arc<dyn Ledger>) {
    let (ledger, mut random, mut model) = (&*ledger, Random(0x5eed), Model::default());
    let mut seen = BTreeMap::new();
    for number in 0..400 {
        let (payer, nonce, amount) =
            (random.below(3) as u8, random.below(12) as u8, random.amount());
        let known = draw(payer, nonce, 0).id;
        let (said, expected) = match random.below(4) {
            0 => {
                earn(ledger, payer, number, units(amount)).await;
                *model.balance(account(payer)) += amount;
                ("earned", "earned")
            }
            1 => {
                let draw = draw(payer, nonce, amount);
                let said = match ledger.draw(draw.clone()).await.unwrap() {
                    Drawing::New => "new",
                    Drawing::Known(_) => "known",
                    Drawing::Short(_) => "short",
                    Drawing::Owing(_) => "owing",
                };
                (said, model.draw(&draw, amount))
            }
            way => {
                let cost = (way == 2).then_some(amount >> 20);
                let conclusion = cost.map_or(Conclusion::Returned, used);
                let said = match ledger.conclude(known, conclusion).await {
                    Ok(()) => "ok",
                    Err(LedgerError::Missing) => "missing",
                    Err(LedgerError::Concluded) => "concluded",
                    Err(LedgerError::Amount) => "amount",
                    Err(error) => panic!("{error}"),
                };
                (said, model.conclude(known, cost))
            }
        };
        assert_eq!(said, expected, "{number}");
        *seen.entry(said).or_insert(0) += 1;
        assert_eq!(balance(ledger, payer).await, units(*model.balance(account(payer))), "{number}");
    }
    let all: Vec<_> = model.balances.iter().filter(|row| *row.1 != 0).collect();
    let all: Vec<_> = all.into_iter().map(|row| (*row.0, units(*row.1))).collect();
    assert_eq!(ledger.balances().await.unwrap(), all);
    let held = ledger.held_draws().await.unwrap().into_iter().map(|draw| draw.id);
    let expected = model.draws.iter().filter(|row| row.1.1.is_some()).map(|row| *row.0);
    assert_eq!(held.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    // Each thing that can happen has happened.
    assert_eq!(seen.len(), 8, "{seen:?}");
}
