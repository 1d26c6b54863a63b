//! Quotes, passes and the names of balances: what ring has signed with the seller's key is taken, for
//! what it is for and no longer than it says, and nothing else is.
#![no_main]

use core::fmt::Debug;
use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use ring::{digest, hmac};
use x402_core::{Address, Amount, ChainId};
use x402_fuzz::Cut;
use x402_std::ledger::CreditAccount;
use x402_std::quote::{CreditToken, Pass, Quote, RequestHash, RouteHash, TokenError, TokenKey};

const SECRET: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

static KEY: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::from_bytes(SECRET));
static OTHER: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::derive(&SECRET).unwrap());
static THEIRS: LazyLock<hmac::Key> = LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, &SECRET));

/// How much a quote, a pass and a credit say, in bytes, the kind before it not included.
const LENGTHS: [usize; 3] = [120, 60, 68];

/// What a token is shown for, and when: all that it says itself, save for one bit that may be another.
struct Shown {
    now: u64,
    route: String,
    request: [u8; 32],
    account: CreditAccount,
}

fuzz_target!(|data: &[u8]| {
    let mut cut = Cut(data);
    let (how, bit, other) = (cut.byte(), u16::from_be_bytes(cut.array()), cut.byte());
    let now = cut.number();
    let said = said(how / 4, cut);
    let mut token = seal(&said);
    let is_changed = match how % 4 {
        0 => {
            let Some(text) = cut.text() else { return };
            text.clone_into(&mut token);
            false
        }
        1 => false,
        2 => {
            let mut bytes = BASE64URL_NOPAD.decode(token.as_bytes()).expect("we wrote it");
            flip(&mut bytes, bit);
            token = BASE64URL_NOPAD.encode(&bytes);
            true
        }
        _ => {
            let mut bytes = token.into_bytes();
            flip(&mut bytes, bit);
            let Ok(text) = String::from_utf8(bytes) else { return };
            token = text;
            true
        }
    };
    let shown = shown(&said, now, other);
    check(&token, &shown, is_changed);
    check_hashes(cut);
});

/// What a token of that kind says, or of any; as long as it is to be, or as it is.
fn said(kind: u8, mut cut: Cut<'_>) -> Vec<u8> {
    let Some(length) = LENGTHS.get(usize::from(kind % 4)) else { return cut.0.to_vec() };
    let mut said = vec![kind % 4 + 1];
    said.resize_with(1 + length, || cut.byte());
    // A route has a name, of which the pass has the hash.
    if kind % 4 == 1 {
        let route = route_hash(&name(&said));
        said[21..53].copy_from_slice(&route);
    }
    said
}

/// The route of a pass: it is named after its payer.
fn name(said: &[u8]) -> String {
    said.get(1..21).map(|payer| BASE64URL_NOPAD.encode(payer)).unwrap_or_default()
}

fn route_hash(name: &str) -> [u8; 32] {
    sha256(&[b"route", name.as_bytes()])
}

fn seal(said: &[u8]) -> String {
    let mac = hmac::sign(&THEIRS, said);
    BASE64URL_NOPAD.encode(&[said, mac.as_ref()].concat())
}

