//! Thousands of seeded lives of the machine. In the first kind L1 keeps geth's rules and everything else goes wrong: blocks are undone, pools
//! forget, answers get lost, prices jump, money runs out, other batchers are first, the process is killed. In the second kind L1 says
//! whatever the dice say.
//!
//! `TXM_SEEDS=100000` runs more, `TXM_SEED=17` one, and says what happens.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy::primitives::{B256, U256};
use ordering_types::{Epoch, Time};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::tests::{GWEI, limits};
use super::*;

const SEEDS: u64 = 3_000;
/// Batches that want to be on L1, with a handover before each of these numbers.
const BATCHES: u64 = 30;
const EPOCH_BATCHES: u64 = 8;
const CHAOS_STEPS: u64 = 120;
/// Slots that a sane L1 may need for the rest.
const SANE_STEPS: u64 = 400;
/// Pools drop transactions after three hours and do not hide them from who sent them: what is forgotten here is what it costs at most.
const ETHER: u128 = 1_000_000_000_000_000_000;

#[derive(Clone, Debug)]
struct Pooled {
    call: Call,
    fees: Fees,
    hash: B256,
}

/// The chain after a block.
#[derive(Clone, Debug, Default)]
struct Block {
    place: Place,
    nonces: BTreeMap<Account, u64>,
    receipts: BTreeMap<B256, Receipt>,
    mined: Vec<((Account, u64), Pooled)>,
}

/// An L1 with geth's pool.
struct World {
    rng: ChaCha8Rng,
    accounts: Vec<Account>,
    chain: Vec<Block>,
    pool: BTreeMap<(Account, u64), Pooled>,
    /// What the pool holds of another batcher.
    rival: Option<Goal>,
    market: Market,
    balance: u128,
    hashes: BTreeMap<Vec<u8>, B256>,
    now: Time,
    next_id: u64,
    /// The calls whose bytes the host has kept.
    kept: BTreeSet<u64>,
    sane: bool,
    killed: bool,
    log: bool,
    sent: u64,
    reverted: u64,
}

fn epoch_of(number: u64) -> Epoch {
    Epoch::new(number / EPOCH_BATCHES)
}

impl World {
    fn new(seed: u64, log: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let accounts =
            if rng.gen_bool(0.7) { vec![Account::Blobs, Account::Calldata] } else { vec![Account::Blobs] };
        let nonces = accounts.iter().map(|account| (*account, rng.gen_range(0..9))).collect();
        let market = Market { tip: GWEI, base: GWEI, blob_base: 1 };
        Self {
            rng,
            accounts,
            chain: vec![Block { nonces, ..Block::default() }],
            pool: BTreeMap::new(),
            rival: None,
            market,
            balance: ETHER,
            hashes: BTreeMap::new(),
            now: Time::from_millis(1_000_000),
            next_id: 0,
            kept: BTreeSet::new(),
            sane: false,
            killed: false,
            log,
            sent: 0,
            reverted: 0,
        }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.log {
            println!("{:>9} {:?} {}", self.now.as_millis(), self.head().place, what());
        }
    }

    fn head(&self) -> &Block {
        self.chain.last().unwrap()
    }

    fn plain_account(&self) -> Account {
        *self.accounts.last().unwrap()
    }

    fn chance(&mut self, p: f64) -> bool {
        !self.sane && self.rng.gen_bool(p)
    }

    fn snapshot(&mut self, watched: &[B256]) -> Snapshot {
        let late = self.chance(0.1);
        let accounts = self.accounts.clone().into_iter().map(|account| {
            let nonce = self.head().nonces[&account];
            let mut pending = nonce;
            while self.pool.contains_key(&(account, pending)) {
                pending += 1;
            }
            (account, Standing { nonce, pending, balance: U256::from(self.balance) })
        });
        let accounts = accounts.collect();
        let receipts = self.chain.iter().flat_map(|block| &block.receipts);
        let receipts =
            receipts.filter(|(hash, _)| !late && watched.contains(hash)).map(|(h, r)| (*h, *r)).collect();
        Snapshot { place: self.head().place, accounts, market: self.market, receipts }
    }

    /// What would happen to the call on top of this block.
    fn apply(place: &mut Place, goal: Goal) -> bool {
        let next = *place;
        match goal {
            Goal::FirstKey if place.number == 0 => place.number = 1,
            Goal::Epoch(epoch) if epoch == place.epoch.next() && epoch == epoch_of(place.number) => {
                place.epoch = epoch;
            }
            Goal::Batches { epoch, first, last }
                if epoch == place.epoch && (first..=last).contains(&place.number) =>
            {
                place.number = last + 1;
            }
            _ => return false,
        }
        *place != next
    }

