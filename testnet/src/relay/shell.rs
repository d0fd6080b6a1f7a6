//! Sockets and the clock around the [`Wire`].
//!
//! Tasks on one thread read the sockets, whole trains at a time (GRO), and ask the wire. A thread of its own sends what falls
//! due, as whole trains again (GSO): the runtime's timers know milliseconds only.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::command::LinkCommand;
use super::link::{Class, ConditionsError, LinkId, Verdict};
use super::plan::{Plan, PlanError};
use super::stats::{RelayStats, kernel_drops};
use super::wire::{Train, Wire};
use crate::observe::locked;

/// While something waits, it is looked at no more often than this, so that trains stay long,
const TICK: Duration = Duration::from_micros(500);
/// and no less often than this: what comes meanwhile may be due before all the rest.
const LONG_TICK: Duration = Duration::from_millis(1);
/// A train of the kernel fits into one buffer.
const BUFFER_BYTES: usize = 65_535;
/// Trains read by one system call.
const BUFFERS: usize = 4;
/// Calls before other sockets get their turn.
const CALLS_IN_A_ROW: usize = 16;
/// Room in the kernel for what comes while others have their turn. The kernel may grant less.
const SOCKET_BYTES: usize = 4 << 20;

/// Why a relay cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Its configuration.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A port.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The thread that sends.
    #[error("thread: {0}")]
    Thread(io::Error),
}

struct FrontSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// The node behind it.
    node: SocketAddr,
    address: SocketAddr,
}

/// What the tasks share; the lock is never held across a wait.
struct Shared {
    wire: Wire,
    buffers: Vec<Vec<u8>>,
    train: Train,
    strangers: u64,
    unsent: u64,
}

struct Inner {
    began: Instant,
    fronts: BTreeMap<(Class, u16), FrontSocket>,
    /// Whose a node's socket is.
    senders: BTreeMap<SocketAddr, (Class, u16)>,
    shared: Mutex<Shared>,
    ended: AtomicBool,
}

/// A running relay; it stops when dropped.
pub struct Relay {
    inner: Arc<Inner>,
    ticker: JoinHandle<()>,
    _tasks: JoinSet<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.inner.ended.store(true, Ordering::Relaxed);
        self.ticker.thread().unpark();
    }
}

impl Relay {
    /// Listens on all fronts. Must be called on a runtime.
    pub fn start(plan: &Plan) -> Result<Self, RelayError> {
        plan.check()?;
        let mut fronts = BTreeMap::new();
        let mut senders = BTreeMap::new();
        for front in &plan.fronts {
            let failed = |source| RelayError::Listen { address: front.listen, source };
            let socket = listen(front.listen, front.node).map_err(failed)?;
            fronts.insert((front.class, front.validator), socket);
            senders.insert(front.node, (front.class, front.validator));
        }
        let shared = Shared {
            wire: Wire::new(plan.links(), plan.conditions, plan.seed),
            buffers: vec![vec![0; BUFFER_BYTES]; BUFFERS],
            train: Train::default(),
            strangers: 0,
            unsent: 0,
        };
        let inner = Arc::new(Inner {
            began: Instant::now(),
            fronts,
            senders,
            shared: Mutex::new(shared),
            ended: AtomicBool::new(false),
        });
        let ticking = Arc::clone(&inner);
        let ticker = std::thread::Builder::new().name("ticker".into()).spawn(move || ticking.tick());
        let ticker = ticker.map_err(RelayError::Thread)?;
        let mut tasks = JoinSet::new();
        for key in inner.fronts.keys().copied() {
            tasks.spawn(Arc::clone(&inner).receive(key, ticker.thread().clone()));
        }
        Ok(Self { inner, ticker, _tasks: tasks })
    }

    /// Where a front listens.
    pub fn front(&self, class: Class, validator: u16) -> Option<SocketAddr> {
        self.inner.fronts.get(&(class, validator)).map(|front| front.address)
    }

    /// Changes links; says how many.
    pub fn command(&self, command: &LinkCommand) -> Result<usize, ConditionsError> {
        locked(&self.inner.shared).wire.command(command)
    }

