/*!
Entries, format 7, and draws, format 1, as bytes. Numbers are big-endian; a length counts the bytes
that follow it.

```text
entry:
format (1) || state (1) || payment (Claimed::LEN) || length (8) || wallet signature
  || 0 | 1 || identifier (32)
  || request (32) || claimed at (8) || when to settle (1: 0 first, 1 after, 2 later)
  || 0 | 1 || hash (32) || length (8) || raw transaction
  || count (8) || { hash (32) of an earlier transaction }
  || 0 | 1 || hash (32) of the settling transaction
       || 0 | 1 || block number (8) || block hash (32) || position of the log that paid (4)
  || reversed (1: 0 | 1)
  || 0 | 1 || answer
  || credit (32)
  || count of members (1) || { tag (1) || length (8) || value }

draw:
format (1) || account (CreditAccount::LEN) || id (32) || request (32) || amount (32) || drawn at (8)
  || 0 | 1 || used (32) || answer

answer:
status (2) || hash of the request's body (32)
  || count of headers (8) || { length (8) || name || length (8) || value }
  || 0 | 1 || length (8) || body
```

The members are what later versions add to an entry without another format: the tags ascend, and one that
is not known makes the entry unreadable. There is 1, the hash of the secret that the payer sent with the
payment (32); 7, how it was given back: 0, as credit; 1, a refund was begun; 2 || the hash (32) of the
transaction that gave it back; and 8, what of it was set off against credit (32). Meant are 2, what the entry
was admitted for (time, fields, price); 3, whose lease a hold ends with; 4, the route; 5, the time of
settlement; 6, the gas that it cost.

The states are 0 claimed, 1 broadcast, 2 pending, 3 settled, 4 served, 5 failed, 6 worked, 7 returned. Databases
look at that byte, so that they forget nothing that is settled and not served.

Format 6 is read, too: it has neither a log, nor "reversed", nor members.

Nothing follows. A byte that is none of the above makes the whole entry or draw unreadable: it is
never guessed at.
*/

use x402_core::state::State;
use x402_core::{Amount, Claimed};

use crate::chain::{Block, PaidLog, Settlement, Transaction, TxHash};
use crate::ledger::{Answer, CreditAccount, Draw, DrawId, DrawState, Entry, Identifier};
use crate::ledger::{LedgerError, RequestId, Returned, SecretHash, Settle};

const FORMAT: u8 = 7;
/// The format before, which did not know of logs.
const WITHOUT_LOGS: u8 = 6;
const DRAW_FORMAT: u8 = 1;
/// The tags of an entry's members.
const SECRET: u8 = 1;
const RETURNED: u8 = 7;
const SET_OFF: u8 = 8;

pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(512));
    out.bytes(&[FORMAT, encode_state(entry.state)]);
    out.bytes(&entry.payment.to_bytes());
    out.sized(&entry.wallet_signature);
    out.option(entry.identifier.as_ref(), |out, identifier| out.bytes(&identifier.0));
    out.bytes(&entry.request.0);
    out.bytes(&entry.claimed_at.to_be_bytes());
    out.bytes(&[encode_settle(entry.settle)]);
    out.option(entry.transaction.as_ref(), |out, transaction| {
        out.bytes(&transaction.hash.0);
        out.sized(&transaction.raw);
    });
    out.length(entry.replaced.len());
    entry.replaced.iter().for_each(|hash| out.bytes(&hash.0));
    out.option(entry.settlement.as_ref(), |out, settlement| {
        out.bytes(&settlement.transaction.0);
        out.option(settlement.log.as_ref(), |out, log| {
            out.bytes(&log.block.number.to_be_bytes());
            out.bytes(&log.block.hash);
            out.bytes(&log.position.to_be_bytes());
        });
    });
    out.bytes(&[u8::from(entry.is_reversed)]);
    out.option(entry.answer.as_ref(), Writer::answer);
    out.bytes(&entry.credit.to_be_bytes());
    let is_set_off = entry.set_off != Amount::ZERO;
    let members = [entry.secret.is_some(), entry.returned.is_some(), is_set_off];
    out.bytes(&[members.map(u8::from).iter().sum()]);
    if let Some(SecretHash(secret)) = &entry.secret {
        out.bytes(&[SECRET]);
        out.sized(secret);
    }
    if let Some(returned) = entry.returned {
        out.bytes(&[RETURNED]);
        out.sized(&encode_returned(returned));
    }
    if is_set_off {
        out.bytes(&[SET_OFF]);
        out.sized(&entry.set_off.to_be_bytes());
    }
    out.0
}

