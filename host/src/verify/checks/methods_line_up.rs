//! The two methods say the same, for the given config and for what is left of it with an entry less, for all users at
//! once and for some of them, in any state.

use std::collections::BTreeSet;

use presence_router_api::{InterestedUsers, UserId};
use serde_json::Value;

use crate::modules::{ConfigureError, MAX_BATCH, Opened};
use crate::verify::bench::{Bench, Instance, call_failed, configure};
use crate::verify::line_up::{Comparison, compare};
use crate::verify::outcome::{Finding, Outcome};
use crate::verify::random::Random;
use crate::verify::variants::{Kind, variants};

/// How many other configs are tried.
const OTHER_CONFIGS: usize = 4;
/// How many batches of some of the users are tried with each config.
const ROUNDS: usize = 8;
/// How many recipients are asked about, at most.
const MAX_RECIPIENTS: usize = 64;

pub(super) async fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    let mut random = bench.random();
    let opened = bench.open()?;
    let mut compared = Compared::default();
    let given = bench.subject.config.clone();
    try_config(
        bench,
        &opened,
        "the given one",
        &given,
        &mut random,
        &mut compared,
    )
    .await?;
    let others = variants(&given, &mut random).into_iter();
    let others = others.filter(|variant| matches!(variant.kind, Kind::Removed | Kind::Repeated));
    for variant in others.take(OTHER_CONFIGS) {
        let what = format!("the given one {}", variant.what);
        try_config(bench, &opened, &what, &variant.config, &mut random, &mut compared).await?;
    }
    outcome.note(format!(
        "{} batches with {} configs, {} pairs sent",
        compared.batches, compared.configs, compared.pairs
    ));
    if compared.pairs == 0 {
        outcome.find(
            Finding::warning("nothing was sent to anybody, so nothing was compared")
                .detail("give a --config with which it routes something"),
        );
    }
    Ok(())
}

/// What was compared.
#[derive(Default)]
struct Compared {
    configs: usize,
    batches: usize,
    pairs: usize,
}

/// A config that the module does not take says nothing about its methods.
async fn try_config(
    bench: &Bench,
    opened: &Opened,
    what: &str,
    config: &Value,
    random: &mut Random,
    compared: &mut Compared,
) -> Result<(), Finding> {
    bench.step(format!("comparing the two methods, with the config {what}"));
    match configure(opened, config) {
        Ok(_) => {}
        // That it panics over a config is told by the check of bad ones.
        Err(ConfigureError::Refused { .. } | ConfigureError::Panicked(_)) => return Ok(()),
        Err(error) => return Err(crate::verify::bench::config_refused(&error)),
    }
    let Ok(instance) = bench.start_with(opened, "verified", config).await else {
        return Ok(());
    };
    instance.rest().await;
    let result = try_batches(bench, &instance, what, random, compared).await;
    compared.configs += 1;
    let ended = bench.end(instance).await;
    result?;
    ended.map(drop)
}

async fn try_batches(
    bench: &Bench,
    instance: &Instance,
    what: &str,
    random: &mut Random,
    compared: &mut Compared,
) -> Result<(), Finding> {
    let (users, recipients) = involved(bench, instance).await?;
    for round in 0..=ROUNDS {
        let mut some = users.clone();
        if round > 0 {
            random.shuffle(&mut some);
            some.truncate(1 + random.below(users.len()));
        }
        let states = bench.people.any_states(&some, random);
        compared.batches += 1;
        match compare(instance, &states, &recipients).await? {
            Comparison::LineUp(pairs) => compared.pairs += pairs,
            Comparison::Differ(example) => return Err(example.finding(what)),
            Comparison::Unsteady => {
                return Err(Finding::warning(
                    "what it sends changes all the time, though nothing in the server does",
                )
                .detail("the two methods could not be compared"));
            }
        }
    }
    Ok(())
}

/// The users whose states are sent, and the local users who are asked about: those that are known, and those whom the
/// module names.
async fn involved(bench: &Bench, instance: &Instance) -> Result<(Vec<UserId>, BTreeSet<UserId>), Finding> {
    let is_local = |user: &&UserId| bench.people.is_local(user);
    let mut users: BTreeSet<UserId> = bench.people.users().iter().cloned().collect();
    let mut recipients: BTreeSet<UserId> = users
        .iter()
        .filter(is_local)
        .take(MAX_RECIPIENTS)
        .cloned()
        .collect();
    for recipient in &recipients {
        let interested = instance.interested(recipient).await;
        match interested.map_err(|error| call_failed("get_interested_users", &error))? {
            InterestedUsers::All => {}
            InterestedUsers::Users(named) => users.extend(named.into_iter().take(MAX_BATCH / MAX_RECIPIENTS)),
        }
    }
    let users: Vec<_> = users.into_iter().take(MAX_BATCH).collect();
    let states = bench.people.any_states(&users, &mut bench.random());
    let routed = instance.route(&states, None).await;
    let routed = routed.map_err(|error| call_failed("get_users_for_states", &error))?;
    for piece in &routed.pieces {
        let named = piece.audience.users().iter().filter(is_local);
        let room = MAX_RECIPIENTS.saturating_sub(recipients.len());
        recipients.extend(named.take(room).cloned());
    }
    Ok((users, recipients))
}
