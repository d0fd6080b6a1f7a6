//! What transactions do: to whom, how much, with which calldata.

use alloy::primitives::{Address, TxKind, U256};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha12Rng;

use super::abi::{Value, call, with_selector};
use super::world::{Router, World};
use super::{amounts, code};

/// A transaction without what its sender adds.
pub(super) struct Call {
    pub(super) to: TxKind,
    pub(super) value: U256,
    pub(super) data: Vec<u8>,
    /// What an estimate says.
    pub(super) gas: u64,
}

impl Call {
    fn new(to: Address, value: U256, data: Vec<u8>, gas: u64) -> Self {
        Self { to: TxKind::Call(to), value, data, gas }
    }
}

pub(super) fn draw(world: &mut World, sender: usize, now: u64, rng: &mut ChaCha12Rng) -> Call {
    match rng.gen_range(0..1_000) {
        0..200 => {
            let recipient = world.draw_recipient(sender, rng);
            Call::new(recipient, amounts::any(0.05, 18, rng), Vec::new(), 21_000)
        }
        200..540 => erc20(world, sender, rng),
        540..650 => swap_v2(world, sender, now, rng),
        650..740 => swap_v3(world, sender, now, rng),
        740..780 => multicall(world, sender, now, rng),
        780..820 => universal(world, sender, now, rng),
        820..998 => contract(world, sender, now, rng),
        _ => Call {
            to: TxKind::Create,
            value: U256::ZERO,
            data: code::init_code(rng),
            gas: rng.gen_range(400_000..3_000_000),
        },
    }
}

fn erc20(world: &mut World, sender: usize, rng: &mut ChaCha12Rng) -> Call {
    let recipient = world.draw_recipient(sender, rng);
    let other = world.draw_recipient(sender, rng);
    let kind = rng.gen_range(0..340);
    let spender = match rng.gen_range(0..10) {
        0..4 => world.draw_router(Router::V2, rng),
        4..7 => world.draw_router(Router::V3, rng),
        _ => world.draw_contract(rng).address,
    };
    let token = world.draw_token(rng);
    let amount = amounts::any(60.0, token.decimals, rng);
    let (data, gas) = match kind {
        0..250 => {
            // A recipient that has none yet costs a storage slot more.
            let slot = if rng.gen_bool(0.4) { 17_100 } else { 0 };
            (call("transfer(address,uint256)", &[recipient.into(), amount.into()]), token.gas + slot)
        }
        250..320 => {
            let amount = if rng.gen_bool(0.55) { U256::MAX } else { amount };
            (call("approve(address,uint256)", &[spender.into(), amount.into()]), 46_500)
        }
        _ => {
            let arguments = [other.into(), recipient.into(), amount.into()];
            (call("transferFrom(address,address,uint256)", &arguments), token.gas + 8_000)
        }
    };
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    Call::new(token.address, U256::ZERO, data, gas - 12 * zeros.min(60))
}

/// What a swap goes through, sells and asks for.
struct Trade {
    path: Vec<Address>,
    sold: U256,
    least: U256,
    recipient: Address,
    deadline: u64,
}

fn trade(
    world: &World,
    sender: usize,
    now: u64,
    ether_first: bool,
    ether_last: bool,
    rng: &mut ChaCha12Rng,
) -> Trade {
    let ether = world.wrapped_ether();
    let sell = if ether_first { ether } else { world.draw_token(rng) };
    let buy = if ether_last { ether } else { world.draw_token(rng) };
    let mut path = vec![sell.address, buy.address];
    if rng.gen_bool(0.3) {
        path.insert(1, world.draw_token(rng).address);
    }
    let recipient = if rng.gen_bool(0.92) { sender } else { world.draw_sender(rng) };
    let wait = *[1_200, 1_200, 1_200, 600, 1_800, 300, 3_600].choose(rng).expect("some");
    Trade {
        path,
        sold: amounts::any(if ether_first { 0.1 } else { 200.0 }, sell.decimals, rng),
        least: amounts::precise(if ether_last { 0.1 } else { 200.0 }, buy.decimals, rng),
        recipient: world.sender(recipient).address,
        // Clocks of users are a few seconds off.
        deadline: now + wait - rng.gen_range(0..4),
    }
}

fn swap_v2(world: &World, sender: usize, now: u64, rng: &mut ChaCha12Rng) -> Call {
    let router = world.draw_router(Router::V2, rng);
    let kind = rng.gen_range(0..100);
    let (from_ether, to_ether) = ((30..60).contains(&kind), (60..90).contains(&kind));
    let Trade { path, sold, least, recipient, deadline } =
        trade(world, sender, now, from_ether, to_ether, rng);
    let path = Value::Array(path.into_iter().map(Value::from).collect());
    let fees = if rng.gen_bool(0.25) { "SupportingFeeOnTransferTokens" } else { "" };
    let rest = [path, recipient.into(), deadline.into()];
    let (data, value) = if from_ether {
        let signature = format!("swapExactETHForTokens{fees}(uint256,address[],address,uint256)");
        (call(&signature, &[&[least.into()], &rest[..]].concat()), sold)
    } else {
        let name = match kind {
            90.. => "swapTokensForExactTokens".to_owned(),
            60.. => format!("swapExactTokensForETH{fees}"),
            _ => format!("swapExactTokensForTokens{fees}"),
        };
        let signature = format!("{name}(uint256,uint256,address[],address,uint256)");
        (call(&signature, &[&[sold.into(), least.into()], &rest[..]].concat()), U256::ZERO)
    };
    Call::new(router, value, data, rng.gen_range(105_000..260_000))
}

