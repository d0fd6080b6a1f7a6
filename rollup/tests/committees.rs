//! Clients over changes of the committee: nodes join and leave, and the order goes on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ordering_types::handover::committee_hash;
use ordering_types::{Digest, Epoch, Height, Succession, ValidatorId};
use rollup::client::{
    Connector, Courier, CourierError, CourierEvent, Event, FollowEvent, Follower, Nodes, RequestError,
    Session, SessionError,
};
use rollup::verify::{Keys, MAX_KEYS, Network, UnknownEpoch};
use rollup::wire::{
    self, Certified, ClientMessage, ConfirmedBlock, NodeMessage, Opening, OrderedBlock, Refusal, Refused,
    Request, Response, Rollups, Status, Submit, Subscription, Welcome,
};
use support::{ROLLUP, committee, founding, key, listen, network, ordered_block, sign, succession, welcome};
use tokio::sync::{mpsc, watch};

/// Longer than any wait here; only a failure lasts so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// One order, that all nodes tell.
struct Order {
    blocks: Vec<OrderedBlock>,
    successions: BTreeMap<Epoch, Succession>,
    /// The members of each epoch.
    committees: Vec<Vec<u8>>,
    /// What each node took and is not ordered.
    held: BTreeMap<u8, Vec<Bytes>>,
    ordered: BTreeSet<Bytes>,
    /// Nodes say that they are at least here.
    claimed: u64,
    /// What nodes say before all else.
    first: Vec<NodeMessage>,
}

impl Order {
    fn epoch(&self) -> u64 {
        self.committees.len() as u64 - 1
    }

    fn is_member(&self, id: u8) -> bool {
        self.committees.last().unwrap().contains(&id)
    }

    fn height(&self) -> Height {
        Height::new(self.claimed.max(self.blocks.len() as u64))
    }
}

/// A network of nodes in this process.
#[derive(Clone)]
struct World {
    order: Arc<Mutex<Order>>,
    news: watch::Sender<()>,
}

