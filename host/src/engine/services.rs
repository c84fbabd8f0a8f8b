//! What the server does for its modules.

use std::sync::{Arc, Weak};

use presence_router_api::{PresenceUpdate, UserId, UserPresenceState};

use crate::config::Tracking;
use crate::delivery::Because;
use crate::engine::fetch::Wanted;
use crate::engine::world::crossing;
use crate::engine::writer::Command;
use crate::engine::{Engine, NotApplied, Reader, Shared};
use crate::modules::{Answer, ServiceError, Services};
use crate::presence::{UserKey, UserPresence};
use crate::storage::WriteError;

/// How many users' states are read under one lock.
const CHUNK: usize = 4_096;

/// The server, as its modules hold it: it does not keep the server alive.
struct Server(Weak<Shared>);

impl Engine {
    /// What is offered to modules.
    pub fn services(&self) -> Arc<dyn Services> {
        Arc::new(Server(Arc::downgrade(&self.0)))
    }
}

impl Server {
    /// Answers by the server, while there is one.
    fn answer<T, F>(&self, answer: impl FnOnce(Arc<Shared>) -> F + Send + 'static) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send,
    {
        let shared = self.0.upgrade();
        Box::pin(async move {
            let shared = shared.ok_or_else(|| ServiceError::Unavailable("the server has stopped".into()))?;
            answer(shared).await
        })
    }
}

impl Services for Server {
    fn send_local_online_presence_to(&self, users: Vec<UserId>) -> Answer<()> {
        self.answer(move |shared| async move { shared.send_local_online_presence_to(&users).await })
    }

    fn set_presence_for_users(&self, updates: Vec<PresenceUpdate>) -> Answer<()> {
        self.answer(move |shared| async move { shared.set_presence_for_users(updates).await })
    }

    fn current_state_for_users(&self, users: Vec<UserId>) -> Answer<Vec<UserPresenceState>> {
        self.answer(move |shared| async move { Ok(shared.current_state_for_users(&users)) })
    }

    fn users_in_room(&self, room_id: String) -> Answer<Vec<UserId>> {
        self.answer(move |shared| async move {
            let world = shared.world.read();
            let room = world.directory.room_key(&room_id);
            let members = room.map_or(&[][..], |room| world.directory.members(room));
            let mut users: Vec<_> = members
                .iter()
                .filter_map(|member| world.directory.id(*member))
                .cloned()
                .collect();
            users.sort_unstable();
            Ok(users)
        })
    }

    fn rooms_for_user(&self, user_id: UserId) -> Answer<Vec<String>> {
        self.answer(move |shared| async move {
            let world = shared.world.read();
            let user = world.directory.key(user_id.as_str());
            let rooms = user.map_or_else(Vec::new, |user| world.directory.room_ids(user));
            let mut rooms: Vec<_> = rooms.into_iter().map(str::to_owned).collect();
            rooms.sort_unstable();
            Ok(rooms)
        })
    }

    fn hosts_in_room(&self, room_id: String) -> Answer<Vec<String>> {
        self.answer(move |shared| async move {
            let world = shared.world.read();
            let Some(room) = world.directory.room_key(&room_id) else {
                return Ok(Vec::new());
            };
            let mut hosts: Vec<String> = world
                .directory
                .remote_servers(room)
                .filter_map(|server| world.directory.server(server))
                .map(ToString::to_string)
                .collect();
            let mut members = world.directory.members(room).iter();
            if members.any(|member| world.is_mine(*member)) {
                hosts.push(world.directory.server_name().to_string());
            }
            hosts.sort_unstable();
            Ok(hosts)
        })
    }

    fn get(&self, module: Arc<str>, key: String) -> Answer<Option<Vec<u8>>> {
        self.answer(move |shared| async move { shared.storage.get(module, key).await.map_err(refused) })
    }

    fn put(&self, module: Arc<str>, key: String, value: Vec<u8>) -> Answer<()> {
        self.answer(
            move |shared| async move { shared.storage.put(module, key, value).await.map_err(refused) },
        )
    }