pub(super) fn decode(bytes: &[u8]) -> Result<Entry, LedgerError> {
    read_entry(&mut Reader(bytes)).ok_or(LedgerError::Corrupt)
}

pub(super) fn encode_draw(draw: &Draw) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(256));
    out.bytes(&[DRAW_FORMAT]);
    out.bytes(&draw.account.to_bytes());
    out.bytes(&draw.id.0);
    out.bytes(&draw.request.0);
    out.bytes(&draw.amount.to_be_bytes());
    out.bytes(&draw.drawn_at.to_be_bytes());
    let done = match &draw.state {
        DrawState::Held => None,
        DrawState::Done { used, answer } => Some((used, answer)),
    };
    out.option(done.as_ref(), |out, (used, answer)| {
        out.bytes(&used.to_be_bytes());
        out.answer(answer);
    });
    out.0
}

pub(super) fn decode_draw(bytes: &[u8]) -> Result<Draw, LedgerError> {
    read_draw(&mut Reader(bytes)).ok_or(LedgerError::Corrupt)
}

const fn encode_state(state: State) -> u8 {
    match state {
        State::Claimed => 0,
        State::Broadcast => 1,
        State::Pending => 2,
        State::Settled => 3,
        State::Served => 4,
        State::Failed => 5,
        State::Worked => 6,
        State::Returned => 7,
    }
}

const fn decode_state(byte: u8) -> Option<State> {
    Some(match byte {
        0 => State::Claimed,
        1 => State::Broadcast,
        2 => State::Pending,
        3 => State::Settled,
        4 => State::Served,
        5 => State::Failed,
        6 => State::Worked,
        7 => State::Returned,
        _ => return None,
    })
}

fn encode_returned(returned: Returned) -> Vec<u8> {
    match returned {
        Returned::Credited => vec![0],
        Returned::Refunding => vec![1],
        Returned::Refunded(TxHash(hash)) => [&[2], &hash[..]].concat(),
    }
}

fn decode_returned(bytes: &[u8]) -> Option<Returned> {
    Some(match bytes {
        [0] => Returned::Credited,
        [1] => Returned::Refunding,
        [2, hash @ ..] => Returned::Refunded(TxHash(hash.try_into().ok()?)),
        _ => return None,
    })
}

const fn encode_settle(settle: Settle) -> u8 {
    match settle {
        Settle::First => 0,
        Settle::After => 1,
        Settle::Later => 2,
    }
}

const fn decode_settle(byte: u8) -> Option<Settle> {
    Some(match byte {
        0 => Settle::First,
        1 => Settle::After,
        2 => Settle::Later,
        _ => return None,
    })
}

struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn length(&mut self, length: usize) {
        self.bytes(&(length as u64).to_be_bytes());
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.bytes(bytes);
    }

    fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.bytes(&[u8::from(value.is_some())]);
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn answer(&mut self, answer: &Answer) {
        self.bytes(&answer.status.to_be_bytes());
        self.bytes(&answer.request_body);
        self.length(answer.headers.len());
        for (name, value) in &answer.headers {
            self.sized(name.as_bytes());
            self.sized(value);
        }
        self.option(answer.body.as_ref(), |out, body| out.sized(body));
    }
}

