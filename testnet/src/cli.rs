//! The command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

use crate::bench::Attack;
use crate::chaos::Plan;
use crate::client::MAX_SIGNED;
use crate::control::Request;
use crate::layout::{BENCH_PORT_BASE, DEFAULT_DATA_FOLDER, DEFAULT_PORT_BASE, FEWEST, MAX_NODES, Size};
use crate::relay::{
    Change, Conditions, ConditionsError, LinkCommand, MIN_MTU, RelaySettings, Selection, Settings,
};
use crate::role::Role;

const EXAMPLES: &str = "\
Examples:
  testnet                              four nodes, two batchers, a development L1; Ctrl-C stops all
  testnet --for 60s                    the same for a minute, then judged from L1 alone
  testnet --nodes 7 --port-base 15000  a bigger one, elsewhere
  testnet --epoch 60s --for 300s       another key every minute, posted to L1 in sequence with the batches
  testnet --registered 7 --committee 4 --epoch 60s --for 300s
                                       four founders; three more join on L1; each epoch four of the seven order
  testnet join                         (another terminal) one more validator: keys, registration on L1, node
  testnet leave 5                      (another terminal) node 5 leaves the registry, and goes on running
  testnet kill 2                       (another terminal) kill -9 of node 2
  testnet restart 2                    (another terminal) start it again
  testnet --for 60s --chaos 'kill node 2 at 10s, restart node 2 at 20s, kill active batcher at 30s'
  testnet --epoch 10s --for 60s --chaos 'join at 5s, leave node 2 at 20s'
  testnet chaos l1 --for 15m           each minute a fault of L1 or a batcher, under 500 signed transactions a second
  testnet bench --rate 2000 --tx-bytes 512 --seconds 20 --json
  testnet bench --rate 5000 --late-node 50000 --seconds 60
  testnet bench --rate 2000 --link-delay 50ms --link-jitter 5ms --link-loss 1%
  testnet bench --rate 5000 --dead-node 2@8s
  testnet --link-delay 20ms            the nodes are 20 ms apart; another terminal cuts, heals and changes links:
  testnet link cut 1 2 | link cut 3 | link heal | link set --delay 80ms --loss 2% | link show
  testnet --for 60s --chaos 'cut node 2 at 10s, heal node 2 at 20s, cut link 1-3 at 30s, heal all links at 40s'

--nodes N validators found the network: they are in its genesis file and are its first committee. --registered R of them are on L1
in the end: the nodes N+1 to R join with `sequencer-node join` once the network is up. --committee M is the most members of a later
committee (`epochs.max_committee`). One of --nodes and --committee is as big as the other if it is not given.

Ports on 127.0.0.1 for a port base B (9000): node i uses UDP B+100+i (validators) and B+200+i (QUIC ingress),
TCP B+300+i (JSON-RPC) and B+400+i (metrics), UDP B+500+i (chunks); batcher i TCP B+500+i (metrics); the L1 TCP B+545 to B+547;
a relay (any --link-... flag) UDP B+300+i and B+400+i.

Everything is kept in the data folder (./testnet-data): logs/, state.json, genesis.toml, one folder per process.
The development L1 lives in memory, so `up` always founds a new network and empties the folder of the last one.

Exit codes:
  0  done; with --for: every promise held
  1  could not be done (the message says why and what to do)
  2  wrong command line
  3  a promise of the design was broken (the list is printed)
  4  nothing runs with that data folder";

/// Brings up a whole sequencer network on this machine: L1, nodes, batchers, load.
#[derive(Debug, Parser)]
#[command(name = "testnet", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) up: UpArgs,
}

impl Cli {
    /// What one value alone does not show.
    pub(crate) fn check(&self) -> Result<(), CheckError> {
        let relay = match &self.command {
            None => self.up.size().map(|_| self.up.relay)?,
            Some(Command::Up(args)) => args.size().map(|_| args.relay)?,
            Some(Command::Bench(args)) => args.check()?.relay,
            Some(_) => return Ok(()),
        };
        relay.settings()?;
        Ok(())
    }
}

