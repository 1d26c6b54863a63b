//! What is shown of the payment, and whether it is what it should be.

use core::fmt;

use serde_json::{Value, json};
use x402_core::{Amount, Price};

use super::buyer::Exchange;
use super::stage::{PRICE, Stage};
use super::trace::{Call, Split};
use crate::output::{millis, ms};

/// What the buyer and the recipient have, in atomic units of USDC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Balances {
    pub(super) buyer: u128,
    pub(super) recipient: u128,
}

pub(super) struct Report {
    pub(super) exchange: Exchange,
    pub(super) before: Balances,
    pub(super) after: Balances,
    pub(super) calls: Vec<Call>,
}

impl Report {
    /// All that is not as it should be.
    pub(super) fn faults(&self, stage: &Stage) -> Vec<String> {
        let mut faults = Vec::new();
        let Exchange { challenge, answer, .. } = &self.exchange;
        if challenge.status != 402 {
            faults.push(format!("the unpaid request was answered with {}", challenge.status));
        }
        if answer.status != 200 {
            faults.push(format!("the paid request was answered with {}", answer.status));
        }
        match &answer.transaction {
            None => faults.push("the answer names no transaction".to_owned()),
            Some(hash) if !stage.is_mined(hash) => {
                faults.push(format!("the chain has no successful transaction {hash}"));
            }
            Some(_) => {}
        }
        let expected = Balances {
            buyer: self.before.buyer.saturating_sub(PRICE),
            recipient: self.before.recipient.saturating_add(PRICE),
        };
        if self.after != expected {
            let got = self.after;
            faults.push(format!("the balances are {got:?} where {expected:?} is due"));
        }
        faults
    }

    fn split(&self) -> Option<Split> {
        let answer = &self.exchange.answer;
        Split::of(&self.calls, answer.started, answer.ended)
    }

    pub(super) fn to_json(&self, faults: &[String]) -> Value {
        let Exchange { unpaid, challenge, paid, answer, sign } = &self.exchange;
        let split = self.split().map(|split| {
            json!({
                "verify": millis(split.verify),
                "settle": millis(split.settle),
                "serve": millis(split.serve),
                "answer": millis(split.answer),
            })
        });
        let balances = |balances: Balances| {
            let Balances { buyer, recipient } = balances;
            json!({"buyer": buyer.to_string(), "recipient": recipient.to_string()})
        };
        json!({
            "ok": faults.is_empty(),
            "faults": faults,
            "messages": {
                "unpaid": unpaid,
                "challenge": String::from_utf8_lossy(&challenge.text),
                "paid": paid,
                "answer": String::from_utf8_lossy(&answer.text),
            },
            "ms": {
                "unpaid": millis(challenge.ended - challenge.started),
                "sign": millis(*sign),
                "paid": millis(answer.ended - answer.started),
                "split": split,
            },
            "balances": {"before": balances(self.before), "after": balances(self.after)},
            "transaction": answer.transaction,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exchange { unpaid, challenge, paid, answer, sign } = &self.exchange;
        let asked = ms(challenge.ended - challenge.started);
        let served = ms(answer.ended - answer.started);
        message(f, "1. The buyer asks.", '>', unpaid.as_bytes())?;
        message(f, &format!("2. The seller names its price. {asked}"), '<', &challenge.text)?;
        let title = format!("3. The buyer signs, and asks again with the payment. {}", ms(*sign));
        message(f, &title, '>', paid.as_bytes())?;
        let title = format!("4. The seller checks, settles on the chain, and serves. {served}");
        message(f, &title, '<', &answer.text)?;
        if let Some(Split { verify, settle, serve, answer }) = self.split() {
            writeln!(
                f,
                "   of these: verify {}, settle {}, serve {}, answer {}\n",
                ms(verify),
                ms(settle),
                ms(serve),
                ms(answer)
            )?;
        }
        let Balances { buyer, recipient } = self.before;
        writeln!(f, "before  buyer {} USDC, recipient {} USDC", usdc(buyer), usdc(recipient))?;
        let Balances { buyer, recipient } = self.after;
        writeln!(f, "after   buyer {} USDC, recipient {} USDC", usdc(buyer), usdc(recipient))?;
        write!(f, "moved   {PRICE} atomic units, by the transaction ")?;
        f.write_str(answer.transaction.as_deref().unwrap_or("that the seller does not name"))
    }
}

fn usdc(units: u128) -> Price {
    Amount::from_units(units).to_price(6)
}

/// A message as it was on the wire, each line behind a mark.
fn message(f: &mut fmt::Formatter<'_>, title: &str, mark: char, text: &[u8]) -> fmt::Result {
    writeln!(f, "{title}\n")?;
    for line in String::from_utf8_lossy(text).lines() {
        writeln!(f, "   {mark} {line}")?;
    }
    writeln!(f)
}
