//! The known answers of `tests/vectors`, by the runner that users have.

use x402_std::vectors::run;

macro_rules! files {
    ($($name:ident: $passed:literal,)*) => {$(
        #[test]
        fn $name() {
            let file = include_str!(concat!("../../vectors/", stringify!($name), ".json"));
            let report = run(file).unwrap();
            assert!(report.is_success(), "{report}");
            assert_eq!((report.format.to_string().as_str(), report.passed), (stringify!($name), $passed));
        }
    )*};
}

files! {
    eip3009_invalid: 39,
    eip3009_valid: 30,
    numbers: 38,
    price_products: 10,
    prices: 40,
    recover_eth: 486,
    sdk: 119,
    wycheproof_recover_policy: 252,
}
