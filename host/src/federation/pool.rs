//! Connections that are kept for the next request, over all servers a bounded number.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::federation::transport::Sender;

/// How many are kept. One more, and the one that was used the longest ago is closed.
const MAX_KEPT: usize = 256;
/// How long one is kept: less than the minute after which many servers close theirs.
const MAX_IDLE: Duration = Duration::from_secs(45);

/// Connections without a request, by whom they lead to.
#[derive(Default)]
pub(super) struct Pool {
    /// The one that was used the longest ago first.
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    name: String,
    sender: Sender,
    since: Instant,
}

impl Pool {
    /// The connection to `name` that was used last, if it is still open.
    pub(super) fn take(&self, name: &str) -> Option<Sender> {
        let mut kept = self.kept.lock();
        forget_old(&mut kept);
        let index = kept.iter().rposition(|kept| kept.name == name)?;
        Some(kept.remove(index).sender)
    }

    /// Keeps a connection whose last answer has been read.
    pub(super) fn put(&self, name: &str, sender: Sender) {
        let mut kept = self.kept.lock();
        forget_old(&mut kept);
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push(Kept {
            name: name.to_owned(),
            sender,
            since: Instant::now(),
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.lock().len()
    }
}

fn forget_old(kept: &mut Vec<Kept>) {
    kept.retain(|kept| !kept.sender.is_closed() && kept.since.elapsed() < MAX_IDLE);
}

#[cfg(test)]
mod tests {
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::DuplexStream;

    use super::*;

    /// A connection, and its other end.
    async fn connection() -> (Sender, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        let (sender, connection) = http1::handshake(TokioIo::new(ours)).await.expect("is open");
        tokio::spawn(connection);
        (sender, theirs)
    }

    #[tokio::test]
    async fn over_all_servers_a_bounded_number_is_kept_and_the_oldest_goes_first() {
        let pool = Pool::default();
        let mut ends = Vec::new();
        for index in 0..=MAX_KEPT {
            let (sender, end) = connection().await;
            pool.put(&format!("s{index}.test"), sender);
            ends.push(end);
        }
        assert_eq!(pool.len(), MAX_KEPT);
        assert!(pool.take("s0.test").is_none());
        assert!(pool.take("s1.test").is_some());
        assert!(pool.take("s1.test").is_none(), "it was taken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_for_its_time() {
        let pool = Pool::default();
        let (first, _end) = connection().await;
        pool.put("a.test", first);
        tokio::time::advance(MAX_IDLE / 2).await;
        let (second, _other_end) = connection().await;
        pool.put("a.test", second);
        tokio::time::advance(MAX_IDLE / 2).await;
        assert!(pool.take("a.test").is_some());
        assert!(pool.take("a.test").is_none(), "the first has had its time");
        assert_eq!(pool.len(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_the_server_has_closed_is_not_kept() {
        let pool = Pool::default();
        let (sender, end) = connection().await;
        drop(end);
        while !sender.is_closed() {
            tokio::task::yield_now().await;
        }
        pool.put("a.test", sender);
        assert!(pool.take("a.test").is_none());
    }
}
