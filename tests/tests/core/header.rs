//! The payment in header fields: what is written is read, and what is not of the form is refused.

use proptest::prelude::*;
use x402_core::head::RequestHead;
use x402_core::headers::{Field, HeaderError, PaymentHeaders, SignatureForm, SignedPayment};
use x402_core::secp256k1::K256;
use x402_core::{
    Address, Asset, ChainId, Error, Moment, Nonce, Offer, Payment, PaymentId, SignatureError,
    Signer as _, Timestamp, Transfer,
};

use crate::arbitrary::{
    NOW, address, asset, cases, nonce, offer, owed, payer, payment, price, sign, signer, timestamp,
    usdc,
};

/// Header fields as a request carries them, to be changed at will.
#[derive(Clone, Debug)]
struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    fn of(payment: &SignedPayment, asset: &Asset<'_>, form: SignatureForm) -> Self {
        let mut fields = Vec::new();
        payment.emit(asset, form, |field, value| {
            fields.push((field.name().to_owned(), value.as_bytes().to_vec()));
        });
        Self(fields)
    }

    /// The good payment of these tests.
    fn good(form: SignatureForm) -> Self {
        Self::of(&signed(&offer()), usdc(), form)
    }

    fn get(&self, field: Field) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(name, _)| name == field.name())?;
        Some(core::str::from_utf8(value).unwrap())
    }

    fn without(mut self, field: Field) -> Self {
        self.0.retain(|(name, _)| name != field.name());
        self
    }

    fn also(mut self, field: Field, value: impl AsRef<[u8]>) -> Self {
        self.0.push((field.name().to_owned(), value.as_ref().to_vec()));
        self
    }

    fn with(self, field: Field, value: impl AsRef<[u8]>) -> Self {
        self.without(field).also(field, value)
    }

    /// With another signature of so many bytes, each of them 1.
    fn with_signature_of(self, length: usize) -> Self {
        self.with(Field::Signature, format!("0x{}", "01".repeat(length)))
    }

    fn collect(&self) -> Result<Option<PaymentHeaders<'_>>, HeaderError> {
        PaymentHeaders::collect(self.0.iter().map(|(name, value)| (name, &value[..])))
    }

    fn resolve(&self, offer: &Offer<'_>) -> Result<Payment, Error> {
        match self.collect() {
            Ok(Some(headers)) => headers.resolve(offer),
            Ok(None) => Err(Error::Missing),
            Err(error) => Err(Error::Malformed(error)),
        }
    }

    /// All the way to the payment's identity.
    fn check(&self, offer: &Offer<'_>) -> Result<PaymentId, Error> {
        let payment = self.resolve(offer)?;
        offer.requirements().check(&payment, &Moment::at(NOW), &K256).map(|checked| checked.id())
    }
}

fn signed(offer: &Offer<'_>) -> SignedPayment {
    let authorization = owed(offer);
    let signature = sign(&payer(), offer.requirements(), &authorization);
    SignedPayment { authorization, signature }
}