fn read_entry(input: &mut Reader<'_>) -> Option<Entry> {
    let [format, state] = input.array()?;
    let has_logs = match format {
        FORMAT => true,
        WITHOUT_LOGS => false,
        _ => return None,
    };
    let mut entry = Entry {
        state: decode_state(state)?,
        payment: Claimed::from_bytes(&input.array()?).ok()?,
        wallet_signature: input.sized()?.to_vec(),
        identifier: input.option(|input| input.array().map(Identifier))?,
        secret: None,
        request: RequestId(input.array()?),
        claimed_at: u64::from_be_bytes(input.array()?),
        settle: input.array().and_then(|[byte]| decode_settle(byte))?,
        transaction: input.option(|input| {
            Some(Transaction { hash: TxHash(input.array()?), raw: input.sized()?.to_vec() })
        })?,
        replaced: input.hashes()?,
        settlement: input.option(|input| input.settlement(has_logs))?,
        is_reversed: has_logs && input.flag()?,
        answer: input.option(Reader::answer)?,
        credit: input.amount()?,
        set_off: Amount::ZERO,
        returned: None,
    };
    if has_logs {
        input.members(&mut entry)?;
    }
    input.0.is_empty().then_some(entry)
}

fn read_draw(input: &mut Reader<'_>) -> Option<Draw> {
    if input.array()? != [DRAW_FORMAT] {
        return None;
    }
    let account = CreditAccount::from_bytes(&input.array()?);
    let id = DrawId(input.array()?);
    let request = RequestId(input.array()?);
    let amount = input.amount()?;
    let drawn_at = u64::from_be_bytes(input.array()?);
    let done = input.option(|input| Some((input.amount()?, input.answer()?)))?;
    let state = done.map_or(DrawState::Held, |(used, answer)| DrawState::Done { used, answer });
    let draw = Draw { id, account, request, amount, drawn_at, state };
    input.0.is_empty().then_some(draw)
}

/// Takes fields off the front; `None` where the bytes are not what was written.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn amount(&mut self) -> Option<Amount> {
        self.array().map(Amount::from_be_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u64::from_be_bytes(self.array()?)).ok()
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    /// The outer `None` is a failure, the inner one an absent value.
    #[allow(clippy::option_option, reason = "told apart on the line that calls it")]
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.array()? {
            [0] => Some(None),
            [1] => read(self).map(Some),
            _ => None,
        }
    }

    fn flag(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn settlement(&mut self, has_log: bool) -> Option<Settlement> {
        let transaction = TxHash(self.array()?);
        let log = if has_log { self.option(Self::log)? } else { None };
        Some(Settlement { transaction, log })
    }

    fn log(&mut self) -> Option<PaidLog> {
        let number = u64::from_be_bytes(self.array()?);
        let block = Block { number, hash: self.array()? };
        Some(PaidLog { block, position: u32::from_be_bytes(self.array()?) })
    }

    fn members(&mut self, entry: &mut Entry) -> Option<()> {
        let [count] = self.array()?;
        let mut last = 0;
        for _ in 0..count {
            let [tag] = self.array()?;
            let value = self.sized()?;
            match tag {
                SECRET if last < tag => entry.secret = Some(SecretHash(value.try_into().ok()?)),
                RETURNED if last < tag => entry.returned = Some(decode_returned(value)?),
                SET_OFF if last < tag => {
                    entry.set_off = Amount::from_be_bytes(value.try_into().ok()?);
                }
                _ => return None,
            }
            last = tag;
        }
        Some(())
    }

    fn hashes(&mut self) -> Option<Vec<TxHash>> {
        // A count that lies ends the loop and reserves nothing.
        let count = self.length()?;
        let mut hashes = Vec::new();
        for _ in 0..count {
            hashes.push(TxHash(self.array()?));
        }
        Some(hashes)
    }

    fn answer(&mut self) -> Option<Answer> {
        let status = u16::from_be_bytes(self.array()?);
        let request_body = self.array()?;
        // Each header takes bytes, so a count that lies ends the loop and reserves nothing.
        let count = self.length()?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let name = core::str::from_utf8(self.sized()?).ok()?;
            headers.push((name.to_owned(), self.sized()?.to_vec()));
        }
        let body = self.option(|input| input.sized().map(<[u8]>::to_vec))?;
        Some(Answer { status, headers, body, request_body })
    }
}

#[cfg(test)]
mod tests {
    use x402_core::{Address, ChainId};

