//! What stands in front of a host, as a reverse proxy does: it speaks TLS, and passes requests on as they came.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tempfile::TempDir;

use crate::config::Config;
use crate::federation::authority::Authority;
use crate::federation::tls::{Received, Reply, TlsServer};
use crate::host::Host;
use crate::token_of;

/// A gate. It is there before its host, whose name is the gate's address, and while that is down: who comes then is turned
/// away.
#[derive(Debug)]
pub struct Gate {
    server: TlsServer,
    /// Where the host listens.
    host: Arc<Mutex<Option<String>>>,
    directory: TempDir,
}

impl Gate {
    /// A gate that leads nowhere yet.
    pub fn open(authority: &Authority) -> Self {
        let host: Arc<Mutex<Option<String>>> = Arc::default();
        let leads_to = Arc::clone(&host);
        let server = TlsServer::start(authority, move |request| {
            let address = leads_to.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = address.and_then(|address| pass_on(&address, &request).ok());
            answer.map_or(Reply::HangUp, Reply::Raw)
        });
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        authority.write_into(directory.path());
        // The seed of the key only has to differ from server to server.
        let seed = format!("{:A<43}", server.address.port());
        fs::write(
            directory.path().join("signing.key"),
            format!("ed25519 a_test {seed}\n"),
        )
        .expect("a file can be written");
        Self {
            server,
            host,
            directory,
        }
    }

    /// The name of the homeserver behind it.
    pub fn name(&self) -> String {
        self.server.address.to_string()
    }

    /// The id of a user of that homeserver.
    pub fn id(&self, name: &str) -> String {
        format!("@{name}:{}", self.name())
    }

    /// A config of the homeserver, with these users.
    pub fn config(&self, users: &[&str]) -> Config {
        let file = |name: &str| json!(self.directory.path().join(name));
        let tokens = |name: &&str| (self.id(name), json!({"access_tokens": [token_of(name)]}));
        let users: serde_json::Map<_, _> = users.iter().map(tokens).collect();
        Config::empty()
            .set(&["server_name"], json!(self.name()))
            .set(
                &["listeners"],
                json!([{
                    "port": 0,
                    "bind_addresses": ["127.0.0.1"],
                    "resources": [{"names": ["client", "federation", "metrics", "health"]}],
                }]),
            )
            .set(&["signing_key_path"], file("signing.key"))
            .set(&["federation_custom_ca_list"], json!([file("ca.pem")]))
            .set(&["ip_range_whitelist"], json!(["127.0.0.0/8"]))
            .set(&["directory", "static", "users"], json!(users))
    }

    /// Lets through to a host, until [`close`](Self::close).
    pub fn lead_to(&self, host: &Host) {
        let listener = host.listeners().first().expect("a host has a listener");
        let address = listener.address.trim_start_matches("http://").to_owned();
        *self.host.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// Turns everybody away: the host is down.
    pub fn close(&self) {
        *self.host.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn pass_on(address: &str, request: &Received) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nconnection: close\r\n",
        request.method, request.path
    );
    let hop = |line: &&String| !line.to_ascii_lowercase().starts_with("connection:");
    for line in request.headers.iter().filter(hop) {
        head.push_str(line);
        head.push_str("\r\n");
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(&request.body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
