//! The exchanges that were captured of the official middlewares, in v2 (`@x402/express`) and v1
//! (`x402-express`), with our layer in their place and the same facilitator behind it.

use serde_json::{Value, json};
use x402_core::wire::Version;
use x402_core::{Address, Amount, Asset, ChainId, Offer};
use x402_std::BoxFuture;
use x402_std::facilitator::{
    Entrusted, Facilitator, FacilitatorError, Request as Asked, SettleAnswer, Supported,
    VerifyAnswer,
};
use x402_std::ledger::MemoryLedger;
use x402_std::seller::{Seller, SellerOptions};

use super::dialects::from_base64;
use super::*;
use crate::server::testing::NOW;

/// Where we answer otherwise, on purpose, beside that the money moves before the work (so that an
/// answer of 404 has a receipt): the case, our status, and why.
const DIFFERENT: [(&str, u16, &str); 8] = [
    ("h-02", 400, "what cannot be read is no payment, as the specification says"),
    ("h-03", 400, "the same"),
    ("h-29", 400, "the same: it is not base64"),
    ("h-12", 503, "the facilitator is at fault, not the payment"),
    ("h-13", 503, "the same"),
    ("h-17", 402, "HEAD is priced as GET is"),
    ("h1-10", 402, "the same"),
    ("h1-13", 503, "the facilitator is at fault, not the payment"),
];

/// A facilitator that answers as in the case: a JSON value, or a status and a text.
struct Scripted(Value);

impl Scripted {
    fn answer(&self, path: &str, good: Value) -> Result<Vec<u8>, FacilitatorError> {
        match &self.0[path] {
            Value::Null => Ok(good.to_string().into_bytes()),
            answer if answer["status"].is_u64() => {
                Err(FacilitatorError::Unknown(format!("it answers {}", answer["status"])))
            }
            answer => Ok(answer.to_string().into_bytes()),
        }
    }
}

impl Facilitator for Scripted {
    fn verify<'a>(&'a self, _: &'a Asked) -> BoxFuture<'a, Result<VerifyAnswer, FacilitatorError>> {
        let json = self.answer("verify", json!({"isValid": true, "payer": payer().to_string()}));
        Box::pin(async move {
            VerifyAnswer::parse(&json?).map_err(|_| FacilitatorError::Unbelievable("its shape"))
        })
    }

    fn settle<'a>(&'a self, _: &'a Asked) -> BoxFuture<'a, Result<SettleAnswer, FacilitatorError>> {
        let json = self.answer(
            "settle",
            json!({"success": true, "payer": payer().to_string(), "network": "eip155:84532",
                   "transaction": format!("0x{}", "ab".repeat(32))}),
        );
        Box::pin(async move {
            let answer = SettleAnswer::parse(&json?, Version::V2);
            answer.map_err(|_| FacilitatorError::Unbelievable("its shape"))
        })
    }

    fn supported(&self) -> BoxFuture<'_, Result<Supported, FacilitatorError>> {
        Box::pin(async { Ok(Supported::default()) })
    }
}

fn cases(key: &str) -> Vec<Value> {
    let text = include_str!("../../../../tests/vectors/sdk.json");
    let sdk: Value = serde_json::from_str(text).unwrap();
    sdk[key]["cases"].as_array().unwrap().clone()
}

fn usdc(amount: u64) -> Offer<'static> {
    let asset = *Asset::find(ChainId::parse("base-sepolia").unwrap(), "USDC").unwrap();
    let pay_to = Address::parse("0x209693Bc6afc0C5328bA36FaF03C514EF312287C").unwrap();
    Offer::new(asset, pay_to, Amount::from_units(amount.into()), 60)
}

/// What the captured server sold, as far as the cases ask for it.
fn sold(path: &str, told: Option<&Value>) -> Sale {
    let mut sale = Sale::from(usdc(10_000));
    sale.base_url = "http://api.example.com".into();
    let resource = |key: &str| told.and_then(|told| told["resource"][key].as_str());
    sale.description = resource("description").unwrap_or("Paid").into();
    sale.mime_type = resource("mimeType").unwrap_or("application/json").into();
    let accepts = told.and_then(|told| told["accepts"].as_array());
    for terms in accepts.into_iter().flatten().skip(1) {
        let chain_id = ChainId::parse(terms["network"].as_str().unwrap()).unwrap();
        let asset = Address::parse(terms["asset"].as_str().unwrap()).unwrap();
        let asset = *Asset::find_by_address(chain_id, asset).unwrap();
        let amount = Amount::parse(terms["amount"].as_str().unwrap()).unwrap();
        let pay_to = Address::parse(terms["payTo"].as_str().unwrap()).unwrap();
        let seconds = terms["maxTimeoutSeconds"].as_u64().unwrap().try_into().unwrap();
        let offer = Offer::new(asset, pay_to, amount, seconds);
        let facilitator = terms["extra"]["facilitatorAddress"].as_str();
        let facilitator = facilitator.map(|address| Address::parse(address).unwrap());
        sale.offers.push(facilitator.map_or(offer, |facilitator| offer.up_to(facilitator)));
    }
    if let Some(first) = accepts.and_then(|accepts| accepts.first()) {
        let seconds = first["maxTimeoutSeconds"].as_u64().unwrap().try_into().unwrap();
        let amount = Amount::parse(first["amount"].as_str().unwrap()).unwrap();
        let terms = *sale.offers[0].requirements();
        sale.offers[0] = Offer::new(*sale.offers[0].asset(), terms.pay_to, amount, seconds);
    }
    assert!(path.starts_with('/'));
    sale
}