    use super::*;
    use crate::ledger::tests::{REQUEST, answer, payment, transaction};

    fn entries() -> Vec<Entry> {
        let claimed = Entry::new(&payment(1), REQUEST, 1_700_000_000).unwrap();
        let mut broadcast = claimed.clone();
        broadcast.state = State::Broadcast;
        broadcast.transaction = Some(transaction(7));
        broadcast.replaced = vec![TxHash([8; 32]), TxHash([5; 32])];
        let mut served = broadcast.clone();
        served.state = State::Served;
        let block = Block { number: 7, hash: [3; 32] };
        let log = Some(PaidLog { block, position: 5 });
        served.settlement = Some(Settlement { transaction: TxHash([9; 32]), log });
        served.is_reversed = true;
        served.answer = Some(answer());
        let mut wallet = claimed.clone();
        wallet.wallet_signature = vec![3; 200];
        let mut named = claimed.clone();
        named.identifier = Some(Identifier([6; 32]));
        let mut secret = served.clone();
        secret.secret = Some(SecretHash([4; 32]));
        let mut bodiless = served.clone();
        bodiless.answer = Some(Answer { body: None, headers: Vec::new(), ..answer() });
        let mut owed = claimed.clone();
        (owed.state, owed.settle, owed.answer) = (State::Worked, Settle::Later, Some(answer()));
        owed.credit = Amount::from_units(1 << 100);
        let returned = |kind| Entry {
            state: State::Returned,
            returned: Some(kind),
            answer: None,
            ..secret.clone()
        };
        let credited = Entry { secret: None, ..returned(Returned::Credited) };
        let refunded = returned(Returned::Refunded(TxHash([2; 32])));
        let refunding = returned(Returned::Refunding);
        let set_off = Entry { set_off: Amount::from_units(7), ..refunded.clone() };
        let all = [claimed, broadcast, served, wallet, named, secret, bodiless, owed];
        all.into_iter().chain([credited, refunding, refunded, set_off]).collect()
    }

    fn draws() -> [Draw; 2] {
        let [payer, asset, seller] = [7, 8, 9].map(|byte| Address::new([byte; 20]));
        let account = CreditAccount { payer, chain_id: ChainId::new(8453), asset, seller };
        let amount = Amount::from_units(10_000);
        let held = Draw::new(account, [4; 32], REQUEST, amount, 1_700_000_000);
        let state = DrawState::Done { used: Amount::from_units(7_000), answer: answer() };
        [held.clone(), Draw { state, ..held }]
    }