/// Values that make no sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CheckError {
    /// The relay.
    #[error(transparent)]
    Conditions(#[from] ConditionsError),
    /// Founders are registered.
    #[error(
        "--registered {registered}: the {founders} founders (--nodes, else --committee) are registered from the beginning"
    )]
    Registered {
        /// In the genesis file.
        founders: u16,
        /// On L1.
        registered: u16,
    },
    /// More than there is time and memory for.
    #[error("--real signs everything beforehand, at most {MAX_SIGNED} transactions; {0} are asked for")]
    Signed(u64),
    /// There is nothing to see.
    #[error("--dead-node {0}: name one of the nodes and a time within the load")]
    DeadNode(DeadNode),
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring up a network and show what it does (the default)
    Up(UpArgs),
    /// Stop the network that runs, in order
    Down(FolderArgs),
    /// Delete the data folder of a network that no longer runs
    Reset(FolderArgs),
    /// Say how the running network is
    Status(StatusArgs),
    /// kill -9 one process of the running network
    Kill(TargetArgs),
    /// Start one process again, stopping it first if it runs
    Restart(TargetArgs),
    /// Add a validator to the running network: the next number, its keys, its registration on L1, its node
    Join(FolderArgs),
    /// Take a validator off the registry's list; its node goes on running
    Leave(LeaveArgs),
    /// Cut, heal or change the links between the nodes of a running network that has a relay
    Link(LinkArgs),
    /// Break something of what is around the network, again and again, under load; then judge it
    #[command(subcommand)]
    Chaos(ChaosVerb),
    /// Measure a network in a folder of its own below the current one
    Bench(BenchArgs),
}

/// What is broken.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ChaosVerb {
    /// L1 and the batchers: kills, reorganisations, outages, dear blobs, lying endpoints, empty wallets
    L1(L1ChaosArgs),
}

/// `chaos l1`.
#[derive(Clone, Debug, Args)]
pub(crate) struct L1ChaosArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// First of the block of ports
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT_BASE)]
    pub(crate) port_base: u16,
    /// Load for so long, drain to L1, judge, end
    #[arg(long = "for", value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// One fault each time
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(crate) every: Duration,
    /// Signed transactions per second: of ten nine are of a rollup whose data stays with the committee, of the rest one in ten goes into
    /// calldata and the others into blobs
    #[arg(long, value_name = "RATE", default_value_t = 500, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) tps: u32,
    /// Print the summary as one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

impl L1ChaosArgs {
    /// The network that this is done to.
    pub(crate) fn up(self) -> UpArgs {
        let Self { folder, port_base, duration, every, tps, json } = self;
        UpArgs {
            nodes: None,
            registered: None,
            committee: None,
            port_base,
            folder,
            block_time: Duration::from_secs(1),
            duration: Some(duration),
            tps,
            chaos: None,
            l1_faults_every: Some(every),
            epoch: None,
            keep_key: false,
            relay: RelayArgs::default(),
            json,
        }
    }
}

/// Which network.
#[derive(Clone, Debug, Args)]
pub(crate) struct FolderArgs {
    /// Data folder of the network
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data: PathBuf,
}

/// `status`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `kill` and `restart`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// 2 or node-2, batcher-1, dev-l1
    #[arg(value_name = "NODE")]
    pub(crate) who: Role,
}

/// `leave`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LeaveArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// Number of its node
    #[arg(value_name = "NODE", value_parser = value_parser!(u16).range(1..=i64::from(MAX_NODES)))]
    pub(crate) node: u16,
}

/// `link`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LinkArgs {
    #[command(subcommand)]
    pub(crate) verb: LinkVerb,
}

/// What to do to links.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum LinkVerb {
    /// Let nothing pass; what is under way arrives
    Cut(CutArgs),
    /// Let everything pass again
    Heal(SelectArgs),
    /// Change delay, jitter, loss, reordering or the longest datagram; what is not named stays
    Set(SetArgs),
    /// Say what every link does and what it carried
    Show(StatusArgs),
}

/// Which links.
#[derive(Clone, Debug, Args)]
pub(crate) struct SelectArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// One end; alone, all its links; without any, all links
    #[arg(value_name = "NODE")]
    pub(crate) from: Option<u16>,
    /// The other end
    #[arg(value_name = "NODE")]
    pub(crate) to: Option<u16>,
    /// Only what the first one sends
    #[arg(long, requires = "from")]
    pub(crate) one_way: bool,
}

