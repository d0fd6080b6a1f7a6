#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::{B256, U256};
use ordering_types::{Epoch, Time};

use super::*;

pub(super) const GWEI: u128 = 1_000_000_000;

pub(super) fn limits() -> Limits {
    Limits {
        max_cap: 1_000 * GWEI,
        max_blob: 1_000 * GWEI,
        resubmit_after: Duration::from_secs(36),
        check_every: Duration::from_secs(3),
        pause: Duration::from_secs(2),
    }
}

pub(super) fn at(seconds: u64) -> Time {
    Time::from_millis(1_000_000 + seconds * 1_000)
}

fn market() -> Market {
    Market { tip: GWEI, base: 10 * GWEI, blob_base: GWEI }
}

fn fees(factor: u128) -> Fees {
    Fees { tip: factor * GWEI, cap: 21 * factor * GWEI, blob: 2 * factor * GWEI }
}

fn hash(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn goal(first: u64, last: u64) -> Goal {
    Goal::Batches { epoch: Epoch::new(0), first, last }
}

fn posting(id: u64, first: u64, last: u64) -> Call {
    let (account, kind) = (Account::Blobs, Kind::Blob);
    Call { id, goal: goal(first, last), account, kind, gas: 100_000, blob_gas: 131_072 }
}

fn plain(id: u64, account: Account, goal: Goal) -> Call {
    Call { id, goal, account, kind: Kind::Plain, gas: 100_000, blob_gas: 0 }
}

fn standing(nonce: u64, pending: u64) -> Standing {
    Standing { nonce, pending, balance: U256::from(10_u128.pow(18)) }
}

/// L1 wants batch `number`, and this is where the account of the blobs stands.
fn seen(number: u64, nonce: u64, pending: u64) -> Snapshot {
    let accounts =
        BTreeMap::from([(Account::Blobs, standing(nonce, pending)), (Account::Calldata, standing(100, 100))]);
    Snapshot {
        place: Place { epoch: Epoch::new(0), number },
        accounts,
        market: market(),
        receipts: BTreeMap::new(),
    }
}

fn with_receipt(mut snapshot: Snapshot, hash: B256, success: bool) -> Snapshot {
    let receipt = Receipt { success, gas: 80_000, cost: U256::from(7) };
    snapshot.receipts.insert(hash, receipt);
    snapshot
}

/// The event without what it says of the call but its id.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Mined(u64, B256, bool),
    Lost(u64),
    Reorganised(u64),
}

fn told(events: Vec<Event>) -> Vec<Told> {
    let one = |event| match event {
        Event::Mined { call, hash, receipt } => Told::Mined(call.id, hash, receipt.success),
        Event::Lost { call } => Told::Lost(call.id),
        Event::Reorganised { call } => Told::Reorganised(call.id),
    };
    events.into_iter().map(one).collect()
}

const fn lost(id: u64) -> Told {
    Told::Lost(id)
}

const fn mined(id: u64, hash: B256, success: bool) -> Told {
    Told::Mined(id, hash, success)
}

fn looking() -> Txm {
    let mut txm = Txm::new(limits());
    assert_eq!(told(txm.observe(at(0), seen(5, 7, 7))), []);
    txm
}

/// Batch 5 is being sent.
fn sending() -> (Txm, Send) {
    let mut txm = looking();
    let send = txm.begin(at(0), posting(1, 5, 5)).unwrap();
    assert_eq!((send.nonce, send.fees, send.again), (7, fees(1), false));
    (txm, send)
}

/// Batch 5 is in the pool.
fn flying() -> Txm {
    let (mut txm, send) = sending();
    txm.sent(at(0), send, Ok(hash(1)));
    assert_eq!(told(txm.observe(at(0), seen(5, 7, 8))), []);
    assert_eq!((txm.next_number(), txm.next_send(at(0))), (6, None));
    txm
}

