//! What is in the logs no more.

use crate::delivery::streams::Streams;
use crate::delivery::token::{ModuleTag, SyncToken};
use crate::presence::UserKey;

impl Streams {
    /// Whether other modules may have routed something to a reader, after what a token has read of them, that is in no log that
    /// is read: their logs were put aside, or those of their former audiences were forgotten.
    pub fn have_others_forgotten(&self, module: ModuleTag, reader: UserKey, token: &SyncToken) -> bool {
        let is_other = |tag: ModuleTag| tag != module;
        let forgotten = self
            .modules
            .iter()
            .any(|(tag, log)| is_other(*tag) && token.cursor(*tag).routed < log.floor(reader));
        let put_aside = self
            .parked
            .iter()
            .any(|(tag, log)| is_other(*tag) && token.cursor(*tag).routed < log.asked_until());
        forgotten || put_aside
    }
}
