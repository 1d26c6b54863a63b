//! The development chain behind HTTP, which counts its calls and answers wrongly when told to.

use core::convert::Infallible;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_consensus::{SignableTransaction as _, Transaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{B256, TxKind, hex, keccak256};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use x402_core::eip3009::CancelAuthorization;
use x402_core::secp256k1::K256Signer;
use x402_core::{Asset, Authorization, Domain, Nonce, Payment};
use x402_core::{Signer as _, Timestamp, Transfer, TransferMethod};

use super::*;
use crate::devnet::{self, Devnet, DevnetOptions};
use crate::ledger::LedgerError;

/// Who is paid.
pub(super) const PAYEE: [u8; 20] = hex!("209693Bc6afc0C5328bA36FaF03C514EF312287C");
/// Keys of accounts 0, 1 and 2 of the mnemonic that everybody knows.
pub(super) const SETTLER: [u8; 32] =
    hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
pub(super) const BUYER: [u8; 32] =
    hex!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d");
pub(super) const STRANGER: [u8; 32] =
    hex!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a");

pub(super) fn signer(key: &[u8; 32]) -> K256Signer {
    K256Signer::from_bytes(key).unwrap()
}

pub(super) fn usdc() -> Asset<'static> {
    *Asset::find(ChainId::ETHEREUM, "USDC").unwrap()
}

/// What a node does with a call instead of answering it.
#[derive(Clone)]
pub(super) enum Trick {
    /// Answers truly.
    None,
    /// Breaks the connection.
    Break,
    /// Answers with this body.
    Body(String),
    /// Does what it is asked, changes the answer, and gives that.
    Edit(fn(&mut Value)),
    /// Answers with a JSON-RPC error.
    Error(i64, &'static str),
    /// Does what it is asked, and never says so.
    HangAfter,
    /// Never answers.
    Hang,
    /// Answers with an HTTP status.
    Status(u16),
}

/// What stands before a node: it is given a request and the node, and answers.
pub(super) type Front = Arc<dyn Fn(&Value, &dyn Fn(&Value) -> Value) -> Value + Send + Sync>;

/// The state of a node.
#[derive(Default)]
struct Book {
    calls: Vec<String>,
    authorization: Option<String>,
    sent: Vec<Vec<u8>>,
    tricks: HashMap<String, VecDeque<Trick>>,
    always: Option<Trick>,
    front: Option<Front>,
}

/// A node, and a chain that talks to it.
pub(super) struct Shop {
    pub(super) chain: RpcChain,
    pub(super) devnet: Devnet,
    pub(super) url: String,
    book: Arc<Mutex<Book>>,
    server: JoinHandle<()>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Short limits, so that tests are.
pub(super) fn options() -> RpcOptions {
    RpcOptions {
        timeout: Duration::from_millis(800),
        max_response: 64 * 1024,
        ..RpcOptions::new(ChainId::ETHEREUM)
    }
}

impl Shop {
    pub(super) async fn open() -> Self {
        Self::with(options()).await
    }

    pub(super) async fn with(options: RpcOptions) -> Self {
        let devnet = Devnet::new(&DevnetOptions::default()).unwrap();
        let book = Arc::<Mutex<Book>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = with_canaries(listener.local_addr().unwrap().port());
        let server = tokio::spawn(serve(listener, devnet.clone(), Arc::clone(&book)));
        let parsed = RpcUrl::parse(&url).unwrap();
        let chain = RpcChain::connect(parsed, signer(&SETTLER), options).await.unwrap();
        Self { chain, devnet, url, book, server }
    }

    /// Another account on the same node.
    pub(super) async fn chain_of(&self, key: &[u8; 32]) -> RpcChain {
        let url = RpcUrl::parse(&self.url).unwrap();
        RpcChain::connect(url, signer(key), options()).await.unwrap()
    }

    /// Sends a transaction again.
    pub(super) async fn again(&self, transaction: &Transaction) -> Result<TxHash, ChainError> {
        let call = call(&Buyer::default().pays(PRICE));
        self.chain.rebroadcast(&call, transaction, &Pages::default()).await
    }

