//! The first sync of each user who is to listen, outside of what is measured.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use crate::http::{Buffers, Connection, PATIENCE};
use crate::run::Run;
use crate::syncer::next_batch;

/// Syncs once for each user, one after another: a server that takes long for each would be late with all at once.
/// Answers with the token of each to go on from.
pub(crate) async fn first_syncs(run: &Run, users: &[usize]) -> Result<Vec<(usize, Arc<str>)>> {
    let mut connection = Connection::new(&run.authority, Buffers::Kept, PATIENCE);
    let mut ready = Vec::with_capacity(users.len());
    for &user in users {
        let token = run.targets.users.get(user).map_or("", |user| &user.token);
        // Without `since` the answer comes at once, whatever timeout is asked for.
        let answer = connection
            .exchange(&run.authority.get(&run.sync_path, token))
            .await?;
        if answer.status != 200 {
            bail!("the first sync was answered with {}", answer.describe());
        }
        let since = next_batch(answer.body).context("the first sync's answer is none of a sync")?;
        ready.push((user, since));
    }
    Ok(ready)
}
