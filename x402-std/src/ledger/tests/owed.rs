use std::collections::{BTreeMap, BTreeSet};

use x402_core::{Address, Claimed};

use super::credit::{Random, paid, race, units};
use super::*;
use crate::ledger::{Owed, OwedAccount, Settle};

async fn claim_later(ledger: &dyn Ledger, payment: &Checked) {
    let entry = Entry::new(payment, REQUEST, NOW).unwrap();
    claim(ledger, Entry { settle: Settle::Later, ..entry }).await;
}

pub(super) async fn claim(ledger: &dyn Ledger, entry: Entry) {
    let claiming = ledger.claim(entry).await.unwrap();
    assert!(matches!(claiming, Claiming::New(_)), "{claiming:?}");
}

/// A payment of a payer's in some asset, to be settled later.
pub(super) fn later(payer: u8, asset: u8, number: u64, amount: Amount, is_upto: bool) -> Entry {
    let entry = paid(payer, number, amount, is_upto);
    let mut bytes = entry.payment.to_bytes();
    bytes[8..28].fill(asset);
    let payment = Claimed::from_bytes(&bytes).unwrap();
    assert_eq!(payment.asset(), Address::new([asset; 20]));
    Entry { payment, settle: Settle::Later, ..entry }
}

pub(super) fn account(payer: u8, asset: u8) -> OwedAccount {
    OwedAccount::of(&later(payer, asset, 0, units(0), false).payment)
}

pub(super) async fn sum(ledger: &dyn Ledger, account: OwedAccount) -> Amount {
    ledger.owes(account).await.unwrap().sum
}

/// What the payer of all payments owes, each of 10,000 units: how many, and which are debts.
async fn owed(ledger: &dyn Ledger) -> (u128, Vec<PaymentId>) {
    let entry = Entry::new(&payment(1), REQUEST, NOW).unwrap();
    let owed = ledger.owes(OwedAccount::of(&entry.payment)).await.unwrap();
    let count = (0..100).find(|count| owed.sum == units(count * 10_000));
    (count.unwrap_or_else(|| panic!("{owed:?}")), owed.debts)
}

fn worked() -> Step {
    Step::Worked(answer(), units(10_000))
}

pub(super) async fn what_a_payer_owes_is_told(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let [first, second, paid] = [payment(1), payment(2), payment(3)];
    claim_new(ledger, &paid).await;
    assert_eq!(owed(ledger).await, (0, vec![]));
    claim_later(ledger, &first).await;
    claim_later(ledger, &second).await;
    assert_eq!(owed(ledger).await, (2, vec![]), "what is being served is owed");
    ledger.apply(first.id(), worked()).await.unwrap();
    for step in [Step::Journalled(transaction(1)), Step::TimedOut] {
        ledger.apply(first.id(), step).await.unwrap();
        assert_eq!(owed(ledger).await, (2, vec![]));
    }
    ledger.apply(second.id(), Step::Refused).await.unwrap();
    assert_eq!(owed(ledger).await, (1, vec![]));
    assert_eq!(ledger.owes(account(9, 9)).await.unwrap(), Owed::default());
    ledger.apply(first.id(), Step::Confirmed(settlement(1))).await.unwrap();
    assert_eq!(owed(ledger).await, (0, vec![]));
    assert_eq!(state(ledger, first.id()).await, State::Served, "its answer was given before");
    assert_eq!(entry(ledger, first.id()).await.answer, Some(answer()));
}

