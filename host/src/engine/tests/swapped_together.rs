//! Several modules come and go before somebody reads again.

use std::sync::Arc;
use std::time::Duration;

use presence_router_api::PresenceState::{Offline, Online};

use crate::delivery::ModuleTag;
use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{Client, Routed, key, serve_routed};
use crate::modules::puppet::{Mood, Puppet};

const TO_EVE: Broadcast = Broadcast {
    to: &["eve"],
    but_of: &[],
};
const TO_NOBODY: Broadcast = Broadcast { to: &[], but_of: &[] };

/// The second module shows Eve that Alice is online; the first shows nobody anything.
async fn serve_who_knows_by(second: &Arc<Puppet>) -> (Routed, Client, Client) {
    let server = serve_routed(&[], &[&TO_NOBODY.puppet(), second]).await;
    let (alice, mut eve) = (server.client("alice"), server.client("eve"));
    alice.put(Online, "").await;
    server.routed("alice").await;
    assert_eq!(eve.sync().await, ["alice online"]);
    (server, alice, eve)
}

/// Eve knows by the second module that Alice is online. Alice goes offline, which the second has routed to Eve; then the first
/// is swapped for one that shows Alice to Eve too.
async fn serve_who_has_not_read_who_went() -> (Routed, Client) {
    let (mut server, alice, eve) = serve_who_knows_by(&TO_EVE.puppet()).await;
    alice.put(Offline, "").await;
    server.routed("alice").await;
    server.swap_module(0, "other", &TO_EVE.puppet()).await;
    (server, eve)
}

async fn is_told_once(mut eve: Client) {
    assert_eq!(eve.sync().await, ["alice offline"]);
    assert!(eve.sync().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_went_is_told_by_one_that_came_when_the_one_that_had_routed_it_is_gone_for_long() {
    let (server, eve) = serve_who_has_not_read_who_went().await;
    server.detach_module(1);
    let modules = || server.engine.0.world.read().streams.modules().count();
    server.time.pass_until(|| modules() == 1).await;
    is_told_once(eve).await;
}

#[tokio::test(start_paused = true)]
async fn who_went_is_told_by_one_that_came_when_the_one_that_had_routed_it_routes_otherwise_for_long() {
    let (mut server, eve) = serve_who_has_not_read_who_went().await;
    server.swap_module(1, "other", &TO_NOBODY.puppet()).await;
    tokio::time::advance(Duration::from_mins(1)).await;
    let kept = || server.engine.0.feeds()[1].kept.lock().due();
    server.time.until(|| kept().is_none()).await;
    is_told_once(eve).await;
}

#[tokio::test(start_paused = true)]
async fn what_one_that_goes_has_not_routed_is_routed_by_one_that_came_after_the_change() {
    let slow = TO_EVE.puppet();
    let (mut server, alice, mut eve) = serve_who_knows_by(&slow).await;
    slow.set_mood(Mood::Hang);
    alice.put(Offline, "").await;
    let is_routed = |server: &Routed| {
        let alice = key(&server.engine, "alice");
        let world = server.engine.0.world.read();
        world.streams.is_settled(ModuleTag::of("puppet0"), alice)
    };
    server.time.until(|| is_routed(&server)).await;
    server.swap_module(0, "other", &TO_EVE.puppet()).await;
    assert!(eve.sync().await.is_empty());
    server.detach_module(1);
    server.time.until(|| is_routed(&server)).await;
    is_told_once(eve).await;
}