/// `link cut`: all links at once must be meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct CutArgs {
    #[command(flatten)]
    pub(crate) links: SelectArgs,
    /// All links
    #[arg(long, conflicts_with = "from", required_unless_present = "from")]
    pub(crate) all: bool,
}

/// `link set`.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("setting").required(true).multiple(true)))]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pub(crate) links: SelectArgs,
    /// One way
    #[arg(long, value_name = "TIME", value_parser = parse_duration, group = "setting")]
    pub(crate) delay: Option<Duration>,
    /// The delay wanders up to so much to either side
    #[arg(long, value_name = "TIME", value_parser = parse_duration, group = "setting")]
    pub(crate) jitter: Option<Duration>,
    /// Share of datagrams that vanish
    #[arg(long, value_name = "SHARE", value_parser = parse_share, group = "setting")]
    pub(crate) loss: Option<f64>,
    /// Share of datagrams that are overtaken by the next ones
    #[arg(long, value_name = "SHARE", value_parser = parse_share, group = "setting")]
    pub(crate) reorder: Option<f64>,
    /// Longest payload of a datagram that passes
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u16).range(i64::from(MIN_MTU)..), group = "setting")]
    pub(crate) mtu: Option<u16>,
}

impl SelectArgs {
    const fn selection(&self) -> Selection {
        Selection { from: self.from, to: self.to, one_way: self.one_way }
    }
}

impl LinkVerb {
    /// Whom to ask, what, and whether the answer is to be JSON.
    pub(crate) fn request(self) -> (PathBuf, Request, bool) {
        let link = |links: &SelectArgs, change| Request::Link {
            command: LinkCommand { change, links: links.selection() },
        };
        match self {
            Self::Cut(args) => (args.links.folder.data.clone(), link(&args.links, Change::Cut), false),
            Self::Heal(args) => (args.folder.data.clone(), link(&args, Change::Heal), false),
            Self::Set(SetArgs { links, delay, jitter, loss, reorder, mtu }) => {
                let change = Change::Set(Settings { delay, jitter, loss, reorder, mtu });
                (links.folder.data.clone(), link(&links, change), false)
            }
            Self::Show(args) => (args.folder.data, Request::Links, args.json),
        }
    }
}

/// Distance between the nodes. Any of these puts the relay between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Distance between the nodes (any of these puts a relay between them)")]
pub(crate) struct RelayArgs {
    /// One-way delay of every link
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) link_delay: Option<Duration>,
    /// The delay wanders up to so much to either side, without reordering
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) link_jitter: Option<Duration>,
    /// Share of datagrams that vanish: 1% or 0.01
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(crate) link_loss: Option<f64>,
    /// Share of datagrams that are overtaken by the next ones: 0.1%
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(crate) link_reorder: Option<f64>,
    /// Longest payload of a datagram that passes: 1472 on a path of Ethernet (1,500 bytes less the headers of IP and UDP)
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u16).range(i64::from(MIN_MTU)..))]
    pub(crate) link_mtu: Option<u16>,
    /// Seed of all chance on the links
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) relay_seed: u64,
}

impl RelayArgs {
    /// A relay that passes everything on at once.
    pub(crate) fn direct(self) -> RelaySettings {
        RelaySettings { conditions: Conditions::default(), seed: self.relay_seed }
    }

    /// The relay asked for, if any.
    pub(crate) fn settings(self) -> Result<Option<RelaySettings>, ConditionsError> {
        let Self { link_delay, link_jitter, link_loss, link_reorder, link_mtu, relay_seed } = self;
        let asked = Settings {
            delay: link_delay,
            jitter: link_jitter,
            loss: link_loss,
            reorder: link_reorder,
            mtu: link_mtu,
        };
        if asked == Settings::default() {
            return Ok(None);
        }
        let conditions = asked.apply(Conditions::default());
        conditions.check()?;
        Ok(Some(RelaySettings { conditions, seed: relay_seed }))
    }
}

