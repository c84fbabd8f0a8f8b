//! What an access token may be made of.

/// Why a text is no access token, and what to do; `None` when it is one.
pub(super) fn fault(token: &str) -> Option<&'static str> {
    if token.is_empty() {
        return Some("an empty access token; write one, or remove the entry");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(
            "holds a space or a character that an Authorization header cannot carry; write another token",
        );
    }
    None
}
