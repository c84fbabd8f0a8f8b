//! When a server is asked for its keys, and what becomes of what it answers, by a clock that stands still.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::advance;

use super::*;
use crate::clock::TokioClock;
use crate::federation::signing::Signer;

const NOW: u64 = 1_700_000_000_000;
const MINUTE: Duration = Duration::from_mins(1);
const MOMENT: Duration = Duration::from_millis(1);
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// Answers with what was put in, and fails when that is used up.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Value>>,
    asked: Mutex<Vec<String>>,
    /// While it is set, an answer waits for `go`.
    holds: Mutex<bool>,
    go: Notify,
}

impl KeyFetcher for Script {
    fn fetch<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>> {
        Box::pin(async move {
            self.asked.lock().push(server.to_string());
            let holds = *self.holds.lock();
            if holds {
                self.go.notified().await;
            }
            let answer = self.answers.lock().pop_front();
            answer.ok_or_else(|| "nobody is there".to_owned())
        })
    }
}

struct Ring {
    script: Arc<Script>,
    keys: KeyRing,
    clock: Arc<TokioClock>,
}

impl Ring {
    fn new(answers: impl IntoIterator<Item = Value>) -> Self {
        let script = Arc::new(Script {
            answers: Mutex::new(answers.into_iter().collect()),
            ..Script::default()
        });
        let clock = Arc::new(TokioClock::starting_at(NOW));
        Self {
            keys: KeyRing::new(Arc::<TokioClock>::clone(&clock), Arc::<Script>::clone(&script)),
            script,
            clock,
        }
    }

    async fn keys(&self, key_id: &str) -> Result<Arc<[VerifyKey]>, NoKey> {
        self.keys_of("other.test", key_id).await
    }

    async fn keys_of(&self, server: &str, key_id: &str) -> Result<Arc<[VerifyKey]>, NoKey> {
        let server = <&ServerName>::try_from(server).expect("valid");
        self.keys.keys(server, &[key_id]).await
    }

    fn asked(&self) -> usize {
        self.script.asked.lock().len()
    }
}

fn signer() -> Signer {
    Signer::new("other.test", "a", 1)
}

#[tokio::test(start_paused = true)]
async fn keys_are_kept_until_they_are_not_valid_any_more() {
    let ring = Ring::new([
        signer().key_response(NOW + HOUR_MS),
        signer().key_response(NOW + 3 * HOUR_MS),
    ]);
    for _ in 0..3 {
        let keys = ring.keys("ed25519:a").await.expect("valid");
        assert_eq!(*keys, [signer().verify_key()]);
    }
    advance(Duration::from_millis(HOUR_MS - 1)).await;
    assert!(ring.keys("ed25519:a").await.is_ok());
    assert_eq!(ring.asked(), 1);
    advance(MOMENT).await;
    assert!(ring.keys("ed25519:a").await.is_ok());
    assert_eq!(ring.asked(), 2);
    // The third fetch finds nobody: keys that are not valid any more are not used.
    advance(Duration::from_millis(2 * HOUR_MS)).await;
    assert_eq!(ring.keys("ed25519:a").await, Err(NoKey::NotFetched));
    assert_eq!((ring.asked(), ring.clock.now_ms()), (3, NOW + 3 * HOUR_MS));
}