impl World {
    fn new() -> Self {
        let order = Order {
            blocks: Vec::new(),
            successions: BTreeMap::new(),
            committees: vec![vec![1, 2, 3, 4]],
            held: BTreeMap::new(),
            ordered: BTreeSet::new(),
            claimed: 0,
            first: Vec::new(),
        };
        Self { order: Arc::new(Mutex::new(order)), news: watch::channel(()).0 }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Order) -> T) -> T {
        let changed = change(&mut self.order.lock().unwrap());
        self.news.send_replace(());
        changed
    }

    /// A block with those of these transactions that are not ordered yet, by a quorum of the present members.
    fn order(&self, transactions: Vec<Bytes>) {
        self.change(|order| {
            let members = order.committees.last().unwrap().clone();
            let parent = order.blocks.last().map_or(Digest::ZERO, |block| block.header.hash());
            let new = transactions.into_iter().filter(|data| order.ordered.insert(data.clone())).collect();
            let quorum = members.len() - (members.len() - 1) / 3;
            let place = (order.epoch(), order.blocks.len() as u64 + 1);
            let block = ordered_block(place, parent, new, members.into_iter().take(quorum));
            order.blocks.push(block);
        });
    }

    /// A block with what this node took, or the first so many of it.
    fn order_of(&self, id: u8, most: usize) {
        let held = self.change(|order| {
            let held = order.held.entry(id).or_default();
            held.drain(..most.min(held.len())).collect()
        });
        self.order(held);
    }

    fn held(&self, id: u8) -> usize {
        self.order.lock().unwrap().held.get(&id).map_or(0, Vec::len)
    }

    /// Another epoch begins with the next block; gives the handover to it, which nodes do not have yet.
    fn switch(&self, members: &[u8]) -> Succession {
        self.change(|order| {
            order.committees.push(members.to_vec());
            let epoch = order.epoch();
            succession(&network(), epoch, epoch - 1, &committee(members.iter().copied()))
        })
    }

    fn hand_over(&self, next: Succession) {
        self.change(|order| order.successions.insert(next.signed.handover.next.epoch, next));
    }

    fn begin(&self, members: &[u8]) {
        let next = self.switch(members);
        self.hand_over(next);
    }

    /// A node's port.
    fn node(&self, id: u8) -> String {
        let (endpoint, world) = (listen(), self.clone());
        let address = endpoint.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let world = world.clone();
                tokio::spawn(async move { world.connection(id, incoming.await.unwrap()).await });
            }
        });
        address
    }

    async fn connection(self, id: u8, connection: quinn::Connection) {
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            match wire::read(&mut receive).await.unwrap().unwrap() {
                Opening::Request(request) => {
                    let _ = wire::write(&mut send, &self.answer(id, request)).await;
                    let _ = send.finish();
                }
                Opening::Session(hello) => {
                    let (world, connection) = (self.clone(), connection.clone());
                    let from = hello.subscription.and_then(|wanted| wanted.from);
                    tokio::spawn(async move { world.session(id, connection, send, receive, from).await });
                }
            }
        }
    }

    fn answer(&self, id: u8, request: Request) -> Response {
        let order = self.order.lock().unwrap();
        match request {
            Request::Founding => Response::Founding(Some(founding(&network()))),
            Request::Handover(epoch) => {
                Response::Handover(order.successions.get(&epoch).cloned().map(Box::new))
            }
            Request::Block { height, .. } => {
                let block = order.blocks.get(height.get() as usize - 1).cloned();
                Response::Block(block.map(|ordered| Box::new(ConfirmedBlock { ordered, confirmation: None })))
            }
            Request::Status => Response::Status(Status {
                chain_spec: network().hash(),
                validator: ValidatorId::new(id.into()),
                member: order.is_member(id),
                height: order.height(),
                certified: order.height(),
                sealed: 0,
                peers: 3,
            }),
            _ => Response::Busy,
        }
    }

    async fn session(
        self,
        id: u8,
        connection: quinn::Connection,
        mut send: quinn::SendStream,
        mut receive: quinn::RecvStream,
        from: Option<Height>,
    ) {
        let mut news = self.news.subscribe();
        let (first, welcome) = {
            let order = self.order.lock().unwrap();
            let welcome = welcome(&connection, id.into(), id, order.is_member(id));
            (order.first.clone(), Welcome { height: order.height(), ..welcome })
        };
        wire::write(&mut send, &NodeMessage::Welcome(welcome)).await.unwrap();
        for message in first {
            wire::write(&mut send, &message).await.unwrap();
        }
        let (refusals, mut refused) = mpsc::unbounded_channel();
        let world = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = wire::read::<ClientMessage>(&mut receive).await {
                let all = match message {
                    ClientMessage::Submit(one) => vec![one],
                    ClientMessage::SubmitMany(all) => all,
                };
                all.into_iter().filter_map(|one| world.take(id, one)).for_each(|no| _ = refusals.send(no));
            }
        });
        let mut next = from.map_or(0, |from| from.get() as usize - 1);
        loop {
            let blocks = self.order.lock().unwrap().blocks.iter().skip(next).cloned().collect::<Vec<_>>();
            next += blocks.len();
            for block in blocks {
                if wire::write(&mut send, &NodeMessage::Ordered(Arc::new(block))).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                _ = news.changed() => {}
                Some(no) = refused.recv() => {
                    let _ = wire::write(&mut send, &NodeMessage::Refused(no)).await;
                }
                _ = send.stopped() => return,
            }
        }
    }

    fn take(&self, id: u8, Submit { tag, data, .. }: Submit) -> Option<Refused> {
        let refuse = |code| Some(Refused { tag, code, text: String::new() });
        self.change(|order| {
            if !order.is_member(id) {
                return refuse(Refusal::NotInCommittee);
            }
            let held = order.held.entry(id).or_default();
            if order.ordered.contains(&data) || held.contains(&data) {
                return refuse(Refusal::Duplicate);
            }
            held.push(data);
            None
        })
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

fn follower(endpoints: &[&String]) -> Follower {
    let endpoints = endpoints.iter().map(|one| (*one).clone()).collect();
    Follower::new(network(), endpoints, Rollups::All, Height::new(1), true).unwrap()
}

/// The next block; gives what else is told to `told`.
async fn block(follower: &mut Follower, told: &mut Vec<FollowEvent>) -> Height {
    within("a block", async {
        loop {
            match follower.next().await {
                FollowEvent::Ordered(block) => return block.header.height,
                other => told.push(other),
            }
        }
    })
    .await
}

/// Four founders, seven others of whom two are founders, four of those: each committee's votes count for its own epoch.
#[tokio::test]
async fn a_follower_goes_from_committee_to_committee() {
    let world = World::new();
    let node = world.node(2);
    (0..2).for_each(|_| world.order(vec![]));
    let mut follower = follower(&[&node]);
    let mut told = Vec::new();
    for height in 1..=2 {
        assert_eq!(block(&mut follower, &mut told).await, Height::new(height));
    }
    for (members, first) in [(&[2, 4, 5, 6, 7, 8, 9][..], 3), (&[2, 6, 8, 9], 5)] {
        // The first block of an epoch comes before the handover to it is signed.
        let next = world.switch(members);
        world.order(vec![]);
        let early = tokio::time::timeout(Duration::from_millis(200), follower.next()).await;
        assert!(early.is_err(), "nobody can check it yet: {early:?}");
        world.hand_over(next);
        world.order(vec![]);
        for height in [first, first + 1] {
            assert_eq!(block(&mut follower, &mut told).await, Height::new(height));
        }
    }
    assert!(matches!(told[..], [FollowEvent::Connected(_)]), "one session: {told:?}");
}

/// Blocks of an epoch by the committee of the one before.
#[tokio::test]
async fn votes_of_those_who_left_are_a_lie() {
    let world = World::new();
    let node = world.node(2);
    world.begin(&[2, 5, 6, 7]);
    world.change(|order| order.blocks.push(ordered_block((1, 1), Digest::ZERO, vec![], 1..=4)));
    let mut follower = follower(&[&node]);
    let lost = within("the lie", async {
        loop {
            if let FollowEvent::Lost { error, .. } = follower.next().await {
                return error;
            }
        }
    });
    assert!(matches!(lost.await, SessionError::Lie(_)));
}

/// Node 1 leaves with epoch 0; validator 6, of whom the genesis file knows nothing, is a member then.
#[tokio::test]
async fn a_follower_leaves_a_node_that_leaves_the_committee() {
    let world = World::new();
    let (leaver, member) = (world.node(1), world.node(6));
    let mut follower = follower(&[&leaver, &member]);
    let mut told = Vec::new();
    world.order(vec![]);
    block(&mut follower, &mut told).await;
    world.begin(&[2, 5, 6, 7]);
    world.order(vec![]);
    block(&mut follower, &mut told).await;
    world.order(vec![]);
    block(&mut follower, &mut told).await;
    let ids = |id| ValidatorId::new(id);
    let [FollowEvent::Connected(first), FollowEvent::Lost { error, .. }, FollowEvent::Connected(second)] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((*first, *second), (ids(1), ids(6)));
    assert!(matches!(error, SessionError::NotInCommittee(left) if *left == ids(1)), "{error}");
}

/// All that the client knows have left: it says so, names the members, and follows what there is.
#[tokio::test]
async fn a_client_that_knows_only_nodes_that_left_says_so() {
    let world = World::new();
    let (one, three) = (world.node(1), world.node(3));
    let dead = "127.0.0.1:1".to_owned();
    let nodes = Nodes::new(network(), &[one.clone(), three.clone()]).unwrap();
    nodes.require_members().await.unwrap();
    world.begin(&[2, 5, 6, 7]);
    world.order(vec![]);
    let stranded = nodes.require_members().await.unwrap_err();
    assert_eq!((stranded.outside, stranded.silent), (2, 0));

    // Its own word must do: which epoch it is cannot be known yet.
    let mut follower = follower(&[&one, &three]);
    let mut told = Vec::new();
    block(&mut follower, &mut told).await;
    let stranded = told.iter().find_map(|event| match event {
        FollowEvent::Stranded(stranded) => Some(stranded.to_string()),
        _ => None,
    });
    let text = stranded.expect("it says so");
    assert!(
        text.starts_with("none of the 2 configured nodes is in the committee any more (2 say so"),
        "{text}"
    );

    // Now that epoch 1 is known its members are named.
    assert!(nodes.block(Height::new(1), None).await.unwrap().is_some());
    let stranded = nodes.require_members().await.unwrap_err();
    let members = committee([2, 5, 6, 7]);
    let addresses: Vec<_> = members.iter().map(|(_, key)| key.address()).collect();
    assert_eq!((stranded.epoch, stranded.members), (Epoch::new(1), addresses));

    let with_dead = Nodes::new(network(), &[one, dead]).unwrap();
    assert_eq!(with_dead.require_members().await.unwrap_err().silent, 1);
    let with_member = Nodes::new(network(), &[three, world.node(5)]).unwrap();
    with_member.require_members().await.unwrap();
}

/// More epochs than a client keeps, with the newest soft confirmation told before the first block.
#[tokio::test]
async fn old_blocks_are_checked_however_new_the_confirmations_are() {
    let world = World::new();
    let newest = MAX_KEYS as u64 + 4;
    for epoch in 1..=newest {
        world.order(vec![]);
        world.begin(if epoch % 2 == 0 { &[1, 2, 3, 4] } else { &[2, 4, 5, 6] });
    }
    world.order(vec![]);
    let (epoch, height, header) = (Epoch::new(newest), Height::new(newest + 1), Digest::ZERO);
    let signature = sign(newest, network().domain().block(epoch, height, header));
    let certified = NodeMessage::Certified(Certified { epoch, height, header, signature });
    let blocks = world.change(|order| {
        order.first = vec![certified];
        std::mem::take(&mut order.blocks)
    });
    let mut follower = follower(&[&world.node(2)]);
    let mut told = vec![within("a session", follower.next()).await];
    told.push(within("the confirmation", follower.next()).await);
    world.change(|order| order.blocks = blocks);
    for height in 1..=newest + 1 {
        assert_eq!(block(&mut follower, &mut told).await, Height::new(height));
    }
    let told = &told[..];
    assert!(matches!(told, [FollowEvent::Connected(_), FollowEvent::Certified(_)]), "{told:?}");
}

fn trusting(committee: Option<Digest>) -> Network {
    network().trusting(Keys::trusted(Epoch::new(1), key(1), committee))
}

/// L1 has the key of epoch 1, and its members by their hash: any node tells who they are.
#[tokio::test]
async fn members_of_a_trusted_epoch_are_learnt_from_any_node() {
    let world = World::new();
    let node = world.node(1);
    world.order(vec![]);
    world.begin(&[2, 5, 6, 7]);
    world.order(vec![]);
    let hash = committee_hash(&committee([2, 5, 6, 7]));
    let second = async |network: Network| {
        let from = Some(Height::new(2));
        let wanted = Subscription { rollups: Rollups::All, from, data: true, certified: false };
        let mut session =
            Session::open(&Connector::new().unwrap(), &node, &network, Some(wanted)).await.unwrap();
        within("an event", session.next()).await
    };
    let Ok(Event::Ordered(block)) = second(trusting(Some(hash))).await else { panic!("no block") };
    assert_eq!(block.header.height, Height::new(2));
    let error = second(trusting(None)).await.unwrap_err();
    assert!(matches!(error, SessionError::Unknown(UnknownEpoch::Members(_))), "{error}");
    let error = second(trusting(Some(Digest::ZERO))).await.unwrap_err();
    assert!(matches!(error, SessionError::Lie(_)), "{error}");

    let ask = |network| Nodes::new(network, std::slice::from_ref(&node)).unwrap();
    let (first, second) = (Height::new(1), Height::new(2));
    let nodes = ask(trusting(Some(hash)));
    assert!(nodes.block(second, None).await.unwrap().is_some());
    assert!(nodes.block(first, None).await.unwrap().is_some(), "the founders' as well");
    let error = ask(trusting(None)).block(second, None).await.unwrap_err();
    assert!(matches!(error, RequestError::Unknown(UnknownEpoch::Members(_))), "{error}");
    assert!(ask(network()).block(second, None).await.unwrap().is_some(), "from the founding on");
}

fn transactions(count: usize) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(format!("transaction {n}"))).collect()
}

