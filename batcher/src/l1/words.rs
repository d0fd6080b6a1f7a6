//! What an L1 means by its words.

use alloy::primitives::{B256, hex};
use alloy::sol_types::SolInterface;
use rollup::inbox::ISequencerInbox::ISequencerInboxErrors;
use rollup::l1::RpcRefusal;

use super::Simulation;
use crate::txm::{Goal, SendFailure};

/// Whether it is money that a simulation lacks.
pub(super) fn lacks_money(refusal: &RpcRefusal) -> bool {
    let message = refusal.message.to_lowercase();
    message.contains("insufficient funds") || message.contains("exceeds allowance")
}

/// What a reverting simulation means; `None` if the endpoint refused for a reason of its own.
pub(super) fn judge_revert(goal: Goal, refusal: &RpcRefusal) -> Option<Simulation> {
    let data = refusal.data.as_deref().and_then(|data| hex::decode(data).ok()).unwrap_or_default();
    match (ISequencerInboxErrors::abi_decode(&data), goal) {
        (Ok(ISequencerInboxErrors::AlreadyInitialised(_)), Goal::FirstKey) => Some(Simulation::Past),
        (Ok(ISequencerInboxErrors::WrongNumber(error)), Goal::Batches { .. })
            if error.got < error.expected =>
        {
            Some(Simulation::Past)
        }
        (Ok(ISequencerInboxErrors::WrongEpoch(error)), Goal::Epoch(_)) if error.got < error.expected => {
            Some(Simulation::Past)
        }
        (Ok(error), _) => {
            let name = ISequencerInboxErrors::name_by_selector(error.selector()).unwrap_or("an error");
            Some(Simulation::Rejected(format!("{name} ({})", hex::encode_prefixed(&data))))
        }
        (Err(_), _) if !data.is_empty() => Some(Simulation::Rejected(refusal.to_string())),
        (Err(_), _) => None,
    }
}

/// geth's words, and those of its imitators.
pub(super) fn judge_send(refusal: &RpcRefusal, hash: B256) -> Result<B256, SendFailure> {
    let message = refusal.message.to_lowercase();
    let says = |text: &str| message.contains(text);
    if says("already known") || says("already imported") {
        return Ok(hash);
    }
    Err(if says("replacement") && says("underpriced") || says("tries to replace pending") {
        SendFailure::Underpriced
    } else if says("nonce too low") {
        SendFailure::NonceTooLow
    } else if says("nonce too high") || says("gapped") {
        SendFailure::NonceTooHigh
    } else if says("insufficient funds") {
        SendFailure::InsufficientFunds
    } else if says("already reserved") {
        SendFailure::Reserved
    } else if says("underpriced")
        || says("less than block base fee")
        || says("below minimum")
        || says("blob fee cap")
    {
        SendFailure::BelowMarket
    } else {
        SendFailure::Refused(refusal.message.clone())
    })
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolError;
    use ordering_types::Epoch;
    use rollup::inbox::ISequencerInbox::{AlreadyInitialised, WrongEpoch, WrongNumber, WrongParent};

    use super::*;

    fn refusal(message: &str, data: Option<String>) -> RpcRefusal {
        RpcRefusal { code: -32_000, message: message.to_owned(), data }
    }

    #[test]
    fn geths_words_are_understood() {
        let hash = B256::repeat_byte(1);
        for (text, wanted) in [
            ("already known", Ok(hash)),
            ("nonce too low: next nonce 4, tx nonce 3", Err(SendFailure::NonceTooLow)),
            ("nonce too high: tx nonce 9, gapped nonce 7", Err(SendFailure::NonceTooHigh)),
            ("replacement transaction underpriced: new tx gas fee cap 1 < 2", Err(SendFailure::Underpriced)),
            ("future transaction tries to replace pending", Err(SendFailure::Underpriced)),
            ("transaction underpriced", Err(SendFailure::BelowMarket)),
            ("max fee per gas less than block base fee", Err(SendFailure::BelowMarket)),
            ("transaction gas price below minimum: blob fee cap 0", Err(SendFailure::BelowMarket)),
            ("insufficient funds for gas * price + value", Err(SendFailure::InsufficientFunds)),
            ("address already reserved", Err(SendFailure::Reserved)),
            ("txpool is full", Err(SendFailure::Refused("txpool is full".to_owned()))),
        ] {
            assert_eq!(judge_send(&refusal(text, None), hash), wanted, "{text}");
        }
    }

    fn judge(goal: Goal, data: Vec<u8>) -> Option<Simulation> {
        judge_revert(goal, &refusal("execution reverted", Some(hex::encode_prefixed(data))))
    }

    #[test]
    fn a_lost_race_is_told_from_a_bad_call() {
        let (initialise, rotate) = (Goal::FirstKey, Goal::Epoch(Epoch::new(7)));
        let post = Goal::Batches { epoch: Epoch::new(1), first: 7, last: 7 };
        let number = |expected, got| WrongNumber { expected, got }.abi_encode();
        let epoch = |expected, got| WrongEpoch { expected, got }.abi_encode();
        assert_eq!(judge(initialise, AlreadyInitialised {}.abi_encode()), Some(Simulation::Past));
        assert_eq!(judge(post, number(8, 7)), Some(Simulation::Past));
        assert_eq!(judge(rotate, epoch(8, 7)), Some(Simulation::Past));
        for (goal, bad) in [
            (post, number(7, 8)),
            // The members replaced the key, and what the old one signed is worthless.
            (post, epoch(8, 7)),
            (post, WrongParent { expected: B256::ZERO, got: B256::ZERO }.abi_encode()),
            (post, vec![1, 2, 3, 4]),
            (rotate, epoch(7, 8)),
            // A batch of the old epoch stands where the new one was to begin.
            (rotate, number(8, 7)),
        ] {
            assert!(matches!(judge(goal, bad), Some(Simulation::Rejected(_))));
        }
        assert_eq!(judge_revert(post, &refusal("header not found", None)), None);
    }
}
