use crate::{Address, ChainId, Domain};

/// How a token is moved by a signature of its holder.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TransferMethod {
    /// The token has `transferWithAuthorization` ([EIP-3009](https://eips.ethereum.org/EIPS/eip-3009)).
    Eip3009,
    /// The token lacks it; the holder signs for the Permit2 contract.
    Permit2,
}

/// In which order a token writes the logs of `transferWithAuthorization`.
///
/// [EIP-3009](https://eips.ethereum.org/EIPS/eip-3009) demands both, `AuthorizationUsed` and `Transfer`, and
/// does not say in which order. In a transaction of one's own that does not matter; in somebody else's
/// only a known order tells which transfer belongs to which authorization.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LogOrder {
    /// The `Transfer` is the token's very next log after `AuthorizationUsed`, as in the reference
    /// implementation and in Circle's tokens.
    TransferNext,
    /// Nobody has looked.
    #[default]
    Unknown,
}

/// A token on a chain, with all that a signature over it depends on.
///
/// The EIP-712 `name` and `version` differ from chain to chain and must never be guessed: USDC is
/// `USD Coin` on Ethereum and Base, `USDC` on Base Sepolia; EURC is `Euro Coin` on Ethereum, `EURC`
/// on Base.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asset<'a> {
    /// The chain the token lives on.
    pub chain_id: ChainId,
    /// What people call it: `USDC`.
    pub symbol: &'a str,
    /// The token's contract.
    pub address: Address,
    /// The `name` of its EIP-712 domain.
    pub name: &'a str,
    /// The `version` of its EIP-712 domain.
    pub version: &'a str,
    /// How many digits of an amount are behind the decimal point: 6 for USDC.
    pub decimals: u8,
    /// How the token is moved by signature.
    pub transfer_method: TransferMethod,
    /// In which order its logs are.
    pub log_order: LogOrder,
}

impl Asset<'static> {
    /// The token of that symbol on a chain, if the table has it.
    ///
    /// The table holds only rows whose domain is known from Circle's deployments or the official
    /// SDK; other tokens are put together by hand from what their contract answers.
    #[must_use]
    pub fn find(chain_id: ChainId, symbol: &str) -> Option<&'static Self> {
        TABLE.iter().find(|asset| asset.chain_id == chain_id && asset.symbol == symbol)
    }

    /// The token at that address of a chain, if the table has it.
    #[must_use]
    pub fn find_by_address(chain_id: ChainId, address: Address) -> Option<&'static Self> {
        TABLE.iter().find(|asset| asset.chain_id == chain_id && asset.address == address)
    }

    /// The whole table, by chain id and then by symbol.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        TABLE.iter()
    }
}

impl<'a> Asset<'a> {
    /// The token's EIP-712 domain.
    #[must_use]
    pub const fn domain(&self) -> Domain<'a> {
        Domain {
            name: self.name,
            version: self.version,
            chain_id: self.chain_id,
            verifying_contract: self.address,
        }
    }

    /// Whether `text`, a symbol or an address, means this token.
    #[must_use]
    pub fn is_named(&self, text: &str) -> bool {
        text == self.symbol || Address::parse(text) == Ok(self.address)
    }
}

use TransferMethod::{Eip3009, Permit2};

const fn row(
    chain_id: u64,
    symbol: &'static str,
    address: &'static str,
    name: &'static str,
    version: &'static str,
    decimals: u8,
    transfer_method: TransferMethod,
) -> Asset<'static> {
    let address = Address::literal(address);
    let chain_id = ChainId::new(chain_id);
    let log_order = match (symbol.as_bytes(), transfer_method) {
        (b"USDC" | b"EURC", Eip3009) => LogOrder::TransferNext,
        _ => LogOrder::Unknown,
    };
    Asset { chain_id, symbol, address, name, version, decimals, transfer_method, log_order }
}

