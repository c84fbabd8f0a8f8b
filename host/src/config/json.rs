//! A module's own config, turned from YAML into the JSON in which it crosses to the module.

use serde_json::{Map, Value as Json};
use serde_yaml::Value;

use crate::config::reader::{Field, Reader};

/// The JSON of a mapping. What JSON cannot say is reported, each with its place.
pub(super) fn object(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Json> {
    match field.value {
        Value::Mapping(_) => json(reader, field),
        _ => reader.wrong_type(field, "a mapping"),
    }
}

/// Goes on behind an error, so that all of them are told.
fn json(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Json> {
    match field.value {
        Value::Null => Some(Json::Null),
        Value::Bool(value) => Some(Json::Bool(*value)),
        Value::String(text) => Some(Json::String(text.clone())),
        Value::Number(number) => match exact(number) {
            Some(number) => Some(Json::Number(number)),
            None => reader.refuse(
                field,
                format!("{number} cannot be said in JSON; write a finite number"),
            ),
        },
        Value::Sequence(_) => {
            let items = reader.list(field)?;
            let converted: Vec<_> = items.iter().map(|item| json(reader, item)).collect();
            converted.into_iter().collect::<Option<Vec<_>>>().map(Json::Array)
        }
        Value::Mapping(mapping) => {
            let entries = reader.entries(field)?;
            let all_keys_are_text = entries.len() == mapping.len();
            let converted: Vec<_> = entries
                .iter()
                .map(|(key, value)| Some(((*key).to_owned(), json(reader, value)?)))
                .collect();
            let object = converted.into_iter().collect::<Option<Map<_, _>>>()?;
            all_keys_are_text.then_some(Json::Object(object))
        }
        Value::Tagged(_) => reader.refuse(field, "tags such as !name are not supported; remove it"),
    }
}

fn exact(number: &serde_yaml::Number) -> Option<serde_json::Number> {
    if let Some(integer) = number.as_u64() {
        return Some(integer.into());
    }
    if let Some(integer) = number.as_i64() {
        return Some(integer.into());
    }
    number.as_f64().and_then(serde_json::Number::from_f64)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use crate::config::checks;

    const HEAD: &str = "server_name: a\npresence:\n  presence_router:\n    module: m\n    config:";

    fn check(config: &str) -> String {
        checks::check(&format!("{HEAD}{config}"))
    }

    fn json(config: &str) -> String {
        let config = checks::config(&format!("{HEAD}{config}"));
        config
            .presence
            .presence_router
            .expect("a module is named")
            .config
            .to_string()
    }

    #[test]
    fn values_keep_their_types_and_integers_their_digits() {
        assert_snapshot!(json(" {a: 18446744073709551615, b: -9223372036854775808, c: 1.5, d: 0x10}"), @r#"{"a":18446744073709551615,"b":-9223372036854775808,"c":1.5,"d":16}"#);
        assert_snapshot!(json(" {a: ~, b: yes, c: true, d: '5', i: 1e400, e: 2001-01-01, f: [[], {}], g: &x [1], h: *x}"), @r#"{"a":null,"b":"yes","c":true,"d":"5","e":"2001-01-01","f":[[],{}],"g":[1],"h":[1],"i":"1e400"}"#);
        assert_snapshot!(json(""), @"{}");
        assert_snapshot!(json(" {}"), @"{}");
    }

    #[test]
    fn what_json_cannot_say_is_refused_with_its_place() {
        assert_snapshot!(
            check("\n      a: .nan\n      b: [1, -.inf]\n      5: x\n      d: {true: 1}\n      e: !tag 5\n      f: {[1]: 2}"),
            @"
        presence.presence_router.config.a: .nan cannot be said in JSON; write a finite number (homeserver.yaml:6)
        presence.presence_router.config.b[1]: -.inf cannot be said in JSON; write a finite number (homeserver.yaml:7)
        presence.presence_router.config.5: expected a string as the key, found an integer; put it in quotes (homeserver.yaml:8)
        presence.presence_router.config.d.true: expected a string as the key, found a boolean; put it in quotes (homeserver.yaml:9)
        presence.presence_router.config.e: tags such as !name are not supported; remove it (homeserver.yaml:10)
        presence.presence_router.config.f: expected a string as the key, found a list; write a string (homeserver.yaml:11)
        "
        );
        assert_snapshot!(check(" [1]"), @"presence.presence_router.config: expected a mapping, found a list (homeserver.yaml:5)");
        assert_snapshot!(check(" {a: 18446744073709551616}"), @"an integer of more than 64 bits; put it in quotes (homeserver.yaml:5:17)");
        assert_snapshot!(check(" !tag {a: 1}"), @"presence.presence_router.config: expected a mapping, found a value with a tag (homeserver.yaml:5)");
    }
}
