/*!
Every entry point of `x402-core`, as C functions for a Cortex-M0, with no allocator to link to.

`cargo check` does not find an allocation: a library may ask for an allocator that somebody else
will bring. A static library brings everything, so that the compiler stops at the first crate of the
graph that says `extern crate alloc`: "no global memory allocator found". That this happens is itself
checked: with the feature `alloc-canary` the build must fail, and with those words
(`tests/run firmware`).

Arguments are references to arrays of fixed size and lengths, which are clamped; what is returned
is a number of bytes, or a negative number for a refusal. It is a proof, not an interface.
*/
#![no_std]
#![deny(missing_docs)]

use core::fmt::Write as _;
use core::num::NonZeroU32;
use core::panic::PanicInfo;

use x402_core::buyer::{Policy, Unsigned};
use x402_core::condition::{Condition, Declared, Facts, Kind, Number, Value};
use x402_core::eip3009::CancelAuthorization;
use x402_core::head::{RequestHead, ResponseHead};
use x402_core::headers::{ChallengeHeaders, PaymentHeaders, SignatureForm, emit_challenge};
use x402_core::secp256k1::{K256, K256Signer, Vartime};
use x402_core::settlement::{Log, Receipt, Submitter};
use x402_core::state::{Event, State, Transition};
use x402_core::tariff::{Factor, Model, Multiplier, QuoteError, Tariff, Usage};
use x402_core::window::Limits;
use x402_core::wire::base64::{self, Base64};
use x402_core::wire::{
    Answers, Challenge, PaymentFlow, PaymentPayload, PaymentRequired, Resource, SignedPayload,
    Version,
};
use x402_core::{
    Address, Amount, Asset, ChainId, Claimed, Digest, Error, LogOrder, Moment, Nonce, Offer,
    Payment, Price, Recover as _, Refusal, Scheme, Signature, Signer as _, Timestamp, Transfer,
    TransferMethod, Window,
};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// The bytes of a message or of a text.
type Buffer = [u8; 1024];

const REFUSED: i32 = -1;

fn text(buffer: &Buffer, len: usize) -> &str {
    let bytes = buffer.get(..len).unwrap_or(buffer);
    core::str::from_utf8(bytes).unwrap_or_default()
}

/// Writes to a lent buffer, and stops where it is full.
struct Writer<'b> {
    buffer: &'b mut Buffer,
    len: usize,
}

impl Writer<'_> {
    fn len(&self) -> i32 {
        i32::try_from(self.len).unwrap_or(REFUSED)
    }

    fn field(&mut self, name: &str, value: &str) {
        let _ = write!(self, "{name}: {value}\r\n");
    }
}

impl core::fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let rest = self.buffer.get_mut(self.len..).unwrap_or_default();
        let slot = rest.get_mut(..text.len()).ok_or(core::fmt::Error)?;
        slot.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

fn offer(pay_to: &[u8; 20]) -> Option<Offer<'static>> {
    let asset = Asset::find(ChainId::ETHEREUM, "USDC")?;
    let price = Price::parse("0.01").ok()?;
    let tariff: Tariff = Tariff::new(Model::PerRequest { price }, asset.decimals).ok()?;
    let amount = tariff.quote(&Usage::default(), &()).ok()?;
    Some(Offer::new(*asset, Address::new(*pay_to), amount, 60))
}

/// The seller: the bytes of a request in; calldata out, or the body of the refusal.
#[unsafe(no_mangle)]
pub extern "C" fn x402_sell(
    bytes: &Buffer,
    len: usize,
    pay_to: &[u8; 20],
    now: u64,
    out: &mut Buffer,
) -> i32 {
    let Some(offer) = offer(pay_to) else { return REFUSED };
    let bytes = bytes.get(..len).unwrap_or(bytes);
    match payment(bytes, &offer).and_then(|payment| accept(&payment, &offer, now)) {
        Ok(claimed) => claimed.calldata(&[], out).map_or(REFUSED, |calldata| calldata.len() as i32),
        Err(error) => match Refusal::from(error).emit(out) {
            Some(body) => -(body.len() as i32),
            None => REFUSED,
        },
    }
}