const TIERS: [u64; 5] = [500, 3_000, 3_000, 10_000, 100];

fn exact_input_single(trade: &Trade, with_deadline: bool, rng: &mut ChaCha12Rng) -> Vec<u8> {
    let tier = *TIERS.choose(rng).expect("some");
    let mut fields: Vec<Value> = vec![
        trade.path[0].into(),
        trade.path[trade.path.len() - 1].into(),
        tier.into(),
        trade.recipient.into(),
    ];
    if with_deadline {
        fields.push(trade.deadline.into());
    }
    fields.extend([trade.sold.into(), trade.least.into(), 0.into()]);
    let deadline = if with_deadline { "uint256," } else { "" };
    let signature =
        format!("exactInputSingle((address,address,uint24,address,{deadline}uint256,uint256,uint160))");
    call(&signature, &[Value::Tuple(fields)])
}

fn swap_v3(world: &World, sender: usize, now: u64, rng: &mut ChaCha12Rng) -> Call {
    let from_ether = rng.gen_bool(0.4);
    let trade = trade(world, sender, now, from_ether, false, rng);
    let data = exact_input_single(&trade, rng.gen_bool(0.5), rng);
    let value = if from_ether { trade.sold } else { U256::ZERO };
    Call::new(world.draw_router(Router::V3, rng), value, data, rng.gen_range(100_000..190_000))
}

fn multicall(world: &World, sender: usize, now: u64, rng: &mut ChaCha12Rng) -> Call {
    let from_ether = rng.gen_bool(0.5);
    let mut trade = trade(world, sender, now, from_ether, !from_ether, rng);
    let owner = std::mem::replace(&mut trade.recipient, Address::with_last_byte(2));
    let swap = exact_input_single(&trade, false, rng);
    let end = if from_ether {
        call("refundETH()", &[])
    } else {
        call("unwrapWETH9(uint256,address)", &[trade.least.into(), owner.into()])
    };
    let calls = Value::Array(vec![Value::Bytes(swap), Value::Bytes(end)]);
    let data = if rng.gen_bool(0.7) {
        call("multicall(uint256,bytes[])", &[trade.deadline.into(), calls])
    } else {
        call("multicall(bytes[])", &[calls])
    };
    let value = if from_ether { trade.sold } else { U256::ZERO };
    Call::new(world.draw_router(Router::V3, rng), value, data, rng.gen_range(130_000..260_000))
}

