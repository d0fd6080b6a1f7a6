//! The composition: what is ordered feeds founding, signing and sealing; what they say goes back into the log or to peers.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use mpc::signing::{BootId, BurnRecord, Fault, FaultKind, ItemId, NonceSeed, Signing};
use mpc::{KeyMaterial, MemberId};
use ordering::Ordering;
use ordering_types::cut::SystemMessage;
use ordering_types::preimage::Domain;
use ordering_types::{
    ChainSpec, Digest, Epoch, GroupKey, GroupSignature, Height, Incarnation, SecretKey, Signature, Time,
    Transaction, TxId, ValidatorId,
};
use zeroize::Zeroizing;

use crate::anchor::{Anchor, AnchorError};
use crate::api::{
    Checkpoint, Class, Decided, Founding as Founded, Input, JobResult, LoggedBlock, Output, Recipient,
    Record, Recovered, UNCERTIFIED_WINDOW,
};
use crate::confirm::Confirmations;
use crate::entropy::Entropy;
use crate::evidence::{Evidence, WrongShare};
use crate::founding::{FOUNDING_EPOCH, Founding, FoundingEvent};
use crate::identity::Vouching;
use crate::key_material;
use crate::planted::PlantedBug;
use crate::sealing::{MAX_OPEN_BATCHES, Sealing, SealingEvent, Ticket, Turn};
use crate::settings::{Config, Settings, StartError};
use crate::status::Status;
use crate::wire::PeerMessage;
use crate::witness::{Heard, Witness};

