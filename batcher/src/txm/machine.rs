//! States and transitions.

use std::time::Duration;

use alloy::primitives::{B256, U256};
use ordering_types::Time;

/// The three prices of a transaction, in wei. The last one is 0 for one without blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fees {
    /// Priority fee per gas.
    pub tip: u128,
    /// Most per gas, priority fee included.
    pub cap: u128,
    /// Most per blob gas.
    pub blob: u128,
}

impl Fees {
    const fn doubled(self) -> Self {
        Self {
            tip: self.tip.saturating_mul(2),
            cap: self.cap.saturating_mul(2),
            blob: self.blob.saturating_mul(2),
        }
    }

    fn at_least(self, other: Self) -> Self {
        Self { tip: self.tip.max(other.tip), cap: self.cap.max(other.cap), blob: self.blob.max(other.blob) }
    }
}

/// What the operator allows, and how patient the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most per gas, wei.
    pub max_cap: u128,
    /// Most per blob gas, wei.
    pub max_blob: u128,
    /// Fees double when a transaction is not mined for this long.
    pub resubmit_after: Duration,
    /// Receipts are looked for this often.
    pub check_every: Duration,
    /// Pause after trouble.
    pub pause: Duration,
}

/// What L1 says about a call that is still needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Next nonce by mined transactions.
    pub nonce: u64,
    /// Next nonce with those in the pool.
    pub pending_nonce: u64,
    /// Prices that get a transaction mined soon.
    pub market: Fees,
    /// The account's money, wei.
    pub balance: U256,
    /// Gas limit of the call.
    pub gas: u64,
    /// Blob gas of the call.
    pub blob_gas: u64,
}

/// Answer to [`Output::Look`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The call would succeed now.
    Wanted(Facts),
    /// Somebody has done it already.
    Obsolete,
    /// The contract refuses it for another reason.
    Rejected(String),
}

/// Answer to [`Output::Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// One of the transactions is in a block.
    Mined {
        /// Which.
        hash: B256,
        /// Whether the call succeeded.
        success: bool,
        /// Gas that it used.
        gas: u64,
    },
    /// None is.
    Waiting {
        /// Next nonce by mined transactions.
        nonce: u64,
        /// Whether somebody else has done the call.
        obsolete: bool,
    },
}

/// L1 did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(pub String);

/// Why a send was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// Not sent: the pool holds another batcher's call that does the same.
    LostRace,
    /// No answer: it may have been accepted.
    Unanswered(B256),
    /// "replacement transaction underpriced"
    Underpriced,
    /// "transaction underpriced", fee cap below the base fee.
    BelowMarket,
    /// "nonce too low"
    NonceTooLow,
    /// "nonce too high", gapped.
    NonceTooHigh,
    /// "insufficient funds"
    InsufficientFunds,
    /// "address already reserved": the pool holds a transaction of another kind from this account.
    Reserved,
    /// Anything else.
    Refused(String),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Get the call onto L1 (when idle; ignored otherwise).
    Begin,
    /// L1's answer to [`Output::Look`].
    Looked(Result<Look, Trouble>),
    /// L1's answer to [`Output::Send`]: the transaction's hash ("already known" counts as accepted).
    Sent(Result<B256, SendFailure>),
    /// L1's answer to [`Output::Check`].
    Checked(Result<Check, Trouble>),
    /// The deadline has come.
    Wake,
}

/// What the host does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Read nonce, prices and money; simulate the call.
    Look,
    /// Sign and send the call.
    Send {
        /// Its nonce.
        nonce: u64,
        /// Its prices.
        fees: Fees,
        /// Its gas limit.
        gas: u64,
    },
    /// Look for receipts of these, newest last.
    Check(Vec<B256>),
    /// The call is over.
    Finished(Outcome),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Mined, and it took effect.
    Mined {
        /// The transaction.
        hash: B256,
        /// Gas that it used.
        gas: u64,
    },
    /// Mined without effect: gas is burnt.
    Reverted {
        /// The transaction.
        hash: B256,
        /// Gas that it used.
        gas: u64,
    },
    /// Somebody else was first; nothing of ours was mined.
    Obsolete,
    /// The contract refuses the call.
    Rejected(String),
}

/// Why the machine pauses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Pause {
    /// L1 does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The account cannot pay.
    #[error("out of money: send ether to the batcher's account, posting then goes on by itself")]
    OutOfMoney,
    /// The market is above what the operator allows.
    #[error("L1 is dearer than max_fee_gwei or max_blob_fee_gwei allow: raise them, or wait")]
    TooExpensive,
    /// The pool holds another kind of transaction of this account.
    #[error("the L1 pool holds another kind of transaction of this account: is somebody else using its key?")]
    Reserved,
    /// L1 refuses the transaction.
    #[error("L1 refuses the transaction: {0}")]
    Refused(String),
    /// The nonce moved, or prices did.
    #[error("nonce or prices on L1 have moved")]
    Stale,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Looking,
    Sending { nonce: u64, fees: Fees, gas: u64 },
    Waiting { next_check: Time, obsolete: bool },
    Checking { obsolete: bool },
    Pausing { until: Time, why: Pause },
}

