//! What a module asks of the host beyond single values: presence to set, HTTP, stored values, metrics.
//!
//! These types are frozen. What is to be said anew needs a new method with a type of its own.

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RString, RVec};

use super::state::PresenceState;

/// A presence to set.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, PartialEq, Eq)]
pub struct PresenceSetting {
    /// Whose.
    pub user_id: RString,
    /// What they are from now on.
    pub state: PresenceState,
    /// What they say of it; absent clears it.
    pub status_msg: ROption<RString>,
}

/// An HTTP request.
#[repr(C)]
#[derive(StableAbi, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// The method, such as `GET`.
    pub method: RString,
    /// The whole URL.
    pub url: RString,
    /// The headers, in their order.
    pub headers: RVec<HttpHeader>,
    /// The body; empty for none.
    pub body: RVec<u8>,
    /// By when all of the answer must be there, in ms from the start; 0 for the host's default.
    pub timeout_ms: u64,
    /// How long the body of the answer may be, in bytes; 0 for the host's default.
    pub max_response_bytes: u64,
}

/// A header of a request or an answer.
#[repr(C)]
#[derive(StableAbi, Clone, PartialEq, Eq)]
pub struct HttpHeader {
    /// Its name. In answers it is in lower case.
    pub name: RString,
    /// Its value: bytes, as HTTP does not say that it is UTF-8.
    pub value: RVec<u8>,
}

/// The answer to an [`HttpCall`].
#[repr(C)]
#[derive(StableAbi, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status, 100 to 999.
    pub status: u16,
    /// The headers, in their order.
    pub headers: RVec<HttpHeader>,
    /// The whole body.
    pub body: RVec<u8>,
}

/// A key and what is stored under it.
#[repr(C)]
#[derive(StableAbi, Clone, PartialEq, Eq)]
pub struct StoredValue {
    /// The key.
    pub key: RString,
    /// The value.
    pub value: RVec<u8>,
}

/// What a metric is. A number and not an enum, so that a kind can be added: a host refuses one that it does not know.
#[repr(transparent)]
#[derive(StableAbi, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricKind(u8);

impl MetricKind {
    /// Counts up.
    pub const COUNTER: Self = Self(0);
    /// Goes up and down.
    pub const GAUGE: Self = Self(1);
    /// The distribution of values.
    pub const HISTOGRAM: Self = Self(2);
}

/// What is done to a metric. A number, so that one can be added: a host ignores one that it does not know.
#[repr(transparent)]
#[derive(StableAbi, Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricAction(u8);

impl MetricAction {
    /// To a counter or a gauge: adds the value. A counter takes whole numbers from 0 on.
    pub const ADD: Self = Self(0);
    /// To a gauge: sets it to the value.
    pub const SET: Self = Self(1);
    /// To a histogram: notes the value.
    pub const OBSERVE: Self = Self(2);
}

/// A metric with one set of labels.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// What it is.
    pub kind: MetricKind,
    /// Its name, without the host's prefix.
    pub name: RString,
    /// What it means, a sentence.
    pub help: RString,
    /// Its labels, in any order, none twice.
    pub labels: RVec<MetricLabel>,
}

/// A label of a metric.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricLabel {
    /// Its name.
    pub name: RString,
    /// Its value.
    pub value: RString,
}
