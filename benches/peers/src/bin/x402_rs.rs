//! A facilitator of x402-rs, as its own crates make one: for `facilitator.py`. $PORT, $RPC_URL,
//! $PRIVATE_KEY and $NETWORK say where and for whom.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use alloy_provider::Provider as _;
use serde_json::{Value, json};
use x402_chain_eip155::V2Eip155Exact;
use x402_chain_eip155::chain::config::Eip155ChainConfig;
use x402_chain_eip155::chain::{
    Eip155ChainProvider, Eip155ChainReference, Eip155MetaTransactionProvider as _,
};
use x402_facilitator_local::{FacilitatorLocal, handlers};
use x402_types::chain::{ChainId, ChainProviderOps as _, ChainRegistry, FromConfig as _};
use x402_types::scheme::{
    SchemeBlueprints, SchemeConfig, SchemeRegistry, X402SchemeFacilitator,
    X402SchemeFacilitatorBuilder, X402SchemeId,
};

/// The scheme `exact`, for chains that are shared.
struct Exact;

impl X402SchemeId for Exact {
    fn namespace(&self) -> &str {
        V2Eip155Exact.namespace()
    }

    fn scheme(&self) -> &str {
        V2Eip155Exact.scheme()
    }
}

impl X402SchemeFacilitatorBuilder<&Arc<Eip155ChainProvider>> for Exact {
    fn build(
        &self,
        provider: &Arc<Eip155ChainProvider>,
        config: Option<Value>,
    ) -> Result<Box<dyn X402SchemeFacilitator>, Box<dyn Error>> {
        V2Eip155Exact.build(Arc::clone(provider), config)
    }
}

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
    let chain = Eip155ChainConfig { chain_reference, inner };
    let provider = Eip155ChainProvider::from_config(&chain).await;
    let provider = Arc::new(provider.expect("a node with the contracts"));
    // Not by any option of its own: what it would be with another habit.
    if let Ok(poll) = env::var("POLL") {
        let poll = Duration::from_millis(poll.parse().expect("milliseconds"));
        provider.inner().client().set_poll_interval(poll);
    }
    let chains = ChainRegistry::new(HashMap::from([(provider.chain_id(), provider)]));
    let blueprints = SchemeBlueprints::new().and_register(Exact);
    let schemes: Vec<SchemeConfig> =
        config(json!([{ "id": "v2-eip155-exact", "chains": "eip155:*" }]));
    let facilitator = FacilitatorLocal::new(SchemeRegistry::build(chains, blueprints, &schemes));
    let address = format!("127.0.0.1:{}", variable("PORT"));
    let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
    let routes = handlers::routes().with_state(Arc::new(facilitator));
    axum::serve(listener, routes).await.expect("served");
}
