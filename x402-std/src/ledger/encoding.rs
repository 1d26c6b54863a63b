/*!
An entry as bytes, format 5. Numbers are big-endian; a length counts the bytes that follow it.

```text
format (1) || state (1) || payment (Claimed::LEN) || length (8) || wallet signature
  || 0 | 1 || identifier (32)
  || request (32) || claimed at (8) || when to settle (1: 0 first, 1 after, 2 later)
  || 0 | 1 || hash (32) || length (8) || raw transaction
  || count (8) || { hash (32) of an earlier transaction }
  || 0 | 1 || hash (32) of the settling transaction
  || 0 | 1 || status (2) || hash of the request's body (32)
           || count of headers (8) || { length (8) || name || length (8) || value }
           || 0 | 1 || length (8) || body
```

Nothing follows. A byte that is none of the above makes the whole entry unreadable: it is never
guessed at.
*/

use x402_core::Claimed;
use x402_core::state::State;

use crate::chain::{Transaction, TxHash};
use crate::ledger::{Answer, Entry, Identifier, LedgerError, RequestId, Settle};

const FORMAT: u8 = 5;

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
    out.option(entry.settled_by.as_ref(), |out, hash| out.bytes(&hash.0));
    out.option(entry.answer.as_ref(), Writer::answer);
    out.0
}

pub(super) fn decode(bytes: &[u8]) -> Result<Entry, LedgerError> {
    read_entry(&mut Reader(bytes)).ok_or(LedgerError::Corrupt)
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
    if format != FORMAT {
        return None;
    }
    let entry = Entry {
        state: decode_state(state)?,
        payment: Claimed::from_bytes(&input.array()?).ok()?,
        wallet_signature: input.sized()?.to_vec(),
        identifier: input.option(|input| input.array().map(Identifier))?,
        request: RequestId(input.array()?),
        claimed_at: u64::from_be_bytes(input.array()?),
        settle: input.array().and_then(|[byte]| decode_settle(byte))?,
        transaction: input.option(|input| {
            Some(Transaction { hash: TxHash(input.array()?), raw: input.sized()?.to_vec() })
        })?,
        replaced: input.hashes()?,
        settled_by: input.option(|input| input.array().map(TxHash))?,
        answer: input.option(Reader::answer)?,
    };
    input.0.is_empty().then_some(entry)
}

/// Takes fields off the front; `None` where the bytes are not what was written.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
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
        served.settled_by = Some(TxHash([9; 32]));
        served.answer = Some(answer());
        let mut wallet = claimed.clone();
        wallet.wallet_signature = vec![3; 200];
        let mut named = claimed.clone();
        named.identifier = Some(Identifier([6; 32]));
        let mut bodiless = served.clone();
        bodiless.answer = Some(Answer { body: None, headers: Vec::new(), ..answer() });
        let mut owed = claimed.clone();
        (owed.state, owed.settle, owed.answer) = (State::Worked, Settle::Later, Some(answer()));
        vec![claimed, broadcast, served, wallet, named, bodiless, owed]
    }

    #[test]
    fn every_entry_reads_back() {
        for entry in entries() {
            let back = decode(&encode(&entry)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{entry:?}"));
            assert_eq!(back.payment, entry.payment);
            assert_eq!(back.answer, entry.answer);
        }
    }

    #[test]
    fn every_state_reads_back() {
        use State::{Broadcast, Claimed, Failed, Pending, Served, Settled, Worked};
        for state in [Claimed, Broadcast, Pending, Settled, Served, Failed, Worked] {
            assert_eq!(decode_state(encode_state(state)), Some(state));
        }
        assert_eq!(decode_state(7), None);
        for settle in [Settle::First, Settle::After, Settle::Later] {
            assert_eq!(decode_settle(encode_settle(settle)), Some(settle));
        }
        assert_eq!(decode_settle(3), None);
    }

    #[test]
    fn the_layout_is_as_documented() {
        let bytes = encode(&entries()[0]);
        assert_eq!(bytes.len(), 2 + Claimed::LEN + 8 + 1 + 32 + 8 + 1 + 1 + 8 + 2);
        assert_eq!(bytes[..2], [5, 0]);
        assert_eq!(bytes[2..][..Claimed::LEN], payment(1).to_bytes());
        assert_eq!(bytes[2 + Claimed::LEN + 9..][..32], REQUEST.0);
        assert_eq!(bytes[bytes.len() - 12..], [0; 12]);
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
    }

    #[test]
    fn no_byte_makes_it_panic() {
        for entry in entries() {
            let bytes = encode(&entry);
            for at in 0..bytes.len() {
                for byte in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[at] = byte;
                    let _ = decode(&bytes);
                }
            }
        }
    }

    #[test]
    fn another_format_is_refused() {
        let mut bytes = encode(&entries()[0]);
        bytes[0] = 1;
        assert!(matches!(decode(&bytes), Err(LedgerError::Corrupt)));
    }
}
