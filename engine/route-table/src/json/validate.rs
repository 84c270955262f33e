//! The full check, for sources that ask for it: whether bytes are one JSON text by RFC 8259, to the last one.

use super::elements::level;
use super::kernel::{BLOCK, Job, Kernel, Level};
use super::text::code_unit;
use super::value::{is_number, is_space};

/// Bytes that are no JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} can't stand there in a JSON text: see RFC 8259")]
pub struct Malformed {
    /// The first byte, or the beginning of the first number or escape, that can't be understood; the length if something is missing.
    pub at: usize,
}

/// Checks a JSON text of any type of value. Whether an object has a key twice, or a text half of a surrogate pair, is not looked at:
/// both are allowed. Allocates only if containers are nested more than 64 levels deep.
pub fn validate(payload: &[u8]) -> Result<(), Malformed> {
    validate_at(level(), payload)
}

pub(super) fn validate_at(level: Level, payload: &[u8]) -> Result<(), Malformed> {
    let marks = level.run(Validate(payload));
    // Both look for the first fault of their kind.
    match (std::str::from_utf8(payload), marks) {
        (Ok(_), marks) => marks.map_err(|at| Malformed { at }),
        (Err(text), marks) => Err(Malformed { at: text.valid_up_to().min(marks.err().unwrap_or(usize::MAX)) }),
    }
}

struct Validate<'a>(&'a [u8]);

impl Job for Validate<'_> {
    type Output = Result<(), usize>;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Result<(), usize> {
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
    kinds: u64,
    /// Outer ones, 64 at a time.
    outer: Vec<u64>,
}

impl Open {
    #[inline(always)]
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.kinds);
        }
        self.kinds = self.kinds << 1 | u64::from(object);
        self.depth += 1;
    }

    #[inline(always)]
    fn pop(&mut self) {
        self.kinds >>= 1;
        self.depth -= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.kinds = self.outer.pop().unwrap_or_default();
        }
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

    #[inline(always)]
    fn space(&mut self) {
        while self.byte().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// A value, or of a container what comes before its first one.
    #[inline(always)]
    fn value(&mut self) -> Result<(), usize> {
        loop {
            match self.byte() {
                Some(b'"') => return self.text(),
                Some(b'-' | b'0'..=b'9') => return self.number(),
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    self.space();
                    if self.byte() == Some(open + 2) {
                        self.at += 1;
                        return Ok(());
                    }
                    self.open.push(open == b'{');
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
    fn on(&mut self) -> Result<bool, usize> {
        loop {
            self.space();
            let Some(byte) = self.byte() else {
                return if self.open.depth == 0 { Ok(false) } else { Err(self.at) };
            };
            if self.open.depth == 0 {
                return Err(self.at);
            }
            let object = self.open.kinds & 1 == 1;
            if byte == b',' {
                self.at += 1;
                self.space();
                if object {
                    self.key()?;
                }
                return Ok(true);
            }
            if byte != if object { b'}' } else { b']' } {
                return Err(self.at);
            }
            self.at += 1;
            self.open.pop();
        }
    }

    #[inline(always)]
    fn key(&mut self) -> Result<(), usize> {
        if self.byte() != Some(b'"') {
            return Err(self.at);
        }
        self.text()?;
        self.space();
        if self.byte() != Some(b':') {
            return Err(self.at);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    #[inline(always)]
    fn text(&mut self) -> Result<(), usize> {
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
                _ => return Err(self.at),
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), usize> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += match rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if code_unit(rest).is_some() => 6,
            _ => return Err(self.at),
        };
        Ok(())
    }

    #[inline(always)]
    fn number(&mut self) -> Result<(), usize> {
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
            return Err(self.at);
        }
        self.at += at;
        Ok(())
    }

    #[cold]
    fn long_number(&mut self) -> Result<(), usize> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|byte| of_number(byte)).count();
        if !is_number(rest.get(..length).unwrap_or_default()) {
            return Err(self.at);
        }
        self.at += length;
        Ok(())
    }

    #[inline(always)]
    fn word(&mut self) -> Result<(), usize> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let word: [&[u8]; 3] = [b"null", b"true", b"false"];
        let Some(word) = word.into_iter().find(|word| rest.starts_with(word)) else { return Err(self.at) };
        self.at += word.len();
        Ok(())
    }
}
