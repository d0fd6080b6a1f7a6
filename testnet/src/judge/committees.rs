//! Whether committees follow the registry on L1.

use std::collections::{BTreeMap, BTreeSet};

use ordering_types::handover::address_hash;
use ordering_types::{Address, Digest};

use super::list;
use crate::layout::{FEWEST, Size};
use crate::report::Check;

/// What chance alone may break, it breaks in less than one of so many runs; else it is told, and not judged.
const RARELY: f64 = 1e9;
/// Epochs after the first that was looked at, in which who has just joined may still be missed: its registration must be final, agreed on
/// and followed by the node's word that it is ready.
const SETTLING: u64 = 2;

/// What is known of the committees.
#[derive(Debug)]
pub struct Committees {
    /// How many nodes are what.
    pub size: Size,
    /// Those who joined before the load, and were left in peace since.
    pub newcomers: BTreeSet<u16>,
    /// Each epoch's members, as nodes told while the load ran.
    pub told: BTreeMap<u64, Vec<u16>>,
    /// The hash of each epoch's committee, as L1 has it.
    pub on_l1: BTreeMap<u64, Digest>,
    /// Each epoch's key, as L1 has it, by its x coordinate.
    pub keys: BTreeMap<u64, [u8; 32]>,
    /// Whether they are to be one.
    pub keeps_key: bool,
    /// The address of each validator's key, as the registry has it.
    pub registry: BTreeMap<u16, Address>,
}

impl Committees {
    pub(super) fn checks(&self) -> Vec<Check> {
        let mut checks = vec![self.known_to_l1(), self.keyed()];
        checks.extend((!self.newcomers.is_empty()).then(|| self.open_to_newcomers()));
        checks
    }

    /// What the genesis file says of the key is what L1 saw.
    fn keyed(&self) -> Check {
        let different: BTreeSet<&[u8; 32]> = self.keys.values().collect();
        let found = format!("{} handovers, {} keys", self.keys.len(), different.len());
        let (name, expected) = match self.keeps_key {
            true => ("the key on L1 stays", self.keys.len().min(1)),
            false => ("each handover on L1 is to another key", self.keys.len()),
        };
        Check::new(name, different.len() == expected, found)
    }

    /// L1 has hashes only: whoever says who the members are must have them right.
    fn known_to_l1(&self) -> Check {
        let common: Vec<(u64, &Digest, &Vec<u16>)> = self
            .on_l1
            .iter()
            .filter_map(|(epoch, hash)| Some((*epoch, hash, self.told.get(epoch)?)))
            .collect();
        let wrong = common.iter().filter_map(|(epoch, hash, members)| {
            let sizes = usize::from(FEWEST)..=usize::from(self.size.committee.max(FEWEST));
            let named = self.hash(members);
            let what = if !sizes.contains(&members.len()) {
                format!("{} members", members.len())
            } else if named.is_none() {
                "members that are not in the registry".to_owned()
            } else if named != Some(**hash) {
                "others than L1".to_owned()
            } else {
                return None;
            };
            Some(format!("epoch {epoch}: nodes name {members:?}, {what}"))
        });
        let wrong: Vec<String> = wrong.collect();
        let different: BTreeSet<&Vec<u16>> = self.told.values().collect();
        let held = wrong.is_empty() && (!common.is_empty() || self.on_l1.is_empty());
        let found = if wrong.is_empty() {
            format!("{} epochs alike; {} different committees", common.len(), different.len())
        } else {
            list(&wrong)
        };
        Check::new("committees are validators of the registry, as L1 and the nodes name them", held, found)
    }

    fn hash(&self, members: &[u16]) -> Option<Digest> {
        let addresses: Option<Vec<&Address>> = members.iter().map(|id| self.registry.get(id)).collect();
        addresses.map(|addresses| address_hash(addresses.into_iter()))
    }

    fn open_to_newcomers(&self) -> Check {
        let members: BTreeSet<u16> = self.told.values().flatten().copied().collect();
        let seen: Vec<String> = members.intersection(&self.newcomers).map(ToString::to_string).collect();
        let one_in = self.one_run_in();
        let held = !seen.is_empty() || one_in < RARELY;
        let found = if seen.is_empty() {
            format!("none was; by chance that happens in one of {one_in:.0} runs")
        } else {
            format!("{} of {} were: {}", seen.len(), self.newcomers.len(), seen.join(", "))
        };
        Check::new("validators that joined become members of the committee", held, found)
    }

