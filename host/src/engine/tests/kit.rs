//! Starts servers and modules for the tests, and plays their clients.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use presence_router_api::{PresenceState, UserId};
use tokio::task::JoinHandle;

use crate::clock::{Clock, StandStill, TokioClock};
use crate::config;
use crate::delivery::{PresenceContent, PresenceFilter, SyncToken};
use crate::directory::StaticSource;
use crate::engine::feed::Feed;
use crate::engine::{Engine, Session, SetPresence, Setup, SyncAnswer, SyncRequest};
use crate::modules::puppet::Puppet;
use crate::presence::UserKey;
use crate::storage::{Location, Storage};

/// The users, each with the tokens `NAME/1` and `NAME/2`.
pub(super) const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "eve"];
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(1);
const START: u64 = 1_700_000_000_000;

pub(super) fn id(name: &str) -> UserId {
    UserId::parse(format!("@{name}:example.org")).expect("valid")
}

/// A filter of these users' events.
pub(super) fn only<'a>(names: impl IntoIterator<Item = &'a str>) -> PresenceFilter {
    let senders = names.into_iter().map(id).collect();
    PresenceFilter::new(None, &[], Some(senders), HashSet::new())
}

/// A filter of all others' events.
pub(super) fn all_but<'a>(names: impl IntoIterator<Item = &'a str>) -> PresenceFilter {
    PresenceFilter::new(None, &[], None, names.into_iter().map(id).collect())
}

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::starting_at(START))
}

/// A server without modules, with these rooms.
pub(super) fn setup(clock: Arc<dyn Clock>, rooms: &[&[&str]]) -> Setup {
    Setup {
        clock,
        server_name: "example.org".to_owned(),
        source: Arc::new(StaticSource::new(&directory(rooms))),
        presence: config::Presence::default(),
        excluded_rooms: Vec::new(),
        rc_presence: None,
        // Where time stands still, nothing is to wait for it.
        route_pace: Duration::ZERO,
        storage: Storage::open(&Location::Memory).expect("opens"),
    }
}

/// The users, and these rooms, named `!0:example.org` and so on.
pub(super) fn directory(rooms: &[&[&str]]) -> config::Directory {
    let user = |name: &&str| {
        let access_tokens = vec![format!("{name}/1"), format!("{name}/2")];
        (id(name), config::StaticUser { access_tokens })
    };
    let room = |(number, members): (usize, &&[&str])| {
        let members = members.iter().map(|name| id(name)).collect();
        (format!("!{number}:example.org"), members)
    };
    config::Directory {
        users: USERS.iter().map(user).collect(),
        rooms: rooms.iter().enumerate().map(room).collect(),
        ..config::Directory::default()
    }
}

/// Starts a server without modules.
pub(super) fn serve(rooms: &[&[&str]]) -> Engine {
    Engine::start(setup(clock(), rooms))
}

/// A server with modules, whose time stands still.
pub(super) struct Routed {
    pub(super) time: StandStill,
    pub(super) engine: Engine,
    pub(super) puppets: Vec<Arc<Puppet>>,
}

/// Starts a server with modules.
pub(super) async fn serve_routed(rooms: &[&[&str]], puppets: &[&Arc<Puppet>]) -> Routed {
    let time = StandStill::begin();
    let clock = clock();
    let engine = Engine::start(setup(Arc::clone(&clock), rooms));
    for (number, puppet) in puppets.iter().enumerate() {
        let module = puppet.start(Arc::clone(&clock), CALL_TIMEOUT).await;
        engine.attach(&format!("puppet{number}"), "", module.expect("starts"));
    }
    Routed {
        time,
        engine,
        puppets: puppets.iter().map(|puppet| Arc::clone(puppet)).collect(),
    }
}

impl Routed {
    /// A server that has these modules.
    pub(super) fn of(engine: Engine, puppets: Vec<Arc<Puppet>>) -> Self {
        Self {
            time: StandStill::begin(),
            engine,
            puppets,
        }
    }

    /// Adds a module.
    pub(super) async fn attach(mut self, puppet: &Arc<Puppet>) -> Self {
        let clock = Arc::clone(&self.engine.0.clock);
        let module = puppet.start(clock, CALL_TIMEOUT).await;
        let name = format!("puppet{}", self.puppets.len());
        self.engine.attach(&name, "", module.expect("starts"));
        self.puppets.push(Arc::clone(puppet));
        self
    }

