//! The same question gets the same answer: from one instance twice, and from another with the same config. Whom the
//! host tells would else hang on when it asked.

use std::collections::{BTreeMap, BTreeSet};

use presence_router_api::{InterestedUsers, UserId, UserPresenceState};

use crate::modules::Routed;
use crate::verify::bench::{Bench, Instance, call_failed};
use crate::verify::outcome::{Finding, Outcome};

pub(super) async fn make(bench: &Bench, outcome: &mut Outcome) -> Result<(), Finding> {
    let states = bench.people.any_states(bench.people.users(), &mut bench.random());
    let opened = bench.open()?;
    let first = bench.start(&opened, "first").await?;
    let one = said(bench, &first, &states).await?;
    let two = said(bench, &first, &states).await?;
    if let Some(finding) = one.differs_from(&two, "asked twice, one instance") {
        return Err(finding);
    }
    bench.end(first).await?;
    let second = bench.start(&opened, "first").await?;
    let other = said(bench, &second, &states).await?;
    if let Some(finding) = one.differs_from(&other, "another instance with the same config") {
        return Err(finding);
    }
    bench.end(second).await?;
    outcome.note(format!(
        "{} states, {} users' interests",
        states.len(),
        one.interested.len()
    ));
    Ok(())
}

/// What an instance said.
pub(super) struct Said {
    /// For each user, who is sent their state. Remote users too.
    sent: BTreeMap<UserId, BTreeSet<UserId>>,
    interested: BTreeMap<UserId, InterestedUsers>,
}

/// What an instance that has come to rest says of these states, and of all local users.
pub(super) async fn said(
    bench: &Bench,
    instance: &Instance,
    states: &[UserPresenceState],
) -> Result<Said, Finding> {
    instance.rest().await;
    bench.step(format!("get_users_for_states with {} states", states.len()));
    let routed = instance.route(states, None).await;
    let routed = routed.map_err(|error| call_failed("get_users_for_states", &error))?;
    let mut interested = BTreeMap::new();
    for user in bench
        .people
        .users()
        .iter()
        .filter(|user| bench.people.is_local(user))
    {
        bench.step(format!("get_interested_users of {user}"));
        let answer = instance.interested(user).await;
        let answer = answer.map_err(|error| call_failed("get_interested_users", &error))?;
        interested.insert(user.clone(), answer);
    }
    Ok(Said {
        sent: recipients(&routed, states),
        interested,
    })
}

/// Of large audiences, the first of their users stand for all.
fn recipients(routed: &Routed, states: &[UserPresenceState]) -> BTreeMap<UserId, BTreeSet<UserId>> {
    const COMPARED: usize = 256;
    let mut sent: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for piece in &routed.pieces {
        let numbers: BTreeSet<_> = piece.updates.iter().copied().collect();
        let states = numbers
            .into_iter()
            .filter_map(|number| states.get(usize::try_from(number).unwrap_or(usize::MAX)));
        for user in states.filter_map(|state| UserId::parse(state.user_id()).ok()) {
            let to = piece.audience.users().iter().take(COMPARED).cloned();
            sent.entry(user).or_default().extend(to);
        }
    }
    sent
}

impl Said {
    /// The first difference; `how` says between what.
    pub(super) fn differs_from(&self, other: &Self, how: &str) -> Option<Finding> {
        let users: BTreeSet<_> = self.sent.keys().chain(other.sent.keys()).collect();
        let nobody = BTreeSet::new();
        let sent = users.into_iter().find_map(|user| {
            let (one, two) = (self.sent.get(user), other.sent.get(user));
            let (one, two) = (one.unwrap_or(&nobody), two.unwrap_or(&nobody));
            let to = one.symmetric_difference(two).next()?;
            let (then, now) = if one.contains(to) {
                ("sent", "not sent")
            } else {
                ("not sent", "sent")
            };
            Some(
                Finding::failure(format!("{user} was {then} to {to}, then {now}"))
                    .detail(format!("get_users_for_states: {how}")),
            )
        });
        let interested = || {
            let changed = self
                .interested
                .iter()
                .find(|(user, answer)| other.interested.get(*user).is_some_and(|other| other != *answer));
            changed.map(|(user, _)| {
                Finding::failure(format!("{user} was interested in others the second time"))
                    .detail(format!("get_interested_users: {how}"))
            })
        };
        sent.or_else(interested)
    }
}
