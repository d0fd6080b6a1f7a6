//! Who and what there is: accounts with keys, tokens, routers, other contracts.

use alloy::primitives::{Address, keccak256};
use rand::Rng;
use rand::distributions::{Distribution, WeightedIndex};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha12Rng;
use secp256k1::SecretKey;

use super::calls::Function;

const SENDERS: usize = 30_000;
const TOKENS: usize = 400;
const CONTRACTS: usize = 1_500;
const POPULAR_RECIPIENTS: usize = 2_000;
const V2_ROUTERS: usize = 6;
const V3_ROUTERS: usize = 4;
const UNIVERSAL_ROUTERS: usize = 2;

/// The n-th of a set is drawn in proportion to 1 / n^exponent.
pub(super) struct Zipf(WeightedIndex<f64>);

impl Zipf {
    pub(super) fn new(count: usize, exponent: f64) -> Self {
        let weights = (1..=count).map(|rank| (rank as f64).powf(-exponent));
        Self(WeightedIndex::new(weights).expect("there are some, and all weights are positive"))
    }

    pub(super) fn draw(&self, rng: &mut ChaCha12Rng) -> usize {
        self.0.sample(rng)
    }
}

/// How a wallet chooses fees.
#[derive(Clone, Copy)]
pub(super) enum Wallet {
    /// A multiple of the base fee in percent, and always the same tip.
    Multiple { percent: u128, tip: u128 },
    /// A multiple of the base fee in percent, and the tip that its endpoint estimates.
    Estimate { percent: u128 },
    /// Constants.
    Bot { fee: u128, tip: u128 },
}

/// An account that signs.
pub(super) struct Sender {
    key: SecretKey,
    pub(super) address: Address,
    nonce: u64,
    pub(super) wallet: Wallet,
    /// Its estimate of gas is taken times this many percent; round limits if none.
    gas_percent: Option<u64>,
    known: Vec<Address>,
}

impl Sender {
    fn new(rank: usize, rng: &mut ChaCha12Rng) -> Self {
        let key = loop {
            if let Ok(key) = SecretKey::from_byte_array(rng.r#gen()) {
                break key;
            }
        };
        let public = key.public_key(secp256k1::global::SECP256K1).serialize_uncompressed();
        // Log-uniform: most accounts are young. The busiest are bots with a long past.
        let nonce = if rank < 200 {
            rng.gen_range(2_000..900_000)
        } else {
            10_f64.powf(rng.gen_range(0.0..3.3)) as u64 - 1
        };
        let bot = rng.gen_bool(if rank < 500 { 0.6 } else { 0.1 });
        let wallet = if bot {
            let tip = rng.gen_range(0..5_000_u128) * 1_000;
            Wallet::Bot { fee: tip + rng.gen_range(5..400_u128) * 1_000_000, tip }
        } else if rng.gen_bool(0.65) {
            let tip =
                *[0, 1, 100_000, 1_000_000, 1_000_000, 50_000_000, 1_500_000_000].choose(rng).expect("some");
            Wallet::Multiple { percent: *[200, 200, 120, 135].choose(rng).expect("some"), tip }
        } else {
            Wallet::Estimate { percent: *[135, 200, 125].choose(rng).expect("some") }
        };
        let gas_percent =
            [Some(100), Some(120), Some(150), None].choose_weighted(rng, |p| if p.is_some() { 3 } else { 1 });
        Self {
            key,
            address: Address::from_slice(&keccak256(&public[1..])[12..]),
            nonce,
            wallet,
            gas_percent: *gas_percent.expect("some"),
            known: Vec::new(),
        }
    }

    pub(super) const fn key(&self) -> &SecretKey {
        &self.key
    }

    pub(super) fn gas_limit(&self, estimate: u64, rng: &mut ChaCha12Rng) -> u64 {
        match self.gas_percent {
            _ if estimate == 21_000 && rng.gen_bool(0.9) => estimate,
            Some(percent) => estimate * percent / 100,
            None => estimate.next_multiple_of(50_000) * rng.gen_range(1..3),
        }
    }
}

