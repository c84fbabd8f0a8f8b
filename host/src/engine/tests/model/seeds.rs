//! The seed of a case that failed is printed, and read from the environment to find the case again.

use std::any::Any;
use std::fmt::Debug;

use proptest::test_runner::{FailurePersistence, PersistedSeed};

const SEED: &str = "MODEL_SEED";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrintedSeeds;

impl FailurePersistence for PrintedSeeds {
    fn load_persisted_failures2(&self, _: Option<&'static str>) -> Vec<PersistedSeed> {
        let seed = std::env::var(SEED).ok();
        seed.and_then(|seed| seed.parse().ok()).into_iter().collect()
    }

    fn save_persisted_failure2(
        &mut self,
        _: Option<&'static str>,
        seed: PersistedSeed,
        shrunken_value: &dyn Debug,
    ) {
        eprintln!("to find this case again, set {SEED}=\"{seed}\"; it shrinks to {shrunken_value:?}");
    }

    fn box_clone(&self) -> Box<dyn FailurePersistence> {
        Box::new(*self)
    }

    fn eq(&self, other: &dyn FailurePersistence) -> bool {
        other.as_any().is::<Self>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
