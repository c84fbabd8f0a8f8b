//! Calls a router as the host does, through the vtable and its guards, and looks at the answers.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use abi_stable::std_types::{RArc, ROption, RResult, RStr, RVec};

use super::{FakeHost, online};
use crate::abi::failure::{Failure, FailureKind};
use crate::abi::router::{
    InterestedAnswer, Reply, RouterBox, RoutesAnswer, SharedRoomPresence, SpanAudience,
};
use crate::abi::state::UserPresenceState;
use crate::export::instance::RouterEntry;
use crate::router::PresenceRouter;

/// A started router on a [`FakeHost`].
///
/// ```
/// # use presence_router_api::{Audience, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes};
/// # use presence_router_api::{StartError, StateUpdates, UserId};
/// # #[derive(Debug, serde::Deserialize)] struct Config { to: UserId }
/// # struct ToOne { to: UserId, audience: Audience }
/// # impl PresenceRouter for ToOne {
/// #     type Config = Config;
/// #     fn new(config: Config, api: ModuleApi) -> Result<Self, StartError> {
/// #         Ok(Self { audience: api.register_audience([config.to.clone()])?, to: config.to })
/// #     }
/// #     async fn get_users_for_states(&self, updates: &StateUpdates) -> Result<Routes, RouterError> {
/// #         let mut routes = Routes::new();
/// #         routes.send_all(updates, &self.audience);
/// #         Ok(routes)
/// #     }
/// #     async fn get_interested_users(&self, user: &UserId) -> Result<InterestedUsers, RouterError> {
/// #         Ok(if *user == self.to { InterestedUsers::All } else { InterestedUsers::none() })
/// #     }
/// # }
/// use presence_router_api::testing::Harness;
///
/// let error = Harness::check_config::<ToOne>(r#"{"to": "carol"}"#).unwrap_err();
/// assert_eq!(error.path, "to");
///
/// let router = Harness::start::<ToOne>("example.org", r#"{"to": "@carol:example.org"}"#)?;
/// assert_eq!(router.interested("@carol:example.org")?, None); // everybody's
/// let host = router.shutdown()?;
/// assert_eq!(host.audience_count(), 0);
/// # Ok::<(), presence_router_api::testing::HarnessError>(())
/// ```
pub struct Harness {
    router: RouterBox,
    host: FakeHost,
    shared_rooms: SharedRoomPresence,
}

/// Why a call to a router failed, as the host would log it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HarnessError {
    /// Whether the router panicked.
    pub panicked: bool,
    /// The key of the config at fault, such as `friends[1]`; empty for other failures.
    pub path: String,
    /// The text; that of a panic names the method.
    pub message: String,
}

impl fmt::Display for HarnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for HarnessError {}

impl From<Failure> for HarnessError {
    fn from(failure: Failure) -> Self {
        Self {
            panicked: failure.kind == FailureKind::PANIC,
            path: failure.path.into_string(),
            message: failure.message.into_string(),
        }
    }
}

/// Who was routed whose state: pairs of recipient and user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed(BTreeSet<(String, String)>);

impl Routed {
    /// Whether `recipient` was sent a state of `user`.
    pub fn sees(&self, recipient: &str, user: &str) -> bool {
        self.0.contains(&(recipient.to_owned(), user.to_owned()))
    }

    /// All pairs of recipient and user, sorted.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(recipient, user)| (recipient.as_str(), user.as_str()))
    }
}

impl Harness {
    /// Checks the config (JSON) and starts nothing, as `presence-router check` does.
    ///
    /// # Errors
    /// What `parse_config` answered.
    pub fn check_config<R: PresenceRouter>(config: &str) -> Result<(), HarnessError> {
        (RouterEntry::of::<R>("router").parse_config)(config)?;
        Ok(())
    }

    /// Checks the config (JSON) and starts the router on a new fake host.
    ///
    /// # Errors
    /// What `parse_config` or `new` answered, or a panic in `shared_room_presence`.
    pub fn start<R: PresenceRouter>(server_name: &str, config: &str) -> Result<Self, HarnessError> {
        Self::start_on::<R>(&FakeHost::new(server_name), config)
    }

