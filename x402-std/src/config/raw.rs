//! The file as written: which keys there are, and texts with their places. Nothing is judged here.
//!
//! Every scalar is read as text, as it stands in the file: no number goes through a float, and what
//! is wrong with one is said in our words.

use core::fmt;
use std::collections::BTreeMap;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A text and where it stands.
pub(super) type Text = Spanned<String>;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) listen: Option<Text>,
    pub(super) upstream: Option<Spanned<RawUpstream>>,
    pub(super) pay_to: Option<Text>,
    pub(super) network: Option<Text>,
    pub(super) asset: Option<Spanned<RawAsset>>,
    pub(super) chain: Option<RawChain>,
    pub(super) chains: Option<Vec<Spanned<RawOtherChain>>>,
    pub(super) contract_wallets: Option<Text>,
    pub(super) wallet_factories: Option<Vec<Text>>,
    pub(super) facilitator: Option<Spanned<RawFacilitator>>,
    pub(super) later: Option<RawLater>,
    pub(super) ledger: Option<Text>,
    pub(super) metrics: Option<Text>,
    pub(super) answer_timeout: Option<Text>,
    pub(super) idle_timeout: Option<Text>,
    pub(super) body_time: Option<Text>,
    pub(super) body_limit: Option<Text>,
    pub(super) head_limit: Option<Text>,
    pub(super) kept_answer: Option<Text>,
    pub(super) connections: Option<Text>,
    pub(super) trusted_proxies: Option<Vec<Text>>,
    pub(super) on_start: Option<Text>,
    pub(super) credit_expires: Option<Text>,
    pub(super) secret_file: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) public_url: Option<Text>,
    pub(super) cors: Option<Spanned<RawCors>>,
    pub(super) routes: Option<Spanned<Vec<Spanned<RawRoute>>>>,
    pub(super) default: Option<Text>,
}

pub(super) enum RawUpstream {
    Url(String),
    Map(Box<RawServer>),
}

/// The server behind.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) url: Text,
    pub(super) keepalive: Option<Text>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLater {
    pub(super) max_batch: Option<Text>,
    pub(super) max_delay: Option<Text>,
    pub(super) max_owed: Option<Text>,
}