const FORMS: [SignatureForm; 2] = [SignatureForm::Packed, SignatureForm::Plain];

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn what_is_emitted_is_read_and_accepted(
        asset in asset(), pay_to in address(), price in price(), signer in signer(),
        nonce in nonce(), after in 0..NOW, before in NOW + 6..,
    ) {
        let offer = Offer::new(*asset, pay_to, price, 60);
        let mut authorization = owed(&offer);
        authorization.from = signer.address();
        authorization.nonce = nonce;
        authorization.valid_after = Timestamp::from_secs(after);
        authorization.valid_before = Timestamp::from_secs(before);
        let signature = sign(&signer, offer.requirements(), &authorization);
        let mut ids = Vec::new();
        for form in FORMS {
            let headers = Headers::of(&SignedPayment { authorization, signature }, asset, form);
            let resolved = headers.resolve(&offer).unwrap();
            prop_assert_eq!(resolved.transfer, Transfer::Eip3009(authorization));
            prop_assert_eq!(resolved.signature, Ok(signature));
            prop_assert_eq!((resolved.chain_id, resolved.asset), (asset.chain_id, asset.address));
            ids.push(headers.check(&offer).unwrap());
        }
        prop_assert_eq!(ids[0], ids[1]);
        prop_assert_eq!((ids[0].from, ids[0].nonce), (signer.address(), nonce));
    }

    #[test]
    fn times_beyond_64_bits_are_written_plainly(after in timestamp(), before in timestamp()) {
        let offer = offer();
        let mut authorization = owed(&offer);
        (authorization.valid_after, authorization.valid_before) = (after, before);
        let signature = sign(&payer(), offer.requirements(), &authorization);
        let payment = SignedPayment { authorization, signature };
        let headers = Headers::of(&payment, usdc(), SignatureForm::Packed);
        let is_packed = after.to_secs().is_some() && before.to_secs().is_some();
        prop_assert_eq!(headers.get(Field::From).is_none(), is_packed);
        prop_assert_eq!(headers.resolve(&offer).unwrap().transfer, Transfer::Eip3009(authorization));
    }

    #[test]
    fn no_value_of_any_field_is_a_panic(
        field in proptest::sample::select(&Field::OF_REQUEST[..]),
        value in proptest::collection::vec(any::<u8>(), 0..300),
        text in "(0x)?[0-9a-fA-F.]{0,210}",
    ) {
        for form in FORMS {
            for value in [&value[..], text.as_bytes()] {
                // A made-up value that still makes the good payment would have to be the good one.
                let headers = Headers::good(form).with(field, value);
                if let Ok(id) = headers.check(&offer()) {
                    prop_assert_eq!(id, Headers::good(form).check(&offer()).unwrap());
                }
            }
        }
    }

    #[test]
    fn fields_of_others_change_nothing(
        name in "[A-Za-z-]{1,20}", value in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let is_ours = Field::OF_REQUEST.iter().any(|field| field.name().eq_ignore_ascii_case(&name));
        prop_assume!(!is_ours);
        let mut headers = Headers::good(SignatureForm::Packed);
        let id = headers.check(&offer());
        headers.0.insert(0, (name, value));
        prop_assert_eq!(headers.check(&offer()), id);
    }
}

#[test]
fn the_four_fields_of_the_document_are_a_payment() {
    let headers = Headers::good(SignatureForm::Packed)
        .without(Field::Network)
        .with(Field::Nonce, "12345")
        .with(Field::Amount, "0.01");
    assert_eq!(headers.0.len(), 4);
    let id = headers.check(&offer()).unwrap();
    assert_eq!(id.nonce, Nonce::parse("12345").unwrap());
    assert_eq!(id.from, payer().address());
}

