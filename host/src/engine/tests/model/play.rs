//! Plays a case: a server, its database, its modules and its clients, restarts included.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::Offline;
use presence_router_api::PresenceUpdate;

use crate::clock::{Clock, StandStill};
use crate::directory::StaticSource;
use crate::engine::tests::kit::{Routed, USERS, clock, has_rooms, id, key, setup};
use crate::engine::tests::model::case::{Case, Device, MODULES, Meanwhile, Step};
use crate::engine::tests::model::sight::{Broadcast, Sight, Users, has, names};
use crate::engine::tests::model::stream::{Repeats, Stream, client};
use crate::engine::{Engine, SetPresence};
use crate::modules::puppet::{Mood, Puppet};
use crate::storage::{Location, Storage};

/// A server in the middle of a case.
pub(super) struct Play {
    pub(super) sight: Sight,
    include_offline: bool,
    filters: BTreeMap<Device, Users>,
    pub(super) clock: Arc<dyn Clock>,
    location: Location,
    _folder: Option<tempfile::TempDir>,
    source: Arc<StaticSource>,
    pub(super) server: Routed,
    pub(super) puppets: Vec<Arc<Puppet>>,
    /// A number for each module, which is another when it is another module.
    pub(super) forms: Vec<usize>,
    /// Whether a module of this run has been in another mood than to answer, or may have had no time to.
    troubled: bool,
    /// Whether there was an earlier run.
    restarted: bool,
    pub(super) streams: BTreeMap<Device, Stream>,
    /// What modules showed that are others now. A call that ran then may be answered after somebody's first sync.
    pub(super) shown_before: Vec<Broadcast>,
}

impl Play {
    pub(super) async fn begin(case: &Case) -> Self {
        let restarts = case.steps.iter().any(|step| matches!(step, Step::Restart(_)));
        let folder = restarts.then(|| tempfile::tempdir().expect("a directory"));
        let location = folder.as_ref().map_or(Location::Memory, |folder| {
            Location::File(folder.path().join("presence.db"))
        });
        let clock = clock();
        let _still = StandStill::begin();
        let (engine, source) = start(&clock, &location, &case.sight, case.include_offline);
        let mut play = Self {
            sight: Sight {
                modules: Vec::new(),
                ..case.sight.clone()
            },
            include_offline: case.include_offline,
            filters: case.filters.iter().copied().collect(),
            clock,
            location,
            _folder: folder,
            source,
            server: Routed::of(engine, Vec::new()),
            puppets: Vec::new(),
            forms: Vec::new(),
            troubled: false,
            restarted: false,
            streams: BTreeMap::new(),
            shown_before: Vec::new(),
        };
        for module in &case.sight.modules {
            play.attach(*module).await;
        }
        play
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.server.engine
    }

    pub(super) async fn step(&mut self, step: &Step) {
        match step {
            Step::Put(device, state, message) => client(self.engine(), *device).put(*state, message).await,
            Step::Sync(device) => self.sync(*device, SetPresence::Offline, false).await,
            Step::Show(device) => self.sync(*device, SetPresence::Online, false).await,
            Step::FullSync(device) => self.sync(*device, SetPresence::Offline, true).await,
            Step::Look(device, user) => self.look(*device, *user).await,
            Step::Wait(ms) => {
                // The time of a call that runs may be over by then, whatever the module's mood.
                let feeds = self.engine().0.feeds();
                self.troubled |= feeds
                    .iter()
                    .any(|feed| !feed.dirty.lock().is_empty() || feed.lease().running_calls() > 0);
                tokio::time::advance(Duration::from_millis(*ms)).await;
            }
            Step::SetByModule(user, state, message) => {
                let update = PresenceUpdate {
                    status_msg: Some((*message).to_owned()),
                    ..PresenceUpdate::new(id(USERS[*user]), *state)
                };
                let services = self.engine().services();
                services.set_presence_for_users(vec![update]).await.expect("set");
                for stream in self.streams.values_mut() {
                    stream.due.insert(*user);
                }
            }
            Step::Snapshot(users) => self.send_snapshot(*users).await,
            Step::Room(room, members) => {
                self.change_room(*room, *members);
                let directory = self.sight.directory();
                self.source.replace(&directory);
                let engine = self.engine();
                self.server.time.until(|| has_rooms(engine, &directory)).await;
            }
            Step::Feel(module, mood) => {
                if let Some(puppet) = self.puppets.get(*module) {
                    self.troubled |= !matches!(mood, Mood::Answer);
                    puppet.set_mood(mood.clone());
                }
            }
            Step::Attach(module) => {
                if self.puppets.len() < MODULES {
                    self.attach(*module).await;
                }
            }
            Step::TakeOver(module, generation) => self.take_over(*module, *generation).await,
            Step::Detach(module) => self.detach(*module),
            Step::Reattach(module) => self.reattach(*module).await,
            Step::Restart(meanwhile) => self.restart(meanwhile).await,
        }
    }

