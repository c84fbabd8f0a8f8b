//! The query string, as Synapse reads it: of a parameter given twice, the first counts.

use std::borrow::Cow;

use axum::http::Uri;

/// As many parameters as most requests have at most.
const USUAL: usize = 6;

/// The parameters of a request, percent-decoded, in the order given.
pub(super) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// Those of `uri`. What is no parameter is left out: it cannot be asked for.
    pub(super) fn of(uri: &'a Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let mut all = Vec::with_capacity(USUAL);
        for pair in pairs(query) {
            if hides(pair) {
                all.extend(form_urlencoded::parse(pair.as_bytes()));
            } else {
                let (key, value) = key_and_value(pair);
                all.push((Cow::Borrowed(key), Cow::Borrowed(value)));
            }
        }
        Self(all)
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
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_ref())
    }

    /// The parameter `name`, alone.
    pub(super) fn take(self, name: &str) -> Option<Cow<'a, str>> {
        let mut all = self.0.into_iter();
        all.find(|(key, _)| key == name).map(|(_, value)| value)
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
        assert_eq!(parameters.get("a"), Some("@x y"));
        assert_eq!(parameters.get("b"), Some(""));
        assert_eq!(parameters.get("c"), Some(""));
        assert_eq!(parameters.get("d"), None);
        assert_eq!(Parameters::of(&Uri::from_static("/sync")).get("a"), None);
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
            let read: Vec<_> = Parameters::of(&uri).0;
            let read: Vec<_> = read
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect();
            assert_eq!(read, expected, "{query}");
        }
    }
}
