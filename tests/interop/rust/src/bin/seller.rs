//! A seller of v1 or v2: axum, with x402-axum before it.

use std::{env, error::Error};

use alloy_primitives::Address;
use axum::{Router, routing::get};
use x402_axum::X402Middleware;
use x402_chain_eip155::{KnownNetworkEip155, V1Eip155Exact, V2Eip155Exact};
use x402_types::networks::USDC;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let middleware = X402Middleware::try_new(&env::var("FACILITATOR_URL")?)?;
    let pay_to: Address = env::var("PAY_TO")?.parse()?;
    let amount = USDC::base_sepolia().amount(env::var("AMOUNT")?.parse::<u64>()?);
    let goods = get(|| async { "the goods" });
    // Without a media type it says `mimeType: null` in v1, which x402-fetch refuses.
    let goods = if env::var("VERSION")? == "v1" {
        goods.layer(
            middleware
                .with_price_tag(V1Eip155Exact::price_tag(pay_to, amount))
                .with_mime_type("text/plain".to_owned()),
        )
    } else {
        goods.layer(middleware.with_price_tag(V2Eip155Exact::price_tag(pay_to, amount)))
    };
    let listener =
        tokio::net::TcpListener::bind(format!("127.0.0.1:{}", env::var("PORT")?)).await?;
    println!("{{\"listening\":true}}");
    axum::serve(listener, Router::new().route("/paid", goods)).await?;
    Ok(())
}
