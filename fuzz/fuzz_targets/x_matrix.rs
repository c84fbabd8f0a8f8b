//! Headers `Authorization`, a line each: reading them never panics, and what is read names a server and keys.

#![no_main]

use libfuzzer_sys::fuzz_target;
use presence_router::federation::XMatrix;

fuzz_target!(|headers: &[u8]| {
    if let Ok(claim) = XMatrix::parse(headers.split(|byte| *byte == b'\n')) {
        assert!(claim.key_ids().next().is_some());
        assert!(claim.key_ids().all(|id| !id.is_empty()));
        assert!(!claim.origin.as_str().is_empty());
    }
});
