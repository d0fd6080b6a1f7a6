//! Text of others: configuration, genesis and key files, evidence, and what L1's nodes answer.
#![no_main]

use fuzz::founded::spec;
use fuzz::seeds::{seed, write_if_asked};
use libfuzzer_sys::fuzz_target;

const FILE: u8 = 0;
const L1_ANSWER: u8 = 1;
const ABI: u8 = 2;

fn seeds() -> Vec<Vec<u8>> {
    let genesis = toml::to_string(&*spec()).expect("a genesis file can be written");
    // With real keys: simulated ones are never read from a file.
    let generator = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let files = [
        "data_dir = 'data'\nchain_spec = 'genesis.toml'\n[key]\nfile = 'key.json'\n[rpc]\nlisten = '127.0.0.1:1'\nmax_connections = 9\n\
         [store]\ncache_mib = 64\n[log]\nfilter = 'info,quinn=warn'\nformat = 'json'\n[execution]\n7 = 'http://x'\n[l1]\nendpoint = 'http://x/'\n"
            .to_owned(),
        genesis.lines().map(|line| if line.starts_with("key = ") { format!("key = '0x{generator}'\n") } else { format!("{line}\n") }).collect(),
        format!("{{\"public_key\":\"0x{generator}\",\"address\":\"0x7e5f4552091a69125d5dfcb7b8c2659029395bdf\",\"peer_id\":\"x\"}}"),
        "{\"crypto\":{\"cipher\":\"aes-128-ctr\",\"cipherparams\":{\"iv\":\"00000000000000000000000000000000\"},\"ciphertext\":\"00\",\
         \"kdf\":\"scrypt\",\"kdfparams\":{\"dklen\":32,\"n\":8192,\"p\":1,\"r\":8,\"salt\":\"00\"},\"mac\":\"00\"},\
         \"id\":\"3198bc9c-6672-5ab3-d995-4942343ae5b6\",\"version\":3}"
            .to_owned(),
    ];
    let word = "11".repeat(32);
    let evidence = [votes(&word), wrong_share(generator)];
    let answers = [
        format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[{{\"address\":\"0x{0}\",\"topics\":[\"0x{word}\"],\"data\":\"0x{word}\",\"blockHash\":\"0x{word}\",\
                 \"blockNumber\":\"0x1\",\"transactionHash\":\"0x{word}\",\"transactionIndex\":\"0x0\",\"logIndex\":\"0x0\",\"removed\":false}}]}}", "11".repeat(20)),
        format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x{word}\"}}"),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":3,\"message\":\"reverted\",\"data\":\"0x08c379a0\"}}".to_owned(),
        "{\"data\":{\"genesis_time\":\"1700000000\"}}".to_owned(),
        "{\"data\":{\"SECONDS_PER_SLOT\":\"12\",\"SLOT_DURATION_MS\":\"12000\"}}".to_owned(),
        "{\"data\":[\"0x00\",\"0x01\"]}".to_owned(),
    ];
    let calls = [[0x11; 4 + 32 * 20].to_vec(), vec![0; 32 * 12]];
    let files = files.iter().chain(&evidence).map(|text| seed(FILE, text.as_bytes()));
    let answers = answers.iter().map(|text| seed(L1_ANSWER, text.as_bytes()));
    files.chain(answers).chain(calls.iter().map(|bytes| seed(ABI, bytes))).collect()
}

fn evidence(what: &str) -> String {
    format!("{{\"network\":\"x\",\"chain_spec\":\"{}\",\"evidence\":{what}}}", "22".repeat(32))
}

fn votes(word: &str) -> String {
    let vote = |value: &str| {
        let signature = "00".repeat(65);
        format!(
            "{{\"vote\":{{\"kind\":\"Prevote\",\"epoch\":0,\"height\":7,\"round\":0,\"value\":{value},\"validator\":2}},\"signature\":\"0x{signature}\"}}"
        )
    };
    evidence(&format!(
        "{{\"votes\":{{\"first\":{},\"second\":{}}}}}",
        vote(&format!("\"{word}\"")),
        vote("null")
    ))
}

/// Of three members of four, whose points are all the generator.
fn wrong_share(generator: &str) -> String {
    let members: String = (1..=4).map(|id| format!("{id:04x}{generator}")).collect();
    let group = format!("{generator}00030004{members}");
    let entries: String = (1..=3)
        .map(|id| format!("{id:04x}{}{}{generator}{generator}", "01".repeat(16), "00".repeat(8)))
        .collect();
    let package =
        format!("{}01{}{}000000000000{:04x}{entries}", "01".repeat(16), "00".repeat(8), "05".repeat(32), 3);
    let (share, voucher) = ("03".repeat(32), "00".repeat(65));
    evidence(&format!(
        "{{\"share\":{{\"validator\":2,\"epoch\":0,\"group\":\"{group}\",\"package\":\"{package}\",\"share\":\"{share}\",\"voucher\":\"0x{voucher}\"}}}}"
    ))
}

fuzz_target!(
    init: write_if_asked(seeds),
    |data: &[u8]| {
        let Some((selector, bytes)) = data.split_first() else { return };
        match selector % 3 {
            FILE => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    sequencer_node::fuzzing::file(text);
                }
            }
            L1_ANSWER => rollup::fuzzing::l1_answer(bytes),
            _ => rollup::fuzzing::abi(bytes),
        }
    }
);
