//! What this server has to send to others: the newest states of its users, for whoever shares a room with them or is named by
//! a module.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;

use crate::delivery::{Because, Leaving, PresenceContent};
use crate::directory::ServerKey;
use crate::engine::world::World;
use crate::engine::{Engine, Shared};
use crate::federation::{Carrier, Contact, Outbox, Sender, Sending, Taken, Waits};
use crate::presence::UserKey;
use crate::storage::{StoredDestination, StoredOutgoing, Writes};

/// An entry of `content.push` of an `m.presence` EDU (Matrix specification, server-server API, presence).
#[derive(Serialize)]
struct Entry<'a> {
    user_id: &'a str,
    #[serde(flatten)]
    content: PresenceContent,
}

/// The server, as the sender sees it.
struct Outgoing {
    shared: Arc<Shared>,
    woken: Arc<Notify>,
}

impl Engine {
    /// From now on, what waits for other homeservers is sent.
    pub fn send_by(&self, carrier: Arc<dyn Carrier>) -> Sender {
        let shared = &self.0;
        let (woken, origin) = {
            let world = shared.world.read();
            (
                world.destinations.woken(),
                Arc::clone(world.directory.server_name()),
            )
        };
        Sender::start(Sending {
            clock: Arc::clone(&shared.clock),
            origin,
            outbox: Arc::new(Outgoing {
                shared: Arc::clone(shared),
                woken,
            }),
            carrier,
            known: std::mem::take(&mut *shared.contacts.lock()),
            stop: shared.stop.child_token(),
            tasks: shared.tasks.clone(),
        })
    }

    /// This server speaks to no other: nothing waits for one.
    pub fn send_nothing(&self) {
        self.0.world.write().destinations.close();
    }

    /// How many users' states wait for each homeserver for which some do.
    pub fn waiting_for_servers(&self) -> Vec<(Arc<str>, usize)> {
        let world = self.0.world.read();
        let mut waiting: Vec<_> = world
            .destinations
            .lens()
            .filter_map(|(server, len)| Some((Arc::clone(world.directory.server(server)?), len)))
            .collect();
        waiting.sort_unstable();
        waiting
    }
}

impl Outgoing {
    fn store(&self, writes: Writes) {
        self.shared.storage.write(writes, Vec::new());
    }
}

impl Outbox for Outgoing {
    type Load = Vec<Leaving>;

    fn waiting(&self) -> Waits<'_, Vec<Arc<str>>> {
        Box::pin(async {
            loop {
                let woken = self.woken.notified();
                let servers: Vec<_> = {
                    let mut world = self.shared.world.write();
                    let fresh = world.destinations.take_fresh().into_iter();
                    fresh
                        .filter_map(|server| world.directory.server(server).cloned())
                        .collect()
                };
                if !servers.is_empty() {
                    return servers;
                }
                woken.await;
            }
        })
    }

    fn take(&self, destination: &str, users: usize, bytes: usize) -> Taken<Vec<Leaving>> {
        let now = self.shared.clock.now_ms();
        let mut world = self.shared.world.write();
        let Some(server) = world.directory.server_key(destination) else {
            return Taken {
                entries: Vec::new(),
                load: Vec::new(),
                more: false,
            };
        };
        let mut taken = world.destinations.take(server, users).into_iter();
        let (mut entries, mut load, mut size) = (Vec::new(), Vec::new(), 0);
        for leaving in taken.by_ref() {
            let entry = entry(&world, server, leaving, now);
            // What is not to be sent any more has arrived.
            load.push(leaving);
            if let Some((entry, len)) = entry {
                size += len;
                entries.push(entry);
            }
            if size >= bytes {
                break;
            }
        }
        for rest in taken {
            world.destinations.put(server, rest);
        }
        Taken {
            entries,
            load,
            more: world.destinations.len_of(server) > 0,
        }
    }

    fn arrived(&self, destination: &str, load: Vec<Leaving>) {
        let sent: Vec<_> = {
            let mut world = self.shared.world.write();
            let Some(server) = world.directory.server_key(destination) else {
                return;
            };
            let users = world.destinations.has_arrived(server, load).into_iter();
            users
                .filter_map(|user| {
                    let name = world.directory.server(server)?;
                    Some((Arc::clone(name), world.directory.id(user)?.clone()))
                })
                .collect()
        };
        if !sent.is_empty() {
            self.store(Writes {
                sent,
                ..Writes::default()
            });
        }
    }

    fn take_back(&self, destination: &str, load: Vec<Leaving>) {
        let mut world = self.shared.world.write();
        if let Some(server) = world.directory.server_key(destination) {
            for leaving in load {
                world.destinations.put(server, leaving);
            }
        }
    }

    fn note(&self, contact: &Contact) {
        let outgoing = {
            let mut world = self.shared.world.write();
            if let Some(server) = world.directory.server_key(&contact.server) {
                if contact.failures > 0 {
                    world.destinations.is_away(server);
                } else {
                    world.destinations.is_back(server);
                }
            }
            world.outgoing_to_store()
        };
        self.store(Writes {
            destinations: vec![StoredDestination {
                server: Arc::clone(&contact.server),
                succeeded_ts: contact.succeeded_ts,
                failed_ts: contact.failed_ts,
                retry_ts: contact.retry_ts,
                failures: contact.failures,
            }],
            outgoing,
            ..Writes::default()
        });
    }

    fn transaction_id(&self) -> String {
        // Positions only grow, over restarts too.
        self.shared.world.write().streams.advance().to_string()
    }
}

