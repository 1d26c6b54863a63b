//! The lines of a budget's file.

use core::fmt;

use x402_core::{Address, Amount, ChainId, Nonce, Transfer, hex};

/// One line, behind the first.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    Ended(Ended),
    Old(Old),
    Signed(Signed),
}

/// A payment that is signed next.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::client) struct Signed {
    pub(in crate::client) time: u64,
    pub(in crate::client) nonce: Nonce,
    /// Until when, in Unix seconds, the money can be taken.
    pub(in crate::client) valid_before: u64,
    pub(in crate::client) method: Method,
    pub(in crate::client) payer: Address,
    pub(in crate::client) host: String,
    pub(in crate::client) chain_id: ChainId,
    pub(in crate::client) asset: Address,
    pub(in crate::client) amount: Amount,
}

/// Where a chain keeps what was used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::client) enum Method {
    Eip3009,
    Permit2,
}

/// What became of a payment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended {
    /// When: by the chain's clock where it is the chain that says so.
    pub(super) time: u64,
    pub(super) nonce: Nonce,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::client) enum End {
    /// The signer did not sign.
    Unsigned,
    /// The chain says that it was not used, at that time.
    Unused,
    /// The chain says that it was used.
    Used,
}

/// A line of the first version: a payment, or one that was given back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Old {
    pub(super) time: u64,
    pub(super) host: String,
    pub(super) chain_id: ChainId,
    pub(super) asset: Address,
    pub(super) is_back: bool,
    pub(super) amount: Amount,
}

impl Line {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split(' ').collect();
        Some(match fields[..] {
            [time, "signed", nonce, valid_before, method, payer, host, network, asset, amount] => {
                Self::Signed(Signed {
                    time: seconds(time)?,
                    nonce: self::nonce(nonce)?,
                    valid_before: seconds(valid_before)?,
                    method: Method::parse(method)?,
                    payer: Address::parse(payer).ok()?,
                    host: self::host(host)?,
                    chain_id: ChainId::parse(network).ok()?,
                    asset: Address::parse(asset).ok()?,
                    amount: Amount::parse(amount).ok()?,
                })
            }
            [time, end, nonce] => Self::Ended(Ended {
                time: seconds(time)?,
                nonce: self::nonce(nonce)?,
                end: End::parse(end)?,
            }),
            [_, _, _, _, _] => Self::Old(Old::parse(text)?),
            _ => return None,
        })
    }
}

impl Old {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split(' ').collect();
        let [time, host, network, asset, amount] = fields[..] else { return None };
        let (is_back, amount) = match amount.strip_prefix('-') {
            Some(amount) => (true, amount),
            None => (false, amount),
        };
        Some(Self {
            time: seconds(time)?,
            host: self::host(host)?,
            chain_id: ChainId::parse(network).ok()?,
            asset: Address::parse(asset).ok()?,
            is_back,
            amount: Amount::parse(amount).ok()?,
        })
    }
}

impl Method {
    pub(super) const fn of(transfer: &Transfer) -> Self {
        match transfer {
            Transfer::Eip3009(_) => Self::Eip3009,
            Transfer::Permit2(_) => Self::Permit2,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Eip3009 => "eip3009",
            Self::Permit2 => "permit2",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Eip3009, Self::Permit2].into_iter().find(|method| method.as_str() == text)
    }
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Unused => "unused",
            Self::Used => "used",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Unsigned, Self::Unused, Self::Used].into_iter().find(|end| end.as_str() == text)
    }
}

fn seconds(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn nonce(text: &str) -> Option<Nonce> {
    Some(Nonce::new(hex::decode(text).ok()?))
}

fn host(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed(line) => {
                let Signed { time, nonce, valid_before, method, payer, .. } = line;
                let Signed { host, chain_id, asset, amount, .. } = line;
                let (nonce, method) = (hex::Hex(nonce.as_bytes()), method.as_str());
                write!(f, "{time} signed {nonce} {valid_before} {method} {payer} ")?;
                write!(f, "{host} {chain_id} {asset} {amount}")
            }
            Self::Ended(Ended { time, nonce, end }) => {
                write!(f, "{time} {} {}", end.as_str(), hex::Hex(nonce.as_bytes()))
            }
            Self::Old(Old { time, host, chain_id, asset, is_back, amount }) => {
                let sign = if *is_back { "-" } else { "" };
                write!(f, "{time} {host} {chain_id} {asset} {sign}{amount}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "0x0101010101010101010101010101010101010101010101010101010101010101";
    const USDC: &str = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
    const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

    #[test]
    fn what_is_written_is_read() {
        for text in [
            format!("1790000000 signed {NONCE} 1790000060 eip3009 {PAYER} a:1 eip155:1 {USDC} 1"),
            format!("1790000000 signed {NONCE} 1790000060 permit2 {PAYER} a:1 eip155:1 {USDC} 1"),
            format!("1790000061 unused {NONCE}"),
            format!("1790000061 used {NONCE}"),
            format!("1790000000 unsigned {NONCE}"),
            format!("1790000000 a:1 eip155:1 {USDC} -1"),
        ] {
            assert_eq!(Line::parse(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_line_is_not_read() {
        for text in [
            "",
            "x",
            "1790000061 gone 0x01",
            &format!("1790000061 unused {}", &NONCE[..65]),
            &format!("+1790000061 unused {NONCE}"),
            &format!("1790000000 signed {NONCE} 1790000060 cash {PAYER} a:1 eip155:1 {USDC} 1"),
            &format!("1790000000 signed {NONCE} -1 eip3009 {PAYER} a:1 eip155:1 {USDC} 1"),
            &format!("1790000000 signed {NONCE} 1790000060 eip3009 {PAYER} a:1 eip155:1 {USDC} -1"),
        ] {
            assert_eq!(Line::parse(text), None, "{text}");
        }
    }
}
