//! System messages: what validators say to the whole committee through the ordered log.
//!
//! A sender counts its messages; a cut takes them in order, each number once. The sender keeps a message and sends it again until a
//! decided cut has it. If another message took its number (one signed before a crash, say), it is signed again
//! under the next free number, so nothing a validator wants to say is lost.

use std::collections::{BTreeMap, VecDeque};

use ordering_types::cut::{MAX_CUT_SYSTEM_MESSAGES, MAX_SYSTEM_MESSAGE_BYTES};
use ordering_types::preimage::Domain;
use ordering_types::{PublicKey, SecretKey, SystemMessage, ValidatorId};

/// Most bytes of payload in one cut.
pub(crate) const MAX_SYSTEM_BYTES_PER_CUT: usize = 2 << 20;
/// Most messages of one sender that a proposer puts into one cut.
const PER_SENDER_PER_CUT: usize = 16;
/// Messages of one sender that are kept: so far may its numbers run ahead of the log.
const PENDING_PER_SENDER: u64 = 32;
/// Most own messages that wait.
const MAX_OWN: usize = 1_024;

/// Pending system messages.
#[derive(Debug)]
pub(crate) struct SystemLog {
    me: ValidatorId,
    domain: Domain,
    own: VecDeque<SystemMessage>,
    pending: BTreeMap<ValidatorId, BTreeMap<u64, SystemMessage>>,
}

impl SystemLog {
    pub(crate) const fn new(me: ValidatorId, domain: Domain) -> Self {
        Self { me, domain, own: VecDeque::new(), pending: BTreeMap::new() }
    }

    /// Signs a payload of our own; `None` if it is over its limit or too many wait.
    pub(crate) fn say(&mut self, payload: Vec<u8>, decided: u64, key: &SecretKey) -> Option<SystemMessage> {
        if payload.len() > MAX_SYSTEM_MESSAGE_BYTES || self.own.len() >= MAX_OWN {
            return None;
        }
        let last = self.own.back().map_or(decided, |m| m.sequence.max(decided));
        let message = SystemMessage::sign(&self.domain, self.me, last + 1, payload, key);
        self.own.push_back(message.clone());
        Some(message)
    }

    /// Takes a peer's message; `false` if it is none of `from`'s.
    pub(crate) fn receive(
        &mut self,
        from: ValidatorId,
        message: SystemMessage,
        decided: u64,
        key: &PublicKey,
    ) -> bool {
        if message.sender != from {
            return false;
        }
        let near = message.sequence > decided && message.sequence - decided <= PENDING_PER_SENDER;
        if !near || self.knows(&message) {
            return true;
        }
        if !message.verify(&self.domain, key) {
            return false;
        }
        self.pending.entry(from).or_default().insert(message.sequence, message);
        true
    }

    /// Whether this very message was verified, or signed here.
    pub(crate) fn knows(&self, message: &SystemMessage) -> bool {
        if message.sender == self.me {
            return self.own.contains(message);
        }
        self.pending.get(&message.sender).and_then(|m| m.get(&message.sequence)) == Some(message)
    }

    /// What a cut may take now: of each sender what follows its decided number without a gap, as many as it `may` say.
    pub(crate) fn ready(
        &self,
        decided: &BTreeMap<ValidatorId, u64>,
        may: impl Fn(ValidatorId) -> usize,
    ) -> Vec<SystemMessage> {
        let mut ready: Vec<SystemMessage> = Vec::new();
        let mut bytes = 0;
        let own = (self.me, self.own.iter().collect::<Vec<_>>());
        let others = self.pending.iter().map(|(id, m)| (*id, m.values().collect()));
        let mut senders: Vec<(ValidatorId, Vec<&SystemMessage>)> = others.collect();
        senders.push(own);
        senders.sort_by_key(|(id, _)| *id);
        for (sender, messages) in senders {
            let first = decided.get(&sender).copied().unwrap_or_default() + 1;
            for (next, message) in
                (first..).zip(messages.into_iter().take(PER_SENDER_PER_CUT.min(may(sender))))
            {
                if message.sequence != next || ready.len() >= MAX_CUT_SYSTEM_MESSAGES {
                    break;
                }
                bytes += message.payload.len();
                if bytes > MAX_SYSTEM_BYTES_PER_CUT {
                    return ready;
                }
                ready.push(message.clone());
            }
        }
        ready
    }

