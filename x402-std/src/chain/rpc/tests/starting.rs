use serde_json::json;
use x402_core::Asset;

use super::harness::{SETTLER, Shop, options, signer, usdc};
use super::*;

#[tokio::test]
async fn a_token_as_configured_is_taken() {
    let shop = Shop::open().await;
    shop.chain.check_asset(&usdc()).await.unwrap();
    shop.chain.check_asset(Asset::find(ChainId::ETHEREUM, "EURC").unwrap()).await.unwrap();
}

#[tokio::test]
async fn another_chain_is_named() {
    let shop = Shop::open().await;
    let url = RpcUrl::parse(&shop.url).unwrap();
    let wanted = RpcOptions { chain_id: ChainId::BASE, ..options() };
    let error = RpcChain::connect(url, signer(&SETTLER), wanted).await.unwrap_err();
    let text = "the chain is configured as eip155:8453, and the node is on eip155:1";
    assert_eq!(error.to_string(), text);

    let asset = Asset::find(ChainId::BASE, "USDC").unwrap();
    let error = shop.chain.check_asset(asset).await.unwrap_err().to_string();
    assert!(error.contains("eip155:8453") && error.contains("eip155:1"), "{error}");
}

#[tokio::test]
async fn another_token_is_named() {
    let shop = Shop::open().await;
    let refusal = async |asset: Asset<'_>| shop.chain.check_asset(&asset).await.unwrap_err();

    let error = refusal(Asset { name: "USDC", ..usdc() }).await;
    assert!(matches!(&error, StartError::Domain { answered, .. }
        if answered.name.as_deref() == Some("USD Coin")));
    let ours = Asset { name: "USDC", ..usdc() }.domain().separator().to_string();
    let theirs = usdc().domain().separator().to_string();
    let text = error.to_string();
    for part in [&ours, &theirs, "name \"USDC\"", "name \"USD Coin\"", "version \"2\""] {
        assert!(text.contains(part), "{part} is not in {text}");
    }

    let text = refusal(Asset { decimals: 18, ..usdc() }).await.to_string();
    assert!(text.contains("with 18 decimals") && text.ends_with("has 6"), "{text}");

    let nowhere = Address::new([7; 20]);
    let text = refusal(Asset { address: nowhere, ..usdc() }).await.to_string();
    assert!(text.contains(&nowhere.to_string()) && text.contains("eip155:1"), "{text}");
}

#[tokio::test]
async fn a_contract_that_is_no_token_is_named() {
    let shop = Shop::open().await;
    // Stops at once, and so returns nothing; reverts at once.
    for (code, says) in [("0x00", "another type"), ("0x5f5ffd", "execution reverted")] {
        let address = Address::new([9; 20]);
        shop.rpc("anvil_setCode", json!([address.to_string(), code]));
        let error = shop.chain.check_asset(&Asset { address, ..usdc() }).await.unwrap_err();
        assert!(matches!(error, StartError::NoToken { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("DOMAIN_SEPARATOR()") && text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn plain_http_to_elsewhere_is_refused() {
    let connect = async |options: RpcOptions| {
        let url = RpcUrl::parse("http://192.0.2.1:8545/CANARY").unwrap();
        RpcChain::connect(url, signer(&SETTLER), options).await.unwrap_err()
    };
    assert!(matches!(connect(options()).await, StartError::PlainHttp));
    let allowed = RpcOptions { allow_plain_http: true, ..options() };
    let error = connect(allowed).await;
    assert!(matches!(error, StartError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("CANARY"));
}