#[test]
fn a_request_as_bytes_is_a_payment() {
    let mut bytes = b"POST /api/analyze HTTP/1.1\r\nHost: example.com\r\n".to_vec();
    for (name, value) in &Headers::good(SignatureForm::Packed).0 {
        bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n{}");
    let head = RequestHead::<16>::parse(&bytes).unwrap().unwrap();
    let payment = PaymentHeaders::collect(head.fields()).unwrap().unwrap();
    let payment = payment.resolve(&offer()).unwrap();
    assert!(offer().requirements().check(&payment, &Moment::at(NOW), &K256).is_ok());
    assert_eq!(&bytes[head.len..], b"{}");
    for length in 0..head.len {
        assert!(RequestHead::<16>::parse(&bytes[..length]).unwrap().is_none(), "{length}");
    }
}

#[test]
fn one_payment_spelt_otherwise_is_the_same_payment() {
    let offer = offer();
    let id = Headers::good(SignatureForm::Packed).check(&offer).unwrap();
    let upper = |text: &str| format!("0x{}", text[2..].to_uppercase());
    for form in FORMS {
        let good = Headers::good(form);
        let signature = good.get(Field::Signature).unwrap().to_owned();
        let nonce = good.get(Field::Nonce).unwrap().to_owned();
        let respelt = [
            good.clone(),
            good.clone().with(Field::Signature, upper(&signature)),
            good.clone().with(Field::Nonce, upper(&nonce)),
            good.clone().with(Field::Nonce, "12345"),
            good.clone().with(Field::Amount, "0.010"),
            good.clone().with(Field::Amount, "0.010000"),
            good.clone().with(Field::Asset, usdc().address.to_string()),
            good.clone().with(Field::Asset, usdc().address.to_string().to_lowercase()),
            good.clone().with(Field::Network, "eip155:1"),
            good.clone().without(Field::Network),
            good.clone().with(Field::From, payer().address().to_string()),
            good.clone().with(Field::From, payer().address().to_string().to_lowercase()),
            Headers(good.0.iter().rev().cloned().collect()),
            Headers(good.0.iter().map(|(n, v)| (n.to_lowercase(), v.clone())).collect()),
            Headers(good.0.iter().map(|(n, v)| (n.to_uppercase(), v.clone())).collect()),
        ];
        for (at, headers) in respelt.iter().enumerate() {
            assert_eq!(headers.check(&offer), Ok(id), "{form:?} {at}");
        }
    }
}

#[test]
fn valid_after_is_zero_where_it_is_not_said() {
    let headers = Headers::good(SignatureForm::Plain);
    assert_eq!(headers.get(Field::ValidAfter), Some("0"));
    let id = headers.check(&offer());
    assert!(id.is_ok());
    assert_eq!(headers.without(Field::ValidAfter).check(&offer()), id);
}

#[test]
fn a_field_may_appear_once() {
    for field in Field::OF_REQUEST {
        let good = Headers::good(SignatureForm::Plain);
        let value = good.get(field).unwrap().to_owned();
        let mut twice = good.also(field, value);
        let error = Err(Error::Malformed(HeaderError::Duplicate(field)));
        assert_eq!(twice.check(&offer()), error);
        // Nor may it hide behind another spelling of its name.
        twice.0.last_mut().unwrap().0.make_ascii_lowercase();
        assert_eq!(twice.check(&offer()), error);
    }
}

#[test]
fn the_four_fields_are_there_or_there_is_no_payment() {
    let four = [Field::Signature, Field::Amount, Field::Asset, Field::Nonce];
    for form in FORMS {
        for field in four {
            let headers = Headers::good(form).without(field);
            let error = Err(Error::Malformed(HeaderError::Missing(field)));
            assert_eq!(headers.check(&offer()), error);
        }
        let none = four.into_iter().fold(Headers::good(form), Headers::without);
        assert!(none.collect().unwrap().is_none());
        assert!(Headers(Vec::new()).collect().unwrap().is_none());
    }
}

#[test]
fn a_plain_signature_is_completed_by_its_fields() {
    for field in [Field::From, Field::ValidBefore] {
        let headers = Headers::good(SignatureForm::Plain).without(field);
        let error = Err(Error::Malformed(HeaderError::Missing(field)));
        assert_eq!(headers.check(&offer()), error);
    }
}

#[test]
fn a_packed_signature_agrees_with_the_fields_beside_it() {
    for (field, same, other) in [
        (Field::From, payer().address().to_string(), usdc().address.to_string()),
        (Field::ValidAfter, "0".to_owned(), "1".to_owned()),
        (Field::ValidBefore, (NOW + 60).to_string(), (NOW + 61).to_string()),
    ] {
        let packed = Headers::good(SignatureForm::Packed);
        assert!(packed.clone().also(field, same).check(&offer()).is_ok());
        let error = Err(Error::Malformed(HeaderError::Invalid(field)));
        assert_eq!(packed.also(field, other).check(&offer()), error);
    }
}

#[test]
fn a_value_that_is_not_of_its_form_is_malformed() {
    let hex = |digits: usize| format!("0x{}", "0".repeat(digits));
    let good = Headers::good(SignatureForm::Packed);
    let signature = good.get(Field::Signature).unwrap().to_owned();
    let cases: [(Field, Vec<String>); 6] = [
        (
            Field::Amount,
            ["", "-0.01", "+0.01", "$0.01", ".01", "1e-2", "0,01", " 0.01", "00.01"]
                .map(Into::into)
                .into(),
        ),
        (
            Field::Nonce,
            vec![
                String::new(),
                "-1".into(),
                "012345".into(),
                "1.0".into(),
                "12 345".into(),
                hex(63),
                hex(66),
                hex(0),
            ],
        ),
        (
            Field::From,
            vec![
                String::new(),
                hex(38),
                hex(42),
                "vitalik.eth".into(),
                "0x5aAeb6053f3E94C9b9A09f33669435E7Ef1BeAed".into(),
            ],
        ),
        (Field::ValidAfter, ["", "-1", "0x0", "1.5", "now"].map(Into::into).into()),
        (
            Field::ValidBefore,
            vec![
                String::new(),
                "-1".into(),
                "1790000060.0".into(),
                "9".repeat(79),
                "1790000060 ".into(),
            ],
        ),
        (
            Field::Signature,
            vec![
                String::new(),
                signature[2..].into(),
                signature.replacen("0x", "0X", 1),
                format!("{}zz", &signature[..202]),
                signature.replacen('1', " ", 1),
            ],
        ),
    ];
    for (field, values) in cases {
        for value in values {
            let headers = Headers::good(SignatureForm::Plain).with(field, &value);
            let error = Err(Error::Malformed(HeaderError::Invalid(field)));
            assert_eq!(headers.check(&offer()), error, "{field}: {value}");
        }
    }
}

#[test]
fn bytes_that_are_not_printable_are_malformed() {
    for field in Field::OF_REQUEST {
        let good = Headers::good(SignatureForm::Plain);
        let value = good.get(field).unwrap().as_bytes().to_vec();
        for byte in (0..=0x1f).chain(0x7f..=0xff) {
            let headers = good.clone().with(field, [&value[..], &[byte]].concat());
            let error = Err(Error::Malformed(HeaderError::Invalid(field)));
            assert_eq!(headers.check(&offer()), error, "{field} {byte:#x}");
        }
    }
}

#[test]
fn a_signature_of_another_length_is_an_invalid_signature() {
    let good = Headers::good(SignatureForm::Plain);
    for length in [0, 1, 63, 66, 96, 97, 100, 102, 1 << 20] {
        let error = Err(Error::Signature(SignatureError::Length));
        assert_eq!(good.clone().with_signature_of(length).check(&offer()), error, "{length}");
    }
    let compact = good.with_signature_of(64).check(&offer());
    assert_eq!(compact, Err(Error::Signature(SignatureError::Compact)));
    assert_eq!(compact.unwrap_err().code().as_str(), "402.2");
}

#[test]
fn a_signature_that_the_token_refuses_is_an_invalid_signature() {
    let good = Headers::good(SignatureForm::Packed);
    let signature = good.get(Field::Signature).unwrap().to_owned();
    let (terms, rsv) = signature.split_at(2 + 2 * 36);
    let with = |rsv: String| good.clone().with(Field::Signature, format!("{terms}{rsv}"));
    let (r, s) = (&rsv[..64], &rsv[64..128]);
    let ones = "f".repeat(64);
    let zeros = "0".repeat(64);
    let high = format!("7fffffffffffffffffffffffffffffff{}", "f".repeat(32));
    for (rsv, error) in [
        (format!("{r}{s}00"), SignatureError::V),
        (format!("{r}{s}1d"), SignatureError::V),
        (format!("{r}{high}1b"), SignatureError::HighS),
        (format!("{r}{ones}1b"), SignatureError::Range),
        (format!("{zeros}{s}1b"), SignatureError::Range),
        (format!("{ones}{s}1b"), SignatureError::Range),
        (format!("{r}{zeros}1b"), SignatureError::Range),
    ] {
        assert_eq!(with(rsv).check(&offer()), Err(Error::Signature(error)));
    }
    let v = if rsv.ends_with("1b") { "1c" } else { "1b" };
    assert_eq!(with(format!("{r}{s}{v}")).check(&offer()), Err(Error::Signer));
}

/// What can be wrong in the fields, in the order in which it is found.
const FAULTS: [(Error, fn(Headers) -> Headers); 6] = [
    (Error::Network, |headers| headers.with(Field::Network, "base")),
    (Error::Asset, |headers| headers.with(Field::Asset, "EURC")),
    (Error::Amount, |headers| headers.with(Field::Amount, "0.009")),
    (Error::NotYetValid, |headers| headers.with(Field::ValidAfter, NOW.to_string())),
    (Error::Expired, |headers| headers.with(Field::ValidBefore, NOW.to_string())),
    (Error::Signer, |headers| headers.with(Field::From, usdc().address.to_string())),
];

#[test]
fn of_many_faults_the_first_is_named() {
    for faults in 0_u32..1 << FAULTS.len() {
        let present = || FAULTS.iter().enumerate().filter(|(at, _)| faults >> at & 1 == 1);
        let headers = present()
            .fold(Headers::good(SignatureForm::Plain), |headers, (_, (_, make))| make(headers));
        let first = present().next().map(|(_, (error, _))| *error);
        assert_eq!(headers.check(&offer()).err(), first, "{faults:06b}");
    }
}

#[test]
fn terms_are_judged_before_the_signatures_length() {
    let short = Headers::good(SignatureForm::Plain).with_signature_of(64);
    for (error, make) in &FAULTS[..3] {
        assert_eq!(make(short.clone()).check(&offer()), Err(*error));
    }
}

#[test]
fn another_network_or_asset_in_any_spelling_is_refused() {
    let good = Headers::good(SignatureForm::Packed);
    for network in ["base", "eip155:8453", "Ethereum", "eip155:01", "solana:devnet", "1", ""] {
        let headers = good.clone().with(Field::Network, network);
        assert_eq!(headers.check(&offer()), Err(Error::Network), "{network}");
    }
    let eurc = Asset::find(ChainId::ETHEREUM, "EURC").unwrap().address.to_string();
    for asset in ["EURC", "usdc", "USDC ", "", &eurc, "0x"] {
        let headers = good.clone().with(Field::Asset, asset);
        assert_eq!(headers.check(&offer()), Err(Error::Asset), "{asset}");
    }
}

#[test]
fn another_amount_in_any_spelling_is_refused() {
    let good = Headers::good(SignatureForm::Packed);
    let huge = "9".repeat(77);
    for amount in ["0.009999", "0.010001", "0.0100001", "0", "10000", "0.1", &huge] {
        let headers = good.clone().with(Field::Amount, amount);
        assert_eq!(headers.check(&offer()), Err(Error::Amount), "{amount}");
    }
}

#[test]
fn the_recipient_is_the_offers() {
    // The dialect does not say whom the payment is for: a payment to somebody else has another
    // digest, and so another signer.
    let other = Offer::new(*usdc(), Address::new([2; 20]), offer().requirements().amount, 60);
    let headers = Headers::of(&signed(&other), usdc(), SignatureForm::Packed);
    assert!(headers.check(&other).is_ok());
    assert_eq!(headers.check(&offer()), Err(Error::Signer));
    let payment = payment(other.requirements(), owed(&other));
    let checked = offer().requirements().check(&payment, &Moment::at(NOW), &K256);
    assert_eq!(checked.map(|_| ()), Err(Error::Recipient));
}
