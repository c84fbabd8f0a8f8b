//! What a homeserver that misbehaves gets, row by row of `docs/federation.md`.
