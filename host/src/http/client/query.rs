//! The query string, as Synapse reads it: of a parameter given twice, the first counts.

use axum::http::Uri;

/// The parameters of a request, percent-decoded, in the order given.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of `uri`. What is no parameter is left out: it cannot be asked for.
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Whether `uri` may have the parameter `name`: not, when no key is it or is written in a way that hides it. Spares most
    /// requests to be read twice.
    pub(super) fn may_have(uri: &Uri, name: &str) -> bool {
        let hidden = |key: &str| key.contains(['%', '+']);
        uri.query().unwrap_or_default().split('&').any(|pair| {
            let key = pair.split_once('=').map_or(pair, |(key, _)| key);
            key == name || hidden(key)
        })
    }

    /// The parameter `name`; an empty one is there too.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_counts_and_an_empty_one_is_there() {
        let parameters = Parameters::of(&Uri::from_static("/sync?a=%40x+y&a=2&b=&c&%FF=%FF"));
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
}