    /// What L1 takes next, as the poster would find it.
    fn wanted(&mut self, txm: &Txm) -> Option<Call> {
        let place = Place { number: txm.next_number(), ..txm.place() };
        let ahead = place.number > txm.place().number;
        let plain = self.plain_account();
        let id = self.next_id;
        let call = |goal, account, kind, blobs: u64| Call {
            id,
            goal,
            account,
            kind,
            gas: 100_000,
            blob_gas: blobs * 131_072,
        };
        if place.number == 0 {
            return Some(call(Goal::FirstKey, plain, Kind::Plain, 0));
        }
        if place.epoch < epoch_of(place.number) {
            return (!ahead).then(|| call(Goal::Epoch(place.epoch.next()), plain, Kind::Plain, 0));
        }
        if place.number > BATCHES {
            return None;
        }
        // The price decides; or what flies does.
        let cheaper = if self.rng.gen_bool(0.5) { Kind::Plain } else { Kind::Blob };
        let kind = txm.carrier().map_or(cheaper, |(_, kind)| kind);
        let most = if kind == Kind::Blob { self.rng.gen_range(1..=6) } else { 1 };
        let last = (place.number + most - 1).min(BATCHES).min((place.epoch.get() + 1) * EPOCH_BATCHES - 1);
        let goal = Goal::Batches { epoch: place.epoch, first: place.number, last };
        Some(match kind {
            Kind::Plain if plain == Account::Calldata => call(goal, plain, Kind::Plain, 0),
            _ => call(goal, Account::Blobs, Kind::Blob, last - place.number + 1),
        })
    }

    /// geth's answer, and what an unreliable way there makes of it.
    fn send(&mut self, send: &Send) -> Result<B256, SendFailure> {
        self.sent += 1;
        let signed = format!("{:?} {} {:?}", send.call, send.nonce, send.fees).into_bytes();
        let fresh = B256::left_padding_from(&(self.hashes.len() as u64 + 1).to_be_bytes());
        let hash = *self.hashes.entry(signed).or_insert(fresh);
        if self.chance(0.05) {
            return Err(SendFailure::Unanswered(hash));
        }
        if self.chance(0.02) {
            return Err(SendFailure::Refused("txpool is full".to_owned()));
        }
        let mut pending = self.head().place;
        let rivals = self.rival.is_some_and(|goal| Self::apply(&mut pending, goal));
        if send.alone && rivals && send.call.goal.is_past(pending) {
            return Err(SendFailure::LostRace);
        }
        let answer = self.pool_answer(send, hash);
        if answer.is_ok() && self.chance(0.05) { Err(SendFailure::Unanswered(hash)) } else { answer }
    }

    fn pool_answer(&mut self, send: &Send, hash: B256) -> Result<B256, SendFailure> {
        let key = (send.call.account, send.nonce);
        let mine: Vec<_> = self.pool.iter().filter(|((account, _), _)| *account == key.0).collect();
        if mine.iter().any(|(_, pooled)| pooled.hash == hash) {
            return Ok(hash);
        }
        let nonce = self.head().nonces[&key.0];
        let gap = (nonce..).find(|nonce| !self.pool.contains_key(&(key.0, *nonce))).unwrap();
        if let Some((_, other)) = mine.iter().find(|(_, pooled)| pooled.call.kind != send.call.kind) {
            // Who was killed does not know what kind the pool holds of it, and asks.
            assert!(self.killed, "two kinds in one account: {send:?} beside {other:?}");
            return Err(SendFailure::Reserved);
        }
        if key.1 < nonce {
            return Err(SendFailure::NonceTooLow);
        }
        if key.1 > gap {
            return Err(SendFailure::NonceTooHigh);
        }
        if U256::from(self.balance) < send.fees.cost(send.call.gas, send.call.blob_gas) {
            return Err(SendFailure::InsufficientFunds);
        }
        if let Some(old) = self.pool.get(&key) {
            let double = old.fees.doubled();
            if send.fees.at_least(double) != send.fees {
                return Err(SendFailure::Underpriced);
            }
        }
        self.pool.insert(key, Pooled { call: send.call, fees: send.fees, hash });
        Ok(hash)
    }

    fn next_block(&self) -> Block {
        Block { receipts: BTreeMap::new(), mined: vec![], ..self.head().clone() }
    }

