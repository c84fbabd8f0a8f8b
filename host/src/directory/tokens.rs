//! Whose an access token is. The texts stand in the roster; here is how they are found, and what those in use have.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use presence_router_api::UserId;

use crate::config::Roster;
use crate::directory::source::{Revocation, TokenOwner};
use crate::presence::DeviceId;

/// From so many tokens in use on, those that nobody holds any more are looked for, each time that there are twice as many.
const SWEEP_FROM: usize = 1024;

/// The tokens of a roster, and what those in use have.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    known: Arc<KnownTokens>,
    /// By the number of the token. Made when it is first used, for most are not; and kept for as long as somebody may have to
    /// hear that it is revoked.
    in_use: HashMap<u32, TokenOwner>,
    sweep_at: usize,
}

/// The tokens of a roster, which do not change.
#[derive(Debug, Default)]
pub(super) struct KnownTokens {
    roster: Arc<Roster>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    devices: Devices,
}

/// The devices of tokens are numbered from 1 for each user, in the config's order. Those that are not are here: of a token that
/// stayed when one before it went.
#[derive(Debug, Default)]
struct Devices(HashMap<u32, u32>);

/// The tokens of another roster, with what changes by it.
#[derive(Debug)]
pub(super) struct NextTokens {
    known: KnownTokens,
    /// Of each old token the number that it has now, or [`GONE`].
    kept: Vec<u32>,
    pub(super) added: usize,
    pub(super) revoked: usize,
}

/// In place of a number: the token is good no more.
const GONE: u32 = u32::MAX;

impl Tokens {
    pub(super) fn known(&self) -> &Arc<KnownTokens> {
        &self.known
    }

    /// Who stands behind a token, if anybody.
    pub(super) fn owner(&mut self, access_token: &str) -> Option<TokenOwner> {
        let token = self.known.find(access_token)?;
        if let Some(owner) = self.in_use.get(&token) {
            return Some(owner.clone());
        }
        let owner = self.known.owner(token)?;
        if self.in_use.len() >= self.sweep_at.max(SWEEP_FROM) {
            self.in_use.retain(|_, owner| owner.revoked.is_watched());
            self.sweep_at = self.in_use.len() * 2;
        }
        self.in_use.insert(token, owner.clone());
        Some(owner)
    }

    /// Goes on with the next tokens, and revokes those that are gone. Returns those of before.
    pub(super) fn replace(&mut self, next: NextTokens) -> Arc<KnownTokens> {
        let NextTokens { known, kept, .. } = next;
        for (old, owner) in std::mem::take(&mut self.in_use) {
            match kept.get(old as usize) {
                Some(&new) if new != GONE => {
                    self.in_use.insert(new, owner);
                }
                _ => owner.revoked.revoke(),
            }
        }
        std::mem::replace(&mut self.known, Arc::new(known))
    }
}

impl KnownTokens {
    fn of(roster: Arc<Roster>) -> Self {
        let hasher = DefaultHashBuilder::default();
        let hash = |token: &u32| hasher.hash_one(roster.token(*token));
        let mut index = HashTable::with_capacity(roster.token_count() as usize);
        for token in 0..roster.token_count() {
            index.insert_unique(hash(&token), token, hash);
        }
        Self {
            roster,
            index,
            hasher,
            devices: Devices::default(),
        }
    }

    pub(super) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    fn find(&self, access_token: &str) -> Option<u32> {
        let is_it = |token: &u32| self.roster.token(*token) == access_token;
        self.index
            .find(self.hasher.hash_one(access_token), is_it)
            .copied()
    }

    fn owner(&self, token: u32) -> Option<TokenOwner> {
        let user = self.roster.owner(token)?;
        let device = self.devices.of(&self.roster, token);
        Some(TokenOwner {
            user_id: UserId::parse(self.roster.user(user)).ok()?,
            device_id: DeviceId::from(format!("STATIC{device}").as_str()),
            revoked: Revocation::default(),
        })
    }

    /// The number of a token, if it is that user's.
    fn find_of(&self, user_id: &str, access_token: &str) -> Option<u32> {
        let token = self.find(access_token)?;
        let owner = self.roster.owner(token)?;
        (self.roster.user(owner) == user_id).then_some(token)
    }

    /// What is to come in the place of these tokens. A token that stays with its user keeps its device; a new one gets the first
    /// number that is free.
    pub(super) fn next(&self, roster: Arc<Roster>) -> NextTokens {
        let mut known = Self::of(roster);
        let mut kept = vec![GONE; self.roster.token_count() as usize];
        let mut stay = 0;
        let mut token = 0;
        while let Some(owner) = known.roster.owner(token) {
            let user_id = known.roster.user(owner);
            let first = token;
            // The device of each token of this user; 0 for one that is new.
            let mut devices: Vec<u32> = Vec::new();
            while known.roster.owner(token) == Some(owner) {
                let old = self.find_of(user_id, known.roster.token(token));
                devices.push(old.map_or(0, |old| self.devices.of(&self.roster, old)));
                if let Some(place) = old.and_then(|old| kept.get_mut(old as usize)) {
                    *place = token;
                    stay += 1;
                }
                token += 1;
            }
            known.devices.number(first, &devices);
        }
        NextTokens {
            added: known.roster.token_count() as usize - stay,
            revoked: kept.len() - stay,
            known,
            kept,
        }
    }
}

impl Devices {
    /// The number of a token's device, among those of its user.
    fn of(&self, roster: &Roster, token: u32) -> u32 {
        if let Some(device) = self.0.get(&token) {
            return *device;
        }
        let owner = roster.owner(token);
        let before = (0..token).rev().take_while(|other| roster.owner(*other) == owner);
        u32::try_from(before.count()).unwrap_or(u32::MAX - 1) + 1
    }

    /// The tokens of one user, from `first` on, with the devices that they have; 0 for none yet.
    fn number(&mut self, first: u32, devices: &[u32]) {
        let taken: Vec<u32> = devices.iter().copied().filter(|device| *device > 0).collect();
        let mut unused = (1..).filter(|device| !taken.contains(device));
        for (place, device) in (0..).zip(devices) {
            let device = if *device > 0 {
                *device
            } else {
                unused.next().expect("there is always a next number")
            };
            if device != place + 1 {
                self.0.insert(first + place, device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::StaticUser;

    fn tokens(count: u32) -> Tokens {
        let users = (0..count).map(|number| {
            let id = UserId::parse(format!("@u{number}:x")).expect("valid");
            let access_tokens = vec![format!("t{number}")];
            (id, StaticUser { access_tokens })
        });
        let roster = Roster::of(&users.collect(), &BTreeMap::new());
        let mut tokens = Tokens::default();
        let next = tokens.known().next(Arc::new(roster));
        tokens.replace(next);
        tokens
    }

    #[test]
    fn what_nobody_holds_any_more_is_not_kept_and_what_somebody_holds_is() {
        let count = u32::try_from(SWEEP_FROM).expect("small") * 4;
        let mut tokens = tokens(count);
        let held = tokens.owner("t0").expect("known");
        for number in 1..count {
            let _ = tokens.owner(&format!("t{number}"));
            assert!(tokens.in_use.len() <= SWEEP_FROM + 1);
        }
        let next = tokens.known().next(Arc::default());
        assert_eq!((next.added, next.revoked), (0, count as usize));
        tokens.replace(next);
        assert!(held.revoked.is_revoked());
    }
}