    /// Stops the node, connections and all.
    pub(super) async fn close(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// The methods called since this was last asked.
    pub(super) fn calls(&self) -> Vec<String> {
        core::mem::take(&mut self.book().calls)
    }

    /// What the next calls of a method meet with.
    pub(super) fn play(&self, method: &str, tricks: &[Trick]) {
        self.book().tricks.insert(method.to_owned(), tricks.to_vec().into());
    }

    /// What all calls meet with.
    pub(super) fn play_always(&self, trick: Option<Trick>) {
        self.book().always = trick;
    }

    /// Puts something before the node.
    pub(super) fn front(
        &self,
        front: impl Fn(&Value, &dyn Fn(&Value) -> Value) -> Value + Send + Sync + 'static,
    ) {
        self.book().front = Some(Arc::new(front));
    }

    /// Takes away what stands before the node.
    pub(super) fn unfront(&self) {
        self.book().front = None;
    }

    pub(super) fn authorization(&self) -> Option<String> {
        self.book().authorization.clone()
    }

    pub(super) fn last_sent(&self) -> Transaction {
        let raw = self.book().sent.last().cloned().unwrap();
        Transaction { hash: TxHash(keccak256(&raw).0), raw }
    }

    /// The account nonces of the transactions that the node was sent.
    pub(super) fn nonces(&self) -> Vec<u64> {
        self.book().sent.iter().map(|raw| nonce_of(raw)).collect()
    }

    /// The same node by another URL, with nothing before it. It answers until the test ends.
    pub(super) async fn second_url(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = with_canaries(listener.local_addr().unwrap().port());
        tokio::spawn(serve(listener, self.devnet.clone(), Arc::default()));
        url
    }

    /// The time of the newest block.
    pub(super) fn devnet_time(&self) -> u64 {
        let newest = self.rpc("eth_getBlockByNumber", json!(["latest", false]));
        u64::from_str_radix(&newest["timestamp"].as_str().unwrap()[2..], 16).unwrap()
    }

    /// Calls the node past HTTP.
    pub(super) fn rpc(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.devnet.handle(request.to_string().as_bytes());
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// What the seller has.
    pub(super) fn received(&self) -> u128 {
        self.devnet.balance_of(devnet::USDC, PAYEE).unwrap()
    }

    pub(super) fn settler(&self) -> Address {
        self.chain.address()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        open(&self.book)
    }
}

fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A URL with something to hide in each of its parts.
pub(super) fn with_canaries(port: u16) -> String {
    format!("http://user:CANARY-PASSWORD@127.0.0.1:{port}/v3/CANARY-PATH?key=CANARY")
}

pub(super) fn nonce_of(raw: &[u8]) -> u64 {
    TxEnvelope::decode_2718_exact(raw).unwrap().nonce()
}

async fn serve(listener: TcpListener, devnet: Devnet, book: Arc<Mutex<Book>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_one(stream, devnet.clone(), Arc::clone(&book)));
    }
}

async fn serve_one(stream: TcpStream, devnet: Devnet, book: Arc<Mutex<Book>>) {
    let service = service_fn(move |request| answer(request, devnet.clone(), Arc::clone(&book)));
    let connection = hyper::server::conn::http1::Builder::new();
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    devnet: Devnet,
    book: Arc<Mutex<Book>>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let authorization = request.headers().get("authorization").cloned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let trick = note(&mut open(&book), &request, authorization.as_ref());
    let front = open(&book).front.clone();
    let node = |request: &Value| -> Value {
        serde_json::from_slice(&devnet.handle(request.to_string().as_bytes())).unwrap()
    };
    let truly = || front.as_ref().map_or_else(|| node(&request), |front| front(&request, &node));
    let answer = match trick {
        Trick::None => truly().to_string(),
        Trick::Break => return Err("broken"),
        Trick::Body(body) => body,
        Trick::Edit(edit) => {
            let mut answer = truly();
            edit(&mut answer);
            answer.to_string()
        }
        Trick::Error(code, message) => {
            json!({ "id": request["id"], "error": { "code": code, "message": message } })
                .to_string()
        }
        Trick::Hang => return core::future::pending().await,
        Trick::HangAfter => {
            truly();
            return core::future::pending().await;
        }
        Trick::Status(status) => {
            let body = Full::from("<html>CANARY</html>");
            return Ok(Response::builder().status(status).body(body).unwrap());
        }
    };
    Ok(Response::new(answer.into()))
}

fn note(book: &mut Book, request: &Value, authorization: Option<&http::HeaderValue>) -> Trick {
    let method = request["method"].as_str().unwrap().to_owned();
    if method == "eth_sendRawTransaction" {
        book.sent.push(hex::decode(request["params"][0].as_str().unwrap()).unwrap());
    }
    book.authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let trick = book.tricks.get_mut(&method).and_then(VecDeque::pop_front);
    book.calls.push(method);
    trick.or_else(|| book.always.clone()).unwrap_or(Trick::None)
}

/// A transaction of the development chain's accounts, mined at once.
pub(super) fn sends(shop: &Shop, key: &[u8; 32], to: [u8; 20], data: Vec<u8>) -> TxHash {
    let nonce = shop.rpc("eth_getTransactionCount", json!([signer(key).address().to_string()]));
    let transaction = TxEip1559 {
        chain_id: 1,
        nonce: u64::from_str_radix(&nonce.as_str().unwrap()[2..], 16).unwrap(),
        gas_limit: 2_000_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(to.into()),
        input: data.into(),
        ..TxEip1559::default()
    };
    let signature = sign_message(B256::from(*key), transaction.signature_hash()).unwrap();
    let raw = transaction.into_signed(signature).encoded_2718();
    let hash = shop.rpc("eth_sendRawTransaction", json!([hex::encode_prefixed(raw)]));
    assert_eq!(shop.rpc("eth_getTransactionReceipt", json!([hash]))["status"], "0x1");
    let hash: B256 = serde_json::from_value(hash).unwrap();
    TxHash(hash.0)
}

/// The payer cancels, paying for the gas.
pub(super) fn cancel(shop: &Shop, payment: &Claimed) -> TxHash {
    let (authorizer, nonce) = (payment.payer(), payment.transfer().nonce());
    let digest = CancelAuthorization { authorizer, nonce }.digest(&usdc().domain().separator());
    let Ok(signature) = signer(&BUYER).sign(&digest);
    let selector = keccak256("cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)");
    let mut v = [0; 32];
    v[31] = signature.v();
    let words = [authorizer.to_word(), *nonce.as_bytes(), v, *signature.r(), *signature.s()];
    sends(shop, &BUYER, devnet::USDC, [&selector[..4], &words.concat()].concat())
}

/// Signs payments, each with a nonce of its own.
pub(super) struct Buyer {
    pub(super) chain_id: ChainId,
    pub(super) domain_name: &'static str,
}

static NONCES: AtomicU64 = AtomicU64::new(1);

impl Default for Buyer {
    fn default() -> Self {
        Self { chain_id: ChainId::ETHEREUM, domain_name: "USD Coin" }
    }
}

impl Buyer {
    pub(super) fn address(&self) -> Address {
        signer(&BUYER).address()
    }