    fn mine(&mut self) {
        let mut block = self.next_block();
        self.mine_rival(&mut block);
        for account in self.accounts.clone() {
            loop {
                let key = (account, block.nonces[&account]);
                let takes = |pooled: &&Pooled| self.market.takes(pooled.call.kind, pooled.fees);
                let Some(pooled) = self.pool.get(&key).filter(takes).cloned() else { break };
                self.pool.remove(&key);
                let success = Self::apply(&mut block.place, pooled.call.goal);
                self.reverted += u64::from(!success);
                let receipt = Receipt { success, gas: 80_000, cost: U256::from(1) };
                block.receipts.insert(pooled.hash, receipt);
                block.mined.push((key, pooled));
                *block.nonces.get_mut(&account).unwrap() += 1;
            }
        }
        self.chain.push(block);
        self.say(|| {
            format!(
                "mined {:?}",
                self.head().mined.iter().map(|(key, p)| (key, p.call.goal)).collect::<Vec<_>>()
            )
        });
    }

    fn reorganise(&mut self) {
        let depth = self.rng.gen_range(1..=10).min(self.chain.len() - 1);
        let keeps = self.rng.gen_bool(0.5);
        let dropped = self.chain.split_off(self.chain.len() - depth);
        for (key, pooled) in dropped.into_iter().flat_map(|block| block.mined) {
            if keeps {
                self.pool.insert(key, pooled);
            }
        }
        self.drop_gapped();
        self.say(|| format!("reorganised, depth {depth}, keeps {keeps}"));
    }

    /// What has no place in geth's pool: gaps, and blobs beside other kinds.
    fn drop_gapped(&mut self) {
        for account in self.accounts.clone() {
            let mut next = self.head().nonces[&account];
            let mut kind = None;
            while let Some(pooled) = self.pool.get(&(account, next)) {
                if *kind.get_or_insert(pooled.call.kind) != pooled.call.kind {
                    break;
                }
                next += 1;
            }
            let mined = self.head().nonces[&account];
            self.pool.retain(|(owner, nonce), _| *owner != account || (mined..next).contains(nonce));
        }
    }

    fn forget(&mut self) {
        let keep = self.rng.gen_bool(0.5);
        self.pool.retain(|_, _| keep && self.rng.gen_bool(0.7));
        self.rival = self.rival.filter(|_| keep);
        self.drop_gapped();
        self.say(|| "the pool forgets".to_owned());
    }

    /// Another batcher's transaction reaches the pool.
    fn rival_sends(&mut self) {
        let place = self.head().place;
        let goal = match () {
            () if place.number == 0 => Goal::FirstKey,
            () if place.epoch < epoch_of(place.number) => Goal::Epoch(place.epoch.next()),
            () => Goal::Batches { epoch: place.epoch, first: place.number, last: place.number },
        };
        self.rival = Some(goal).filter(|_| place.number <= BATCHES);
        self.say(|| format!("another batcher: {:?}", self.rival));
    }

    fn mine_rival(&mut self, block: &mut Block) {
        if let Some(goal) = self.rival.take() {
            Self::apply(&mut block.place, goal);
        }
    }

    fn misfortune(&mut self) {
        match self.rng.gen_range(0..100) {
            0..6 => self.reorganise(),
            6..12 => {
                self.forget();
            }
            12..20 => {
                let dear = |rng: &mut ChaCha8Rng| GWEI << rng.gen_range(0..11);
                self.market =
                    Market { tip: GWEI, base: dear(&mut self.rng), blob_base: dear(&mut self.rng) >> 5 };
                self.say(|| format!("{:?}", self.market));
            }
            20..26 => self.balance = if self.rng.gen_bool(0.5) { ETHER } else { 1_000 },
            26..34 => {
                // Another batcher was first.
                self.rival_sends();
                if self.rng.gen_bool(0.5) {
                    let mut block = self.next_block();
                    self.mine_rival(&mut block);
                    self.chain.push(block);
                }
            }
            _ => {}
        }
    }
}

/// No batch has two carriers on their way, as far as the machine can help it: a reorganisation may bring back what was mined one after the
/// other.
fn check(txm: &Txm) {
    let mut carriers: BTreeMap<u64, Kind> = BTreeMap::new();
    for call in txm.flying() {
        let Goal::Batches { first, last, .. } = call.goal else { continue };
        for number in first..=last {
            assert_eq!(
                *carriers.entry(number).or_insert(call.kind),
                call.kind,
                "batch {number} has two carriers"
            );
        }
    }
    // A deep reorganisation sets everything flying again that is remembered.
    let most = MAX_LANDED + MAX_IN_FLIGHT;
    assert!(txm.flying().count() <= most && txm.calls().count() <= most + MAX_IN_FLIGHT);
}