    /// The same on a host that the test has prepared.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_on<R: PresenceRouter>(host: &FakeHost, config: &str) -> Result<Self, HarnessError> {
        let entry = RouterEntry::of::<R>("router");
        let config = (entry.parse_config)(config)?;
        let router = (entry.new)(config, host.api_box())?;
        let shared_rooms = router.shared_room_presence().into_result()?;
        Ok(Self {
            router,
            host: host.clone(),
            shared_rooms,
        })
    }

    /// What the router said about people who share a room.
    pub fn shared_room_presence(&self) -> SharedRoomPresence {
        self.shared_rooms
    }

    /// The fake host.
    pub fn host(&self) -> &FakeHost {
        &self.host
    }

    /// Routes a batch in which these users have just come online.
    ///
    /// # Errors
    /// What the router answered, or what is wrong with its answer: a number out of range, an audience
    /// that is not registered.
    pub fn route<'a>(&self, users: impl IntoIterator<Item = &'a str>) -> Result<Routed, HarnessError> {
        self.ask(online(users), ROption::RNone)
    }

    /// Routes a batch of these states, at most one a user.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    pub fn route_states(
        &self,
        states: impl IntoIterator<Item = UserPresenceState>,
    ) -> Result<Routed, HarnessError> {
        self.ask(states.into_iter().collect(), ROption::RNone)
    }

    /// The same as [`route`](Self::route), but tells the router that only `recipient`'s part is wanted
    /// ([`StateUpdates::only_for`](crate::StateUpdates::only_for)). A host would look at no other part.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    pub fn route_only_for<'a>(
        &self,
        recipient: &str,
        users: impl IntoIterator<Item = &'a str>,
    ) -> Result<Routed, HarnessError> {
        self.ask(online(users), ROption::RSome(RStr::from(recipient)))
    }

    /// Begins to route these users, who have just come online, and gives up where the router first waits, as a host does
    /// when a call is too late.
    pub fn give_up<'a>(&self, users: impl IntoIterator<Item = &'a str>) {
        let _call = self.host.call();
        let batch = RArc::new(online(users));
        drop(self.router.get_users_for_states(&batch, ROption::RNone));
    }

    fn ask(
        &self,
        states: RVec<UserPresenceState>,
        only_for: ROption<RStr<'_>>,
    ) -> Result<Routed, HarnessError> {
        let _call = self.host.call();
        let batch = RArc::new(states);
        let names: Vec<String> = batch.iter().map(|state| state.user_id.to_string()).collect();
        let answer = self.wait(self.router.get_users_for_states(&batch, only_for))?;
        self.resolve(&names, &answer)
    }

    /// Whose presence a user is interested in; `None` means everybody's.
    ///
    /// # Errors
    /// What the router answered.
    pub fn interested(&self, user: &str) -> Result<Option<BTreeSet<String>>, HarnessError> {
        match self.wait(self.router.get_interested_users(RStr::from(user)))? {
            InterestedAnswer::All => Ok(None),
            InterestedAnswer::Users(users) => Ok(Some(users.iter().map(ToString::to_string).collect())),
        }
    }

    /// Checks that the two methods are sides of one coin for these senders and recipients: what is sent is wanted, what
    /// is wanted is sent, and who wants everything is sent the same when the router is asked for their part only.
    ///
    /// # Panics
    /// With the first pair for which this does not hold, or the error of a call that failed.
    pub fn assert_methods_line_up<'a>(
        &self,
        senders: impl IntoIterator<Item = &'a str>,
        recipients: impl IntoIterator<Item = &'a str>,
    ) {
        let senders: Vec<&str> = senders.into_iter().collect();
        let routed = match self.route(senders.iter().copied()) {
            Ok(routed) => routed,
            Err(error) => panic!("get_users_for_states failed: {error}"),
        };
        for recipient in recipients {
            let interested = match self.interested(recipient) {
                Ok(interested) => interested,
                Err(error) => panic!("get_interested_users({recipient}) failed: {error}"),
            };
            let part = match &interested {
                Some(_) => None,
                None => match self.route_only_for(recipient, senders.iter().copied()) {
                    Ok(part) => Some(part),
                    Err(error) => panic!("get_users_for_states, only for {recipient}, failed: {error}"),
                },
            };
            for sender in senders.iter().filter(|sender| **sender != recipient) {
                let sent = routed.sees(recipient, sender);
                let wanted = interested.as_ref().is_none_or(|users| users.contains(*sender));
                assert!(
                    !sent || wanted,
                    "{sender} is sent to {recipient}, who is not interested in them by get_interested_users"
                );
                assert!(
                    sent || !wanted || interested.is_none(),
                    "{recipient} is interested in {sender}, whose state get_users_for_states does not send them"
                );
                assert!(
                    part.as_ref()
                        .is_none_or(|part| part.sees(recipient, sender) == sent),
                    "get_users_for_states sends {sender} to {recipient} or not, as only_for is set or not"
                );
            }
        }
    }

    /// Shuts the router down, drops it, and ends its tasks, in the order in which a host does. A panic in the drop is
    /// in [`FakeHost::log`].
    ///
    /// # Errors
    /// What the router answered. It is dropped all the same.
    pub fn shutdown(self) -> Result<FakeHost, HarnessError> {
        let ended = self.wait(self.router.shutdown());
        drop(self.router);
        self.host.shut_down();
        ended.map(|()| self.host)
    }

    /// Polls until the answer is there, a second of the fake clock at a time, for an hour of it at most. So a router
    /// that waits for a thread of its own cannot be tested here.
    fn wait<T>(&self, reply: Reply<RResult<T, Failure>>) -> Result<T, HarnessError> {
        let mut future = match reply {
            Reply::Ready(answer) => return Ok(answer.into_result()?),
            Reply::Pending(future) => future,
        };
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3600 {
            if let Poll::Ready(answer) = Pin::new(&mut future).poll(&mut context) {
                return Ok(answer.into_result()?);
            }
            self.host.advance(Duration::from_secs(1));
        }
        Err(Failure::error("did not answer within an hour of the fake clock").into())
    }

    fn resolve(&self, batch: &[String], answer: &RoutesAnswer) -> Result<Routed, HarnessError> {
        let mut pairs = BTreeSet::new();
        let mut start = 0;
        for span in &answer.spans {
            let end = span.end as usize;
            let numbers = answer
                .updates
                .get(start..end)
                .ok_or_else(|| wrong("a span is out of range"))?;
            let recipients = match span.audience {
                SpanAudience::Registered(handle) => self
                    .host
                    .audience(handle)
                    .ok_or_else(|| wrong("an audience is not registered"))?,
                SpanAudience::Listed(list) => listed(answer, list as usize)?,
            };
            for number in numbers {
                let number = *number as usize;
                let user = batch.get(number).cloned().or_else(|| {
                    answer
                        .states
                        .get(number.checked_sub(batch.len())?)
                        .map(|state| state.user_id.to_string())
                });
                let user = user.ok_or_else(|| wrong("the number of an update is out of range"))?;
                pairs.extend(
                    recipients
                        .iter()
                        .map(|recipient| (recipient.clone(), user.clone())),
                );
            }
            start = end;
        }
        Ok(Routed(pairs))
    }
}

fn listed(answer: &RoutesAnswer, list: usize) -> Result<Vec<String>, HarnessError> {
    let end = answer
        .listed_ends
        .get(list)
        .ok_or_else(|| wrong("a list is out of range"))?;
    let start = list
        .checked_sub(1)
        .and_then(|before| answer.listed_ends.get(before))
        .unwrap_or(&0);
    let users = answer.listed_users.get(*start as usize..*end as usize);
    Ok(users
        .ok_or_else(|| wrong("a list is out of range"))?
        .iter()
        .map(ToString::to_string)
        .collect())
}

fn wrong(what: &str) -> HarnessError {
    Failure::error(what).into()
}
