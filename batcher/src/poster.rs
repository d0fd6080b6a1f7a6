//! The loop: look at L1, keep what flies flying, and send what L1 lacks next when it is our turn.

mod candidate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use batcher_format::kzg::Kzg;
use ordering_types::Time;
use rollup::client::Nodes;

use self::candidate::{After, Candidate};
use crate::http::Shown;
use crate::l1::{Head, InboxView, L1, Simulation, Task};
use crate::lacking::{Source, Trouble};
use crate::spending::Spending;
use crate::status::{Board, Side};
use crate::turn::Rotation;
use crate::txm::{Account, Call, Event, Goal, Kind, Limits, Pause, Place, Send, SendFailure, Snapshot, Txm};

/// Polls of a slot: how often L1 and the nodes are asked for news.
const POLLS_PER_SLOT: u32 = 8;
const SHORTEST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(2);
/// The chain's blob schedule is read again after this: it changes at forks.
const SCHEDULE_AGAIN: Duration = Duration::from_secs(600);

/// One batcher.
pub struct Poster {
    l1: L1,
    source: Source,
    rotation: Rotation,
    board: Arc<Board>,
    kzg: Kzg,
    poll: Duration,
    txm: Txm,
    chain_checked: bool,
    /// Most blobs of a transaction, and when that was read.
    blob_limit: Option<(usize, Time)>,
    /// L1 as of the block that was looked at last.
    seen: Option<(Head, InboxView, Snapshot)>,
    /// By the ids that the transaction manager knows them by.
    tasks: BTreeMap<u64, Task>,
    next_id: u64,
    candidate: Option<Candidate>,
    /// Where L1 is after the newest handover that we sent.
    handed_over: Option<Place>,
    spending: BTreeMap<Account, Spending>,
    clock: Time,
}

impl Poster {
    /// Idle. `slot` is the time between L1 blocks.
    pub fn new(
        l1: L1,
        nodes: Nodes,
        rotation: Rotation,
        limits: Limits,
        slot: Duration,
        board: Arc<Board>,
        kzg: Kzg,
    ) -> Self {
        Self {
            l1,
            source: Source { nodes, patience: rotation.patience() },
            rotation,
            board,
            kzg,
            poll: (slot / POLLS_PER_SLOT).clamp(SHORTEST_POLL, LONGEST_POLL),
            txm: Txm::new(limits),
            chain_checked: false,
            blob_limit: None,
            seen: None,
            tasks: BTreeMap::new(),
            next_id: 0,
            candidate: None,
            handed_over: None,
            spending: BTreeMap::new(),
            clock: Time::default(),
        }
    }

    /// Works until dropped. May be dropped at any await: nothing is kept that L1 does not have.
    pub async fn run(mut self) {
        loop {
            self.turn().await;
            tokio::time::sleep(self.poll).await;
        }
    }

    /// The host's clock, never going back.
    fn now(&mut self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.clock = self.clock.max(Time::from_micros(micros));
        self.clock
    }

    /// Does what can be done now.
    async fn turn(&mut self) {
        let failure = self.work().await.err();
        let (now, market, carrier) = (self.now(), self.market(), self.txm.carrier());
        if let Some(candidate) = &mut self.candidate
            && (failure.is_some() || self.txm.is_held_up(now, candidate.kind(market, carrier)))
        {
            candidate.held_up(now);
        }
        let pause = || self.txm.pause().cloned().map(Trouble::from);
        self.report(failure.or_else(pause).as_ref());
        self.board.bumps(self.txm.bumps());
        self.board.endpoints(self.l1.good_endpoints());
        self.board.update(|status| status.in_flight = self.txm.flying().count());
    }

    async fn work(&mut self) -> Result<(), Trouble> {
        let head = self.l1.survey().await?;
        self.check_chain().await?;
        self.board.heard(Side::L1);
        self.look(head).await?;
        self.keep_flying().await;
        while self.launch().await? {}
        Ok(())
    }

    /// Logs new trouble once, however long it lasts.
    fn report(&self, trouble: Option<&Trouble>) {
        let text = trouble.map(ToString::to_string);
        let out_of_money = matches!(trouble, Some(Trouble::Pause(Pause::OutOfMoney(_))));
        if let Some(text) = text.as_ref().filter(|text| self.board.status().trouble.as_ref() != Some(text)) {
            match trouble {
                Some(Trouble::Pause(Pause::OutOfMoney(account))) => {
                    let address = self.l1.address(*account).unwrap_or_default();
                    tracing::error!(%address, "{text}");
                }
                Some(Trouble::Rejected { .. }) => {
                    tracing::error!("{text}: check that inbox and chain specification belong together");
                }
                _ => tracing::warn!(trouble = text, "cannot post now; will keep trying"),
            }
        }
        self.board.update(|status| {
            status.out_of_money = out_of_money;
            if text.is_some() {
                status.activity = "waiting for trouble to pass".to_owned();
            }
            status.trouble = text;
        });
    }

