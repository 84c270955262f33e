//! Text into words: names, numbers, texts and signs, each with its place.

use super::error::{ReasonKind, Reasons};
use std::ops::Range;

/// The smallest part of a text that means something.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword.
    Name,
    /// A name in backquotes; the quotes are left out.
    Quoted(String),
    /// A number without a fraction, and whether it is written as one without a sign, too: `1u`.
    Whole(i128, bool),
    /// A number with a fraction or an exponent, as JSON writes it.
    Double(String),
    Text(String),
    /// `b'...'`; there is nothing that it could be compared with, so its bytes are not kept.
    Bytes,
    /// A sign of one or two characters.
    Sign(&'static str),
    /// The end of the text.
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    pub(super) span: Range<usize>,
}

const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}", "=",
];

/// All lexemes, the end included. What can't be read is refused and left out.
pub(super) fn lexemes(reasons: &mut Reasons<'_>) -> Vec<Lexeme> {
    let mut lexer = Lexer { text: reasons.text(), at: 0, reasons };
    let mut lexemes = Vec::new();
    loop {
        lexer.skip_blanks();
        let begin = lexer.at;
        let token = lexer.token();
        let end = token == Some(Token::End);
        if let Some(token) = token {
            lexemes.push(Lexeme { token, span: begin..lexer.at });
        }
        if end {
            return lexemes;
        }
    }
}

struct Lexer<'r, 't> {
    text: &'t str,
    at: usize,
    reasons: &'r mut Reasons<'t>,
}

impl<'t> Lexer<'_, 't> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn since(&self, begin: usize) -> &'t str {
        self.text.get(begin..self.at).unwrap_or_default()
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn eat_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    fn refuse(&mut self, span: Range<usize>, message: &str, help: &str) {
        self.reasons.refuse(ReasonKind::Syntax, &span, message, help);
    }

    fn skip_blanks(&mut self) {
        loop {
            self.eat_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.eat_while(|c| c != '\n');
        }
    }

    fn token(&mut self) -> Option<Token> {
        let begin = self.at;
        let Some(first) = self.peek() else { return Some(Token::End) };
        let mut next = self.rest().chars().skip(1);
        match first {
            '0'..='9' => self.number(),
            '.' if next.next().is_some_and(|c| c.is_ascii_digit()) => self.number(),
            '\'' | '"' => self.string(false),
            'a'..='z' | 'A'..='Z' | '_' => {
                self.eat_while(|c| c.is_ascii_alphanumeric() || c == '_');
                let prefix = self.since(begin);
                let quote = matches!(self.peek(), Some('\'' | '"'));
                match prefix {
                    "r" | "R" if quote => self.string(true),
                    "b" | "B" | "br" | "bR" | "Br" | "BR" if quote => self.bytes(prefix.len() == 2),
                    _ => Some(Token::Name),
                }
            }
            '`' => self.quoted_name(),
            _ => match SIGNS.iter().find(|sign| self.eat(sign)) {
                Some(sign) => Some(Token::Sign(sign)),
                None => self.stray(first),
            },
        }
    }

    fn stray(&mut self, stray: char) -> Option<Token> {
        let begin = self.at;
        self.eat_while(|c| c == stray);
        let help = match stray {
            '&' => "write `&&` for and",
            '|' => "write `||` for or",
            '@' => {
                "it begins a note on what can't be said in CEL, as conditions are shown with; write such a condition as a message"
            }
            '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' => "write texts between straight quotes: 'text'",
            ';' => "leave it out; a condition is one expression",
            '#' => "write comments as `// ...`",
            '~' | '^' | '$' => "leave it out",
            _ => "names are made of a-z, A-Z, 0-9 and `_`; write a field of another name as `payload['name']`",
        };
        let message = format!("`{}` has no meaning here", super::error::quoted(self.since(begin)));
        self.refuse(begin..self.at, &message, help);
        None
    }