    /// Drops what was just decided, and what is of those who may not speak any more. Answers own messages that were signed again and must be sent.
    pub(crate) fn decided(
        &mut self,
        newest: &[SystemMessage],
        decided: &BTreeMap<ValidatorId, u64>,
        speaks: impl Fn(ValidatorId) -> bool,
        key: &SecretKey,
    ) -> Vec<SystemMessage> {
        self.pending.retain(|sender, _| speaks(*sender));
        for (sender, messages) in &mut self.pending {
            let last = decided.get(sender).copied().unwrap_or_default();
            *messages = messages.split_off(&(last + 1));
        }
        self.own.retain(|mine| !newest.contains(mine));
        let last = decided.get(&self.me).copied().unwrap_or_default();
        let mut again = Vec::new();
        if self.own.front().is_some_and(|first| first.sequence <= last) {
            let payloads: Vec<_> = self.own.drain(..).map(|m| m.payload).collect();
            for (next, payload) in (last + 1..).zip(payloads) {
                let message = SystemMessage::sign(&self.domain, self.me, next, payload, key);
                self.own.push_back(message.clone());
                again.push(message);
            }
        }
        again
    }

    /// Own messages that peers may take now.
    pub(crate) fn to_send(&self) -> impl Iterator<Item = &SystemMessage> {
        self.own.iter().take(PENDING_PER_SENDER as usize)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use ordering_types::{Address, Cut, Digest, Epoch, Height, L1Reference};

    use super::*;

    const ME: ValidatorId = ValidatorId::new(1);

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes([n; 32]).unwrap()
    }

    fn domain() -> Domain {
        Domain { l1_chain_id: 1, inbox: Address::new([0; 20]) }
    }

    fn cut(system: Vec<SystemMessage>) -> Cut {
        Cut {
            height: Height::new(1),
            epoch: Epoch::new(0),
            parent: Digest::ZERO,
            parent_commit: None,
            time_ms: 0,
            l1_reference: L1Reference::default(),
            seals_batch: false,
            tips: vec![],
            system,
        }
    }

    #[test]
    fn a_number_taken_by_an_older_message_makes_the_newer_sign_again() {
        // Signed before a crash, and decided after the restart in which another took its number.
        let before_crash = SystemMessage::sign(&domain(), ME, 1, b"old".to_vec(), &key(1));
        let mut log = SystemLog::new(ME, domain());
        log.say(b"new".to_vec(), 0, &key(1)).unwrap();
        let again =
            log.decided(&cut(vec![before_crash]).system, &BTreeMap::from([(ME, 1)]), |_| true, &key(1));
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].sequence, again[0].payload.as_slice()), (2, b"new".as_slice()));
        assert_eq!(log.ready(&BTreeMap::from([(ME, 1)]), |_| 9), again);
    }

    #[test]
    fn only_messages_without_a_gap_are_ready_and_strangers_are_refused() {
        let of_peer = &key(2).public_key();
        let peer = ValidatorId::new(2);
        let sign = |sequence| SystemMessage::sign(&domain(), peer, sequence, vec![7], &key(2));
        let mut log = SystemLog::new(ME, domain());
        assert!(log.receive(peer, sign(2), 0, of_peer));
        assert_eq!(log.ready(&BTreeMap::new(), |_| 9), vec![]);
        assert!(log.receive(peer, sign(1), 0, of_peer));
        assert_eq!(log.ready(&BTreeMap::new(), |_| 9), vec![sign(1), sign(2)]);
        assert!(!log.receive(ME, sign(3), 0, of_peer), "not the sender's own");
        let forged = SystemMessage::sign(&domain(), peer, 3, vec![7], &key(1));
        assert!(!log.receive(peer, forged, 0, of_peer));
        assert!(log.receive(peer, sign(1_000), 0, of_peer), "too far ahead: dropped, no fault");
        assert_eq!(log.ready(&BTreeMap::new(), |_| 9).len(), 2);
    }
}