#[test]
fn the_straight_way() {
    let mut txm = flying();
    assert_eq!(txm.watched(), [hash(1)]);
    assert_eq!(
        told(txm.observe(at(12), with_receipt(seen(6, 8, 8), hash(1), true))),
        [mined(1, hash(1), true)]
    );
    assert_eq!(told(txm.observe(at(24), with_receipt(seen(6, 8, 8), hash(1), true))), [], "told once");
    assert_eq!((txm.next_number(), txm.carrier(), txm.watched()), (6, None, vec![]));
    assert_eq!(txm.begin(at(24), posting(2, 6, 6)).unwrap().nonce, 8);
}

/// Every answer to a first send: what is paused for, and what the next try is like.
#[test]
fn every_refusal_of_a_first_send_has_its_row() {
    use SendFailure as F;
    let refused = || "txpool is full".to_owned();
    for (failure, pause) in [
        (F::BelowMarket, Pause::Stale),
        (F::NonceTooLow, Pause::Stale),
        (F::NonceTooHigh, Pause::Stale),
        (F::InsufficientFunds, Pause::OutOfMoney(Account::Blobs)),
        (F::Reserved, Pause::Reserved),
        (F::Refused(refused()), Pause::Refused(refused())),
    ] {
        let (mut txm, send) = sending();
        txm.sent(at(0), send, Err(failure.clone()));
        assert_eq!(txm.pause(), Some(&pause), "{failure:?}");
        assert!(!txm.has_room(at(1)) && txm.begin(at(1), send.call).is_none(), "{failure:?}");
        assert!(txm.wants_news());
        assert_eq!(told(txm.observe(at(2), seen(5, 7, 7))), []);
        assert_eq!(txm.begin(at(2), send.call), Some(send), "nothing of ours is in the pool: {failure:?}");
        txm.sent(at(2), send, Ok(hash(1)));
        assert_eq!(txm.pause(), None);
    }
    let (mut txm, send) = sending();
    txm.sent(at(0), send, Err(F::LostRace));
    assert_eq!((txm.pause(), txm.calls().count()), (None, 0), "another batcher's is in the pool");
}

/// The pool has forgotten ours and holds another batcher's: ours is not sent beside it, and goes out if that one is forgotten, too.
#[test]
fn what_is_sent_again_lets_another_batchers_go_first() {
    let mut txm = flying();
    txm.observe(at(1), seen(5, 7, 7));
    let send = txm.next_send(at(1)).unwrap();
    assert!(send.again && send.alone, "what the pool does is another one's doing");
    txm.sent(at(1), send, Err(SendFailure::LostRace));
    assert_eq!(txm.next_send(at(1)), None, "not at once");
    assert_eq!(txm.pause(), None);
    txm.observe(at(5), seen(5, 7, 7));
    assert_eq!(txm.next_send(at(5)), Some(send), "it is looked at again");
    txm.sent(at(5), send, Err(SendFailure::LostRace));
    assert_eq!(told(txm.observe(at(6), seen(6, 7, 7))), [lost(send.call.id)]);
    assert_eq!(txm.next_send(at(9)), None);
}

/// What the pool holds of ours has the call done there: the price says nothing about others.
#[test]
fn what_is_outbid_is_not_alone() {
    let mut txm = flying();
    txm.observe(at(1), seen(5, 7, 8));
    let late = at(1) + limits().resubmit_after;
    assert!(txm.next_send(late).is_some_and(|send| send.again && !send.alone));
}