/// Kinds of items in the signing machine. Its numbers mean what these say.
const ITEM_BLOCK: u8 = 1;
const ITEM_BATCH: u8 = 2;

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
    signing: Option<Signing>,
    /// Instead, where the key is known and no share of it is held.
    witness: Option<Witness>,
    group_key: Option<GroupKey>,
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
        let committee = spec.committee();
        if committee.key(me) != Some(&key.public_key()) {
            return Err(StartError::NotAMember(me));
        }
        let domain = spec.domain();
        let members = committee.ids().collect();
        // A share that is not stored yet follows from the seed and the log alone.
        let replay_first = recovered.ceremony_seed.is_some()
            && recovered.key_material.is_none()
            && recovered.founding.is_none();
        let tip = recovered.ordering.tip.as_ref().map(|tip| &tip.header);
        let confirmations = Confirmations::new(recovered.uncertified, tip);
        let incarnation = Incarnation::new(incarnation);
        let choices = ordering::Settings { incarnation, replay_first, ..settings.ordering };
        let ordering = Ordering::new(Arc::clone(&spec), choices, key.clone(), recovered.ordering, now)?;
        let mut node = Self {
            domain,
            me,
            key,
            ordering,
            incarnation,
            founding: None,
            founding_failed: None,
            founded: recovered.founding.is_some(),
            settings,
            signing: None,
            witness: None,
            group_key: None,
            sealing: Sealing::new(domain, me, members, recovered.last_sealed.as_ref()),
            entropy: Entropy::new(entropy),
            confirmations,
            checkpoint: None,
            outputs: VecDeque::new(),
            spec,
        };
        if let Some(bytes) = recovered.key_material {
            let material =
                key_material::decode(&bytes).map_err(|e| StartError::KeyMaterial(e.to_string()))?;
            node.install_key(&material, &recovered.burns, now);
        }
        if let Some(founding) = &recovered.founding {
            node.know_key(founding.key, now);
        }
        if !node.founded {
            node.begin_founding(recovered.ceremony_seed, &recovered.system_log, now)?;
        }
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
        let signing = self.signing.as_ref().and_then(Signing::next_deadline).map(from_mpc);
        let confirmations = self.confirmations.next_deadline();
        let others = [self.ordering.next_deadline(), self.sealing.next_deadline(), signing, confirmations];
        others.into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Time) {
        self.ordering.handle(now, ordering::api::Input::Wake);
        let events = self.sealing.on_time(now);
        self.on_sealing(events, now);
        if let Some((height, hash)) = self.confirmations.take_due(now) {
            self.ask_block_signature(height, hash, now);
        }
        self.sign_with(now, mpc::signing::Input::Tick);
    }

    fn on_peer(&mut self, from: ValidatorId, bytes: &[u8], now: Time) {
        let events = match PeerMessage::decode(bytes) {
            Ok(PeerMessage::Signing(bytes)) if self.signing.is_none() => {
                return self.bear_witness(from, &bytes, now);
            }
            Ok(PeerMessage::Signing(bytes)) => {
                let Some(from) = MemberId::new(from.get()) else { return };
                self.sign_with(now, mpc::signing::Input::Message { from, bytes: bytes.to_vec() });
                return;
            }
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
            while let Some(output) = self.signing.as_mut().and_then(Signing::next_output) {
                busy = true;
                self.on_signing(output, now);
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

    /// What a block's system messages, and its time, mean for the founding.
    fn on_log(&mut self, messages: &[SystemMessage], time_ms: u64, now: Time) {
        let Some(founding) = &mut self.founding else { return };
        let mut events = founding.on_time(time_ms);
        for SystemMessage { sender, payload, .. } in messages {
            events.extend(founding.on_logged(time_ms, *sender, payload));
        }
        self.on_founding(events, now);
    }

    /// Everything that follows from a decided block, in one place.
    fn on_block(&mut self, decided: Arc<Decided>, now: Time) {
        let header = &decided.block.header;
        let (height, hash) = (header.height, header.hash());
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
    }

    /// Ordering went on after a checkpoint that was found genuine; so do the other parts.
    fn on_jump(&mut self, checkpoint: &Checkpoint, now: Time) {
        let Ok(Anchor { founding, batch, .. }) = Anchor::decode(&checkpoint.context) else { return };
        let height = checkpoint.header.height;
        self.checkpoint = Some(height);
        self.confirmations.jump(&checkpoint.header);
        self.sealing.go_on_after(&batch);
        self.ordering.handle(now, ordering::api::Input::Sealed(height));
        self.forget_blocks(height.next(), now);
        let below = Ticket::first(batch.number + 1).to_session();
        self.forget_items(ITEM_BATCH, below, now);
        if !self.founded {
            // Whatever the ceremony still had to say, it completed without this node's disk.
            self.founding = None;
            self.on_founded(founding, now);
        }
    }

    fn genuine(&self, checkpoint: &Checkpoint) -> Result<Anchor, AnchorError> {
        let anchor = Anchor::decode(&checkpoint.context)?;
        anchor.check(&checkpoint.header, &self.domain, self.ordering.committee())?;
        Ok(anchor)
    }

    fn begin_founding(
        &mut self,
        stored: Option<Zeroizing<Vec<u8>>>,
        log: &[LoggedBlock],
        now: Time,
    ) -> Result<(), StartError> {
        let seed = match stored {
            Some(bytes) => Zeroizing::new(
                <[u8; 32]>::try_from(bytes.as_slice())
                    .map_err(|_| StartError::Ceremony("the stored seed has not 32 bytes".to_owned()))?,
            ),
            None => {
                let seed = self.entropy.draw(b"ceremony seed");
                self.outputs.push_back(Output::Persist(Record::CeremonySeed(Zeroizing::new(seed.to_vec()))));
                seed
            }
        };
        let mut founding = Founding::new(&self.spec, self.me, self.key.clone(), *seed)?;
        let events = founding.start(log);
        self.founding = Some(founding);
        self.on_founding(events, now);
        Ok(())
    }

    fn on_founding(&mut self, events: Vec<FoundingEvent>, now: Time) {
        for event in events {
            match event {
                FoundingEvent::Publish(payload) => {
                    self.ordering.handle(now, ordering::api::Input::System(payload));
                }
                FoundingEvent::Share(material) => {
                    if self.signing.is_none() {
                        let bytes = key_material::encode(&material);
                        self.outputs.push_back(Output::Persist(Record::KeyMaterial(bytes)));
                        self.install_key(&material, &[], now);
                    }
                }
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
        self.know_key(founding.key, now);
        self.outputs.push_back(Output::Persist(Record::Founded(Arc::clone(&founding))));
        self.outputs.push_back(Output::Founded(founding));
    }

    /// The committee's key: with it alone a node can check what the others sign, and encode batches for them.
    fn know_key(&mut self, key: GroupKey, now: Time) {
        if self.group_key.is_none() {
            self.group_key = Some(key);
            self.witness = Some(Witness::new(key, FOUNDING_EPOCH.get()));
            let events = self.sealing.key_ready(key, now);
            self.on_sealing(events, now);
        }
    }

    /// From now on this node can sign: blocks that wait, and batches that wait. `burns` are the nonces used before a
    /// restart: their items keep their digests.
    fn install_key(&mut self, material: &KeyMaterial, burns: &[Vec<u8>], now: Time) {
        let key =
            GroupKey::from_bytes(material.public().key()).expect("key material holds a valid group key");
        self.group_key = Some(key);
        let mut boot = [0; 16];
        let (start, random) = boot.split_at_mut(8);
        start.copy_from_slice(&self.incarnation.get().to_be_bytes());
        random.copy_from_slice(self.entropy.draw(b"boot id").first_chunk::<8>().expect("32 bytes hold 8"));
        let boot = BootId(boot);
        let nonces = NonceSeed::new(*self.entropy.draw(b"nonces"));
        let identity = Vouching::new(self.domain, FOUNDING_EPOCH, material.public(), self.key.clone());
        let config = self.settings.signing.clone();
        let mut signing = Signing::new(config, material, Box::new(identity), boot, nonces);
        burns
            .iter()
            .filter_map(|bytes| BurnRecord::from_bytes(bytes).ok())
            .for_each(|burn| signing.pin(&burn));
        (self.signing, self.witness) = (Some(signing), None);
        self.sign_with(now, mpc::signing::Input::Tick);
        if let Some((height, hash)) = self.confirmations.newest() {
            self.ask_block_signature(height, hash, now);
        }
        let events = self.sealing.key_ready(key, now);
        self.on_sealing(events, now);
    }

    fn forget_blocks(&mut self, below: Height, now: Time) {
        self.forget_items(ITEM_BLOCK, below.get(), now);
    }

    fn ask_block_signature(&mut self, height: Height, hash: Digest, now: Time) {
        let digest = self.domain.block(FOUNDING_EPOCH, height, hash);
        self.ask_signature(ItemId { kind: ITEM_BLOCK, number: height.get() }, digest, now);
    }

    fn ask_signature(&mut self, item: ItemId, digest: Digest, now: Time) {
        if let Some(witness) = &mut self.witness {
            if let Some(signature) = witness.want(item, digest) {
                self.on_signed(item, signature, now);
            }
            return;
        }
        self.sign_with(now, mpc::signing::Input::Sign { item, digest: digest.to_bytes() });
    }

    fn forget_items(&mut self, kind: u8, below: u64, now: Time) {
        if let Some(witness) = &mut self.witness {
            witness.forget(kind, below);
        }
        self.sign_with(now, mpc::signing::Input::Forget { kind, below });
    }

    /// What signing machines say to each other, heard without one.
    fn bear_witness(&mut self, from: ValidatorId, bytes: &[u8], now: Time) {
        let Some(witness) = &mut self.witness else { return };
        let what = match witness.hear(from, bytes) {
            Ok(Heard::Nothing) => return,
            Ok(Heard::Signed(item, signature)) => return self.on_signed(item, signature, now),
            Ok(Heard::BadSignature(item)) => format!("sent an invalid signature of {item:?}"),
            Err(error) => format!("sent a malformed message: {error}"),
        };
        self.outputs.push_back(Output::PeerFault { peer: from, what });
    }

    fn sign_with(&mut self, now: Time, input: mpc::signing::Input) {
        let Some(signing) = &mut self.signing else { return };
        if let Err(refused) = signing.handle(to_mpc(now), input) {
            // One item, one digest: two encodings of a batch whose digests begin alike. The other members, or another encoding, go on
            // without it.
            self.outputs.push_back(Output::PeerFault { peer: self.me, what: refused.to_string() });
        }
    }

    fn on_signing(&mut self, output: mpc::signing::Output, now: Time) {
        use mpc::signing::Output as From;
        match output {
            From::Persist(_) if self.settings.lacks(PlantedBug::NonceNotBurnt) => {}
            From::Persist(burn) => {
                let (key, value) = (burn_key(&burn), burn.to_bytes());
                self.outputs.push_back(Output::Persist(Record::NonceBurn { key, value }));
            }
            From::Send { to, bytes } => {
                let message = PeerMessage::Signing(bytes.into()).encode();
                let after_sync = !self.settings.lacks(PlantedBug::ShareBeforeSync);
                self.send(
                    Recipient::One(ValidatorId::new(to.number())),
                    Class::Ceremony,
                    message,
                    after_sync,
                );
            }
            From::Broadcast(bytes) => {
                let message = PeerMessage::Signing(bytes.into()).encode();
                self.send(Recipient::All, Class::Ceremony, message, false);
            }
            From::Signed { item, signature, .. } => self.on_signed(item, GroupSignature::new(signature), now),
            From::Fault(fault) => self.on_signing_fault(&fault),
        }
    }

    fn on_signing_fault(&mut self, fault: &Fault) {
        let peer = ValidatorId::new(fault.culprit.number());
        self.outputs.push_back(Output::PeerFault { peer, what: fault.to_string() });
        let FaultKind::InvalidShare { accusation, voucher, .. } = &fault.kind else { return };
        let Some(signing) = &self.signing else { return };
        let evidence = Evidence::Share(WrongShare {
            validator: peer,
            epoch: Epoch::new(accusation.epoch),
            group: signing.public().to_bytes(),
            package: accusation.package.clone(),
            share: accusation.share,
            voucher: Signature::new(*voucher),
        });
        self.show(evidence);
    }

    /// Only what convinces others: a liar that did not vouch for its lie, say, convinces nobody but us.
    fn show(&mut self, evidence: Evidence) {
        if evidence.verify(&self.domain, self.ordering.committee()).is_ok() {
            self.outputs.push_back(Output::Evidence(Box::new(evidence)));
        }
    }

    fn on_signed(&mut self, item: ItemId, signature: GroupSignature, now: Time) {
        match item.kind {
            ITEM_BLOCK => {
                let height = Height::new(item.number);
                if let Some(before) = self.confirmations.on_signed(height) {
                    self.forget_blocks(before, now);
                    self.outputs.push_back(Output::Persist(Record::Certified { height, signature }));
                    self.outputs.push_back(Output::Certified { height, signature });
                }
            }
            ITEM_BATCH => {
                let events = self.sealing.signed(Ticket::from_session(item.number), signature);
                self.on_sealing(events, now);
            }
            _ => {}
        }
    }

    fn on_sealing(&mut self, events: Vec<SealingEvent>, now: Time) {
        for event in events {
            match event {
                SealingEvent::Job(job) => self.outputs.push_back(Output::Job(job)),
                SealingEvent::Broadcast(message) => {
                    self.send(Recipient::All, Class::Ceremony, message.encode(), false);
                }
                SealingEvent::Send(to, message) => {
                    self.send(Recipient::One(to), Class::Ceremony, message.encode(), false);
                }
                SealingEvent::Serve { to, number } => {
                    self.outputs.push_back(Output::ServeSealed { to, number });
                }
                SealingEvent::Sign { ticket, digest } => {
                    let item = ItemId { kind: ITEM_BATCH, number: ticket.to_session() };
                    self.ask_signature(item, digest, now);
                }
                SealingEvent::Sealed(batch) => {
                    self.ordering.handle(now, ordering::api::Input::Sealed(self.sealing.sealed_height()));
                    let below = Ticket::first(self.sealing.last_sealed() + 1).to_session();
                    self.forget_items(ITEM_BATCH, below, now);
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
        if self.founded && self.signing.is_none() {
            return "founded, but this node's key share is not on its disk: it orders and votes, and signs no blocks or \
                    batches"
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
            epoch: FOUNDING_EPOCH,
            round: self.ordering.round(),
            proposer: self.ordering.proposer(),
            committee: self.spec.committee().ids().collect(),
            syncing: self.ordering.is_syncing(),
            silence: self.ordering.silence().map(|silence| silence.to_string()),
            certified_height: self.confirmations.signed(),
            key_ready: self.signing.is_some(),
            founded: self.founded,
            founding: self.founding_stage(),
            group_key: self.group_key,
            open_batches: self.sealing.open_batches(),
            last_sealed: self.sealing.last_sealed(),
        }
    }
}

/// Names a nonce pair for ever: epoch, boot, index.
fn burn_key(burn: &BurnRecord) -> Vec<u8> {
    [&burn.epoch.to_be_bytes(), burn.boot.0.as_slice(), &burn.index.to_be_bytes()].concat()
}

/// The signing machine counts milliseconds.
fn to_mpc(time: Time) -> mpc::signing::Time {
    mpc::signing::Time::from_millis(time.as_millis())
}

/// Rounds up: a wake just before the machine's deadline would be one for nothing.
fn from_mpc(time: mpc::signing::Time) -> Time {
    Time::from_millis(time.as_millis())
}
