//! Prices: what is read, added, multiplied and rounded is what it is on paper.
#![no_main]

use libfuzzer_sys::fuzz_target;
use num_bigint::BigUint;
use x402_core::{Amount, Price, PriceError};
use x402_fuzz::Cut;
use x402_fuzz::paper::{Paper, held, units};

fuzz_target!(|data: &[u8]| {
    let mut cut = Cut(data);
    let (decimals, quantity) = (cut.byte(), cut.number());
    let Some(text) = cut.text() else { return };
    let (one, other) = text.split_once('\n').unwrap_or((text, "0.1"));
    let Some((one, one_paper)) = read(one) else { return };
    check_amounts(&one, &one_paper, decimals);
    check_times(&one, &one_paper, quantity);
    let Some((other, other_paper)) = read(other) else { return };
    let (sum, paper) = (one.plus(&other), one_paper.plus(&other_paper));
    assert_eq!(sum.is_ok(), paper.fits());
    if let Ok(sum) = sum {
        assert!(Paper::parse(&sum.to_string()).unwrap().equals(&paper));
        check_amounts(&sum, &paper, decimals);
    }
});

/// A price is what is a plain decimal, of at most 255 decimals, whose digits 256 bits hold.
fn read(text: &str) -> Option<(Price, Paper)> {
    let paper =
        Paper::parse(text).filter(|paper| paper.mantissa.bits() <= 256 && paper.scale <= 255);
    let price = Price::parse(text);
    // Zeros in front of digits are digits too: more than 78 are never a number.
    assert!(price.is_err() || paper.is_some(), "{text}");
    let is_long = text.len() > 78;
    assert!(price.is_ok() || paper.is_none() || is_long, "{text}");
    let money = text.strip_prefix('$').unwrap_or(text);
    assert_eq!(Price::parse_money(text).is_ok(), Price::parse(money).is_ok());
    let (price, paper) = (price.ok()?, paper?);
    assert_eq!(price.is_zero(), paper.is_zero());
    let shown = price.to_string();
    assert!(Paper::parse(&shown).expect("a plain decimal").equals(&paper));
    assert!(!shown.contains('.') || !shown.ends_with(['0', '.']));
    assert_eq!(Price::parse(&shown).expect("it was shown").to_string(), shown);
    Some((price, paper))
}

fn check_amounts(price: &Price, paper: &Paper, decimals: u8) {
    if decimals > 77 {
        for amount in [price.to_amount(decimals), price.to_amount_floor(decimals)] {
            assert_eq!(amount, Err(PriceError::Precision));
        }
        return;
    }
    let (down, is_cut) = paper.floor(decimals);
    let amount = |amount: Result<Amount, PriceError>| amount.ok().map(units);
    assert_eq!(amount(price.to_amount_floor(decimals)), held(down.clone()));
    assert_eq!(amount(price.to_amount_ceil(decimals)), held(paper.ceil(decimals)));
    let exact = Some(down).filter(|_| !is_cut).and_then(held);
    assert_eq!(amount(price.to_amount(decimals)), exact);
    if let Ok(amount) = price.to_amount(decimals) {
        assert_eq!(amount.to_price(decimals).to_string(), price.to_string());
    }
}

fn check_times(price: &Price, paper: &Paper, quantity: u64) {
    let product = price.times(quantity);
    let paper = paper.times(&Paper { mantissa: BigUint::from(quantity), scale: 0 });
    assert_eq!(product.is_ok(), paper.fits());
    if let Ok(product) = product {
        assert!(Paper::parse(&product.to_string()).unwrap().equals(&paper));
    }
}