/// Every answer to sending what flies already.
#[test]
fn every_refusal_of_a_resend_has_its_row() {
    use SendFailure as F;
    for failure in [
        F::BelowMarket,
        F::NonceTooLow,
        F::NonceTooHigh,
        F::InsufficientFunds,
        F::Reserved,
        F::Refused("txpool is full".to_owned()),
        F::Unanswered(hash(1)),
    ] {
        let mut txm = flying();
        // The pool has dropped it.
        assert_eq!(told(txm.observe(at(1), seen(5, 7, 7))), []);
        let send = txm.next_send(at(1)).unwrap();
        assert!(send.again && send.fees == fees(1));
        txm.sent(at(1), send, Err(failure.clone()));
        assert!(txm.wants_news(), "{failure:?}");
        txm.observe(at(5), seen(5, 7, 7));
        let next = txm.next_send(at(5)).unwrap();
        assert_eq!((next.nonce, next.fees), (7, fees(1)), "{failure:?}");
    }
    let mut txm = flying();
    txm.observe(at(1), seen(5, 7, 7));
    let send = txm.next_send(at(1)).unwrap();
    txm.sent(at(1), send, Err(F::Underpriced));
    assert_eq!(txm.next_send(at(1)).unwrap().fees, fees(2));
}

/// A pool that dropped it in a spike would only refuse it again.
#[test]
fn what_is_sent_again_in_a_spike_is_priced_anew() {
    let mut txm = flying();
    let mut spike = seen(5, 7, 7);
    spike.market.base = 30 * GWEI;
    txm.observe(at(1), spike);
    let send = txm.next_send(at(1)).unwrap();
    assert_eq!(send.fees, Fees { cap: 61 * GWEI, ..fees(2) });
}

#[test]
fn underpriced_doubles_all_three_fees_until_accepted_or_too_expensive() {
    let (mut txm, mut send) = sending();
    for factor in [2, 4, 8, 16, 32] {
        txm.sent(at(0), send, Err(SendFailure::Underpriced));
        send = txm.next_send(at(0)).unwrap();
        assert_eq!((send.nonce, send.fees), (7, fees(factor)));
    }
    txm.sent(at(0), send, Err(SendFailure::Underpriced));
    assert_eq!((txm.next_send(at(0)), txm.pause()), (None, Some(&Pause::TooExpensive)));
}

#[test]
fn what_is_not_mined_for_long_is_replaced_at_twice_the_fees() {
    let mut txm = flying();
    assert_eq!(txm.next_send(at(35)), None);
    let send = txm.next_send(at(36)).unwrap();
    assert_eq!((send.nonce, send.fees, send.call.id), (7, fees(2), 1));
    txm.sent(at(36), send, Ok(hash(2)));
    assert_eq!((txm.bumps(), txm.next_send(at(71))), (1, None));
    assert_eq!(txm.watched(), [hash(1), hash(2)], "either version may be mined");
    assert_eq!(
        told(txm.observe(at(72), with_receipt(seen(6, 8, 8), hash(1), true))),
        [mined(1, hash(1), true)]
    );
}

#[test]
fn the_market_wins_over_doubling_when_it_is_higher() {
    let mut txm = flying();
    let mut spike = seen(5, 7, 8);
    spike.market.blob_base = 300 * GWEI;
    txm.observe(at(12), spike.clone());
    assert_eq!(txm.next_send(at(12)), None, "most spikes pass");
    let send = txm.next_send(at(36)).unwrap();
    assert_eq!(send.fees, Fees { blob: 600 * GWEI, ..fees(2) });
    // Beyond the ceiling nothing is replaced, and what is there stays.
    spike.market.blob_base = 1_001 * GWEI;
    let mut low = Txm::new(Limits { max_blob: 3 * GWEI, ..limits() });
    low.observe(at(0), seen(5, 7, 7));
    let send = low.begin(at(0), posting(1, 5, 5)).unwrap();
    low.sent(at(0), send, Ok(hash(1)));
    low.observe(at(36), seen(5, 7, 8));
    assert_eq!((low.next_send(at(36)), low.pause()), (None, Some(&Pause::TooExpensive)));
    assert_eq!(low.flying().count(), 1);
    let mut dear = Txm::new(limits());
    dear.observe(at(0), Snapshot { market: spike.market, ..seen(5, 7, 7) });
    assert_eq!((dear.begin(at(0), posting(1, 5, 5)), dear.pause()), (None, Some(&Pause::TooExpensive)));
}

