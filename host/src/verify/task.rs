//! What a child process is told to check, and under which conditions. It crosses as JSON on standard input, so that
//! no secret of a config stands in a list of processes.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::config::Outgoing;
use crate::verify::Check;

/// The module that is verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subject {
    /// Its file, absolute.
    pub file: PathBuf,
    /// Which of its routers.
    pub router: Option<String>,
    /// Its config: what stands under `config:`.
    pub config: Value,
    /// The name of the homeserver.
    pub server_name: String,
    /// How long a call may take.
    pub call_timeout: Duration,
    /// Which addresses it may call.
    #[serde(serialize_with = "write_access", deserialize_with = "read_access")]
    pub http: Outgoing,
}

/// A check of a subject.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) check: Check,
    pub(super) subject: Subject,
    /// All that is chosen at random is chosen by this.
    pub(super) seed: u64,
    /// Where the child writes what it does and what it found.
    pub(super) journal: PathBuf,
    /// Where the private copies of the module go. The parent removes it, also when the child is killed.
    pub(super) copies: PathBuf,
}

fn write_access<S: Serializer>(access: &Outgoing, serializer: S) -> Result<S::Ok, S::Error> {
    let texts = |ranges: &[IpNet]| ranges.iter().map(ToString::to_string).collect::<Vec<_>>();
    (texts(&access.blocked), texts(&access.allowed)).serialize(serializer)
}

fn read_access<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outgoing, D::Error> {
    let (blocked, allowed) = <(Vec<String>, Vec<String>)>::deserialize(deserializer)?;
    let ranges = |texts: Vec<String>| {
        let parsed: Result<Vec<IpNet>, _> = texts.iter().map(|text| text.parse()).collect();
        parsed.map_err(serde::de::Error::custom)
    };
    Ok(Outgoing {
        blocked: ranges(blocked)?,
        allowed: ranges(allowed)?,
    })
}
