//! One transaction: what waits for a homeserver, on its way.

use serde_json::json;

use crate::federation::outbox::Outbox;
use crate::federation::sender::{Carrier, Done, Undelivered};
use crate::metrics::{Sent, SentMetrics};

/// The most states of an EDU, as Synapse sends and takes them.
const STATES_AN_EDU: usize = 50;
/// The most EDUs of a transaction (Matrix specification, server-server API, transactions).
const EDUS_A_TRANSACTION: usize = 100;
/// Beyond so many bytes of states the rest goes with the next transaction.
const BYTES_A_TRANSACTION: usize = 1024 * 1024;

/// Sends what waits for a homeserver, as far as it fits into a transaction.
pub(super) async fn send<O: Outbox>(
    outbox: &O,
    carrier: &dyn Carrier,
    (origin, server): (&str, &str),
    now: u64,
    metrics: &SentMetrics,
) -> Result<Done, Undelivered> {
    let taken = outbox.take(server, STATES_AN_EDU * EDUS_A_TRANSACTION, BYTES_A_TRANSACTION);
    let load = OnItsWay {
        outbox,
        server,
        load: Some(taken.load),
    };
    if taken.entries.is_empty() {
        load.arrived();
        return Ok(Done::NothingToSay { more: taken.more });
    }
    let edus: Vec<_> = taken
        .entries
        .chunks(STATES_AN_EDU)
        .map(|push| json!({ "edu_type": "m.presence", "content": { "push": push } }))
        .collect();
    let (edu_count, state_count) = (edus.len(), taken.entries.len());
    let body = json!({ "origin": origin, "origin_server_ts": now, "pdus": [], "edus": edus });
    let outcome = carrier.carry(server, &outbox.transaction_id(), body).await;
    metrics.transaction(match outcome {
        Ok(()) => Sent::Ok,
        Err(Undelivered::Away(_)) => Sent::Away,
        Err(Undelivered::TooMany(_)) => Sent::Limited,
        Err(Undelivered::Refused(_)) => Sent::Refused,
    });
    if outcome.is_ok() {
        metrics.taken(edu_count, state_count);
    }
    if let Ok(()) | Err(Undelivered::Refused(_)) = outcome {
        load.arrived();
    }
    outcome.map(|()| Done::Carried { more: taken.more })
}

/// A load on its way. Dropped without having arrived, it is taken back, also when the server stops or a fault of ours ends the
/// way.
struct OnItsWay<'a, O: Outbox> {
    outbox: &'a O,
    server: &'a str,
    load: Option<O::Load>,
}

impl<O: Outbox> OnItsWay<'_, O> {
    fn arrived(mut self) {
        if let Some(load) = self.load.take() {
            self.outbox.arrived(self.server, load);
        }
    }
}

impl<O: Outbox> Drop for OnItsWay<'_, O> {
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            self.outbox.take_back(self.server, load);
        }
    }
}
