//! The header by which a request proves to another server that it is ours.
//!
//! <https://spec.matrix.org/v1.16/server-server-api/#request-authentication>

use hyper::Method;
use hyper::header::HeaderValue;
use ruma_common::canonical_json::CanonicalJsonObject;
use ruma_common::{CanonicalJsonValue, ServerName};

use crate::federation::identity::Identity;

impl Identity {
    /// `X-Matrix ...` for a request to `destination`: signed over method, path with query, both servers and the body.
    pub(super) fn authorization(
        &self,
        method: &Method,
        path: &str,
        destination: &ServerName,
        content: Option<&CanonicalJsonValue>,
    ) -> HeaderValue {
        let origin = self.server_name();
        let mut request = CanonicalJsonObject::new();
        let mut insert = |key: &str, value: CanonicalJsonValue| request.insert(key.to_owned(), value);
        insert("method", method.as_str().to_owned().into());
        insert("uri", path.to_owned().into());
        insert("origin", origin.as_str().to_owned().into());
        insert("destination", destination.as_str().to_owned().into());
        if let Some(content) = content {
            insert("content", content.clone());
        }
        self.sign_json(&mut request)
            .expect("a request without signatures takes one");
        let signature = signature_in(&request, origin.as_str(), self.key_id());
        let header = format!(
            "X-Matrix origin=\"{origin}\",destination=\"{destination}\",key=\"{}\",sig=\"{signature}\"",
            self.key_id()
        );
        let mut header =
            HeaderValue::from_str(&header).expect("names of servers, ids of keys and base64 are plain ASCII");
        header.set_sensitive(true);
        header
    }
}

fn signature_in<'a>(signed: &'a CanonicalJsonObject, origin: &str, key_id: &str) -> &'a str {
    let object = |value: &'a CanonicalJsonValue, key: &str| value.as_object()?.get(key);
    signed
        .get("signatures")
        .and_then(|signatures| object(signatures, origin))
        .and_then(|signatures| object(signatures, key_id))
        .and_then(CanonicalJsonValue::as_str)
        .expect("what was signed holds its signature")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::federation::SigningKeys;

    #[test]
    fn the_header_names_both_servers_the_key_and_the_signature() {
        let seed = "ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";
        let keys = SigningKeys::parse(seed, Path::new("a.key")).unwrap();
        let identity = Identity::new("origin.test:8448", keys, BTreeMap::new()).unwrap();
        let destination = <&ServerName>::try_from("[::1]:8448").unwrap();
        let content = CanonicalJsonValue::try_from(json!({"b": 1, "a": "\u{1f980}"})).unwrap();
        let sign = |path: &str, content: Option<&CanonicalJsonValue>| {
            let header = identity.authorization(&Method::PUT, path, destination, content);
            assert!(header.is_sensitive(), "it is not printed");
            header.to_str().unwrap().to_owned()
        };
        let header = sign("/a/b?c=d", Some(&content));
        let (head, signature) = header.split_once(",sig=\"").unwrap();
        assert_eq!(
            head,
            r#"X-Matrix origin="origin.test:8448",destination="[::1]:8448",key="ed25519:1""#
        );
        assert_eq!(signature.len(), 86 + 1, "64 bytes in base64, and a quote");
        assert_ne!(header, sign("/a/b?c=e", Some(&content)));
        assert_ne!(header, sign("/a/b?c=d", None));
    }
}
