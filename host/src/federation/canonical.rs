//! Canonical JSON: the bytes that are signed. Knows nothing of who signs.
//!
//! The [specification] has no fractions in it, and no integers beyond 2^53. Events of old rooms hold both, and come in the
//! same transactions as presence; so this writes them as Synapse, which signs them, does. What refuses them would refuse the
//! presence beside them for ever.
//!
//! [specification]: https://spec.matrix.org/v1.16/appendices/#canonical-json

use serde_json::{Map, Number, Value};

/// Writes `value`. Its depth is that of the JSON it was read from, which `serde_json` limits to 128.
pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(value, out);
            }
            out.push(b']');
        }
        Value::Object(object) => write_object(object.iter().map(|(key, value)| (key.as_str(), value)), out),
    }
}

/// Writes an object as it is signed: without `signatures` and `unsigned`.
pub(super) fn write_for_signing(object: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    let signed = object
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .filter(|(key, _)| !matches!(*key, "signatures" | "unsigned"));
    write_object(signed, &mut out);
    out
}

/// The keys are sorted here, as whether a map is sorted depends on features of `serde_json` that any crate may turn on.
pub(super) fn write_object<'a>(entries: impl Iterator<Item = (&'a str, &'a Value)>, out: &mut Vec<u8>) {
    let mut entries: Vec<_> = entries.collect();
    // By bytes, which for UTF-8 is by code points.
    entries.sort_unstable_by_key(|(key, _)| *key);
    out.push(b'{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(key, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Escapes what canonical JSON escapes, and nothing else.
    serde_json::to_writer(out, text).expect("a string is written into memory");
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    match number.as_f64() {
        Some(float) if number.is_f64() => out.extend_from_slice(fraction(float).as_bytes()),
        _ => out.extend_from_slice(number.to_string().as_bytes()),
    }
}

/// A fraction as Python writes it: an exponent has a sign and two digits.
fn fraction(float: f64) -> String {
    let text = format!("{float:?}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(json: &str, expected: &str) {
        let value: Value = serde_json::from_str(json).expect("JSON");
        let mut out = Vec::new();
        write(&value, &mut out);
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected, "{json}");
    }

    #[test]
    fn the_examples_of_the_specification_come_out_as_they_stand_there() {
        for (json, expected) in [
            ("{}", "{}"),
            (r#"{ "one": 1, "two": "Two" }"#, r#"{"one":1,"two":"Two"}"#),
            (r#"{ "b": "2", "a": "1" }"#, r#"{"a":"1","b":"2"}"#),
            (
                r#"{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}"#,
                r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
            ),
            (r#"{ "a": "日本語" }"#, r#"{"a":"日本語"}"#),
            (r#"{ "本": 2, "日": 1 }"#, r#"{"日":1,"本":2}"#),
            (r#"{ "a": "\u65E5" }"#, r#"{"a":"日"}"#),
            (r#"{ "a": null }"#, r#"{"a":null}"#),
        ] {
            check(json, expected);
        }
    }

    #[test]
    fn only_quotes_backslashes_and_control_characters_are_escaped() {
        check(
            r#""\"\\\/\b\f\n\r\t\u0000\u001f\u007f""#,
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\"",
        );
    }

    /// The right column is what Python's `json.dumps` writes, and so Synapse.
    #[test]
    fn fractions_are_written_as_synapse_writes_them() {
        for (json, expected) in [
            ("1.0", "1.0"),
            ("1.5", "1.5"),
            ("0.1", "0.1"),
            ("-2.25", "-2.25"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1.5e-7", "1.5e-07"),
            ("1e-300", "1e-300"),
            ("1e15", "1000000000000000.0"),
            ("9999999999999998.0", "9999999999999998.0"),
            ("1e16", "1e+16"),
            ("1.25e100", "1.25e+100"),
            ("9007199254740993", "9007199254740993"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            check(json, expected);
        }
    }

    #[test]
    fn signatures_and_what_is_unsigned_are_left_out_at_the_top_alone() {
        let object = json!({"signatures": {}, "unsigned": 1, "b": {"unsigned": 2}, "a": 1});
        let bytes = write_for_signing(object.as_object().expect("an object"));
        assert_eq!(bytes, br#"{"a":1,"b":{"unsigned":2}}"#);
    }
}
