//! The composition: what is ordered feeds founding, signing and sealing; what they say goes back into the log or to peers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use mpc::signing::BurnRecord;
use ordering::Ordering;
use ordering_types::cut::SystemMessage;
use ordering_types::preimage::Domain;
use ordering_types::{
    ChainSpec, Epoch, Height, Incarnation, SecretKey, SharedKey, Succession, Time, Transaction, TxId,
    ValidatorId,
};

use crate::anchor::{Anchor, AnchorError};
use crate::api::{
    Checkpoint, Class, Decided, EpochBook, EpochStart, Founding as Founded, Input, JobResult, LoggedBlock,
    Output, Peers, Recipient, Record, Recovered, UNCERTIFIED_WINDOW,
};
use crate::confirm::Confirmations;
use crate::entropy::Entropy;
use crate::evidence::Evidence;
use crate::filling::{self, Filling};
use crate::founding::{FOUNDING_EPOCH, Founding, FoundingEvent};
use crate::keyring::Keyring;
use crate::node::forced::Telling;
use crate::node::peers::PeersFrom;
use crate::node::registry::Sights;
use crate::node::seeds::Seeds;
use crate::planted::PlantedBug;
use crate::rotation::Rotation;
use crate::sealing::{MAX_OPEN_BATCHES, Sealing, SealingEvent, Ticket, Turn};
use crate::settings::{Config, Settings, StartError};
use crate::status::Status;
use crate::wire::{LogPayload, PeerMessage};

mod epochs;
mod forced;
mod keys;
mod peers;
mod registry;
mod seeds;

/// Why a transaction is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many batches wait for the committee's signature.
    #[error("{0} batches wait for their signature: try again when signing has caught up")]
    SigningBehind(usize),
    /// The ordering core's reason.
    #[error(transparent)]
    Ordering(#[from] ordering::SubmitError),
}

/// One node without its shell. See the [crate's documentation](crate).
pub struct NodeCore {
    spec: Arc<ChainSpec>,
    domain: Domain,
    me: ValidatorId,
    key: SecretKey,
    ordering: Ordering,
    incarnation: Incarnation,
    founding: Option<Founding>,
    founding_failed: Option<String>,
    founded: bool,
    settings: Settings,
    keys: Keyring,
    /// The epochs of the blocks that this node has told of, ascending; the last is the present one.
    epochs: VecDeque<EpochStart>,
    /// Handovers to them that the committee signed.
    handovers: BTreeMap<Epoch, Arc<Succession>>,
    /// Since when the present epoch may end, by the times of blocks.
    due_ms: Option<u64>,
    /// The next epoch, once its key is being made.
    rotation: Option<Rotation>,
    /// What the own L1 endpoint shows.
    sights: Sights,
    telling: Option<Telling>,
    filling: Filling,
    /// The epoch for which this node said to be ready.
    ready_for: Option<Epoch>,
    seeds: Seeds,
    /// The epoch of which this node told the key's public data.
    key_data_told: Option<Epoch>,
    peers: Arc<Peers>,
    peers_told_for: Option<PeersFrom>,
    sealing: Sealing,
    entropy: Entropy,
    confirmations: Confirmations,
    checkpoint: Option<Height>,
    outputs: VecDeque<Output>,
}