fn field<'v>(case: &'v Value, name: &str) -> Option<&'v str> {
    let headers = case["response"]["headers"].as_array().unwrap().iter();
    let mut values = headers.filter_map(|line| line.as_str()?.split_once(": "));
    values.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

async fn answered(case: &Value, told: Option<&Value>) -> Answered {
    let facilitator = Arc::new(Scripted(case["facilitatorAnswers"].clone()));
    let rail = Entrusted::new(facilitator, vec![usdc(1).asset().into()]);
    let options = SellerOptions { clock: Arc::new(|| NOW), ..SellerOptions::default() };
    let chain_id = usdc(1).asset().chain_id;
    let rails: Vec<(ChainId, Arc<dyn x402_std::seller::Rail>)> = vec![(chain_id, Arc::new(rail))];
    let seller = Seller::with_rails(Arc::new(MemoryLedger::new()), rails, options);
    let path = case["request"]["path"].as_str().unwrap();
    let sale = Arc::new(sold(path, told));
    let layer = PaymentLayer::new(seller, move |_: &Parts| Quote::Paid(Arc::clone(&sale)));
    let status = if path == "/missing" { StatusCode::NOT_FOUND } else { StatusCode::OK };
    let service = layer.layer(service_fn(move |_: Request<RequestBody<Full<Bytes>>>| async move {
        let mut answer = Response::new(full("{\"ok\":true}"));
        *answer.status_mut() = status;
        Ok::<_, Infallible>(answer)
    }));
    let mut request = Request::builder().method(case["request"]["method"].as_str().unwrap());
    request = request.uri(path).header("Host", "api.example.com");
    for (name, value) in case["request"]["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    send(&service, request.body(full("")).unwrap()).await
}

/// Our terms, without what the official server leaves out: the money moves first here.
fn plain(mut told: Value) -> Value {
    for terms in told["accepts"].as_array_mut().unwrap() {
        terms["extra"].as_object_mut().unwrap().remove("paymentFlow");
    }
    told
}

fn check(case: &Value, head: &http::response::Parts, body: &Bytes, told: Option<&Value>) {
    let id = case["id"].as_str().unwrap();
    let theirs = case["response"]["status"].as_u64().unwrap();
    let listed = DIFFERENT.iter().find(|(listed, ..)| *listed == id);
    let expected = listed.map_or(theirs, |(_, status, _)| u64::from(*status));
    assert!(listed.is_none() || expected != theirs, "{id} is listed, and the same");
    assert_eq!(u64::from(head.status.as_u16()), expected, "{id} {}: {body:?}", case["title"]);
    if let (Some(told), 402) = (told, head.status.as_u16()) {
        let mut ours = plain(from_base64(text(&head.headers, "payment-required")));
        // The reason is in our words where it is no code.
        let error = ours["error"].take();
        assert!(told["error"] == error || told["error"].as_str().unwrap().contains(' '), "{id}");
        let mut told = told.clone();
        told["error"].take();
        assert_eq!(ours, told, "{id}");
    }
    for (name, outcome) in [("payment-response", 2), ("x-payment-response", 1)] {
        let (Some(theirs), true) = (field(case, name), listed.is_none()) else { continue };
        let (mut ours, mut theirs) = (from_base64(text(&head.headers, name)), from_base64(theirs));
        // Words are our own.
        for told in [&mut ours, &mut theirs] {
            told.as_object_mut().unwrap().remove("errorMessage");
        }
        if outcome == 1 {
            // The stand-in of the facilitator answered in v2's spelling.
            theirs["network"] = json!("base-sepolia");
        }
        assert_eq!(ours, theirs, "{id}");
    }
}

#[tokio::test]
async fn exchanges_of_v2_go_as_the_official_middleware_has_them() {
    let cases = cases("httpCases");
    assert_eq!(cases.len(), 17);
    for case in cases {
        let told = field(&case, "payment-required").map(from_base64);
        let (head, body) = answered(&case, told.as_ref()).await;
        check(&case, &head, &body, told.as_ref());
    }
}

#[tokio::test]
async fn exchanges_of_v1_go_as_the_official_middleware_has_them() {
    let cases = cases("httpCasesV1");
    assert_eq!(cases.len(), 8);
    for case in cases {
        let (head, body) = answered(&case, None).await;
        check(&case, &head, &body, None);
        let theirs: Value =
            serde_json::from_str(case["response"]["body"].as_str().unwrap()).unwrap_or_default();
        let ours: Value = serde_json::from_slice(&body).unwrap_or_default();
        if theirs["accepts"].is_array() && head.status == StatusCode::PAYMENT_REQUIRED {
            let mut theirs = theirs["accepts"][0].clone();
            // The seller's own, which the sale here has not.
            theirs.as_object_mut().unwrap().remove("outputSchema");
            assert_eq!(ours["accepts"][0], theirs, "{}", case["id"]);
        }
    }
}
