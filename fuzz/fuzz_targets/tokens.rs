//! Quotes, passes and the names of balances: what ring has signed with the gateway's key, or the one before
//! it, is taken, for what it is for and no longer than it says, and nothing else is.
#![no_main]

use core::fmt::Debug;
use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use ring::{digest, hmac};
use x402_core::{Address, Amount, ChainId};
use x402_fuzz::Cut;
use x402_std::ledger::CreditAccount;
use x402_std::quote::{CreditToken, Pass, Quote, RequestHash, RouteHash};
use x402_std::quote::{TokenError, TokenKey, TokenKeys};

const SECRET: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

const NAME: &str = "https://api.example.com";

fn secret() -> TokenKey {
    TokenKey::from_bytes(SECRET)
}

static KEYS: LazyLock<TokenKeys> = LazyLock::new(|| TokenKeys::new(NAME, &secret(), None));
/// The next key signs, and the first is taken still.
static NEXT: LazyLock<TokenKeys> =
    LazyLock::new(|| TokenKeys::new(NAME, &TokenKey::derive(&SECRET).unwrap(), Some(&secret())));
/// Another gateway of the same seller.
static OTHER: LazyLock<TokenKeys> = LazyLock::new(|| TokenKeys::new("other", &secret(), None));
static THEIRS: LazyLock<hmac::Key> = LazyLock::new(|| {
    let seller = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    let gateway = hmac::sign(&seller, format!("x402 gateway, 1: {NAME}").as_bytes());
    hmac::Key::new(hmac::HMAC_SHA256, gateway.as_ref())
});

/// The kinds: a quote, a pass and a credit.
const KINDS: [u8; 3] = [4, 5, 7];
/// How much each of them says, in bytes, the kind before it not included.
const LENGTHS: [usize; 3] = [152, 141, 84];

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
    let kind = kind % 4;
    let mut said = vec![KINDS[usize::from(kind)]];
    said.resize_with(1 + length, || cut.byte());
    // A route has a name, of which quotes and passes have the hash.
    if kind < 2 {
        let route = route_hash(&name(&said));
        said[49..81].copy_from_slice(&route);
    }
    // There is one unit, and it is not to be found by chance alone.
    if kind == 1 && said[UNIT] % 4 != 0 {
        said[UNIT] = MINUTE;
    }
    said
}

/// Where a pass has its unit, and which there is.
const UNIT: usize = 113;
const MINUTE: u8 = 1;

