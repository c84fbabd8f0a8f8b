//! Where a server says that it is: `https://NAME/.well-known/matrix/server`, kept for as long as it says.
//!
//! <https://spec.matrix.org/v1.16/server-server-api/#server-discovery>. What goes wrong here is no error: the server is
//! where its name says then. The times are Synapse's.

mod answer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use reqwest::Url;
use ruma_common::{OwnedServerName, ServerName};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::federation::client::USER_AGENT_TEXT;
use crate::federation::discovery::{Discovery, Resolved, tls_name};
use crate::federation::transport::{Transport, read_body};
use crate::federation::well_known::answer::{lifetime, server_in};

/// The most bytes of an answer.
const MAX_BODY: usize = 50 * 1024;
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;
/// For how long it is remembered that a server says nothing, or nothing that can be used.
const NOTHING: Duration = Duration::from_hours(1);
/// When a server is asked again that did not answer, and said before where it is.
const DOWN: Duration = Duration::from_mins(2);
/// For how long what a server has said holds beyond its time, when it does not answer.
const GRACE: Duration = Duration::from_hours(2);
/// How many servers are remembered. More, and some are asked again earlier.
const MAX_KNOWN: usize = 10_000;
/// How many are asked at once; others wait.
const MAX_RUNNING: usize = 128;

/// Knows where servers say they are.
pub(super) struct WellKnown {
    discovery: Arc<Discovery>,
    transport: Arc<Transport>,
    /// 443.
    port: u16,
    /// How long asking may take.
    timeout: Duration,
    known: Mutex<HashMap<OwnedServerName, Arc<Slot>>>,
    free: Semaphore,
}

/// Held while the server is asked, so that it is asked once.
type Slot = tokio::sync::Mutex<Option<Known>>;

struct Known {
    delegated: Option<OwnedServerName>,
    ask_again: Instant,
    /// Until when `delegated` holds if the server does not answer.
    holds_until: Instant,
}

/// What asking came to.
enum Asked {
    /// The server is there, and that may be kept for so long.
    At(OwnedServerName, Duration),
    /// The server answers, and says nothing that can be used.
    Nothing,
    /// It does not answer, or not now.
    Down,
}

impl WellKnown {
    pub(super) fn new(
        discovery: Arc<Discovery>,
        transport: Arc<Transport>,
        port: u16,
        timeout: Duration,
    ) -> Self {
        Self {
            discovery,
            transport,
            port,
            timeout,
            known: Mutex::default(),
            free: Semaphore::new(MAX_RUNNING),
        }
    }

    /// The name that `server` is to be called by. One that is an address, or has a port, is its own.
    pub(super) async fn delegated(&self, server: &ServerName) -> OwnedServerName {
        if server.is_ip_literal() || server.port().is_some() {
            return server.to_owned();
        }
        let slot = self.slot(server);
        let mut known = slot.lock().await;
        let now = Instant::now();
        if known.as_ref().is_none_or(|known| now >= known.ask_again) {
            // The wait for a place is no fault of the server, and does not count.
            let _place = self.free.acquire().await;
            let asked = match timeout(self.timeout, self.ask(server.host())).await {
                Ok(asked) => asked,
                Err(_) => Asked::Down,
            };
            *known = Some(learned(asked, known.take(), Instant::now()));
        }
        let delegated = known.as_ref().and_then(|known| known.delegated.clone());
        delegated.unwrap_or_else(|| server.to_owned())
    }

    fn slot(&self, server: &ServerName) -> Arc<Slot> {
        let mut known = self.known.lock();
        if let Some(slot) = known.get(server) {
            return Arc::clone(slot);
        }
        if known.len() >= MAX_KNOWN {
            make_room(&mut known, Instant::now());
        }
        let slot = Arc::new(Slot::default());
        known.insert(server.to_owned(), Arc::clone(&slot));
        slot
    }

    async fn ask(&self, host: &str) -> Asked {
        let url = format!("https://{host}:{}/.well-known/matrix/server", self.port);
        let Ok(mut url) = Url::parse(&url) else {
            return Asked::Nothing;
        };
        for _ in 0..=MAX_REDIRECTS {
            let Ok(response) = self.get(&url).await else {
                return Asked::Down;
            };
            match response.status() {
                StatusCode::OK => return read(response).await,
                status if status.is_redirection() => match next(&url, &response) {
                    Some(next) => url = next,
                    None => return Asked::Nothing,
                },
                status if status.is_server_error() => return Asked::Down,
                _ => return Asked::Nothing,
            }
        }
        Asked::Nothing
    }

