//! JSON with the place of every value, numbers as they were written, and every field of an object in its order.

use super::error::Fault;
use std::borrow::Cow;

/// Objects and arrays within each other.
const DEPTH_MAX: usize = 128;

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node<'t> {
    /// A byte of the text.
    pub(super) at: usize,
    pub(super) value: Value<'t>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'t> {
    Null,
    Boolean(bool),
    /// As it was written.
    Number(&'t str),
    Text(Cow<'t, str>),
    Array(Vec<Node<'t>>),
    /// A name may be there twice.
    Object(Vec<Field<'t>>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field<'t> {
    /// Where the name begins.
    pub(super) at: usize,
    pub(super) name: Cow<'t, str>,
    pub(super) node: Node<'t>,
}

/// The one value that `text` is.
pub(super) fn read(text: &str) -> Result<Node<'_>, Fault> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let node = reader.value()?;
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.fault("There is something after the pattern", "a pattern is one JSON object")),
    }
}

/// A text as JSON writes it. What would be invisible, or steer the terminal that shows it, is escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ if letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn fault(&self, reason: impl Into<String>, help: &'static str) -> Fault {
        Fault::new(self.at, reason, help)
    }

    /// The next byte that is no white space, and the reader before it.
    fn peek(&mut self) -> Option<u8> {
        let blank = self.rest().iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
        self.at += blank;
        self.rest().first().copied()
    }

    /// Whether `byte` is next, and then the reader is after it.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self) -> Result<Node<'t>, Fault> {
        let first = self.peek();
        let at = self.at;
        let value = match first {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => Value::Text(self.text()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => self.word("true", Value::Boolean(true))?,
            Some(b'f') => self.word("false", Value::Boolean(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(_) => return Err(self.unexpected("a value")),
            None => return Err(self.fault("The JSON text ends too early", "a value is missing here")),
        };
        Ok(Node { at, value })
    }

    fn unexpected(&self, expected: &str) -> Fault {
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let reason = match found {
            Some(letter) => format!("Unexpected {letter:?} where {expected} should be"),
            None => format!("The JSON text ends where {expected} should be"),
        };
        self.fault(
            reason,
            "a pattern is written in JSON: texts and names in double quotes, no comma after the last element",
        )
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value<'t>, Fault>) -> Result<Value<'t>, Fault> {
        if self.depth == DEPTH_MAX {
            return Err(self.fault(format!("Nested deeper than {DEPTH_MAX}"), "write a pattern that is not as deep"));
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value<'t>, Fault> {
        let mut fields = Vec::new();
        if self.take(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a field's name"));
            }
            let at = self.at;
            let name = self.text()?;
            if !self.take(b':') {
                return Err(self.unexpected("`:`"));
            }
            let node = self.value()?;
            fields.push(Field { at, name, node });
            if self.take(b'}') {
                return Ok(Value::Object(fields));
            }
            if !self.take(b',') {
                return Err(self.unexpected("`,` or `}`"));
            }
        }
    }

    fn array(&mut self) -> Result<Value<'t>, Fault> {
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.take(b']') {
                return Ok(Value::Array(elements));
            }
            if !self.take(b',') {
                return Err(self.unexpected("`,` or `]`"));
            }
        }
    }

    fn word(&mut self, word: &str, value: Value<'t>) -> Result<Value<'t>, Fault> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<&'t str, Fault> {
        let start = self.at;
        self.at += usize::from(self.rest().first() == Some(&b'-'));
        let leading_zero = self.rest().first() == Some(&b'0');
        let whole = self.digits()?;
        if leading_zero && whole > 1 {
            self.at = start;
            return Err(self.fault("A number begins with a needless 0", "JSON writes 7, not 07"));
        }
        if self.rest().first() == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.rest().first(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.rest().first(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// How many digits there are, and the reader after them; at least one must be there.
    fn digits(&mut self) -> Result<usize, Fault> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.unexpected("a digit"));
        }
        self.at += count;
        Ok(count)
    }

    /// A text in quotes, the first of which is next.
    fn text(&mut self) -> Result<Cow<'t, str>, Fault> {
        let start = self.at;
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let plain = self.rest().iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            let run = self.text.get(self.at..self.at + plain).unwrap_or_default();
            match &mut text {
                Cow::Borrowed("") => text = Cow::Borrowed(run),
                text => text.to_mut().push_str(run),
            }
            self.at += plain;
            match self.rest().first() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    let letter = self.escape()?;
                    text.to_mut().push(letter);
                }
                Some(_) => {
                    return Err(
                        self.fault("A text holds a control character", "write it as an escape: \\n, \\t, \\u0000")
                    );
                }
                None => {
                    self.at = start;
                    return Err(self.fault("A text without its closing quote", "close it with a double quote"));
                }
            }
        }
    }

    /// The letter that a backslash and what follows it stand for.
    fn escape(&mut self) -> Result<char, Fault> {
        let letter = match self.rest().get(1) {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(*letter),
            Some(b'u') => return self.unicode_escape(),
            _ => {
                let help = "JSON knows \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u0000; a backslash itself is \\\\";
                return Err(self.fault("Unknown escape in a text", help));
            }
        };
        self.at += 2;
        Ok(letter)
    }

    /// `\u0041`, or two of them that are one letter.
    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let help = "\\u is followed by four hexadecimal digits; letters beyond \\uffff are written as two of them";
        let unit_at = |reader: &Self, at: usize| {
            let digits = reader.rest().get(at..at + 6)?.strip_prefix(b"\\u")?;
            let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u16::from_str_radix(digits, 16).ok()
        };
        let Some(first) = unit_at(self, 0) else { return Err(self.fault("Unknown escape in a text", help)) };
        let second = unit_at(self, 6).filter(|_| (0xd800..0xdc00).contains(&first));
        let mut letters = char::decode_utf16([Some(first), second].into_iter().flatten());
        match letters.next() {
            Some(Ok(letter)) => {
                self.at += if second.is_some() { 12 } else { 6 };
                Ok(letter)
            }
            _ => Err(self.fault("Half of a letter that takes two \\u escapes", help)),
        }
    }
}