    #[test]
    fn every_entry_and_every_draw_reads_back() {
        for entry in entries() {
            let back = decode(&encode(&entry)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{entry:?}"));
            assert_eq!(back.payment, entry.payment);
            assert_eq!((back.answer, back.credit), (entry.answer, entry.credit));
        }
        for draw in draws() {
            assert_eq!(decode_draw(&encode_draw(&draw)).unwrap(), draw);
        }
    }

    #[test]
    fn every_state_reads_back() {
        use State::{Broadcast, Claimed, Failed, Pending, Returned, Served, Settled, Worked};
        for state in [Claimed, Broadcast, Pending, Settled, Served, Failed, Worked, Returned] {
            assert_eq!(decode_state(encode_state(state)), Some(state));
        }
        assert_eq!(decode_state(8), None);
        // As the scripts of the databases have it.
        assert_eq!(encode_state(Settled), 3);
        for settle in [Settle::First, Settle::After, Settle::Later] {
            assert_eq!(decode_settle(encode_settle(settle)), Some(settle));
        }
        assert_eq!(decode_settle(3), None);
    }

    #[test]
    fn the_layout_is_as_documented() {
        let bytes = encode(&entries()[0]);
        assert_eq!(bytes.len(), 2 + Claimed::LEN + 8 + 1 + 32 + 8 + 1 + 1 + 8 + 3 + 32 + 1);
        assert_eq!(bytes[..2], [7, 0]);
        assert_eq!(bytes[2..][..Claimed::LEN], payment(1).to_bytes());
        assert_eq!(bytes[2 + Claimed::LEN + 9..][..32], REQUEST.0);
        assert_eq!(bytes[bytes.len() - 46..], [0; 46]);
        let [held, done] = draws().map(|draw| encode_draw(&draw));
        assert_eq!(held.len(), 1 + CreditAccount::LEN + 3 * 32 + 8 + 1);
        assert_eq!((held[0], &held[1..21]), (1, &[7; 20][..]));
        assert_eq!((held[held.len() - 1], done[done.len() - 1]), (0, 255));
    }

    #[test]
    fn what_is_cut_or_continued_is_refused() {
        for entry in entries() {
            let mut bytes = encode(&entry);
            for end in 0..bytes.len() {
                assert!(matches!(decode(&bytes[..end]), Err(LedgerError::Corrupt)), "{end}");
            }
            bytes.push(0);
            assert!(matches!(decode(&bytes), Err(LedgerError::Corrupt)));
        }
        for draw in draws() {
            let mut bytes = encode_draw(&draw);
            for end in 0..bytes.len() {
                let cut = decode_draw(&bytes[..end]);
                assert!(matches!(cut, Err(LedgerError::Corrupt)), "{end}");
            }
            bytes.push(0);
            assert!(matches!(decode_draw(&bytes), Err(LedgerError::Corrupt)));
        }
    }

    #[test]
    fn no_byte_makes_it_panic() {
        let entries = entries().into_iter().map(|entry| encode(&entry));
        for bytes in entries.chain(draws().iter().map(encode_draw)) {
            for at in 0..bytes.len() {
                for byte in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[at] = byte;
                    let _ = decode(&bytes);
                    let _ = decode_draw(&bytes);
                }
            }
        }
    }

    #[test]
    fn a_member_that_is_not_known_is_refused() {
        let bytes = encode(&entries()[0]);
        let (count, rest) = bytes.split_last().unwrap();
        assert_eq!(*count, 0);
        let secret = [&32_u64.to_be_bytes()[..], &[9; 32]].concat();
        assert!(decode(&[rest, &[1, SECRET], &secret].concat()).is_ok());
        assert!(matches!(
            decode(&[rest, &[2, SECRET], &secret].concat()),
            Err(LedgerError::Corrupt)
        ));
        for tag in [0, 1, 2, 6, 7, 255] {
            let member = [&[1, tag][..], &1_u64.to_be_bytes(), &[9]].concat();
            assert!(
                matches!(decode(&[rest, &member].concat()), Err(LedgerError::Corrupt)),
                "{tag}"
            );
        }
    }

    /// Of an entry without a log, the format before is the same but for three bytes.
    #[test]
    fn the_format_before_is_read() {
        for mut entry in entries() {
            entry.is_reversed = false;
            (entry.secret, entry.returned, entry.set_off) = (None, None, Amount::ZERO);
            let log = entry.settlement.as_mut().and_then(|settlement| settlement.log.take());
            let credit_and_members = 32 + 1;
            entry.answer = None;
            let bytes = encode(&entry);
            let mut old = bytes.clone();
            old.pop();
            // The answer is not there, so "reversed" is a byte before its flag, and "log" one before that.
            let reversed = bytes.len() - credit_and_members - 2;
            old.remove(reversed);
            if log.is_some() {
                old.remove(reversed - 1);
            }
            old[0] = WITHOUT_LOGS;
            let back = decode(&old).unwrap();
            assert_eq!(format!("{back:?}"), format!("{entry:?}"));
            old.push(0);
            assert!(matches!(decode(&old), Err(LedgerError::Corrupt)));
        }
    }

    #[test]
    fn another_format_is_refused() {
        for format in [0, 5, 8, 255] {
            let mut bytes = encode(&entries()[0]);
            bytes[0] = format;
            assert!(matches!(decode(&bytes), Err(LedgerError::Corrupt)), "{format}");
        }
        let mut bytes = encode_draw(&draws()[0]);
        bytes[0] = 2;
        assert!(matches!(decode_draw(&bytes), Err(LedgerError::Corrupt)));
    }
}