    async fn attach(&mut self, module: Broadcast) {
        let number = self.puppets.len();
        self.sight.modules.push(module);
        self.forms.push(0);
        self.start_module(number).await;
        for stream in self.streams.values_mut() {
            // It may show who was told of before.
            let reader = stream.reader();
            stream
                .again
                .extend((0..USERS.len()).filter(|user| module.shows(reader, *user)));
            stream.forget_unseen(&self.sight);
        }
    }

    pub(super) async fn start_module(&mut self, number: usize) {
        let (puppet, module) = self.begin_module(number).await;
        self.engine()
            .attach(&name_of(number), &self.forms[number].to_string(), module);
        self.puppets.insert(number, puppet);
        self.server = Routed::of(self.engine().clone(), self.puppets.clone());
    }

    async fn restart(&mut self, Meanwhile { room, module }: &Meanwhile) {
        let _still = StandStill::begin();
        self.engine().shutdown(Duration::from_secs(5)).await;
        if let Some((room, members)) = room {
            self.change_room(*room, *members);
        }
        if let Some((number, module)) = module
            && let Some(present) = self.sight.modules.get_mut(*number)
        {
            *present = Broadcast {
                is_attached: present.is_attached,
                ..*module
            };
            self.forms[*number] += 1;
            for stream in self.streams.values_mut() {
                stream.again.extend(0..USERS.len());
            }
        }
        let (engine, source) = start(&self.clock, &self.location, &self.sight, self.include_offline);
        self.source = source;
        self.server = Routed::of(engine, Vec::new());
        self.puppets.clear();
        self.troubled = false;
        self.restarted = true;
        for number in 0..self.sight.modules.len() {
            if self.sight.modules[number].is_attached {
                self.start_module(number).await;
            } else {
                self.puppets.push(Arc::new(Puppet::silent()));
            }
        }
        let (engine, sight) = (&self.server.engine, &self.sight);
        for stream in self.streams.values_mut() {
            stream.move_to(engine);
            let reader = stream.reader();
            // Of a room that has changed it is not known any more who came.
            let unread = stream.unread_rooms.iter().map(|room| sight.rooms[*room]);
            let members: Vec<_> = unread.filter(|room| has(*room, reader)).collect();
            for members in members {
                stream
                    .again
                    .extend((0..USERS.len()).filter(|user| has(members, *user)));
            }
            stream.forget_unseen(sight);
        }
    }

    /// A room has other members. Whom one sees by it, and saw otherwise, may be told of again.
    fn change_room(&mut self, room: usize, members: Users) {
        let before = std::mem::replace(&mut self.sight.rooms[room], members);
        let (either, changed) = (before | members, before ^ members);
        for stream in self.streams.values_mut() {
            let reader = stream.reader();
            if has(either, reader) {
                let concerned = if has(changed, reader) { either } else { changed };
                stream
                    .again
                    .extend((0..USERS.len()).filter(|user| has(concerned, *user)));
            }
            stream.unread_rooms.insert(room);
            stream.forget_unseen(&self.sight);
        }
    }

    async fn send_snapshot(&mut self, users: Users) {
        let ids = names(users).into_iter().map(id).collect();
        let services = self.engine().services();
        services.send_local_online_presence_to(ids).await.expect("sent");
        for stream in self.streams.values_mut() {
            stream.snapshot |= has(users, stream.reader());
        }
    }

    async fn sync(&mut self, device: Device, set_presence: SetPresence, full_state: bool) {
        let filter = self.filters.get(&device).copied().unwrap_or(0);
        let engine = &self.server.engine;
        let shown_before = |user: &usize| {
            self.shown_before
                .iter()
                .any(|module| module.shows(device.0, *user))
        };
        let new = || {
            let mut stream = Stream::new(engine, device, filter);
            stream.seen_before.extend((0..USERS.len()).filter(shown_before));
            stream
        };
        let stream = self.streams.entry(device).or_insert_with(new);
        stream.client.set_presence = set_presence;
        let repeats = match (full_state, stream.snapshot) {
            (true, _) if self.include_offline => Repeats::All,
            (false, false) => Repeats::Nothing,
            _ => Repeats::NotOffline,
        };
        if repeats != Repeats::Nothing && self.troubled {
            // A module that does not answer now does so later, and says all again.
            stream.again.extend(0..USERS.len());
        }
        // What one module has told is no news by another, but only as long as the logs show it.
        let sight = &self.sight;
        // What was told before a restart is not in them, nor is who was offline before a module came, and told by asking it.
        let is_outside_logs = self.restarted || self.include_offline;
        let forgotten =
            (0..USERS.len()).filter(|user| sight.may_be_told_twice(device.0, *user, is_outside_logs));
        stream.again.extend(forgotten);
        let answer = passing(&self.server, stream.client.answer(full_state)).await;
        stream.take(engine, &answer, repeats, &self.sight);
    }

