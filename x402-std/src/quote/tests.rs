use x402_core::Asset;

use super::*;
use crate::ledger::CreditAccount;

const NOW: u64 = 1_700_000_000;

/// Those of the gateway that everything here is of.
fn keys() -> TokenKeys {
    keys_of("https://api.example.com")
}

fn keys_of(name: &str) -> TokenKeys {
    TokenKeys::new(name, &TokenKey::from_bytes(core::array::from_fn(|i| i as u8)), None)
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
            chain_id: ChainId::new(self.number()),
            asset: self.address(),
            pay_to: self.address(),
            route: RouteHash::from_bytes(self.bytes()),
            amount: Amount::from_be_bytes(self.bytes()),
            request: RequestHash::from_bytes(self.bytes()),
            expires_at: NOW + 1 + self.number() % 1_000,
        }
    }

    fn pass(&mut self) -> Pass {
        Pass {
            chain_id: ChainId::new(self.number()),
            asset: self.address(),
            pay_to: self.address(),
            route: RouteHash::of(&self.number().to_string()),
            price: Amount::from_be_bytes(self.bytes()),
            payer: self.address(),
            until: NOW + 1 + self.number() % 1_000,
        }
    }

    fn credit(&mut self) -> CreditToken {
        let account = CreditAccount {
            payer: self.address(),
            chain_id: ChainId::new(self.number()),
            asset: self.address(),
            seller: self.address(),
        };
        CreditToken { account, generation: self.number(), made_at: self.number() }
    }
}

/// A token, and what becomes of another one in its place.
type Token = (String, Box<dyn Fn(&str, &TokenKeys) -> Result<(), TokenError>>);

/// One of each kind.
fn tokens(random: &mut Random) -> [Token; 3] {
    let (quote, pass, credit) = (random.quote(), random.pass(), random.credit());
    let verify_quote = move |token: &str, keys: &TokenKeys| {
        let read = Quote::verify(token, keys, &quote.route, &quote.request, NOW);
        read.map(|read| assert_eq!(read, quote))
    };
    let verify_pass = move |token: &str, keys: &TokenKeys| {
        Pass::verify(token, keys, &pass.route, NOW).map(|read| assert_eq!(read, pass))
    };
    let verify_credit = move |token: &str, keys: &TokenKeys| {
        let CreditAccount { chain_id, asset, seller, .. } = credit.account;
        let read = CreditToken::verify(token, keys, chain_id, asset, seller);
        read.map(|read| assert_eq!(read, credit))
    };
    [
        (quote.sign(&keys()), Box::new(verify_quote)),
        (pass.sign(&keys()), Box::new(verify_pass)),
        (credit.sign(&keys()), Box::new(verify_credit)),
    ]
}

#[test]
fn what_is_signed_is_read_again() {
    let mut random = Random(1);
    for _ in 0..1_000 {
        for (token, verify) in tokens(&mut random) {
            assert_eq!(verify(&token, &keys()), Ok(()));
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
                let refused = verify(&format!("{before}{other}{after}"), &keys());
                let is_right = matches!(refused, Err(TokenError::Forged | TokenError::Malformed));
                assert!(is_right, "{at} {other}");
            }
            let shorter = format!("{before}{after}");
            for other in [before, &shorter, &format!("{before}A{}", &token[at..])] {
                assert_eq!(verify(other, &keys()), Err(TokenError::Malformed));
            }
        }
        assert_eq!(verify(&format!("{token}="), &keys()), Err(TokenError::Malformed));
        assert_eq!(verify(&format!(" {token}"), &keys()), Err(TokenError::Malformed));
    }
}

#[test]
fn another_key_is_refused() {
    let mut random = Random(3);
    for (token, verify) in tokens(&mut random) {
        let other = TokenKey::from_bytes(random.bytes());
        let other = TokenKeys::new("https://api.example.com", &other, None);
        assert_eq!(verify(&token, &other), Err(TokenError::Forged));
    }
}

#[test]
fn a_gateway_of_another_name_is_another() {
    for (token, verify) in tokens(&mut Random(7)) {
        for name in ["https://test.example.com", "https://api.example.com/", "ledger 0x00", ""] {
            assert_eq!(verify(&token, &keys_of(name)), Err(TokenError::Forged), "{name}");
        }
    }
}