fn deliver(world: &mut World, txm: &mut Txm, send: Send) {
    let limits = limits();
    assert!(send.fees.cap <= limits.max_cap && send.fees.blob <= limits.max_blob, "{send:?}");
    assert!(world.kept.contains(&send.call.id), "its bytes are gone: {send:?}");
    if !send.again {
        let live = |call: &Call| !call.goal.is_past(world.head().place) && call.goal.overlaps(send.call.goal);
        let pooled = world.pool.iter().filter(|(key, _)| **key != (send.call.account, send.nonce));
        let mut others = pooled.map(|(_, pooled)| pooled.call).chain(txm.flying());
        let double = others.find(|call| call.kind != send.call.kind && live(call));
        assert_eq!(double, None, "a second carrier: {send:?}");
    }
    let answer = world.send(&send);
    world.say(|| format!("{} {send:?}: {answer:?}", if send.again { "again" } else { "first" }));
    txm.sent(world.now, send, answer);
    check(txm);
}

/// What the poster does in a turn.
fn turn(world: &mut World, txm: &mut Txm) {
    let snapshot = world.snapshot(&txm.watched());
    let events = txm.observe(world.now, snapshot);
    world.say(|| format!("{events:?}"));
    let wanted: BTreeSet<u64> = txm.calls().collect();
    world.kept.retain(|id| wanted.contains(id));
    check(txm);
    for _ in 0..100 {
        let Some(send) = txm.next_send(world.now) else { break };
        deliver(world, txm, send);
    }
    while txm.has_room(world.now) {
        let Some(call) = world.wanted(txm) else { break };
        let Some(send) = txm.begin(world.now, call) else { break };
        assert!(!send.again && send.call == call);
        world.next_id += 1;
        world.kept.insert(call.id);
        deliver(world, txm, send);
        if !txm.calls().any(|id| id == call.id) {
            break;
        }
    }
}

fn live(seed: u64, log: bool) -> World {
    let mut world = World::new(seed, log);
    let mut txm = Txm::new(limits());
    for _ in 0..CHAOS_STEPS {
        world.now = world.now + Duration::from_millis(world.rng.gen_range(100..20_000));
        world.misfortune();
        if world.rng.gen_bool(0.5) {
            world.mine();
        }
        if world.rng.gen_bool(0.01) {
            world.say(|| "killed".to_owned());
            (txm, world.killed) = (Txm::new(limits()), true);
        }
        if world.rng.gen_bool(0.8) {
            turn(&mut world, &mut txm);
        }
    }
    world.sane = true;
    (world.balance, world.market) = (100 * ETHER, Market { tip: GWEI, base: GWEI, blob_base: 1 });
    for _ in 0..SANE_STEPS {
        world.now = world.now + Duration::from_secs(12);
        turn(&mut world, &mut txm);
        world.mine();
        if world.head().place.number > BATCHES && txm.flying().count() == 0 {
            return world;
        }
    }
    panic!("L1 is sane, and still lacks batch {:?}: {txm:?}", world.head().place);
}

fn seeds() -> (std::ops::Range<u64>, bool) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TXM_SEED") {
        Some(seed) => (seed..seed + 1, true),
        None => (0..number("TXM_SEEDS").unwrap_or(SEEDS), false),
    }
}

#[test]
fn an_l1_that_becomes_sane_gets_everything() {
    let (seeds, log) = seeds();
    let (mut sent, mut reverted) = (0, 0);
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| live(seed, log));
        let world = lived.unwrap_or_else(|_| panic!("seed {seed}: run again with TXM_SEED={seed}"));
        (sent, reverted) = (sent + world.sent, reverted + world.reverted);
    }
    println!("{sent} transactions sent, {reverted} mined without effect");
    assert!(reverted > 0 || log, "the dice must have been unkind");
}

/// L1 is calm: nothing is burnt, and nothing is sent twice.
#[test]
fn a_sane_l1_gets_everything_once() {
    for seed in 0..200 {
        let mut world = World::new(seed, false);
        world.sane = true;
        let mut txm = Txm::new(limits());
        let mut slots = 0;
        while world.head().place.number <= BATCHES {
            world.now = world.now + Duration::from_secs(12);
            turn(&mut world, &mut txm);
            world.mine();
            slots += 1;
        }
        assert_eq!(world.reverted, 0, "seed {seed}");
        assert_eq!(world.sent, world.chain.iter().map(|block| block.mined.len() as u64).sum::<u64>());
        // Batches of an epoch go out together, whatever their number; a handover has a slot of its own.
        assert!(slots <= 20, "seed {seed}: {slots} slots");
    }
}

