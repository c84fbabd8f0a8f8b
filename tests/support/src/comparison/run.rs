//! Makes the calls of a script.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::call::{Call, Sync};
use super::outcome::{self, Outcome};
use super::script::{Script, USERS};
use super::server::Server;
use crate::PATIENCE;
use crate::client::{Answer, Client, Request, percent_encode};
use crate::id_of;
use crate::sync::SyncAnswer;
use crate::user::status_path;

/// Makes the calls in their order, and answers what each came to.
pub fn run(script: &Script, server: &mut dyn Server) -> Vec<Outcome> {
    let mut kept = BTreeMap::new();
    let mut outcomes = Vec::new();
    for call in &script.calls {
        if call.restart.is_some() {
            server.restart();
            outcomes.push(Outcome::restarted());
            continue;
        }
        let caller = Caller {
            client: server.client(),
            tokens: USERS.map(|name| (name, server.token(name))).into(),
        };
        outcomes.push(caller.make(call, &mut kept));
    }
    outcomes
}

/// Tokens of syncs and members of answers, by the names that the script gives them.
type Kept = BTreeMap<String, String>;

struct Caller {
    client: Client,
    tokens: BTreeMap<&'static str, String>,
}

impl Caller {
    fn make(&self, call: &Call, kept: &mut Kept) -> Outcome {
        if let Some(sync) = &call.sync {
            return self.sync(call, sync, kept);
        }
        let request = if let Some(body) = &call.set {
            let user = call.user.as_deref().expect("checked when it was read");
            let body = self.expand(&body.to_string(), kept);
            Request::new("PUT", status_path(&id_of(user))).body(body)
        } else if let Some(user) = &call.get {
            let user = if USERS.contains(&user.as_str()) {
                id_of(user)
            } else {
                user.clone()
            };
            Request::new("GET", status_path(&user))
        } else {
            self.request(call, kept)
        };
        let answer = self.client.send(&self.authorized(request, call));
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if let Some(keep) = &call.keep
            && let Some(member) = body[keep.member.as_str()].as_str()
        {
            kept.insert(keep.name.clone(), member.to_owned());
        }
        let shows = match &body {
            Value::Object(members) if answer.status == 200 && !members.is_empty() => {
                if body["presence"].is_string() {
                    vec![outcome::presence(&body)]
                } else if body["next_batch"].is_string() {
                    events(&SyncAnswer::read(&body))
                } else {
                    vec![body.to_string()]
                }
            }
            Value::Object(members) if answer.status == 429 => outcome::beside_the_error(members),
            _ => Vec::new(),
        };
        Outcome::of(&answer, shows)
    }

    fn request(&self, call: &Call, kept: &Kept) -> Request {
        let line = call.request.as_deref().expect("checked when it was read");
        let (method, path) = line
            .split_once(' ')
            .expect("a request is written as METHOD /path");
        let mut request = Request::new(method, self.expand(path, kept));
        for (name, value) in &call.headers {
            request = request.header(name, &self.expand(value, kept));
        }
        match (&call.body, &call.bytes) {
            (Some(body), _) => request.body(self.expand(body, kept)),
            (_, Some(bytes)) => request.body(from_hexadecimal(bytes)),
            _ => request,
        }
    }

