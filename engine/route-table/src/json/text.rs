//! Texts with escapes.

/// An escape that JSON does not have, or half of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of the text begins an escape that JSON does not have: see RFC 8259, section 7")]
pub struct BadEscape {
    /// The place of its backslash.
    pub at: usize,
}

/// Replaces what is in `into` by what `text`, the bytes between two quotes, means.
///
/// Half a surrogate pair, which JSON allows and Unicode does not, becomes the three bytes that UTF-8 would give it: equal to no text
/// that is valid, and to no other half. After an error `into` holds what came before the bad escape; such a text means nothing.
pub fn unescape(text: &[u8], into: &mut Vec<u8>) -> Result<(), BadEscape> {
    into.clear();
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && !rest.is_empty()
    {
        let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        into.extend_from_slice(rest.get(..plain).unwrap_or_default());
        at += plain;
        let Some(escape) = text.get(at + 1..) else { break };
        let bad = BadEscape { at };
        let (length, byte) = match escape.first() {
            Some(byte @ (b'"' | b'\\' | b'/')) => (2, *byte),
            Some(b'b') => (2, 0x08),
            Some(b'f') => (2, 0x0c),
            Some(b'n') => (2, b'\n'),
            Some(b'r') => (2, b'\r'),
            Some(b't') => (2, b'\t'),
            Some(b'u') => {
                at += push_code_point(text.get(at..).unwrap_or_default(), into).ok_or(bad)?;
                continue;
            }
            _ => return Err(bad),
        };
        into.push(byte);
        at += length;
    }
    Ok(())
}

/// Appends what the `\uXXXX` that `text` begins with means, together with the one behind it if they are a pair, and says how many bytes
/// of `text` that took.
fn push_code_point(text: &[u8], into: &mut Vec<u8>) -> Option<usize> {
    let first = code_unit(text)?;
    let second = text.get(6..).and_then(code_unit);
    let (code, length) = match (first, second) {
        (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) => {
            (0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), 12)
        }
        _ => (first, 6),
    };
    match char::from_u32(code) {
        Some(character) => into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => into.extend([0xe0 | (code >> 12) as u8, 0x80 | (code >> 6 & 0x3f) as u8, 0x80 | (code & 0x3f) as u8]),
    }
    Some(length)
}

/// The number of the `\uXXXX` that `text` begins with.
pub(super) fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meaning(text: &str) -> Result<Vec<u8>, BadEscape> {
        let mut out = b"old".to_vec();
        unescape(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn every_escape_of_json_is_understood() {
        assert_eq!(meaning(r#"a\"\\\/\b\f\n\r\tz"#).unwrap(), b"a\"\\/\x08\x0c\n\r\tz");
        assert_eq!(meaning(r"\u0000\u0041\u00e9\u20AC\ud83d\ude00").unwrap(), "\0Aé€😀".as_bytes());
        assert_eq!(meaning("").unwrap(), b"");
        assert_eq!(meaning("plain é").unwrap(), "plain é".as_bytes());
    }

    #[test]
    fn half_a_pair_is_equal_to_no_text_and_no_other_half() {
        assert_eq!(meaning(r"\ud83d").unwrap(), b"\xed\xa0\xbd");
        assert_eq!(meaning(r"\ude00\ud83d").unwrap(), b"\xed\xb8\x80\xed\xa0\xbd");
        assert_eq!(meaning(r"\ud83dx").unwrap(), b"\xed\xa0\xbdx");
        assert_eq!(meaning(r"\ud83d\u0041").unwrap(), b"\xed\xa0\xbdA");
    }

    #[test]
    fn a_bad_escape_is_named_by_its_place() {
        for (text, at) in [(r"ab\x", 2), (r"\u12", 0), (r"a\u12g4", 1), ("a\\", 1), (r"\\\", 2), (r"\u+123", 0)] {
            assert_eq!(meaning(text), Err(BadEscape { at }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_comes_back(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(meaning(&written[1..written.len() - 1]).unwrap(), text.into_bytes());
        }
    }
}
