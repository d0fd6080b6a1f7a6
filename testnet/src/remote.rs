//! `down`, `reset`, `status`, `kill`, `restart`, `link`: from another terminal.

use std::path::Path;

use crate::control::{ControlError, Reply, Request, ask};
use crate::exit::Exit;
use crate::layout::{DataFolder, FolderError};
use crate::screen;
use crate::session::{self, SessionError};

/// Asks the running network and prints its answer.
pub(crate) async fn request(data: &Path, request: Request, json: bool) -> Result<Exit, SessionError> {
    let folder = match DataFolder::open(data) {
        Ok(folder) => folder,
        Err(error @ FolderError::Missing(_)) => {
            eprintln!("{error}");
            return Ok(Exit::NotRunning);
        }
        Err(error) => return Err(error.into()),
    };
    match ask(&folder.socket(), &request).await {
        Ok(reply) => Ok(print(&reply, json)),
        Err(error @ ControlError::NotRunning(_)) => {
            eprintln!("{error}");
            Ok(Exit::NotRunning)
        }
        Err(error) => Err(error.into()),
    }
}

fn print(reply: &Reply, json: bool) -> Exit {
    if let Some(relay) = &reply.relay {
        if json {
            println!("{}", serde_json::to_string(relay).unwrap_or_default());
        } else {
            print!("{}", relay.table());
        }
        return Exit::Done;
    }
    match &reply.snapshot {
        Some(snapshot) if json => {
            println!("{}", serde_json::to_string(snapshot).unwrap_or_default());
        }
        Some(snapshot) => print!("{}", screen::render(snapshot)),
        None if reply.ok => println!("{}", reply.message),
        None => eprintln!("error: {}", reply.message),
    }
    if reply.ok { Exit::Done } else { Exit::Failure }
}

/// Deletes a folder that no network uses.
pub(crate) fn reset(data: &Path) -> Result<Exit, SessionError> {
    if !data.exists() {
        println!("there is nothing at {}", data.display());
        return Ok(Exit::Done);
    }
    session::free(data)?;
    let folder = DataFolder::open(data)?;
    let path = folder.root().display().to_string();
    folder.delete()?;
    println!("deleted {path}");
    Ok(Exit::Done)
}
