//! What fuzz targets call: readers of L1's answers that nobody else may reach.

use alloy::primitives::Bytes;
use alloy::rpc::types::{Block, Log, Transaction};
use alloy::sol_types::{SolCall, SolInterface};

use crate::derive::read_log;
use crate::inbox::ISequencerInbox::{
    ISequencerInboxErrors, groupKeyCall, initialiseCall, lastBatchCall, nextNumberCall, postCall,
    recoverCall, rotateCall,
};
use crate::l1::{read_answer, read_any_answer};

/// Bytes that an L1 node or a beacon node answers with, taken for each thing that is ever asked for.
pub fn l1_answer(answer: &[u8]) {
    read_any_answer(answer);
    let _ = read_answer::<Option<Block>>(answer);
    let _ = read_answer::<Option<Transaction>>(answer);
    if let Ok(Ok(logs)) = read_answer::<Vec<Log>>(answer) {
        logs.iter().for_each(read_log);
    }
    if let Ok(Ok(bytes)) = read_answer::<Bytes>(answer) {
        abi(&bytes);
    }
}

/// Calldata, return data and revert data of the contract.
pub fn abi(bytes: &[u8]) {
    let _ = initialiseCall::abi_decode(bytes);
    let _ = postCall::abi_decode(bytes);
    let _ = rotateCall::abi_decode(bytes);
    let _ = recoverCall::abi_decode(bytes);
    let _ = lastBatchCall::abi_decode_returns(bytes);
    let _ = groupKeyCall::abi_decode_returns(bytes);
    let _ = nextNumberCall::abi_decode_returns(bytes);
    let _ = ISequencerInboxErrors::abi_decode(bytes);
}
