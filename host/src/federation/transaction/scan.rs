//! A look at JSON before it is read: whether it is some, and how many values it holds. Takes no memory for them.
//!
//! Read, a value takes 32 bytes, and a small object 20 times as much; its text takes two. Whoever may send 10 MB could make
//! them a gigabyte, and may do so before anything of theirs is checked: the signature is over what was read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// How many values a body may hold, lists and objects among them. A transaction full of presence has 30,000; read, so many
/// take 60 MB at the very most.
pub const MAX_VALUES: usize = 100_000;

/// Why a body is not read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It is not JSON.
    #[error("the body is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// It is, but no object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// It holds more than [`MAX_VALUES`].
    #[error("the body holds more than {MAX_VALUES} values")]
    TooManyValues,
}

/// Looks at a body.
///
/// # Errors
/// See [`ScanError`]. A body without one may still turn out not to be JSON when it is read.
pub fn scan(body: &[u8]) -> Result<(), ScanError> {
    let mut left = MAX_VALUES;
    let mut json = serde_json::Deserializer::from_slice(body);
    let counted = Count { left: &mut left }.deserialize(&mut json);
    match counted.and_then(|()| json.end()) {
        Ok(()) => {}
        Err(_) if left == 0 => return Err(ScanError::TooManyValues),
        Err(error) => return Err(ScanError::NotJson(error)),
    }
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        Ok(())
    } else {
        Err(ScanError::NotAnObject)
    }
}

/// Counts down, a value each, and fails at 0.
struct Count<'a> {
    left: &'a mut usize,
}

impl Count<'_> {
    fn next(&mut self) -> Count<'_> {
        Count { left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        *self.left = self.left.saturating_sub(1);
        if *self.left == 0 {
            return Err(D::Error::custom("too many values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        while values.next_element_seed(self.next())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_key::<IgnoredAny>()?.is_some() {
            entries.next_value_seed(self.next())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str) -> &'static str {
        match scan(body.as_bytes()) {
            Ok(()) => "fine",
            Err(ScanError::NotJson(_)) => "not JSON",
            Err(ScanError::NotAnObject) => "not an object",
            Err(ScanError::TooManyValues) => "too many",
        }
    }

    #[test]
    fn the_limit_is_exact() {
        let with = |values: usize| format!("{{\"a\":[{}]}}", vec!["0"; values - 2].join(","));
        assert_eq!(check(&with(MAX_VALUES - 1)), "fine");
        assert_eq!(check(&with(MAX_VALUES)), "too many");
        assert_eq!(
            check(&format!("{{\"a\":[{}", "[],".repeat(MAX_VALUES))),
            "too many"
        );
    }

    #[test]
    fn what_is_no_object_is_refused_and_so_is_what_is_no_json() {
        for (body, expected) in [
            ("{}", "fine"),
            (" \n{\"a\": {\"b\": [1, -1, 1.5, \"x\", null, true]}} ", "fine"),
            ("[]", "not an object"),
            ("\"{\"", "not an object"),
            ("null", "not an object"),
            ("", "not JSON"),
            ("{", "not JSON"),
            ("{} x", "not JSON"),
            ("{\"a\":NaN}", "not JSON"),
            ("\u{feff}{}", "not JSON"),
            ("{\"a\":\"\\ud800\"}", "not JSON"),
            ("{\"a\":1e999}", "not JSON"),
        ] {
            assert_eq!(check(body), expected, "{body}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(check(&deep), "not JSON");
        assert_eq!(check("{\"a\":\"\u{0}\"}"), "not JSON");
        assert!(scan(b"{\"a\":\"\xff\"}").is_err());
    }
}
