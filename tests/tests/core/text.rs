//! Every sentence that the core says, in one file to read through: `snapshots/`.

use std::fmt::{Display, Write as _};

use x402_core::buyer::PolicyError;
use x402_core::condition::{Condition, Fault, Value};
use x402_core::head::HeadError;
use x402_core::hex::HexError;
use x402_core::secp256k1::{ElementError, InvalidKey};
use x402_core::settlement::SettlementError;
use x402_core::state::{Event, State};
use x402_core::tariff::QuoteError;
use x402_core::window::{ApplyError, Refused};
use x402_core::{
    AddressError, Code, InvalidNonce, NetworkError, NumberError, PriceError, Reason, WrongClaim,
};

use crate::refusal::{all, body};

#[test]
fn every_sentence() {
    let mut text = String::new();
    refusals(&mut text);
    others(&mut text);
    tables(&mut text);
    insta::assert_snapshot!(text);
}

fn refusals(text: &mut String) {
    for refusal in all() {
        writeln!(text, "{refusal:?}").unwrap();
        writeln!(text, "  {} {}, {}", refusal.status(), refusal.code(), refusal.reason()).unwrap();
        writeln!(text, "  {refusal}").unwrap();
        writeln!(text, "  {}", refusal.help()).unwrap();
        writeln!(text, "  {}\n", body(refusal)).unwrap();
    }
}

fn others(text: &mut String) {
    use HexError::{Digit, Length, Prefix};
    let errors: &[&dyn Display] = &[
        &AddressError::Checksum,
        &AddressError::Hex(Length),
        &ApplyError::Unknown,
        &Digit,
        &Length,
        &Prefix,
        &ElementError::OtherKey,
        &ElementError::Refused,
        &HeadError::Malformed,
        &HeadError::TooLong,
        &HeadError::TooManyFields,
        &InvalidKey,
        &InvalidNonce,
        &NetworkError::ChainId,
        &NetworkError::Name,
        &NetworkError::Namespace,
        &PolicyError::Amount,
        &PolicyError::Asset,
        &PolicyError::Network,
        &PolicyError::Payee,
        &PolicyError::Recipient,
        &PolicyError::TransferMethod,
        &PriceError::Number(NumberError::Digit),
        &PriceError::Number(NumberError::Empty),
        &PriceError::Number(NumberError::LeadingZero),
        &PriceError::Number(NumberError::Overflow),
        &PriceError::Overflow,
        &PriceError::Precision,
        &PriceError::Range,
        &PriceError::Zero,
        &Refused::Expired,
        &Refused::Full,
        &Refused::Method,
        &Refused::Owed,
        &Refused::Replay(State::Claimed),
        &Refused::TooLong,
        &WrongClaim,
        &State::Served.on(Event::Refused).unwrap_err(),
    ];
    for error in errors {
        writeln!(text, "{error}").unwrap();
    }
    for error in [QuoteError::Price(PriceError::Zero), mismatch()] {
        writeln!(text, "{error}").unwrap();
    }
    for fault in FAULTS {
        writeln!(text, "{fault}").unwrap();
    }
    for error in
        [SettlementError::NotUsed, SettlementError::Reverted, SettlementError::NotTransferred]
    {
        writeln!(text, "{error}").unwrap();
    }
}

const FAULTS: [Fault; 20] = [
    Fault::Assignment,
    Fault::Chain,
    Fault::Character,
    Fault::Depth,
    Fault::Escape,
    Fault::Kinds,
    Fault::Length,
    Fault::Mismatch,
    Fault::Names,
    Fault::NotBoolean,
    Fault::Number,
    Fault::Operand,
    Fault::Operator,
    Fault::Order,
    Fault::Parenthesis,
    Fault::Reserved,
    Fault::Undeclared,
    Fault::Unknown,
    Fault::Unreadable,
    Fault::Unterminated,
];

fn mismatch() -> QuoteError {
    let condition = Condition::parse("flag").unwrap();
    let error = condition.holds([("flag", Value::Other)].as_slice()).unwrap_err();
    QuoteError::Condition { multiplier: 0, error }
}

fn tables(text: &mut String) {
    writeln!(text, "\ncode -> reason").unwrap();
    for code in Code::ALL {
        writeln!(text, "{code} -> {}", code.reason()).unwrap();
    }
    writeln!(text, "\nreason -> code").unwrap();
    for reason in Reason::ALL {
        writeln!(text, "{reason} -> {}", reason.code()).unwrap();
    }
    writeln!(text, "\nstate, event -> what becomes of it").unwrap();
    use State::{Broadcast, Claimed, Failed, Pending, Served, Settled};
    for state in [Claimed, State::Worked, Broadcast, Pending, Settled, Served, Failed] {
        use Event::{Answered, Confirmed, Journalled, Refused, Reverted, TimedOut, Worked};
        for event in
            [Worked, Journalled, Confirmed, Reverted, TimedOut, Refused, Answered, Event::Forgiven]
        {
            if let Ok(transition) = state.on(event) {
                writeln!(text, "{state:?}, {event:?} -> {transition:?}").unwrap();
            }
        }
    }
}
