//! The query string, as Synapse reads it: of a parameter given twice, the first counts.

use axum::extract::Query;
use axum::http::Uri;

/// The parameters of a request, percent-decoded, in the order given.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of `uri`. What is no parameter is left out: it cannot be asked for.
    pub(super) fn of(uri: &Uri) -> Self {
        Self(Query::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs))
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
}