#[test]
fn two_keys_at_a_time() {
    let [old, new, newest] = [1, 2, 3].map(|byte| TokenKey::from_bytes([byte; 32]));
    let of = |key, previous| TokenKeys::new("a", key, previous);
    let pass = Random(8).pass();
    let verify = |token: &str, keys| Pass::verify(token, &keys, &pass.route, NOW);
    let token = pass.sign(&of(&old, None));
    assert_eq!(verify(&token, of(&new, Some(&old))), Ok(pass));
    assert_eq!(verify(&token, of(&new, None)), Err(TokenError::Forged));
    assert_eq!(verify(&token, of(&newest, Some(&new))), Err(TokenError::Forged));
    assert_eq!(verify(&token, TokenKeys::new("b", &new, Some(&old))), Err(TokenError::Forged));
    // The new one signs.
    let token = pass.sign(&of(&new, Some(&old)));
    assert_eq!(verify(&token, of(&new, None)), Ok(pass));
    assert_eq!(verify(&token, of(&old, None)), Err(TokenError::Forged));
}

#[test]
fn a_token_of_another_kind_is_refused() {
    let tokens = tokens(&mut Random(4));
    for (i, (token, _)) in tokens.iter().enumerate() {
        for (j, (_, verify)) in tokens.iter().enumerate() {
            assert_eq!(verify(token, &keys()).is_ok(), i == j);
        }
    }
}

#[test]
fn what_has_ended_is_refused_from_that_second_on() {
    let mut random = Random(5);
    let (quote, pass) = (random.quote(), random.pass());
    let token = quote.sign(&keys());
    let quoted = |now| Quote::verify(&token, &keys(), &quote.route, &quote.request, now);
    assert_eq!(quoted(quote.expires_at - 1), Ok(quote));
    assert_eq!(quoted(quote.expires_at), Err(TokenError::Expired));
    assert_eq!(quoted(u64::MAX), Err(TokenError::Expired));
    let passed = |now| Pass::verify(&pass.sign(&keys()), &keys(), &pass.route, now);
    assert_eq!(passed(pass.until - 1), Ok(pass));
    assert_eq!(passed(pass.until), Err(TokenError::Expired));
    assert_eq!((pass.remaining(pass.until - 3), pass.remaining(u64::MAX)), (3, 0));
}

#[test]
fn what_is_for_something_else_is_refused() {
    let mut random = Random(6);
    let (quote, pass, credit) = (random.quote(), random.pass(), random.credit());
    let request = RequestHash::of_request("POST", "/a", b"a larger body");
    let token = quote.sign(&keys());
    let quoted = Quote::verify(&token, &keys(), &quote.route, &request, NOW);
    assert_eq!(quoted, Err(TokenError::OtherRequest));
    let quoted = Quote::verify(&token, &keys(), &RouteHash::of("/b"), &quote.request, NOW);
    assert_eq!(quoted, Err(TokenError::OtherRoute));
    let passed = Pass::verify(&pass.sign(&keys()), &keys(), &RouteHash::of("/b"), NOW);
    assert_eq!(passed, Err(TokenError::OtherRoute));
    let CreditAccount { chain_id, asset, seller, .. } = credit.account;
    for (chain_id, asset, seller) in [
        (ChainId::new(1), asset, seller),
        (chain_id, random.address(), seller),
        (chain_id, asset, random.address()),
    ] {
        let token = credit.sign(&keys());
        let credited = CreditToken::verify(&token, &keys(), chain_id, asset, seller);
        assert_eq!(credited, Err(TokenError::OtherAccount));
    }
}

#[test]
fn what_is_paid_otherwise_is_another_offer() {
    let usdc = Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
    let terms =
        |asset: Asset<'static>, pay_to| Offer::new(asset, pay_to, Amount::from_units(1), 60);
    let mut random = Random(9);
    let (pay_to, quote, pass) = (random.address(), random.quote(), random.pass());
    let (chain_id, asset) = (usdc.chain_id, usdc.address);
    let (quote, pass) =
        (Quote { chain_id, asset, pay_to, ..quote }, Pass { chain_id, asset, pay_to, ..pass });
    let is_for = |offer: &Offer<'_>| {
        assert_eq!(quote.is_for(offer), pass.is_for(offer));
        pass.is_for(offer)
    };
    assert!(is_for(&terms(*usdc, pay_to)));
    assert!(!is_for(&terms(*usdc, random.address())));
    assert!(!is_for(&terms(Asset { chain_id: ChainId::new(11_155_111), ..*usdc }, pay_to)));
    assert!(!is_for(&terms(Asset { address: random.address(), ..*usdc }, pay_to)));
}