    async fn look(&self, (user, device): Device, at: usize) {
        let client = client(self.engine(), (user, device));
        let seen = passing(&self.server, client.look_at(USERS[at])).await;
        let (reader, name) = (USERS[user], USERS[at]);
        assert!(
            seen.is_none() || self.sight.sees(user, at),
            "{reader} looks at {name}"
        );
        assert!(
            seen.is_some() || !self.sight.sees_by_rooms(user, at),
            "{reader} may not look at {name}"
        );
    }

    /// When all has been told, each knows what a newcomer is told, and that is what may be looked at.
    pub(super) async fn end(mut self) {
        for puppet in &self.puppets {
            puppet.set_mood(Mood::Answer);
        }
        self.server.settle().await;
        let devices: Vec<_> = self.streams.keys().copied().collect();
        for device in devices {
            self.catch_up(device).await;
            let stream = &self.streams[&device];
            let rest = stream.client.answer(false).await;
            assert!(rest.events.is_empty(), "{device:?} is told more: {rest:?}");
            let mut newcomer = Stream::new(self.engine(), device, self.filter_of(device));
            let answer = newcomer.client.answer(false).await;
            newcomer.take(self.engine(), &answer, Repeats::Nothing, &self.sight);
            let (known, expected) = (
                stream.known(&newcomer, &self.sight),
                newcomer.known(&newcomer, &self.sight),
            );
            assert_eq!(known, expected, "of {device:?}");
            self.check_first(device, answer.events.len(), &newcomer);
        }
        self.check_looks().await;
    }

    /// Syncs until a sync has all: what waits for a module lets time pass, and somebody may be due a timeout by then.
    async fn catch_up(&mut self, device: Device) {
        loop {
            let began = self.clock.now_ms();
            self.sync(device, SetPresence::Offline, false).await;
            if self.clock.now_ms() == began {
                return;
            }
            self.server.settle().await;
        }
    }

    fn filter_of(&self, device: Device) -> Users {
        self.filters.get(&device).copied().unwrap_or(0)
    }

    /// A first sync has all whom one sees, but offline ones only when they are wanted.
    fn check_first(&self, device: Device, events: usize, newcomer: &Stream) {
        let world = self.engine().0.world.read();
        let is_told = |user: &usize| {
            let key = world.directory.key(id(USERS[*user]).as_str()).expect("known");
            self.sight.sees(device.0, *user)
                && newcomer.wants(*user)
                && (self.include_offline || world.presence.state(key).state != Offline)
        };
        let expected = (0..USERS.len()).filter(is_told).count();
        assert_eq!(events, expected, "of {device:?}");
    }

    async fn check_looks(&self) {
        for (reader, reader_name) in USERS.iter().enumerate() {
            for (user, name) in USERS.iter().enumerate() {
                let seen = client(self.engine(), (reader, 1)).look_at(name).await;
                let is = self.state_of(name);
                let expected = self.sight.sees(reader, user).then_some(is);
                assert_eq!(seen, expected, "{reader_name} looks at {name}");
            }
        }
    }

    fn state_of(&self, name: &str) -> String {
        let key = key(self.engine(), name);
        let world = self.engine().0.world.read();
        let presence = world.presence.state(key);
        let message = presence.status_msg.as_deref().unwrap_or_default();
        format!("{} {message}", presence.state).trim_end().to_owned()
    }
}

pub(super) fn name_of(number: usize) -> String {
    format!("puppet{number}")
}

fn start(
    clock: &Arc<dyn Clock>,
    location: &Location,
    sight: &Sight,
    include_offline: bool,
) -> (Engine, Arc<StaticSource>) {
    let mut setup = setup(Arc::clone(clock), &[]);
    let source = Arc::new(StaticSource::new(&sight.directory()));
    setup.source = Arc::<StaticSource>::clone(&source);
    setup.presence.include_offline_users_on_sync = include_offline;
    setup.excluded_rooms = sight.excluded_rooms();
    setup.storage = Storage::open(location).expect("opens");
    (Engine::start(setup), source)
}

/// Lets time pass while somebody waits for a module.
async fn passing<T>(server: &Routed, done: impl Future<Output = T>) -> T {
    let mut done = Box::pin(done);
    tokio::select! {
        biased;
        done = &mut done => done,
        () = server.pass_until(|| false) => unreachable!("it never is"),
    }
}
