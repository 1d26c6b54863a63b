//! What `pay` says in the end.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use x402_hyper::client::{Answer, Payment, Status};

use super::Watched;
use crate::exit::Exit;
use crate::output::{self, millis, ms};
use crate::quote;

pub(super) fn conclude(answer: &Answer, help: Option<&str>, watched: &Watched) {
    let status = answer.response.status();
    let Some(payment) = &answer.payment else {
        output::note(format_args!("{status}, nothing to pay"));
        redirect_note(&answer.response);
        return;
    };
    let [ask, sign, paid] = watched.split();
    let times: Vec<_> = [("ask", ask), ("sign", sign), ("pay and serve", paid)]
        .into_iter()
        .filter_map(|(what, time)| Some(format!("{what} {}", ms(time?))))
        .collect();
    for line in outcome(payment) {
        output::note(line);
    }
    output::note(format_args!("{status} ({})", times.join(", ")));
    if let Some(help) = help {
        output::note(format_args!("help: {help}"));
    }
}

/// What became of the payment: no more than the seller says.
fn outcome(payment: &Payment) -> [String; 2] {
    let status = payment.status;
    let word = match status {
        Status::Accepted | Status::Settled => "paid",
        Status::NotCharged => "not charged",
        _ => "signed for",
    };
    let until = payment.valid_before;
    let more = match payment.transaction {
        _ if status == Status::NotCharged => {
            format!(
                "the seller says that nothing is taken; the signature ends at Unix time {until}"
            )
        }
        Some(transaction) => format!("{status} in {transaction}"),
        None if status == Status::Accepted => format!("{status}: the seller settles it later"),
        None => format!("{status}: the seller names no transaction"),
    };
    [format!("{word} {payment}"), more]
}

fn redirect_note(response: &Response<Bytes>) {
    if response.status().is_redirection() {
        output::note("help: the seller sends you to another URL; ask there if you trust it");
    }
}

pub(super) fn to_json(answer: &Answer, exit: Exit, watched: &Watched) -> Value {
    let [ask, sign, paid] = watched.split().map(|time| time.map(millis));
    let mut value = quote::answer_to_json(&answer.response);
    value["ok"] = (exit == Exit::Ok).into();
    value["exit"] = (exit as u8).into();
    value["payment"] = answer.payment.as_ref().map_or(Value::Null, payment_to_json);
    value["ms"] = json!({"ask": ask, "sign": sign, "pay_and_serve": paid});
    value
}

fn payment_to_json(payment: &Payment) -> Value {
    json!({
        "price": payment.price().to_string(),
        "amount": payment.amount.to_string(),
        "is_ceiling": payment.is_ceiling,
        "taken": payment.taken.map(|taken| taken.to_string()),
        "asset": quote::asset_to_json(&payment.asset),
        "network": payment.asset.chain_id.to_string(),
        "recipient": payment.recipient.to_string(),
        "payer": payment.payer.to_string(),
        "nonce": payment.nonce.to_string(),
        "valid_before": payment.valid_before.to_secs(),
        "status": payment.status.as_str(),
        "transaction": payment.transaction.map(|hash| hash.to_string()),
    })
}
