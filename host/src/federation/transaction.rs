//! What a transaction says: the presence in it, entry by entry, and how much of it is not for us.
//!
//! Source of the rules: the [specification], and Synapse where senders do not follow it. Each entry is read by itself and
//! leniently; what cannot be read is left out and counted, and the rest counts.
//!
//! [specification]: https://spec.matrix.org/v1.16/server-server-api/#transactions

mod scan;
#[cfg(test)]
mod tests;

use presence_router_api::{PresenceState, UserId};
use ruma_common::ServerName;
use serde_json::{Map, Value, json};

pub use crate::federation::transaction::scan::{MAX_VALUES, ScanError, scan};

/// How many PDUs a transaction may have.
const MAX_PDUS: usize = 50;
/// How many EDUs.
const MAX_EDUS: usize = 100;
/// How many entries of presence are taken of one transaction: 50 an EDU, as Synapse sends at most.
const MAX_ENTRIES: usize = 50 * MAX_EDUS;
/// The longest id of an event, in bytes.
const MAX_EVENT_ID_BYTES: usize = 255;

/// A transaction, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Transaction {
    /// What it says of its server's users, in its order.
    pub presence: Vec<PresenceEntry>,
    /// What became of the rest.
    pub counts: Counts,
    /// The ids of the PDUs that say theirs: those of rooms of versions 1 and 2. Others' ids follow from the version of their
    /// room, which is not known here.
    refused_pdus: Vec<String>,
}

/// What a transaction holds, by what becomes of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// EDUs of presence.
    pub presence_edus: usize,
    /// EDUs of other types, and what is no EDU at all. They are ignored.
    pub other_edus: usize,
    /// PDUs. They are ignored.
    pub pdus: usize,
    /// Entries of presence of another server's users. They are left out.
    pub foreign: usize,
    /// Entries of presence that say nothing that is understood, or are too many. They are left out.
    pub unreadable: usize,
}

/// What a server says of one of its users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceEntry {
    /// Who. A user of the origin.
    pub user_id: UserId,
    /// What they are.
    pub presence: PresenceState,
    /// How long ago they were last active, in milliseconds, if it is said.
    pub last_active_ago: Option<u64>,
    /// What they say of it.
    pub status_msg: Option<String>,
    /// Whether they are active now.
    pub currently_active: bool,
}

/// Why a transaction is refused as a whole.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// There is too much in it. Synapse refuses the same.
    #[error("the transaction has {found} {what}, and {limit} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Something is of another type.
    #[error("{0} must be a list")]
    NotAList(&'static str),
    /// It says to be of another server than has signed it.
    #[error("the origin in the transaction is not the server that has signed it")]
    OtherOrigin,
}

impl Transaction {
    /// Reads the body of a request that `origin` has signed.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn read(content: &Map<String, Value>, origin: &ServerName) -> Result<Self, Malformed> {
        // Who has signed is known. Left out, it says nothing wrong.
        let said = content.get("origin").filter(|said| !said.is_null());
        if said.is_some_and(|said| said.as_str() != Some(origin.as_str())) {
            return Err(Malformed::OtherOrigin);
        }
        let pdus = list(content, "pdus", MAX_PDUS)?;
        let edus = list(content, "edus", MAX_EDUS)?;
        let mut transaction = Self {
            presence: Vec::new(),
            counts: Counts {
                pdus: pdus.len(),
                ..Counts::default()
            },
            refused_pdus: pdus.iter().filter_map(event_id).collect(),
        };
        for edu in edus {
            if edu.get("edu_type").and_then(Value::as_str) == Some("m.presence") {
                transaction.counts.presence_edus += 1;
                transaction.read_presence(edu, origin);
            } else {
                transaction.counts.other_edus += 1;
            }
        }
        Ok(transaction)
    }

    /// What the server is told of it: which PDUs were not taken, as far as they can be named.
    pub fn answer(&self) -> Value {
        let refused = json!({"error": "this server takes presence alone"});
        let pdus: Map<_, _> = self
            .refused_pdus
            .iter()
            .map(|id| (id.clone(), refused.clone()))
            .collect();
        json!({ "pdus": pdus })
    }

    fn read_presence(&mut self, edu: &Value, origin: &ServerName) {
        let push = edu.get("content").and_then(|content| content.get("push"));
        for entry in push.and_then(Value::as_array).into_iter().flatten() {
            match PresenceEntry::read(entry) {
                Some(entry) if entry.user_id.server_name() != origin.as_str() => self.counts.foreign += 1,
                Some(entry) if self.presence.len() < MAX_ENTRIES => self.presence.push(entry),
                Some(_) | None => self.counts.unreadable += 1,
            }
        }
    }
}

impl PresenceEntry {
    /// Without a user and a state an entry says nothing. Of the rest, what is of another type counts as left out.
    fn read(entry: &Value) -> Option<Self> {
        let presence = match entry.get("presence")?.as_str()? {
            "online" => PresenceState::Online,
            "unavailable" => PresenceState::Unavailable,
            "offline" => PresenceState::Offline,
            "busy" | "org.matrix.msc3026.busy" => PresenceState::Busy,
            _ => return None,
        };
        Some(Self {
            user_id: UserId::parse(entry.get("user_id")?.as_str()?).ok()?,
            presence,
            last_active_ago: entry.get("last_active_ago").and_then(milliseconds),
            status_msg: entry.get("status_msg").and_then(Value::as_str).map(str::to_owned),
            currently_active: entry.get("currently_active").and_then(Value::as_bool) == Some(true),
        })
    }
}

/// A duration, a fraction of which counts for nothing. A clock that was set back makes negative ones.
fn milliseconds(value: &Value) -> Option<u64> {
    if let Some(whole) = value.as_u64() {
        return Some(whole);
    }
    let float = value.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, at 0 and at the longest there is"
    )]
    Some(float as u64)
}

fn event_id(pdu: &Value) -> Option<String> {
    let id = pdu.get("event_id")?.as_str()?;
    (id.starts_with('$') && id.len() <= MAX_EVENT_ID_BYTES).then(|| id.to_owned())
}

/// A list of the transaction; left out, it is empty.
fn list<'a>(
    content: &'a Map<String, Value>,
    key: &'static str,
    limit: usize,
) -> Result<&'a [Value], Malformed> {
    match content.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(values)) if values.len() <= limit => Ok(values),
        Some(Value::Array(values)) => Err(Malformed::TooMany {
            what: key,
            found: values.len(),
            limit,
        }),
        Some(_) => Err(Malformed::NotAList(key)),
    }
}