fn payment(bytes: &[u8], offer: &Offer<'_>) -> Result<Payment, Error> {
    let Ok(Some(head)) = RequestHead::<16>::parse(bytes) else { return Err(Error::Missing) };
    let headers = PaymentHeaders::collect(head.fields()).map_err(Error::Malformed)?;
    headers.ok_or(Error::Missing)?.resolve(offer)
}

fn accept(payment: &Payment, offer: &Offer<'_>, now: u64) -> Result<Claimed, Error> {
    let terms = offer.requirements();
    terms.identify(payment, &K256)?;
    let moment = Moment::at(now);
    let checked = terms.check(payment, &moment, &Vartime)?;
    let limits = Limits { owed: Amount::from_units(50_000), horizon_seconds: 600 };
    let claim = Window::<4>::new(limits).reserve(&checked, moment.now);
    checked.claimed(claim.map_err(|_| Error::Missing)?).map_err(|_| Error::Missing)
}

/// The seller's 402 in header fields.
#[unsafe(no_mangle)]
pub extern "C" fn x402_challenge(pay_to: &[u8; 20], code: u8, out: &mut Buffer) -> i32 {
    let Some(offer) = offer(pay_to) else { return REFUSED };
    let code = x402_core::Code::ALL.get(usize::from(code)).copied();
    let mut writer = Writer { buffer: out, len: 0 };
    emit_challenge(&offer, code, |field, value| writer.field(field.name(), value));
    writer.len()
}

/// The buyer: the bytes of a 402 in; the header fields of the paid request out.
#[unsafe(no_mangle)]
pub extern "C" fn x402_buy(
    bytes: &Buffer,
    len: usize,
    key: &[u8; 32],
    nonce: &[u8; 32],
    now: u64,
    plain: bool,
    out: &mut Buffer,
) -> i32 {
    let bytes = bytes.get(..len).unwrap_or(bytes);
    let form = if plain { SignatureForm::Plain } else { SignatureForm::Packed };
    buy(bytes, key, nonce, now, form, out).unwrap_or(REFUSED)
}

fn buy(
    bytes: &[u8],
    key: &[u8; 32],
    nonce: &[u8; 32],
    now: u64,
    form: SignatureForm,
    out: &mut Buffer,
) -> Option<i32> {
    let head = ResponseHead::<16>::parse(bytes).ok()??;
    let challenge = ChallengeHeaders::collect(head.fields()).ok()??;
    let asset = Asset::find(challenge.chain_id, challenge.asset)?;
    let offer = challenge.offer(asset)?;
    let signer = K256Signer::from_bytes(key).ok()?;
    let policy = Policy::up_to(Price::parse_money("$0.05").ok()?);
    let now = Timestamp::from_secs(now);
    let unsigned =
        Unsigned::new(&offer, &policy, signer.address(), Nonce::new(*nonce), now).ok()?;
    let Ok(signature) = signer.sign(unsigned.digest());
    let payment = unsigned.sign(signature).headers()?;
    let mut writer = Writer { buffer: out, len: 0 };
    payment.emit(asset, form, |field, value| writer.field(field.name(), value));
    Some(writer.len())
}

/// The seller's 402 in v2, as the header field, and then the members of v1's body.
#[unsafe(no_mangle)]
pub extern "C" fn x402_terms(pay_to: &[u8; 20], is_v1: bool, out: &mut Buffer) -> i32 {
    let Some(offer) = offer(pay_to) else { return REFUSED };
    let offers = [offer, offer.by_permit2(), offer.up_to(Address::new(*pay_to))];
    let challenge = Challenge {
        error: "Payment required",
        resource: Resource { url: "http://device/", ..Resource::default() },
        offers: &offers,
        quotes: &[],
        flow: PaymentFlow::Upfront,
        extensions: "",
        output_schema: "",
    };
    let mut writer = Writer { buffer: out, len: 0 };
    let written = if is_v1 {
        write!(writer, "{}", challenge.v1_members())
    } else {
        write!(writer, "{}", Base64(challenge.v2()))
    };
    if written.is_ok() { writer.len() } else { REFUSED }
}

