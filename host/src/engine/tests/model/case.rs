//! What may happen to a server.

use presence_router_api::PresenceState::{self, Busy, Offline, Online, Unavailable};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, option, sample};

use crate::engine::tests::kit::USERS;
use crate::engine::tests::model::sight::{AudienceKind, Broadcast, Interest, Sight, Users};
use crate::modules::puppet::Mood;

/// The most modules that there are at a time.
pub(super) const MODULES: usize = 3;
const ROOMS: usize = 3;

/// The device of a user: `alice/2`.
pub(super) type Device = (usize, usize);

/// A server, and what happens to it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) sight: Sight,
    pub(super) include_offline: bool,
    /// Of whom a device does not want to hear.
    pub(super) filters: Vec<(Device, Users)>,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Put(Device, PresenceState, &'static str),
    Sync(Device),
    /// A sync that sets presence.
    Show(Device),
    FullSync(Device),
    Look(Device, usize),
    Wait(u64),
    /// A module sets a user's presence.
    SetByModule(usize, PresenceState, &'static str),
    /// A module wants users to get a full snapshot.
    Snapshot(Users),
    /// A room has these members from now on.
    Room(usize, Users),
    /// For a module.
    Feel(usize, Mood),
    /// One module more.
    Attach(Broadcast),
    /// Another generation of a module takes over: another module, or the same again.
    TakeOver(usize, Option<Broadcast>),
    /// A module is not asked any more.
    Detach(usize),
    /// It is again.
    Reattach(usize),
    Restart(Meanwhile),
}

/// What has changed while the server was down.
#[derive(Debug, Clone)]
pub(super) struct Meanwhile {
    pub(super) room: Option<(usize, Users)>,
    /// A module is another one.
    pub(super) module: Option<(usize, Broadcast)>,
}

/// Without modules.
pub(super) fn by_rooms() -> impl Strategy<Value = Case> {
    let steps = collection::vec(step(), 0..60);
    case(Just(Vec::new()), steps)
}

/// With modules that come and are in moods.
pub(super) fn by_modules() -> impl Strategy<Value = Case> {
    let steps = collection::vec(prop_oneof![8 => step(), 1 => feel(), 1 => attach()], 0..40);
    case(collection::vec(broadcast(), 0..=MODULES), steps)
}

/// With modules that are swapped, go and come back.
pub(super) fn by_swapped_modules() -> impl Strategy<Value = Case> {
    let steps = collection::vec(
        prop_oneof![8 => step(), 1 => feel(), 1 => attach(), 4 => swap()],
        0..40,
    );
    case(collection::vec(broadcast(), 1..=MODULES), steps)
}

/// With all of it, and restarts.
pub(super) fn over_restarts() -> impl Strategy<Value = Case> {
    let step = prop_oneof![16 => step(), 1 => feel(), 1 => attach(), 1 => swap(), 2 => restart()];
    case(
        collection::vec(broadcast(), 0..=MODULES),
        collection::vec(step, 0..40),
    )
}

fn case(
    modules: impl Strategy<Value = Vec<Broadcast>>,
    steps: impl Strategy<Value = Vec<Step>>,
) -> impl Strategy<Value = Case> {
    let filters = collection::vec((device(), users()), 0..2);
    let rarely = || prop_oneof![3 => Just(false), 1 => Just(true)];
    let excluded = prop_oneof![2 => Just(0), 1 => 0..8_u8];
    (
        collection::vec(users(), ROOMS),
        excluded,
        modules,
        (rarely(), rarely()),
        filters,
        steps,
    )
        .prop_map(
            |(rooms, excluded, modules, (replaces, include_offline), filters, steps)| {
                let sight = Sight {
                    rooms,
                    excluded,
                    modules,
                    replaces,
                };
                Case {
                    sight,
                    include_offline,
                    filters,
                    steps,
                }
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let put = (device(), state(), message());
    let set = (user(), state(), message());
    let waits = vec![1, 10_000, 30_001, 60_000, 300_001];
    prop_oneof![
        8 => put.prop_map(|(device, state, message)| Step::Put(device, state, message)),
        8 => device().prop_map(Step::Sync),
        3 => device().prop_map(Step::Show),
        2 => device().prop_map(Step::FullSync),
        1 => (device(), user()).prop_map(|(device, user)| Step::Look(device, user)),
        2 => sample::select(waits).prop_map(Step::Wait),
        2 => set.prop_map(|(user, state, message)| Step::SetByModule(user, state, message)),
        1 => users().prop_map(Step::Snapshot),
        3 => room().prop_map(|(room, members)| Step::Room(room, members)),
    ]
}

fn feel() -> impl Strategy<Value = Step> {
    let moods = vec![Mood::Answer, Mood::Answer, Mood::Fail, Mood::Lie, Mood::Hang];
    (0..MODULES, sample::select(moods)).prop_map(|(module, mood)| Step::Feel(module, mood))
}

fn attach() -> impl Strategy<Value = Step> {
    broadcast().prop_map(Step::Attach)
}

fn swap() -> impl Strategy<Value = Step> {
    let module = || 0..MODULES;
    let generation = option::weighted(0.7, broadcast());
    prop_oneof![
        3 => (module(), generation).prop_map(|(module, generation)| Step::TakeOver(module, generation)),
        1 => module().prop_map(Step::Detach),
        1 => module().prop_map(Step::Reattach),
    ]
}

fn restart() -> impl Strategy<Value = Step> {
    let room = option::weighted(0.3, room());
    let module = option::weighted(0.3, (0..MODULES, broadcast()));
    (room, module).prop_map(|(room, module)| Step::Restart(Meanwhile { room, module }))
}

fn broadcast() -> impl Strategy<Value = Broadcast> {
    let audience = prop_oneof![Just(AudienceKind::Kept), Just(AudienceKind::PerBatch)];
    let interest = prop_oneof![Just(Interest::All), Just(Interest::Named)];
    (users(), users(), audience, interest).prop_map(|(to, but_of, audience, interest)| Broadcast {
        to,
        but_of,
        audience,
        interest,
        is_attached: true,
    })
}

fn device() -> impl Strategy<Value = Device> {
    (user(), 1..=2_usize)
}

fn user() -> impl Strategy<Value = usize> {
    0..USERS.len()
}

fn users() -> impl Strategy<Value = Users> {
    any::<u8>().prop_map(|bits| bits & ((1 << USERS.len()) - 1))
}

fn room() -> impl Strategy<Value = (usize, Users)> {
    (0..ROOMS, users())
}

fn state() -> impl Strategy<Value = PresenceState> {
    sample::select(vec![Offline, Unavailable, Online, Busy])
}

fn message() -> impl Strategy<Value = &'static str> {
    sample::select(vec!["", "hi"])
}
