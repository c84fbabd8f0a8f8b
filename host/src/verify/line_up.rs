//! Whether the two methods of an instance are sides of one coin: what is sent is wanted, what is wanted is sent, and who
//! wants everything is sent the same when only their part is asked for. Finds the smallest batch that shows otherwise.

use std::collections::{BTreeMap, BTreeSet};

use presence_router_api::{InterestedUsers, UserId, UserPresenceState};

use crate::modules::{CallError, Routed};
use crate::verify::bench::{Instance, call_failed};
use crate::verify::outcome::Finding;

/// How often both methods are asked again when their answers changed meanwhile.
const TRIES: usize = 5;

/// How two answers contradict each other about one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contradiction {
    /// Sent, but not wanted.
    Unwanted,
    /// Wanted, but not sent.
    Missing,
    /// Sent when all is asked for, but not when only the recipient's part is.
    MissingInPart,
    /// Sent when only the recipient's part is asked for, but not when all is.
    OnlyInPart,
    /// A state that was not in the batch was sent, but is not wanted.
    UnwantedAddition,
}

/// A pair for which the two methods say different things, and the states that show it.
#[derive(Debug)]
pub(super) struct Counterexample {
    contradiction: Contradiction,
    sender: UserId,
    recipient: UserId,
    states: Vec<UserPresenceState>,
    /// Whom the recipient is interested in.
    interested: InterestedUsers,
}

/// What became of a comparison.
#[derive(Debug)]
pub(super) enum Comparison {
    /// They line up: for so many pairs that are sent.
    LineUp(usize),
    /// They do not.
    Differ(Box<Counterexample>),
    /// The answers changed while they were compared, each time.
    Unsteady,
}

/// Who of these recipients is sent whose state.
type Sent = BTreeMap<UserId, BTreeSet<UserId>>;

/// What an instance said about a batch.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    sent: Sent,
    /// The states that the module added.
    added: Sent,
    /// For those who want everything: their part, asked for alone.
    parts: Sent,
    interested: BTreeMap<UserId, InterestedUsers>,
}

/// Compares the answers about a batch, for these recipients, who must be local.
pub(super) async fn compare(
    instance: &Instance,
    batch: &[UserPresenceState],
    recipients: &BTreeSet<UserId>,
) -> Result<Comparison, Finding> {
    let Some(answers) = steady(instance, batch, recipients).await? else {
        return Ok(Comparison::Unsteady);
    };
    let Some((contradiction, sender, recipient)) = contradictions(batch, &answers).next() else {
        return Ok(Comparison::LineUp(answers.sent.values().map(BTreeSet::len).sum()));
    };
    let found = (contradiction, sender, recipient);
    let states = smallest(instance, batch, &found).await?;
    let (contradiction, sender, recipient) = found;
    let interested = answers.interested.get(&recipient).cloned();
    Ok(Comparison::Differ(Box::new(Counterexample {
        contradiction,
        sender,
        recipient,
        states,
        interested: interested.unwrap_or_else(InterestedUsers::none),
    })))
}

/// The answers, when those about what is sent were the same before and after the others.
async fn steady(
    instance: &Instance,
    batch: &[UserPresenceState],
    recipients: &BTreeSet<UserId>,
) -> Result<Option<Answers>, Finding> {
    for _ in 0..TRIES {
        let answers = ask(instance, batch, recipients).await?;
        let again = sent(instance, batch, None, recipients).await?;
        if again.0 == answers.sent {
            return Ok(Some(answers));
        }
        instance.rest().await;
    }
    Ok(None)
}

async fn ask(
    instance: &Instance,
    batch: &[UserPresenceState],
    recipients: &BTreeSet<UserId>,
) -> Result<Answers, Finding> {
    let (sent_to, added) = sent(instance, batch, None, recipients).await?;
    let (mut parts, mut interested) = (Sent::new(), BTreeMap::new());
    for recipient in recipients {
        let asked = instance.interested(recipient).await;
        let wanted = asked.map_err(|error| call_failed("get_interested_users", &error))?;
        if wanted == InterestedUsers::All {
            let only = BTreeSet::from([recipient.clone()]);
            let (part, _) = sent(instance, batch, Some(recipient), &only).await?;
            parts.extend(part);
        }
        interested.insert(recipient.clone(), wanted);
    }
    Ok(Answers {
        sent: sent_to,
        added,
        parts,
        interested,
    })
}

/// What is sent to each of these recipients: of the batch, and of what the module added.
async fn sent(
    instance: &Instance,
    batch: &[UserPresenceState],
    only_for: Option<&UserId>,
    recipients: &BTreeSet<UserId>,
) -> Result<(Sent, Sent), Finding> {
    let routed = instance.route(batch, only_for).await;
    let routed = routed.map_err(|error: CallError| call_failed("get_users_for_states", &error))?;
    Ok(parts_of(&routed, batch, recipients))
}

pub(super) fn parts_of(
    routed: &Routed,
    batch: &[UserPresenceState],
    recipients: &BTreeSet<UserId>,
) -> (Sent, Sent) {
    let (mut of_batch, mut added) = (Sent::new(), Sent::new());
    for recipient in recipients {
        for number in routed.part_of(recipient) {
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            let (state, to) = match number.checked_sub(batch.len()) {
                None => (batch.get(number), &mut of_batch),
                Some(number) => (routed.states.get(number), &mut added),
            };
            let user = state.and_then(|state| UserId::parse(state.user_id()).ok());
            // Everybody sees themselves, whatever a module says.
            if let Some(user) = user.filter(|user| user != recipient) {
                to.entry(recipient.clone()).or_default().insert(user);
            }
        }
    }
    (of_batch, added)
}

