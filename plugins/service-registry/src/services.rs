//! The services that are known, until when each, and the form in which they are stored. Asks nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use presence_router_api::UserId;

use crate::answer::Answer;
use crate::config::MAX_TTL;

/// The most services of an answer. So many fit into one stored value, however long their ids are; and each receives
/// everything.
pub(crate) const MAX_SERVICES: usize = 3_000;

/// The first field of what is stored; another number will mean another form.
const FORM: &str = "1";

/// Until when each service is kept, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Services(BTreeMap<UserId, u64>);

impl Services {
    /// What a registry has listed. One that is listed twice is kept for the longer time, one with a `ttl` of 0 is not.
    pub(crate) fn listed(answer: Answer, default_ttl: Duration, now: u64) -> Self {
        let mut services = BTreeMap::new();
        for service in answer.0 {
            let ttl = service.ttl.map_or(default_ttl, Duration::from_secs).min(MAX_TTL);
            if !ttl.is_zero() {
                let until = services.entry(service.user_id).or_insert(0);
                *until = (*until).max(after(now, ttl));
            }
        }
        Self(services)
    }

    /// Those who are not to be kept any longer go.
    pub(crate) fn expire(&mut self, now: u64) {
        self.0.retain(|_, until| *until > now);
    }

    pub(crate) fn users(&self) -> impl ExactSizeIterator<Item = &UserId> {
        self.0.keys()
    }

    /// As it is stored, together with the registry that listed them.
    pub(crate) fn encode(&self, url: &str) -> Vec<u8> {
        // No user id and no checked URL holds a NUL.
        let mut text = format!("{FORM}\0{url}\0");
        for (user, until) in &self.0 {
            for field in [user.as_str(), &until.to_string()] {
                text.push_str(field);
                text.push('\0');
            }
        }
        text.into_bytes()
    }

    /// Reads what [`encode`](Self::encode) has made. Nothing, when it is damaged, of a later form, or of another registry.
    pub(crate) fn decode(stored: &[u8], url: &str, now: u64) -> Option<Self> {
        let mut fields = std::str::from_utf8(stored).ok()?.split_terminator('\0');
        if fields.next()? != FORM || fields.next()? != url {
            return None;
        }
        // The clock may have gone back since.
        let latest = after(now, MAX_TTL);
        let mut services = BTreeMap::new();
        while let Some(user) = fields.next() {
            let until: u64 = fields.next()?.parse().ok()?;
            services.insert(UserId::parse(user).ok()?, until.min(latest));
        }
        let mut services = Self(services);
        services.expire(now);
        Some(services)
    }
}

fn after(now: u64, time: Duration) -> u64 {
    now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Service;

    const URL: &str = "https://r.example/";
    const MINUTE: Duration = Duration::from_secs(60);

    fn listed(services: &[(&str, Option<u64>)]) -> Services {
        let services = services.iter().map(|(user, ttl)| Service {
            user_id: UserId::parse(user).expect("a user id"),
            ttl: *ttl,
        });
        Services::listed(Answer(services.collect()), MINUTE, 1_000)
    }

    fn users(services: &Services) -> Vec<&str> {
        services.users().map(UserId::as_str).collect()
    }

    #[test]
    fn each_is_kept_for_its_own_time() {
        let mut services = listed(&[
            ("@default:x", None),
            ("@long:x", Some(120)),
            ("@none:x", Some(0)),
            ("@twice:x", Some(90)),
            ("@twice:x", Some(1)),
            ("@ever:x", Some(u64::MAX)),
        ]);
        assert_eq!(users(&services), ["@default:x", "@ever:x", "@long:x", "@twice:x"]);
        services.expire(60_999);
        assert_eq!(users(&services).len(), 4);
        services.expire(61_000);
        assert_eq!(users(&services), ["@ever:x", "@long:x", "@twice:x"]);
        services.expire(91_000);
        assert_eq!(users(&services), ["@ever:x", "@long:x"]);
        services.expire(after(1_000, MAX_TTL));
        assert!(users(&services).is_empty());
    }

    #[test]
    fn what_is_stored_is_read_back_as_far_as_it_has_not_expired() {
        let services = listed(&[("@a:x", Some(10)), ("@line\nbreak:x", Some(20))]);
        let stored = services.encode(URL);
        assert_eq!(Services::decode(&stored, URL, 2_000), Some(services));
        let later = Services::decode(&stored, URL, 11_000).expect("is read");
        assert_eq!(users(&later), ["@line\nbreak:x"]);
        assert_eq!(
            Services::decode(&Services::default().encode(URL), URL, 0),
            Some(Services::default())
        );
    }

    #[test]
    fn what_is_damaged_or_of_another_registry_is_not_read() {
        let stored = listed(&[("@a:x", Some(10))]).encode(URL);
        assert_eq!(Services::decode(&stored, "https://other.example/", 0), None);
        for damaged in [
            &b""[..],
            b"1",
            b"2\0https://r.example/\0",
            b"1\0https://r.example/\0@a:x\0",
            b"1\0https://r.example/\0@a:x\0soon\0",
            b"1\0https://r.example/\0bob\x005\0",
            b"\xff\0",
        ] {
            assert_eq!(Services::decode(damaged, URL, 0), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_clock_that_has_gone_back_keeps_nobody_for_ever() {
        let stored = Services::listed(
            Answer(vec![Service {
                user_id: UserId::parse("@a:x").expect("a user id"),
                ttl: None,
            }]),
            MINUTE,
            u64::MAX / 2,
        )
        .encode(URL);
        let mut services = Services::decode(&stored, URL, 0).expect("is read");
        services.expire(after(0, MAX_TTL));
        assert!(users(&services).is_empty());
    }

    #[test]
    fn the_largest_answer_fits_into_one_stored_value() {
        // A user id has at most 255 bytes, a URL 2,048, and a time 20 digits.
        let longest = FORM.len() + 1 + 2_048 + 1 + MAX_SERVICES * (255 + 1 + 20 + 1);
        assert!(longest <= 1024 * 1024, "{longest}");
    }
}