#[test]
fn a_send_without_an_answer_is_repeated_unchanged() {
    let (mut txm, send) = sending();
    txm.sent(at(0), send, Err(SendFailure::Unanswered(hash(1))));
    assert_eq!(txm.next_send(at(2)), None);
    assert!(!txm.has_room(at(2)), "nothing follows on what may not be there");
    let again = txm.next_send(at(3)).unwrap();
    assert_eq!(again, Send { again: true, ..send });
    txm.sent(at(3), again, Ok(hash(1)));
    assert_eq!(txm.watched(), [hash(1)], "listed once");
    assert!(txm.has_room(at(3)));
    assert_eq!(txm.next_send(at(36)).unwrap().fees, fees(2), "patience counts from the first send");
}

/// Another batcher was first while ours waits: it would be mined to a revert. The next call takes its nonce.
#[test]
fn a_stranded_transaction_is_replaced_by_the_next_call() {
    let mut txm = flying();
    assert_eq!(told(txm.observe(at(3), seen(6, 7, 8))), [lost(1)]);
    assert_eq!(told(txm.observe(at(6), seen(6, 7, 8))), [], "told once");
    let send = txm.begin(at(6), posting(2, 6, 6)).unwrap();
    assert_eq!((send.nonce, send.fees), (7, fees(2)));
    txm.sent(at(6), send, Ok(hash(5)));
    assert_eq!(txm.watched(), [hash(5)], "not the other call's");
    // A handover without an account of its own has to wait: the pool keeps the kinds apart.
    let mut txm = flying();
    txm.observe(at(3), seen(6, 7, 8));
    let handover = plain(3, Account::Blobs, Goal::Epoch(Epoch::new(1)));
    assert_eq!((txm.begin(at(3), handover), txm.pause()), (None, Some(&Pause::OtherKind)));
    assert_eq!(told(txm.observe(at(12), seen(6, 8, 8))), []);
    assert_eq!(txm.begin(at(12), handover).unwrap().nonce, 8);
}

/// anvil shows the nonce and the contract after a block of three blobs a good tenth of a second before its receipts: our own batch was
/// booked as a lost race, and its gas never.
#[test]
fn a_receipt_that_comes_after_the_state_is_waited_for() {
    let mut txm = flying();
    for seconds in [3, 6, 9] {
        assert_eq!(told(txm.observe(at(seconds), seen(6, 8, 8))), []);
        assert!(txm.wants_news());
    }
    assert_eq!(
        told(txm.observe(at(12), with_receipt(seen(6, 8, 8), hash(1), true))),
        [mined(1, hash(1), true)]
    );
    // Not for ever: somebody else may have used the nonce.
    let mut txm = flying();
    txm.observe(at(3), seen(6, 8, 8));
    assert_eq!(told(txm.observe(at(38), seen(6, 8, 8))), []);
    assert_eq!(told(txm.observe(at(39), seen(6, 8, 8))), [lost(1)]);
    assert!(!txm.wants_news());
}

#[test]
fn what_is_mined_without_effect_is_told() {
    let mut txm = flying();
    let events = told(txm.observe(at(12), with_receipt(seen(6, 8, 8), hash(1), false)));
    assert_eq!(events, [mined(1, hash(1), false)]);
}

#[test]
fn what_an_earlier_run_left_in_the_pool_gets_time_and_is_then_replaced() {
    let mut txm = Txm::new(limits());
    txm.observe(at(0), seen(5, 7, 8));
    assert!(!txm.has_room(at(35)), "it may be the very batch");
    assert!(txm.has_room(at(36)));
    let send = txm.begin(at(36), posting(1, 5, 5)).unwrap();
    assert_eq!((send.nonce, send.fees), (7, fees(1)), "its price is not known");
    txm.sent(at(36), send, Err(SendFailure::Underpriced));
    assert_eq!(txm.next_send(at(36)).unwrap().fees, fees(2));
    // In time it was mined: nothing is left of it.
    let mut txm = Txm::new(limits());
    txm.observe(at(0), seen(5, 7, 8));
    assert_eq!(told(txm.observe(at(12), seen(6, 8, 8))), []);
    assert_eq!(txm.begin(at(12), posting(1, 6, 6)).unwrap().nonce, 8);
}