impl From<StoredDestination> for Contact {
    fn from(stored: StoredDestination) -> Self {
        let StoredDestination {
            server,
            succeeded_ts,
            failed_ts,
            retry_ts,
            failures,
        } = stored;
        Self {
            server,
            succeeded_ts,
            failed_ts,
            retry_ts,
            failures,
        }
    }
}

/// What is to be said of a user to a homeserver, and how long it is; nothing when it need not hear of them any more.
fn entry(world: &World, server: ServerKey, leaving: Leaving, now: u64) -> Option<(Value, usize)> {
    let Leaving { user, because, .. } = leaving;
    let is_wanted = match because {
        Because::SharedRoom => world
            .shared_rooms()
            .remote_servers(user)
            .any(|other| other == server),
        // A newer one is on its way through the module, which may route it elsewhere.
        Because::Routed(change) => world.streams.last_change(user) == change,
    };
    if !is_wanted || !world.is_mine(user) {
        return None;
    }
    let entry = Entry {
        user_id: world.directory.id(user)?.as_str(),
        content: world.content(user, now),
    };
    let text = serde_json::to_string(&entry).ok()?;
    let len = text.len();
    Some((serde_json::to_value(entry).ok()?, len))
}

/// Takes up what was not sent in an earlier run. To homeservers that could not be reached, the newest states of all who share
/// a room with their people are sent again: some may have changed just before the end.
pub(super) fn restore(world: &mut World, outgoing: Vec<StoredOutgoing>, destinations: &[StoredDestination]) {
    for stored in outgoing {
        let user = world.directory.key_or_insert(&stored.user_id);
        let server = world.directory.server_key_or_insert(&stored.server);
        let because = Because::from_stored(stored.change);
        let row = Some(because);
        world.destinations.put(server, Leaving { user, because, row });
    }
    for away in destinations.iter().filter(|destination| destination.failures > 0) {
        let server = world.directory.server_key_or_insert(&away.server);
        world.destinations.is_away(server);
        let online: Vec<UserKey> = world
            .directory
            .users()
            .filter(|user| world.is_online(*user) && world.is_mine(*user))
            .filter(|user| {
                world
                    .shared_rooms()
                    .remote_servers(*user)
                    .any(|other| other == server)
            })
            .collect();
        for user in online {
            world.destinations.queue(server, user, Because::SharedRoom);
        }
    }
}