impl NodeCore {
    /// Starts from what the host found on disk. `entropy` is fresh from the operating system at every start.
    pub fn new(
        config: Config,
        key: SecretKey,
        entropy: [u8; 32],
        recovered: Recovered,
        now: Time,
    ) -> Result<Self, StartError> {
        let Config { spec, me, incarnation, settings } = config;
        spec.validate()?;
        let domain = spec.domain();
        let incarnation = Incarnation::new(incarnation);
        let settings_of_ordering = ordering::Settings {
            incarnation,
            // A share that is not stored yet follows from the seed and the log alone.
            replay_first: replays_founding(&recovered),
            ..settings.ordering
        };
        let tip = recovered.ordering.tip.as_ref().map(|tip| &tip.header);
        let confirmations = Confirmations::new(recovered.uncertified, tip);
        let ordering = Ordering::new(
            Arc::clone(&spec),
            settings_of_ordering,
            (me, key.clone()),
            recovered.ordering,
            now,
        )?;
        let book = ordering.epochs().clone();
        let ids = |start: &EpochStart| start.members.committee().ids().collect();
        let members = book.starts().map(|start| (start.epoch, ids(start))).collect();
        let mut node = Self {
            keys: Keyring::new(domain, me, key.clone(), settings.signing.clone()),
            domain,
            me,
            key,
            ordering,
            incarnation,
            founding: None,
            founding_failed: None,
            founded: recovered.founding.is_some(),
            settings,
            epochs: book.starts().cloned().collect(),
            handovers: recovered
                .handovers
                .into_iter()
                .map(|h| (h.signed.handover.next.epoch, Arc::new(h)))
                .collect(),
            due_ms: None,
            rotation: None,
            sights: Sights::default(),
            telling: None,
            filling: Filling::default(),
            ready_for: None,
            key_data_told: None,
            seeds: Seeds::recover(&recovered.ceremony_seeds)?,
            peers: Arc::default(),
            peers_told_for: None,
            sealing: Sealing::new(domain, me, members, recovered.last_sealed.as_ref()),
            entropy: Entropy::new(entropy),
            confirmations,
            checkpoint: None,
            outputs: VecDeque::new(),
            spec,
        };
        let burns: Vec<BurnRecord> =
            recovered.burns.iter().filter_map(|bytes| BurnRecord::from_bytes(bytes).ok()).collect();
        node.recover_keys(&recovered.key_material, recovered.founding.as_ref(), &burns, now)?;
        if !node.founded {
            node.begin_founding(&recovered.system_log, now)?;
        }
        node.recover_rotation(&book, &recovered.system_log, now)?;
        node.tell_peers();
        let sealed = node.sealing.sealed_height();
        node.ordering.handle(now, ordering::api::Input::Sealed(sealed));
        for block in recovered.unsealed {
            let events = node.sealing.on_block(block, false, now);
            node.on_sealing(events, now);
        }
        node.drain_parts(now);
        Ok(node)
    }

