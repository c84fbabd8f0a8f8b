//! What other homeservers say of their users.

use std::sync::Arc;

use presence_router_api::{PresenceState, UserId};
use tokio::time::timeout;

use crate::config::Tracking;
use crate::engine::outcome::Outcome;
use crate::engine::world::World;
use crate::engine::writer::Command;
use crate::engine::{Engine, NotApplied, OVERLOADED, QUEUE_WAIT};
use crate::presence::RemoteUpdate;

/// What another homeserver says of one of its users. That it may speak for them was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePresence {
    /// Who.
    pub user_id: UserId,
    /// What they are.
    pub state: PresenceState,
    /// How long ago they were last active, in milliseconds. Left out, what is known of it stays, as in Synapse.
    pub last_active_ago: Option<u64>,
    /// What they say of it. One longer than `max_status_msg_bytes` is taken for none.
    pub status_msg: Option<String>,
    /// Whether they are active now.
    pub currently_active: bool,
}

impl Engine {
    /// Applies what another homeserver says of its users, in its order. Returns when it is visible to syncs and on disk.
    ///
    /// Users of this homeserver are passed over. So are users of whom nothing is known, when there is nothing to say of them
    /// either, and when too many of these are known: see `strangers`. While presence is not tracked, all is ignored, as in
    /// Synapse.
    ///
    /// At most 16 calls are under way; others wait for a second, and are refused.
    ///
    /// # Errors
    /// See [`NotApplied`].
    pub async fn receive_presence(&self, mut updates: Vec<RemotePresence>) -> Result<(), NotApplied> {
        let shared = &self.0;
        if shared.presence.enabled != Tracking::Enabled || updates.is_empty() {
            return Ok(());
        }
        let at = shared.clock.now_ms();
        let longest = shared.presence.max_status_msg_bytes;
        for update in &mut updates {
            update.status_msg = update
                .status_msg
                .take()
                .filter(|message| message.len() <= longest);
        }
        let receiving = Arc::clone(&shared.receiving).acquire_owned();
        let Ok(Ok(permit)) = timeout(QUEUE_WAIT, receiving).await else {
            shared.metrics.overloaded();
            return Err(OVERLOADED.into());
        };
        let received = |done| Command::Receive {
            updates,
            at,
            permit,
            done,
        };
        shared.store(received).await
    }
}

/// Applies updates that came at a time.
pub(super) fn apply(world: &mut World, updates: &[RemotePresence], at: u64, now: u64, outcome: &mut Outcome) {
    for update in updates {
        let id = &update.user_id;
        if id.server_name() == &**world.directory.server_name() {
            continue;
        }
        if world.is_stranger(id) {
            // That somebody is offline of whom nothing is known is no news.
            if update.state == PresenceState::Offline && update.status_msg.is_none() {
                continue;
            }
            if !world.strangers.admit(id.server_name()) {
                outcome.refused_strangers += 1;
                continue;
            }
        }
        let user = world.directory.key_or_insert(id);
        let said = RemoteUpdate {
            state: update.state,
            last_active_ts: update.last_active_ago.map(|ago| at.saturating_sub(ago)),
            status_msg: update.status_msg.as_deref(),
            currently_active: update.currently_active,
        };
        let change = world.presence.receive(user, &said, now);
        outcome.note(user, change);
        // Their timeout counts from here, over a restart too.
        outcome.touched.push(user);
        outcome.received += 1;
    }
}