/// All pairs of sender and recipient on which the answers contradict each other.
fn contradictions<'a>(
    batch: &'a [UserPresenceState],
    answers: &'a Answers,
) -> impl Iterator<Item = (Contradiction, UserId, UserId)> + 'a {
    let senders: Vec<_> = batch
        .iter()
        .filter_map(|state| UserId::parse(state.user_id()).ok())
        .collect();
    let has = |to: &Sent, recipient: &UserId, sender: &UserId| {
        to.get(recipient).is_some_and(|users| users.contains(sender))
    };
    let of_batch = answers
        .interested
        .iter()
        .flat_map(move |(recipient, interested)| {
            let found: Vec<_> = senders
                .iter()
                .filter(|sender| *sender != recipient)
                .filter_map(|sender| {
                    let is_sent = has(&answers.sent, recipient, sender);
                    let contradiction = match interested {
                        InterestedUsers::Users(wanted) => match (is_sent, wanted.contains(sender)) {
                            (true, false) => Some(Contradiction::Unwanted),
                            (false, true) => Some(Contradiction::Missing),
                            (true, true) | (false, false) => None,
                        },
                        // Whom exactly then `get_users_for_states` says; so it has to say the same each time.
                        InterestedUsers::All => match (is_sent, has(&answers.parts, recipient, sender)) {
                            (true, false) => Some(Contradiction::MissingInPart),
                            (false, true) => Some(Contradiction::OnlyInPart),
                            (true, true) | (false, false) => None,
                        },
                    };
                    Some((contradiction?, sender.clone(), recipient.clone()))
                })
                .collect();
            found
        });
    let added = answers.added.iter().flat_map(|(recipient, senders)| {
        let interested = answers.interested.get(recipient);
        let unwanted = move |sender: &&UserId| match interested {
            Some(InterestedUsers::Users(wanted)) => !wanted.contains(*sender),
            Some(InterestedUsers::All) | None => false,
        };
        let unwanted = senders.iter().filter(unwanted);
        unwanted.map(|sender| (Contradiction::UnwantedAddition, sender.clone(), recipient.clone()))
    });
    of_batch.chain(added)
}

/// Leaves out what the contradiction does without.
async fn smallest(
    instance: &Instance,
    batch: &[UserPresenceState],
    found: &(Contradiction, UserId, UserId),
) -> Result<Vec<UserPresenceState>, Finding> {
    let (sender, recipient) = (&found.1, BTreeSet::from([found.2.clone()]));
    let mut kept = batch.to_vec();
    let mut chunk = kept.len();
    while chunk > 0 {
        let mut from = 0;
        while from < kept.len() {
            let to = (from + chunk).min(kept.len());
            let candidate: Vec<_> = kept
                .iter()
                .enumerate()
                .filter(|(index, state)| !(from..to).contains(index) || state.user_id() == sender.as_str())
                .map(|(_, state)| state.clone())
                .collect();
            let shows = candidate.len() < kept.len() && {
                let answers = ask(instance, &candidate, &recipient).await?;
                contradictions(&candidate, &answers).any(|other| other == *found)
            };
            if shows {
                kept = candidate;
            } else {
                from = to;
            }
        }
        chunk /= 2;
    }
    Ok(kept)
}

impl Counterexample {
    /// For people: which pair, which states, and what each method said.
    pub(super) fn finding(&self, config: &str) -> Finding {
        let Self {
            sender, recipient, ..
        } = self;
        let (message, is_sent) = match self.contradiction {
            Contradiction::Unwanted => (
                format!("{sender} is sent to {recipient}, who is not interested in {sender}"),
                true,
            ),
            Contradiction::Missing => (
                format!("{recipient} is interested in {sender}, who is not sent to {recipient}"),
                false,
            ),
            Contradiction::MissingInPart => (
                format!("{sender} is sent to {recipient}, but not when only_for asks for their part"),
                true,
            ),
            Contradiction::OnlyInPart => (
                format!("{sender} is sent to {recipient} only when only_for asks for their part"),
                false,
            ),
            Contradiction::UnwantedAddition => (
                format!(
                    "{sender}, added by the module, is sent to {recipient}, who is not interested in {sender}"
                ),
                true,
            ),
        };
        let states: Vec<_> = self
            .states
            .iter()
            .map(|state| {
                let text = state
                    .status_msg()
                    .map(|text| format!(" {text:?}"))
                    .unwrap_or_default();
                format!("{} {}{text}", state.user_id(), state.state)
            })
            .collect();
        let sent = if is_sent { "is sent" } else { "is not sent" };
        let mut finding = Finding::failure(message)
            .detail(format!("config: {config}"))
            .detail(format!("states: {}", listed(&states)))
            .detail(format!("get_users_for_states: {sender} {sent} to {recipient}"));
        if matches!(
            self.contradiction,
            Contradiction::MissingInPart | Contradiction::OnlyInPart
        ) {
            let sent = if is_sent { "is not sent" } else { "is sent" };
            finding = finding.detail(format!(
                "get_users_for_states, only_for {recipient}: {sender} {sent} to {recipient}"
            ));
        }
        let interested = match &self.interested {
            InterestedUsers::All => "everybody".to_owned(),
            InterestedUsers::Users(users) if users.is_empty() => "nobody".to_owned(),
            InterestedUsers::Users(users) => {
                let mut users: Vec<_> = users.iter().map(ToString::to_string).collect();
                users.sort_unstable();
                listed(&users)
            }
        };
        finding.detail(format!("get_interested_users({recipient}): {interested}"))
    }
}

/// The first few, and how many more there are.
fn listed(items: &[String]) -> String {
    const SHOWN: usize = 8;
    if items.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<_> = items.iter().take(SHOWN).map(String::as_str).collect();
    match items.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