pub(super) async fn what_was_served_and_not_paid_is_not_forgotten(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    let [debt, failed] = [payment(1), payment(2)];
    claim_later(ledger, &debt).await;
    ledger.apply(debt.id(), worked()).await.unwrap();
    ledger.apply(debt.id(), Step::Refused).await.unwrap();
    claim_later(ledger, &failed).await;
    ledger.apply(failed.id(), Step::Journalled(transaction(1))).await.unwrap();
    ledger.apply(failed.id(), Step::Reverted).await.unwrap();
    assert_eq!(state(ledger, debt.id()).await, State::Failed);
    assert_eq!(owed(ledger).await, (1, vec![debt.id()]), "what was not served is no debt");
    for days in 2..5 {
        let at = NOW + days * DAY;
        let entry = Entry::new(&payment(10 + u128::from(days)), REQUEST, at).unwrap();
        drop(ledger.claim(entry).await.unwrap());
    }
    assert!(ledger.find(failed.id()).await.unwrap().is_none());
    assert_eq!(owed(ledger).await, (1, vec![debt.id()]));
    // A debt is one whatever is bought next.
    let elsewhere = OwedAccount { asset: Address::new([9; 20]), ..usdc_account() };
    let owed_elsewhere = Owed { sum: units(0), debts: vec![debt.id()] };
    assert_eq!(ledger.owes(elsewhere).await.unwrap(), owed_elsewhere);
    // What is forgiven is owed no more.
    let forgiven = payment(3);
    claim_later(ledger, &forgiven).await;
    ledger.apply(forgiven.id(), worked()).await.unwrap();
    assert!(ledger.apply(forgiven.id(), Step::Forgiven).await.is_err(), "it may be paid yet");
    ledger.apply(forgiven.id(), Step::Refused).await.unwrap();
    let mut both = vec![debt.id(), forgiven.id()];
    both.sort();
    assert_eq!(owed(ledger).await, (2, both));
    ledger.apply(forgiven.id(), Step::Forgiven).await.unwrap();
    assert_eq!(owed(ledger).await, (1, vec![debt.id()]));
    // Paid in the end, its time comes too.
    ledger.apply(debt.id(), Step::Journalled(transaction(2))).await.unwrap();
    assert_eq!(owed(ledger).await, (1, vec![]), "it may be under way to us");
    ledger.apply(debt.id(), Step::Confirmed(settlement(2))).await.unwrap();
    assert_eq!(owed(ledger).await, (0, vec![]));
    for hours in [1, 3] {
        let at = NOW + 6 * DAY + hours * 3600;
        let entry = Entry::new(&payment(100 + u128::from(hours)), REQUEST, at).unwrap();
        drop(ledger.claim(entry).await.unwrap());
    }
    assert!(ledger.find(debt.id()).await.unwrap().is_none());
}

fn usdc_account() -> OwedAccount {
    OwedAccount::of(&Entry::new(&payment(1), REQUEST, NOW).unwrap().payment)
}

pub(super) async fn what_is_owed_that_cannot_be_counted_is_an_error(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    // Failed, and not owed; journalled anew, it would be again.
    let failed = later(1, 1, 1, units(1), false);
    claim(ledger, failed.clone()).await;
    ledger.apply(failed.id(), Step::Journalled(transaction(1))).await.unwrap();
    ledger.apply(failed.id(), Step::Reverted).await.unwrap();
    let all = later(1, 1, 2, Amount::MAX, false);
    claim(ledger, all.clone()).await;
    assert_eq!(sum(ledger, account(1, 1)).await, Amount::MAX);
    let more = later(1, 1, 3, units(1), false);
    let overflow = ledger.claim(more.clone()).await;
    assert!(matches!(overflow, Err(LedgerError::Overflow)), "{overflow:?}");
    assert!(ledger.find(more.id()).await.unwrap().is_none(), "nothing has changed");
    let overflow = ledger.apply(failed.id(), Step::Journalled(transaction(2))).await;
    assert!(matches!(overflow, Err(LedgerError::Overflow)), "{overflow:?}");
    assert_eq!(state(ledger, failed.id()).await, State::Failed);
    // Another asset, another payer, and what is paid first are counted by themselves.
    claim(ledger, later(1, 2, 4, Amount::MAX, false)).await;
    claim(ledger, later(2, 1, 5, Amount::MAX, false)).await;
    claim(ledger, Entry { settle: Settle::First, ..later(1, 1, 6, Amount::MAX, false) }).await;
    assert_eq!(sum(ledger, account(1, 1)).await, Amount::MAX);
    // All bits of it come and go.
    ledger.apply(all.id(), Step::Refused).await.unwrap();
    claim(ledger, more).await;
    ledger.apply(failed.id(), Step::Journalled(transaction(2))).await.unwrap();
    assert_eq!(sum(ledger, account(1, 1)).await, units(2));
}

/// What was owed for a payment is in no sum any more, as if it had been lost.
#[cfg(all(feature = "test-servers", any(feature = "postgres", feature = "redis")))]
pub(super) async fn a_sum_that_lacks_a_payment_is_an_error(
    ledger: &dyn Ledger,
    lose: impl AsyncFnOnce(),
) {
    let entry = later(1, 1, 1, units(100), false);
    claim(ledger, entry.clone()).await;
    lose().await;
    for step in [Step::Refused, Step::Journalled(transaction(1)), Step::Confirmed(settlement(1))] {
        let is_journalled = matches!(step, Step::Journalled(_));
        match ledger.apply(entry.id(), step).await {
            // It is owed as before.
            Ok(()) => assert!(is_journalled),
            Err(error) => assert!(matches!(error, LedgerError::Corrupt), "{error:?}"),
        }
    }
    assert_eq!(state(ledger, entry.id()).await, State::Broadcast);
    assert_eq!(sum(ledger, account(1, 1)).await, units(0));
}