#[test]
fn what_the_pool_dropped_is_sent_again_unchanged() {
    let mut txm = flying();
    txm.observe(at(5), seen(5, 7, 7));
    let send = txm.next_send(at(5)).unwrap();
    assert_eq!((send.nonce, send.fees, send.again), (7, fees(1), true));
    txm.sent(at(5), send, Ok(hash(1)));
    assert_eq!(txm.next_send(at(5)), None);
}

/// Four at once, none of which waits for the one before it to be mined.
#[test]
fn several_fly_when_l1_is_behind() {
    let mut txm = looking();
    for id in 0..MAX_IN_FLIGHT as u64 {
        let first = txm.next_number();
        assert_eq!(first, 5 + 6 * id);
        let send = txm.begin(at(0), posting(id, first, first + 5)).unwrap();
        assert_eq!((send.nonce, send.fees), (7 + id, fees(1)));
        txm.sent(at(0), send, Ok(hash(id as u8)));
    }
    assert!(!txm.has_room(at(0)), "there is a limit");
    // The first two are mined; those behind them have had nobody to wait for since then only.
    let two = with_receipt(with_receipt(seen(17, 9, 11), hash(0), true), hash(1), true);
    assert_eq!(told(txm.observe(at(30), two)), [mined(0, hash(0), true), mined(1, hash(1), true)]);
    assert!(txm.has_room(at(30)));
    assert_eq!((txm.next_number(), txm.next_send(at(65))), (29, None));
    let bumped = txm.next_send(at(66)).unwrap();
    assert_eq!((bumped.nonce, bumped.fees), (9, fees(2)), "the first of those that wait");
    txm.sent(at(66), bumped, Ok(hash(9)));
    assert_eq!(txm.next_send(at(66)), None, "the second is not too cheap");
    // The pool lost all: they are sent again in order.
    txm.observe(at(67), seen(17, 9, 9));
    for nonce in [9, 10] {
        let send = txm.next_send(at(67)).unwrap();
        assert_eq!(send.nonce, nonce);
        txm.sent(at(67), send, Ok(hash(nonce as u8)));
    }
    assert_eq!(txm.next_send(at(67)), None);
}

/// An earlier one fails, so those behind it do, too: what they carried is wanted again.
#[test]
fn after_a_failure_l1_says_what_is_wanted() {
    let mut txm = looking();
    for (id, first) in [(0, 5), (1, 11)] {
        let send = txm.begin(at(0), posting(id, first, first + 5)).unwrap();
        txm.sent(at(0), send, Ok(hash(id as u8)));
    }
    let failed = with_receipt(with_receipt(seen(5, 9, 9), hash(0), false), hash(1), false);
    assert_eq!(told(txm.observe(at(12), failed)), [mined(0, hash(0), false), mined(1, hash(1), false)]);
    assert_eq!(txm.next_number(), 5);
    assert_eq!(txm.begin(at(12), posting(2, 5, 10)).unwrap().nonce, 9);
}

/// Another batcher posted what our first one carries; our second one goes on, and a third follows on that.
#[test]
fn nothing_takes_the_nonce_of_a_stranded_one_before_others() {
    let mut txm = looking();
    for (id, first) in [(0, 5), (1, 11)] {
        let send = txm.begin(at(0), posting(id, first, first + 5)).unwrap();
        txm.sent(at(0), send, Ok(hash(id as u8)));
    }
    assert_eq!(told(txm.observe(at(3), seen(11, 7, 9))), [lost(0)]);
    assert_eq!(txm.next_number(), 17);
    assert_eq!(txm.begin(at(3), posting(2, 17, 17)).unwrap().nonce, 9);
}

