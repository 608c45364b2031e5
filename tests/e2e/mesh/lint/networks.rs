//! Ranges of addresses.

use std::net::IpAddr;

use serde_json::Value;

use crate::mesh::documents::{Documents, items, text, title};

/// An address and how many of its bits count.
#[derive(Clone, Copy)]
struct Range {
    address: IpAddr,
    bits: u32,
}

pub(super) fn check(documents: Documents<'_>, complaints: &mut Vec<String>) {
    for document in documents.all() {
        let blocks: Vec<&Value> = match text(document, "/kind") {
            "NetworkAuthentication" | "EgressNetwork" => {
                items(document, "/spec/networks").iter().collect()
            }
            "NetworkPolicy" => [("/spec/ingress", "/from"), ("/spec/egress", "/to")]
                .into_iter()
                .flat_map(|(rules, peers)| {
                    items(document, rules)
                        .iter()
                        .flat_map(move |rule| items(rule, peers))
                })
                .map(|peer| &peer["ipBlock"])
                .filter(|block| !block.is_null())
                .collect(),
            _ => continue,
        };
        for block in blocks {
            if let Err(wrong) = ranges(block) {
                complaints.push(format!("{}: {wrong}", title(document)));
            }
        }
    }
}

fn ranges(block: &Value) -> Result<(), String> {
    let cidr = text(block, "/cidr");
    let whole = Range::parse(cidr)?;
    for except in items(block, "/except") {
        let except = except.as_str().unwrap_or_default();
        let part = Range::parse(except)?;
        if !whole.contains(part) {
            return Err(format!("{cidr} does not contain {except}"));
        }
        if part.contains(whole) {
            return Err(format!("nothing is left of {cidr} without {except}"));
        }
    }
    Ok(())
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a range of addresses, such as 10.0.0.0/8");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = bits.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }

    fn contains(self, other: Self) -> bool {
        let (all, own, others) = match (self.address, other.address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (32, u128::from(own.to_bits()), u128::from(other.to_bits()))
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (128, own.to_bits(), other.to_bits()),
            _ => return false,
        };
        // A shift by all 128 bits would overflow: nothing is left of the number then.
        let network = |number: u128| number.checked_shr(all - self.bits).unwrap_or(0);
        self.bits <= other.bits && network(own) == network(others)
    }
}

#[test]
fn a_range_contains_smaller_ranges_of_its_own_kind() {
    let contains = |one: &str, other: &str| {
        let (one, other) = (Range::parse(one).unwrap(), Range::parse(other).unwrap());
        one.contains(other)
    };
    assert!(contains("0.0.0.0/0", "10.0.0.0/8"));
    assert!(contains("10.0.0.0/8", "10.200.0.0/16"));
    assert!(!contains("10.200.0.0/16", "10.0.0.0/8"));
    assert!(!contains("10.0.0.0/8", "11.0.0.0/8"));
    assert!(contains("::/0", "fd00::/8"));
    assert!(!contains("::/0", "10.0.0.0/8"));
    for wrong in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", ""] {
        assert!(Range::parse(wrong).is_err(), "{wrong}");
    }
}