/// Hears the courier until `enough` of what it tells; counts what is delivered.
async fn carry(
    courier: &mut Courier,
    delivered: &mut BTreeMap<u64, usize>,
    mut enough: impl FnMut(&CourierEvent, &BTreeMap<u64, usize>) -> bool,
) {
    within("what the courier is to tell", async {
        loop {
            let event = courier.next().await;
            if let CourierEvent::Ordered { delivered: tags, .. } = &event {
                tags.iter().for_each(|tag| *delivered.entry(*tag).or_default() += 1);
            }
            if enough(&event, delivered) {
                return;
            }
        }
    })
    .await;
}

/// Lets the courier work until the node holds so much.
async fn handed_in(courier: &mut Courier, world: &World, id: u8, count: usize) {
    within("the transactions at the node", async {
        while world.held(id) < count {
            let tick = Duration::from_millis(20);
            if let Ok(CourierEvent::Refused(refused)) = tokio::time::timeout(tick, courier.next()).await {
                panic!("{refused:?}");
            }
        }
    })
    .await;
}

/// Every transaction stands in the order once, and was told once.
fn assert_once(world: &World, all: &[Bytes], delivered: &BTreeMap<u64, usize>) {
    let order = world.order.lock().unwrap();
    let sections = order.blocks.iter().flat_map(|block| &block.sections);
    let mut ordered: Vec<Bytes> = sections
        .flat_map(|section| match &section.content {
            wire::Content::Data(data) => data.clone(),
            wire::Content::Ids(_) => panic!("whole transactions"),
        })
        .collect();
    ordered.sort();
    let mut wanted = all.to_vec();
    wanted.sort();
    assert_eq!(ordered, wanted);
    assert_eq!(delivered.len(), all.len());
    assert!(delivered.values().all(|times| *times == 1), "{delivered:?}");
}

