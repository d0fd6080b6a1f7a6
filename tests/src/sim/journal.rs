//! The unsynced end of a journal, as bytes: what a crash makes of it, and what a scan still finds.
//!
//! ```text
//!   record = u32 length │ 8 checksum │ payload          checksum = first bytes of SHA-256( u64 number ‖ payload )
//! ```
//!
//! The shell's store writes records one behind the other and syncs them as a group; after a crash its scan takes records up to the first that
//! is not whole, and cuts what stands behind, be that whole or not. This is the same rule, written down a second time.

use node_core::api::Record;
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;
use sha2::{Digest as _, Sha256};

use super::plan::below;

const HEAD_BYTES: usize = 4 + 8;
/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What a crash did to the group that was being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// Nothing: it had been written, only the sync was missing.
    Whole,
    /// It had not begun to be written.
    Nothing,
    /// The file ends in the middle.
    Cut,
    /// Some sectors were written and others not, in no order.
    SectorsMissing,
    /// The last record was written with wrong bits.
    BitsFlipped,
}

impl Tear {
    /// Its name among the faults; none where no record was torn.
    pub const fn fault(self) -> Option<&'static str> {
        match self {
            Self::Whole | Self::Nothing => None,
            Self::Cut => Some("torn record: cut"),
            Self::SectorsMissing => Some("torn record: sectors missing"),
            Self::BitsFlipped => Some("torn record: bits flipped"),
        }
    }
}

/// A group of records.
#[derive(Default)]
pub struct Group {
    bytes: Vec<u8>,
    last: usize,
}

impl Group {
    /// As it is written.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut group = Self::default();
        for (number, record) in (0..).zip(records) {
            group.push(number, &payload(record));
        }
        group
    }

    fn push(&mut self, number: u64, payload: &[u8]) {
        self.last = self.bytes.len();
        self.bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(&checksum(number, payload));
        self.bytes.extend_from_slice(payload);
    }

    /// A crash while it is written.
    pub fn tear(&mut self, rng: &mut ChaCha8Rng) -> Tear {
        let length = self.bytes.len();
        let tear = [Tear::Whole, Tear::Nothing, Tear::Cut, Tear::SectorsMissing, Tear::BitsFlipped];
        let tear = tear.get(below(rng, tear.len())).copied().unwrap_or(Tear::Whole);
        match tear {
            Tear::Whole => {}
            Tear::Nothing => self.bytes.clear(),
            Tear::Cut => self.bytes.truncate(below(rng, length)),
            Tear::SectorsMissing => {
                for sector in self.bytes.chunks_mut(SECTOR_BYTES) {
                    if rng.next_u32().is_multiple_of(2) {
                        sector.fill(0);
                    }
                }
            }
            Tear::BitsFlipped => {
                for _ in 0..=below(rng, 8) {
                    let place = self.last + below(rng, length.saturating_sub(self.last));
                    if let Some(byte) = self.bytes.get_mut(place) {
                        *byte ^= 1 << below(rng, 8);
                    }
                }
            }
        }
        tear
    }

    /// How many records a scan finds: those before the first that is not whole.
    pub fn scan(&self) -> usize {
        let mut rest = self.bytes.as_slice();
        let mut found = 0;
        while let Some((head, behind)) = rest.split_first_chunk::<HEAD_BYTES>() {
            let Some((length, sum)) = head.split_first_chunk::<4>() else { break };
            let length = u32::from_be_bytes(*length) as usize;
            let Some((payload, next)) = behind.split_at_checked(length) else { break };
            if checksum(found as u64, payload) != sum {
                break;
            }
            found += 1;
            rest = next;
        }
        found
    }
}

fn checksum(number: u64, payload: &[u8]) -> [u8; 8] {
    let digest: [u8; 32] =
        Sha256::new().chain_update(number.to_be_bytes()).chain_update(payload).finalize().into();
    *digest.first_chunk().expect("32 bytes hold 8")
}

/// Bytes as many as the shell writes, or nearly: what is in them matters to the checksum only.
fn payload(record: &Record) -> Vec<u8> {
    use ordering::api::Record as Ordered;
    match record {
        Record::Ordering(Ordered::Wal { entry, .. }) => entry.to_vec(),
        Record::Ordering(Ordered::Chunk(chunk)) => chunk.bytes().to_vec(),
        Record::Ordering(Ordered::Decided(decided)) => {
            [&decided.cut_bytes[..], &decided.snapshot[..]].concat()
        }
        Record::Ordering(Ordered::Checkpoint(checkpoint)) => {
            [&checkpoint.snapshot[..], &checkpoint.context[..]].concat()
        }
        Record::CeremonySeed { seed: bytes, .. } | Record::KeyMaterial { material: bytes, .. } => {
            bytes.to_vec()
        }
        Record::SettleKey { key, .. } => key.key.as_bytes().to_vec(),
        Record::ForgetKeys { up_to } => up_to.get().to_be_bytes().to_vec(),
        Record::Handover(succession) => succession.signed.signature.as_bytes().to_vec(),
        Record::NonceBurn { key, value } => [key.as_slice(), value].concat(),
        Record::Certified { signature, .. } => signature.as_bytes().to_vec(),
        Record::Sealed(batch) => batch.encoded.payload.to_vec(),
        Record::Founded(founding) => founding.key.as_bytes().to_vec(),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    fn group() -> Group {
        let mut group = Group::default();
        for number in 0..20 {
            group.push(number, &[number as u8; 150]);
        }
        group
    }

    #[test]
    fn a_scan_ends_at_the_first_bad_record_whatever_stands_behind() {
        assert_eq!(group().scan(), 20);
        let record = HEAD_BYTES + 150;
        for place in 0..group().bytes.len() {
            let mut flipped = group();
            flipped.bytes[place] ^= 1;
            assert_eq!(flipped.scan(), place / record, "byte {place}");
            let mut cut = group();
            cut.bytes.truncate(place);
            assert_eq!(cut.scan(), place / record, "cut at {place}");
        }
    }

    #[test]
    fn every_tear_happens_and_takes_what_it_must() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen = std::collections::BTreeMap::<&str, usize>::new();
        for _ in 0..500 {
            let mut torn = group();
            let tear = torn.tear(&mut rng);
            let found = torn.scan();
            match tear {
                Tear::Whole => assert_eq!(found, 20),
                Tear::Nothing => assert_eq!(found, 0),
                Tear::BitsFlipped => assert!(found >= 19),
                Tear::Cut => assert!(found < 20),
                Tear::SectorsMissing => {}
            }
            *seen.entry(tear.fault().unwrap_or("none")).or_default() += 1;
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
    }
}