pub(super) enum RawCors {
    Word(String),
    Pages(Box<RawPages>),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPages {
    pub(super) origins: Option<Spanned<RawOrigins>>,
    pub(super) credentials: Option<Text>,
    pub(super) headers: Option<Vec<Text>>,
    pub(super) expose: Option<Vec<Text>>,
}

/// The word for all of them, or a list.
pub(super) enum RawOrigins {
    Word(String),
    List(Vec<Text>),
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChain {
    pub(super) rpc: Option<Spanned<RawUrls>>,
    pub(super) key_file: Option<Text>,
    pub(super) confirmations: Option<Text>,
    pub(super) finality: Option<Text>,
    pub(super) log_range: Option<Text>,
    pub(super) max_fee_per_gas: Option<Text>,
    pub(super) max_gas_cost: Option<Text>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOtherChain {
    pub(super) network: Text,
    pub(super) rpc: Spanned<RawUrls>,
    pub(super) key_file: Text,
    pub(super) confirmations: Option<Text>,
    pub(super) finality: Option<Text>,
    pub(super) log_range: Option<Text>,
    pub(super) max_fee_per_gas: Option<Text>,
    pub(super) max_gas_cost: Option<Text>,
}

/// One URL, or several in their order.
#[derive(Clone)]
pub(super) enum RawUrls {
    Word(String),
    List(Vec<Text>),
}

pub(super) enum RawFacilitator {
    Word(String),
    Remote(Box<RawRemote>),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRemote {
    pub(super) url: Text,
    pub(super) token_file: Option<Text>,
    pub(super) confirm: Option<Text>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOffer {
    pub(super) asset: Option<Spanned<RawAsset>>,
    pub(super) network: Option<Text>,
    pub(super) amount: Text,
    pub(super) transfer: Option<Text>,
}

/// The file of a facilitator.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawService {
    pub(super) listen: Option<Text>,
    pub(super) ledger: Option<Text>,
    pub(super) token_file: Option<Text>,
    pub(super) contract_wallets: Option<Text>,
    pub(super) wallet_factories: Option<Vec<Text>>,
    pub(super) max_batch: Option<Text>,
    pub(super) body_time: Option<Text>,
    pub(super) connections: Option<Text>,
    pub(super) trusted_proxies: Option<Vec<Text>>,
    pub(super) on_start: Option<Text>,
    pub(super) chains: Option<Vec<Spanned<RawServed>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServed {
    pub(super) network: Text,
    pub(super) rpc: Spanned<RawUrls>,
    pub(super) key_file: Text,
    pub(super) confirmations: Option<Text>,
    pub(super) finality: Option<Text>,
    pub(super) log_range: Option<Text>,
    pub(super) assets: Vec<Spanned<RawAsset>>,
    pub(super) kinds: Option<Vec<Text>>,
    pub(super) max_fee_per_gas: Option<Text>,
    pub(super) max_gas_cost: Option<Text>,
}

pub(super) enum RawAsset {
    Symbol(String),
    Token(Box<RawToken>),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawToken {
    pub(super) address: Text,
    pub(super) decimals: Text,
    pub(super) name: Text,
    pub(super) version: Text,
    pub(super) symbol: Option<Text>,
    pub(super) log_order: Option<Text>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) path: Text,
    pub(super) methods: Option<Spanned<Vec<Text>>>,
    pub(super) settle: Option<Text>,
    pub(super) replay: Option<Text>,
    pub(super) pricing: Spanned<RawPricing>,
    pub(super) facts: Option<BTreeMap<String, Text>>,
    pub(super) offers: Option<Vec<Spanned<RawOffer>>>,
    pub(super) timeout: Option<Text>,
    pub(super) answer_timeout: Option<Text>,
    pub(super) idle_timeout: Option<Text>,
    pub(super) body_time: Option<Text>,
    pub(super) body_limit: Option<Text>,
    pub(super) kept_answer: Option<Text>,
    pub(super) description: Option<Text>,
    pub(super) mime_type: Option<Text>,
    pub(super) discoverable: Option<Text>,
    pub(super) payment_identifier: Option<Text>,
    pub(super) idempotent: Option<Text>,
}

pub(super) enum RawPricing {
    Word(String),
    Tariff(Box<RawTariff>),
}

/// The members of all models; which of them a model has is checked later, so that the message can
/// name the model.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTariff {
    pub(super) model: Text,
    pub(super) amount: Option<Text>,
    pub(super) currency: Option<Text>,
    pub(super) input_price: Option<Text>,
    pub(super) output_price: Option<Text>,
    pub(super) minimum_minutes: Option<Text>,
    pub(super) max_output_tokens: Option<Text>,
    pub(super) usage: Option<Spanned<RawUsage>>,
    pub(super) include_usage: Option<Text>,
    pub(super) upto: Option<Text>,
    pub(super) base_price: Option<Text>,
    pub(super) multipliers: Option<Spanned<Vec<RawMultiplier>>>,
    pub(super) min_price: Option<Text>,
    pub(super) max_price: Option<Text>,
    pub(super) on_unknown: Option<Text>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMultiplier {
    pub(super) condition: Text,
    pub(super) multiplier: Text,
}

pub(super) enum RawUsage {
    Word(String),
    Places(Box<RawPlaces>),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlaces {
    pub(super) input: Option<Text>,
    pub(super) output: Option<Text>,
    pub(super) input_header: Option<Text>,
    pub(super) output_header: Option<Text>,
}

/// A word or a map. By hand: `#[serde(untagged)]` loses the places and the messages of what is in it.
struct WordOr<T, M> {
    expected: &'static str,
    word: fn(String) -> T,
    map: fn(M) -> T,
}

impl<'de, T, M: Deserialize<'de>> Visitor<'de> for WordOr<T, M> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok((self.word)(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(self.map)
    }
}

/// A word or a list of them, by hand for the same reason.
struct WordOrList<T> {
    expected: &'static str,
    word: fn(String) -> T,
    list: fn(Vec<Text>) -> T,
}

impl<'de, T> Visitor<'de> for WordOrList<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok((self.word)(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok((self.list)(texts))
    }
}

impl<'de> Deserialize<'de> for RawUrls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a URL, or a list of them";
        deserializer.deserialize_any(WordOrList { expected, word: Self::Word, list: Self::List })
    }
}

impl<'de> Deserialize<'de> for RawOrigins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "any, or a list of origins";
        deserializer.deserialize_any(WordOrList { expected, word: Self::Word, list: Self::List })
    }
}

impl<'de> Deserialize<'de> for RawCors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;

        impl<'de> Visitor<'de> for Rule {
            type Value = RawCors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off, or a map of origins, credentials, headers and expose")
            }

            /// To YAML `off` is a boolean.
            fn visit_bool<E>(self, is_on: bool) -> Result<RawCors, E> {
                Ok(RawCors::Word(if is_on { "on" } else { "off" }.to_owned()))
            }

            fn visit_str<E>(self, text: &str) -> Result<RawCors, E> {
                Ok(RawCors::Word(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawCors, A::Error> {
                let pages = RawPages::deserialize(MapAccessDeserializer::new(map));
                pages.map(|pages| RawCors::Pages(Box::new(pages)))
            }
        }

        deserializer.deserialize_any(Rule)
    }
}

impl<'de> Deserialize<'de> for RawAsset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a symbol such as USDC, or a map of address, decimals, name and version";
        let map = |token: RawToken| Self::Token(Box::new(token));
        deserializer.deserialize_any(WordOr { expected, word: Self::Symbol, map })
    }
}

impl<'de> Deserialize<'de> for RawUpstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a URL, or a map with the key url";
        let map = |server: RawServer| Self::Map(Box::new(server));
        deserializer.deserialize_any(WordOr { expected, word: Self::Url, map })
    }
}

impl<'de> Deserialize<'de> for RawFacilitator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "local, a URL, or a map with the key url";
        let map = |remote: RawRemote| Self::Remote(Box::new(remote));
        deserializer.deserialize_any(WordOr { expected, word: Self::Word, map })
    }
}

impl<'de> Deserialize<'de> for RawPricing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "the word free, or a map with the key model";
        let map = |tariff: RawTariff| Self::Tariff(Box::new(tariff));
        deserializer.deserialize_any(WordOr { expected, word: Self::Word, map })
    }
}

impl<'de> Deserialize<'de> for RawUsage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "openai, anthropic, or a map of input and output";
        let map = |places: RawPlaces| Self::Places(Box::new(places));
        deserializer.deserialize_any(WordOr { expected, word: Self::Word, map })
    }
}
