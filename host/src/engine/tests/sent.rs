//! States that a module sends of its own accord.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use presence_router_api::PresenceState::{Busy, Online};
use presence_router_api::{InterestedUsers, Routes, UserPresenceState};

use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{id, serve_routed};
use crate::modules::puppet::{Gate, Mood, Puppet};

const TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &[],
};

/// Remembers all states and routes none; for Carol's it sends Alice's to Eve.
fn remembering_puppet() -> Arc<Puppet> {
    let (known, audience) = (
        Mutex::new(HashMap::<String, UserPresenceState>::new()),
        OnceLock::new(),
    );
    Arc::new(Puppet::new(
        move |api, updates| {
            let mut known = known.lock().expect("not poisoned");
            for update in updates {
                known.insert(update.user_id().to_owned(), (*update).clone());
            }
            let mut routes = Routes::new();
            if updates
                .iter()
                .any(|update| update.user_id() == id("carol").as_str())
            {
                let state = &known[id("alice").as_str()];
                routes.send_state(state.clone(), audience.get_or_init(|| TO_EVE.audience(api)));
            }
            routes
        },
        |_| InterestedUsers::none(),
    ))
}

#[tokio::test(start_paused = true)]
async fn a_state_that_a_module_sends_is_told_only_as_long_as_it_is_the_newest() {
    let puppet = remembering_puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    let (alice, carol, mut eve) = (
        server.client("alice"),
        server.client("carol"),
        server.client("eve"),
    );
    alice.put(Online, "one").await;
    server.routed("alice").await;
    eve.sync().await;
    carol.put(Online, "").await;
    server.routed("carol").await;
    // Unchanged since before Eve's first sync, and told nevertheless.
    assert_eq!(eve.sync().await, ["alice online one"]);
    assert!(eve.sync().await.is_empty());

    // It is sent, and has a successor when Eve reads.
    carol.put(Busy, "").await;
    server.routed("carol").await;
    alice.put(Online, "two").await;
    assert!(eve.sync().await.is_empty());
    server.routed("alice").await;
    assert!(eve.sync().await.is_empty());

    // It has a successor already when it is sent.
    let (gate, opener) = Gate::closed();
    puppet.set_mood(Mood::Block(gate));
    let asked = puppet.asked().len();
    carol.put(Online, "").await;
    puppet.asked_until(|all| all.len() > asked).await;
    puppet.set_mood(Mood::Answer);
    alice.put(Online, "three").await;
    drop(opener);
    server.routed("alice").await;
    server.routed("carol").await;
    assert!(eve.sync().await.is_empty());
}