fn bytes(count: usize, rng: &mut ChaCha12Rng) -> Vec<u8> {
    (0..count).map(|_| rng.r#gen()).collect()
}

/// Commands and their inputs: wrap or permit, swap along a packed path, unwrap.
fn universal(world: &World, sender: usize, now: u64, rng: &mut ChaCha12Rng) -> Call {
    let from_ether = rng.gen_bool(0.5);
    let trade = trade(world, sender, now, from_ether, !from_ether, rng);
    let router = world.draw_router(Router::Universal, rng);
    let itself = Address::with_last_byte(2);
    let mut commands = Vec::new();
    let mut inputs = Vec::new();
    if from_ether {
        commands.push(0x0b);
        inputs.push(vec![itself.into(), trade.sold.into()]);
    } else if rng.gen_bool(0.66) {
        commands.push(0x0a);
        let unlimited: U256 = (U256::ONE << 160) - U256::ONE;
        inputs.push(vec![
            trade.path[0].into(),
            unlimited.into(),
            (now + 2_592_000 - rng.gen_range(0..4)).into(),
            rng.gen_range(0..3_u64).into(),
            router.into(),
            (trade.deadline + 600).into(),
            Value::Bytes([bytes(64, rng), vec![27 + rng.gen_range(0..2)]].concat()),
        ]);
    }
    let mut packed = Vec::new();
    for (place, token) in trade.path.iter().enumerate() {
        if place > 0 {
            let tier = *TIERS.choose(rng).expect("some");
            packed.extend_from_slice(&tier.to_be_bytes()[5..]);
        }
        packed.extend_from_slice(token.as_slice());
    }
    commands.push(0x00);
    let receiver = if from_ether { Address::with_last_byte(1) } else { itself };
    let payer_is_user = u64::from(!from_ether);
    inputs.push(vec![
        receiver.into(),
        trade.sold.into(),
        trade.least.into(),
        Value::Bytes(packed),
        payer_is_user.into(),
    ]);
    if !from_ether {
        commands.push(0x0c);
        inputs.push(vec![Address::with_last_byte(1).into(), trade.least.into()]);
    }
    let inputs = Value::Array(inputs.iter().map(|input| Value::Bytes(with_selector(&[], input))).collect());
    let arguments = [Value::Bytes(commands), inputs, trade.deadline.into()];
    let data = call("execute(bytes,bytes[],uint256)", &arguments);
    let value = if from_ether { trade.sold } else { U256::ZERO };
    Call::new(router, value, data, rng.gen_range(120_000..320_000))
}

/// What an argument of some contract's function is drawn from.
#[derive(Clone, Copy)]
enum Kind {
    Recipient,
    Own,
    Token,
    Amount,
    Identifier,
    Flag,
    Small,
    Deadline,
    Negative,
    Hash,
    Bytes,
    Text,
    Identifiers,
    Proof,
}

const KINDS: [Kind; 20] = [
    Kind::Recipient,
    Kind::Recipient,
    Kind::Own,
    Kind::Token,
    Kind::Token,
    Kind::Amount,
    Kind::Amount,
    Kind::Amount,
    Kind::Amount,
    Kind::Identifier,
    Kind::Identifier,
    Kind::Flag,
    Kind::Small,
    Kind::Deadline,
    Kind::Negative,
    Kind::Hash,
    Kind::Bytes,
    Kind::Text,
    Kind::Identifiers,
    Kind::Proof,
];

/// One function of some contract.
pub(super) struct Function {
    selector: [u8; 4],
    arguments: Vec<Kind>,
    payable: bool,
    gas: u64,
}

/// Functions that many contracts have.
const COMMON: [(&str, &[Kind]); 8] = [
    ("deposit()", &[]),
    ("withdraw(uint256)", &[Kind::Amount]),
    ("claim()", &[]),
    ("stake(uint256)", &[Kind::Amount]),
    ("mint(uint256)", &[Kind::Small]),
    ("safeTransferFrom(address,address,uint256)", &[Kind::Own, Kind::Recipient, Kind::Identifier]),
    ("setApprovalForAll(address,bool)", &[Kind::Recipient, Kind::Flag]),
    ("claim(uint256,bytes32[])", &[Kind::Amount, Kind::Proof]),
];

impl Function {
    pub(super) fn random(rng: &mut ChaCha12Rng) -> Self {
        let gas = rng.gen_range(30_000..400_000);
        let payable = rng.gen_bool(0.2);
        if rng.gen_bool(0.35) {
            let (signature, arguments) = COMMON.choose(rng).expect("some");
            let selector = call(signature, &[]).try_into().expect("a selector has four bytes");
            return Self { selector, arguments: arguments.to_vec(), payable, gas };
        }
        let arguments = (0..rng.gen_range(0..8)).map(|_| *KINDS.choose(rng).expect("some")).collect();
        Self { selector: rng.r#gen(), arguments, payable, gas }
    }
}

fn argument(kind: Kind, world: &mut World, sender: usize, now: u64, rng: &mut ChaCha12Rng) -> Value {
    match kind {
        Kind::Recipient => world.draw_recipient(sender, rng).into(),
        Kind::Own => world.sender(sender).address.into(),
        Kind::Token => world.draw_token(rng).address.into(),
        Kind::Amount => amounts::any(20.0, 18, rng).into(),
        Kind::Identifier => (10_f64.powf(rng.gen_range(0.0..6.0)) as u64).into(),
        Kind::Flag => u64::from(rng.gen_bool(0.7)).into(),
        Kind::Small => rng.gen_range(0..10_u64).into(),
        Kind::Deadline => (now + 1_200).into(),
        Kind::Negative => (U256::ZERO - U256::from(rng.gen_range(1..887_272_u32))).into(),
        Kind::Hash => Value::Word(rng.r#gen()),
        Kind::Bytes => Value::Bytes(bytes(rng.gen_range(0..200), rng)),
        Kind::Text => {
            let letters = (0..rng.gen_range(4..60)).map(|_| b"etaoinshrdlu cm"[rng.gen_range(0..15)]);
            Value::Bytes(letters.collect())
        }
        Kind::Identifiers => {
            let first = rng.gen_range(0..100_000_u64);
            Value::Array((0..rng.gen_range(1..6)).map(|n| (first + n).into()).collect())
        }
        Kind::Proof => Value::Array((0..rng.gen_range(6..16)).map(|_| Value::Word(rng.r#gen())).collect()),
    }
}

fn contract(world: &mut World, sender: usize, now: u64, rng: &mut ChaCha12Rng) -> Call {
    let contract = world.draw_contract(rng);
    let to = contract.address;
    let function = contract.functions.choose(rng).expect("each has some");
    let (selector, kinds, payable, gas) =
        (function.selector, function.arguments.clone(), function.payable, function.gas);
    let arguments: Vec<Value> = kinds.iter().map(|kind| argument(*kind, world, sender, now, rng)).collect();
    let value = if payable { amounts::any(0.02, 18, rng) } else { U256::ZERO };
    Call::new(to, value, with_selector(&selector, &arguments), gas + rng.gen_range(0..gas / 8))
}