    fn delete(&self, module: Arc<str>, key: String) -> Answer<bool> {
        self.answer(move |shared| async move { shared.storage.delete(module, key).await.map_err(refused) })
    }

    fn scan(
        &self,
        module: Arc<str>,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<(String, Vec<u8>)>> {
        self.answer(move |shared| async move {
            let found = shared.storage.scan(module, prefix, after, limit).await;
            found.map_err(refused)
        })
    }
}

impl Shared {
    /// Local users get a full snapshot with their next sync; users of other homeservers at once, as far as those are
    /// reached.
    async fn send_local_online_presence_to(&self, users: &[UserId]) -> Result<(), ServiceError> {
        if self.presence.enabled == Tracking::Disabled {
            return Ok(());
        }
        let (mut local, mut remote) = (Vec::new(), Vec::new());
        {
            let mut world = self.world.write();
            for id in users {
                let user = world.directory.key_or_insert(id);
                if world.is_mine(user) {
                    local.push(user);
                } else {
                    remote.push((id, user));
                }
            }
        }
        if !local.is_empty() {
            self.store(|done| Command::Snapshot { users: local, done })
                .await?;
        }
        for (user_id, user) in remote {
            self.queue_snapshot(Reader { user_id, user }).await;
        }
        Ok(())
    }

    /// Queues the states of all online local users whom a remote user may see for that user's homeserver.
    async fn queue_snapshot(&self, reader: Reader<'_>) {
        let feeds = self.feeds();
        let asked = feeds
            .iter()
            .map(|feed| (Arc::clone(feed), Wanted::NotOfflineAnd(Vec::new())));
        let answers = self.fetch(reader, asked.collect()).await;
        let mut guard = self.world.write();
        let world = &mut *guard;
        let Some(server) = world.directory.remote_server_or_insert(reader.user) else {
            return;
        };
        let by_rooms = world.shared_rooms().contacts(reader.user).into_iter();
        let by_modules = answers.into_iter().filter_map(|answer| answer.users).flatten();
        let shown: Vec<_> = by_rooms
            .map(|user| (user, Because::SharedRoom))
            .chain(by_modules.map(|user| (user, Because::Routed(world.streams.last_change(user)))))
            .collect();
        for (user, because) in shown {
            if world.is_mine(user) && world.is_online(user) {
                world.destinations.queue(server, user, because);
            }
        }
    }

    async fn set_presence_for_users(&self, updates: Vec<PresenceUpdate>) -> Result<(), ServiceError> {
        if self.presence.enabled == Tracking::Disabled {
            return Ok(());
        }
        let longest = self.presence.max_status_msg_bytes;
        let too_long = |update: &&PresenceUpdate| {
            update
                .status_msg
                .as_ref()
                .is_some_and(|message| message.len() > longest)
        };
        if let Some(update) = updates.iter().find(too_long) {
            return Err(ServiceError::TooLarge(format!(
                "the status message of {} is longer than {longest} bytes",
                update.user_id
            )));
        }
        Ok(self.store(|done| Command::SetByModule { updates, done }).await?)
    }

    fn current_state_for_users(&self, users: &[UserId]) -> Vec<UserPresenceState> {
        let mut states = Vec::with_capacity(users.len());
        for chunk in users.chunks(CHUNK) {
            let world = self.world.read();
            states.extend(chunk.iter().map(|id| {
                let user: Option<UserKey> = world.directory.key(id.as_str());
                let presence = user.map_or(&UserPresence::OFFLINE, |user| world.presence.state(user));
                crossing(id.as_str(), presence)
            }));
        }
        states
    }
}

impl From<NotApplied> for ServiceError {
    fn from(error: NotApplied) -> Self {
        Self::Unavailable(error.to_string())
    }
}

fn refused(error: WriteError) -> ServiceError {
    match error {
        WriteError::TooLarge { .. } | WriteError::TooMany { .. } => ServiceError::TooLarge(error.to_string()),
        WriteError::EmptyKey => ServiceError::Refused(error.to_string()),
        error => ServiceError::Unavailable(error.to_string()),
    }
}
