//! Follows what the directory's source tells, while the server runs.

use std::sync::Arc;

use crate::engine::Shared;
use crate::engine::writer::Command;

/// Has the writer apply what the source tells, until the server stops.
pub(super) async fn follow(shared: Arc<Shared>) {
    loop {
        let events = tokio::select! {
            events = shared.source.changes() => events,
            () = shared.stop.cancelled() => return,
        };
        // It waits for a place for as long as it takes: a change of membership is not lost.
        if shared.commands.send(Command::Directory(events)).await.is_err() {
            return;
        }
    }
}
