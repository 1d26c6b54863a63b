use super::*;
use crate::ledger::CreditAccount;

const NOW: u64 = 1_700_000_000;

fn key() -> TokenKey {
    TokenKey::from_bytes(core::array::from_fn(|i| i as u8))
}

/// Bytes that look random (xorshift), the same in every run.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.number() as u8)
    }

    fn address(&mut self) -> Address {
        Address::new(self.bytes())
    }

    fn quote(&mut self) -> Quote {
        Quote {
            amount: Amount::from_be_bytes(self.bytes()),
            chain_id: ChainId::new(self.number()),
            asset: self.address(),
            pay_to: self.address(),
            request: RequestHash::from_bytes(self.bytes()),
            expires_at: NOW + 1 + self.number() % 1_000,
        }
    }

    fn pass(&mut self) -> Pass {
        let route = RouteHash::of(&self.number().to_string());
        Pass { payer: self.address(), route, until: NOW + 1 + self.number() % 1_000 }
    }

    fn credit(&mut self) -> CreditToken {
        let account = CreditAccount {
            payer: self.address(),
            chain_id: ChainId::new(self.number()),
            asset: self.address(),
            seller: self.address(),
        };
        CreditToken { account }
    }
}

/// A token, and what becomes of another one in its place.
type Token = (String, Box<dyn Fn(&str, &TokenKey) -> Result<(), TokenError>>);

/// One of each kind.
fn tokens(random: &mut Random) -> [Token; 3] {
    let (quote, pass, credit) = (random.quote(), random.pass(), random.credit());
    let verify_quote = move |token: &str, key: &TokenKey| {
        Quote::verify(token, key, &quote.request, NOW).map(|read| assert_eq!(read, quote))
    };
    let verify_pass = move |token: &str, key: &TokenKey| {
        Pass::verify(token, key, &pass.route, NOW).map(|read| assert_eq!(read, pass))
    };
    let verify_credit = move |token: &str, key: &TokenKey| {
        let CreditAccount { chain_id, asset, seller, .. } = credit.account;
        let read = CreditToken::verify(token, key, chain_id, asset, seller);
        read.map(|read| assert_eq!(read, credit))
    };
    [
        (quote.sign(&key()), Box::new(verify_quote)),
        (pass.sign(&key()), Box::new(verify_pass)),
        (credit.sign(&key()), Box::new(verify_credit)),
    ]
}

#[test]
fn what_is_signed_is_read_again() {
    let mut random = Random(1);
    for _ in 0..1_000 {
        for (token, verify) in tokens(&mut random) {
            assert_eq!(verify(&token, &key()), Ok(()));
        }
    }
    let [quote, pass, credit] = tokens(&mut random).map(|(token, _)| token.len());
    assert_eq!([quote, pass, credit], [Quote::TOKEN_LEN, Pass::TOKEN_LEN, CreditToken::TOKEN_LEN]);
}

#[test]
fn every_other_text_is_refused() {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= é";
    for (token, verify) in tokens(&mut Random(2)) {
        for at in 0..token.len() {
            let (before, after) = (&token[..at], &token[at + 1..]);
            for other in alphabet.chars().filter(|other| !token[at..].starts_with(*other)) {
                let refused = verify(&format!("{before}{other}{after}"), &key());
                let is_right = matches!(refused, Err(TokenError::Forged | TokenError::Malformed));
                assert!(is_right, "{at} {other}");
            }
            let shorter = format!("{before}{after}");
            for other in [before, &shorter, &format!("{before}A{}", &token[at..])] {
                assert_eq!(verify(other, &key()), Err(TokenError::Malformed));
            }
        }
        assert_eq!(verify(&format!("{token}="), &key()), Err(TokenError::Malformed));
        assert_eq!(verify(&format!(" {token}"), &key()), Err(TokenError::Malformed));
    }
}

#[test]
fn another_key_is_refused() {
    let mut random = Random(3);
    for (token, verify) in tokens(&mut random) {
        let other = TokenKey::from_bytes(random.bytes());
        assert_eq!(verify(&token, &other), Err(TokenError::Forged));
    }
}