/// Both batches that were mined.
fn landed() -> Txm {
    let mut txm = flying();
    txm.observe(at(12), with_receipt(seen(6, 8, 8), hash(1), true));
    let send = txm.begin(at(12), posting(2, 6, 6)).unwrap();
    txm.sent(at(12), send, Ok(hash(2)));
    txm.observe(at(24), with_receipt(seen(7, 9, 9), hash(2), true));
    txm
}

#[test]
fn what_a_reorganisation_undid_is_wanted_again() {
    let mut txm = landed();
    let events = told(txm.observe(at(36), seen(5, 7, 7)));
    assert_eq!(events, [Told::Reorganised(1), Told::Reorganised(2)]);
    assert_eq!((txm.next_number(), txm.next_send(at(36))), (5, None), "the pool has neither");
    assert_eq!(txm.begin(at(36), posting(3, 5, 6)).unwrap().nonce, 7);
}

#[test]
fn what_the_pool_kept_through_a_reorganisation_flies_on() {
    let mut txm = landed();
    let events = told(txm.observe(at(36), seen(5, 7, 8)));
    assert_eq!(events, [Told::Reorganised(1), Told::Reorganised(2)]);
    assert_eq!(txm.next_number(), 6, "the first is on its way again, the second is not");
    let send = txm.begin(at(36), posting(3, 6, 6)).unwrap();
    assert_eq!(send.nonce, 8);
    txm.sent(at(36), send, Ok(hash(3)));
    let both = with_receipt(with_receipt(seen(7, 9, 9), hash(1), true), hash(3), true);
    assert_eq!(told(txm.observe(at(48), both)), [mined(1, hash(1), true), mined(3, hash(3), true)]);
}

/// What was before it is not wanted any more and gone from the pool, so its nonce can never come.
#[test]
fn nothing_stays_behind_a_gap() {
    let mut txm = looking();
    for (id, first) in [(0, 5), (1, 11)] {
        let send = txm.begin(at(0), posting(id, first, first + 5)).unwrap();
        txm.sent(at(0), send, Ok(hash(id as u8)));
    }
    assert_eq!(told(txm.observe(at(3), seen(11, 7, 7))), [lost(0)]);
    assert_eq!((txm.next_number(), txm.next_send(at(3))), (11, None));
    assert_eq!(txm.begin(at(3), posting(2, 11, 16)).unwrap().nonce, 7);
}

/// The new branch has another batcher's transaction: ours is not wanted any more.
#[test]
fn a_reorganisation_may_let_another_batcher_be_first() {
    let mut txm = flying();
    txm.observe(at(12), with_receipt(seen(6, 8, 8), hash(1), true));
    assert_eq!(told(txm.observe(at(24), seen(6, 7, 7))), [lost(1)]);
    assert_eq!((txm.next_send(at(24)), txm.calls().count()), (None, 0));
}

#[test]
fn what_is_mined_is_not_remembered_for_ever() {
    let mut txm = looking();
    for number in 0..2 * MAX_LANDED as u64 {
        let send = txm.begin(at(number), posting(number, 5 + number, 5 + number)).unwrap();
        txm.sent(at(number), send, Ok(hash(1)));
        txm.observe(at(number), with_receipt(seen(6 + number, 8 + number, 8 + number), hash(1), true));
    }
    let events = txm.observe(at(99), seen(5, 7, 7));
    assert_eq!(events.len(), MAX_LANDED);
    assert_eq!(told(events)[0], Told::Reorganised(MAX_LANDED as u64), "the oldest go first");
}