    /// A payment that was checked and claimed.
    pub(super) fn pays(&self, value: u128) -> Claimed {
        self.pays_until(value, Timestamp::MAX)
    }

    /// One that is valid until then.
    pub(super) fn pays_until(&self, value: u128, valid_before: Timestamp) -> Claimed {
        let mut nonce = [0; 32];
        nonce[24..].copy_from_slice(&NONCES.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        self.pays_with(value, valid_before, Nonce::new(nonce), PAYEE)
    }

    /// One with all that can be chosen.
    pub(super) fn pays_with(
        &self,
        value: u128,
        valid_before: Timestamp,
        nonce: Nonce,
        payee: [u8; 20],
    ) -> Claimed {
        let asset = usdc();
        let Self { chain_id, domain_name: name } = *self;
        let domain = Domain { name, chain_id, ..asset.domain() }.separator();
        let amount = Amount::from_units(value);
        let authorization = Authorization {
            from: self.address(),
            to: Address::new(payee),
            value: amount,
            valid_after: Timestamp::ZERO,
            valid_before,
            nonce,
        };
        let Ok(signature) = signer(&BUYER).sign(&authorization.digest(&domain));
        let payment = Payment {
            chain_id,
            asset: asset.address,
            transfer: Transfer::Eip3009(authorization),
            signature: Ok(signature),
        };
        recorded(&payment)
    }
}

/// A payment as a ledger gives it, whatever it says: an attacker's needs to pass no check of ours.
pub(super) fn recorded(payment: &Payment) -> Claimed {
    let transfer = &payment.transfer;
    let (from, to, nonce) = (transfer.from(), transfer.to(), transfer.nonce());
    let parts: [&[u8]; 13] = [
        &payment.chain_id.get().to_be_bytes(),
        payment.asset.as_bytes(),
        from.as_bytes(),
        to.as_bytes(),
        &transfer.value().to_be_bytes(),
        &transfer.valid_after().to_be_bytes(),
        &transfer.valid_before().to_be_bytes(),
        nonce.as_bytes(),
        &transfer.value().to_be_bytes(),
        &[u8::from(transfer.method() == TransferMethod::Permit2)],
        Address::ZERO.as_bytes(),
        &[0],
        &payment.signature.unwrap().to_rsv(),
    ];
    Claimed::from_bytes(parts.concat().first_chunk().unwrap()).unwrap()
}
/// A journal in memory.
#[derive(Default)]
pub(super) struct Pages {
    entries: Mutex<Vec<(Transaction, usize)>>,
    book: Option<Arc<Mutex<Book>>>,
    is_full: bool,
}

impl Pages {
    /// A journal that notes how much was sent before.
    pub(super) fn of(shop: &Shop) -> Self {
        Self { book: Some(Arc::clone(&shop.book)), ..Self::default() }
    }