    fn quoted_name(&mut self) -> Option<Token> {
        let begin = self.at;
        self.eat("`");
        self.eat_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' '));
        let name = self.since(begin + 1);
        if !self.eat("`") || name.is_empty() {
            self.eat_while(|c| !matches!(c, '`' | '\n'));
            self.eat("`");
            let help =
                "only a-z, A-Z, 0-9, `_`, `.`, `-`, `/` and spaces can stand in backquotes; write ['name'] otherwise";
            self.refuse(begin..self.at, "this is no name in backquotes", help);
            return None;
        }
        Some(Token::Quoted(name.to_owned()))
    }

    fn number(&mut self) -> Option<Token> {
        let begin = self.at;
        let hex = ["0x", "0X"].into_iter().any(|prefix| self.eat(prefix));
        let mut double = false;
        if hex {
            self.eat_while(|c| c.is_ascii_hexdigit());
        } else {
            self.eat_while(|c| c.is_ascii_digit());
            let mut after = self.rest().chars();
            if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
                double = true;
                self.at += 1;
                self.eat_while(|c| c.is_ascii_digit());
            }
            let rest = self.rest();
            let exponent = rest.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
            if let Some(exponent) = exponent
                && exponent.starts_with(|c: char| c.is_ascii_digit())
            {
                double = true;
                self.at = self.text.len() - exponent.len();
                self.eat_while(|c| c.is_ascii_digit());
            }
        }
        let digits = self.since(begin);
        let unsigned = !double && ["u", "U"].into_iter().any(|suffix| self.eat(suffix));
        if self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.eat_while(|c| c.is_ascii_alphanumeric() || c == '_');
            let message = format!("`{}` is no number", super::error::quoted(self.since(begin)));
            self.refuse(begin..self.at, &message, "write numbers as 1, 1u, 0x1f, 1.5 or 1e3, without a unit");
            return None;
        }
        if double {
            return self.double(begin, digits);
        }
        let (radix, digits) = if hex { (16, digits.get(2..).unwrap_or_default()) } else { (10, digits) };
        match u64::from_str_radix(digits, radix) {
            Ok(value) => Some(Token::Whole(i128::from(value), unsigned)),
            Err(_) if digits.is_empty() => {
                self.refuse(begin..self.at, "hexadecimal digits are missing", "write for example 0x1f");
                None
            }
            Err(_) => {
                let help = "write a number beyond 64 bits with a fraction: it stays exact, as `99999999999999999999.0`";
                self.refuse(begin..self.at, "this number has more than 64 bits", help);
                None
            }
        }
    }

    /// The decimals stay as they are written; only what JSON wouldn't allow is mended: zeros in front, and no zero before the point.
    fn double(&mut self, begin: usize, digits: &str) -> Option<Token> {
        if digits.parse::<f64>().is_ok_and(f64::is_infinite) {
            self.refuse(
                begin..self.at,
                "this number is beyond the range of doubles",
                "the largest is 1.7976931348623157e308",
            );
            return None;
        }
        let digits = digits.trim_start_matches('0');
        let zero = if digits.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "0" };
        Some(Token::Double(format!("{zero}{digits}")))
    }

    /// The quotes that a text begins with.
    fn opening(&mut self) -> &'static str {
        ["'''", "\"\"\"", "'", "\""].into_iter().find(|quotes| self.eat(quotes)).unwrap_or_default()
    }

    fn bytes(&mut self, raw: bool) -> Option<Token> {
        let begin = self.at;
        let quotes = self.opening();
        while !self.eat(quotes) {
            let skipped = if raw { "" } else { "\\" };
            if !skipped.is_empty() && self.eat(skipped) {
                // Whatever is escaped ends no text.
            }
            if !self.character_of(quotes, begin) {
                return None;
            }
        }
        Some(Token::Bytes)
    }

    /// Steps over one character within quotes; refuses the text if it ends there.
    fn character_of(&mut self, quotes: &str, begin: usize) -> bool {
        match self.peek() {
            Some('\n' | '\r') if quotes.len() == 1 => {
                let help =
                    "close it on the same line, write \\n for a line break, or begin and end it with ''' or \"\"\"";
                self.refuse(begin..self.at, "this text doesn't end on its line", help);
                false
            }
            Some(character) => {
                self.at += character.len_utf8();
                true
            }
            None => {
                let help = format!("close it with {quotes}");
                self.refuse(begin..self.at, "this text doesn't end", &help);
                false
            }
        }
    }

    /// A text, with `raw` one in which a backslash is one. `at` stands at its quotes.
    fn string(&mut self, raw: bool) -> Option<Token> {
        let begin = self.at;
        let quotes = self.opening();
        let mut value = String::new();
        let mut whole = true;
        while !self.eat(quotes) {
            let from = self.at;
            if !self.character_of(quotes, begin) {
                return None;
            }
            match self.since(from) {
                "\\" if !raw => match self.escape() {
                    Some(character) => value.push(character),
                    None => whole = false,
                },
                character => value.push_str(character),
            }
        }
        whole.then_some(Token::Text(value))
    }

    /// What stands after a backslash.
    fn escape(&mut self) -> Option<char> {
        let begin = self.at - 1;
        let escaped = self.peek();
        self.at += escaped.map_or(0, char::len_utf8);
        let simple = match escaped {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(itself @ ('\\' | '?' | '"' | '\'' | '`')) => itself,
            Some('x' | 'X') => return self.code(begin, 2, 16),
            Some('u') => return self.code(begin, 4, 16),
            Some('U') => return self.code(begin, 8, 16),
            Some('0'..='3') => {
                self.at -= 1;
                return self.code(begin, 3, 8);
            }
            _ => {
                let message = format!("`{}` escapes nothing", super::error::quoted(self.since(begin)));
                self.refuse(begin..self.at, &message, "write \\\\ for a backslash, or a raw text: r'...'");
                return None;
            }
        };
        Some(simple)
    }

    fn code(&mut self, begin: usize, digits: usize, radix: u32) -> Option<char> {
        let number = self.rest().get(..digits).filter(|number| number.chars().all(|c| c.is_digit(radix)));
        self.at += number.map_or(0, str::len);
        let code = number.and_then(|number| u32::from_str_radix(number, radix).ok());
        let character = code.and_then(char::from_u32);
        if character.is_none() {
            let kind = if radix == 8 { "octal" } else { "hexadecimal" };
            let help = match code {
                None => format!("{digits} {kind} digits must follow"),
                Some(_) => "write one of U+0000 to U+D7FF and U+E000 to U+10FFFF".to_owned(),
            };
            self.refuse(begin..self.at, "this is no character", &help);
        }
        character
    }
}