    /// Has another module take over from the one of this number.
    pub(super) async fn swap_module(&mut self, number: usize, fingerprint: &str, puppet: &Arc<Puppet>) {
        let clock = Arc::clone(&self.engine.0.clock);
        let module = puppet.start(clock, CALL_TIMEOUT).await.expect("starts");
        let name = format!("puppet{number}");
        let retired = self.engine.take_over(&name, fingerprint, module);
        let Ok(retired) = retired else {
            panic!("there is none to take over from");
        };
        tokio::spawn(retired.end(CALL_TIMEOUT * 4, CALL_TIMEOUT));
        self.puppets[number] = Arc::clone(puppet);
    }

    /// The module of this number is asked no more.
    pub(super) fn detach_module(&self, number: usize) {
        let detached = self
            .engine
            .detach(&format!("puppet{number}"))
            .expect("there is one");
        tokio::spawn(detached.end(CALL_TIMEOUT, CALL_TIMEOUT));
    }

    /// Waits until the newest change of a user was routed.
    pub(super) async fn routed(&self, name: &str) {
        self.time.until(|| self.is_routed(name)).await;
    }

    pub(super) fn is_routed(&self, name: &str) -> bool {
        let user = key(&self.engine, name);
        let world = self.engine.0.world.read();
        let changed = world.streams.last_change(user) > 0;
        changed
            && world
                .streams
                .modules()
                .all(|module| world.streams.is_settled(module, user))
    }

    /// Whether a module has a call that it will answer.
    fn is_asked(&self) -> bool {
        let feeds = self.engine.0.feeds();
        let puppet = |feed: &Feed| {
            let number = feed
                .name()
                .strip_prefix("puppet")
                .and_then(|number| number.parse::<usize>().ok());
            number.and_then(|number| self.puppets.get(number))
        };
        feeds
            .iter()
            .any(|feed| feed.lease().running_calls() > puppet(feed).map_or(0, |puppet| puppet.hanging()))
    }

    /// Lets time pass until it is so, but none while a module has a call that it will answer.
    pub(super) async fn pass_until(&self, so: impl FnMut() -> bool) {
        self.pass_by(Duration::from_millis(1), so).await;
    }

    async fn pass_by(&self, step: Duration, mut so: impl FnMut() -> bool) {
        while !so() {
            let asked = self.is_asked();
            // An answer that is there is taken first.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            if !asked && !so() {
                tokio::time::advance(step).await;
            }
        }
    }

    /// Waits until the modules have routed all and can be asked, and nobody is due a timeout.
    pub(super) async fn settle(&self) {
        let ready = |feed: &Arc<Feed>| {
            let module = feed.lease();
            feed.dirty.lock().is_empty() && module.running_calls() == 0 && module.quarantined_for().is_none()
        };
        // While time passes for the modules, it does for the users.
        loop {
            up_to_date(&self.engine).await;
            self.pass_by(Duration::from_millis(100), || {
                USERS.iter().all(|name| self.is_settled(name)) && self.engine.0.feeds().iter().all(ready)
            })
            .await;
            if !is_due(&self.engine) {
                return;
            }
        }
    }

    fn is_settled(&self, name: &str) -> bool {
        let user = key(&self.engine, name);
        let never = self.engine.0.world.read().streams.last_change(user) == 0;
        never || self.is_routed(name)
    }

    pub(super) fn client(&self, name: &str) -> Client {
        Client::new(&self.engine, name)
    }
}

/// Whether the server has taken over the members of these rooms.
pub(super) fn has_rooms(engine: &Engine, directory: &config::Directory) -> bool {
    let world = engine.0.world.read();
    let has_members = |(room, members): (&String, &BTreeSet<UserId>)| {
        let found = world.directory.room_key(room);
        let found = found.map_or(&[][..], |room| world.directory.members(room));
        let is_in = |id: &UserId| {
            let key = world.directory.key(id.as_str());
            key.is_some_and(|key| found.binary_search(&key).is_ok())
        };
        found.len() == members.len() && members.iter().all(is_in)
    };
    directory.rooms.iter().all(has_members)
}