    /// A journal that takes nothing.
    pub(super) fn full() -> Self {
        Self { is_full: true, ..Self::default() }
    }

    pub(super) fn hashes(&self) -> Vec<TxHash> {
        self.entries.lock().unwrap().iter().map(|(transaction, _)| transaction.hash).collect()
    }

    pub(super) fn nonces(&self) -> Vec<u64> {
        self.entries.lock().unwrap().iter().map(|(page, _)| nonce_of(&page.raw)).collect()
    }

    pub(super) fn sent_before(&self) -> Vec<usize> {
        self.entries.lock().unwrap().iter().map(|(_, sent)| *sent).collect()
    }

    pub(super) fn last(&self) -> Transaction {
        self.entries.lock().unwrap().last().unwrap().0.clone()
    }
}

impl Journal for Pages {
    fn record<'a>(
        &'a self,
        transaction: &'a Transaction,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            if self.is_full {
                return Err(LedgerError::Storage("full".into()));
            }
            tokio::task::yield_now().await;
            let sent = self.book.as_ref().map_or(0, |book| open(book).sent.len());
            self.entries.lock().unwrap().push((transaction.clone(), sent));
            Ok(())
        })
    }
}

/// A node made of bytes: `serve` has the connection after the request was read.
pub(super) async fn raw_node<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = std::io::Result<Infallible>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = with_canaries(listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    url
}

/// A chain on a node that was never asked anything.
pub(super) fn unconnected(url: &str) -> RpcChain {
    unconnected_with(url, options())
}

pub(super) fn unconnected_with(url: &str, options: RpcOptions) -> RpcChain {
    let account = Account::new(signer(&SETTLER), &options, false);
    let node = Node::new(RpcUrl::parse(url).unwrap(), account.address(), &options).unwrap();
    let (nodes, heads) = (Nodes::new(node, Vec::new()), Heads::default());
    let (meter, readiness, tokens) = Default::default();
    RpcChain { account, nodes, heads, options, meter, block_seconds: 0, readiness, tokens }
}
