//! The threads of the generator: each has a runtime of its own and its share of the connections, so that no request
//! crosses from one to another.

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};

/// A runtime for the thread that it is made on.
pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

/// What one of several threads takes of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    index: usize,
    threads: usize,
}

impl Share {
    /// The shares of `threads` threads; of one at least.
    pub(crate) fn all(threads: usize) -> impl Iterator<Item = Self> {
        let threads = threads.max(1);
        (0..threads).map(move |index| Self { index, threads })
    }

    /// What is this thread's.
    pub(crate) fn of<T>(self, list: &[T]) -> impl Iterator<Item = &T> {
        list.iter().skip(self.index).step_by(self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_all_of_the_list_and_none_has_what_another_has() {
        for threads in 0..5 {
            let list = [1, 2, 3, 4, 5, 6, 7];
            let mut taken: Vec<_> = Share::all(threads).flat_map(|share| share.of(&list)).collect();
            taken.sort();
            assert_eq!(taken, list.iter().collect::<Vec<_>>(), "{threads}");
        }
    }
}