// The default assets of @x402/evm 2.27.0 and x402 1.2.0; USDC on OP and Sepolia and EURC as Circle
// deployed them, each of whose separators equals the contract's DOMAIN_SEPARATOR(). EURC on test
// networks is left out: nobody has read its domain from the chain.
#[rustfmt::skip]
const TABLE: [Asset<'static>; 42] = [
    row(1, "EURC", "0x1aBaEA1f7C830bD89Acc67eC4af516284b1bC33c", "Euro Coin", "2", 6, Eip3009),
    row(1, "USDC", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin", "2", 6, Eip3009),
    row(10, "USDC", "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85", "USD Coin", "2", 6, Eip3009),
    row(14, "USDT0", "0xe7cd86e13AC4309349F30B3435a9d337750fC82D", "USD₮0", "1", 6, Eip3009),
    row(50, "USDC", "0xfA2958CB79b0491CC627c1557F441eF849Ca8eb1", "USDC", "2", 6, Eip3009),
    row(51, "USDC", "0xb5AB69F7bBada22B28e79C8FFAECe55eF1c771D4", "USDC", "2", 6, Eip3009),
    row(137, "USDC", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USD Coin", "2", 6, Eip3009),
    row(143, "USDC", "0x754704Bc059F8C67012fEd69BC8A327a5aafb603", "USDC", "2", 6, Eip3009),
    row(988, "USDT0", "0x779Ded0c9e1022225f8E0630b35a9b54bE713736", "USDT0", "1", 6, Eip3009),
    row(1_328, "USDC", "0x4fCF1784B31630811181f670Aea7A7bEF803eaED", "USDC", "2", 6, Eip3009),
    row(1_329, "USDC", "0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392", "USDC", "2", 6, Eip3009),
    row(1_514, "USDC", "0xF1815bd50389c46847f0Bda824eC8da914045D14", "Bridged USDC", "2", 6, Eip3009),
    row(2_201, "USDT0", "0x78Cf24370174180738C5B8E352B6D14c83a6c9A9", "USDT0", "1", 6, Eip3009),
    row(2_741, "USDC", "0x84A71ccD554Cc1b02749b35d22F684CC8ec987e1", "Bridged USDC", "2", 6, Eip3009),
    row(3_338, "USDC", "0xbbA60da06c2c5424f03f7434542280FCAd453d10", "USDC", "2", 6, Eip3009),
    row(4_326, "MegaUSD", "0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7", "MegaUSD", "1", 18, Permit2),
    row(4_689, "USDC", "0xcDf79194C6C285077A58da47641D4dBe51F63542", "Bridged USDC", "2", 6, Eip3009),
    row(8_453, "EURC", "0x60a3E35Cc302bFA44Cb288Bc5a4F316Fdb1adb42", "EURC", "2", 6, Eip3009),
    row(8_453, "USDC", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin", "2", 6, Eip3009),
    row(11_124, "USDC", "0xe4C7fBB0a626ed208021ccabA6Be1566905E2dFc", "Bridged USDC", "2", 6, Eip3009),
    row(31_611, "mUSD", "0x118917a40FAF1CD7a13dB0Ef56C86De7973Ac503", "Mezo USD", "1", 18, Permit2),
    row(31_612, "mUSD", "0xdD468A1DDc392dcdbEf6db6e34E89AA338F9F186", "Mezo USD", "1", 18, Permit2),
    row(36_900, "USDC.e", "0x9cb8142aEBBcdc60AF7c97Af897A67A8f3CA71C2", "USDC.e", "2", 6, Eip3009),
    row(38_833, "USDC", "0xA5b8BF902b2844dA17d4506cc827F7F1681735E7", "USDC", "1", 6, Permit2),
    row(41_923, "USDC", "0x12a272A581feE5577A5dFa371afEB4b2F3a8C2F8", "Bridged USDC (Stargate)", "2", 6, Eip3009),
    row(42_161, "USDC", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", "USD Coin", "2", 6, Eip3009),
    row(42_220, "USAT", "0xD2ab3C9A02DBBAB236BfEC45D1d755DF4267F771", "Tether America USD", "1", 6, Eip3009),
    row(42_220, "USDC", "0xcebA9300f2b948710d2653dD7B07f33A8B32118C", "USDC", "2", 6, Eip3009),
    row(42_220, "USDT", "0x48065fbBE25f71C9282ddf5e1cD6D6A887483D5e", "Tether USD", "1", 6, Eip3009),
    row(43_113, "USDC", "0x5425890298aed601595a70AB815c96711a31Bc65", "USD Coin", "2", 6, Eip3009),
    row(43_114, "EURC", "0xC891EB4cbdEFf6e073e859e987815Ed1505c2ACD", "Euro Coin", "2", 6, Eip3009),
    row(43_114, "USDC", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", "USD Coin", "2", 6, Eip3009),
    row(72_344, "SBC", "0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb", "Stable Coin", "1", 6, Permit2),
    row(80_002, "USDC", "0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582", "USDC", "2", 6, Eip3009),
    row(84_532, "USDC", "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC", "2", 6, Eip3009),
    row(181_228, "USDC.e", "0x401eCb1D350407f13ba348573E5630B83638E30D", "Bridged USDC", "2", 6, Eip3009),
    row(190_415, "USDC.e", "0x401eCb1D350407f13ba348573E5630B83638E30D", "Bridged USDC", "2", 6, Eip3009),
    row(421_614, "USDC", "0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d", "USD Coin", "2", 6, Eip3009),
    row(723_487, "SBC", "0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb", "Stable Coin", "1", 6, Permit2),
    row(11_142_220, "USDC", "0x01C5C0122039549AD1493B8220cABEdD739BC44E", "USDC", "2", 6, Eip3009),
    row(11_155_111, "USDC", "0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238", "USDC", "2", 6, Eip3009),
    row(324_705_682, "USDC", "0x2e08028E3C4c2356572E096d8EF835cD5C6030bD", "Bridged USDC (SKALE Bridge)", "2", 6, Eip3009),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_symbol_and_by_address() {
        for asset in Asset::all() {
            assert_eq!(Asset::find(asset.chain_id, asset.symbol), Some(asset));
            assert_eq!(Asset::find_by_address(asset.chain_id, asset.address), Some(asset));
        }
        assert_eq!(Asset::find(ChainId::ETHEREUM, "usdc"), None);
        assert_eq!(Asset::find(ChainId::BASE_SEPOLIA, "EURC"), None);
    }

    #[test]
    fn names_are_those_of_the_deployment() {
        let name = |chain, symbol| Asset::find(chain, symbol).unwrap().name;
        assert_eq!(name(ChainId::ETHEREUM, "USDC"), "USD Coin");
        assert_eq!(name(ChainId::BASE_SEPOLIA, "USDC"), "USDC");
        assert_eq!(name(ChainId::ETHEREUM, "EURC"), "Euro Coin");
        assert_eq!(name(ChainId::BASE, "EURC"), "EURC");
    }

    #[test]
    fn is_named_by_symbol_or_address() {
        let usdc = Asset::find(ChainId::ETHEREUM, "USDC").unwrap();
        assert!(usdc.is_named("USDC"));
        assert!(usdc.is_named("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"));
        assert!(!usdc.is_named("usdc") && !usdc.is_named("EURC") && !usdc.is_named(""));
    }
}
