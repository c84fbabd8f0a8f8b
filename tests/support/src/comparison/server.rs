//! A server that scripts are run against; and ours.

use std::ffi::OsStr;

use super::script::{Script, USERS};
use crate::cli::run_cli;
use crate::client::Client;
use crate::config::Config;
use crate::host::Host;
use crate::{SERVER, artifacts, token_of};

/// A server with the users of the scripts.
pub trait Server {
    /// A client of it, without a user.
    fn client(&self) -> Client;

    /// The access token of a localpart.
    fn token(&self, name: &str) -> String;

    /// Ends it, and starts it again with all that it keeps.
    fn restart(&mut self);
}

/// Our host, with the broadcast module.
#[derive(Debug)]
pub struct Ours(Host);

impl Ours {
    /// Starts it as the script wants it.
    pub fn start(script: &Script) -> Self {
        Self(Host::start(&config(script)))
    }

    /// Whether it takes the script's config.
    pub fn takes(script: &Script) -> bool {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let file = config(script).write_into(directory.path());
        let check = [OsStr::new("check"), OsStr::new("-c"), file.as_os_str()];
        run_cli(check).code() == 0
    }
}

impl Server for Ours {
    fn client(&self) -> Client {
        self.0.client()
    }

    fn token(&self, name: &str) -> String {
        token_of(name)
    }

    fn restart(&mut self) {
        self.0.restart();
    }
}

fn config(script: &Script) -> Config {
    let mut config = Config::empty().users(&USERS);
    for (room, members) in &script.rooms {
        let members: Vec<_> = members.iter().map(String::as_str).collect();
        config = config.room(&id_of_room(room), &members);
    }
    if !script.excluded.is_empty() {
        let excluded: Vec<_> = script.excluded.iter().map(|room| id_of_room(room)).collect();
        config = config.set(&["exclude_rooms_from_presence"], excluded.into());
    }
    let config = config.module(artifacts::broadcast(), Script::module_config());
    config.join(&script.config_of_both())
}

fn id_of_room(room: &str) -> String {
    format!("!{room}:{SERVER}")
}
