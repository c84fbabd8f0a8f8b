//! Who sends a request: the header `Authorization` of scheme `X-Matrix`, and the signature in it.
//!
//! Source of the rules: the [specification], and Synapse where it leaves room. Knows nothing of where keys come from.
//!
//! [specification]: https://spec.matrix.org/v1.16/server-server-api/#request-authentication

use ruma_common::serde::Base64;
use ruma_common::{OwnedServerName, ServerName};
use ruma_signatures::verify_canonical_json_bytes;
use serde_json::{Map, Value};

use crate::federation::canonical;
use crate::federation::keys::VerifyKey;

/// The longest header that is read, in bytes. Two server names, a key id and a signature take a third of it.
const MAX_HEADER_BYTES: usize = 2_048;
/// How many signatures a request may have. Servers have one or two keys.
const MAX_SIGNATURES: usize = 8;
/// The longest server name, in bytes: that of a user id.
const MAX_SERVER_NAME_BYTES: usize = 255;
/// The longest id of a key, in bytes.
pub(super) const MAX_KEY_ID_BYTES: usize = 255;

/// What the headers of a request claim. Nothing of it is proven before [`verify`](Self::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XMatrix {
    /// Who says to have sent it.
    pub origin: OwnedServerName,
    /// Whom it is for; old servers do not say.
    pub destination: Option<String>,
    /// Of each header one.
    signatures: Vec<Claimed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Claimed {
    key_id: String,
    signature: Vec<u8>,
}

/// Why headers name nobody.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum XMatrixError {
    /// There is no header of this scheme.
    #[error("missing Authorization headers")]
    Missing,
    /// There is one that cannot be read. It says what is wrong with it.
    #[error("malformed Authorization header: {0}")]
    Malformed(&'static str),
}

/// What a signature is over.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path and the query, as they were sent.
    pub uri: &'a str,
    /// This server.
    pub destination: &'a ServerName,
    /// The body, if there is one.
    pub content: Option<&'a Map<String, Value>>,
}

/// A signature is not that of the server that is said to have sent the request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSignature {
    /// The server has the key, and did not sign this.
    #[error("invalid signature for server {origin} with key {key_id}")]
    Invalid {
        /// The server.
        origin: OwnedServerName,
        /// The key.
        key_id: String,
    },
    /// No signature is by a key of the server.
    #[error("failed to find any key of {0} that has signed the request")]
    NoKnownKey(OwnedServerName),
}

impl XMatrix {
    /// Reads the values of all headers `Authorization`. Those of other schemes count for nothing.
    ///
    /// # Errors
    /// See [`XMatrixError`].
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, XMatrixError> {
        let mut found: Option<Self> = None;
        for header in headers {
            let Some(parameters) = of_scheme(header) else {
                continue;
            };
            let one = read(parameters).map_err(XMatrixError::Malformed)?;
            let Some(all) = &mut found else {
                found = Some(one);
                continue;
            };
            if (&all.origin, &all.destination) != (&one.origin, &one.destination) {
                return Err(XMatrixError::Malformed("several headers name different servers"));
            }
            all.signatures.extend(one.signatures);
            if all.signatures.len() > MAX_SIGNATURES {
                return Err(XMatrixError::Malformed("too many headers"));
            }
        }
        found.ok_or(XMatrixError::Missing)
    }

