//! Values that are read rather than counted, such as sizes: whoever has one registers how to refresh it.

use std::sync::Arc;

use parking_lot::Mutex;

type Refresh = Arc<dyn Fn() + Send + Sync>;

/// Has `refresh` called before the metrics are read, until what is returned is dropped. It sets gauges and must not wait:
/// the reader does. What it looks at it should hold weakly, so that it keeps nothing alive.
#[must_use = "dropped, it ends the registration"]
pub fn on_scrape(refresh: impl Fn() + Send + Sync + 'static) -> OnScrape {
    registry().register(Arc::new(refresh))
}

/// Refreshes all, in the order in which they were registered.
pub(super) fn refresh_all() {
    registry().refresh();
}

/// That of the process.
#[cfg(not(test))]
fn registry() -> &'static Registry {
    static OF_THE_PROCESS: Registry = Registry::new();
    &OF_THE_PROCESS
}

/// That of the thread: tests run side by side, each with a clock of its own, and must not refresh each other's values.
#[cfg(test)]
fn registry() -> &'static Registry {
    thread_local! {
        static OF_THE_THREAD: &'static Registry = Box::leak(Box::new(Registry::new()));
    }
    OF_THE_THREAD.with(|registry| *registry)
}

/// A registration; ends when dropped.
#[derive(Debug)]
pub struct OnScrape {
    registry: &'static Registry,
    number: u64,
}

impl Drop for OnScrape {
    fn drop(&mut self) {
        self.registry.remove(self.number);
    }
}

struct Registry(Mutex<Registered>);

struct Registered {
    next: u64,
    refreshes: Vec<(u64, Refresh)>,
}

impl Registry {
    const fn new() -> Self {
        Self(Mutex::new(Registered {
            next: 0,
            refreshes: Vec::new(),
        }))
    }

    fn register(&'static self, refresh: Refresh) -> OnScrape {
        let mut registered = self.0.lock();
        let number = registered.next;
        registered.next += 1;
        registered.refreshes.push((number, refresh));
        OnScrape {
            registry: self,
            number,
        }
    }

    /// Nothing is dropped under the lock: what a refresh holds may own a registration itself.
    fn remove(&self, number: u64) {
        let removed = {
            let refreshes = &mut self.0.lock().refreshes;
            let at = refreshes.iter().position(|(other, _)| *other == number);
            at.map(|at| refreshes.remove(at))
        };
        drop(removed);
    }

    /// Nothing is called under the lock: a refresh may be the last to hold what owns a registration.
    fn refresh(&self) {
        let refreshes: Vec<Refresh> = {
            let registered = self.0.lock();
            registered
                .refreshes
                .iter()
                .map(|(_, refresh)| Arc::clone(refresh))
                .collect()
        };
        for refresh in refreshes {
            refresh();
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn registry() -> &'static Registry {
        Box::leak(Box::new(Registry::new()))
    }

    #[test]
    fn a_registration_ends_when_it_is_dropped() {
        let registry = registry();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let registration = registry.register(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        registry.refresh();
        registry.refresh();
        drop(registration);
        registry.refresh();
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        assert_eq!(Arc::strong_count(&calls), 1, "what was registered is kept");
    }

    #[test]
    fn a_refresh_may_be_the_last_to_hold_what_owns_another_registration() {
        let registry = registry();
        let held = Mutex::new(Some(registry.register(Arc::new(|| {}))));
        let outer = registry.register(Arc::new(move || drop(held.lock().take())));
        registry.refresh();
        assert_eq!(registry.0.lock().refreshes.len(), 1);
        drop(outer);
    }
}
