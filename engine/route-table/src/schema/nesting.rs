//! How deep the braces of a text are nested. Those who read schemas and the text form go down with them until their stack ends.

/// More than any map can have, and less than any stack.
pub const BRACES_MAX: usize = 100;

/// The place of the first bracket of a .proto file, or of protobuf's text form, that is within more than [`BRACES_MAX`] others.
pub fn first_too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    let end_of = |from: usize, end: &str| {
        let rest = bytes.get(from..).unwrap_or_default();
        let found = rest.windows(end.len()).position(|window| window == end.as_bytes());
        found.map_or(bytes.len(), |found| from + found + end.len())
    };
    while let Some(byte) = bytes.get(at).copied() {
        at += 1;
        match (byte, bytes.get(at)) {
            (b'{' | b'<' | b'[', _) if depth == BRACES_MAX => return Some(at - 1),
            (b'{' | b'<' | b'[', _) => depth += 1,
            (b'}' | b'>' | b']', _) => depth = depth.saturating_sub(1),
            (b'#', _) | (b'/', Some(b'/')) => at = end_of(at, "\n"),
            (b'/', Some(b'*')) => at = end_of(at + 1, "*/"),
            (quote @ (b'"' | b'\''), _) => {
                while let Some(byte) = bytes.get(at).copied().filter(|byte| *byte != b'\n') {
                    at += if byte == b'\\' { 2 } else { 1 };
                    if byte == quote {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_where_they_are_neither_text_nor_comment() {
        let nested = |depth: usize, inner: &str| format!("{}{inner}{}", "a {".repeat(depth), "}".repeat(depth));
        assert_eq!(first_too_deep(&nested(BRACES_MAX, "x: 1")), None);
        assert_eq!(first_too_deep(&nested(BRACES_MAX, "x <")), Some(3 * BRACES_MAX + 2));
        for quiet in ["'{'", "\"\\\"{\"", "# {\n", "// {\n", "/* { */", "} {", "'{", "/* {"] {
            assert_eq!(first_too_deep(&nested(BRACES_MAX, quiet)), None, "{quiet}");
        }
        assert_eq!(first_too_deep(&nested(BRACES_MAX, "'\\\n' {")), Some(3 * BRACES_MAX + 5));
        assert_eq!(first_too_deep(&"{}".repeat(1_000)), None);
    }
}
