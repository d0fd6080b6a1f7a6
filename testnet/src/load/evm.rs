//! Signed transfers: which account sends the n-th, to whom and with which nonce follows from n alone, so that many can be signed
//! at once and beforehand.

use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, Signature, TxKind, U256};
use alloy::signers::local::PrivateKeySigner;
use bytes::Bytes;
use secp256k1::{Message, SECP256K1, SecretKey};

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// One gwei.
const GWEI: u128 = 1_000_000_000;
/// Transfers between two words about how far signing is.
const SIGNED_AT_ONCE: usize = 2_048;

/// EIP-1559 transfers of one wei among some accounts, in turn, each with its nonces in order.
pub struct Transfers {
    chain_id: u64,
    accounts: Vec<Account>,
}

/// libsecp256k1 signs several times as fast as the pure Rust behind the signer.
struct Account {
    key: SecretKey,
    address: Address,
}

impl Transfers {
    /// Among these.
    pub fn new(chain_id: u64, signers: &[PrivateKeySigner]) -> Self {
        let account = |signer: &PrivateKeySigner| Account {
            key: SecretKey::from_byte_array(signer.to_bytes().0).expect("a signer's key is a key"),
            address: signer.address(),
        };
        Self { chain_id, accounts: signers.iter().map(account).collect() }
    }

    /// The n-th, from 0; `None` only if there are no accounts.
    pub fn nth(&self, number: u64) -> Option<Bytes> {
        let count = self.accounts.len() as u64;
        let at = |turn: u64| self.accounts.get(usize::try_from(turn.checked_rem(count)?).ok()?);
        Some(at(number)?.transfer(self.chain_id, number / count, at(number + 1)?.address))
    }

    /// The first `count`, signed on all cores. `said` hears now and then how many there are.
    pub fn first(&self, count: usize, said: impl Fn(usize) + Sync) -> Vec<Bytes> {
        let mut all = vec![Bytes::new(); count];
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = count.div_ceil(threads).max(1);
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (first, part) in (0_u64..).step_by(share).zip(all.chunks_mut(share)) {
                let (done, said) = (&done, &said);
                scope.spawn(move || {
                    let mut numbers = first..;
                    for some in part.chunks_mut(SIGNED_AT_ONCE) {
                        for (space, number) in some.iter_mut().zip(&mut numbers) {
                            *space = self.nth(number).unwrap_or_default();
                        }
                        said(done.fetch_add(some.len(), Ordering::Relaxed) + some.len());
                    }
                });
            }
        });
        all
    }
}

impl Account {
    fn transfer(&self, chain_id: u64, nonce: u64, to: Address) -> Bytes {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: TRANSFER_GAS,
            max_fee_per_gas: 2 * GWEI,
            max_priority_fee_per_gas: GWEI,
            to: TxKind::Call(to),
            value: U256::from(1),
            ..TxEip1559::default()
        };
        let digest = Message::from_digest(transaction.signature_hash().0);
        let (recovery, compact) = SECP256K1.sign_ecdsa_recoverable(digest, &self.key).serialize_compact();
        let signature = Signature::from_bytes_and_parity(&compact, i32::from(recovery) == 1);
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::sync::Mutex;

    use alloy::consensus::Transaction;
    use alloy::eips::eip2718::Decodable2718;

    use super::*;
    use crate::contract::account;

    fn transfers() -> (Transfers, Vec<Address>) {
        let signers: Vec<_> = (3..6).map(|index| account(dev_l1::DEFAULT_MNEMONIC, index).unwrap()).collect();
        let addresses = signers.iter().map(PrivateKeySigner::address).collect();
        (Transfers::new(900_001, &signers), addresses)
    }

    #[test]
    fn transfers_are_signed_for_their_chain_with_nonces_in_order() {
        let (transfers, addresses) = transfers();
        for i in 0..9_usize {
            let raw = transfers.nth(i as u64).unwrap();
            let decoded = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
            let signed = decoded.as_eip1559().unwrap();
            let signer = signed.signature().recover_address_from_prehash(&signed.signature_hash());
            assert_eq!(signer.unwrap(), addresses[i % 3]);
            assert_eq!(decoded.to(), Some(addresses[(i + 1) % 3]));
            assert_eq!((decoded.chain_id(), decoded.nonce()), (Some(900_001), i as u64 / 3));
        }
        assert!(Transfers::new(1, &[]).nth(0).is_none());
    }

    #[test]
    fn those_signed_beforehand_are_those_signed_one_by_one() {
        let (transfers, _) = transfers();
        for count in [0, 1, 7, 5_000] {
            let heard = Mutex::new(0);
            let all = transfers.first(count, |done| {
                let mut most = heard.lock().unwrap();
                *most = done.max(*most);
            });
            assert_eq!((all.len(), heard.into_inner().unwrap()), (count, count));
            let wrong =
                all.iter().zip(0_u64..).find(|(data, number)| transfers.nth(*number).unwrap() != **data);
            assert_eq!(wrong, None);
        }
    }
}
