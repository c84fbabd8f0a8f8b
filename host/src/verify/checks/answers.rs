//! Both methods answer, in time, with answers that the host takes: for no state, one, some, and as many as there can be.

use presence_router_api::{InterestedUsers, UserPresenceState};
use tokio::time::Instant;

use crate::modules::{CallError, MAX_BATCH, Routed};
use crate::verify::bench::{Bench, Instance, call_failed};
use crate::verify::outcome::{Finding, Outcome};

/// The sizes of the batches.
const SIZES: [usize; 4] = [0, 1, 16, MAX_BATCH];

pub(super) async fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    let opened = bench.open()?;
    let instance = bench.start(&opened, "verified").await?;
    instance.rest().await;
    let asked = ask(bench, &instance, outcome).await;
    let ended = bench.end(instance).await;
    asked?;
    ended.map(drop)
}

async fn ask(bench: &Bench, instance: &Instance, outcome: &mut Outcome) -> Result<(), Finding> {
    let mut random = bench.random();
    let mut waste = None;
    for size in SIZES {
        bench.step(format!("get_users_for_states with {size} states"));
        let users = bench.people.crowd(size);
        let states = bench.people.any_states(&users, &mut random);
        let begun = Instant::now();
        match instance.route(&states, None).await {
            Ok(routed) => {
                outcome.note(format!("{size} states in {} ms", begun.elapsed().as_millis()));
                waste = waste.or_else(|| wasteful(&routed, &states));
            }
            Err(error) => {
                let finding = call_failed("get_users_for_states", &error);
                outcome.find(finding.detail(format!("for a batch of {size} states")));
                // What overran is left alone for a while, and would answer nothing that tells more.
                if !matches!(error, CallError::Wrong(_) | CallError::Failed(_)) {
                    return Ok(());
                }
            }
        }
    }
    if let Some(waste) = waste {
        outcome.find(waste);
    }
    let locals = bench
        .people
        .users()
        .iter()
        .filter(|user| bench.people.is_local(user));
    let locals: Vec<_> = locals.collect();
    bench.step(format!("get_interested_users for {} users", locals.len()));
    let begun = Instant::now();
    for user in &locals {
        let interested = instance.interested(user).await;
        let interested = interested
            .map_err(|error| call_failed("get_interested_users", &error).detail(format!("for {user}")))?;
        if interested == InterestedUsers::All {
            let state = bench.people.any_state(user, &mut random);
            let part = instance.route(&[state], Some(user)).await;
            part.map_err(|error| {
                call_failed("get_users_for_states", &error).detail(format!("with only_for {user}"))
            })?;
        }
    }
    outcome.note(format!(
        "{} users' interests in {} ms",
        locals.len(),
        begun.elapsed().as_millis()
    ));
    Ok(())
}

/// Whether an audience is sent the same state twice: allowed, and costs the host time and memory for nothing.
fn wasteful(routed: &Routed, states: &[UserPresenceState]) -> Option<Finding> {
    let all = states.len() + routed.states.len();
    let piece = routed.pieces.iter().find(|piece| piece.updates.len() > all)?;
    Some(
        Finding::warning("get_users_for_states sends an audience the same state more than once").detail(
            format!(
                "{} entries for one audience, of {all} states",
                piece.updates.len()
            ),
        ),
    )
}
