//! The whole of it in one process: chain, upstream, gateway, and a buyer with a throw-away key.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use x402_core::hex::Hex;
use x402_core::secp256k1::K256Signer;
use x402_core::{Address, Signer as _};
use x402_hyper::gateway::Gateway;
use x402_std::config::{Config, Overrides};
use x402_std::devnet::{Devnet, DevnetOptions, USDC};
use x402_std::key::SecretKey;

use super::report::Balances;
use super::trace::{Trace, methods};
use super::upstream;
use crate::devnet::listen;
use crate::exit::Failure;
use crate::shop::Shop;

/// What a request costs, in atomic units of USDC.
pub(super) const PRICE: u128 = 10_000;
/// What the buyer begins with.
const FUNDS: u128 = 1_000_000;
/// Ten ether, for the gas.
const ETHER: u128 = 10_000_000_000_000_000_000;

/// Which ports are taken.
#[derive(Clone, Copy)]
pub(super) enum Ports {
    /// Any that are free.
    Any,
    /// 4021 for the gateway and 8545 for the chain, if they are free.
    Usual,
}

pub(super) struct Stage {
    pub(super) gateway: SocketAddr,
    pub(super) buyer: K256Signer,
    pub(super) trace: Trace,
    buyer_key: SecretKey,
    recipient: Address,
    rpc: SocketAddr,
    chain: Devnet,
}

impl Stage {
    pub(super) async fn set_up(ports: Ports) -> Result<Self, Failure> {
        let chain = Devnet::new(&DevnetOptions::default()).map_err(Failure::failed)?;
        let (buyer_key, settler_key) = (random_key()?, random_key()?);
        let buyer = buyer_key.signer().map_err(Failure::failed)?;
        let settler = settler_key.signer().map_err(Failure::failed)?;
        let recipient = random_key()?.signer().map_err(Failure::failed)?.address();
        chain.mint(USDC, *buyer.address().as_bytes(), FUNDS).map_err(Failure::failed)?;
        chain.set_balance(*settler.address().as_bytes(), ETHER);

        let trace = Trace::default();
        let rpc = serve_chain(bind(ports, 8545).await?, chain.clone(), trace.clone())?;
        let upstream = bind(Ports::Any, 0).await?;
        let upstream_address = upstream.local_addr().map_err(Failure::failed)?;
        tokio::spawn(upstream::serve(upstream, trace.clone()));
        let listener = bind(ports, 4021).await?;
        let gateway = listener.local_addr().map_err(Failure::failed)?;
        let config = configure(gateway, upstream_address, rpc, recipient, &settler_key)?;
        let shop = Shop::open(&config, false, false).await?;
        let server = Gateway::new(&config, Arc::clone(&shop.seller)).map_err(Failure::failed)?;
        tokio::spawn(server.serve(listener, core::future::pending()));
        Ok(Self { gateway, buyer, trace, buyer_key, recipient, rpc, chain })
    }

    /// What the two have now, as the token says.
    pub(super) fn balances(&self) -> Result<Balances, Failure> {
        let of = |owner: Address| self.chain.balance_of(USDC, *owner.as_bytes());
        Ok(Balances {
            buyer: of(self.buyer.address()).map_err(Failure::failed)?,
            recipient: of(self.recipient).map_err(Failure::failed)?,
        })
    }

    /// Whether the chain has that transaction in a block, and it succeeded.
    pub(super) fn is_mined(&self, hash: &str) -> bool {
        let method = "eth_getTransactionReceipt";
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": [hash]});
        let answer = self.chain.handle(request.to_string().as_bytes());
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        answer["result"]["status"] == "0x1"
    }

    /// Lines to paste. The key is a throw-away one, of this chain that ends with the program.
    pub(super) fn invitation(&self) -> String {
        let url = format!("http://{}/api/analyze", self.gateway);
        let key = Hex(self.buyer_key.expose());
        let program = std::env::args().next().unwrap_or_else(|| "x402".to_owned());
        format!(
            "\nIt stays up, with the chain at http://{}. In another terminal, ask for the price, and pay it:\n\n\
             curl -i -X POST {url} -d 'some words'\n\n\
             X402_KEY={key} {program} pay {url} --max 0.05 -d 'some words'\n\n\
             Ctrl-C ends it.",
            self.rpc
        )
    }
}

fn random_key() -> Result<SecretKey, Failure> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
    Ok(SecretKey::from_bytes(key))
}

async fn bind(ports: Ports, usual: u16) -> Result<TcpListener, Failure> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if matches!(ports, Ports::Usual)
        && let Ok(listener) = TcpListener::bind(at(usual)).await
    {
        return Ok(listener);
    }
    listen(at(0))
}

fn serve_chain(listener: TcpListener, chain: Devnet, trace: Trace) -> Result<SocketAddr, Failure> {
    let address = listener.local_addr().map_err(Failure::failed)?;
    let answer = move |body: &[u8]| trace.record(methods(body), || chain.handle(body));
    tokio::spawn(x402_hyper::devnet::serve_with(listener, answer, core::future::pending()));
    Ok(address)
}

/// The seller's file, as anybody would write it.
fn configure(
    listen: SocketAddr,
    upstream: SocketAddr,
    rpc: SocketAddr,
    recipient: Address,
    key: &SecretKey,
) -> Result<Config, Failure> {
    let text = format!(
        "listen: {listen}\n\
         upstream: http://{upstream}\n\
         pay_to: \"{recipient}\"\n\
         network: ethereum\n\
         asset: USDC\n\
         chain: {{rpc: \"http://{rpc}\"}}\n\
         ledger: memory\n\
         routes:\n  \
           - path: /api/analyze\n    \
             methods: [POST]\n    \
             pricing: {{model: per_request, amount: \"0.01\", currency: USDC}}\n"
    );
    let key = Hex(key.expose()).to_string();
    let env = |name: &str| (name == "X402_KEY").then(|| key.clone());
    Config::parse(&text, "demo.yaml", env, &Overrides::default())
        .map_err(|error| Failure::configuration(&error))
}
