//! Text of others: configuration, genesis and key files, and what L1's nodes answer.
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
    let files = files.iter().map(|text| seed(FILE, text.as_bytes()));
    let answers = answers.iter().map(|text| seed(L1_ANSWER, text.as_bytes()));
    files.chain(answers).chain(calls.iter().map(|bytes| seed(ABI, bytes))).collect()
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
