//! Settings that both of the batcher's programs have, read alike.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::transports::http::reqwest::Url;
use ordering_types::ChainSpec;
use serde::Deserialize;

use super::ConfigError;
use crate::l1::MAX_ENDPOINTS;
use crate::txm::Limits;

/// Time between the blocks of Ethereum.
const DEFAULT_SLOT_MS: u64 = 12_000;
/// Shorter ones leave no time for anything.
const SHORTEST_SLOT_MS: u64 = 100;
/// Most per gas, and per blob gas, unless the settings say so.
const DEFAULT_FEE_GWEI: u64 = 500;
const GWEI: u128 = 1_000_000_000;
/// A transaction that is not mined after this many slots is replaced.
const RESUBMIT_SLOTS: u32 = 3;
/// Bounds on an eighth of the slot.
const SHORTEST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(2);

pub(crate) fn read_toml<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::File { path: path.to_owned(), why: error.to_string() })
}

/// The genesis file.
pub(crate) fn chain_spec(path: Option<PathBuf>) -> Result<ChainSpec, ConfigError> {
    let path = path.ok_or(ConfigError::Missing("chain_spec"))?;
    let spec: ChainSpec = read_toml(&path)?;
    spec.validate().map_err(|error| ConfigError::File { path, why: error.to_string() })?;
    Ok(spec)
}

pub(crate) fn slot(l1_slot_ms: Option<u64>) -> Result<Duration, ConfigError> {
    let slot_ms = l1_slot_ms.unwrap_or(DEFAULT_SLOT_MS);
    if slot_ms < SHORTEST_SLOT_MS {
        let why = format!("{slot_ms} is below {SHORTEST_SLOT_MS}");
        return Err(ConfigError::Value { key: "l1_slot_ms", why });
    }
    Ok(Duration::from_millis(slot_ms))
}

/// L1's endpoints. Their addresses may hold secrets, so errors go by their place.
pub(crate) fn endpoints(list: Option<Vec<String>>) -> Result<Vec<String>, ConfigError> {
    let list = nonempty("l1", list)?;
    if list.len() > MAX_ENDPOINTS {
        let why = format!("{} endpoints, at most {MAX_ENDPOINTS} are used", list.len());
        return Err(ConfigError::Value { key: "l1", why });
    }
    let spoken = |text: &String| text.parse().is_ok_and(|url: Url| matches!(url.scheme(), "http" | "https"));
    match list.iter().position(|text| !spoken(text)) {
        None => Ok(list),
        Some(place) => {
            let why = format!("endpoint {} is not an http:// or https:// URL", place + 1);
            Err(ConfigError::Value { key: "l1", why })
        }
    }
}

/// Between two looks at something, and after trouble.
pub(crate) fn poll(slot: Duration) -> Duration {
    (slot / 8).clamp(SHORTEST_POLL, LONGEST_POLL)
}

/// What the transaction manager keeps to.
pub(crate) fn limits(slot: Duration, max_fee_gwei: Option<u64>, max_blob_fee_gwei: Option<u64>) -> Limits {
    Limits {
        max_cap: fee(max_fee_gwei),
        max_blob: fee(max_blob_fee_gwei),
        resubmit_after: slot * RESUBMIT_SLOTS,
        check_every: poll(slot),
        pause: poll(slot),
    }
}

/// A price in wei.
fn fee(gwei: Option<u64>) -> u128 {
    u128::from(gwei.unwrap_or(DEFAULT_FEE_GWEI)) * GWEI
}

pub(crate) fn nonempty(key: &'static str, list: Option<Vec<String>>) -> Result<Vec<String>, ConfigError> {
    list.filter(|list| !list.is_empty()).ok_or(ConfigError::Missing(key))
}

/// Where metrics are served, if at all.
pub(crate) fn metrics(text: Option<String>, default: &str) -> Result<Option<SocketAddr>, ConfigError> {
    let text = text.unwrap_or_else(|| default.to_owned());
    if text == "off" {
        return Ok(None);
    }
    let why = format!("{text:?} is no address such as {default}, nor \"off\"");
    text.parse().map(Some).map_err(|_| ConfigError::Value { key: "metrics", why })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls_and_not_many() {
        for bad in ["ftp://key@example", "example:8545/key", ""] {
            let list = vec!["http://127.0.0.1:8545".to_owned(), bad.to_owned()];
            let error = endpoints(Some(list)).unwrap_err().to_string();
            assert_eq!(error, "l1: endpoint 2 is not an http:// or https:// URL");
        }
        let many = vec!["http://127.0.0.1:8545".to_owned(); MAX_ENDPOINTS + 1];
        let error = endpoints(Some(many)).unwrap_err().to_string();
        assert_eq!(error, "l1: 9 endpoints, at most 8 are used");
    }

    #[test]
    fn metrics_are_served_where_it_is_said_or_not_at_all() {
        let read = |text: Option<&str>| metrics(text.map(str::to_owned), "127.0.0.1:9501");
        assert_eq!(read(None).unwrap(), Some(([127, 0, 0, 1], 9_501).into()));
        assert_eq!(read(Some("[::1]:80")).unwrap(), Some("[::1]:80".parse().unwrap()));
        assert_eq!(read(Some("off")).unwrap(), None);
        for bad in ["9501", "", "OFF", "localhost:9501"] {
            let error = read(Some(bad)).unwrap_err().to_string();
            assert_eq!(error, format!("metrics: {bad:?} is no address such as 127.0.0.1:9501, nor \"off\""));
        }
    }
}
