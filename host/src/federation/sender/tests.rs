//! What is sent when, on a clock that stands still but for what a test lets pass.

mod kit;

use tokio::time::{Instant, advance};

use super::*;
use crate::federation::sender::tests::kit::{FORGOTTEN, Mood, bench, bench_with};
use crate::metrics::Exposition;

#[tokio::test(start_paused = true)]
async fn a_transaction_has_at_most_100_edus_of_50_states_and_the_rest_follows_under_another_id() {
    let bench = bench();
    bench.desk.put("other.test", 0..5_120);
    let carried = bench.roads.carried_to("other.test", 2).await;
    assert_eq!(carried[0].users, vec![50; 100]);
    assert_eq!(carried[1].users, [50, 50, 20]);
    assert_ne!(carried[0].id, carried[1].id);
}

#[tokio::test(start_paused = true)]
async fn one_transaction_at_a_time_runs_to_a_homeserver() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Hang);
    bench.desk.put("other.test", [1]);
    bench.roads.carried_to("other.test", 1).await;
    bench.desk.put("other.test", [2]);
    // By then all that is ready has been done.
    bench.desk.put("third.test", [1]);
    bench.roads.carried_to("third.test", 1).await;
    assert_eq!(bench.roads.to("other.test").len(), 1);
    assert_eq!(bench.desk.waiting_for("other.test"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_arrive_is_tried_again_ever_later_with_what_has_come_meanwhile() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Fail);
    bench.desk.put("other.test", [1]);
    let carried = bench.roads.carried_to("other.test", 4).await;
    let rests: Vec<_> = carried
        .windows(2)
        .map(|two| two[1].at.saturating_sub(two[0].at))
        .collect();
    for (rest, least) in rests.iter().zip([10, 20, 40]) {
        let least = Duration::from_secs(least);
        assert!(*rest >= least && *rest <= least + least / 4, "{rests:?}");
    }
    bench.desk.put("other.test", [2, 3]);
    bench.roads.mood("other.test", Mood::Take);
    let carried = bench.roads.carried_to("other.test", 5).await;
    assert_eq!(carried[4].users, [3]);
    let notes = bench.desk.notes.lock().clone();
    let failures: Vec<_> = notes.iter().map(|contact| contact.failures).collect();
    assert!(failures.starts_with(&[1, 2, 3, 4]), "{failures:?}");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_rest_gets_it() {
    let bench = bench();
    bench
        .roads
        .mood("other.test", Mood::Limit(Duration::from_secs(7)));
    bench.desk.put("other.test", [1]);
    let carried = bench.roads.carried_to("other.test", 3).await;
    for two in carried.windows(2) {
        let rest = two[1].at.saturating_sub(two[0].at);
        assert!(
            rest >= Duration::from_secs(7) && rest < Duration::from_secs(8),
            "{rest:?}"
        );
    }
    let contact = bench.sender.contacts();
    assert_eq!(contact[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_sent_again() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Refuse);
    bench.desk.put("other.test", [1]);
    bench.roads.carried_to("other.test", 1).await;
    advance(LAST_RETRY * 2).await;
    bench.desk.put("other.test", [2]);
    let carried = bench.roads.carried_to("other.test", 2).await;
    assert_eq!(carried[1].users, [1]);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_to_us_is_tried_at_once() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Fail);
    bench.desk.put("other.test", [1]);
    bench.roads.carried_to("other.test", 3).await;
    bench.roads.mood("other.test", Mood::Take);
    let waiting = || {
        bench
            .sender
            .contacts()
            .first()
            .is_some_and(|contact| contact.failures == 3)
    };
    while !waiting() {
        tokio::task::yield_now().await;
    }
    let before = Instant::now();
    bench.sender.heard_from("other.test");
    bench.roads.carried_to("other.test", 4).await;
    assert_eq!(Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn homeservers_that_hang_hold_up_none_that_took_the_last_transaction() {
    let bench = bench();
    bench.desk.put("good.test", [1]);
    bench.roads.carried_to("good.test", 1).await;
    bench.hang_for_ever("silent", 10_000, Lane::New).await;
    bench.desk.put("good.test", [2]);
    bench.roads.carried_to("good.test", 2).await;
    assert_eq!(*bench.roads.running.borrow(), Lane::New.places());
}

#[tokio::test(start_paused = true)]
async fn homeservers_that_are_away_hold_up_none_that_is_new() {
    let away = |number| Contact {
        server: format!("away{number}.test").into(),
        succeeded_ts: 1,
        failed_ts: 2,
        retry_ts: 0,
        failures: 1,
    };
    let bench = bench_with((0..1_000).map(away).collect());
    bench.hang_for_ever("away", 1_000, Lane::Away).await;
    bench.desk.put("new.test", [1]);
    bench.roads.carried_to("new.test", 1).await;
    assert_eq!(*bench.roads.running.borrow(), Lane::Away.places());
}

#[tokio::test(start_paused = true)]
async fn an_earlier_run_s_rest_goes_on_in_the_next() {
    let away = Contact {
        server: Arc::from("other.test"),
        succeeded_ts: 5,
        failed_ts: 900_000,
        retry_ts: 1_030_000,
        failures: 4,
    };
    let bench = bench_with(vec![away]);
    bench.desk.put("other.test", [1]);
    let carried = bench.roads.carried_to("other.test", 1).await;
    let at = carried[0].at;
    assert!(
        at >= Duration::from_secs(30) && at < Duration::from_secs(31),
        "{at:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn all_is_counted_by_what_became_of_it() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let bench = bench();
    for (server, mood) in [
        ("away.test", Mood::Fail),
        ("limits.test", Mood::Limit(Duration::from_mins(1))),
        ("refuses.test", Mood::Refuse),
        ("hangs.test", Mood::Hang),
    ] {
        bench.roads.mood(server, mood);
        bench.desk.put(server, [0]);
    }
    bench.desk.put("good.test", 0..51);
    for server in [
        "away.test",
        "limits.test",
        "refuses.test",
        "hangs.test",
        "good.test",
    ] {
        bench.roads.carried_to(server, 1).await;
    }
    let ended = || bench.sender.contacts().len() == 4;
    while !ended() {
        tokio::task::yield_now().await;
    }
    let text = exposition.render();
    for line in [
        r#"presence_router_federation_sent_transactions_total{outcome="ok"} 1"#,
        r#"presence_router_federation_sent_transactions_total{outcome="away"} 1"#,
        r#"presence_router_federation_sent_transactions_total{outcome="limited"} 1"#,
        r#"presence_router_federation_sent_transactions_total{outcome="refused"} 1"#,
        "synapse_federation_client_sent_edus_total 2",
        "presence_router_federation_sent_states_total 51",
        "synapse_federation_transaction_queue_pending_destinations 1",
        r#"presence_router_destinations{state="up"} 2"#,
        r#"presence_router_destinations{state="backing_off"} 2"#,
    ] {
        assert!(text.lines().any(|got| got == line), "{line}\nis not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_the_server_stops_waits_again() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Hang);
    bench.desk.put("other.test", [1, 2]);
    bench.roads.carried_to("other.test", 1).await;
    assert_eq!(bench.desk.waiting_for("other.test"), 0);
    drop(bench.stop);
    bench.tasks.close();
    bench.tasks.wait().await;
    assert_eq!(bench.desk.waiting_for("other.test"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_ours_costs_no_place_and_nothing_that_waits() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Panic);
    bench.desk.put("other.test", [1]);
    bench.roads.carried_to("other.test", 2).await;
    bench.roads.mood("other.test", Mood::Take);
    let carried = bench.roads.carried_to("other.test", 3).await;
    assert_eq!(carried[2].users, [1]);
}

#[tokio::test(start_paused = true)]
async fn who_is_away_and_has_nothing_to_hear_any_more_is_not_taken_for_reached() {
    let bench = bench();
    bench.roads.mood("other.test", Mood::Fail);
    bench.desk.put("other.test", [1]);
    bench.roads.carried_to("other.test", 2).await;
    bench.desk.waiting.lock().clear();
    bench.desk.put("other.test", [FORGOTTEN]);
    tokio::time::sleep(LAST_RETRY * 2).await;
    assert_eq!(bench.desk.waiting_for("other.test"), 0, "it was looked at");
    assert_eq!(bench.roads.to("other.test").len(), 2);
    let contacts = bench.sender.contacts();
    assert_eq!((contacts[0].failures, contacts[0].succeeded_ts), (2, 0));

    // Whom nothing was ever sent to is not known at all.
    bench.desk.put("third.test", [FORGOTTEN]);
    tokio::time::sleep(LAST_RETRY).await;
    assert_eq!(bench.sender.contacts(), contacts);
}