#[test]
fn money_is_counted_with_what_flies() {
    let mut poor = seen(5, 7, 7);
    // One transaction can cost 100,000 × 21 gwei + 131,072 × 2 gwei.
    let one = fees(1).cost(100_000, 131_072);
    let set = |snapshot: &mut Snapshot, balance| {
        snapshot.accounts.insert(Account::Blobs, Standing { balance, ..standing(7, 7) });
    };
    set(&mut poor, one * U256::from(2) - U256::from(1));
    let mut txm = Txm::new(limits());
    txm.observe(at(0), poor.clone());
    let send = txm.begin(at(0), posting(1, 5, 5)).unwrap();
    txm.sent(at(0), send, Ok(hash(1)));
    let why = Pause::OutOfMoney(Account::Blobs);
    assert_eq!((txm.begin(at(0), posting(2, 6, 6)), txm.pause()), (None, Some(&why)), "enough for one");
    set(&mut poor, one * U256::from(2));
    poor.accounts.insert(Account::Blobs, Standing { pending: 8, ..poor.accounts[&Account::Blobs] });
    txm.observe(at(2), poor);
    assert_eq!(txm.begin(at(2), posting(2, 6, 6)).unwrap().nonce, 8, "it goes on by itself");
}

/// Whoever waits for another's turn begins to wait when there is money, or when prices are lower, and not before.
#[test]
fn who_cannot_pay_is_held_up_until_that_has_changed() {
    let mut txm = Txm::new(limits());
    let mut poor = seen(5, 7, 7);
    poor.accounts.insert(Account::Blobs, Standing { balance: U256::from(1), ..standing(7, 7) });
    let mut dear = seen(5, 7, 7);
    dear.market.base = 1_001 * GWEI;
    for lacking in [poor, dear] {
        txm.observe(at(0), lacking.clone());
        assert!(!txm.is_held_up(at(0), Kind::Blob), "nothing was wanted");
        assert_eq!(txm.begin(at(0), posting(1, 5, 5)), None);
        txm.observe(at(60), lacking);
        assert!(txm.is_held_up(at(60), Kind::Blob) && txm.has_room(at(60)), "it may be tried again");
        assert!(!txm.is_held_up(at(60), Kind::Plain), "nobody has tried that");
        txm.observe(at(61), seen(5, 7, 7));
        assert!(!txm.is_held_up(at(61), Kind::Blob));
        txm.nothing_to_send();
    }
}

#[test]
fn carriers_take_turns_and_handovers_fly_alone() {
    let mut txm = flying();
    let calldata = plain(2, Account::Calldata, goal(6, 6));
    assert_eq!(txm.carrier(), Some((Account::Blobs, Kind::Blob)));
    assert_eq!(txm.begin(at(0), calldata), None);
    let handover = plain(3, Account::Calldata, Goal::Epoch(Epoch::new(1)));
    assert_eq!(txm.begin(at(0), handover), None);
    let landed = with_receipt(seen(6, 8, 8), hash(1), true);
    txm.observe(at(12), landed.clone());
    let send = txm.begin(at(12), calldata).unwrap();
    assert_eq!((send.nonce, send.fees), (100, Fees { blob: 0, ..fees(1) }));
    txm.sent(at(12), send, Ok(hash(2)));
    assert_eq!(txm.begin(at(12), posting(4, 7, 7)), None);
    // Alone, and nothing beside it.
    let mut txm = looking();
    let send = txm.begin(at(0), handover).unwrap();
    txm.sent(at(0), send, Ok(hash(3)));
    assert!(!txm.has_room(at(0)));
}

#[test]
fn a_key_that_was_replaced_makes_its_batches_worthless() {
    let mut txm = flying();
    let mut recovered = seen(5, 7, 8);
    recovered.place.epoch = Epoch::new(1);
    assert_eq!(told(txm.observe(at(3), recovered)), [lost(1)]);
    assert_eq!(txm.next_number(), 5);
}

#[test]
fn calls_are_past_when_l1_has_what_they_are_for() {
    let place = |epoch, number| Place { epoch: Epoch::new(epoch), number };
    for (goal, at, past) in [
        (Goal::FirstKey, place(0, 0), false),
        (Goal::FirstKey, place(0, 1), true),
        (Goal::Epoch(Epoch::new(2)), place(1, 9), false),
        (Goal::Epoch(Epoch::new(2)), place(2, 9), true),
        (goal(5, 7), place(0, 7), false),
        (goal(5, 7), place(0, 8), true),
    ] {
        assert_eq!(goal.is_past(at), past, "{goal:?} {at:?}");
    }
}
