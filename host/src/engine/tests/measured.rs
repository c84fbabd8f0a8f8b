//! What the server says of itself in its metrics.

use std::time::Duration;

use presence_router_api::PresenceState::{Online, Unavailable};
use tokio::time::Instant;

use crate::engine::tests::broadcast::Broadcast;
use crate::engine::tests::kit::{CALL_TIMEOUT, Client, clock, serve, serve_routed, setup};
use crate::engine::{Engine, SetPresence};
use crate::metrics::Exposition;
use crate::modules::puppet::Mood;

/// Checks that each of `lines` is in what is exposed.
#[track_caller]
fn check(exposition: &Exposition, lines: &[&str]) {
    let text = exposition.render();
    for line in lines {
        assert!(text.lines().any(|got| got == *line), "{line}\nis not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn changes_are_counted_by_their_reason_and_users_by_their_state() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let engine = serve(&[&["alice", "bob"]]);
    let (alice, mut bob) = (Client::new(&engine, "alice"), Client::new(&engine, "bob"));
    bob.sync().await;
    alice.put(Online, "").await;
    alice.put(Online, "hi").await;
    alice.put(Online, "hi").await;
    bob.sync().await;
    check(
        &exposition,
        &[
            "synapse_handler_presence_presence_updates_total 3",
            "synapse_handler_presence_notified_presence_total 2",
            "synapse_handler_presence_timers_fired_total 0",
            r#"synapse_handler_presence_notify_reason_total{locality="local",reason="state_change"} 1"#,
            r#"synapse_handler_presence_notify_reason_total{locality="local",reason="status_msg_change"} 1"#,
            r#"synapse_handler_presence_state_transition_total{locality="local",from="offline",to="online"} 1"#,
            r#"synapse_handler_presence_get_updates_total{type="stream"} 1"#,
            "synapse_handlers_presence_user_to_current_state_size 1",
            "synapse_handlers_presence_wheel_timer_size 1",
            r#"presence_router_users{state="online"} 1"#,
            "presence_router_changes_waiting 0",
        ],
    );
    // She is gone after a while: by a timeout.
    tokio::time::sleep(Duration::from_mins(10)).await;
    bob.sync().await;
    check(
        &exposition,
        &[
            r#"synapse_handler_presence_state_transition_total{locality="local",from="online",to="offline"} 1"#,
            "synapse_handler_presence_timers_fired_total 1",
            "synapse_handlers_presence_wheel_timer_size 0",
            r#"presence_router_users{state="online"} 0"#,
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn long_polls_are_there_while_they_wait() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let engine = serve(&[]);
    let mut alice = Client::new(&engine, "alice");
    alice.sync().await;
    let waiting = [0, 1].map(|_| alice.long_poll(Duration::from_mins(1)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    check(&exposition, &["presence_router_syncs_waiting 2"]);
    for poll in waiting {
        poll.await.expect("answered");
    }
    check(&exposition, &["presence_router_syncs_waiting 0"]);
}

#[tokio::test(start_paused = true)]
async fn syncs_beyond_the_limit_are_counted_and_leave_presence_alone() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let mut setup = setup(clock(), &[&["alice", "bob"]]);
    setup.rc_presence = Some(crate::config::RateLimit {
        per_second: 0.1,
        burst_count: 1,
    });
    let engine = Engine::start(setup);
    let (mut alice, bob) = (Client::new(&engine, "alice"), Client::new(&engine, "bob"));
    alice.set_presence = SetPresence::Online;
    alice.sync().await;
    alice.set_presence = SetPresence::Unavailable;
    alice.sync().await;
    assert_eq!(bob.look_at("alice").await.as_deref(), Some("online"));
    check(
        &exposition,
        &[r#"presence_router_rate_limited_total{request="sync"} 1"#],
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    alice.sync().await;
    assert_eq!(bob.look_at("alice").await.as_deref(), Some("unavailable"));
}

#[tokio::test(start_paused = true)]
async fn calls_to_a_module_are_counted_by_their_outcome() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let puppet = Broadcast {
        to: &["eve"],
        but_of: &[],
    }
    .puppet();
    let server = serve_routed(&[], &[&puppet]).await;
    let name = server.engine.0.feeds()[0].lease().name().to_string();
    let check = |lines: &[&str]| {
        let named: Vec<_> = lines.iter().map(|line| line.replace("PUPPET", &name)).collect();
        check(&exposition, &named.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let calls = |outcome: &str, count: usize| {
        format!(
            r#"presence_router_module_calls_total{{module="{name}",method="get_users_for_states",outcome="{outcome}"}} {count}"#
        )
    };
    let alice = server.client("alice");
    alice.put(Online, "").await;
    server.routed("alice").await;
    check(&[
        &calls("ok", 1),
        r#"presence_router_module_call_duration_seconds_count{module="PUPPET",method="get_users_for_states"} 1"#,
        r#"presence_router_module_generation{module="PUPPET"} 1"#,
        r#"presence_router_module_dirty_users{module="PUPPET"} 0"#,
    ]);
    for (mood, outcome) in [
        (Mood::Fail, "error"),
        (Mood::Panic, "panic"),
        (Mood::Lie, "wrong"),
        (Mood::Hang, "timeout"),
    ] {
        puppet.set_mood(mood);
        alice.put(Unavailable, outcome).await;
        // It has failed, and waits for its next turn.
        let feeds = server.engine.0.feeds();
        server
            .pass_until(|| feeds[0].dirty.lock().due(Instant::now()) > Some(Instant::now()))
            .await;
        check(&[&calls(outcome, 1)]);
        if outcome == "timeout" {
            check(&[r#"presence_router_module_quarantined{module="PUPPET"} 1"#]);
        }
        check(&[r#"presence_router_module_dirty_users{module="PUPPET"} 1"#]);
        puppet.set_mood(Mood::Answer);
        server.settle().await;
    }
    tokio::time::advance(CALL_TIMEOUT).await;
    check(&[
        r#"presence_router_module_dirty_users{module="PUPPET"} 0"#,
        r#"presence_router_module_quarantined{module="PUPPET"} 0"#,
    ]);
}
