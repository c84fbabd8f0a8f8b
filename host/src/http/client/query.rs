//! The query string, as Synapse reads it: of a parameter given twice, the first counts.

use std::borrow::Cow;

use axum::http::Uri;
use smallvec::SmallVec;

/// As many parameters as most requests have at most.
const USUAL: usize = 6;

/// The parameters of a request, in the order given.
pub(super) struct Parameters<'a>(SmallVec<[Parameter<'a>; USUAL]>);

struct Parameter<'a> {
    key: Cow<'a, str>,
    value: Value<'a>,
}

/// What a parameter is set to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    /// The whole parameter, as it is written.
    pair: &'a str,
}

impl<'a> Parameters<'a> {
    /// Those of `uri`. What is no parameter is left out: it cannot be asked for.
    pub(super) fn of(uri: &'a Uri) -> Self {
        let all = pairs(uri.query().unwrap_or_default()).map(|pair| {
            let (key, _) = key_and_value(pair);
            let key = if hides(key) {
                decode(pair).0
            } else {
                Cow::Borrowed(key)
            };
            let value = Value { pair };
            Parameter { key, value }
        });
        Self(all.collect())
    }

    /// Whether `uri` may have the parameter `name`: not, when no key is it or is written in a way that hides it. Spares most
    /// requests to be read twice.
    pub(super) fn may_have(uri: &Uri, name: &str) -> bool {
        pairs(uri.query().unwrap_or_default()).any(|pair| {
            let (key, _) = key_and_value(pair);
            key == name || hides(key)
        })
    }

    /// The parameter `name`; an empty one is there too.
    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        let parameter = self.0.iter().find(|parameter| parameter.key == name)?;
        Some(parameter.value)
    }
}

impl<'a> Value<'a> {
    /// As it is written: the same can be written in several ways.
    pub(super) fn written(self) -> &'a str {
        key_and_value(self.pair).1
    }

    /// What it says, percent-decoded.
    pub(super) fn decoded(self) -> Cow<'a, str> {
        if hides(self.written()) {
            decode(self.pair).1
        } else {
            Cow::Borrowed(self.written())
        }
    }
}

/// The parameters as they are written.
fn pairs(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|pair| !pair.is_empty())
}

/// What `pair` says: the value may be missing.
fn key_and_value(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

/// The same, percent-decoded.
fn decode(pair: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default()
}

/// Whether what is written means something else: it is longer work to read.
fn hides(written: &str) -> bool {
    written.bytes().any(|byte| matches!(byte, b'%' | b'+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_counts_and_an_empty_one_is_there() {
        let uri = Uri::from_static("/sync?a=%40x+y&a=2&b=&c&%FF=%FF");
        let parameters = Parameters::of(&uri);
        let get = |name| parameters.get(name).map(Value::decoded);
        assert_eq!(get("a").as_deref(), Some("@x y"));
        assert_eq!(parameters.get("a").map(Value::written), Some("%40x+y"));
        assert_eq!(get("b").as_deref(), Some(""));
        assert_eq!(get("c").as_deref(), Some(""));
        assert_eq!(get("d"), None);
        assert!(Parameters::of(&Uri::from_static("/sync")).get("a").is_none());
    }

    #[test]
    fn what_may_be_there_is_looked_for() {
        for (query, expected) in [
            ("/sync", false),
            ("/sync?b=a&ab=1", false),
            ("/sync?b=1&a=2", true),
            ("/sync?b=1&a", true),
            ("/sync?%61=2", true),
        ] {
            assert_eq!(
                Parameters::may_have(&Uri::from_static(query), "a"),
                expected,
                "{query}"
            );
        }
    }

    #[test]
    fn what_needs_no_decoding_is_read_as_if_it_were_decoded() {
        for query in [
            "",
            "a",
            "=",
            "&",
            "a=b=c",
            "&&a=1&",
            "=v",
            "a&=&b",
            "a==",
            "%3D=1&b=+",
            "a%26b=c&d",
            "a=%",
            "a;b=c",
            "%=%zz&+=+&\u{e4}=\u{e4}%C3",
        ] {
            let uri: Uri = format!("/sync?{query}").parse().expect("a path and a query");
            let expected: Vec<_> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
            let read: Vec<_> = Parameters::of(&uri)
                .0
                .into_iter()
                .map(|Parameter { key, value }| (key.into_owned(), value.decoded().into_owned()))
                .collect();
            assert_eq!(read, expected, "{query}");
        }
    }
}