/// The route of a quote or a pass: it is named after what stands first in it.
fn name(said: &[u8]) -> String {
    said.get(1..21).map(|first| BASE64URL_NOPAD.encode(first)).unwrap_or_default()
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
    said.resize(said.len().max(153), 0);
    // The last of the eight is none.
    let places = [1, 21, 29, 49, 113, 144, 145];
    if let Some(place) = places.get(usize::from(other / 2 % 8)) {
        said[*place] ^= 1 << (other / 16 % 8);
    }
    let mut quoted = Cut(&said[113..]);
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

/// All kinds of tokens, under several keys.
fn check(token: &str, shown: &Shown, is_changed: bool) {
    let (now, request) = (shown.now, RequestHash::from_bytes(shown.request));
    let route = RouteHash::of(&shown.route);
    let CreditAccount { chain_id, asset, seller, .. } = shown.account;
    let quoted = |keys: &TokenKeys| Quote::verify(token, keys, &route, &request, now);
    let passed = |keys: &TokenKeys| Pass::verify(token, keys, &route, now);
    let credited = |keys: &TokenKeys| CreditToken::verify(token, keys, chain_id, asset, seller);
    let [quote, pass, credit] = [0, 1, 2].map(|kind| open(token, kind));
    check_one(token, quoted, |quote| quote.sign(&KEYS), &quote, |said| read_quote(said, shown));
    check_one(token, passed, |pass| pass.sign(&KEYS), &pass, |said| read_pass(said, shown));
    check_one(token, credited, |token| token.sign(&KEYS), &credit, |said| read_credit(said, shown));
    if is_changed {
        let refused = [quoted(&KEYS).err(), passed(&KEYS).err(), credited(&KEYS).err()];
        let is_refused = |error| matches!(error, Some(TokenError::Forged | TokenError::Malformed));
        assert!(refused.into_iter().all(is_refused), "{refused:?}");
    }
}

/// What is read is what is expected of what it says, and signed again it is the same text; with another key
/// it is not read.
fn check_one<T: Copy + Debug + PartialEq>(
    token: &str,
    verify: impl Fn(&TokenKeys) -> Result<T, TokenError>,
    sign: impl Fn(&T) -> String,
    said: &Result<Vec<u8>, TokenError>,
    expect: impl Fn(&[u8]) -> Result<T, TokenError>,
) {
    let expected = said.as_ref().map_err(|error| *error).and_then(|said| expect(said));
    let read = verify(&KEYS);
    assert_eq!(read, expected);
    assert_eq!(verify(&NEXT), expected);
    if let Ok(read) = read {
        assert_eq!(sign(&read), token);
    }
    let is_token = *said != Err(TokenError::Malformed);
    let refused = if is_token { TokenError::Forged } else { TokenError::Malformed };
    assert_eq!(verify(&OTHER), Err(refused));
}

fn read_quote(said: &[u8], shown: &Shown) -> Result<Quote, TokenError> {
    let mut cut = Cut(said);
    let (chain_id, asset) = (ChainId::new(cut.number()), Address::new(cut.array()));
    let (pay_to, hash) = (Address::new(cut.array()), cut.array());
    let quote = Quote {
        chain_id,
        asset,
        pay_to,
        route: RouteHash::of(&shown.route),
        amount: Amount::from_be_bytes(cut.array()),
        request: RequestHash::from_bytes(cut.array()),
        expires_at: cut.number(),
    };
    if quote.expires_at <= shown.now {
        Err(TokenError::Expired)
    } else if hash != route_hash(&shown.route) {
        Err(TokenError::OtherRoute)
    } else if *quote.request.as_bytes() != shown.request {
        Err(TokenError::OtherRequest)
    } else {
        Ok(quote)
    }
}

fn read_pass(said: &[u8], shown: &Shown) -> Result<Pass, TokenError> {
    let mut cut = Cut(said);
    let (chain_id, asset) = (ChainId::new(cut.number()), Address::new(cut.array()));
    let (pay_to, hash) = (Address::new(cut.array()), cut.array());
    let (price, unit) = (Amount::from_be_bytes(cut.array()), cut.byte());
    let (payer, until) = (Address::new(cut.array()), cut.number());
    let route = RouteHash::of(&shown.route);
    if unit != MINUTE {
        Err(TokenError::Malformed)
    } else if until <= shown.now {
        Err(TokenError::Expired)
    } else if hash != route_hash(&shown.route) {
        Err(TokenError::OtherRoute)
    } else {
        let pass = Pass { chain_id, asset, pay_to, route, price, payer, until };
        assert_eq!(pass.remaining(shown.now), until - shown.now);
        Ok(pass)
    }
}

fn read_credit(said: &[u8], shown: &Shown) -> Result<CreditToken, TokenError> {
    let account = account(said);
    let mut cut = Cut(&said[68..]);
    let credit = CreditToken { account, generation: cut.number(), made_at: cut.number() };
    let age = shown.now.saturating_sub(credit.made_at);
    assert!(!credit.is_older_than(age, shown.now));
    assert_eq!(credit.is_older_than(age.wrapping_sub(1), shown.now), age != 0);
    let is_shown = account == CreditAccount { payer: account.payer, ..shown.account };
    if is_shown { Ok(credit) } else { Err(TokenError::OtherAccount) }
}

/// What ring has signed of a kind, by its place among them.
fn open(token: &str, kind: usize) -> Result<Vec<u8>, TokenError> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| TokenError::Malformed)?;
    let length = 1 + LENGTHS[kind];
    if bytes.len() != length + 32 || bytes[0] != KINDS[kind] {
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