    async fn check_chain(&mut self) -> Result<(), Trouble> {
        let now = self.now();
        if !self.chain_checked {
            let (expected, got) = (self.source.nodes.network().spec().l1_chain_id, self.l1.chain_id().await?);
            if got != expected {
                return Err(Trouble::WrongChain { expected, got });
            }
            self.chain_checked = true;
        }
        if self.blob_limit.is_none_or(|(_, read)| now.since(read) >= SCHEDULE_AGAIN) {
            self.blob_limit = Some((self.l1.blob_limit().await?, now));
        }
        Ok(())
    }

    /// Reads L1 if it has a new block, or if something is open.
    async fn look(&mut self, head: Head) -> Result<(), Trouble> {
        if self.seen.as_ref().is_some_and(|(seen, ..)| *seen == head) && !self.txm.wants_news() {
            return Ok(());
        }
        let (view, snapshot) = self.l1.read(head, &self.txm.watched()).await?;
        let now = self.now();
        let events = self.txm.observe(now, snapshot.clone());
        self.show(now, view, &snapshot);
        for event in events {
            self.book(event);
        }
        let wanted: Vec<u64> = self.txm.calls().collect();
        self.tasks.retain(|id, _| wanted.contains(id));
        self.seen = Some((head, view, snapshot));
        Ok(())
    }

    fn show(&self, now: Time, view: InboxView, snapshot: &Snapshot) {
        let balance = |account: Account| snapshot.accounts.get(&account).map(|standing| standing.balance);
        let days = snapshot
            .accounts
            .iter()
            .filter_map(|(account, standing)| self.spending.get(account)?.days_left(now, standing.balance));
        let days = days.reduce(f64::min);
        self.board.update(|status| {
            status.next_number = view.next_number;
            status.epoch = view.epoch.get();
            status.balance_eth = balance(Account::Blobs).map(crate::spending::ether);
            status.calldata_balance_eth = balance(Account::Calldata).map(crate::spending::ether);
            status.days_of_funds = days;
            status.in_flight = self.txm.flying().count();
        });
    }

    /// Sends again what has to be.
    async fn keep_flying(&mut self) {
        loop {
            let now = self.now();
            let Some(send) = self.txm.next_send(now) else { break };
            let Some(task) = self.tasks.get(&send.call.id).cloned() else { break };
            self.send(&task, send).await;
        }
    }

    /// Signs, sends and tells the transaction manager.
    async fn send(&mut self, task: &Task, send: Send) -> Option<SendFailure> {
        tracing::info!(nonce = send.nonce, fees = ?send.fees, gas = send.call.gas, blobs = task.blobs(), "sending {task}");
        let answer = self.l1.send(task, &send).await;
        let now = self.now();
        self.txm.sent(now, send, answer.clone());
        answer.err()
    }

    /// Sends what L1 lacks, if it is time; returns whether more may follow at once.
    async fn launch(&mut self) -> Result<bool, Trouble> {
        let Some((_, view, _)) = self.seen else { return Ok(false) };
        let now = self.now();
        if !self.txm.has_room(now) {
            return Ok(self.idle("waiting for L1 to take what was sent"));
        }
        let place = Place { epoch: view.epoch, number: self.txm.next_number() };
        if self.candidate.as_ref().is_none_or(|candidate| candidate.place != place) {
            self.candidate = self.find(view, place).await?;
        }
        let Some(candidate) = &mut self.candidate else {
            self.txm.nothing_to_send();
            return Ok(self.idle("nothing to post"));
        };
        if place.number > view.next_number {
            // Nobody else could send it before what flies is mined.
            candidate.held_up(now);
        }
        let wait = candidate.wait(now, &self.rotation);
        if wait <= Rotation::preparation(candidate.blobs()) {
            self.prepare().await?;
        }
        let Some(candidate) = &self.candidate else { return Ok(false) };
        if !wait.is_zero() {
            let activity = format!("another batcher's turn: {candidate}");
            return Ok(self.idle(&activity));
        }
        match candidate.ready(self.market(), self.txm.carrier()) {
            Some(task) => self.start(task, view).await,
            None => Ok(false),
        }
    }

    fn idle(&self, activity: &str) -> bool {
        self.board.update(|status| activity.clone_into(&mut status.activity));
        false
    }

    fn market(&self) -> crate::txm::Market {
        self.seen.as_ref().map(|(.., snapshot)| snapshot.market).unwrap_or_default()
    }