#[test]
fn a_token_of_another_kind_is_refused() {
    let tokens = tokens(&mut Random(4));
    for (i, (token, _)) in tokens.iter().enumerate() {
        for (j, (_, verify)) in tokens.iter().enumerate() {
            assert_eq!(verify(token, &key()).is_ok(), i == j);
        }
    }
}

#[test]
fn what_has_ended_is_refused_from_that_second_on() {
    let mut random = Random(5);
    let (quote, pass) = (random.quote(), random.pass());
    let quoted = |now| Quote::verify(&quote.sign(&key()), &key(), &quote.request, now);
    assert_eq!(quoted(quote.expires_at - 1), Ok(quote));
    assert_eq!(quoted(quote.expires_at), Err(TokenError::Expired));
    assert_eq!(quoted(u64::MAX), Err(TokenError::Expired));
    let passed = |now| Pass::verify(&pass.sign(&key()), &key(), &pass.route, now);
    assert_eq!(passed(pass.until - 1), Ok(pass));
    assert_eq!(passed(pass.until), Err(TokenError::Expired));
    assert_eq!((pass.remaining(pass.until - 3), pass.remaining(u64::MAX)), (3, 0));
}

#[test]
fn what_is_for_something_else_is_refused() {
    let mut random = Random(6);
    let (quote, pass, credit) = (random.quote(), random.pass(), random.credit());
    let request = RequestHash::of_request("POST", "/a", b"a larger body");
    let quoted = Quote::verify(&quote.sign(&key()), &key(), &request, NOW);
    assert_eq!(quoted, Err(TokenError::OtherRequest));
    let passed = Pass::verify(&pass.sign(&key()), &key(), &RouteHash::of("/b"), NOW);
    assert_eq!(passed, Err(TokenError::OtherRoute));
    let CreditAccount { chain_id, asset, seller, .. } = credit.account;
    for (chain_id, asset, seller) in [
        (ChainId::new(1), asset, seller),
        (chain_id, random.address(), seller),
        (chain_id, asset, random.address()),
    ] {
        let token = credit.sign(&key());
        let credited = CreditToken::verify(&token, &key(), chain_id, asset, seller);
        assert_eq!(credited, Err(TokenError::OtherAccount));
    }
}

/// Made with the modules `hmac`, `hashlib` and `base64` of Python 3.
#[test]
fn tokens_are_those_of_another_implementation() {
    let [asset, pay_to, payer] = [1, 2, 3].map(|byte| Address::new([byte; 20]));
    let chain_id = ChainId::new(8453);
    let quote = Quote {
        amount: Amount::from_units(10_000),
        chain_id,
        asset,
        pay_to,
        request: RequestHash::of_request("POST", "/api/analyze", b"{}"),
        expires_at: NOW,
    };
    let pass = Pass { payer, route: RouteHash::of("/api/stream"), until: NOW };
    let account = CreditAccount { payer, chain_id, asset, seller: pay_to };
    let credit = CreditToken { account };
    let derived = TokenKey::derive(b"a secret of many bytes").unwrap();
    assert_eq!(
        quote.sign(&key()),
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACcQAAAAAAAAIQUBAQEBAQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgICAgIC_rgxkJLdgkJucbSZtiH-AAtljSeT9Fg5vcdG_zPgk4AAAAAAZVPxAEDC63GST2najls7J-IWusJslDHeGsg80Hveudt8-SCq"
    );
    assert_eq!(
        pass.sign(&key()),
        "AgMDAwMDAwMDAwMDAwMDAwMDAwMDryCxTI3pSmmRCOBZEw4JX8BHo9XBuXoHt0AtZhzqpcgAAAAAZVPxAIBsBshmJJ6hdiDW3wotrLCEhTTrOHwCdF5-kawObvF9"
    );
    assert_eq!(
        credit.sign(&derived),
        "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAAAAAAAAIQUBAQEBAQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgICAgICeqV362evNveYVxzmScxjCtLCAFkRjHF2d9ckObg-MMk"
    );
}