/// `up`.
#[derive(Clone, Debug, Args)]
pub(crate) struct UpArgs {
    /// Founders: validators of the genesis file. As many as --committee says, or 4
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(i64::from(FEWEST)..=i64::from(MAX_NODES)))]
    pub(crate) nodes: Option<u16>,
    /// Validators altogether: those beyond --nodes join on L1 once the network is up. As many as --nodes if not given
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(i64::from(FEWEST)..=i64::from(MAX_NODES)))]
    pub(crate) registered: Option<u16>,
    /// Most members of a committee after the founders'; from more that are registered each epoch has another sample. As many as
    /// --nodes if not given
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(i64::from(FEWEST)..=i64::from(MAX_NODES)))]
    pub(crate) committee: Option<u16>,
    /// First of the block of ports
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT_BASE)]
    pub(crate) port_base: u16,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// Slot time of the development L1
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) block_time: Duration,
    /// Load for so long, drain to L1, judge, end
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Transactions per second for each of the two EVM rollups; 0 sends none
    #[arg(long, value_name = "RATE", default_value_t = 10, value_parser = value_parser!(u32).range(0..=10_000))]
    pub(crate) tps: u32,
    /// Break things on a timetable (seconds since the load began): 'kill node 2 at 10s, restart node 2 at 20s'
    #[arg(long, value_name = "PLAN", requires = "duration")]
    pub(crate) chaos: Option<Plan>,
    /// See `chaos l1`.
    #[arg(skip)]
    pub(crate) l1_faults_every: Option<Duration>,
    /// The committee makes itself another key so often; once a day if not given
    #[arg(long, value_name = "TIME", value_parser = parse_epoch)]
    pub(crate) epoch: Option<Duration>,
    /// Epochs keep their key: it is shared anew among each committee
    #[arg(long, requires = "epoch")]
    pub(crate) keep_key: bool,
    #[command(flatten)]
    pub(crate) relay: RelayArgs,
    /// Print the summary as one JSON object on standard output
    #[arg(long, requires = "duration")]
    pub(crate) json: bool,
}

impl UpArgs {
    /// Founders are a committee, and who joins later takes turns with them, unless said otherwise.
    pub(crate) fn size(&self) -> Result<Size, CheckError> {
        let founders = self.nodes.or(self.committee).unwrap_or(FEWEST);
        let registered = self.registered.unwrap_or(founders);
        if registered < founders {
            return Err(CheckError::Registered { founders, registered });
        }
        Ok(Size { founders, registered, committee: self.committee.unwrap_or(founders) })
    }
}

/// `bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    /// Validators
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(4..=i64::from(MAX_NODES)))]
    pub(crate) nodes: u16,
    /// First of the block of ports
    #[arg(long, value_name = "PORT", default_value_t = BENCH_PORT_BASE)]
    pub(crate) port_base: u16,
    /// Size of an opaque transaction (with --real they are as big as signed transfers are). Its bytes are a window at a
    /// random place of 64 KiB of random bytes, with a counter in front and 8 fresh random bytes in every 64: no two are the
    /// same, and a transaction alone does not compress, but many together would (the bench's rollup keeps its data with the committee
    /// and nothing compresses it)
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = value_parser!(u32).range(16..=131_072))]
    pub(crate) tx_bytes: u32,
    /// Transactions per second offered, open loop
    #[arg(long, value_name = "RATE", default_value_t = 2_000, value_parser = value_parser!(u32).range(1..=200_000))]
    pub(crate) rate: u32,
    /// How long to offer them
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Signed EVM transactions of the first rollup, signed before the measurement begins
    #[arg(long, conflicts_with = "idle")]
    pub(crate) real: bool,
    /// Where their data goes: to L1 in blobs, or nowhere but to the committee, as that of opaque transactions
    #[arg(long, value_name = "POLICY", requires = "real", default_value = "blob")]
    pub(crate) policy: Policy,
    /// The committee makes itself another key so often; once a day if not given
    #[arg(long, value_name = "TIME", value_parser = parse_epoch)]
    pub(crate) epoch: Option<Duration>,
    /// Offer nothing, and measure what an idle network costs
    #[arg(long)]
    pub(crate) idle: bool,
    /// Measure the offered load alone and then beside a second rollup that offers ten times its quota
    #[arg(long, conflicts_with_all = ["idle", "real", "duplicates"])]
    pub(crate) rollup_flood: bool,
    /// Measure the offered load through one node in peace, and then while that node's doors are attacked
    #[arg(long, value_name = "KIND", conflicts_with_all = ["idle", "real", "duplicates", "rollup_flood"])]
    pub(crate) attack: Option<Attack>,
    /// Take one node away and empty its disk; start it again once the others are so many blocks ahead, and say how long it takes to
    /// vote. The load goes on; --seconds is how long the node may take
    #[arg(long, value_name = "BLOCKS", conflicts_with_all = ["idle", "rollup_flood", "duplicates", "attack", "dead_node"], value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(crate) late_node: Option<u64>,
    /// Send every transaction to every node; each must be ordered once
    #[arg(long, conflicts_with = "idle")]
    pub(crate) duplicates: bool,
    /// kill -9 this node so long after the load began, and measure what clients of the others notice: `2@8s`
    #[arg(long, value_name = "NODE@TIME", conflicts_with_all = ["idle", "rollup_flood", "attack"])]
    pub(crate) dead_node: Option<DeadNode>,
    #[command(flatten)]
    pub(crate) relay: RelayArgs,
    /// Slot time of the development L1
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) block_time: Duration,
    /// Keep the network's folder and name it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// `--policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// On L1; proving blobs limits the rate
    Blob,
    /// With the committee; L1 has only the commitment
    Committee,
}

