//! `config check`: says what a start would find.

use crate::cli::ConfigArgs;
use crate::exit::{Exit, Failure};
use crate::membership::{Desk, Standing};
use crate::setup::Setup;

/// Checks everything, printing a line for each thing found; fails at the first that would stop a start.
pub(crate) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    let setup = Setup::load(args)?;
    let Setup { config, spec, key, me } = &setup;
    println!("config file     {}", args.config.display());
    println!(
        "genesis file    {}: network {}, {} validators, {} rollups, hash {}",
        config.chain_spec.display(),
        spec.network,
        spec.validators.len(),
        spec.rollups.len(),
        spec.hash()
    );
    println!(
        "key             {}: validator {me}, address {}",
        config.key.file.display(),
        key.public_key().address()
    );
    let data = &config.data_dir;
    let state =
        match (data.join(crate::store::FRESH_FILE).exists(), data.join(crate::store::WAL_FILE).exists()) {
            (true, _) => "made by init, not used yet",
            (false, true) => "in use before",
            (false, false) => {
                return Err(Failure::new(Exit::Store, crate::store::StoreError::StateMissing(data.clone())));
            }
        };
    println!("data folder     {}: {state}", data.display());
    setup.probe_ports()?;
    println!(
        "ports           free: network {}, ingress {}, rpc {}, metrics {}",
        config.network.listen, config.ingress.listen, config.rpc.listen, config.metrics.listen
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Failure, e))?;
    match runtime.block_on(setup.check_l1())? {
        None => println!("L1              not configured; the node orders without"),
        Some(Ok(())) => println!("L1              answers for chain {}", spec.l1_chain_id),
        Some(Err(error)) => println!("L1              {error}; the node orders without and tries again"),
    }
    if spec.registry.is_some() {
        match runtime.block_on(standing(args)) {
            Ok(standing) => standing.lines().iter().for_each(|line| println!("{line}")),
            Err(error) => println!("registry        {error}; the node orders without"),
        }
    }
    println!("all good");
    Ok(())
}

/// What the registry on L1 says of this node's validator.
async fn standing(args: &ConfigArgs) -> Result<Standing, Failure> {
    let desk = Desk::open(args)?;
    Standing::ask(&desk).await.map_err(Failure::from)
}