/// The node leaves the committee with most of what it took. Some of that is still ordered, from what others have of its lane, just
/// when the client sends all of it to the next node.
#[tokio::test]
async fn nothing_is_lost_or_ordered_twice_when_a_node_leaves_with_transactions() {
    let world = World::new();
    let (leaver, member) = (world.node(1), world.node(2));
    let mut courier = Courier::new(follower(&[&leaver, &member]));
    let all = transactions(20);
    let tags: Vec<u64> = all.iter().map(|data| courier.submit(ROLLUP, data.clone()).unwrap()).collect();
    assert_eq!(courier.submit(ROLLUP, all[3].clone()), Err(CourierError::OnItsWay(tags[3])));
    let mut delivered = BTreeMap::new();
    handed_in(&mut courier, &world, 1, 20).await;
    world.order_of(1, 5);
    carry(&mut courier, &mut delivered, |_, delivered| delivered.len() == 5).await;

    world.begin(&[2, 5, 6, 7]);
    world.order(vec![]);
    handed_in(&mut courier, &world, 2, 15).await;
    world.order_of(1, 4);
    world.order_of(2, 20);
    carry(&mut courier, &mut delivered, |_, delivered| delivered.len() == 20).await;
    world.order_of(1, 20);
    world.order(vec![]);
    carry(&mut courier, &mut delivered, |event, _| {
        matches!(event, CourierEvent::Ordered { block, .. } if block.header.height == Height::new(6))
    })
    .await;
    assert_once(&world, &all, &delivered);
    assert_eq!(courier.waiting(), 0);
}