/// `--dead-node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadNode {
    /// Which.
    pub(crate) node: u16,
    /// When, from the beginning of the load.
    pub(crate) after: Duration,
}

impl FromStr for DeadNode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || "expected a node and a time such as 2@8s".to_owned();
        let (node, after) = text.split_once('@').ok_or_else(error)?;
        Ok(Self { node: node.parse().map_err(|_| error())?, after: parse_duration(after)? })
    }
}

impl fmt::Display for DeadNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}s", self.node, self.after.as_secs_f64())
    }
}

impl BenchArgs {
    fn check(&self) -> Result<&Self, CheckError> {
        let signed = u64::from(self.rate).saturating_mul(self.seconds);
        if self.real && signed > MAX_SIGNED {
            return Err(CheckError::Signed(signed));
        }
        let seen = |dead: &DeadNode| {
            (1..=self.nodes).contains(&dead.node) && dead.after < Duration::from_secs(self.seconds)
        };
        if let Some(dead) = self.dead_node.filter(|dead| !seen(dead)) {
            return Err(CheckError::DeadNode(dead));
        }
        Ok(self)
    }
}

/// Parses `60`, `60s`, `1.5s`, `200ms`, `2m` or `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const LONGEST: f64 = 86_400.0 * 30.0;
    let text = text.trim();
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1.0));
    let error = || "expected a time such as 60s, 1.5s, 200ms or 2m".to_owned();
    let seconds = number.trim().parse::<f64>().map_err(|_| error())? * factor;
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(error());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Parses the length of an epoch: the next key is made in it, with time for who is away.
pub(crate) fn parse_epoch(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_secs(8);
    let epoch = parse_duration(text)?;
    if epoch < SHORTEST {
        Err("an epoch lasts 8 s at least: a key has to be made in it".to_owned())
    } else {
        Ok(epoch)
    }
}