    async fn get(&self, url: &Url) -> Result<Response<hyper::body::Incoming>, anyhow::Error> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(self.port);
        let host_header = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let request = Request::get(path)
            .header(HOST, &host_header)
            .header(USER_AGENT, USER_AGENT_TEXT)
            .body(Full::<Bytes>::default())?;
        let resolved = Resolved {
            tls_name: tls_name(host)?,
            addresses: self.discovery.host(host, port).await?,
            host_header,
        };
        let mut sender = self.transport.connect(&resolved).await?;
        Ok(sender.send_request(request).await?)
    }
}

/// Where a redirect leads to. TLS is not given up: who may change the answer says where the server is.
fn next<B>(from: &Url, response: &Response<B>) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let url = from.join(location).ok()?;
    (url.scheme() == "https" && url.has_host()).then_some(url)
}

async fn read(response: Response<hyper::body::Incoming>) -> Asked {
    let lifetime = lifetime(response.headers());
    let Ok(body) = read_body(response.into_body(), MAX_BODY).await else {
        return Asked::Nothing;
    };
    match server_in(&body) {
        Some(server) => Asked::At(server, lifetime),
        None => Asked::Nothing,
    }
}

fn learned(asked: Asked, before: Option<Known>, now: Instant) -> Known {
    match (asked, before) {
        (Asked::At(server, lifetime), _) => Known {
            delegated: Some(server),
            ask_again: now + lifetime,
            holds_until: now + lifetime + GRACE,
        },
        (Asked::Down, Some(before)) if before.delegated.is_some() && now < before.holds_until => Known {
            ask_again: now + DOWN,
            ..before
        },
        (Asked::Down | Asked::Nothing, _) => Known {
            delegated: None,
            ask_again: now + NOTHING,
            holds_until: now,
        },
    }
}

/// Forgets what has had its time, and if that is nothing, an eighth of all that nobody waits for.
fn make_room(known: &mut HashMap<OwnedServerName, Arc<Slot>>, now: Instant) {
    let is_held = |slot: &Arc<Slot>| Arc::strong_count(slot) > 1;
    let is_fresh = |slot: &Arc<Slot>| {
        slot.try_lock()
            .is_ok_and(|known| known.as_ref().is_some_and(|known| now < known.ask_again))
    };
    known.retain(|_, slot| is_held(slot) || is_fresh(slot));
    if known.len() >= MAX_KNOWN {
        let mut count = 0_usize;
        known.retain(|_, slot| {
            count += 1;
            is_held(slot) || !count.is_multiple_of(8)
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(ask_again: Instant) -> Arc<Slot> {
        Arc::new(Slot::new(Some(Known {
            delegated: None,
            ask_again,
            holds_until: ask_again,
        })))
    }

    fn many(ask_again: impl Fn(usize) -> Instant) -> HashMap<OwnedServerName, Arc<Slot>> {
        let name = |index| ServerName::parse(format!("s{index}.test")).unwrap();
        let entries = (0..MAX_KNOWN).map(|index| (name(index), entry(ask_again(index))));
        entries.collect()
    }

    #[tokio::test]
    async fn what_has_had_its_time_makes_room_first() {
        let now = Instant::now();
        let later = now + NOTHING;
        let mut known = many(|index| if index < 10 { now } else { later });
        make_room(&mut known, now);
        assert_eq!(known.len(), MAX_KNOWN - 10);
    }

    #[tokio::test]
    async fn what_somebody_waits_for_stays() {
        let now = Instant::now();
        let mut known = many(|_| now + NOTHING);
        let held: Vec<_> = known.values().take(5_000).cloned().collect();
        make_room(&mut known, now);
        let room = MAX_KNOWN - known.len();
        assert!((1..=MAX_KNOWN / 8).contains(&room), "{room}");
        let left = known.values().filter(|slot| Arc::strong_count(slot) > 1);
        assert_eq!(left.count(), held.len());
    }

    proptest! {
        #[test]
        fn whatever_the_target_a_redirect_leads_over_tls_to_a_host_or_nowhere(location in "[ -~]{0,40}|(https?:)?[/@:\\[\\]a-z0-9.]{0,30}") {
            let from = Url::parse("https://a.test/.well-known/matrix/server").unwrap();
            let response = Response::builder().header(LOCATION, &location).body(()).unwrap();
            if let Some(url) = next(&from, &response) {
                prop_assert_eq!(url.scheme(), "https");
                prop_assert!(url.host_str().is_some_and(|host| !host.is_empty()));
                let _ = tls_name(url.host_str().unwrap_or_default());
            }
        }
    }
}
