//! The manifest of a module: JSON, written at compile time into a section of the library, so that a host
//! can read it without running the module's code.

/// A piece of the JSON text.
#[derive(Clone, Copy)]
pub enum Piece<'a> {
    /// Written as it is.
    Raw(&'a str),
    /// Written as a JSON string, in quotes. Control characters become spaces: a description may have several lines,
    /// but a host refuses what could fool a terminal.
    Text(&'a str),
    /// Written as 16 hexadecimal digits, in quotes.
    Hex(u64),
}

/// How many bytes the pieces take.
pub const fn len(pieces: &[Piece<'_>]) -> usize {
    write::<0>(pieces).1
}

/// The text of the pieces, which must take `N` bytes.
pub const fn bytes<const N: usize>(pieces: &[Piece<'_>]) -> [u8; N] {
    write::<N>(pieces).0
}

/// Writes what fits into `N` bytes, and counts all.
const fn write<const N: usize>(pieces: &[Piece<'_>]) -> ([u8; N], usize) {
    let mut out = ([0; N], 0);
    let mut i = 0;
    while i < pieces.len() {
        out = match pieces[i] {
            Piece::Raw(text) => push_raw(out, text.as_bytes()),
            Piece::Text(text) => push_text(out, text.as_bytes()),
            Piece::Hex(number) => push_hex(out, number),
        };
        i += 1;
    }
    out
}

const fn push<const N: usize>((mut buffer, len): ([u8; N], usize), byte: u8) -> ([u8; N], usize) {
    if len < N {
        buffer[len] = byte;
    }
    (buffer, len + 1)
}

const fn push_raw<const N: usize>(mut out: ([u8; N], usize), text: &[u8]) -> ([u8; N], usize) {
    let mut i = 0;
    while i < text.len() {
        out = push(out, text[i]);
        i += 1;
    }
    out
}

const fn push_text<const N: usize>(mut out: ([u8; N], usize), text: &[u8]) -> ([u8; N], usize) {
    out = push(out, b'"');
    let mut i = 0;
    while i < text.len() {
        out = match text[i] {
            byte @ (b'"' | b'\\') => push(push(out, b'\\'), byte),
            0..0x20 | 0x7f => push(out, b' '),
            // U+0080 to U+009F
            0xc2 if i + 1 < text.len() && text[i + 1] < 0xa0 => {
                i += 1;
                push(out, b' ')
            }
            byte => push(out, byte),
        };
        i += 1;
    }
    push(out, b'"')
}

const fn push_hex<const N: usize>(mut out: ([u8; N], usize), number: u64) -> ([u8; N], usize) {
    out = push(out, b'"');
    let mut shift = 64;
    while shift > 0 {
        shift -= 4;
        out = push(out, hex_digit(((number >> shift) & 0xf) as u8));
    }
    push(out, b'"')
}

const fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[nibble as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_valid_json_whatever_the_strings_hold() {
        const PIECES: &[Piece<'_>] = &[
            Piece::Raw("{\"a\":"),
            Piece::Text("say \"hi\"\\\n\u{1}ü\u{7f}\u{9b}\u{a0}"),
            Piece::Raw(",\"h\":"),
            Piece::Hex(0x0123_4567_89ab_cdef),
            Piece::Raw("}"),
        ];
        const TEXT: [u8; len(PIECES)] = bytes(PIECES);
        let value: serde_json::Value = serde_json::from_slice(&TEXT).expect("JSON");
        assert_eq!(value["a"], "say \"hi\"\\  ü  \u{a0}");
        assert_eq!(value["h"], "0123456789abcdef");
    }
}
