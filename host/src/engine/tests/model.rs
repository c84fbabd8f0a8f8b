//! Properties: whatever clients, modules, rooms and time do, in whatever order, each client knows in the end what a newcomer
//! is told, has been told nothing twice, and nothing of strangers.
//!
//! A case that fails is shrunk and printed, with the seed that finds it again: `MODEL_SEED=cc... cargo test`. The modules'
//! threads are real, so no two runs are the same; the properties hold in all of them. `PROPTEST_CASES` sets how many cases
//! there are.

mod case;
mod play;
mod seeds;
mod sight;
mod stream;
mod swap;

use std::future::Future;

use proptest::proptest;
use proptest::test_runner::Config;

use crate::engine::tests::model::case::{Case, by_modules, by_rooms, by_swapped_modules, over_restarts};
use crate::engine::tests::model::play::Play;
use crate::engine::tests::model::seeds::PrintedSeeds;

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn by_shared_rooms(case in by_rooms()) {
        run(play(case));
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn by_modules_with_moods(case in by_modules()) {
        run(play(case));
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn by_modules_that_are_swapped(case in by_swapped_modules()) {
        run(play(case));
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn over_graceful_restarts(case in over_restarts()) {
        run(play(case));
    }
}

async fn play(case: Case) {
    let mut play = Play::begin(&case).await;
    for step in &case.steps {
        play.step(step).await;
    }
    play.end().await;
}

/// Runs on a paused clock.
fn run(body: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("starts")
        .block_on(body);
}

fn config(cases: u32) -> Config {
    let default = Config::default();
    Config {
        // The environment's number is in the default, and wins.
        cases: std::env::var_os("PROPTEST_CASES").map_or(cases, |_| default.cases),
        failure_persistence: Some(Box::new(PrintedSeeds)),
        max_shrink_time: 60_000,
        ..default
    }
}