pub(super) struct Token {
    pub(super) address: Address,
    pub(super) decimals: u32,
    /// What a transfer costs: its implementation's.
    pub(super) gas: u64,
}

pub(super) struct Contract {
    pub(super) address: Address,
    pub(super) functions: Vec<Function>,
}

pub(super) struct World {
    senders: Vec<Sender>,
    busy: Zipf,
    tokens: Vec<Token>,
    traded: Zipf,
    contracts: Vec<Contract>,
    called: Zipf,
    popular: Vec<Address>,
    paid: Zipf,
    routers: [(Vec<Address>, Zipf); 3],
}

/// A kind of router.
#[derive(Clone, Copy)]
pub(super) enum Router {
    V2,
    V3,
    Universal,
}

fn address(rng: &mut ChaCha12Rng) -> Address {
    Address::from(rng.r#gen::<[u8; 20]>())
}

impl World {
    pub(super) fn new(rng: &mut ChaCha12Rng) -> Self {
        let addresses =
            |count: usize, rng: &mut ChaCha12Rng| (0..count).map(|_| address(rng)).collect::<Vec<_>>();
        let popular = addresses(POPULAR_RECIPIENTS, rng);
        let routers = [V2_ROUTERS, V3_ROUTERS, UNIVERSAL_ROUTERS]
            .map(|count| (addresses(count, rng), Zipf::new(count, 1.2)));
        let token = |rng: &mut ChaCha12Rng| Token {
            address: address(rng),
            decimals: *[18, 18, 18, 18, 18, 18, 18, 6, 6, 8].choose(rng).expect("some"),
            gas: rng.gen_range(34_000..66_000),
        };
        let contract = |rng: &mut ChaCha12Rng| Contract {
            address: address(rng),
            functions: (0..rng.gen_range(1..=6)).map(|_| Function::random(rng)).collect(),
        };
        Self {
            senders: (0..SENDERS).map(|rank| Sender::new(rank, rng)).collect(),
            busy: Zipf::new(SENDERS, 0.75),
            tokens: (0..TOKENS).map(|_| token(rng)).collect(),
            traded: Zipf::new(TOKENS, 1.1),
            contracts: (0..CONTRACTS).map(|_| contract(rng)).collect(),
            called: Zipf::new(CONTRACTS, 1.0),
            popular,
            paid: Zipf::new(POPULAR_RECIPIENTS, 0.9),
            routers,
        }
    }

    pub(super) fn draw_sender(&self, rng: &mut ChaCha12Rng) -> usize {
        self.busy.draw(rng)
    }

    pub(super) fn sender(&self, sender: usize) -> &Sender {
        &self.senders[sender]
    }

    pub(super) fn next_nonce(&mut self, sender: usize) -> u64 {
        let nonce = &mut self.senders[sender].nonce;
        *nonce += 1;
        *nonce - 1
    }

    pub(super) fn draw_token(&self, rng: &mut ChaCha12Rng) -> &Token {
        &self.tokens[self.traded.draw(rng)]
    }

    /// The token that wraps ether is the most traded one.
    pub(super) fn wrapped_ether(&self) -> &Token {
        &self.tokens[0]
    }

    pub(super) fn draw_contract(&self, rng: &mut ChaCha12Rng) -> &Contract {
        &self.contracts[self.called.draw(rng)]
    }

    pub(super) fn draw_router(&self, kind: Router, rng: &mut ChaCha12Rng) -> Address {
        let (routers, zipf) = &self.routers[kind as usize];
        routers[zipf.draw(rng)]
    }

    /// Whom a sender pays.
    pub(super) fn draw_recipient(&mut self, sender: usize, rng: &mut ChaCha12Rng) -> Address {
        match rng.gen_range(0..100) {
            0..25 => self.popular[self.paid.draw(rng)],
            25..60 => {
                let other = self.senders[self.busy.draw(rng)].address;
                let known = &mut self.senders[sender].known;
                if known.is_empty() || rng.gen_bool(0.3) {
                    known.push(other);
                }
                *known.choose(rng).expect("one was added")
            }
            _ => address(rng),
        }
    }
}
