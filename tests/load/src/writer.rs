//! A connection that sets the presence of its users, one after another.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{sleep, sleep_until};

use crate::http::Connection;
use crate::run::{Errors, Run};
use crate::schedule::Schedule;
use crate::stamp::Stamp;
use crate::stats::Latencies;

/// How long a connection waits after an error, so that a server that is down is not flooded.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// What the writers of a thread measure.
#[derive(Debug)]
pub(crate) struct WriteTally {
    pub(crate) latency: Latencies,
    pub(crate) errors: Errors,
    /// How many connections were opened.
    pub(crate) opened: u64,
    pub(crate) written: Vec<Written>,
}

/// What was written for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// The user's number in the targets file.
    pub(crate) user: usize,
    /// How many updates that were sent in the window were acknowledged.
    pub(crate) updates: u64,
    /// The last acknowledged one, of the whole run.
    pub(crate) last: Option<u64>,
}

impl WriteTally {
    pub(crate) fn new() -> Self {
        Self {
            latency: Latencies::new(),
            errors: Errors::default(),
            opened: 0,
            written: Vec::new(),
        }
    }

    /// Adds what another thread has measured.
    pub(crate) fn merge(&mut self, other: Self) {
        self.latency.add(&other.latency);
        self.errors.merge(other.errors);
        self.opened += other.opened;
        self.written.extend(other.written);
    }

    /// How many updates that were sent in the window were acknowledged.
    pub(crate) fn updates(&self) -> u64 {
        self.written.iter().map(|written| written.updates).sum()
    }
}

/// Writes until the window ends, for one user at least. No other connection writes for these users, so that the updates of each stay in order.
pub(crate) async fn write(
    run: Arc<Run>,
    mut connection: Connection,
    users: Vec<usize>,
    schedule: Schedule,
    tally: Arc<Mutex<WriteTally>>,
) {
    let mut users: Vec<_> = users.into_iter().map(|user| Target::new(&run, user)).collect();
    let (mut request, mut body) = (Vec::new(), String::new());
    let mut number = 0_u64;
    if users.is_empty() {
        return;
    }
    // Every user says `online` and `unavailable` in turn: a change each time.
    'run: for presence in ["online", "unavailable"].into_iter().cycle() {
        for target in &mut users {
            let due = schedule.due(number);
            number += 1;
            let mut late_since = None;
            if let Some(due) = due {
                if due >= run.window.to {
                    break 'run;
                }
                if Duration::from_nanos(run.now()) < due {
                    sleep_until(run.at(due).into()).await;
                } else {
                    late_since = u64::try_from(due.as_nanos()).ok();
                }
            }
            let at = run.now();
            if Duration::from_nanos(at) >= run.window.to {
                break 'run;
            }
            target.request(&run, presence, at, &mut body, &mut request);
            let error = match connection.exchange(&request).await {
                Ok(answer) if answer.status == 200 => None,
                Ok(answer) => Some(format!("PUT {}", answer.describe())),
                Err(error) => Some(format!("PUT {error:#}")),
            };
            if let Some(error) = error {
                tally.lock().errors.add(error);
                sleep(ERROR_PAUSE).await;
                continue;
            }
            target.written.last = Some(at);
            if run.window.holds(at) {
                target.written.updates += 1;
                // At a fixed rate, waiting behind a late answer counts; that our timer was late does not.
                let since = late_since.unwrap_or(at);
                tally.lock().latency.record(run.now().saturating_sub(since));
            }
        }
    }
    let mut tally = tally.lock();
    tally.opened += connection.opened();
    tally.written.extend(users.iter().map(|target| target.written));
}

/// A user who is written for.
struct Target {
    /// The request's head, up to the length of its body.
    head: String,
    written: Written,
}

impl Target {
    fn new(run: &Run, user: usize) -> Self {
        let token = run.targets.users.get(user).map_or("", |user| &user.token);
        let head = run.authority.head("PUT", &run.targets.status_path(user), token);
        Self {
            head: head + "content-type: application/json\r\ncontent-length: ",
            written: Written {
                user,
                updates: 0,
                last: None,
            },
        }
    }

    /// Writes the request into memory that is there already.
    fn request(&self, run: &Run, presence: &str, at: u64, body: &mut String, request: &mut Vec<u8>) {
        body.clear();
        body.push_str("{\"presence\":\"");
        body.push_str(presence);
        body.push_str("\",\"status_msg\":\"");
        let writer = self.written.user;
        run.tag.write(Stamp { writer, at }, body);
        body.push_str("\"}");
        request.clear();
        request.extend_from_slice(self.head.as_bytes());
        request.extend_from_slice(body.len().to_string().as_bytes());
        request.extend_from_slice(b"\r\n\r\n");
        request.extend_from_slice(body.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::http::Authority;
    use crate::run::Window;
    use crate::stamp::Tag;
    use crate::targets::{Role, Targets, User};

    #[test]
    fn the_request_is_whole_and_says_who_and_when() {
        let user = User {
            user_id: "@a:x".to_owned(),
            token: "secret".to_owned(),
            rooms: Vec::new(),
            role: Role::User,
        };
        let run = Run {
            authority: Authority::of("http://x:1").expect("valid"),
            targets: Targets {
                base_url: String::new(),
                users: vec![user],
            },
            tag: Tag::new(1),
            window: Window::after(0.0, 1.0).expect("a window"),
            started: OnceLock::new(),
            sync_path: String::new(),
        };
        let (mut body, mut request) = (String::new(), b"of before".to_vec());
        Target::new(&run, 0).request(&run, "online", 42, &mut body, &mut request);
        let wanted = "PUT /_matrix/client/v3/presence/%40a%3Ax/status HTTP/1.1\r\nhost: x:1\r\nauthorization: Bearer \
                      secret\r\ncontent-type: application/json\r\ncontent-length: \
                      45\r\n\r\n{\"presence\":\"online\",\"status_msg\":\"pl1:0:42\"}";
        assert_eq!(String::from_utf8_lossy(&request), wanted);
    }
}
