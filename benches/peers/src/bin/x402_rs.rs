//! A facilitator of x402-rs, as its own crates make one: for `facilitator.py`. $PORT, $RPC_URL,
//! $PRIVATE_KEY and $NETWORK say where and for whom.

use std::collections::HashMap;
use std::env;
use std::sync::Arc;

use serde_json::{Value, json};
use x402_chain_eip155::V2Eip155Exact;
use x402_chain_eip155::chain::{Eip155ChainConfig, Eip155ChainProvider, Eip155ChainReference};
use x402_facilitator_local::{FacilitatorLocal, handlers};
use x402_types::chain::{ChainId, ChainProviderOps as _, ChainRegistry, FromConfig as _};
use x402_types::scheme::{SchemeBlueprints, SchemeConfig, SchemeRegistry};

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn config<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("a configuration")
}

#[tokio::main]
async fn main() {
    let network: ChainId = config(json!(variable("NETWORK")));
    let chain_reference = Eip155ChainReference::try_from(network).expect("an EVM chain");
    let rpc = json!([{ "http": variable("RPC_URL") }]);
    let inner = config(json!({ "signers": [variable("PRIVATE_KEY")], "rpc": rpc }));
    let provider = Eip155ChainProvider::from_config(&Eip155ChainConfig { chain_reference, inner });
    let provider = Arc::new(provider.await.expect("a node with the contracts"));
    let chains = ChainRegistry::new(HashMap::from([(provider.chain_id(), provider)]));
    let blueprints = SchemeBlueprints::new().and_register(V2Eip155Exact);
    let schemes: Vec<SchemeConfig> =
        config(json!([{ "id": "v2-eip155-exact", "chains": "eip155:*" }]));
    let facilitator = FacilitatorLocal::new(SchemeRegistry::build(chains, blueprints, &schemes));
    let address = format!("127.0.0.1:{}", variable("PORT"));
    let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
    let routes = handlers::routes().with_state(Arc::new(facilitator));
    axum::serve(listener, routes).await.expect("served");
}
