//! The transactions of both accounts, and what is sent next.

use alloy::primitives::{B256, U256};
use ordering_types::Time;

use super::answers::{Pause, Place, SendFailure, Snapshot, Standing};
use super::fees::{Fees, Limits};
use super::flight::{Account, Call, Due, Event, Flight, Goal, Kind, Send, Stage};

/// Most transactions that wait for a block. (geth's pool takes sixteen with blobs from one account.)
pub const MAX_IN_FLIGHT: usize = 4;
/// Mined transactions that are remembered with their bytes (some 26 MB at most), to be known again if L1 drops their blocks and the pool takes
/// them back.
pub const MAX_LANDED: usize = 32;

/// The transaction manager.
#[derive(Debug)]
pub struct Txm {
    limits: Limits,
    /// By account and nonce.
    flights: Vec<Flight>,
    seen: Snapshot,
    pause: Option<(Time, Pause)>,
    /// What could not be paid for, if that is the reason of the pause.
    unpaid: Option<Call>,
    bumps: u64,
}

impl Txm {
    /// Nothing on its way.
    pub fn new(limits: Limits) -> Self {
        Self { limits, flights: Vec::new(), seen: Snapshot::default(), pause: None, unpaid: None, bumps: 0 }
    }

    /// Why nothing was sent at last, if so.
    pub fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref().map(|(_, why)| why)
    }

    /// How often fees were doubled.
    pub const fn bumps(&self) -> u64 {
        self.bumps
    }

    /// The transactions whose receipts are of interest.
    pub fn watched(&self) -> Vec<B256> {
        let open = self.flights.iter().filter(|flight| flight.stage != Stage::Landed);
        open.flat_map(|flight| flight.hashes.iter().copied()).collect()
    }

    /// The calls whose bytes may be wanted again: of what waits, and of what is mined, as a reorganisation may give it back to the pool.
    pub fn calls(&self) -> impl Iterator<Item = u64> + '_ {
        self.flights.iter().filter_map(|flight| flight.call).map(|call| call.id)
    }

    /// Whether L1 is to be looked at even if it has no new block.
    pub fn wants_news(&self) -> bool {
        let open = |flight: &Flight| match flight.stage {
            Stage::Taken(_) => true,
            Stage::Flying(due) => due != Due::Nothing,
            Stage::Stranded | Stage::Landed | Stage::Gone => false,
        };
        self.pause.is_some() || self.flights.iter().any(open)
    }

    /// Takes in what L1 is like now.
    pub fn observe(&mut self, now: Time, seen: Snapshot) -> Vec<Event> {
        let patience = self.limits.resubmit_after;
        let events =
            self.flights.iter_mut().filter_map(|flight| flight.observe(now, &seen, patience)).collect();
        self.flights.retain(|flight| flight.stage != Stage::Gone);
        self.seen = seen;
        self.strand_doubles();
        self.ground_gapped();
        self.forget_landed();
        self.note_unknown(now);
        self.mark_first(now);
        events
    }

    /// What L1 said was mined, and is not after all, must not come back beside another carrier of the same batches.
    fn strand_doubles(&mut self) {
        let flying: Vec<Call> = self.flying().collect();
        for flight in self.flights.iter_mut().filter(|flight| flight.flies()) {
            let Some(call) = flight.call else { continue };
            if flying
                .iter()
                .any(|other| other.id > call.id && other.kind != call.kind && other.goal.overlaps(call.goal))
            {
                flight.stage = Stage::Stranded;
            }
        }
    }

    /// Behind a nonce that nothing of ours uses any more nothing can be mined, nor be in geth's pool: what was there is wanted anew. (A
    /// reorganisation has undone it, and another batcher was first with what was before it.)
    fn ground_gapped(&mut self) {
        for (account, standing) in &self.seen.accounts {
            let mut next = standing.nonce.max(standing.pending);
            let waits = |flight: &Flight| flight.account == *account && flight.waits();
            while self.flights.iter().any(|flight| waits(flight) && flight.nonce == next) {
                next = next.saturating_add(1);
            }
            self.flights.retain(|flight| !waits(flight) || flight.nonce < next);
        }
    }

    fn forget_landed(&mut self) {
        let landed = self.flights.iter().filter(|flight| flight.stage == Stage::Landed).count();
        let mut spare = landed.saturating_sub(MAX_LANDED);
        self.flights.retain(|flight| {
            let forget = flight.stage == Stage::Landed && spare > 0;
            spare -= usize::from(forget);
            !forget
        });
    }

    /// What the pool holds of ours without our knowing: an earlier run's.
    fn note_unknown(&mut self, now: Time) {
        for (account, standing) in &self.seen.accounts {
            let most = standing.nonce.saturating_add(MAX_IN_FLIGHT as u64);
            for nonce in standing.nonce..standing.pending.min(most) {
                let known = |flight: &Flight| flight.account == *account && flight.nonce == nonce;
                if !self.flights.iter().any(known) {
                    self.flights.push(Flight::unknown(*account, nonce, now));
                }
            }
        }
        self.flights.sort_by_key(|flight| (flight.account, flight.nonce));
    }

    /// Patience with a transaction counts from when nothing waits before it.
    fn mark_first(&mut self, now: Time) {
        let mut before = None;
        for flight in self.flights.iter_mut().filter(|flight| flight.waits()) {
            let first = before.replace(flight.account) != Some(flight.account);
            if first && !flight.first && flight.flies() {
                flight.since = now;
            }
            flight.first = first;
        }
    }

    /// The batch that the next call begins with: what L1 takes next, or what follows on those that fly.
    pub fn next_number(&self) -> u64 {
        let last = |flight: &Flight| match flight.call?.goal {
            Goal::Batches { last, .. } => Some(last.saturating_add(1)),
            Goal::FirstKey | Goal::Epoch(_) | Goal::Frames => None,
        };
        let flying = self.flights.iter().filter(|flight| flight.flies());
        flying.filter_map(last).max().unwrap_or_default().max(self.seen.place.number)
    }

    /// Where the contract was when it was last looked at.
    pub const fn place(&self) -> Place {
        self.seen.place
    }

    /// Who carries what flies: whatever is sent beside it has the same account and kind, or the order were open. What an earlier run left
    /// in the pool may be the next batch, so it is that account's turn, too, until it is gone.
    pub fn carrier(&self) -> Option<(Account, Kind)> {
        let flying = self.flying().next().map(|call| (call.account, call.kind));
        let left = self.flights.iter().find(|flight| flight.waits() && flight.call.is_none());
        flying.or_else(|| left.map(|flight| (flight.account, flight.account.usual_kind())))
    }

    /// Whether another call can be sent now.
    pub fn has_room(&self, now: Time) -> bool {
        let flying = self.flights.iter().filter(|flight| flight.flies()).count();
        flying < MAX_IN_FLIGHT
            && !self.is_paused(now)
            && self.flights.iter().all(|flight| self.lets_others_by(flight, now))
    }

    fn lets_others_by(&self, flight: &Flight, now: Time) -> bool {
        match (flight.stage, flight.call) {
            // What an earlier run left may be the very call that is wanted next.
            (Stage::Stranded, None) => now.since(flight.since) >= self.limits.resubmit_after,
            // L1 brought it back beside another carrier: one of them has to go first.
            (Stage::Stranded, Some(call)) => call.goal.is_past(self.seen.place),
            // Only batches follow one another.
            (Stage::Flying(due), Some(call)) => {
                due == Due::Nothing && matches!(call.goal, Goal::Batches { .. })
            }
            _ => true,
        }
    }

    /// Whether nothing new of this kind can be sent for now, whoever's turn it is.
    pub fn is_held_up(&self, now: Time, kind: Kind) -> bool {
        let unpaid = self.unpaid.filter(|call| self.pause.is_some() && call.kind == kind);
        self.is_paused(now) || unpaid.is_some_and(|call| !self.is_payable(call))
    }

    /// Whether the account and the ceiling allow the call at the market's price, if nothing else is to be paid.
    fn is_payable(&self, call: Call) -> bool {
        let cost =
            self.seen.market.quote(call.kind, &self.limits).map(|fees| fees.cost(call.gas, call.blob_gas));
        cost.zip(self.standing(call.account)).is_some_and(|(cost, standing)| standing.balance >= cost)
    }

    fn is_paused(&self, now: Time) -> bool {
        self.pause.as_ref().is_some_and(|(until, _)| *until > now)
    }

    /// A call that is not on its way yet; `None` if it cannot go now ([`Self::pause`] says why).
    pub fn begin(&mut self, now: Time, call: Call) -> Option<Send> {
        if !self.fits(call) || !self.has_room(now) {
            return None;
        }
        let standing = self.standing(call.account)?;
        let waiting = self.flights.iter().filter(|f| f.account == call.account && f.waits());
        // A nonce that nobody needs is used again, unless something wanted waits behind it.
        let (mut nonce, mut replaced) = (standing.nonce, None);
        for flight in waiting {
            replaced = match replaced {
                Some(earlier) if !flight.flies() => Some(earlier),
                _ => (!flight.flies()).then_some(flight),
            };
            nonce = flight.nonce.saturating_add(1);
        }
        let (nonce, old) = replaced.map_or((nonce, None), |flight| (flight.nonce, Some(flight.clone())));
        if old.as_ref().and_then(|old| old.call).is_some_and(|old| old.kind != call.kind) {
            return self.rest(now, Pause::OtherKind);
        }
        let Some(quote) = self.seen.market.quote(call.kind, &self.limits) else {
            return self.rest_unpaid(now, Pause::TooExpensive, call);
        };
        let fees = old.as_ref().map_or(quote, |old| old.fees.doubled().at_least(quote));
        let send = Send { call, nonce, fees, again: false, alone: true };
        self.afford(now, send, old.map(|old| old.cost()))
    }

    fn fits(&self, call: Call) -> bool {
        let batches = matches!(call.goal, Goal::Batches { .. });
        let beside = |flying: Call| batches && (flying.account, flying.kind) == (call.account, call.kind);
        let left = |flight: &Flight| flight.waits() && flight.call.is_none();
        self.flying().all(beside)
            && self.flights.iter().filter(|f| left(f)).all(|f| f.account == call.account)
    }

    /// What must be sent again, or at a higher price.
    pub fn next_send(&mut self, now: Time) -> Option<Send> {
        if self.is_paused(now) {
            return None;
        }
        let (flight, call, bump) = self.flights.iter().find_map(|flight| {
            let bump = self.is_due(flight, now)?;
            let call = flight.call?;
            // The pool keeps the kinds apart: what waits before it has to go first.
            let other_kind = |before: &Flight| {
                before.nonce < flight.nonce && before.call.is_some_and(|before| before.kind != call.kind)
            };
            (!self.waiting(flight.account).any(other_kind)).then_some((flight, call, bump))
        })?;
        let (nonce, old, cost) = (flight.nonce, flight.fees, flight.cost());
        let resent = matches!(flight.stage, Stage::Flying(Due::Resend(_)));
        let alone = resent && self.standing(flight.account).is_some_and(|standing| standing.pending <= nonce);
        let fees = if bump { self.outbid(old, call.kind) } else { old };
        self.afford(now, Send { call, nonce, fees, again: true, alone }, Some(cost))
    }

    /// Whether it must be sent, and then whether at a higher price.
    fn is_due(&self, flight: &Flight, now: Time) -> Option<bool> {
        let call = flight.call?;
        let late = now.since(flight.since) >= self.limits.resubmit_after;
        match flight.stage {
            // What the pool may lack is priced anew if it is too cheap by now.
            Stage::Flying(Due::Resend(at)) if at <= now => {
                Some(!self.seen.market.takes(call.kind, flight.fees))
            }
            Stage::Flying(Due::Outbid) => Some(true),
            // Who waits for another one's nonce is not too cheap, as far as its fees go.
            Stage::Flying(Due::Nothing) if late => {
                (flight.first || !self.seen.market.takes(call.kind, flight.fees)).then_some(true)
            }
            _ => None,
        }
    }

    fn outbid(&self, old: Fees, kind: Kind) -> Fees {
        let quote = self.seen.market.quote(kind, &self.limits).unwrap_or_default();
        old.doubled().at_least(quote)
    }

    /// The send, unless it is dearer than allowed, or than what the account has beside the rest of its transactions.
    fn afford(&mut self, now: Time, send: Send, replaced: Option<U256>) -> Option<Send> {
        if self.limits.allow(send.fees).is_none() {
            return self.rest(now, Pause::TooExpensive);
        }
        let bound: U256 = self.waiting(send.call.account).map(Flight::cost).sum();
        let needed = bound.saturating_sub(replaced.unwrap_or_default())
            + send.fees.cost(send.call.gas, send.call.blob_gas);
        if self.standing(send.call.account).is_none_or(|standing| standing.balance < needed) {
            return self.rest_unpaid(now, Pause::OutOfMoney(send.call.account), send.call);
        }
        Some(send)
    }

    fn waiting(&self, account: Account) -> impl Iterator<Item = &Flight> {
        self.flights.iter().filter(move |flight| flight.account == account && flight.waits())
    }

    fn standing(&self, account: Account) -> Option<Standing> {
        self.seen.accounts.get(&account).copied()
    }

    /// What the pool said to a send.
    pub fn sent(&mut self, now: Time, send: Send, answer: Result<B256, SendFailure>) {
        let retry = now + self.limits.check_every;
        match answer {
            Ok(hash) => {
                self.pause = None;
                self.record(now, send, Some(hash), Due::Nothing);
            }
            Err(SendFailure::Unanswered(hash)) => self.record(now, send, Some(hash), Due::Resend(retry)),
            // Something is there at a price that we do not know: count ours as its price, so that the next one doubles.
            Err(SendFailure::Underpriced) => self.record(now, send, None, Due::Outbid),
            // A call that is not on its way is asked for again, one that was is looked at again: the other one's may get lost, too.
            Err(SendFailure::LostRace) => self.set_due(send, Due::Resend(retry)),
            Err(SendFailure::NonceTooLow) => self.rest_with(now, send, Due::Resend(retry), Pause::Stale),
            Err(SendFailure::NonceTooHigh) => {
                self.resend_before(now, send);
                self.rest_with(now, send, Due::Resend(retry), Pause::Stale);
            }
            Err(SendFailure::BelowMarket) => self.rest_with(now, send, Due::Outbid, Pause::Stale),
            Err(SendFailure::InsufficientFunds) => {
                let why = Pause::OutOfMoney(send.call.account);
                self.rest_with(now, send, Due::Resend(retry), why);
            }
            Err(SendFailure::Reserved) => self.rest_with(now, send, Due::Resend(retry), Pause::Reserved),
            Err(SendFailure::Refused(why)) => {
                self.rest_with(now, send, Due::Resend(retry), Pause::Refused(why))
            }
        }
    }

    /// A version of the call that is, or may be, in the pool. Sent again it keeps its time.
    fn record(&mut self, now: Time, send: Send, hash: Option<B256>, due: Due) {
        let Send { call, nonce, fees, .. } = send;
        let place = self.flights.iter().position(|f| f.account == call.account && f.nonce == nonce);
        let before = place.map(|place| self.flights.remove(place));
        self.bumps += u64::from(before.as_ref().is_some_and(|before| before.fees != fees));
        let same = before.as_ref().filter(|before| before.call.is_some_and(|old| old.id == call.id));
        let since = same.filter(|before| before.fees == fees).map_or(now, |before| before.since);
        let mut hashes = same.map(|before| before.hashes.clone()).unwrap_or_default();
        hashes.extend(hash.filter(|hash| !hashes.contains(hash)));
        let known = match due {
            Due::Nothing => true,
            Due::Resend(_) => before.as_ref().is_none_or(|before| before.known),
            Due::Outbid => false,
        };
        let (account, call, stage) = (call.account, Some(call), Stage::Flying(due));
        let first = !self.waiting(account).any(|flight| flight.nonce < nonce);
        self.flights.push(Flight { call, account, nonce, fees, hashes, known, since, first, stage });
        self.flights.sort_by_key(|flight| (flight.account, flight.nonce));
    }

    /// The pool lacks something before it.
    fn resend_before(&mut self, now: Time, send: Send) {
        let before = |flight: &&mut Flight| flight.account == send.call.account && flight.nonce < send.nonce;
        for flight in self.flights.iter_mut().filter(before) {
            if flight.stage == Stage::Flying(Due::Nothing) {
                flight.stage = Stage::Flying(Due::Resend(now));
            }
        }
    }

    /// A pause; what was sent before is tried again after it, a new call is asked for again.
    fn rest_with(&mut self, now: Time, send: Send, due: Due, why: Pause) {
        self.set_due(send, due);
        let _: Option<Send> = self.rest(now, why);
    }

    /// What is to be done next about what was sent before.
    fn set_due(&mut self, send: Send, due: Due) {
        let this = |flight: &&mut Flight| flight.account == send.call.account && flight.nonce == send.nonce;
        if send.again
            && let Some(flight) = self.flights.iter_mut().find(this)
        {
            flight.stage = Stage::Flying(due);
        }
    }

    fn rest_unpaid<T>(&mut self, now: Time, why: Pause, call: Call) -> Option<T> {
        self.rest::<T>(now, why);
        self.unpaid = Some(call);
        None
    }

    fn rest<T>(&mut self, now: Time, why: Pause) -> Option<T> {
        self.unpaid = None;
        self.pause = Some((now + self.limits.pause, why));
        None
    }

    /// Nothing is wanted: whatever was in the way is no trouble any more.
    pub fn nothing_to_send(&mut self) {
        self.pause = None;
    }

    /// Every transaction that waits for a block and is wanted, as (account, kind, goal).
    pub fn flying(&self) -> impl Iterator<Item = Call> + '_ {
        self.flights.iter().filter(|flight| flight.flies()).filter_map(|flight| flight.call)
    }
}
