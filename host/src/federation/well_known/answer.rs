//! What an answer of `.well-known` says, and for how long that holds.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{CACHE_CONTROL, DATE, EXPIRES, HeaderName};
use presence_router_api::is_server_name;
use ruma_common::{OwnedServerName, ServerName};

/// When the answer does not say.
const DEFAULT: Duration = Duration::from_hours(24);
/// The bounds of what it may say.
const LEAST: Duration = Duration::from_mins(5);
const MOST: Duration = Duration::from_hours(48);

/// The value of `m.server`, if it is the name of a server.
pub(super) fn server_in(body: &[u8]) -> Option<OwnedServerName> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let name = body.get("m.server")?.as_str()?;
    // Ruma takes a port with a sign.
    is_server_name(name).then(|| ServerName::parse(name).ok())?
}

/// For how long an answer may be kept: by `Cache-Control`, else by `Expires`, within bounds.
pub(super) fn lifetime(headers: &HeaderMap) -> Duration {
    let said = by_cache_control(headers).or_else(|| by_expires(headers));
    said.unwrap_or(DEFAULT).clamp(LEAST, MOST)
}

fn by_cache_control(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" | "private" => return Some(Duration::ZERO),
                "max-age" => max_age = max_age.or_else(|| value.trim().trim_matches('"').parse().ok()),
                _ => {}
            }
        }
    }
    max_age.map(Duration::from_secs)
}

/// Against the time that the server says it is: our clocks may differ.
fn by_expires(headers: &HeaderMap) -> Option<Duration> {
    let time = |name: HeaderName| {
        let value = headers.get(name)?;
        Some(
            value
                .to_str()
                .ok()
                .and_then(|text| httpdate::parse_http_date(text).ok()),
        )
    };
    match (time(EXPIRES)?, time(DATE)?) {
        (Some(expires), Some(date)) => Some(expires.duration_since(date).unwrap_or_default()),
        // What is no date, such as 0, is in the past (RFC 9111, section 5.3).
        (None, _) => Some(Duration::ZERO),
        (Some(_), None) => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn server(body: &str) -> Option<String> {
        server_in(body.as_bytes()).map(|server| server.to_string())
    }

    fn seconds(lines: &[(HeaderName, &str)]) -> u64 {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), value.parse().unwrap());
        }
        lifetime(&headers).as_secs()
    }

    #[test]
    fn a_server_is_a_name_with_or_without_a_port() {
        for name in ["a.test", "a.test:8448", "127.0.0.1", "[::1]", "[2001:db8::1]:443"] {
            let body = format!(r#"{{"m.server": "{name}", "other": [1.5, null]}}"#);
            assert_eq!(server(&body).as_deref(), Some(name));
        }
    }

    #[test]
    fn anything_else_is_no_server() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"m.server": 5}"#,
            r#"{"m.server": null}"#,
            r#"{"m.server": ""}"#,
            r#"{"m.server": "https://a.test"}"#,
            r#"{"m.server": "a.test/path"}"#,
            r#"{"m.server": "a.test:"}"#,
            r#"{"m.server": "a.test:+443"}"#,
            r#"{"m.server": "a.test:65536"}"#,
            r#"{"m.server": "::1"}"#,
            r#"{"m.server": "[::1"}"#,
            r#"{"m.server": "a test"}"#,
            r#"{"m.server": "a.test\r\nx-b: c"}"#,
            r#"{"m.server": "a.test"} x"#,
            r#""m.server""#,
        ] {
            assert_eq!(server(body), None, "{body}");
        }
        assert_eq!(server_in(&[0xff, 0xfe]), None);
        assert_eq!(server(&"[".repeat(50_000)), None, "deep nesting");
        let long = "a".repeat(262);
        assert_eq!(server(&format!(r#"{{"m.server": "{long}"}}"#)), None);
    }

    #[test]
    fn an_answer_is_kept_for_as_long_as_it_says_within_bounds() {
        let (least, day, most) = (300, 86_400, 172_800);
        let control = |value| seconds(&[(CACHE_CONTROL, value)]);
        assert_eq!(seconds(&[]), day);
        assert_eq!(control("max-age=3600"), 3600);
        assert_eq!(control("public, Max-Age=\"3600\", immutable"), 3600);
        assert_eq!(control("max-age=1"), least);
        assert_eq!(control("max-age=18446744073709551615"), most);
        assert_eq!(control("max-age=99999999999999999999999"), day, "no number");
        assert_eq!(control("max-age=-5"), day);
        for never in ["no-store", "max-age=3600, no-cache", "private"] {
            assert_eq!(control(never), least, "{never}");
        }
        let twice = [(CACHE_CONTROL, "public"), (CACHE_CONTROL, "max-age=600")];
        assert_eq!(seconds(&twice), 600);

        let now = (DATE, "Sun, 06 Nov 1994 08:00:00 GMT");
        let until = |value| (EXPIRES, value);
        assert_eq!(
            seconds(&[now.clone(), until("Sun, 06 Nov 1994 09:00:00 GMT")]),
            3600
        );
        assert_eq!(
            seconds(&[now.clone(), until("Sun, 06 Nov 1994 07:00:00 GMT")]),
            least
        );
        assert_eq!(seconds(&[now.clone(), until("0")]), least);
        assert_eq!(seconds(&[until("Sun, 06 Nov 1994 09:00:00 GMT")]), day);
        assert_eq!(
            seconds(&[now, until("0"), (CACHE_CONTROL, "max-age=3600")]),
            3600,
            "Cache-Control comes first"
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_server_or_none(body in any::<Vec<u8>>()) {
            let _ = server_in(&body);
        }

        #[test]
        fn whatever_the_name_it_can_be_called_or_is_none(name in r"[\[\]a-z0-9.:+%/ -]{0,20}") {
            if let Some(server) = server(&format!(r#"{{"m.server": "{name}"}}"#)) {
                let server = ServerName::parse(server).unwrap();
                prop_assert!(HeaderValue::from_str(server.as_str()).is_ok());
                let _ = server.port();
            }
        }

        #[test]
        fn whatever_the_headers_the_time_is_within_bounds(
            control in proptest::option::of("[ -~]{0,40}"),
            directives in "((max-age|no-store|s-maxage|x)(=[0-9\"]{0,22})?[, ]{0,3}){0,4}",
            expires in proptest::option::of("[ -~]{0,40}"),
        ) {
            let mut headers = HeaderMap::new();
            let mut append = |name: HeaderName, value: &str| headers.append(name, value.parse().unwrap());
            append(CACHE_CONTROL, &directives);
            append(DATE, "Sun, 06 Nov 1994 08:00:00 GMT");
            if let Some(value) = control {
                append(CACHE_CONTROL, &value);
            }
            if let Some(value) = expires {
                append(EXPIRES, &value);
            }
            prop_assert!((LEAST..=MOST).contains(&lifetime(&headers)));
        }
    }
}
