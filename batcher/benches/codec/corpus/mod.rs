//! Signed Ethereum transactions as a busy rollup sees them, the same for the same seed.
//!
//! Nothing of it is recorded traffic: it is drawn from a [`World`] of accounts, tokens and contracts, whose addresses and
//! keys are random. What is known of public rollups is in the shares and shapes:
//!
//! | share | what | calldata |
//! |---|---|---|
//! | 20 % | plain transfers | none |
//! | 25 % | ERC-20 `transfer` | recipient, amount |
//! | 7 % | ERC-20 `approve` | spender (a router or another contract), unlimited in 55 % |
//! | 2 % | ERC-20 `transferFrom` | two accounts, amount |
//! | 11 % | swaps on Uniswap V2 routers, five functions | amounts, path of two or three tokens, recipient, deadline |
//! | 9 % | `exactInputSingle` on Uniswap V3 routers, of either generation | tokens, fee tier, recipient, amounts |
//! | 4 % | `multicall` on those: a swap and what unwraps or refunds | calls inside of calls |
//! | 4 % | `execute` of a universal router, one of three with a signed permit | packed paths, inputs as `bytes` |
//! | 17.8 % | 1,500 other contracts with one to six functions each, of random arguments | words, `bytes`, arrays, proofs |
//! | 0.2 % | deployments | 1 to 8 KiB of init code |
//!
//! *Who.* Senders, tokens, contracts and popular recipients follow Zipf's law: few do much, many do little. Nonces go up one by one from
//! where each sender stood. A recipient is one of 2,000 popular addresses (25 %), one that the sender has paid before or knows (35 %), or
//! was never seen (40 %). Swaps pay their sender (92 %).
//!
//! *How much.* Amounts are one to three digits with zeros behind them (45 %), have two decimals or are whole gwei (15 %), or are as
//! precise as the token allows (40 %), as computed amounts are; sizes are log-normal. What a swap asks for at least is always precise.
//!
//! *Fees.* The base fee moves by up to 2 % a rollup block of 100 transactions. Wallets offer 1.2 to 2 times the base fee of one of
//! the last blocks, with a tip that is constant, or an estimate that all wallets of one endpoint share for a block; bots have constants of
//! their own.
//! Gas limits are what an estimate for that function gives, times 1, 1.2 or 1.5, or round.
//!
//! *Types.* 79 % EIP-1559 (3 % of them with an access list), 20 % legacy with EIP-155, 1 % EIP-2930. Signatures are real.

mod abi;
mod amounts;
mod calls;
mod code;
mod fees;
mod world;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEip2930, TxLegacy};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip2930::{AccessList, AccessListItem};
use alloy::primitives::{B256, Signature, TxKind, U256};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use self::calls::Call;
use self::fees::Fees;
use self::world::{Sender, World};

/// Of the rollup.
pub(crate) const CHAIN_ID: u64 = 84_321;
/// In one rollup block, and so with one base fee.
const TRANSACTIONS_PER_BLOCK: u64 = 100;
const BLOCK_SECONDS: u64 = 2;

/// Transactions in the order in which a sequencer would get them; never ends.
pub(crate) struct Corpus {
    rng: ChaCha12Rng,
    world: World,
    fees: Fees,
    drawn: u64,
    /// Seconds since 1970.
    now: u64,
}

impl Corpus {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let world = World::new(&mut rng);
        let fees = Fees::new(&mut rng);
        let now = rng.gen_range(1_750_000_000..1_900_000_000);
        Self { rng, world, fees, drawn: 0, now }
    }
}

impl Iterator for Corpus {
    type Item = Vec<u8>;

    /// One transaction as `eth_sendRawTransaction` takes it (EIP-2718).
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.drawn.is_multiple_of(TRANSACTIONS_PER_BLOCK) {
            self.now += BLOCK_SECONDS;
            self.fees.next_block(&mut self.rng);
        }
        self.drawn += 1;
        let sender = self.world.draw_sender(&mut self.rng);
        let call = calls::draw(&mut self.world, sender, self.now, &mut self.rng);
        let nonce = self.world.next_nonce(sender);
        Some(self.sign(sender, nonce, call))
    }
}

impl Corpus {
    fn sign(&mut self, sender: usize, nonce: u64, call: Call) -> Vec<u8> {
        let Self { rng, world, fees, .. } = self;
        let Call { to, value, data, gas } = call;
        let sender = world.sender(sender);
        let gas_limit = sender.gas_limit(gas, rng);
        let (input, gas_price) = (data.into(), fees.price(sender, rng));
        match rng.gen_range(0..100) {
            0..79 => {
                let (max_fee_per_gas, max_priority_fee_per_gas) = fees.dynamic(sender, rng);
                let access_list =
                    if rng.gen_bool(0.03) { access_list(to, rng) } else { AccessList::default() };
                #[rustfmt::skip]
                let tx = TxEip1559 {
                    chain_id: CHAIN_ID, nonce, gas_limit, max_fee_per_gas, max_priority_fee_per_gas, to, value, access_list, input,
                };
                let signature = signature(sender, tx.signature_hash());
                tx.into_signed(signature).encoded_2718()
            }
            79..99 => {
                let tx = TxLegacy { chain_id: Some(CHAIN_ID), nonce, gas_price, gas_limit, to, value, input };
                let signature = signature(sender, tx.signature_hash());
                tx.into_signed(signature).encoded_2718()
            }
            _ => {
                let access_list = access_list(to, rng);
                #[rustfmt::skip]
                let tx = TxEip2930 { chain_id: CHAIN_ID, nonce, gas_price, gas_limit, to, value, access_list, input };
                let signature = signature(sender, tx.signature_hash());
                tx.into_signed(signature).encoded_2718()
            }
        }
    }
}

/// The called contract with some of its slots: low numbers, and hashes as of mappings.
fn access_list(to: TxKind, rng: &mut ChaCha12Rng) -> AccessList {
    let TxKind::Call(address) = to else { return AccessList::default() };
    let slot = |rng: &mut ChaCha12Rng| {
        if rng.gen_bool(0.4) {
            B256::from(U256::from(rng.gen_range(0..12_u8)))
        } else {
            B256::from(rng.r#gen::<[u8; 32]>())
        }
    };
    let storage_keys = (0..rng.gen_range(1..4)).map(|_| slot(rng)).collect();
    AccessList(vec![AccessListItem { address, storage_keys }])
}

fn signature(sender: &Sender, hash: B256) -> Signature {
    let message = secp256k1::Message::from_digest(hash.0);
    let (parity, bytes) =
        secp256k1::global::SECP256K1.sign_ecdsa_recoverable(message, sender.key()).serialize_compact();
    Signature::from_bytes_and_parity(&bytes, i32::from(parity) & 1 == 1)
}
