//! A buyer of v1 and v2: reqwest, wrapped by x402-reqwest.

use std::{env, error::Error, sync::Arc};

use alloy_signer_local::PrivateKeySigner;
use x402_chain_eip155::{V1Eip155ExactClient, V2Eip155ExactClient, V2Eip155UptoClient};
use x402_reqwest::{ReqwestWithPayments, ReqwestWithPaymentsBuild, X402Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let signer: Arc<PrivateKeySigner> = Arc::new(env::var("PRIVATE_KEY")?.parse()?);
    let payments = X402Client::new()
        .register(V1Eip155ExactClient::new(signer.clone()))
        .register(V2Eip155ExactClient::new(signer.clone()))
        .register(V2Eip155UptoClient::new(signer));
    let client = reqwest::Client::new().with_payments(payments).build();
    let answer = client.get(env::var("URL")?).send().await?;
    let status = answer.status().as_u16();
    let body = answer.text().await?;
    println!("{}", serde_json::json!({"status": status, "body": body}));
    Ok(())
}
