//! What servers say of their keys: reading it never panics, and no key is believed in that has not signed it.

#![no_main]

use std::pin::Pin;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use presence_router::clock::Clock;
use presence_router::federation::{KeyFetcher, KeyRing};
use ruma_common::ServerName;
use serde_json::Value;
use tokio::runtime::Builder;

struct Answer(Value);

impl KeyFetcher for Answer {
    fn fetch<'a>(
        &'a self,
        _: &'a ServerName,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

struct Then;

impl Clock for Then {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000
    }
}

fuzz_target!(|answer: &[u8]| {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        return;
    };
    let signed = answer.pointer("/signatures/other.test").cloned();
    let ring = KeyRing::new(Arc::new(Then), Arc::new(Answer(answer)));
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let server = <&ServerName>::try_from("other.test").expect("valid");
    if let Ok(keys) = runtime.block_on(ring.keys(server, &["ed25519:a"])) {
        for key in keys.iter() {
            assert!(
                signed
                    .as_ref()
                    .is_some_and(|signed| signed.get(&*key.id).is_some())
            );
        }
    }
});