    /// In how many runs chance leaves all newcomers out of all draws once, if all validators are ready: with fewer, they are drawn sooner.
    fn one_run_in(&self) -> f64 {
        let first = self.told.keys().next().copied().unwrap_or_default();
        let draws = self.told.keys().filter(|epoch| **epoch > first + SETTLING).count();
        let newcomers = f64::from(u16::try_from(self.newcomers.len()).unwrap_or(u16::MAX));
        let all = f64::from(self.size.registered);
        // The chance that each place goes to somebody else.
        let places = 0..self.size.committee.min(self.size.registered);
        let without: f64 =
            places.map(f64::from).map(|taken| (all - newcomers - taken).max(0.0) / (all - taken)).product();
        without.powi(i32::try_from(draws).unwrap_or(i32::MAX)).recip()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(id: u16) -> Address {
        Address::new([u8::try_from(id).unwrap(); 20])
    }

    fn committees(size: Size, told: &[&[u16]]) -> Committees {
        let told: BTreeMap<u64, Vec<u16>> = (0..).zip(told.iter().map(|members| members.to_vec())).collect();
        let registry: BTreeMap<u16, Address> = (1..=size.registered).map(|id| (id, address(id))).collect();
        let hash = |members: &Vec<u16>| {
            let all: Vec<Address> = members.iter().map(|id| address(*id)).collect();
            address_hash(all.iter())
        };
        let on_l1 = told.iter().skip(1).map(|(epoch, members)| (*epoch, hash(members))).collect();
        let key = |epoch: &u64| [u8::try_from(*epoch).unwrap(); 32];
        let keys = told.keys().skip(1).map(|epoch| (*epoch, key(epoch))).collect();
        let newcomers = size.newcomers().collect();
        Committees { size, newcomers, told, on_l1, keys, keeps_key: false, registry }
    }

    impl Committees {
        fn tell(&mut self, epoch: u64, members: &[u16]) {
            self.told.insert(epoch, members.to_vec());
        }
    }

    const SEVEN: Size = Size { founders: 4, registered: 7, committee: 4 };

    fn held(committees: &Committees) -> Vec<bool> {
        committees.checks().iter().map(|check| check.held).collect()
    }

    #[test]
    fn a_newcomer_that_was_a_member_once_is_enough() {
        assert_eq!(held(&committees(SEVEN, &[&[1, 2, 3, 4], &[1, 2, 3, 7]])), [true, true, true]);
    }

    #[test]
    fn that_none_ever_is_may_be_chance_at_first_and_not_for_long() {
        let founders: &[u16] = &[1, 2, 3, 4];
        assert_eq!(held(&committees(SEVEN, &[founders; 4])), [true, true, true]);
        assert_eq!(held(&committees(SEVEN, &[founders; 12])), [true, true, false]);
        // One of five is left out in every fifth draw.
        let five = Size { registered: 5, ..SEVEN };
        assert_eq!(held(&committees(five, &[founders; 12])), [true, true, true]);
        // There is a place for everybody.
        let all = Size { committee: 7, ..SEVEN };
        assert_eq!(held(&committees(all, &[founders; 4])), [true, true, false]);
        let mut disturbed = committees(SEVEN, &[founders; 12]);
        disturbed.newcomers.clear();
        assert_eq!(held(&disturbed), [true, true]);
    }

    #[test]
    fn keys_change_or_stay_as_the_genesis_file_says() {
        let mut committees = committees(SEVEN, &[&[1, 2, 3, 4][..]; 4]);
        let keyed = |committees: &Committees| committees.keyed().held;
        assert!(keyed(&committees));
        committees.keeps_key = true;
        assert!(!keyed(&committees));
        committees.keys.values_mut().for_each(|key| *key = [1; 32]);
        assert!(keyed(&committees));
        committees.keeps_key = false;
        assert!(!keyed(&committees));
        committees.keys.clear();
        assert!(keyed(&committees), "nothing was handed over yet");
    }

    #[test]
    fn strangers_too_many_and_others_than_l1_names_are_found() {
        let wrong = |change: fn(&mut Committees)| {
            let mut committees = committees(SEVEN, &[&[1, 2, 3, 4], &[1, 2, 3, 7]]);
            change(&mut committees);
            committees.checks().first().is_some_and(|check| !check.held)
        };
        assert!(wrong(|all| all.tell(1, &[1, 2, 3, 5])));
        assert!(wrong(|all| all.registry.retain(|id, _| *id != 7)));
        assert!(wrong(|all| all.tell(1, &[1, 2, 3, 4, 7])));
        assert!(wrong(|all| all.tell(1, &[1, 2, 7])));
        assert!(wrong(|all| all.told.retain(|epoch, _| *epoch != 1)));
    }
}
