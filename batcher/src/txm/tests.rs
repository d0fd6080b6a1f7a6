#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_types_passed_by_value)]

use std::time::Duration;

use alloy::primitives::{B256, U256};
use ordering_types::Time;

use super::*;

const GWEI: u128 = 1_000_000_000;

fn limits() -> Limits {
    Limits {
        max_cap: 1_000 * GWEI,
        max_blob: 1_000 * GWEI,
        resubmit_after: Duration::from_secs(36),
        check_every: Duration::from_secs(3),
        pause: Duration::from_secs(2),
    }
}

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1_000)
}

fn market() -> Fees {
    Fees { tip: GWEI, cap: 20 * GWEI, blob: 2 * GWEI }
}

fn times(fees: Fees, factor: u128) -> Fees {
    Fees { tip: fees.tip * factor, cap: fees.cap * factor, blob: fees.blob * factor }
}

fn facts() -> Facts {
    Facts {
        nonce: 7,
        pending_nonce: 7,
        market: market(),
        balance: U256::from(10_u128.pow(18)),
        gas: 100_000,
        blob_gas: 131_072,
    }
}

fn wanted() -> Input {
    Input::Looked(Ok(Look::Wanted(facts())))
}

fn hash(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn send(factor: u128) -> Option<Output> {
    Some(Output::Send { nonce: 7, fees: times(market(), factor), gas: 100_000 })
}

const fn waiting(nonce: u64) -> Input {
    Input::Checked(Ok(Check::Waiting { nonce, obsolete: false }))
}

const fn lost(nonce: u64) -> Input {
    Input::Checked(Ok(Check::Waiting { nonce, obsolete: true }))
}

fn looking() -> Txm {
    let mut txm = Txm::new(limits());
    assert_eq!(txm.handle(at(0), Input::Begin), Some(Output::Look));
    txm
}

fn sending() -> Txm {
    let mut txm = looking();
    assert_eq!(txm.handle(at(0), wanted()), send(1));
    txm
}

fn flying() -> Txm {
    let mut txm = sending();
    assert_eq!(txm.handle(at(0), Input::Sent(Ok(hash(1)))), None);
    assert_eq!(txm.next_deadline(), Some(at(3)));
    txm
}

#[test]
fn the_straight_way() {
    let mut txm = flying();
    assert_eq!(txm.handle(at(2), Input::Wake), None, "too early");
    assert_eq!(txm.handle(at(3), Input::Wake), Some(Output::Check(vec![hash(1)])));
    assert_eq!(txm.handle(at(3), waiting(7)), None);
    assert_eq!(txm.handle(at(6), Input::Wake), Some(Output::Check(vec![hash(1)])));
    let mined = Check::Mined { hash: hash(1), success: true, gas: 80_000 };
    let done = Outcome::Mined { hash: hash(1), gas: 80_000 };
    assert_eq!(txm.handle(at(6), Input::Checked(Ok(mined))), Some(Output::Finished(done)));
    assert!(txm.is_idle());
    assert_eq!(txm.next_deadline(), None);
}

/// Every answer to a send, and what is done at once and after the pause.
#[test]
fn every_refusal_has_its_row() {
    use SendFailure as F;
    let refused = || F::Refused("txpool is full".to_owned());
    let table: Vec<(F, Option<Output>, Option<Pause>)> = vec![
        (F::LostRace, Some(Output::Finished(Outcome::Obsolete)), None),
        (F::Underpriced, Some(Output::Look), None),
        (F::BelowMarket, None, Some(Pause::Stale)),
        (F::NonceTooLow, None, Some(Pause::Stale)),
        (F::NonceTooHigh, None, Some(Pause::Stale)),
        (F::InsufficientFunds, None, Some(Pause::OutOfMoney)),
        (F::Reserved, None, Some(Pause::Reserved)),
        (refused(), None, Some(Pause::Refused("txpool is full".to_owned()))),
        (F::Unanswered(hash(9)), None, None),
    ];
    for (failure, output, pause) in table {
        let mut txm = sending();
        assert_eq!(txm.handle(at(0), Input::Sent(Err(failure.clone()))), output, "{failure:?}");
        assert_eq!(txm.pause(), pause.as_ref(), "{failure:?}");
        if pause.is_some() {
            assert_eq!(txm.next_deadline(), Some(at(2)));
            assert_eq!(txm.handle(at(2), Input::Wake), Some(Output::Look), "{failure:?}");
            assert_eq!(txm.handle(at(2), wanted()), send(1), "nothing of ours is in the pool: {failure:?}");
        }
    }
}

#[test]
fn underpriced_doubles_all_three_fees_until_accepted_or_too_expensive() {
    let mut txm = sending();
    for factor in [2, 4, 8, 16, 32] {
        assert_eq!(txm.handle(at(0), Input::Sent(Err(SendFailure::Underpriced))), Some(Output::Look));
        assert_eq!(txm.handle(at(0), wanted()), send(factor));
    }
    assert_eq!(txm.handle(at(0), Input::Sent(Err(SendFailure::Underpriced))), Some(Output::Look));
    assert_eq!(txm.handle(at(0), wanted()), None);
    assert_eq!(txm.pause(), Some(&Pause::TooExpensive));
}

#[test]
fn what_is_not_mined_for_long_is_replaced_at_twice_the_fees() {
    let mut txm = flying();
    assert_eq!(txm.handle(at(35), Input::Wake), Some(Output::Check(vec![hash(1)])));
    assert_eq!(txm.handle(at(35), waiting(7)), None);
    assert_eq!(txm.handle(at(38), Input::Wake), Some(Output::Check(vec![hash(1)])));
    assert_eq!(txm.handle(at(38), waiting(7)), Some(Output::Look));
    assert_eq!(txm.handle(at(38), wanted()), send(2));
    assert_eq!(txm.handle(at(38), Input::Sent(Ok(hash(2)))), None);
    assert_eq!(txm.bumps(), 1);
    // Either version may be mined.
    assert_eq!(txm.handle(at(41), Input::Wake), Some(Output::Check(vec![hash(1), hash(2)])));
}

#[test]
fn the_market_wins_over_doubling_when_it_is_higher() {
    let mut txm = flying();
    txm.handle(at(38), Input::Wake);
    assert_eq!(txm.handle(at(38), waiting(7)), Some(Output::Look));
    let mut spiked = facts();
    spiked.market.blob = 500 * GWEI;
    let output = txm.handle(at(38), Input::Looked(Ok(Look::Wanted(spiked))));
    let fees = Fees { blob: 500 * GWEI, ..times(market(), 2) };
    assert_eq!(output, Some(Output::Send { nonce: 7, fees, gas: 100_000 }));
}

#[test]
fn a_send_without_an_answer_is_repeated_unchanged() {
    let mut txm = sending();
    assert_eq!(txm.handle(at(0), Input::Sent(Err(SendFailure::Unanswered(hash(1))))), None);
    assert_eq!(txm.handle(at(3), Input::Wake), Some(Output::Check(vec![hash(1)])));
    assert_eq!(txm.handle(at(3), waiting(7)), send(1));
    assert_eq!(txm.handle(at(3), Input::Sent(Ok(hash(1)))), None);
    assert_eq!(txm.handle(at(6), Input::Wake), Some(Output::Check(vec![hash(1)])), "listed once");
    assert_eq!(txm.handle(at(6), waiting(7)), None, "sure now");
    assert_eq!(txm.handle(at(36), Input::Wake), Some(Output::Check(vec![hash(1)])));
    assert_eq!(txm.handle(at(36), waiting(7)), Some(Output::Look), "patience counts from the first send");
}

/// Another batcher was first while our transaction waits: it would be mined to a revert. The next call takes its nonce.
#[test]
fn a_stranded_transaction_is_replaced_by_the_next_call() {
    let mut txm = flying();
    txm.handle(at(3), Input::Wake);
    assert_eq!(txm.handle(at(3), lost(7)), None, "it may have been ours");
    assert_eq!(txm.handle(at(6), Input::Wake), Some(Output::Check(vec![hash(1)])));
    assert_eq!(txm.handle(at(6), lost(7)), Some(Output::Finished(Outcome::Obsolete)));
    assert_eq!(txm.handle(at(7), Input::Begin), Some(Output::Look));
    let mut now = facts();
    now.pending_nonce = 8;
    assert_eq!(txm.handle(at(7), Input::Looked(Ok(Look::Wanted(now)))), send(2));
    txm.handle(at(7), Input::Sent(Ok(hash(5))));
    assert_eq!(txm.handle(at(10), Input::Wake), Some(Output::Check(vec![hash(5)])), "not the other call's");
}

/// anvil shows the nonce and the contract after a block of three blobs a good tenth of a second before its receipts: our
/// own batch was booked as a lost race, and its gas never.
#[test]
fn a_receipt_that_comes_after_the_state_is_waited_for() {
    let mut txm = flying();
    txm.handle(at(3), Input::Wake);
    for seconds in [3, 6, 9] {
        assert_eq!(txm.handle(at(seconds), lost(8)), None);
        assert_eq!(txm.handle(at(seconds + 3), Input::Wake), Some(Output::Check(vec![hash(1)])));
    }
    let mined = Check::Mined { hash: hash(1), success: true, gas: 1 };
    let done = Outcome::Mined { hash: hash(1), gas: 1 };
    assert_eq!(txm.handle(at(12), Input::Checked(Ok(mined))), Some(Output::Finished(done)));

    // Not for ever: somebody else may have used the nonce.
    let mut txm = flying();
    txm.handle(at(35), Input::Wake);
    assert_eq!(txm.handle(at(35), lost(8)), None);
    assert_eq!(txm.handle(at(38), Input::Wake), Some(Output::Check(vec![hash(1)])));
    assert_eq!(txm.handle(at(38), lost(8)), Some(Output::Finished(Outcome::Obsolete)));
}

#[test]
fn a_race_that_was_won_by_our_own_transaction_is_no_loss() {
    let mut txm = flying();
    txm.handle(at(38), Input::Wake);
    assert_eq!(txm.handle(at(38), waiting(7)), Some(Output::Look));
    assert_eq!(txm.handle(at(38), Input::Looked(Ok(Look::Obsolete))), Some(Output::Check(vec![hash(1)])));
    let mined = Check::Mined { hash: hash(1), success: true, gas: 1 };
    let done = Outcome::Mined { hash: hash(1), gas: 1 };
    assert_eq!(txm.handle(at(38), Input::Checked(Ok(mined))), Some(Output::Finished(done)));
}

#[test]
fn what_an_earlier_run_left_in_the_pool_gets_time_and_is_then_replaced() {
    let mut txm = looking();
    let mut left = facts();
    left.pending_nonce = 8;
    assert_eq!(txm.handle(at(0), Input::Looked(Ok(Look::Wanted(left)))), None);
    assert_eq!(txm.handle(at(3), Input::Wake), Some(Output::Check(vec![])));
    assert_eq!(txm.handle(at(3), waiting(7)), None);
    assert_eq!(txm.handle(at(36), Input::Wake), Some(Output::Check(vec![])));
    assert_eq!(txm.handle(at(36), waiting(7)), Some(Output::Look));
    assert_eq!(txm.handle(at(36), Input::Looked(Ok(Look::Wanted(left)))), send(1));
    assert_eq!(txm.handle(at(36), Input::Sent(Err(SendFailure::Underpriced))), Some(Output::Look));
    assert_eq!(txm.handle(at(36), Input::Looked(Ok(Look::Wanted(left)))), send(2));
}

#[test]
fn a_nonce_that_something_else_used_is_left_behind() {
    let mut txm = flying();
    txm.handle(at(3), Input::Wake);
    assert_eq!(txm.handle(at(3), waiting(8)), Some(Output::Look));
    let next = Facts { nonce: 8, pending_nonce: 8, ..facts() };
    let output = txm.handle(at(3), Input::Looked(Ok(Look::Wanted(next))));
    assert_eq!(output, Some(Output::Send { nonce: 8, fees: market(), gas: 100_000 }));
}

#[test]
fn an_l1_that_does_not_answer_is_asked_again_where_we_were() {
    let trouble = || Trouble("connection refused".to_owned());
    let mut txm = looking();
    assert_eq!(txm.handle(at(0), Input::Looked(Err(trouble()))), None);
    assert_eq!(txm.pause(), Some(&Pause::Unreachable("connection refused".to_owned())));
    assert_eq!(txm.handle(at(2), Input::Wake), Some(Output::Look));
    let mut txm = flying();
    txm.handle(at(3), Input::Wake);
    assert_eq!(txm.handle(at(3), Input::Checked(Err(trouble()))), None);
    assert_eq!(txm.handle(at(5), Input::Wake), Some(Output::Check(vec![hash(1)])));
}

#[test]
fn no_money_and_a_revert_are_told_apart() {
    let mut txm = looking();
    let poor = Facts { balance: U256::from(1), ..facts() };
    assert_eq!(txm.handle(at(0), Input::Looked(Ok(Look::Wanted(poor)))), None);
    assert_eq!(txm.pause(), Some(&Pause::OutOfMoney));
    assert_eq!(txm.handle(at(2), Input::Wake), Some(Output::Look));
    assert_eq!(txm.handle(at(2), wanted()), send(1), "refilled");

    let mut txm = flying();
    txm.handle(at(3), Input::Wake);
    let reverted = Check::Mined { hash: hash(1), success: false, gas: 30_000 };
    let burnt = Outcome::Reverted { hash: hash(1), gas: 30_000 };
    assert_eq!(txm.handle(at(3), Input::Checked(Ok(reverted))), Some(Output::Finished(burnt)));

    let mut txm = looking();
    let refused = Input::Looked(Ok(Look::Rejected("InvalidGroupSignature".to_owned())));
    let outcome = Outcome::Rejected("InvalidGroupSignature".to_owned());
    assert_eq!(txm.handle(at(0), refused), Some(Output::Finished(outcome)));
}

#[test]
fn answers_out_of_turn_change_nothing() {
    let mut txm = flying();
    for stale in [Input::Begin, wanted(), Input::Sent(Ok(hash(3))), waiting(99)] {
        assert_eq!(txm.handle(at(1), stale), None);
    }
    assert_eq!(txm.handle(at(3), Input::Wake), Some(Output::Check(vec![hash(1)])));
}
