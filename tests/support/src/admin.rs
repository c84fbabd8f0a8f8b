//! An operator at a running host: its admin socket, by the commands and by HTTP.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::PATIENCE;
use crate::cli::run_cli;
use crate::config::ADMIN_SOCKET;
use crate::host::Host;
use crate::process::Output;

/// An operator of one host.
#[derive(Debug, Clone)]
pub struct Admin {
    socket: PathBuf,
}

impl Admin {
    /// Of a host whose config has [`Config::admin`](crate::Config::admin).
    pub fn of(host: &Host) -> Self {
        Self {
            socket: host.directory().join(ADMIN_SOCKET),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs a command of the host, such as `modules list`, at this socket.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let socket = self.socket.to_str().expect("the tests' paths are UTF-8");
        run_cli(arguments.iter().copied().chain(["--socket", socket]))
    }

    /// The same, of which JSON is wanted, and which is fine.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--format", "json"]].concat());
        output.expect_code(0).json()
    }

    /// What `modules list` says of a module. Panics when it is not loaded.
    #[track_caller]
    pub fn module(&self, name: &str) -> Value {
        let list = self.json(&["modules", "list"]);
        let modules = list["modules"].as_array().expect("a list");
        let found = modules.iter().find(|module| module["name"] == name);
        found
            .unwrap_or_else(|| panic!("no module {name} in {list:#}"))
            .clone()
    }

    /// Sends a request: the status, and the answer's JSON.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        let mut stream = UnixStream::connect(&self.socket).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in:\n{answer}"));
        (status.expect("an answer has a status"), body)
    }
}