/// Pools forget, and another batcher is quicker then: nobody who looks before it sends burns gas.
#[test]
fn what_the_pool_forgets_does_not_race_with_another_batcher() {
    let mut races = 0;
    for seed in 0..500 {
        let mut world = World::new(seed, false);
        world.sane = true;
        let mut txm = Txm::new(limits());
        while world.head().place.number <= BATCHES {
            world.now = world.now + Duration::from_secs(12);
            turn(&mut world, &mut txm);
            if world.rng.gen_bool(0.5) {
                world.forget();
                // It looks, too: there is nothing of ours that does the same.
                if world.pool.is_empty() {
                    world.rival_sends();
                    races += 1;
                    turn(&mut world, &mut txm);
                }
            }
            if world.rng.gen_bool(0.5) {
                world.mine();
            }
        }
        assert_eq!(world.reverted, 0, "seed {seed}");
    }
    assert!(races > 500);
}

/// Whatever L1 says: no panic, no price above the ceiling, no batch with two carriers, and no more than so much in memory.
#[test]
fn an_l1_that_says_anything_gets_no_more_than_allowed() {
    for seed in 0..SEEDS {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (mut txm, mut now) = (Txm::new(limits()), Time::from_millis(1_000_000));
        for id in 0..60 {
            now = now + Duration::from_millis(rng.gen_range(0..60_000));
            let receipts = txm.watched().into_iter().filter(|_| rng.gen_bool(0.3)).collect::<Vec<_>>();
            let receipts = receipts.into_iter().map(|hash| {
                (
                    hash,
                    Receipt {
                        success: rng.gen_bool(0.8),
                        gas: rng.r#gen(),
                        cost: U256::from(rng.r#gen::<u64>()),
                    },
                )
            });
            let receipts = receipts.collect();
            txm.observe(now, Snapshot { receipts, ..anything(rng) });
            let mut sends = Vec::new();
            sends.extend(txm.next_send(now));
            let number = txm.next_number();
            let (account, kind) = if rng.gen_bool(0.5) {
                (Account::Blobs, Kind::Blob)
            } else {
                (Account::Calldata, Kind::Plain)
            };
            let goal = Goal::Batches {
                epoch: txm.place().epoch,
                first: number,
                last: number.saturating_add(rng.gen_range(0..6)),
            };
            sends.extend(txm.begin(now, Call { id, goal, account, kind, gas: 100_000, blob_gas: 131_072 }));
            for send in sends {
                let limits = limits();
                assert!(send.fees.cap <= limits.max_cap && send.fees.blob <= limits.max_blob, "{send:?}");
                let answer = any_answer(rng);
                txm.sent(now, send, answer);
            }
            let mut carriers: BTreeMap<u64, Kind> = BTreeMap::new();
            for call in txm.flying() {
                let Goal::Batches { first, last, .. } = call.goal else { continue };
                for number in first..=last {
                    assert_eq!(*carriers.entry(number).or_insert(call.kind), call.kind, "seed {seed}");
                }
            }
            assert!(txm.calls().count() <= MAX_LANDED + 60);
        }
    }
}

fn anything(rng: &mut ChaCha8Rng) -> Snapshot {
    let number = |rng: &mut ChaCha8Rng| if rng.gen_bool(0.95) { rng.gen_range(0..40) } else { rng.r#gen() };
    let price =
        |rng: &mut ChaCha8Rng| if rng.gen_bool(0.9) { rng.gen_range(0..100 * GWEI) } else { rng.r#gen() };
    let accounts = [Account::Blobs, Account::Calldata].map(|account| {
        let balance = U256::from(rng.gen_range(0..ETHER));
        (account, Standing { nonce: number(rng), pending: number(rng), balance })
    });
    Snapshot {
        place: Place { epoch: Epoch::new(rng.gen_range(0..2)), number: number(rng) },
        accounts: accounts.into(),
        market: Market { tip: price(rng), base: price(rng), blob_base: price(rng) },
        receipts: BTreeMap::new(),
    }
}

fn any_answer(rng: &mut ChaCha8Rng) -> Result<B256, SendFailure> {
    let hash = B256::left_padding_from(&rng.r#gen::<u64>().to_be_bytes());
    Err(match rng.gen_range(0..16) {
        0 => SendFailure::LostRace,
        1 => SendFailure::Unanswered(hash),
        2 => SendFailure::Underpriced,
        3 => SendFailure::BelowMarket,
        4 => SendFailure::NonceTooLow,
        5 => SendFailure::NonceTooHigh,
        6 => SendFailure::InsufficientFunds,
        7 => SendFailure::Reserved,
        8 => SendFailure::Refused("no".to_owned()),
        _ => return Ok(hash),
    })
}