/// As a seller does: claimed first, and summed then.
pub(super) async fn of_payments_that_race_no_more_are_trusted_than_may_be_owed(
    ledger: Arc<dyn Ledger>,
) {
    let sums = race(50, |number| {
        let ledger = Arc::clone(&ledger);
        async move {
            claim(&*ledger, later(1, 1, number.into(), units(100), false)).await;
            sum(&*ledger, account(1, 1)).await
        }
    })
    .await;
    assert!(sums.iter().filter(|sum| **sum <= units(20 * 100)).count() <= 20, "{sums:?}");
    assert!(sums.contains(&units(50 * 100)), "the last of them sees all");
    // What comes and goes at the same time adds up.
    race(100, |number| {
        let ledger = Arc::clone(&ledger);
        async move {
            let id = |number| later(1, 1, number, units(100), false).id();
            match u64::from(number) {
                number @ 0..25 => ledger.apply(id(number), Step::Refused).await.unwrap(),
                number @ 25..50 => {
                    ledger.apply(id(number), Step::Worked(answer(), units(100))).await.unwrap();
                    ledger.apply(id(number), Step::Refused).await.unwrap();
                }
                number => claim(&*ledger, later(1, 1, number, units(1), false)).await,
            }
        }
    })
    .await;
    let owed = ledger.owes(account(1, 1)).await.unwrap();
    assert_eq!((owed.sum, owed.debts.len()), (units(25 * 100 + 50), 25));
}

/// What is owed, said as plainly as it can be: every entry is looked at.
#[derive(Default)]
struct Model(BTreeMap<PaymentId, Entry>);

impl Model {
    async fn of(ledger: &dyn Ledger) -> Self {
        let mut model = Self::default();
        for id in ledger.ids().await.unwrap() {
            model.0.insert(id, entry(ledger, id).await);
        }
        model
    }

    /// `None` where it cannot be counted.
    fn owes(&self, account: OwedAccount) -> Option<Owed> {
        let of_payer = self.0.values().filter(|entry| entry.payment.payer() == account.payer);
        let debts = of_payer.clone().filter(|entry| entry.is_debt()).map(Entry::id).collect();
        let owed = of_payer.filter(|entry| OwedAccount::of(&entry.payment) == account);
        let sum = owed.map(Entry::owed).try_fold(Amount::ZERO, Amount::checked_add)?;
        Some(Owed { sum, debts })
    }

    /// Puts an entry, or none, in the place of another, unless it could not be counted then.
    fn put(&mut self, id: PaymentId, account: OwedAccount, entry: Option<Entry>) -> bool {
        let before = self.0.remove(&id);
        self.0.extend(entry.map(|entry| (id, entry)));
        if self.owes(account).is_some() {
            return true;
        }
        self.0.remove(&id);
        self.0.extend(before.map(|entry| (id, entry)));
        false
    }

    fn claim(&mut self, entry: Entry) -> &'static str {
        if self.0.contains_key(&entry.id()) {
            return "known";
        }
        let account = OwedAccount::of(&entry.payment);
        if self.put(entry.id(), account, Some(entry)) { "new" } else { "overflow" }
    }

    /// One that can be taken, more often than not.
    fn step_of(&self, random: &mut Random, entry: &Entry) -> Step {
        let can = |step: &Step| {
            let entry = self.0.get(&entry.id()).cloned();
            entry.is_some_and(|entry| entry.after(step.clone()).is_ok())
        };
        let tries = random.below(2) * 5;
        let mut steps = (0..tries).map(|_| random.step(entry));
        steps.find(can).unwrap_or_else(|| random.step(entry))
    }

    fn step(&mut self, entry: &Entry, step: Step) -> &'static str {
        let account = OwedAccount::of(&entry.payment);
        let Some(before) = self.0.get(&entry.id()) else { return "missing" };
        match before.clone().after(step) {
            Ok(after) => {
                let name = if after.is_some() { "ok" } else { "released" };
                if self.put(entry.id(), account, after) { name } else { "overflow" }
            }
            Err(error) => name(&error),
        }
    }
}

fn name(error: &LedgerError) -> &'static str {
    match error {
        LedgerError::Amount => "amount",
        LedgerError::Illegal(_) => "illegal",
        LedgerError::Missing => "missing",
        LedgerError::Overflow => "overflow",
        error => panic!("{error}"),
    }
}