    /// Offers an admitted transaction to this node's lane.
    pub fn submit(&mut self, now: Time, transaction: Transaction) -> Result<TxId, SubmitError> {
        let open = self.sealing.open_batches();
        if open >= MAX_OPEN_BATCHES {
            return Err(SubmitError::SigningBehind(open));
        }
        let id = self.ordering.submit(now, transaction)?;
        self.drain_parts(now);
        Ok(id)
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Message { from, class: Class::Ceremony, bytes } => self.on_peer(from, &bytes, now),
            Input::Message { from, bytes, .. } => {
                self.ordering.handle(now, ordering::api::Input::Message { from, bytes });
            }
            Input::JobDone(result) => {
                let result = match result {
                    JobResult::Checked { id, .. } if self.settings.lacks(PlantedBug::BatchUnchecked) => {
                        JobResult::Checked { id, result: Ok(()) }
                    }
                    result => result,
                };
                let events = self.sealing.on_job(result);
                self.on_sealing(events, now);
            }
            Input::L1(sight) => self.on_sight(sight, now),
            Input::Queue(message) => self.on_queue(&message, now),
            Input::Wake => self.on_time(now),
        }
        self.drain_parts(now);
    }

    /// The next output, if any. The host drains all of them after each input.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the host should hand in [`Input::Wake`] at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        let confirmations = self.confirmations.next_deadline();
        let (sealing, keys) = (self.sealing.next_deadline(), self.keys.next_deadline());
        let others = [self.ordering.next_deadline(), sealing, keys, confirmations];
        others.into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Time) {
        self.ordering.handle(now, ordering::api::Input::Wake);
        let events = self.sealing.on_time(now);
        self.on_sealing(events, now);
        if let Some((height, hash)) = self.confirmations.take_due(now) {
            self.ask_block_signature(height, hash, now);
        }
        self.keys.tick(now);
    }

    fn on_peer(&mut self, from: ValidatorId, bytes: &[u8], now: Time) {
        let events = match PeerMessage::decode(bytes) {
            Ok(PeerMessage::Signing { key, bytes }) => return self.keys.hear(now, from, key, &bytes),
            Ok(PeerMessage::Encoding { number, attempt, encoded }) => {
                self.sealing.on_encoding(from, Turn { number, attempt }, encoded)
            }
            Ok(PeerMessage::WantSealed { number }) => self.sealing.on_want(from, number),
            Ok(PeerMessage::Sealed(batch)) => self.sealing.on_sealed(from, batch),
            Err(why) => {
                self.outputs.push_back(Output::PeerFault { peer: from, what: why.to_string() });
                return;
            }
        };
        self.on_sealing(events, now);
    }

    /// Moves what the parts have to say into the outputs until all are silent: ordering first, because its blocks give
    /// the others work.
    fn drain_parts(&mut self, now: Time) {
        loop {
            let mut busy = false;
            while let Some(output) = self.ordering.next_output() {
                busy = true;
                self.on_ordering(output, now);
            }
            while let Some(event) = self.keys.next_event() {
                busy = true;
                self.on_key_event(event, now);
            }
            if !busy {
                return;
            }
        }
    }

    fn send(&mut self, to: Recipient, class: Class, bytes: Bytes, after_sync: bool) {
        self.outputs.push_back(Output::Send { to, class, bytes, after_sync });
    }

    fn on_ordering(&mut self, output: ordering::api::Output, now: Time) {
        use ordering::api::Output as From;
        match output {
            From::Persist(record) => self.outputs.push_back(Output::Persist(Record::Ordering(record))),
            From::Send { to, class, bytes, after_sync } => self.send(to, class, bytes, after_sync),
            From::Decided(decided) => self.on_block(decided, now),
            From::Epoch(event) => self.on_epoch(event, now),
            From::JudgeCheckpoint(checkpoint) => {
                let genuine = self.genuine(&checkpoint).is_ok();
                self.ordering.handle(now, ordering::api::Input::CheckpointJudged(genuine));
            }
            From::Jumped(checkpoint) => self.on_jump(&checkpoint, now),
            From::Serve { to, request } => self.outputs.push_back(Output::Serve { to, request }),
            From::Evidence(ordering::api::Evidence { first, second, .. }) => {
                self.show(Evidence::Votes { first, second });
            }
            From::Fatal(why) => self.outputs.push_back(Output::Fatal(why)),
        }
    }

    /// What a block's system messages, and its time, mean for the making of keys.
    fn on_log(&mut self, messages: &[SystemMessage], time_ms: u64, now: Time) {
        if let Some(founding) = &mut self.founding {
            let events = founding.on_time(time_ms);
            self.on_founding(events, now);
        }
        if let Some(rotation) = &mut self.rotation {
            let events = rotation.on_time(time_ms);
            self.on_rotation(events, now);
        }
        for SystemMessage { sender, payload, .. } in messages {
            match LogPayload::decode(payload) {
                Some(payload) => self.on_logged(time_ms, *sender, &payload, now),
                None => {
                    let what = "an unknown system message".to_owned();
                    self.outputs.push_back(Output::PeerFault { peer: *sender, what });
                }
            }
        }
    }

    /// Proposes to end batches where their blobs are full.
    fn fill_blobs(&mut self, now: Time) {
        let limits = &self.spec.limits;
        let most = limits.blob_bytes_per_batch.saturating_sub(limits.blob_bytes_per_block);
        let full = self.filling.full_at(most.into());
        self.ordering.handle(now, ordering::api::Input::BlobsFullAt(full));
    }

    fn on_logged(&mut self, time_ms: u64, sender: ValidatorId, payload: &LogPayload<'_>, now: Time) {
        if let Some(founding) = &mut self.founding {
            let events = founding.on_logged(time_ms, sender, payload);
            self.on_founding(events, now);
        }
        match payload {
            LogPayload::Ceremony(bytes) => {
                if let Some(rotation) = &mut self.rotation {
                    let events = rotation.on_ceremony(time_ms, sender, bytes);
                    self.on_rotation(events, now);
                }
            }
            LogPayload::Handover { epoch, signature } => self.on_logged_handover(*epoch, *signature, now),
            LogPayload::EpochVote(vote) => self.on_logged_vote(vote, now),
            // The founding counts the ones, and ordering the others.
            LogPayload::FoundingVote { .. }
            | LogPayload::L1Report(_)
            | LogPayload::Registry(_)
            | LogPayload::Forced(_)
            | LogPayload::Ready { .. }
            | LogPayload::KeyData { .. } => {}
        }
    }

    /// Everything that follows from a decided block, in one place.
    fn on_block(&mut self, decided: Arc<Decided>, now: Time) {
        let header = &decided.block.header;
        let (height, hash, time_ms) = (header.height, header.hash(), header.time_ms);
        self.on_log(&decided.cut.system, header.time_ms, now);
        let block = Arc::new(decided.block.clone());
        self.outputs.push_back(Output::Ordered(decided));
        // Of what is long past, the committee has signed blocks and batches already.
        let past = self.ordering.heard_height().get() > height.get().saturating_add(UNCERTIFIED_WINDOW);
        if let Some(given_up) = self.confirmations.on_block(&block.header, hash, past, now) {
            self.forget_blocks(given_up.next(), now);
        }
        let events = self.sealing.on_block(block, past, now);
        self.on_sealing(events, now);
        self.watch_l1(time_ms, now);
        self.say_ready(now);
        self.tell_key_data(now);
        self.tell_peers();
    }

    /// Ordering went on after a checkpoint that was found genuine; so do the other parts.
    fn on_jump(&mut self, checkpoint: &Checkpoint, now: Time) {
        let Ok(Anchor { founding, batch, handovers, .. }) = Anchor::decode(&checkpoint.context) else {
            return;
        };
        let Some(book) = EpochBook::of_snapshot(&checkpoint.snapshot) else { return };
        let height = checkpoint.header.height;
        self.checkpoint = Some(height);
        self.confirmations.jump(&checkpoint.header);
        self.sealing.go_on_after(&batch);
        self.ordering.handle(now, ordering::api::Input::Sealed(height));
        self.forget_blocks(height.next(), now);
        let below = Ticket::first(batch.number + 1).to_session();
        self.keys.forget(now, keys::ITEM_BATCH, below);
        if !self.founded {
            // Whatever the ceremony still had to say, it completed without this node's disk.
            self.founding = None;
            self.on_founded(founding, now);
        }
        self.jump_epochs(&book, handovers, now);
        self.tell_peers();
    }

    fn genuine(&self, checkpoint: &Checkpoint) -> Result<Anchor, AnchorError> {
        let anchor = Anchor::decode(&checkpoint.context)?;
        let known = self.epochs.iter().filter_map(|start| Some((start.epoch, start.key?.key))).collect();
        anchor.check(checkpoint, &self.domain, &self.spec.committee(), known)?;
        Ok(anchor)
    }

    fn begin_founding(&mut self, log: &[LoggedBlock], now: Time) -> Result<(), StartError> {
        let is_founder = self.spec.committee().key(self.me).is_some();
        let seed = is_founder.then(|| self.seed_of(FOUNDING_EPOCH));
        let part = seed.map(|seed| (self.key.clone(), *seed));
        let mut founding = Founding::new(&self.spec, self.me, part)?;
        let events = founding.start(log);
        self.founding = Some(founding);
        self.on_founding(events, now);
        Ok(())
    }

    fn on_founding(&mut self, events: Vec<FoundingEvent>, now: Time) {
        for event in events {
            match event {
                FoundingEvent::Publish(payload) => self.publish(payload, now),
                FoundingEvent::Share(material) => self.take_share((FOUNDING_EPOCH, 0), &material, now),
                FoundingEvent::Founded(founding) => self.on_founded(founding, now),
                FoundingEvent::Fault { peer, what } => {
                    self.outputs.push_back(Output::PeerFault { peer, what });
                }
                FoundingEvent::Failed(why) => self.founding_failed = Some(why),
            }
        }
    }

    fn on_founded(&mut self, founding: Founded, now: Time) {
        let founding = Arc::new(founding);
        self.founded = true;
        self.know_key(FOUNDING_EPOCH, SharedKey::fresh(founding.key), now);
        self.outputs.push_back(Output::Persist(Record::Founded(Arc::clone(&founding))));
        self.outputs.push_back(Output::Founded(founding));
        self.vote(now);
    }

    fn on_sealing(&mut self, events: Vec<SealingEvent>, now: Time) {
        for event in events {
            match event {
                SealingEvent::Job(job) => self.outputs.push_back(Output::Job(job)),
                SealingEvent::Broadcast(epoch, message) => {
                    self.send_to_epoch(epoch, message.encode());
                }
                SealingEvent::Send(to, message) => {
                    self.send(Recipient::One(to), Class::Ceremony, message.encode(), false);
                }
                SealingEvent::Serve { to, number } => {
                    self.outputs.push_back(Output::ServeSealed { to, number });
                }
                SealingEvent::Sign { epoch, ticket, digest } => {
                    self.keys.sign(now, epoch, keys::batch(ticket), digest);
                }
                SealingEvent::Sealed(batch, blocks) => {
                    self.ordering.handle(now, ordering::api::Input::Sealed(self.sealing.sealed_height()));
                    let raw = filling::raw_bytes(blocks.iter().map(AsRef::as_ref), &self.spec);
                    self.filling.note(raw, batch.encoded.payload.len() as u64);
                    self.fill_blobs(now);
                    let below = Ticket::first(self.sealing.last_sealed() + 1).to_session();
                    self.keys.forget(now, keys::ITEM_BATCH, below);
                    self.outputs.push_back(Output::Persist(Record::Sealed(Arc::clone(&batch))));
                    self.outputs.push_back(Output::Sealed(batch));
                }
                SealingEvent::Fault { peer, what } => {
                    self.outputs.push_back(Output::PeerFault { peer, what });
                }
            }
        }
    }

    fn founding_stage(&self) -> String {
        if self.founded && !self.holds_share() {
            return "founded, but this node's key share is not on its disk: it orders and votes, and signs no blocks or \
                    batches in this epoch"
                .to_owned();
        }
        match (&self.founding_failed, &self.founding) {
            (Some(why), _) => format!("failed: {why}"),
            (None, Some(founding)) => founding.stage(),
            (None, None) => "founded".to_owned(),
        }
    }

    /// What an operator wants to know.
    pub fn status(&self) -> Status {
        Status {
            validator: self.me,
            height: self.ordering.applied_height(),
            heard_height: self.ordering.heard_height(),
            checkpoint: self.checkpoint,
            epoch: self.present().epoch,
            round: self.ordering.round(),
            proposer: self.ordering.proposer(),
            committee: self.ordering.committee().ids().collect(),
            syncing: self.ordering.is_syncing(),
            silence: self.ordering.silence().map(|silence| silence.to_string()),
            certified_height: self.confirmations.signed(),
            key_ready: self.holds_share(),
            founded: self.founded,
            founding: self.founding_stage(),
            group_key: self.keys.key(self.present().epoch),
            next_key: self.rotation.as_ref().map(Rotation::stage),
            open_batches: self.sealing.open_batches(),
            open_bytes: self.sealing.open_bytes(),
            last_sealed: self.sealing.last_sealed(),
        }
    }
}

/// Whether this node must see old blocks: its share of the first key is in them alone.
fn replays_founding(recovered: &Recovered) -> bool {
    recovered.founding.is_none()
        && recovered.ceremony_seeds.contains_key(&FOUNDING_EPOCH)
        && !recovered.key_material.contains_key(&FOUNDING_EPOCH)
}