/// What is, or may be, in the pool under one nonce.
#[derive(Clone, Debug)]
struct Flight {
    nonce: u64,
    fees: Fees,
    gas: u64,
    /// Every version sent, newest last. Empty for what an earlier run left, or for another call.
    hashes: Vec<B256>,
    sent: Time,
    /// The newest version may not have arrived.
    unsure: bool,
}

/// The transaction manager of one account.
#[derive(Debug)]
pub struct Txm {
    limits: Limits,
    state: State,
    flight: Option<Flight>,
    bumps: u64,
}

impl Txm {
    /// Idle.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, state: State::Idle, flight: None, bumps: 0 }
    }

    /// Whether it waits for a call.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Why it pauses, if it does.
    pub const fn pause(&self) -> Option<&Pause> {
        match &self.state {
            State::Pausing { why, .. } => Some(why),
            _ => None,
        }
    }

    /// How often fees were doubled.
    pub const fn bumps(&self) -> u64 {
        self.bumps
    }

    /// When it wants to be woken.
    pub const fn next_deadline(&self) -> Option<Time> {
        match &self.state {
            State::Waiting { next_check, .. } => Some(*next_check),
            State::Pausing { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Takes an input. Answers that do not belong to the state are stale and ignored.
    pub fn handle(&mut self, now: Time, input: Input) -> Option<Output> {
        match (self.state.clone(), input) {
            (State::Idle, Input::Begin) => {
                // Whatever is still in the pool was another call's: its receipts say nothing about this one.
                if let Some(flight) = &mut self.flight {
                    flight.hashes.clear();
                    flight.unsure = false;
                }
                Some(self.look())
            }
            (State::Looking, Input::Looked(answer)) => self.looked(now, answer),
            (State::Sending { nonce, fees, gas }, Input::Sent(answer)) => {
                self.sent(now, nonce, fees, gas, answer)
            }
            (State::Checking { obsolete }, Input::Checked(answer)) => self.checked(now, obsolete, answer),
            (State::Waiting { next_check, obsolete }, Input::Wake) if now >= next_check => {
                Some(self.check(obsolete))
            }
            (State::Pausing { until, .. }, Input::Wake) if now >= until => Some(self.look_or_check()),
            _ => None,
        }
    }

    fn looked(&mut self, now: Time, answer: Result<Look, Trouble>) -> Option<Output> {
        let facts = match answer {
            Err(Trouble(why)) => return self.rest(now, Pause::Unreachable(why)),
            Ok(Look::Rejected(why)) => return Some(self.finish(Outcome::Rejected(why))),
            Ok(Look::Obsolete) if self.has_hashes() => return Some(self.check(true)),
            Ok(Look::Obsolete) => return Some(self.finish(Outcome::Obsolete)),
            Ok(Look::Wanted(facts)) => facts,
        };
        if self.flight.as_ref().is_some_and(|flight| flight.nonce < facts.nonce) {
            self.flight = None;
        }
        if self.flight.is_none() && facts.pending_nonce > facts.nonce {
            self.flight = Some(Flight {
                nonce: facts.nonce,
                fees: Fees::default(),
                gas: facts.gas,
                hashes: Vec::new(),
                sent: now,
                unsure: false,
            });
            return self.wait(now);
        }
        let fees = match &self.flight {
            Some(flight) => {
                self.bumps += 1;
                flight.fees.doubled().at_least(facts.market)
            }
            None => facts.market,
        };
        if fees.cap > self.limits.max_cap || fees.blob > self.limits.max_blob {
            return self.rest(now, Pause::TooExpensive);
        }
        let cost =
            U256::from(fees.cap) * U256::from(facts.gas) + U256::from(fees.blob) * U256::from(facts.blob_gas);
        if facts.balance < cost {
            return self.rest(now, Pause::OutOfMoney);
        }
        Some(self.send(facts.nonce, fees, facts.gas))
    }

    fn sent(
        &mut self,
        now: Time,
        nonce: u64,
        fees: Fees,
        gas: u64,
        answer: Result<B256, SendFailure>,
    ) -> Option<Output> {
        match answer {
            Ok(hash) => {
                self.fly(now, nonce, fees, gas, Some(hash), false);
                self.wait(now)
            }
            Err(SendFailure::Unanswered(hash)) => {
                self.fly(now, nonce, fees, gas, Some(hash), true);
                self.wait(now)
            }
            Err(SendFailure::LostRace) => Some(self.finish(Outcome::Obsolete)),
            Err(SendFailure::Underpriced) => {
                // Something is there at a price we do not know: count ours as its price, so that the next one doubles.
                self.fly(now, nonce, fees, gas, None, false);
                Some(self.look())
            }
            Err(SendFailure::NonceTooLow) if self.has_hashes() => Some(self.check(false)),
            Err(SendFailure::NonceTooLow | SendFailure::NonceTooHigh | SendFailure::BelowMarket) => {
                self.rest(now, Pause::Stale)
            }
            Err(SendFailure::InsufficientFunds) => self.rest(now, Pause::OutOfMoney),
            Err(SendFailure::Reserved) => self.rest(now, Pause::Reserved),
            Err(SendFailure::Refused(why)) => self.rest(now, Pause::Refused(why)),
        }
    }

    fn checked(&mut self, now: Time, was_obsolete: bool, answer: Result<Check, Trouble>) -> Option<Output> {
        let (nonce, obsolete) = match answer {
            Err(Trouble(why)) => return self.rest(now, Pause::Unreachable(why)),
            Ok(Check::Mined { hash, success, gas }) => {
                self.flight = None;
                let outcome =
                    if success { Outcome::Mined { hash, gas } } else { Outcome::Reverted { hash, gas } };
                return Some(self.finish(outcome));
            }
            Ok(Check::Waiting { nonce, obsolete }) => (nonce, obsolete || was_obsolete),
        };
        if obsolete && (was_obsolete || !self.has_hashes()) && !self.receipt_is_late(now, nonce) {
            return Some(self.finish(Outcome::Obsolete));
        }
        if obsolete {
            self.state = State::Waiting { next_check: now + self.limits.check_every, obsolete };
            return None;
        }
        let Some(flight) = self.flight.as_mut() else { return Some(self.look()) };
        if nonce > flight.nonce {
            self.flight = None;
            return Some(self.look());
        }
        if now.since(flight.sent) >= self.limits.resubmit_after {
            return Some(self.look());
        }
        if flight.unsure {
            let (nonce, fees, gas) = (flight.nonce, flight.fees, flight.gas);
            return Some(self.send(nonce, fees, gas));
        }
        self.wait(now)
    }

    /// Whether the nonce of the present call is mined, without a receipt so far: endpoints show a block's state before
    /// its receipts, some by a tenth of a second and more.
    fn receipt_is_late(&self, now: Time, nonce: u64) -> bool {
        self.flight.as_ref().is_some_and(|flight| {
            !flight.hashes.is_empty()
                && nonce > flight.nonce
                && now.since(flight.sent) < self.limits.resubmit_after
        })
    }

    /// Whether the pool may hold the present call.
    pub fn has_sent(&self) -> bool {
        self.has_hashes()
    }

    fn has_hashes(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| !flight.hashes.is_empty())
    }

    fn look(&mut self) -> Output {
        self.state = State::Looking;
        Output::Look
    }

    fn check(&mut self, obsolete: bool) -> Output {
        self.state = State::Checking { obsolete };
        Output::Check(self.flight.as_ref().map(|flight| flight.hashes.clone()).unwrap_or_default())
    }

    fn look_or_check(&mut self) -> Output {
        if self.has_hashes() { self.check(false) } else { self.look() }
    }

    fn send(&mut self, nonce: u64, fees: Fees, gas: u64) -> Output {
        self.state = State::Sending { nonce, fees, gas };
        Output::Send { nonce, fees, gas }
    }

    /// Records what is now in the pool. A resend of the same version keeps its time.
    fn fly(&mut self, now: Time, nonce: u64, fees: Fees, gas: u64, hash: Option<B256>, unsure: bool) {
        let before = self.flight.take().filter(|flight| flight.nonce == nonce);
        let again =
            before.as_ref().is_some_and(|flight| hash.is_some_and(|h| flight.hashes.last() == Some(&h)));
        let sent = before.as_ref().filter(|_| again).map_or(now, |flight| flight.sent);
        let mut hashes = before.map(|flight| flight.hashes).unwrap_or_default();
        hashes.extend(hash.filter(|_| !again));
        self.flight = Some(Flight { nonce, fees, gas, hashes, sent, unsure });
    }

    fn wait(&mut self, now: Time) -> Option<Output> {
        self.state = State::Waiting { next_check: now + self.limits.check_every, obsolete: false };
        None
    }

    fn rest(&mut self, now: Time, why: Pause) -> Option<Output> {
        self.state = State::Pausing { until: now + self.limits.pause, why };
        None
    }

    fn finish(&mut self, outcome: Outcome) -> Output {
        self.state = State::Idle;
        Output::Finished(outcome)
    }
}