/// What is signed, but says something that no version has said.
#[test]
fn what_earlier_versions_signed_and_other_units_are_malformed() {
    let key = TokenKey::from_bytes([0; 32]);
    // The three kinds of the first version, by a key that was not a gateway's.
    for token in [
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACcQAAAAAAAAIQUBAQEBAQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgICAgIC_rgxkJLdgkJucbSZtiH-AAtljSeT9Fg5vcdG_zPgk4AAAAAAZVPxAEDC63GST2najls7J-IWusJslDHeGsg80Hveudt8-SCq",
        "AgMDAwMDAwMDAwMDAwMDAwMDAwMDryCxTI3pSmmRCOBZEw4JX8BHo9XBuXoHt0AtZhzqpcgAAAAAZVPxAIBsBshmJJ6hdiDW3wotrLCEhTTrOHwCdF5-kawObvF9",
        "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAAAAAAAAIQUBAQEBAQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgICAgICeqV362evNveYVxzmScxjCtLCAFkRjHF2d9ckObg-MMk",
    ] {
        for (_, verify) in tokens(&mut Random(10)) {
            assert_eq!(verify(token, &TokenKeys::new("a", &key, None)), Err(TokenError::Malformed));
        }
    }
    // By the hour, perhaps; made as the tokens below.
    let hours = "BQAAAAAAACEFAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAvE-lzTARuI-PkVXTgGVGUqLTg5I7Xnuh4PbZ4BYG3u-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABMS0ACAwMDAwMDAwMDAwMDAwMDAwMDAwMAAAAAZVPxABJN8TtfHbweus3ofxvouCD3NIgXKwZOMotYJE_AVnfD";
    let route = RouteHash::of(" /api/stream/ *");
    assert_eq!(Pass::verify(hours, &keys(), &route, NOW - 1), Err(TokenError::Malformed));
}

/// One of a version that could not replace it, made as those below.
#[test]
fn a_name_that_could_not_be_replaced_is_not_read() {
    let derived = TokenKey::derive(b"a secret of many bytes").unwrap();
    let derived = TokenKeys::new("gateway of Zürich", &derived, None);
    let old = "BgMDAwMDAwMDAwMDAwMDAwMDAwMDAAAAAAAAIQUBAQEBAQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgICAgICiTufHajfdWr7XCfuyQYAMhcZoeL8-K_cEVPlr4gbT30";
    let [asset, seller] = [1, 2].map(|byte| Address::new([byte; 20]));
    let read = CreditToken::verify(old, &derived, ChainId::new(8453), asset, seller);
    assert_eq!(read, Err(TokenError::Malformed));
}

#[test]
fn a_name_is_as_old_as_it_says() {
    let credit = CreditToken { made_at: NOW, ..Random(10).credit() };
    assert!(!credit.is_older_than(60, NOW + 60) && credit.is_older_than(60, NOW + 61));
    assert!(!credit.is_older_than(0, NOW) && !credit.is_older_than(0, NOW - 1), "another's clock");
}

/// Made with the modules `hmac`, `hashlib` and `base64` of Python 3.
#[test]
fn tokens_are_those_of_another_implementation() {
    let [asset, pay_to, payer] = [1, 2, 3].map(|byte| Address::new([byte; 20]));
    let chain_id = ChainId::new(8453);
    let quote = Quote {
        chain_id,
        asset,
        pay_to,
        route: RouteHash::of("POST /api/analyze"),
        amount: Amount::from_units(10_000),
        request: RequestHash::of_request("POST", "/api/analyze", b"{}"),
        expires_at: NOW,
    };
    let (route, price) = (RouteHash::of(" /api/stream/ *"), Amount::from_units(5_000_000));
    let pass = Pass { chain_id, asset, pay_to, route, price, payer, until: NOW };
    let account = CreditAccount { payer, chain_id, asset, seller: pay_to };
    let credit = CreditToken { account, generation: 3, made_at: NOW };
    let derived = TokenKey::derive(b"a secret of many bytes").unwrap();
    let derived = TokenKeys::new("gateway of Zürich", &derived, None);
    assert_eq!(
        quote.sign(&keys()),
        "BAAAAAAAACEFAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAs5lmIMNptvQpZkBIliG2poyhYgk6aHTZZQhAF8UxrclAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAJxD-uDGQkt2CQm5xtJm2If4AC2WNJ5P0WDm9x0b_M-CTgAAAAABlU_EAfmU5t0v27nt8el-81yj23ahnUTxKGa7tEmXkjnUGzSc"
    );
    assert_eq!(
        pass.sign(&keys()),
        "BQAAAAAAACEFAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAvE-lzTARuI-PkVXTgGVGUqLTg5I7Xnuh4PbZ4BYG3u-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABMS0ABAwMDAwMDAwMDAwMDAwMDAwMDAwMAAAAAZVPxAJtVQiLUUbHJ9hYB5x_4kBmE6-zHo6w8gOnT25KyWhLV"
    );
    assert_eq!(
        credit.sign(&derived),
        "BwMDAwMDAwMDAwMDAwMDAwMDAwMDAAAAAAAAIQUBAQEBAQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgICAgICAAAAAAAAAAMAAAAAZVPxAMGHORZxvZf05RlDIyP_w6PXnDHhR_mtK7x1LP0Q-ZTA"
    );
}