    /// The ids of the keys that are said to have signed.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|claimed| claimed.key_id.as_str())
    }

    /// Checks the signatures by the keys of the origin: one by a known key there must be, and none by a known key may be
    /// wrong. Signatures by keys that are not known count for nothing.
    ///
    /// # Errors
    /// See [`BadSignature`].
    pub fn verify(&self, request: &SignedRequest<'_>, keys: &[VerifyKey]) -> Result<(), BadSignature> {
        let signed = self.signed_bytes(request);
        let mut verified = false;
        for Claimed { key_id, signature } in &self.signatures {
            let Some(key) = keys.iter().find(|key| *key.id == **key_id) else {
                continue;
            };
            verify_canonical_json_bytes(&VerifyKey::ALGORITHM, &key.bytes, signature, &signed).map_err(
                |_| BadSignature::Invalid {
                    origin: self.origin.clone(),
                    key_id: key_id.clone(),
                },
            )?;
            verified = true;
        }
        if verified {
            Ok(())
        } else {
            Err(BadSignature::NoKnownKey(self.origin.clone()))
        }
    }

    fn signed_bytes(&self, request: &SignedRequest<'_>) -> Vec<u8> {
        let text = |text: &str| Value::String(text.to_owned());
        let fields = [
            ("destination", text(request.destination.as_str())),
            ("method", text(request.method)),
            ("origin", text(self.origin.as_str())),
            ("uri", text(request.uri)),
        ];
        let mut out = Vec::new();
        // `content` is the first by name, and is not copied for it.
        out.push(b'{');
        if let Some(content) = request.content {
            out.extend_from_slice(b"\"content\":");
            let entries = content.iter().map(|(key, value)| (key.as_str(), value));
            canonical::write_object(entries, &mut out);
            out.push(b',');
        }
        let mut rest = Vec::new();
        canonical::write_object(fields.iter().map(|(key, value)| (*key, value)), &mut rest);
        out.extend_from_slice(&rest[1..]);
        out
    }
}

/// What stands behind the scheme, whose name is in any case.
fn of_scheme(header: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"X-Matrix";
    let (scheme, rest) = header.split_at_checked(SCHEME.len())?;
    let ends = rest.first().is_none_or(|byte| is_blank(*byte));
    (scheme.eq_ignore_ascii_case(SCHEME) && ends).then_some(rest)
}

fn read(parameters: &[u8]) -> Result<XMatrix, &'static str> {
    if parameters.len() > MAX_HEADER_BYTES {
        return Err("it is too long");
    }
    let text = std::str::from_utf8(parameters).map_err(|_| "it is not UTF-8")?;
    let (mut origin, mut destination, mut key, mut sig) = (None, None, None, None);
    let mut rest = Cursor(text);
    while let Some((name, value)) = rest.parameter()? {
        let place = match name.to_ascii_lowercase().as_str() {
            "origin" => &mut origin,
            "destination" => &mut destination,
            "key" => &mut key,
            "sig" => &mut sig,
            // As the specification asks.
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err("a parameter is there twice");
        }
    }
    let origin = origin.ok_or("origin is missing")?;
    let key_id = key.ok_or("key is missing")?;
    let signature = sig.ok_or("sig is missing")?;
    if origin.len() > MAX_SERVER_NAME_BYTES {
        return Err("origin is too long");
    }
    if key_id.is_empty() || key_id.len() > MAX_KEY_ID_BYTES {
        return Err("key is not the id of a key");
    }
    let signature = Base64::<ruma_common::serde::base64::Standard>::parse(signature)
        .map_err(|_| "sig is not Base64")?
        .into_inner();
    Ok(XMatrix {
        origin: OwnedServerName::try_from(origin).map_err(|_| "origin is not a server name")?,
        destination,
        signatures: vec![Claimed { key_id, signature }],
    })
}

/// What is left to read of a list of parameters.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// The next parameter. Empty ones, as between two commas, are passed over, as HTTP has it.
    fn parameter(&mut self) -> Result<Option<(&'a str, String)>, &'static str> {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
        if self.0.is_empty() {
            return Ok(None);
        }
        let (name, rest) = self.0.split_once('=').ok_or("a parameter has no value")?;
        let name = name.trim_end_matches([' ', '\t']);
        if name.is_empty() || name.contains([' ', '\t', ',', '"']) {
            return Err("a parameter has no name");
        }
        self.0 = rest.trim_start_matches([' ', '\t']);
        let value = if self.0.starts_with('"') {
            self.quoted()?
        } else {
            self.bare()
        };
        self.0 = self.0.trim_start_matches([' ', '\t']);
        if !self.0.is_empty() && !self.0.starts_with(',') {
            return Err("there is no comma between parameters");
        }
        Ok(Some((name, value)))
    }

    /// Old servers send key ids and signatures without quotes, though these hold `:`, `/` and `=`.
    fn bare(&mut self) -> String {
        let end = self.0.find([',', ' ', '\t']).unwrap_or(self.0.len());
        let (value, rest) = self.0.split_at(end);
        self.0 = rest;
        value.to_owned()
    }

    fn quoted(&mut self) -> Result<String, &'static str> {
        let mut value = String::new();
        let mut characters = self.0.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(value);
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        Err("a quote is not closed")
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests;
