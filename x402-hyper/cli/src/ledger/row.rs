//! What is shown of a payment. Its signature, its raw transaction and its answer's body never are.

use serde_json::{Value, json};
use x402_core::hex::Hex;
use x402_core::state::State;
use x402_core::{Address, Amount, Asset, ChainId};
use x402_std::chain::PaidLog;
use x402_std::config::OwnedAsset;
use x402_std::ledger::Entry;

use crate::time::rfc3339;

/// The columns of an export, in their order.
pub(super) const COLUMNS: [&str; 19] = [
    "id",
    "state",
    "claimed_at",
    "chain",
    "asset",
    "symbol",
    "payer",
    "pay_to",
    "amount_units",
    "amount",
    "nonce",
    "transaction",
    "status",
    "block",
    "block_hash",
    "log",
    "by_word",
    "reversed",
    "set_off_units",
];

pub(super) struct Row {
    pub(super) entry: Entry,
    pub(super) symbol: String,
    pub(super) decimals: Option<u8>,
}

impl Row {
    pub(super) fn new(entry: Entry, assets: &[OwnedAsset]) -> Self {
        let payment = &entry.payment;
        let (symbol, decimals) = name_and_decimals(payment.chain_id(), payment.asset(), assets);
        Self { entry, symbol, decimals }
    }

    pub(super) const fn units(&self) -> Amount {
        self.entry.payment.amount()
    }

    /// In units of the asset, where its decimals are known.
    pub(super) fn amount(&self) -> Option<String> {
        Some(self.units().to_price(self.decimals?).to_string())
    }

    /// Whether the money has arrived.
    pub(super) const fn is_received(&self) -> bool {
        matches!(self.entry.state, State::Settled | State::Served | State::Returned)
    }

    pub(super) fn state(&self) -> &'static str {
        self.entry.standing()
    }

    /// The transaction that moved the money, or else the one that was sent last.
    pub(super) fn transaction(&self) -> Option<String> {
        let sent = self.entry.transaction.as_ref().map(|transaction| transaction.hash);
        self.entry.settled_by().or(sent).map(|hash| hash.to_string())
    }

    /// The log that has paid, where it is known: its block, and its position in the receipt.
    fn log(&self) -> Option<PaidLog> {
        self.entry.settlement.and_then(|settlement| settlement.log)
    }

    /// Whether only a facilitator says that it is settled. What versions before did not keep the log of was
    /// sent by us, as a rule.
    fn is_by_word(&self) -> bool {
        self.entry.settlement.is_some() && self.log().is_none() && self.entry.transaction.is_none()
    }

    /// The state as a person reads it.
    pub(super) fn standing(&self) -> String {
        let state = self.state();
        if self.entry.is_reversed {
            return format!("{state} (reversed)");
        }
        match (self.entry.state == State::Settled, self.is_by_word()) {
            (false, false) => state.to_owned(),
            (false, true) => format!("{state} (by word)"),
            (true, false) => format!("{state} (not served)"),
            (true, true) => format!("{state} (by word, not served)"),
        }
    }

    /// What was paid and not used, in atomic units and in units of the asset, if there is any.
    pub(super) fn credit(&self) -> Option<(String, Option<String>)> {
        let credit = self.entry.credit;
        let amount = self.decimals.map(|decimals| credit.to_price(decimals).to_string());
        (credit != Amount::ZERO).then(|| (credit.to_string(), amount))
    }

    /// What of it was set off against credit, if anything was.
    fn set_off(&self) -> Option<Amount> {
        Some(self.entry.set_off).filter(|units| *units != Amount::ZERO)
    }

    fn status(&self) -> Option<u16> {
        self.entry.answer.as_ref().map(|answer| answer.status)
    }

    /// In the order of [`COLUMNS`]; empty for what is not there.
    pub(super) fn fields(&self) -> [String; 19] {
        let payment = &self.entry.payment;
        let log = self.log();
        [
            self.entry.id().to_string(),
            self.state().to_owned(),
            rfc3339(self.entry.claimed_at),
            payment.chain_id().to_string(),
            payment.asset().to_string(),
            self.symbol.clone(),
            payment.payer().to_string(),
            payment.transfer().to().to_string(),
            self.units().to_string(),
            self.amount().unwrap_or_default(),
            Hex(payment.transfer().nonce().as_bytes()).to_string(),
            self.transaction().unwrap_or_default(),
            self.status().map(|status| status.to_string()).unwrap_or_default(),
            log.map(|log| log.block.number.to_string()).unwrap_or_default(),
            log.map(|log| Hex(&log.block.hash).to_string()).unwrap_or_default(),
            log.map(|log| log.position.to_string()).unwrap_or_default(),
            self.is_by_word().to_string(),
            self.entry.is_reversed.to_string(),
            self.set_off().map(|units| units.to_string()).unwrap_or_default(),
        ]
    }

    pub(super) fn json(&self) -> Value {
        let mut object = object(COLUMNS, self.fields());
        object["status"] = json!(self.status());
        object["block"] = json!(self.log().map(|log| log.block.number));
        object["log"] = json!(self.log().map(|log| log.position));
        object["by_word"] = json!(self.is_by_word());
        object["reversed"] = json!(self.entry.is_reversed);
        object
    }
}

/// What a token is called, and its decimals, where the seller's file or the table of the core has it.
pub(super) fn name_and_decimals(
    chain_id: ChainId,
    token: Address,
    assets: &[OwnedAsset],
) -> (String, Option<u8>) {
    let configured = assets.iter().map(OwnedAsset::as_asset);
    let mut configured =
        configured.filter(|asset| (asset.chain_id, asset.address) == (chain_id, token));
    let known = || Asset::find_by_address(chain_id, token).copied();
    match configured.next().or_else(known) {
        Some(asset) => (asset.symbol.to_owned(), Some(asset.decimals)),
        None => (String::new(), None),
    }
}

/// An amount in units of its token, or else of the token by its address.
pub(super) fn in_words(
    amount: Amount,
    token: Address,
    (symbol, decimals): (&str, Option<u8>),
) -> String {
    match decimals {
        Some(decimals) => format!("{} {symbol}", amount.to_price(decimals)),
        None => format!("{amount} of {token}"),
    }
}

/// A JSON object of these columns; what is empty is null.
pub(super) fn object<const N: usize>(columns: [&str; N], fields: [String; N]) -> Value {
    let members = columns.into_iter().zip(fields).map(|(name, text)| {
        let value = if text.is_empty() { Value::Null } else { text.into() };
        (name.to_owned(), value)
    });
    members.collect::<serde_json::Map<_, _>>().into()
}
