//! One call of a script, and what is expected of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::outcome::Outcome;

/// A call. Exactly one of `set`, `get`, `sync`, `request` and `restart` says what is done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// What it shows, in a few words; no two in a script are the same.
    pub case: String,
    /// Whose token goes with it; none: no token.
    #[serde(default, rename = "as")]
    pub user: Option<String>,
    /// `PUT` of the user's own presence with this body.
    #[serde(default)]
    pub set: Option<Value>,
    /// `GET` of somebody's presence: a localpart, or a whole user id.
    #[serde(default)]
    pub get: Option<String>,
    /// `GET /sync`.
    #[serde(default)]
    pub sync: Option<Sync>,
    /// Any request, as `METHOD /path`.
    #[serde(default)]
    pub request: Option<String>,
    /// The server is ended and started again.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// Headers of a `request`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body of a `request`, as text.
    #[serde(default)]
    pub body: Option<String>,
    /// The body of a `request`, as hexadecimal bytes.
    #[serde(default)]
    pub bytes: Option<String>,
    /// Keeps a member of a `request`'s answer under this name: `{kept:name}` stands for it in later calls.
    #[serde(default)]
    pub keep: Option<Keep>,
    /// A call made while the `sync` waits.
    #[serde(default)]
    pub meanwhile: Option<Box<Call>>,

    /// The status, and the error code when there is one.
    #[serde(default = "fine")]
    pub answer: String,
    /// The lines of [`Outcome::shows`].
    #[serde(default)]
    pub shows: Vec<String>,
    /// What Synapse answers, where that is something else.
    #[serde(default)]
    pub synapse: Option<Recorded>,
    /// Why ours is to be something else. Stands with `synapse`.
    #[serde(default)]
    pub differs: Option<String>,
    /// What our host cannot do yet: what is expected is then Synapse's answer and not ours.
    #[serde(default)]
    pub pending: Option<String>,
}

/// A `/sync`. It does not wait, and leaves the user's presence alone, unless it says otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// The name of a kept token; none: a first sync.
    #[serde(default)]
    pub since: Option<String>,
    /// The name under which to keep `next_batch`.
    #[serde(default)]
    pub keep: Option<String>,
    /// In milliseconds.
    #[serde(default)]
    pub timeout: u64,
    /// `default` leaves the parameter out.
    #[serde(default)]
    pub set_presence: Option<String>,
    /// The parameter of this name, as it is written.
    #[serde(default)]
    pub full_state: Option<String>,
    /// The parameter of this name, as text.
    #[serde(default)]
    pub filter: Option<String>,
    /// Goes on syncing until there was an event of each of these users; the newest of each counts. For what is
    /// routed by a module, which may be a moment later.
    #[serde(default)]
    pub until: Vec<String>,
}

/// What to keep of an answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The name of a member of the answer, a text.
    pub member: String,
    /// The name to keep it under.
    pub name: String,
}

/// What is started again.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// The whole server.
    Server,
}

/// What a server answered when the script was written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// As [`Call::answer`].
    #[serde(default = "fine")]
    pub answer: String,
    /// As [`Call::shows`].
    #[serde(default)]
    pub shows: Vec<String>,
}

impl Call {
    /// What our host is to answer.
    pub fn ours(&self) -> Outcome {
        Outcome {
            answer: self.answer.clone(),
            shows: self.shows.clone(),
        }
    }

    /// What Synapse is to answer.
    pub fn synapses(&self) -> Outcome {
        self.synapse.as_ref().map_or_else(
            || self.ours(),
            |recorded| Outcome {
                answer: recorded.answer.clone(),
                shows: recorded.shows.clone(),
            },
        )
    }

    /// The call, and the one made meanwhile.
    pub(super) fn with_inner(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.meanwhile.as_deref())
    }

    /// The error says what is wrong with the call as data.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let actions = [
            self.set.is_some(),
            self.get.is_some(),
            self.sync.is_some(),
            self.request.is_some(),
            self.restart.is_some(),
        ];
        if actions.into_iter().filter(|given| *given).count() != 1 {
            return Err("give exactly one of set, get, sync, request and restart");
        }
        if self.synapse.is_some() != self.differs.is_some() {
            return Err(
                "`synapse` and `differs` stand together: what it answers, and why ours is something else",
            );
        }
        if self.meanwhile.is_some() && self.sync.as_ref().is_none_or(|sync| !sync.until.is_empty()) {
            return Err("only a `sync` can have a `meanwhile`, and one without `until`");
        }
        if self.set.is_some() && self.user.is_none() {
            return Err("a `set` needs `as`: whose presence it is");
        }
        Ok(())
    }
}

fn fine() -> String {
    "200".to_owned()
}
