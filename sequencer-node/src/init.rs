//! `init`: a folder that a node can start from.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::{ConfigArgs, InitArgs};
use crate::config::{Config, KeyConfig, ListenConfig, NetworkConfig, template};
use crate::exit::{Exit, Failure};
use crate::keys::{self, PasswordSource};
use crate::setup::Setup;
use crate::store::{FRESH_FILE, REPLACED_FILE};

const CONFIG_FILE: &str = "node.toml";
const KEY_FILE: &str = "key.json";
const DATA_FOLDER: &str = "data";

/// Why the folder cannot be made.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{} exists already and is never overwritten; choose another folder", .0.display())]
    Exists(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Makes the folder and prints the key's public data as JSON.
pub(crate) fn run(args: &InitArgs) -> Result<(), Failure> {
    let config_path = args.dir.join(CONFIG_FILE);
    let data = args.dir.join(DATA_FOLDER);
    let key_path = args.dir.join(KEY_FILE);
    for path in [&config_path, &data, &key_path] {
        if path.exists() {
            return Err(Failure::new(Exit::Store, InitError::Exists(path.clone())));
        }
    }
    // Everything that can fail without a trace comes first.
    let password = PasswordSource::from_option(args.password_file.as_deref())
        .choose()
        .map_err(|e| Failure::new(Exit::Key, e))?;
    let config = config(args)?;
    make_folder(&args.dir)?;
    let public = keys::create(&key_path, &password).map_err(|e| Failure::new(Exit::Key, e))?;
    make_folder(&data)?;
    write(&data.join(FRESH_FILE), "made by init; the first start removes this file\n")?;
    write(&config_path, &template(&config))?;
    let made = json!({
        "config": config_path,
        "public_key": public.public_key,
        "address": public.address,
        "peer_id": public.peer_id,
        "network_listen": config.network.listen,
    });
    println!("{made}");
    Ok(())
}

/// Makes an empty data folder for a key that has run before.
pub(crate) fn new_data(args: &ConfigArgs) -> Result<(), Failure> {
    let setup = Setup::load(args)?;
    let data = &setup.config.data_dir;
    if data.exists() {
        return Err(Failure::new(Exit::Store, InitError::Exists(data.clone())));
    }
    make_folder(data)?;
    write(
        &data.join(REPLACED_FILE),
        "made by data new: this folder replaced one that was lost; leave this file here\n",
    )?;
    write(&data.join(FRESH_FILE), "made by data new; the first start removes this file\n")?;
    println!("{}", json!({ "data_dir": data, "validator": setup.me }));
    Ok(())
}

fn config(args: &InitArgs) -> Result<Config, Failure> {
    let listen = |offset: u16| {
        let port = args.port_base.checked_add(offset).and_then(|p| p.checked_add(args.node));
        port.map(|port| SocketAddr::new(args.bind, port))
            .ok_or_else(|| Failure::new(Exit::Usage, "--port-base is too high: ports end at 65535"))
    };
    let absolute = |path: &PathBuf| {
        fs::canonicalize(path)
            .map_err(|e| Failure::new(Exit::Key, InitError::Io { path: path.clone(), source: e }))
    };
    let mut config = Config {
        data_dir: DATA_FOLDER.into(),
        chain_spec: args.chain_spec.clone(),
        key: KeyConfig {
            file: KEY_FILE.into(),
            password_file: args.password_file.as_ref().map(absolute).transpose()?,
        },
        network: NetworkConfig { listen: listen(0)?, ..NetworkConfig::default() },
        metrics: ListenConfig { listen: listen(300)? },
        ..Config::default()
    };
    config.ingress.listen = listen(100)?;
    config.rpc.listen = listen(200)?;
    config.l1.endpoint.clone_from(&args.l1_endpoint);
    Ok(config)
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Failure::new(Exit::Store, InitError::Io { path: path.to_owned(), source }))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = fs::write(path, text);
    written.map_err(|source| Failure::new(Exit::Store, InitError::Io { path: path.to_owned(), source }))
}
