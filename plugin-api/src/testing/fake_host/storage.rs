//! What the fake host stores for a module.

use std::collections::BTreeMap;
use std::ops::Bound;

use abi_stable::std_types::{ROption, RString, RVec};

use super::{FakeHost, Service};
use crate::abi::bounds::{check_key, check_scan, check_value};
use crate::abi::failure::Failure;
use crate::abi::requests::StoredValue;

impl FakeHost {
    /// Stores a value under a key, as if the module had done so in an earlier life.
    pub fn store(&self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.state().storage.insert(key.into(), value.into());
    }

    /// All that is stored. To see what a module makes of it after a restart, start another one on the same host.
    ///
    /// ```
    /// use presence_router_api::testing::FakeHost;
    ///
    /// let host = FakeHost::new("example.org");
    /// host.store("cursor", "7");
    /// assert_eq!(host.stored()["cursor"], b"7");
    /// ```
    pub fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().storage.clone()
    }

    pub(super) fn get(&self, key: &str) -> Result<ROption<RVec<u8>>, Failure> {
        self.serving(Service::Storage)?;
        check_key(key)?;
        let value = self.state().storage.get(key).cloned();
        Ok(ROption::from(value.map(RVec::from)))
    }

    pub(super) fn put(&self, key: RString, value: RVec<u8>) -> Result<(), Failure> {
        self.serving(Service::Storage)?;
        check_key(&key)?;
        check_value(&value)?;
        self.store(key, value);
        Ok(())
    }

    pub(super) fn delete(&self, key: &str) -> Result<bool, Failure> {
        self.serving(Service::Storage)?;
        check_key(key)?;
        Ok(self.state().storage.remove(key).is_some())
    }

    pub(super) fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<RVec<StoredValue>, Failure> {
        self.serving(Service::Storage)?;
        check_scan(prefix, after, limit)?;
        // What comes after a key that is smaller than the prefix begins with the prefix itself.
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        Ok(self
            .state()
            .storage
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit as usize)
            .map(|(key, value)| StoredValue {
                key: RString::from(key.as_str()),
                value: RVec::from(value.clone()),
            })
            .collect())
    }
}
