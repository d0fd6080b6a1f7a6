//! `eth_config` (EIP-7910): which rules are in force. All of Osaka's, from the first block on and for ever.

use alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy::eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy::eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy::eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy::primitives::{Address, B256, Bytes, U64};
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::chain::fees::BLOB_PARAMS;

/// Osaka's precompiled contracts, by the names that the EIP gives them.
const PRECOMPILES: [(&str, u16); 18] = [
    ("ECREC", 1),
    ("SHA256", 2),
    ("RIPEMD160", 3),
    ("ID", 4),
    ("MODEXP", 5),
    ("BN254_ADD", 6),
    ("BN254_MUL", 7),
    ("BN254_PAIRING", 8),
    ("BLAKE2F", 9),
    ("KZG_POINT_EVALUATION", 10),
    ("BLS12_G1ADD", 11),
    ("BLS12_G1MSM", 12),
    ("BLS12_G2ADD", 13),
    ("BLS12_G2MSM", 14),
    ("BLS12_PAIRING_CHECK", 15),
    ("BLS12_MAP_FP_TO_G1", 16),
    ("BLS12_MAP_FP2_TO_G2", 17),
    ("P256VERIFY", 0x100),
];

/// The answer. `next` and `last` are null: no fork is to come.
pub(crate) fn answer(chain: &Chain) -> Value {
    let genesis = chain.block(0).map(|block| block.hash).unwrap_or_default();
    let precompiles: serde_json::Map<String, Value> = PRECOMPILES
        .iter()
        .map(|(name, address)| {
            ((*name).to_owned(), json!(Address::left_padding_from(&address.to_be_bytes())))
        })
        .collect();
    json!({
        "current": {
            "activationTime": 0,
            "blobSchedule": {
                "baseFeeUpdateFraction": BLOB_PARAMS.update_fraction as u64,
                "max": BLOB_PARAMS.max_blob_count,
                "target": BLOB_PARAMS.target_blob_count,
            },
            "chainId": U64::from(chain.params.chain_id),
            "forkId": fork_id(genesis),
            "precompiles": precompiles,
            "systemContracts": {
                "BEACON_ROOTS_ADDRESS": BEACON_ROOTS_ADDRESS,
                "CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS": CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
                "HISTORY_STORAGE_ADDRESS": HISTORY_STORAGE_ADDRESS,
                "WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS": WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            },
        },
        "next": null,
        "last": null,
    })
}

/// EIP-2124: the CRC-32 (IEEE) of the genesis hash; forks at genesis do not count.
fn fork_id(genesis: B256) -> Bytes {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    let crc =
        genesis.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)));
    Bytes::copy_from_slice(&(!crc).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::b256;

    use super::*;

    /// EIP-2124 gives mainnet's, before its first fork.
    #[test]
    fn the_fork_id_is_mainnets_for_its_genesis() {
        let mainnet = b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
        assert_eq!(fork_id(mainnet), Bytes::from_static(&[0xfc, 0x64, 0xec, 0x04]));
    }
}