fn flip(bytes: &mut [u8], bit: u16) {
    let bit = usize::from(bit) % (8 * bytes.len());
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn shown(said: &[u8], now: u64, other: u8) -> Shown {
    let mut said = said.to_vec();
    let route = if other & 1 == 0 { name(&said) } else { "another".to_owned() };
    said.resize(said.len().max(121), 0);
    // The last of the eight is none.
    let places = [1, 21, 29, 49, 81, 112, 113];
    if let Some(place) = places.get(usize::from(other / 2 % 8)) {
        said[*place] ^= 1 << (other / 16 % 8);
    }
    let mut quoted = Cut(&said[81..]);
    let account = account(&said[1..69]);
    Shown { now, route, request: quoted.array(), account }
}

fn account(bytes: &[u8]) -> CreditAccount {
    let mut cut = Cut(bytes);
    CreditAccount {
        payer: Address::new(cut.array()),
        chain_id: ChainId::new(cut.number()),
        asset: Address::new(cut.array()),
        seller: Address::new(cut.array()),
    }
}

/// All kinds of tokens, under two keys.
fn check(token: &str, shown: &Shown, is_changed: bool) {
    let (now, request) = (shown.now, RequestHash::from_bytes(shown.request));
    let route = RouteHash::of(&shown.route);
    let CreditAccount { chain_id, asset, seller, .. } = shown.account;
    let quoted = |key: &TokenKey| Quote::verify(token, key, &request, now);
    let passed = |key: &TokenKey| Pass::verify(token, key, &route, now);
    let credited = |key: &TokenKey| CreditToken::verify(token, key, chain_id, asset, seller);
    check_one(token, quoted, |quote| quote.sign(&KEY), read_quote(token, shown));
    check_one(token, passed, |pass| pass.sign(&KEY), read_pass(token, shown));
    check_one(token, credited, |credit| credit.sign(&KEY), read_credit(token, shown));
    if is_changed {
        let refused = [quoted(&KEY).err(), passed(&KEY).err(), credited(&KEY).err()];
        let is_refused = |error| matches!(error, Some(TokenError::Forged | TokenError::Malformed));
        assert!(refused.into_iter().all(is_refused), "{refused:?}");
    }
}

/// What is read is what is expected, and signed again it is the same text; with another key it is not
/// read.
fn check_one<T: Copy + Debug + PartialEq>(
    token: &str,
    verify: impl Fn(&TokenKey) -> Result<T, TokenError>,
    sign: impl Fn(&T) -> String,
    expected: Result<T, TokenError>,
) {
    let read = verify(&KEY);
    assert_eq!(read, expected);
    if let Ok(read) = read {
        assert_eq!(sign(&read), token);
    }
    let is_token = expected != Err(TokenError::Malformed);
    let refused = if is_token { TokenError::Forged } else { TokenError::Malformed };
    assert_eq!(verify(&OTHER), Err(refused));
}

fn read_quote(token: &str, shown: &Shown) -> Result<Quote, TokenError> {
    let said = open(token, 1)?;
    let mut cut = Cut(&said);
    let quote = Quote {
        amount: Amount::from_be_bytes(cut.array()),
        chain_id: ChainId::new(cut.number()),
        asset: Address::new(cut.array()),
        pay_to: Address::new(cut.array()),
        request: RequestHash::from_bytes(cut.array()),
        expires_at: cut.number(),
    };
    if quote.expires_at <= shown.now {
        Err(TokenError::Expired)
    } else if *quote.request.as_bytes() != shown.request {
        Err(TokenError::OtherRequest)
    } else {
        Ok(quote)
    }
}

fn read_pass(token: &str, shown: &Shown) -> Result<Pass, TokenError> {
    let said = open(token, 2)?;
    let mut cut = Cut(&said);
    let (payer, hash): (_, [u8; 32]) = (Address::new(cut.array()), cut.array());
    let (route, until) = (RouteHash::of(&shown.route), cut.number());
    if until <= shown.now {
        Err(TokenError::Expired)
    } else if hash != route_hash(&shown.route) {
        Err(TokenError::OtherRoute)
    } else {
        let pass = Pass { payer, route, until };
        assert_eq!(pass.remaining(shown.now), until - shown.now);
        Ok(pass)
    }
}

fn read_credit(token: &str, shown: &Shown) -> Result<CreditToken, TokenError> {
    let account = account(&open(token, 3)?);
    let is_shown = account == CreditAccount { payer: account.payer, ..shown.account };
    if is_shown { Ok(CreditToken { account }) } else { Err(TokenError::OtherAccount) }
}

/// What ring has signed of a kind.
fn open(token: &str, kind: u8) -> Result<Vec<u8>, TokenError> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| TokenError::Malformed)?;
    let length = 1 + LENGTHS[usize::from(kind) - 1];
    if bytes.len() != length + 32 || bytes[0] != kind {
        return Err(TokenError::Malformed);
    }
    let (said, mac) = bytes.split_at(length);
    hmac::verify(&THEIRS, said, mac).map_err(|_| TokenError::Forged)?;
    Ok(said[1..].to_vec())
}

/// Parts of a request, one a line: hashed as it is written down, and as no other parts are.
fn check_hashes(cut: Cut<'_>) {
    let mut parts = cut.text().unwrap_or_default().split('\n');
    let mut part = || parts.next().unwrap_or_default();
    let (method, target, body) = (part(), part(), part());
    let texts: Vec<_> = parts.take(4).collect();
    let [method_, target_, body_] = [method, target, body].map(str::as_bytes);
    let request = RequestHash::of_request(method, target, body_);
    let expected = sha256(&[b"request", method_, target_, &digest(body_)]);
    assert_eq!(*request.as_bytes(), expected);

    let values: Vec<_> = texts.iter().map(|text| text.as_bytes()).collect();
    let with = request.with_field(body, values.iter().copied());
    let field = sha256(&[&[b"field", body_][..], &values].concat());
    assert_eq!(*with.as_bytes(), sha256(&[b"request with", &expected, &field]));

    let facts = texts.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    let hash = RequestHash::of_facts(method, target, facts);
    let paired = &values[..values.len() / 2 * 2];
    let expected = sha256(&[&[b"facts", method_, target_][..], paired].concat());
    assert_eq!(*hash.as_bytes(), expected);
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let length = |part: &[u8]| (part.len() as u64).to_be_bytes();
    let parts: Vec<_> = parts.iter().map(|part| [&length(part)[..], part].concat()).collect();
    digest(&parts.concat())
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap()
}