/// The seller: a payload of v1 or v2, in base64, in; calldata out.
#[unsafe(no_mangle)]
pub extern "C" fn x402_wire(
    bytes: &Buffer,
    len: usize,
    pay_to: &[u8; 20],
    now: u64,
    out: &mut Buffer,
) -> i32 {
    let Some(offer) = offer(pay_to) else { return REFUSED };
    let bytes = bytes.get(..len).unwrap_or(bytes);
    let mut json = [0; 1024];
    let Ok(json) = base64::decode(bytes, &mut json) else { return REFUSED };
    let Ok(payload) = PaymentPayload::parse(json) else { return REFUSED };
    let payment = payload.payment(offer.requirements().asset);
    match payment.and_then(|payment| accept(&payment, &offer, now)) {
        Ok(claimed) => claimed.calldata(&[], out).map_or(REFUSED, |data| data.len() as i32),
        Err(_) => REFUSED,
    }
}

/// The buyer: the terms of v1 or v2 as JSON in; the payload in base64 out.
#[unsafe(no_mangle)]
pub extern "C" fn x402_answer(
    bytes: &Buffer,
    len: usize,
    key: &[u8; 32],
    nonce: &[u8; 32],
    now: u64,
    out: &mut Buffer,
) -> i32 {
    answer(bytes.get(..len).unwrap_or(bytes), key, nonce, now, out).unwrap_or(REFUSED)
}

fn answer(
    bytes: &[u8],
    key: &[u8; 32],
    nonce: &[u8; 32],
    now: u64,
    out: &mut Buffer,
) -> Option<i32> {
    let required = PaymentRequired::parse(bytes).ok()?;
    let terms = required.accepts().flatten().find(|terms| terms.flow().is_some())?;
    let asset = Asset::find_by_address(terms.chain_id()?, terms.asset()?)?;
    let offer = Offer::new(*asset, terms.pay_to()?, terms.amount()?, terms.max_timeout_seconds);
    let offer = match terms.scheme()? {
        Scheme::Exact(TransferMethod::Permit2) => offer.by_permit2(),
        Scheme::Upto { facilitator } => offer.up_to(facilitator),
        _ => offer,
    };
    let signer = K256Signer::from_bytes(key).ok()?;
    let policy = Policy::up_to(Price::parse("0.05").ok()?);
    let (nonce, now) = (Nonce::new(*nonce), Timestamp::from_secs(now));
    let unsigned = Unsigned::new(&offer, &policy, signer.address(), nonce, now).ok()?;
    let Ok(signature) = signer.sign(unsigned.digest());
    let signed = unsigned.sign(signature);
    let answers = match terms.version {
        Version::V1 => Answers::V1(terms.chain_id()?),
        Version::V2 => Answers::V2 { accepted: terms.raw.raw(), resource: "", extensions: "" },
    };
    let rsv = signature.to_rsv();
    let payload = SignedPayload { transfer: &signed.transfer, signature: &rsv, answers };
    let mut writer = Writer { buffer: out, len: 0 };
    write!(writer, "{}", Base64(payload)).ok()?;
    Some(writer.len())
}

/// Whether a receipt with these two logs pays for a payment out of the ledger.
#[unsafe(no_mangle)]
pub extern "C" fn x402_settle(
    payment: &[u8; Claimed::LEN],
    token: &[u8; 20],
    topics: &[[[u8; 32]; 3]; 2],
    value: &[u8; 32],
    succeeded: bool,
) -> i32 {
    let Ok(claimed) = Claimed::from_bytes(payment) else { return REFUSED };
    let address = Address::new(*token);
    let [used, transfer] = topics;
    let logs =
        [Log { address, topics: used, data: &[] }, Log { address, topics: transfer, data: value }];
    let (submitter, order) = (Submitter::Own, LogOrder::TransferNext);
    let receipt = Receipt { succeeded, logs: &logs, submitter, order };
    match claimed.settled(&receipt, |_| false) {
        Ok(paid) => i32::from(paid.settled.id() == claimed.id()),
        Err(_) => REFUSED,
    }
}