    async fn find(&mut self, view: InboxView, place: Place) -> Result<Option<Candidate>, Trouble> {
        let before =
            |task: &&Task| task.last_number().is_some_and(|last| last.saturating_add(1) == place.number);
        let ahead = (place.number > view.next_number)
            .then(|| self.tasks.values().find(before).map(|task| (place.number, task.last_id())))
            .flatten();
        if place.number > view.next_number && ahead.is_none() {
            return Ok(None);
        }
        let limit = self.blob_limit.map_or(1, |(limit, _)| limit);
        let lack = self.source.next(view, ahead, limit).await?;
        self.board.heard(Side::Nodes);
        let has_calldata_account = self.l1.plain_account() == Account::Calldata;
        let after = match ahead {
            Some(_) => After::OnItsWay,
            None if self.handed_over == Some(place) => After::OurHandover,
            None => After::L1,
        };
        let now = self.now();
        Ok(lack.map(|lack| Candidate::new(place, now, lack, has_calldata_account, after)))
    }

    /// Makes cell proofs, if blobs are what it will be.
    async fn prepare(&mut self) -> Result<(), Trouble> {
        let (market, carrier) = (self.market(), self.txm.carrier());
        let Some(candidate) = &mut self.candidate else { return Ok(()) };
        if let Some(batches) = candidate.unprepared(market, carrier) {
            let kzg = self.kzg;
            let made = tokio::task::spawn_blocking(move || Task::post(&batches, kzg)).await??;
            candidate.prepared(made);
        }
        Ok(())
    }

    /// Sends it for the first time, if L1 would take it.
    async fn start(&mut self, task: Task, view: InboxView) -> Result<bool, Trouble> {
        let account = if task.kind() == Kind::Blob { Account::Blobs } else { self.l1.plain_account() };
        let gas = match self.simulate(&task, account, view).await? {
            Simulation::Succeeds(gas) => gas,
            Simulation::Past => {
                self.lost(&task);
                return Ok(false);
            }
            Simulation::Rejected(why) => {
                self.candidate = None;
                return Err(Trouble::Rejected { what: task, why });
            }
        };
        let (id, goal, kind, blob_gas) = (self.next_id, task.goal(), task.kind(), task.blob_gas());
        let now = self.now();
        let call = Call { id, goal, account, kind, gas, blob_gas };
        let Some(send) = self.txm.begin(now, call) else { return Ok(false) };
        self.next_id += 1;
        self.tasks.insert(id, task.clone());
        let failure = self.send(&task, send).await;
        if self.txm.calls().any(|known| known == id) {
            self.candidate = None;
            if let Goal::Epoch(epoch) = goal {
                self.handed_over = Some(Place { epoch, number: view.next_number });
            }
            return Ok(failure.is_none());
        }
        self.tasks.remove(&id);
        if failure == Some(SendFailure::LostRace) {
            self.lost(&task);
        }
        Ok(false)
    }

    /// What comes after others that are on their way cannot be simulated.
    async fn simulate(&self, task: &Task, account: Account, view: InboxView) -> Result<Simulation, Trouble> {
        let Some((.., snapshot)) = &self.seen else { return Ok(Simulation::Past) };
        if task.first_number().is_some_and(|first| first > view.next_number) {
            return Ok(Simulation::Succeeds(task.ample_gas()));
        }
        let fees = snapshot.market.generous(task.kind());
        let balance = snapshot.accounts.get(&account).map(|standing| standing.balance).unwrap_or_default();
        let simulated = self.l1.simulate(task, account, fees, balance).await;
        simulated.map_err(|trouble| Trouble::Simulation(trouble.0))
    }

    fn lost(&mut self, task: &Task) {
        tracing::debug!("{task}: another batcher was first");
        self.board.lost_race();
        let not_before = self.now() + self.rotation.takeover();
        if let Some(candidate) = &mut self.candidate {
            candidate.not_before = not_before;
        }
    }

    fn book(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Mined { call, hash, receipt } => {
                self.spending.entry(call.account).or_default().note(now, receipt.cost);
                let (what, gas, blobs) = (call.goal, receipt.gas, call.blobs());
                if receipt.success {
                    tracing::info!(%hash, gas, blobs, "{what} took effect");
                    self.board.mined(&call, hash, gas);
                } else {
                    tracing::warn!(%hash, gas, "{what} was mined without effect: another batcher was first");
                    self.board.reverted(gas);
                }
            }
            Event::Lost { call } => {
                tracing::debug!("{}: another batcher was first", call.goal);
                self.board.lost_race();
            }
            Event::Reorganised { call } => {
                tracing::warn!("L1 was reorganised and has {} no more: it is posted again", call.goal);
                self.board.reorganised();
            }
        }
        if let Ok(line) = serde_json::to_string(&self.board.status()) {
            println!("{line}");
        }
    }
}
