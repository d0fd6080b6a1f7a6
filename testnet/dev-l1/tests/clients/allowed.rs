//! Where the answers of anvil and of this chain may differ, and why. All else is equal.

use super::compare::Exception;
use super::compare::Rule::{Differs, Extra, Laxer, Renamed};

/// Every exception, for all clients together. One that nothing needs any more fails the test.
pub(crate) fn exceptions() -> Vec<Exception> {
    [
        // Blocks have their own times and producers, and so their own hashes.
        (Differs, "**.timestamp"),
        (Differs, "**.blockTimestamp"),
        (Renamed, "*.block.hash"),
        (Renamed, "genesis.hash"),
        (Renamed, "latest.hash"),
        (Renamed, "replaced.hash"),
        (Renamed, "after.newBlocks.*"),
        (Renamed, "**.blockHash"),
        (Renamed, "**.parentHash"),
        (Renamed, "**.mixHash"),
        (Renamed, "**.prevRandao"),
        (Differs, "**.miner"),
        // geth lets the producer choose it too. It is longer here, which makes the block longer.
        (Differs, "**.extraData"),
        (Differs, "**.size"),
        // The system contracts of EIP-2935, 4788, 7002 and 7251, which a real chain has, are in this state and not in
        // anvil's; tips go to the producer. Storage roots, balances and codes are equal all the same.
        (Renamed, "**.stateRoot"),
        (Differs, "after.proof.accountProof.*"),
        // EIP-4788: anvil says zero.
        (Differs, "**.parentBeaconBlockRoot"),
        // anvil's first block has the genesis block's base fee, which is therefore set lower than 1 gwei.
        (Differs, "genesis.baseFeePerGas"),
        (Differs, "identity.baseFee"),
        // Both may exceed what is needed; geth's search stops within 1.5 %, and so does this one.
        (Differs, "before.estimated"),
        // geth: what a pending transaction may pay at most. anvil: what it would pay now.
        (Differs, "*.pending.gasPrice"),
        // geth has them for blob transactions only, in receipts no time, and no totalDifficulty at all since the merge.
        (Extra, "**.blobGasPrice"),
        (Extra, "**.blockTimestamp"),
        (Extra, "**.totalDifficulty"),
        // anvil hands out blobs with the transaction and commits to them with it; a block has neither.
        (Extra, "**.blobs"),
        (Extra, "**.commitments"),
        (Extra, "**.cellProofs"),
        (Differs, "blob.block.transactionsRoot"),
        // Refusals: geth's codes and words here, anvil's own there. `WORDS` says which here. The class that a client
        // makes of them is the same, but for viem's innermost one, which is chosen by the code.
        (Differs, "refused.*.code"),
        (Differs, "refused.*.message"),
        (Differs, "refused.*.classes.*"),
        // ethers knows an unknown method by geth's words.
        (Differs, "refused.unknownMethod.class"),
        // What anvil takes and geth does not.
        (Laxer(-32000, "replacement transaction underpriced"), "refused.underpriced"),
        (Laxer(-32000, "unexpected sidecar version"), "refused.oldSidecar"),
        (Laxer(-32602, "invalid block range params"), "refused.badRange"),
    ]
    .map(|(rule, path)| Exception::new(rule, path))
    .into()
}

/// How each refusal begins here: code and words are geth's.
pub(crate) const WORDS: &[(&str, i64, &str)] = &[
    ("nonceTooLow", -32000, "nonce too low: next nonce 4, tx nonce 0"),
    ("insufficientFunds", -32000, "insufficient funds for gas * price + value: balance 0, tx cost "),
    ("alreadyKnown", -32000, "already known"),
    ("underpriced", -32000, "replacement transaction underpriced"),
    ("intrinsicGas", -32000, "intrinsic gas too low: gas 20999, minimum needed 21000"),
    ("wrongChain", -32000, "invalid sender: invalid chain id for signer: have 1 want 1337"),
    ("nonsense", -32000, "rlp: "),
    ("callReverted", 3, "execution reverted: empty"),
    ("estimateReverted", 3, "execution reverted: empty"),
    ("callUnaffordable", -32000, "insufficient funds for gas * price + value: address 0x"),
    ("unknownMethod", -32601, "the method eth_nothing does not exist/is not available"),
    ("badAddress", -32602, "invalid argument 0: "),
    ("futureState", -32000, "header not found"),
    ("badRange", -32602, "invalid block range params"),
    ("oldSidecar", -32000, "unexpected sidecar version, want: 1, got: 0"),
];