/// A price times a count, in atomic units; its text goes to `out`.
#[unsafe(no_mangle)]
pub extern "C" fn x402_price(
    price: &Buffer,
    len: usize,
    count: u64,
    decimals: u8,
    out: &mut Buffer,
) -> i32 {
    let amount = |price: Price| price.times(count)?.to_amount_ceil(decimals);
    let Ok(amount) = Price::parse(text(price, len)).and_then(amount) else { return REFUSED };
    let mut writer = Writer { buffer: out, len: 0 };
    match write!(writer, "{amount} {}", amount.to_price(decimals)) {
        Ok(()) => writer.len(),
        Err(_) => REFUSED,
    }
}

/// What the body of a request has.
struct Length<'a>(&'a Buffer, usize);

impl Facts for Length<'_> {
    fn fact(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "body_length" => Some(Value::Number(Number::from(self.1 as u64))),
            "text" => Some(Value::Text(text(self.0, self.1))),
            "number" => Number::parse(text(self.0, self.1)).map(Value::Number),
            _ => None,
        }
    }
}

/// What costs ten cents, and by a condition another multiple of it; the steps go to `out`.
#[unsafe(no_mangle)]
pub extern "C" fn x402_tariff(
    condition: &Buffer,
    len: usize,
    body: &Buffer,
    body_len: usize,
    out: &mut Buffer,
) -> i32 {
    let mut writer = Writer { buffer: out, len: 0 };
    let body = Length(body, body_len);
    match explain(text(condition, len), &body, &mut writer) {
        Ok(_) => writer.len(),
        Err(_) => REFUSED,
    }
}

fn explain(source: &str, body: &Length<'_>, writer: &mut Writer<'_>) -> Result<Amount, QuoteError> {
    let known = [Declared { name: "body_length", kind: Kind::Number }];
    let condition = Condition::parse(source)
        .and_then(|condition| condition.check(&known).map(|()| condition))
        .inspect_err(|error| {
            let _ = write!(writer, "{}\n{error}", error.underline(source));
            if let Some(suggestion) = error.suggestion(source, &known) {
                let _ = write!(writer, "; {suggestion}?");
            }
        })
        .map_err(|error| QuoteError::Condition { multiplier: 0, error })?;
    let multipliers = [Multiplier { condition, factor: Factor::parse("1.5")? }];
    let base_price = Price::parse("0.1")?;
    let model = Model::Dynamic { base_price, multipliers: multipliers.as_slice() };
    Tariff::new(model, 6)?.explain(&Usage::default(), body, |step| {
        let _ = writeln!(writer, "{step}");
    })
}

/// What so many tokens cost, at most, and then so many, in units of a millionth.
#[unsafe(no_mangle)]
pub extern "C" fn x402_metered(tokens: u64, used: u64, milliseconds: u64, out: &mut Buffer) -> i32 {
    let mut writer = Writer { buffer: out, len: 0 };
    match meter(tokens, used, milliseconds) {
        Ok((tokens, minutes)) => match write!(writer, "{tokens} {minutes}") {
            Ok(()) => writer.len(),
            Err(_) => REFUSED,
        },
        Err(_) => REFUSED,
    }
}

fn meter(tokens: u64, used: u64, milliseconds: u64) -> Result<(Amount, Amount), QuoteError> {
    let (input_price, output_price) = (Price::parse("0.00001")?, Price::parse("0.00003")?);
    let per_token: Tariff = Tariff::new(Model::PerToken { input_price, output_price }, 6)?;
    let per_token = per_token.bounded(None, Some(Price::parse("1")?))?;
    let ceiling = per_token.quote(&Usage::tokens(used, tokens), &())?;
    let charge = per_token.charge(&Usage::tokens(used, used), &(), ceiling)?;
    let price = Price::parse("0.10")?;
    let model = Model::PerMinute { price, minimum_minutes: NonZeroU32::MIN };
    let per_minute: Tariff = Tariff::new(model, 6)?;
    let minutes = Usage { minutes: per_minute.minutes(milliseconds), ..Usage::default() };
    Ok((charge, per_minute.quote(&minutes, &())?))
}

