//! An operator at a running host: its admin socket, by the commands and by HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::PATIENCE;
use crate::cli::run_cli;
use crate::config::ADMIN_SOCKET;
use crate::host::Host;
use crate::process::Output;

/// A connection to a host's admin socket, for one request after another.
#[derive(Debug)]
pub struct Connection(BufReader<UnixStream>);

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

    /// A connection for many requests.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        let stream = UnixStream::connect(&self.socket).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Connection(BufReader::new(stream))
    }
}

impl Connection {
    /// Sends a request, and does not wait for the answer.
    #[track_caller]
    pub fn send(&mut self, method: &str, path: &str) {
        write!(
            self.0.get_mut(),
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
        )
        .expect("sent");
    }

    /// The answer to the request that was sent first of those that are not answered yet: the status, and the JSON.
    #[track_caller]
    pub fn receive(&mut self) -> (u16, Value) {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("answered");
            assert!(read > 0, "the server has closed the connection after {head:?}");
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_ascii_lowercase()),
            }
        }
        let status = head.first().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or_else(|| panic!("no content-length in {head:?}"))];
        self.0.read_exact(&mut body).expect("the whole body");
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error} in {body:?}"));
        (status.expect("an answer has a status"), body)
    }

    /// Sends a request and waits for its answer.
    #[track_caller]
    pub fn ask(&mut self, method: &str, path: &str) -> (u16, Value) {
        self.send(method, path);
        self.receive()
    }

    /// Reloads a module, and answers what the server says. Panics when it does not do it.
    #[track_caller]
    pub fn reload(&mut self, module: &str) -> Value {
        let (status, answer) = self.ask("POST", &format!("/modules/{module}/reload"));
        assert_eq!(status, 200, "{answer:#}");
        answer
    }
}
