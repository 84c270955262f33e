//! The place of the first fault: token by token, from the first byte on.
//!
//! It is the meaning of [`validate`](super::validate) in its plainest form, and what [`quick`](super::quick) is tested against.

use super::Malformed;
use crate::json::kernel::{BLOCK, Job, Kernel};
use crate::json::text::code_unit;
use crate::json::value::{is_number, is_space};
use crate::limits::PAYLOAD_DEPTH;

/// Where the marks, texts and scalars of some bytes can't be those of a JSON text. Whether texts are UTF-8 is not looked at.
pub(super) struct Place<'a>(pub(super) &'a [u8]);

impl Job for Place<'_> {
    type Output = Result<(), Malformed>;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Result<(), Malformed> {
        let mut check = Check { kernel, bytes: self.0, at: 0, open: Open::default() };
        check.space();
        loop {
            check.value()?;
            if !check.on()? {
                return Ok(());
            }
        }
    }
}

/// The kinds of the containers that are open: a bit for each, 1 for an object.
#[derive(Default)]
struct Open {
    depth: usize,
    kinds: [u64; PAYLOAD_DEPTH.max as usize / 64],
}

impl Open {
    /// The container at hand, or rather the word with its kind and the bit of it; there is none at depth 0.
    #[inline(always)]
    fn top(&mut self) -> Option<(&mut u64, u64)> {
        let top = self.depth.wrapping_sub(1);
        self.kinds.get_mut(top / 64).map(|word| (word, 1 << (top % 64)))
    }

    /// False if there are too many.
    #[inline(always)]
    fn push(&mut self, object: bool) -> bool {
        self.depth += 1;
        let Some((word, bit)) = self.top() else { return false };
        *word = if object { *word | bit } else { *word & !bit };
        true
    }
}

struct Check<'a, K> {
    kernel: K,
    bytes: &'a [u8],
    at: usize,
    open: Open,
}

impl<K: Kernel> Check<'_, K> {
    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault<T>(&self) -> Result<T, Malformed> {
        Err(Malformed::Syntax { at: self.at })
    }

    #[inline(always)]
    fn space(&mut self) {
        while self.byte().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// A value, or of a container what comes before its first one.
    #[inline(always)]
    fn value(&mut self) -> Result<(), Malformed> {
        loop {
            match self.byte() {
                Some(b'"') => return self.text(),
                Some(b'-' | b'0'..=b'9') => return self.number(),
                Some(open @ (b'{' | b'[')) => {
                    if !self.open.push(open == b'{') {
                        return Err(Malformed::TooDeep { at: self.at });
                    }
                    self.at += 1;
                    self.space();
                    if self.byte() == Some(open + 2) {
                        self.at += 1;
                        self.open.depth -= 1;
                        return Ok(());
                    }
                    if open == b'{' {
                        self.key()?;
                    }
                }
                _ => return self.word(),
            }
        }
    }

    /// Goes on behind a value, to the next one; false if that was the last.
    #[inline(always)]
    fn on(&mut self) -> Result<bool, Malformed> {
        loop {
            self.space();
            let Some(byte) = self.byte() else {
                return if self.open.depth == 0 { Ok(false) } else { self.fault() };
            };
            let Some((word, bit)) = self.open.top() else { return self.fault() };
            let object = *word & bit != 0;
            if byte == b',' {
                self.at += 1;
                self.space();
                if object {
                    self.key()?;
                }
                return Ok(true);
            }
            if byte != if object { b'}' } else { b']' } {
                return self.fault();
            }
            self.at += 1;
            self.open.depth -= 1;
        }
    }

    #[inline(always)]
    fn key(&mut self) -> Result<(), Malformed> {
        if self.byte() != Some(b'"') {
            return self.fault();
        }
        self.text()?;
        self.space();
        if self.byte() != Some(b':') {
            return self.fault();
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    #[inline(always)]
    fn text(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        loop {
            let block = self.kernel.load(self.bytes, self.at);
            let stops = self.kernel.text_stops(block) | self.kernel.controls(block);
            if stops == 0 {
                self.at += BLOCK;
                continue;
            }
            self.at += stops.trailing_zeros() as usize;
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                // A control character, or the zeros behind the end.
                _ => return self.fault(),
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += match rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if code_unit(rest).is_some() => 6,
            _ => return self.fault(),
        };
        Ok(())
    }

    #[inline(always)]
    fn number(&mut self) -> Result<(), Malformed> {
        let digits = self.kernel.digits(self.kernel.load(self.bytes, self.at));
        let run = |from: usize| (!(digits >> from)).trailing_zeros() as usize;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let byte = |at: usize| rest.get(at).copied().unwrap_or(0);
        let mut at = usize::from(byte(0) == b'-');
        let whole = run(at);
        let mut good = whole > 0 && (whole == 1 || byte(at) != b'0');
        at += whole;
        if at < BLOCK - 1 && byte(at) == b'.' {
            let fraction = run(at + 1);
            good &= fraction > 0;
            at += 1 + fraction;
        }
        if at >= BLOCK - 1 || matches!(byte(at), b'.' | b'e' | b'E' | b'+' | b'-') {
            return self.long_number();
        }
        if !good {
            return self.fault();
        }
        self.at += at;
        Ok(())
    }

    #[cold]
    fn long_number(&mut self) -> Result<(), Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|byte| of_number(byte)).count();
        if !is_number(rest.get(..length).unwrap_or_default()) {
            return self.fault();
        }
        self.at += length;
        Ok(())
    }

    #[inline(always)]
    fn word(&mut self) -> Result<(), Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let word: [&[u8]; 3] = [b"null", b"true", b"false"];
        let Some(word) = word.into_iter().find(|word| rest.starts_with(word)) else { return self.fault() };
        self.at += word.len();
        Ok(())
    }
}
