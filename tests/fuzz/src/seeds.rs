//! Seeds for each target, made by the encoders of a running network: fuzzing begins where decoders end.
//!
//! Nothing is checked in. A target that is started with [`FOLDER`] set writes its seeds there and ends.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// Names the folder to write seeds to.
pub const FOLDER: &str = "FUZZ_SEEDS";
/// Most seeds of one target; of each kind the first ones.
const MAX_SEEDS: usize = 400;
/// Longest seed: what is longer makes each run slow and says no more.
const MAX_SEED_BYTES: usize = 16 << 10;

/// Writes the seeds and ends the process, if asked to.
pub fn write_if_asked(make: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).expect("the folder for seeds can be made");
    let fitting = make().into_iter().filter(|seed| seed.len() <= MAX_SEED_BYTES);
    for (number, seed) in fitting.take(MAX_SEEDS).enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed)
            .expect("the folder for seeds can be written");
    }
    process::exit(0);
}

/// A seed for the decoder that `selector` chooses.
pub fn seed(selector: u8, bytes: &[u8]) -> Vec<u8> {
    [&[selector], bytes].concat()
}

/// A folder of this process alone, in memory where the system has that.
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    let folder = base.join(format!("fuzz-{}", process::id()));
    fs::create_dir_all(&folder).expect("a scratch folder can be made");
    folder
}