#[tokio::test(start_paused = true)]
async fn for_a_key_that_is_not_known_the_server_is_asked_once_a_minute() {
    let both = {
        let mut answer = signer().key_response(NOW + HOUR_MS);
        let next = Signer::new("other.test", "b", 2);
        answer["verify_keys"]["ed25519:b"] = json!({"key": next.public_key()});
        next.signed(signer().signed(answer))
    };
    let ring = Ring::new([signer().key_response(NOW + HOUR_MS), both]);
    assert_eq!(ring.keys("ed25519:b").await, Err(NoKey::Unknown));
    advance(MINUTE.saturating_sub(MOMENT)).await;
    assert_eq!(ring.keys("ed25519:b").await, Err(NoKey::Unknown));
    assert!(ring.keys("ed25519:a").await.is_ok());
    assert_eq!(ring.asked(), 1);
    advance(MOMENT).await;
    let keys = ring.keys("ed25519:b").await.expect("there by now");
    assert_eq!((keys.len(), ring.asked()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_left_alone_for_longer_and_longer() {
    let ring = Ring::new([]);
    let mut asked = 0;
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(ring.keys("ed25519:a").await, Err(NoKey::NotFetched));
        asked += 1;
        assert_eq!(ring.asked(), asked, "before {minutes} min");
        advance((minutes * MINUTE).saturating_sub(MOMENT)).await;
        assert_eq!(ring.keys("ed25519:a").await, Err(NoKey::NotFetched));
        assert_eq!(ring.asked(), asked, "within {minutes} min");
        advance(MOMENT).await;
    }
    ring.script
        .answers
        .lock()
        .push_back(signer().key_response(ring.clock.now_ms() + 1));
    assert!(ring.keys("ed25519:a").await.is_ok());
    // It starts over: a minute after an answer, then a minute after the first failure.
    advance(MINUTE).await;
    assert_eq!(ring.keys("ed25519:a").await, Err(NoKey::NotFetched));
    advance(MINUTE).await;
    assert_eq!(ring.keys("ed25519:a").await, Err(NoKey::NotFetched));
    assert_eq!(ring.asked(), asked + 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_believed_is_a_failure_and_leaves_valid_keys() {
    let wrong = Signer::new("evil.test", "a", 1).key_response(NOW + HOUR_MS);
    let ring = Ring::new([wrong.clone(), signer().key_response(NOW + HOUR_MS), wrong]);
    assert_eq!(ring.keys("ed25519:a").await, Err(NoKey::NotFetched));
    advance(MINUTE).await;
    assert!(ring.keys("ed25519:a").await.is_ok());
    advance(MINUTE).await;
    assert_eq!(ring.keys("ed25519:b").await, Err(NoKey::NotFetched));
    assert_eq!(ring.asked(), 3);
    assert!(ring.keys("ed25519:a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn all_who_want_a_servers_keys_have_it_asked_once() {
    let ring = Arc::new(Ring::new([signer().key_response(NOW + HOUR_MS)]));
    *ring.script.holds.lock() = true;
    let wanting: Vec<_> = (0..50)
        .map(|_| {
            let ring = Arc::clone(&ring);
            tokio::spawn(async move { ring.keys("ed25519:a").await })
        })
        .collect();
    while ring.asked() == 0 {
        tokio::task::yield_now().await;
    }
    // Who asked first goes. The others get the answer all the same.
    wanting[0].abort();
    ring.script.go.notify_one();
    for want in wanting.into_iter().skip(1) {
        assert!(want.await.expect("no panic").is_ok());
    }
    assert_eq!(ring.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up_at_the_deadline() {
    let ring = Ring::new([signer().key_response(NOW + HOUR_MS)]);
    *ring.script.holds.lock() = true;
    let began = Instant::now();
    assert_eq!(ring.keys("ed25519:a").await, Err(NoKey::NotFetched));
    assert_eq!(began.elapsed(), FETCH_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn so_many_servers_are_asked_at_a_time_and_the_next_is_not_blamed() {
    let ring = Arc::new(Ring::new([]));
    *ring.script.holds.lock() = true;
    let asking: Vec<_> = (0..FETCHES)
        .map(|number| {
            let ring = Arc::clone(&ring);
            tokio::spawn(async move { ring.keys_of(&format!("{number}.test"), "ed25519:a").await })
        })
        .collect();
    while ring.asked() < FETCHES {
        tokio::task::yield_now().await;
    }
    assert_eq!(ring.keys("ed25519:a").await, Err(NoKey::Busy));
    assert_eq!(ring.asked(), FETCHES);
    for ask in asking {
        assert_eq!(ask.await.expect("no panic"), Err(NoKey::NotFetched));
    }
    *ring.script.holds.lock() = false;
    ring.script
        .answers
        .lock()
        .push_back(signer().key_response(ring.clock.now_ms() + 1));
    assert!(ring.keys("ed25519:a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn made_up_servers_push_nobodys_keys_out() {
    let ring = Ring::new([signer().key_response(NOW + HOUR_MS)]);
    assert!(ring.keys("ed25519:a").await.is_ok());
    for number in 0..MOST_STRANGERS + 10 {
        let made_up = ring.keys_of(&format!("{number}.test"), "ed25519:a").await;
        assert_eq!(made_up, Err(NoKey::NotFetched));
    }
    assert!(ring.keys("ed25519:a").await.is_ok());
    let servers = ring.keys.0.servers.lock();
    assert_eq!(
        (servers.known.len(), servers.strangers.len()),
        (1, MOST_STRANGERS)
    );
}