/// Parses a share: `1%`, `0.5%` or `0.01`.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let (number, factor) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 0.01));
    let error = || "expected a share such as 1% or 0.01, at most 100%".to_owned();
    let share = number.trim().parse::<f64>().map_err(|_| error())? * factor;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_up() {
        let cli = Cli::try_parse_from(["testnet", "--for", "60s", "--nodes", "7"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!((cli.up.nodes, cli.up.duration), (Some(7), Some(Duration::from_secs(60))));
        let cli = Cli::try_parse_from(["testnet", "kill", "2", "--data", "x"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Kill(args)) if args.who == Role::Node(2)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "testnet --nodes 3",
            "testnet --committee 3",
            "testnet --registered 41",
            "testnet leave 0",
            "testnet leave",
            "testnet join 5",
            "testnet --json",
            "testnet --chaos 'kill node 1 at 1s'",
            "testnet --for never",
            "testnet kill nobody",
            "testnet bench --idle --real",
            "testnet bench --tx-bytes 1000000",
            "testnet --link-loss 101%",
            "testnet --link-loss many",
            "testnet --link-delay -1ms",
            "testnet --link-mtu 1199",
            "testnet link set --mtu 70000",
            "testnet link cut",
            "testnet link set",
            "testnet link set 1 2",
            "testnet link cut one two",
            "testnet link heal --one-way",
            "testnet bench --rollup-flood --idle",
            "testnet bench --rollup-flood --duplicates",
            "testnet bench --policy committee",
            "testnet bench --real --policy none",
            "testnet bench --dead-node 2",
            "testnet bench --dead-node @8s",
            "testnet bench --dead-node 2@8s --idle",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn links_are_named_by_their_ends() {
        let request = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Some(Command::Link(args)) => args.verb.request().1,
            _ => panic!("{line}"),
        };
        let link = |change, from, to, one_way| Request::Link {
            command: LinkCommand { change, links: Selection { from, to, one_way } },
        };
        assert_eq!(request("testnet link cut 1 2"), link(Change::Cut, Some(1), Some(2), false));
        assert_eq!(request("testnet link cut 3 --one-way"), link(Change::Cut, Some(3), None, true));
        assert_eq!(request("testnet link cut --all"), link(Change::Cut, None, None, false));
        assert_eq!(request("testnet link heal"), link(Change::Heal, None, None, false));
        let settings = Settings { loss: Some(0.02), ..Settings::default() };
        assert_eq!(request("testnet link set --loss 2%"), link(Change::Set(settings), None, None, false));
        assert_eq!(request("testnet link show --json"), Request::Links);
    }

    #[test]
    fn a_relay_is_there_when_anything_of_it_is_asked_for() {
        let settings = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().up.relay.settings();
        assert_eq!(settings("testnet"), Ok(None));
        let direct = settings("testnet --link-delay 0ms --relay-seed 7").unwrap().unwrap();
        assert_eq!((direct.conditions, direct.seed), (Conditions::default(), 7));
        let far = settings("testnet --link-delay 50ms --link-jitter 5ms --link-loss 1%").unwrap().unwrap();
        assert_eq!(settings("testnet --link-mtu 1472").unwrap().unwrap().conditions.mtu, Some(1_472));
        assert_eq!((far.conditions.delay.as_millis(), far.conditions.jitter.as_millis()), (50, 5));
        assert!((far.conditions.loss - 0.01).abs() < 1e-12);
        assert_eq!(settings("testnet --link-jitter 5ms"), Err(ConditionsError::Jitter));
    }

    #[test]
    fn founders_are_a_committee_and_registered() {
        let size = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().up.size();
        let of = |founders, registered, committee| Ok(Size { founders, registered, committee });
        assert_eq!(size("testnet"), of(4, 4, 4));
        assert_eq!(size("testnet --nodes 7"), of(7, 7, 7));
        assert_eq!(size("testnet --registered 7"), of(4, 7, 4));
        assert_eq!(size("testnet --registered 9 --committee 7"), of(7, 9, 7));
        assert_eq!(size("testnet --nodes 4 --registered 7 --committee 7"), of(4, 7, 7));
        assert_eq!(size("testnet --nodes 7 --committee 4"), of(7, 7, 4));
        let error = size("testnet --nodes 7 --registered 5");
        assert_eq!(error, Err(CheckError::Registered { founders: 7, registered: 5 }));
    }

    #[test]
    fn no_more_is_signed_beforehand_than_there_is_memory_for() {
        let check = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().check();
        assert_eq!(check("testnet bench --real --rate 100000 --seconds 20"), Ok(()));
        let many = check("testnet bench --real --rate 100000 --seconds 21");
        assert_eq!(many, Err(CheckError::Signed(2_100_000)));
        assert_eq!(check("testnet bench --rate 100000 --seconds 21"), Ok(()));
    }

    #[test]
    fn a_node_that_dies_is_one_of_the_nodes_and_dies_under_load() {
        let check = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().check();
        assert_eq!(check("testnet bench --dead-node 4@19.9s"), Ok(()));
        for dead in ["0@8s", "5@8s", "2@20s"] {
            let error = check(&format!("testnet bench --dead-node {dead}"));
            assert_eq!(error, Err(CheckError::DeadNode(dead.parse().unwrap())));
        }
    }

    #[test]
    fn shares() {
        for (text, share) in [("1%", 0.01), ("0.01", 0.01), ("100 %", 1.0), ("0", 0.0)] {
            assert!((parse_share(text).unwrap() - share).abs() < 1e-12, "{text}");
        }
        for text in ["", "%", "101%", "1.5", "-1%", "NaN", "inf%"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, millis) in [
            ("60", 60_000),
            ("60s", 60_000),
            ("1.5s", 1500),
            ("200ms", 200),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "NaN", "inf", "1d", "1e30s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