    /// What it counted.
    pub fn stats(&self) -> RelayStats {
        let ports: Vec<u16> = self.inner.fronts.values().map(|front| front.address.port()).collect();
        let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
        let shared = locked(&self.inner.shared);
        RelayStats {
            links: shared.wire.stats(),
            strangers: shared.strangers,
            kernel_dropped: kernel_drops(&table, &ports),
            unsent: shared.unsent,
        }
    }
}

fn listen(address: SocketAddr, node: SocketAddr) -> io::Result<FrontSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BYTES)?;
    state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BYTES)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok(FrontSocket { socket: UdpSocket::from_std(socket)?, state, node, address })
}

impl FrontSocket {
    fn read(&self, buffers: &mut [Vec<u8>], metas: &mut [RecvMeta]) -> io::Result<usize> {
        let mut slices: Vec<IoSliceMut<'_>> =
            buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let receive = || self.state.recv(UdpSockRef::from(&self.socket), &mut slices, metas);
        self.socket.try_io(Interest::READABLE, receive)
    }

    fn send(&self, to: SocketAddr, train: &Train) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: EcnCodepoint::from_bits(train.ecn),
            contents: &train.contents,
            segment_size: (train.count > 1).then_some(train.segment),
            src_ip: None,
        };
        // Not through the runtime: the ticker's thread sends, too, and waits for nothing.
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }
}

impl Inner {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes in what comes to one front.
    async fn receive(self: Arc<Self>, (class, to): (Class, u16), ticker: Thread) {
        let Some(front) = self.fronts.get(&(class, to)) else { return };
        loop {
            if front.socket.readable().await.is_err() {
                return;
            }
            for _ in 0..CALLS_IN_A_ROW {
                match self.receive_once(front, LinkId { class, from: 0, to }, &ticker) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        // Nothing of the sort is known on loopback; whatever it is, it must not spin.
                        tracing::warn!(%error, to, "reading a front");
                        tokio::time::sleep(TICK).await;
                        break;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// `link`: on which link it comes, less its sender.
    fn receive_once(&self, front: &FrontSocket, link: LinkId, ticker: &Thread) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); BUFFERS];
        let mut guard = locked(&self.shared);
        let Shared { wire, buffers, strangers, .. } = &mut *guard;
        let count = front.read(buffers, &mut metas)?;
        let now = self.now();
        let idle = wire.next_due().is_none();
        let mut at_once = false;
        for (meta, buffer) in metas.iter().zip(buffers.iter()).take(count) {
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            let ecn = meta.ecn.map_or(0, |ecn| ecn as u8);
            let sender = self.senders.get(&meta.addr).filter(|(theirs, _)| *theirs == link.class);
            let id = sender.map(|(_, from)| LinkId { from: *from, ..link });
            let mut offer = |datagram: &[u8]| match id.and_then(|id| wire.offer(now, id, datagram, ecn)) {
                Some(Verdict::Deliver(due)) => at_once |= due <= now,
                Some(_) => {}
                None => *strangers += 1,
            };
            if bytes.is_empty() {
                offer(bytes);
            }
            bytes.chunks(meta.stride.max(1)).for_each(&mut offer);
        }
        if at_once {
            self.send_due(&mut guard);
        }
        drop(guard);
        if idle {
            ticker.unpark();
        }
        Ok(())
    }

    /// Sends everything that is due.
    fn send_due(&self, shared: &mut Shared) {
        let now = self.now();
        let Shared { wire, train, unsent, .. } = shared;
        while wire.take(now, self.longest(), train) {
            let Some(LinkId { class, from, to }) = train.id else { continue };
            let ends = self.fronts.get(&(class, from)).zip(self.fronts.get(&(class, to)));
            let sent = ends.map(|(from, to)| from.send(to.node, train));
            if !matches!(sent, Some(Ok(()))) {
                *unsent += train.count as u64;
            }
        }
    }

    /// Datagrams that one call may send.
    fn longest(&self) -> usize {
        self.fronts.values().next().map_or(1, |front| front.state.max_gso_segments()).max(1)
    }

    /// Sends what falls due. Sleeps while nothing waits.
    fn tick(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            let next = {
                let mut guard = locked(&self.shared);
                self.send_due(&mut guard);
                guard.wire.next_due()
            };
            match next {
                Some(due) => std::thread::sleep(due.saturating_sub(self.now()).clamp(TICK, LONG_TICK)),
                None => std::thread::park(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