    fn sync(&self, call: &Call, sync: &Sync, kept: &mut Kept) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        let mut since = sync.since.as_ref().map(|name| kept_as(kept, name).to_owned());
        let mut seen = BTreeMap::new();
        let start = Instant::now();
        loop {
            let answer = thread::scope(|scope| {
                let request = self.authorized(self.sync_request(sync, since.as_deref(), kept), call);
                let waiting = scope.spawn(move || self.client.send(&request));
                if let Some(inner) = &call.meanwhile {
                    let done = self.make(inner, &mut Kept::new());
                    assert_eq!(done, inner.ours(), "{}", inner.case);
                }
                waiting.join().expect("the sync is answered")
            });
            let Some(found) = read_sync(&answer) else {
                return Outcome::of(&answer, Vec::new());
            };
            for event in &found.presence {
                seen.insert(event.sender.clone(), outcome::event(event));
            }
            let missing = sync.until.iter().any(|name| !seen.contains_key(&id_of(name)));
            if missing && Instant::now() < deadline {
                since = Some(found.next_batch);
                continue;
            }
            if let Some(name) = &sync.keep {
                kept.insert(name.clone(), found.next_batch);
            }
            let mut shows: Vec<_> = seen.into_values().collect();
            if sync.timeout > 0 && start.elapsed() >= Duration::from_millis(sync.timeout) {
                shows.push("(waited)".to_owned());
            }
            return Outcome::of(&answer, shows);
        }
    }

    fn sync_request(&self, sync: &Sync, since: Option<&str>, kept: &Kept) -> Request {
        // Who waits for somebody's event asks the server to wait too.
        let timeout = if sync.until.is_empty() {
            sync.timeout
        } else {
            2_000
        };
        let set_presence = sync.set_presence.as_deref().unwrap_or("offline");
        let filter = sync.filter.as_ref().map(|filter| self.expand(filter, kept));
        let query: Vec<_> = [
            ("timeout", Some(timeout.to_string().as_str())),
            ("since", since),
            (
                "set_presence",
                Some(set_presence).filter(|given| *given != "default"),
            ),
            ("full_state", sync.full_state.as_deref()),
            ("filter", filter.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", percent_encode(value?))))
        .collect();
        let path = format!("/_matrix/client/v3/sync?{}", query.join("&"));
        Request::new("GET", path).server_waits(Duration::from_millis(timeout))
    }

    fn authorized(&self, request: Request, call: &Call) -> Request {
        match &call.user {
            Some(name) => request.token(self.token(name)),
            None => request,
        }
    }

    fn token(&self, name: &str) -> &str {
        self.tokens
            .get(name)
            .unwrap_or_else(|| panic!("the scripts have no user {name:?}"))
    }

    /// Puts in what stands for something else: `{id:alice}`, `{token:alice}`, `{kept:name}`, `{repeat:text:times}`.
    fn expand(&self, text: &str, kept: &Kept) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            expanded.push_str(before);
            let placeholder = from.split_once('}').and_then(|(inner, after)| {
                let (kind, argument) = inner.get(1..)?.split_once(':')?;
                Some((self.value_of(kind, argument, kept)?, after))
            });
            if let Some((value, after)) = placeholder {
                expanded.push_str(&value);
                rest = after;
            } else {
                expanded.push('{');
                rest = &from[1..];
            }
        }
        expanded + rest
    }

    fn value_of(&self, kind: &str, argument: &str, kept: &Kept) -> Option<String> {
        match kind {
            "id" => Some(percent_encode(&id_of(argument))),
            "token" => Some(self.token(argument).to_owned()),
            "kept" => Some(kept_as(kept, argument).to_owned()),
            "repeat" => {
                let (text, times) = argument.split_once(':')?;
                Some(text.repeat(times.parse().ok()?))
            }
            _ => None,
        }
    }
}

fn events(answer: &SyncAnswer) -> Vec<String> {
    let mut lines: Vec<_> = answer.presence.iter().map(outcome::event).collect();
    lines.sort();
    lines
}

/// `None` when it was refused.
fn read_sync(answer: &Answer) -> Option<SyncAnswer> {
    (answer.status == 200).then(|| SyncAnswer::read(&answer.json()))
}

/// What was kept under a name. When the call that was to keep it has failed, that call is reported; those after it
/// then speak of something that no server has.
fn kept_as<'a>(kept: &'a Kept, name: &str) -> &'a str {
    kept.get(name).map_or("never-kept", String::as_str)
}

fn from_hexadecimal(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
        u8::from_str_radix(pair, 16).expect("only hexadecimal digits are left")
    };
    digits.chunks(2).map(byte).collect()
}