/// The signer of a digest, found twice.
#[unsafe(no_mangle)]
pub extern "C" fn x402_recover(digest: &[u8; 32], rsv: &[u8; 65], out: &mut [u8; 42]) -> i32 {
    let digest = Digest::new(*digest);
    let recovered = Signature::from_slice(rsv).and_then(|signature| {
        let address = Vartime.recover(&digest, &signature)?;
        K256.recover(&digest, &signature).map(|other| (address, other))
    });
    match recovered {
        Ok((address, other)) if address == other => {
            *out = address.checksummed();
            42
        }
        Ok(_) | Err(_) => REFUSED,
    }
}

/// The other digests of EIP-3009, and the calldata with the signature as bytes.
#[unsafe(no_mangle)]
pub extern "C" fn x402_authorize(
    payment: &[u8; Claimed::LEN],
    digests: &mut [[u8; 32]; 2],
    out: &mut Buffer,
) -> i32 {
    let Ok(claimed) = Claimed::from_bytes(payment) else { return REFUSED };
    let &Transfer::Eip3009(terms) = claimed.transfer() else { return REFUSED };
    let Some(asset) = Asset::find_by_address(claimed.chain_id(), claimed.asset()) else {
        return REFUSED;
    };
    let domain = asset.domain().separator();
    let cancel = CancelAuthorization { authorizer: terms.from, nonce: terms.nonce };
    *digests = [terms.receive_digest(&domain), cancel.digest(&domain)].map(|d| *d.as_bytes());
    let signature = &payment[Claimed::LEN - Signature::LEN..];
    terms.calldata_with_bytes(signature, out).map_or(REFUSED, |data| data.len() as i32)
}

/// Reads a text as everything that the wire has.
#[unsafe(no_mangle)]
pub extern "C" fn x402_parse(buffer: &Buffer, len: usize) -> i32 {
    let text = text(buffer, len);
    let read = [
        Address::parse(text).is_ok(),
        Amount::parse(text).is_ok(),
        ChainId::parse(text).is_ok(),
        Nonce::parse(text).is_ok(),
        Price::parse(text).is_ok(),
        Timestamp::parse(text).is_ok(),
        x402_core::Code::parse(text).is_some(),
        x402_core::Reason::parse(text).is_some(),
    ];
    read.iter().map(|read| i32::from(*read)).sum()
}

/// Whether a payment that was claimed, journalled and confirmed is settled.
#[unsafe(no_mangle)]
pub extern "C" fn x402_state(is_confirmed: bool) -> i32 {
    let event = if is_confirmed { Event::Confirmed } else { Event::TimedOut };
    match State::Broadcast.on(event) {
        Ok(Transition::To(state)) => i32::from(!state.is_open()),
        Ok(Transition::Release) | Err(_) => REFUSED,
    }
}

/// Puts payments of the ledger into a window, moves them on by `event`, and counts what is held.
#[unsafe(no_mangle)]
pub extern "C" fn x402_window(
    payments: &[[u8; Claimed::LEN]; 2],
    is_confirmed: bool,
    now: u64,
    out: &mut [[u8; Claimed::LEN]; 2],
) -> i32 {
    let mut window =
        Window::<4>::new(Limits { owed: Amount::from_units(50_000), horizon_seconds: 600 });
    window.advance(Timestamp::from_secs(now));
    for claimed in payments.iter().flat_map(Claimed::from_bytes) {
        let event = if is_confirmed { Event::Confirmed } else { Event::TimedOut };
        let restored = window.restore(&claimed, State::Broadcast).is_ok();
        if !restored || window.apply(&claimed.id(), event).is_err() {
            return REFUSED;
        }
    }
    for (slot, claimed) in out.iter_mut().zip(window.unsettled()) {
        *slot = claimed.to_bytes();
    }
    window.len() as i32
}

#[cfg(feature = "alloc-canary")]
mod canary {
    extern crate alloc;

    /// Allocates.
    #[unsafe(no_mangle)]
    pub extern "C" fn x402_canary(len: usize) -> usize {
        let bytes: alloc::vec::Vec<u8> = core::iter::repeat_n(1, len).collect();
        bytes.iter().map(|byte| usize::from(*byte)).sum()
    }
}