/// Whether `name` can be written after a point.
pub(super) fn is_selector(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !matches!(name, "true" | "false" | "null" | "in")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token>, String> {
        let mut reasons = Reasons::new(text);
        let tokens = lexemes(&mut reasons).into_iter().map(|lexeme| lexeme.token).collect();
        if reasons.is_empty() { Ok(tokens) } else { Err(reasons.into_error().to_string()) }
    }

    #[test]
    fn numbers_become_json() {
        let cases = [
            ("007", Token::Whole(7, false)),
            ("0x1Fu", Token::Whole(31, true)),
            ("18446744073709551615U", Token::Whole(18_446_744_073_709_551_615, true)),
            (".50", Token::Double("0.50".into())),
            ("000.5", Token::Double("0.5".into())),
            ("00e1", Token::Double("0e1".into())),
            ("1e+9", Token::Double("1e+9".into())),
            ("-0.10E-1", Token::Double("0.10E-1".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(tokens(text).unwrap().into_iter().rev().nth(1), Some(expected), "{text}");
        }
        for text in ["1ms", "0x", "18446744073709551616", "1e999", "1_000"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_are_read_in_all_their_forms() {
        let cases = [
            (r#"'a"b'"#, "a\"b"),
            (r#""a'b""#, "a'b"),
            (r"'\x41\101\u0042\U0001F431\n\?\`'", "AAB\u{1F431}\n?`"),
            (r"r'\n'", r"\n"),
            (r#"R"\x""#, r"\x"),
            ("'''a\n'b''c'''", "a\n'b''c"),
            ("\"\"\"\"a\"\"\"", "\"a"),
            ("''", ""),
            ("''''''", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(tokens(text).unwrap(), [Token::Text(expected.into()), Token::End], "{text}");
        }
        for text in ["'a", "'a\nb'", r"'\d'", r"'\u12'", r"'\ud800'", r"'\U00110000'", r"'\400'", "'''a''", r"'\"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_signs_are_told_apart() {
        let signs = |text| {
            tokens(text)
                .unwrap()
                .into_iter()
                .filter_map(|token| if let Token::Sign(sign) = token { Some(sign) } else { None })
                .collect::<Vec<_>>()
        };
        assert_eq!(signs("a&&b||!c // && d\n<=.d"), ["&&", "||", "!", "<=", "."]);
        assert_eq!(tokens("b'\\'x' br'\\' _a1 `a-b.c/d e`").unwrap()[3], Token::Quoted("a-b.c/d e".into()));
        for text in ["a & b", "a | b", "x @missing(true)", "\u{2018}a\u{2019}", "a; b", "größe", "`a'b`", "``", "`a"]
        {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
