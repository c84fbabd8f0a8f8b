//! The server fails, refuses, or hangs: the module answers with an error or without what it could not learn, and is well
//! again when the server is. It does not panic, answer wrongly, or keep the host from shutting it down.

use presence_router_api::{UserId, UserPresenceState};
use tokio::time::sleep;

use crate::modules::{CallError, StartError};
use crate::verify::bench::{Bench, Instance, config_refused, configure};
use crate::verify::outcome::{Finding, Outcome};
use crate::verify::server::Mood;

const MOODS: [(Mood, &str); 3] = [
    (Mood::Unavailable, "is unavailable"),
    (Mood::Refuse, "refuses"),
    (Mood::Hang, "does not answer"),
];

pub(super) async fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    let states = bench.people.any_states(bench.people.users(), &mut bench.random());
    let opened = bench.open()?;
    for (mood, what) in MOODS {
        bench.step(format!("starting while the server {what}"));
        let configured = configure(&opened, &bench.subject.config);
        let configured = configured.map_err(|error| config_refused(&error))?;
        match bench.start_on(configured, "verified", mood).await {
            Ok(instance) => {
                trouble(bench, &instance, &states, mood, what).await?;
                bench.end(instance).await?;
            }
            Err(StartError::Refused(message)) => {
                outcome.note(format!("does not start while the server {what}: {message}"));
            }
            // It waits for the server in `new`; the host gives up first.
            Err(StartError::TimedOut) if mood == Mood::Hang => {
                outcome.find(Finding::warning("new waits for a server that does not answer"));
            }
            Err(error) => {
                return Err(Finding::failure(format!("it does not start: {error}"))
                    .detail(format!("while the server {what}")));
            }
        }
        // The same for one that knew the server in better times.
        let instance = bench.start(&opened, "verified").await?;
        instance.rest().await;
        let before = instance.server.asked();
        instance.server.set_mood(mood);
        trouble(bench, &instance, &states, mood, what).await?;
        instance.server.set_mood(Mood::Answer);
        recovers(bench, &instance, &states, what).await?;
        outcome.note(format!(
            "while the server {what}: {} questions",
            instance.server.asked() - before
        ));
        bench.end(instance).await?;
    }
    Ok(())
}

/// Asks both methods while the server is in trouble.
async fn trouble(
    bench: &Bench,
    instance: &Instance,
    states: &[UserPresenceState],
    mood: Mood,
    what: &str,
) -> Result<(), Finding> {
    bench.step(format!("get_users_for_states while the server {what}"));
    tolerable(
        instance.route(states, None).await,
        mood,
        "get_users_for_states",
        what,
    )?;
    if let Some(user) = local(bench) {
        bench.step(format!("get_interested_users while the server {what}"));
        tolerable(
            instance.interested(user).await,
            mood,
            "get_interested_users",
            what,
        )?;
    }
    Ok(())
}

fn tolerable<T>(answer: Result<T, CallError>, mood: Mood, method: &str, what: &str) -> Result<(), Finding> {
    match answer {
        Ok(_) | Err(CallError::Failed(_)) => Ok(()),
        // What waits for a server that does not answer is cut off by its own deadline.
        Err(CallError::TimedOut(_) | CallError::Quarantined(_)) if mood == Mood::Hang => Ok(()),
        Err(error) => Err(Finding::failure(format!("{method}: {error}"))
            .detail(format!("while the server {what}; an error is the answer"))),
    }
}

/// The server is well again: so is the module.
async fn recovers(
    bench: &Bench,
    instance: &Instance,
    states: &[UserPresenceState],
    what: &str,
) -> Result<(), Finding> {
    bench.step(format!(
        "get_users_for_states when the server, which {what}, is well again"
    ));
    instance.rest().await;
    if let Some(rest) = instance.running.quarantined_for() {
        sleep(rest).await;
    }
    match instance.route(states, None).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Finding::failure(format!("get_users_for_states: {error}"))
            .detail(format!("after the server, which {what}, was well again"))),
    }
}

fn local(bench: &Bench) -> Option<&UserId> {
    bench
        .people
        .users()
        .iter()
        .find(|user| bench.people.is_local(user))
}