impl Random {
    /// Of few bits or of all, so that every carry comes up.
    fn wide(&mut self) -> Amount {
        let mut bytes = [0; 32];
        let zeros = if self.below(3) == 0 { 0 } else { 8 + self.below(24) as usize };
        bytes[zeros..].fill_with(|| self.below(256) as u8);
        Amount::from_be_bytes(bytes)
    }

    fn later(&mut self, number: u64) -> Entry {
        let (payer, asset) = (self.below(2) as u8, self.below(2) as u8);
        let entry = later(payer, asset, number, self.wide(), self.below(2) == 0);
        let settle = if self.below(4) == 0 { Settle::First } else { Settle::Later };
        Entry { settle, ..entry }
    }

    /// Any step, most of them those that move on.
    fn step(&mut self, entry: &Entry) -> Step {
        let amount = entry.payment.amount();
        let is_huge = amount.to_be_bytes()[..8] != [0; 8];
        let used = match self.below(8) {
            0..2 => amount.checked_add(units(1)).unwrap_or(amount),
            // Nobody's credit is to overflow here.
            2..5 if !is_huge => units(self.below(1 << 20).into()).min(amount),
            _ => amount,
        };
        match self.below(18) {
            16.. => Step::Reversed,
            0..5 => Step::Worked(answer(), used),
            5..7 => Step::Journalled(transaction(self.below(9) as u8)),
            7 => Step::Entrusted,
            8 => Step::TimedOut,
            9 => Step::Confirmed(settlement(1)),
            10..12 => Step::Reverted,
            12..14 => Step::Refused,
            14 => Step::Answered(answer(), used),
            _ => Step::Forgiven,
        }
    }
}

pub(super) async fn what_is_owed_is_as_a_plain_model_says(ledger: Arc<dyn Ledger>) {
    let (ledger, mut random, mut model) = (&*ledger, Random(0x0ed), Model::default());
    let mut entries: Vec<Entry> = Vec::new();
    let (mut seen, mut debts) = (BTreeMap::new(), 0);
    for number in 0..600 {
        let recent = entries.len().saturating_sub(10);
        let old = entries.get(recent + random.below(10) as usize).cloned();
        let (entry, said, expected) = match (random.below(5), old) {
            (1.., Some(entry)) => {
                let step = model.step_of(&mut random, &entry);
                let said = match ledger.apply(entry.id(), step.clone()).await {
                    Ok(()) if ledger.find(entry.id()).await.unwrap().is_none() => "released",
                    Ok(()) => "ok",
                    Err(error) => name(&error),
                };
                let expected = model.step(&entry, step);
                (entry, said, expected)
            }
            (_, old) => {
                let again = old.filter(|_| random.below(4) == 0);
                let entry = again.unwrap_or_else(|| random.later(number));
                let said = match ledger.claim(entry.clone()).await {
                    Ok(Claiming::New(_)) => "new",
                    Ok(Claiming::Known(_)) => "known",
                    Ok(Claiming::Taken) => "taken",
                    Err(error) => name(&error),
                };
                let expected = model.claim(entry.clone());
                entries.push(entry.clone());
                (entry, said, expected)
            }
        };
        assert_eq!(said, expected, "{number}");
        *seen.entry(said).or_insert(0) += 1;
        let account = OwedAccount::of(&entry.payment);
        let owed = ledger.owes(account).await.unwrap();
        debts = debts.max(owed.debts.len());
        assert_eq!(Some(owed), model.owes(account), "{number}: {said}");
    }
    // Each thing that can happen has happened.
    assert!(seen.len() == 8 && debts > 2, "{seen:?}, {debts} debts");
    sums_are_those_of_the_entries(ledger).await;
    // To forget what is over changes nothing of it.
    for number in 0..20 {
        let entry = Entry::new(&payment(number), REQUEST, NOW + 2 * DAY).unwrap();
        claim(ledger, entry).await;
    }
    assert!(ledger.ids().await.unwrap().len() < model.0.len() + 20);
    for entry in &entries {
        let account = OwedAccount::of(&entry.payment);
        assert_eq!(Some(ledger.owes(account).await.unwrap()), model.owes(account));
    }
}

/// Whatever account there is an entry of.
pub(super) async fn sums_are_those_of_the_entries(ledger: &dyn Ledger) {
    let model = Model::of(ledger).await;
    let accounts = model.0.values().map(|entry| OwedAccount::of(&entry.payment));
    for account in accounts.collect::<BTreeSet<_>>() {
        assert_eq!(Some(ledger.owes(account).await.unwrap()), model.owes(account));
    }
}
