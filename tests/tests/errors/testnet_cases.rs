//! `testnet` and `dev-l1` told to do what cannot be done.

use std::fs;
use std::net::TcpListener;

use crate::support::{folder, program, run};
use crate::world::World;

/// Where no network ever ran.
fn elsewhere(arguments: &[&str]) -> String {
    let scratch = folder();
    let mut command = program("testnet");
    command.args(arguments).arg("--data").arg(scratch.path().join("net"));
    run(command, scratch.path())
}

pub(crate) fn usage(_: &World) -> String {
    elsewhere(&["up", "--nodes", "3"])
}

pub(crate) fn not_a_name(world: &World) -> String {
    world.live().command(&["kill", "nobody"])
}

pub(crate) fn no_such_node(world: &World) -> String {
    world.live().command(&["kill", "9"])
}

pub(crate) fn nothing_there(_: &World) -> String {
    elsewhere(&["down"])
}

/// The folder of a network that ended without a word.
pub(crate) fn nothing_runs(world: &World) -> String {
    let scratch = folder();
    let data = scratch.path().join("net");
    fs::create_dir(&data).unwrap();
    for name in [".mpc-sequencer-testnet", "genesis.toml"] {
        fs::copy(world.live().data().join(name), data.join(name)).unwrap();
    }
    let mut command = program("testnet");
    command.args(["down", "--data"]).arg(&data);
    run(command, scratch.path())
}

pub(crate) fn runs_already(world: &World) -> String {
    world.live().command(&["up"])
}

pub(crate) fn port_busy(world: &World) -> String {
    elsewhere(&["up", "--port-base", &world.live().base.to_string()])
}

pub(crate) fn port_base(_: &World) -> String {
    elsewhere(&["up", "--port-base", "65000"])
}

pub(crate) fn folder_of_somebody(_: &World) -> String {
    let scratch = folder();
    let data = scratch.path().join("net");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("thesis.txt"), "years of work").unwrap();
    let mut command = program("testnet");
    command.args(["reset", "--data"]).arg(&data);
    let said = run(command, scratch.path());
    assert!(data.join("thesis.txt").exists());
    said
}

pub(crate) fn bad_plan(_: &World) -> String {
    elsewhere(&["up", "--for", "10s", "--chaos", "break everything"])
}

pub(crate) fn l1_port_busy(_: &World) -> String {
    let scratch = folder();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = program("dev-l1");
    command.args(["--listen", &holder.local_addr().unwrap().to_string()]);
    run(command, scratch.path())
}