/// The client hears of the end of the epoch only by the node's refusal: what that node took before goes elsewhere, too.
#[tokio::test]
async fn a_refusal_takes_all_to_another_node() {
    let world = World::new();
    let (leaver, member) = (world.node(1), world.node(2));
    let mut courier = Courier::new(follower(&[&leaver, &member]));
    let all = transactions(4);
    let mut delivered = BTreeMap::new();
    all[..3].iter().for_each(|data| _ = courier.submit(ROLLUP, data.clone()).unwrap());
    handed_in(&mut courier, &world, 1, 3).await;
    world.begin(&[2, 5, 6, 7]);
    courier.submit(ROLLUP, all[3].clone()).unwrap();
    let mut left = None;
    carry(&mut courier, &mut delivered, |event, _| {
        if let CourierEvent::Told(FollowEvent::Lost { error, .. }) = event {
            left = Some(matches!(error, SessionError::NotInCommittee(_)));
        }
        left.is_some()
    })
    .await;
    assert_eq!(left, Some(true));
    handed_in(&mut courier, &world, 2, 4).await;
    world.order_of(2, 4);
    carry(&mut courier, &mut delivered, |_, delivered| delivered.len() == 4).await;
    assert_once(&world, &all, &delivered);
}

/// A copy may stand in a block that is still to be followed, and be older than the duplicate window at the tip: a client that is
/// behind follows first.
#[tokio::test]
async fn a_client_that_is_behind_follows_before_it_sends() {
    let world = World::new();
    let window = u64::from(network().spec().limits.duplicate_window_blocks);
    let node = world.node(1);
    world.change(|order| order.claimed = window / 2 + 2);
    let mut courier = Courier::new(follower(&[&node]));
    courier.submit(ROLLUP, Bytes::from_static(b"again")).unwrap();
    let mut delivered = BTreeMap::new();
    world.order(vec![]);
    carry(&mut courier, &mut delivered, |event, _| matches!(event, CourierEvent::Ordered { .. })).await;
    let waiting = tokio::time::timeout(Duration::from_millis(100), courier.next()).await;
    assert!(waiting.is_err() && world.held(1) == 0, "too far behind: {waiting:?}");
    world.order(vec![]);
    handed_in(&mut courier, &world, 1, 1).await;
}

#[tokio::test]
async fn a_courier_takes_what_it_can_carry() {
    let mut courier = Courier::new(
        Follower::new(network(), vec![], Rollups::Some(vec![ROLLUP]), Height::new(1), false).unwrap(),
    );
    let other = ordering_types::RollupId::new(7);
    let data = Bytes::from_static(b"one");
    assert_eq!(courier.submit(other, data.clone()), Err(CourierError::NotFollowed(other)));
    assert_eq!(courier.submit(ROLLUP, Bytes::new()), Err(CourierError::Size(0)));
    let large = |n: u8| Bytes::from(vec![n; 128 << 10]);
    for n in 0..=255 {
        courier.submit(ROLLUP, large(n)).unwrap();
    }
    for n in 0..=255 {
        let other = [large(n).slice(1..), Bytes::from_static(&[0])].concat();
        courier.submit(ROLLUP, other[..other.len() - usize::from(n == 0)].to_vec().into()).unwrap();
    }
    let full = courier.submit(ROLLUP, data.clone()).unwrap_err();
    assert!(matches!(full, CourierError::Full { waiting: 512, .. }), "{full}");
    assert!(courier.withdraw(0) && !courier.withdraw(0));
    courier.submit(ROLLUP, data).unwrap();
}
