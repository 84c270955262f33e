//! Bytes as the text that JSON has for them: base64 with padding, by RFC 4648, section 4.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Replaces what is in `into` by the base64 text of `bytes`.
pub(crate) fn encode(bytes: &[u8], into: &mut Vec<u8>) {
    into.clear();
    for three in bytes.chunks(3) {
        let byte = |at: usize| three.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = LETTERS.get((bits >> shift & 63) as usize).copied().unwrap_or_default();
            into.push(if at <= three.len() { letter } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_encoded_as_it_says() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        let mut text = b"old".to_vec();
        for (bytes, expected) in cases {
            encode(bytes.as_bytes(), &mut text);
            assert_eq!(text, expected.as_bytes());
        }
        encode(&[0xfb, 0xff], &mut text);
        assert_eq!(text, b"+/8=");
    }
}