/// Waits until the timeouts that are due have been applied.
pub(super) async fn up_to_date(engine: &Engine) {
    while is_due(engine) {
        tokio::task::yield_now().await;
    }
}

fn is_due(engine: &Engine) -> bool {
    let next = engine.0.world.read().presence.next_timeout();
    next.is_some_and(|at| at <= engine.0.clock.now_ms())
}

pub(super) fn key(engine: &Engine, name: &str) -> UserKey {
    let world = engine.0.world.read();
    world.directory.key(id(name).as_str()).expect("known")
}

/// A client of a user; it remembers its token. Its syncs do not set presence, unless told to.
#[derive(Clone)]
pub(super) struct Client {
    engine: Engine,
    session: Session,
    pub(super) since: Option<SyncToken>,
    pub(super) set_presence: SetPresence,
    pub(super) filter: PresenceFilter,
}

impl Client {
    /// By a user's name, with `/2` for the second device.
    pub(super) fn new(engine: &Engine, name: &str) -> Self {
        let token = if name.contains('/') {
            name.to_owned()
        } else {
            format!("{name}/1")
        };
        Self {
            engine: engine.clone(),
            session: engine.session(&token).now_or_never().flatten().expect("known"),
            since: None,
            set_presence: SetPresence::Offline,
            filter: PresenceFilter::default(),
        }
    }

    pub(super) async fn put(&self, state: PresenceState, status_msg: &str) {
        // It waits for the disk, that is for a real thread.
        let _time = StandStill::begin();
        let status_msg = Some(status_msg.to_owned());
        self.engine
            .set_presence(&self.session, state, status_msg)
            .await
            .expect("there is room for it");
    }

    pub(super) fn request(&self, timeout: Duration) -> SyncRequest {
        SyncRequest {
            since: self.since.clone(),
            timeout,
            set_presence: self.set_presence,
            full_state: false,
            filter: self.filter.clone(),
        }
    }

    /// Syncs without waiting for news.
    pub(super) async fn sync(&mut self) -> Vec<String> {
        self.sync_for(Duration::ZERO).await
    }

    /// Syncs, and waits for news so long.
    pub(super) async fn sync_for(&mut self, timeout: Duration) -> Vec<String> {
        let answer = self.engine.sync(&self.session, self.request(timeout)).await;
        self.read(&answer.expect("the token is good"))
    }

    /// What a sync answers that does not wait for news.
    pub(super) async fn answer(&self, full_state: bool) -> SyncAnswer {
        let request = SyncRequest {
            full_state,
            ..self.request(Duration::ZERO)
        };
        let answer = self.engine.sync(&self.session, request).await;
        answer.expect("the token is good")
    }

    pub(super) async fn sync_full(&mut self) -> Vec<String> {
        let answer = self.answer(true).await;
        self.read(&answer)
    }

    /// A sync that goes on by itself.
    pub(super) fn long_poll(&self, timeout: Duration) -> JoinHandle<SyncAnswer> {
        let (client, request) = (self.clone(), self.request(timeout));
        tokio::spawn(async move {
            let answer = client.engine.sync(&client.session, request).await;
            answer.expect("the token is good")
        })
    }

    /// What a sync answered: who is what, and says what of it.
    pub(super) fn read(&mut self, answer: &SyncAnswer) -> Vec<String> {
        self.since = Some(answer.next_batch.clone());
        let mut events: Vec<_> = answer
            .events
            .iter()
            .map(|event| format!("{} {}", localpart(&event.sender), text(&event.content)))
            .collect();
        events.sort_unstable();
        events
    }

    /// A user's presence, if this one may see it.
    pub(super) async fn look_at(&self, name: &str) -> Option<String> {
        let content = self.engine.presence_of(&self.session, &id(name)).await?;
        Some(text(&content))
    }
}

pub(super) fn localpart(user: &UserId) -> &str {
    user.as_str()
        .trim_start_matches('@')
        .split(':')
        .next()
        .unwrap_or_default()
}

fn text(content: &PresenceContent) -> String {
    let status_msg = content.status_msg.as_deref().unwrap_or_default();
    format!("{} {status_msg}", content.presence).trim_end().to_owned()
}
