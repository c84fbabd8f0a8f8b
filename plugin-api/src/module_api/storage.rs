//! What a module stores beyond its own life.

use std::future::Future;

use abi_stable::std_types::{ROption, RString, RVec};

use super::ModuleApi;
use crate::error::ApiError;

/// Keys and values that the host keeps for one module instance, over restarts of the server; made by
/// [`ModuleApi::storage`]. Cheap to clone.
///
/// Instances see nothing of each other; what is stored belongs to the instance's name in the config, so it is there
/// after the module is replaced by a newer one. Values are bytes: the form is yours, and may have to be read by your next
/// version.
///
/// A key has 1 to 512 bytes, a value at most 1 MiB, all of an instance at most 64 MiB; beyond,
/// [`ApiError::TooLarge`]. A [`put`](Self::put) or [`delete`](Self::delete) that was answered survives a crash of the
/// server.
///
/// ```
/// # use presence_router_api::{ApiError, ModuleApi};
/// /// How often this module has been started.
/// async fn count_starts(api: &ModuleApi) -> Result<u64, ApiError> {
///     let storage = api.storage();
///     let before = storage.get("starts").await?;
///     let before = before.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
///     storage.put("starts", (before + 1).to_le_bytes()).await?;
///     Ok(before + 1)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Storage(ModuleApi);

impl ModuleApi {
    /// What the host keeps for this instance over restarts. Asks nothing by itself.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, ModuleApi};
    /// async fn remember(api: &ModuleApi, cursor: &str) -> Result<(), ApiError> {
    ///     api.storage().put("cursor", cursor).await
    /// }
    /// ```
    pub fn storage(&self) -> Storage {
        Storage(self.clone())
    }
}

impl Storage {
    /// The value under a key, if there is one.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, Storage};
    /// async fn cursor(storage: &Storage) -> Result<Option<String>, ApiError> {
    ///     let value = storage.get("cursor").await?;
    ///     Ok(value.and_then(|bytes| String::from_utf8(bytes).ok()))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::ShutDown`] after `shutdown`, and what is said of [waiting](ModuleApi#what-waits).
    pub fn get(
        &self,
        key: impl Into<String>,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, ApiError>> + Send + 'static {
        let key = RString::from(key.into());
        let answer = self.0.ask(move |host| host.storage_get(key));
        async move { Ok(answer.await?.map(RVec::into_vec).into_option()) }
    }

    /// Stores a value under a key, in place of the one that is there. Answered when it is on disk.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, Storage, UserId};
    /// async fn add(storage: &Storage, member: &UserId) -> Result<(), ApiError> {
    ///     storage.put(format!("member/{member}"), b"").await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::TooLarge`] beyond the [bounds](Self), [`ApiError::Unavailable`] when it cannot be written,
    /// [`ApiError::ShutDown`] after `shutdown`, and what is said of [waiting](ModuleApi#what-waits).
    pub fn put(
        &self,
        key: impl Into<String>,
        value: impl Into<Vec<u8>>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send + 'static {
        let (key, value) = (RString::from(key.into()), RVec::from(value.into()));
        let answer = self.0.ask(move |host| host.storage_put(key, value));
        async move { Ok(answer.await?) }
    }

    /// Forgets a key; whether there was one. Answered when that is on disk.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, Storage, UserId};
    /// async fn remove(storage: &Storage, member: &UserId) -> Result<bool, ApiError> {
    ///     storage.delete(format!("member/{member}")).await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] when it cannot be written, [`ApiError::ShutDown`] after `shutdown`, and what is said of
    /// [waiting](ModuleApi#what-waits).
    pub fn delete(
        &self,
        key: impl Into<String>,
    ) -> impl Future<Output = Result<bool, ApiError>> + Send + 'static {
        let key = RString::from(key.into());
        let answer = self.0.ask(move |host| host.storage_delete(key));
        async move { Ok(answer.await?) }
    }

    /// The first `limit` (1 to 1,000) keys, with their values, that begin with `prefix` and come after `after`, in the order
    /// of their bytes. To read on, give the last key of the answer as `after`, until an answer is empty.
    ///
    /// ```
    /// # use presence_router_api::{ApiError, Storage};
    /// async fn members(storage: &Storage) -> Result<Vec<String>, ApiError> {
    ///     let mut keys: Vec<String> = Vec::new();
    ///     loop {
    ///         let page = storage.scan("member/", keys.last().map(String::as_str), 100).await?;
    ///         if page.is_empty() {
    ///             return Ok(keys);
    ///         }
    ///         keys.extend(page.into_iter().map(|(key, _)| key));
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ApiError::Refused`] when `limit` is 0, [`ApiError::TooLarge`] when it is above 1,000, [`ApiError::ShutDown`] after
    /// `shutdown`, and what is said of [waiting](ModuleApi#what-waits).
    pub fn scan(
        &self,
        prefix: impl Into<String>,
        after: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(String, Vec<u8>)>, ApiError>> + Send + 'static {
        let prefix = RString::from(prefix.into());
        let after = ROption::from(after.map(RString::from));
        let answer = self.0.ask(move |host| host.storage_scan(prefix, after, limit));
        async move {
            let pairs = answer.await?.into_iter();
            Ok(pairs
                .map(|pair| (pair.key.into_string(), pair.value.into_vec()))
                .collect())
        }
    }
}
