//! Where in a file a field of a RouteMap is said, by its path: people look for lines, and faults are about `routes[9].when.cel`.
//!
//! One reader for all forms in which people write maps: but for quotes around names and an outer brace, JSON is the text form, and so are,
//! but for their comments, the options of schemas. It is asked
//! about text that was read as a map already, so that names, braces and strings are all it has to know. Where it loses its way, the place
//! of what stands around the field is good enough.

use std::ops::Range;

/// The text of a map, and the fields of its outermost message, which are found once: a large map has many.
pub(crate) struct Places<'t> {
    text: &'t str,
    fields: Vec<Field>,
}

/// One value of a field; a list has several.
#[derive(Clone)]
struct Field {
    name: Range<usize>,
    /// Where people look for it.
    at: usize,
    value: Range<usize>,
}

impl<'t> Places<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let mut fields = fields_within(text, 0..text.len());
        // The outer brace of JSON, or of an option, behind which other things may stand.
        if let Some(first) = fields.first()
            && first.name.is_empty()
        {
            fields = fields_within(text, inner(text, &first.value));
        }
        Places { text, fields }
    }

    /// The line of the field at `path`, from 1, or of what stands around it; `None` for a path that leads nowhere.
    pub(crate) fn line_of(&self, path: &str) -> Option<usize> {
        let mut segments = path.split('.');
        let mut found = find(self.text, &self.fields, segments.next()?)?;
        for segment in segments {
            let fields = fields_within(self.text, inner(self.text, &found.value));
            let Some(field) = find(self.text, &fields, segment) else { break };
            found = field;
        }
        Some(1 + self.text.get(..found.at)?.matches('\n').count())
    }
}

/// The field that a segment of a path, such as `to[1]`, names.
fn find(text: &str, fields: &[Field], segment: &str) -> Option<Field> {
    let (name, index) = match segment.split_once('[') {
        Some((name, index)) => (name, index.strip_suffix(']')?.parse().ok()?),
        None => (segment, 0),
    };
    // JSON may write `onAbsent` for `on_absent`.
    let named = |field: &&Field| text.get(field.name.clone()).is_some_and(|found| letters(found).eq(letters(name)));
    fields.iter().filter(named).nth(index).cloned()
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|letter| *letter != '_').map(|letter| letter.to_ascii_lowercase())
}

/// What is between the braces of a message; nothing, if the value is none.
fn inner(text: &str, value: &Range<usize>) -> Range<usize> {
    match text.as_bytes().get(value.start) {
        Some(b'{' | b'<') => value.start + 1..value.end - 1,
        _ => value.end..value.end,
    }
}

fn fields_within(text: &str, within: Range<usize>) -> Vec<Field> {
    let mut scan = Scan { text: text.as_bytes().get(..within.end).unwrap_or_default(), at: within.start };
    let mut fields = Vec::new();
    while let Some(byte) = scan.next() {
        let name = match byte {
            b'{' | b'<' => scan.at..scan.at,
            b'"' | b'\'' => {
                let quoted = scan.value();
                quoted.start + 1..quoted.end - 1
            }
            _ => scan.value(),
        };
        if scan.next() == Some(b':') {
            scan.at += 1;
        }
        if scan.next() != Some(b'[') {
            fields.push(Field { at: name.start, name, value: scan.value() });
            continue;
        }
        let list = scan.value();
        let mut items = Scan { text: text.as_bytes().get(..list.end - 1).unwrap_or_default(), at: list.start + 1 };
        while items.next().is_some() {
            let value = items.value();
            fields.push(Field { name: name.clone(), at: value.start, value });
        }
    }
    fields
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_while(&mut self, goes_on: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&goes_on) {
            self.at += 1;
        }
    }

    /// The next byte that is no space, separator or comment.
    fn next(&mut self) -> Option<u8> {
        loop {
            self.skip_while(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b';'));
            match (self.peek()?, self.text.get(self.at + 1)) {
                (b'#', _) | (b'/', Some(b'/')) => self.skip_while(|byte| byte != b'\n'),
                (b'/', Some(b'*')) => {
                    let comment = self.text.get(self.at..).unwrap_or_default();
                    let end = comment.windows(2).skip(2).position(|two| two == b"*/");
                    self.at = end.map_or(self.text.len(), |end| self.at + 2 + end + 2);
                }
                (byte, _) => return Some(byte),
            }
        }
    }

    /// A message or list with all that is in it, a text, which may be written in several pieces, or a word; at least a byte, if there is
    /// one.
    fn value(&mut self) -> Range<usize> {
        let begin = self.at;
        let mut depth = 0usize;
        while let Some(byte) = self.next() {
            match byte {
                b'"' | b'\'' => self.quoted(byte),
                b'{' | b'<' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b'>' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                b':' => self.at += 1,
                _ => self.skip_while(|byte| !byte.is_ascii_whitespace() && !b"{}<>[]:,;\"'#".contains(&byte)),
            }
            let is_text = matches!(byte, b'"' | b'\'');
            if depth == 0 && !(is_text && matches!(self.after_spaces(), Some(b'"' | b'\''))) {
                break;
            }
        }
        begin..self.at
    }

    /// A text up to the quote that ends it.
    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at = self.text.len().min(self.at + if byte == b'\\' { 2 } else { 1 });
            if byte == quote {
                break;
            }
        }
    }

    /// What follows, if that is only spaces away: the next piece of a text, which a comma would make the next item of a list.
    fn after_spaces(&self) -> Option<u8> {
        self.text.get(self.at..)?.iter().copied().find(|byte| !byte.is_ascii_whitespace())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, Option<usize>)]) {
        let places = Places::of(text);
        for (path, line) in expected {
            assert_eq!(places.line_of(path), *line, "{path}");
        }
    }

    #[test]
    fn comments_are_passed_over_also_those_of_schemas() {
        let text = "{ # routes { }\n// routes { }\n/* routes { }\n*/ routes { id: \"a//b\" }\nroutes { /* to: */ to: \"x\"\n to: \"y\" } }";
        check(
            text,
            &[("routes[0]", Some(4)), ("routes[1]", Some(5)), ("routes[1].to[1]", Some(6)), ("routes[2]", None)],
        );
        check("{ routes { } /* no end", &[("routes[0]", Some(1))]);
    }

    #[test]
    fn fields_of_the_text_form_have_the_line_on_which_they_begin() {
        let text = r##"name: "a } \" # routes {" # routes {
            destinations { id: 'd' kafka <
                topic: "t" > }
            routes { id: "x" to: ["d",
                'e'] when { cel: "payload.a == "
                    '1' } }
            routes: [{ id: "y" }, # routes {
                     { to: "d" to: "e" id: "z"
                       on_absent: ON_ABSENT_DEAD_LETTER }]
            tenants { id: "a" routes { id: "b"
               disabled: true } }"##;
        check(
            text,
            &[
                ("name", Some(1)),
                ("destinations[0].kafka.topic", Some(3)),
                ("routes[0]", Some(4)),
                ("routes[0].to[0]", Some(4)),
                ("routes[0].to[1]", Some(5)),
                ("routes[0].when.cel", Some(5)),
                ("routes[0].types", Some(4)),
                ("routes[1].id", Some(7)),
                ("routes[2].to[1]", Some(8)),
                ("routes[2].on_absent", Some(9)),
                ("routes[3].id", None),
                ("tenants[0].routes[0].disabled", Some(11)),
                ("lookups", None),
                ("", None),
            ],
        );
    }

    #[test]
    fn fields_of_json_have_the_line_on_which_they_begin() {
        let text = r#"{
            "name": "a } \" {", "routes":
                [
                    {"id": "x", "to": ["d",
                        "e"]},
                    {"id": "y",
                     "onAbsent": "ON_ABSENT_DEAD_LETTER"}
                ], "tenants": [{"routes": [
                    {"id": "b"}]}]}"#;
        check(
            text,
            &[
                ("name", Some(2)),
                ("routes[0].to[1]", Some(5)),
                ("routes[0].when.cel", Some(4)),
                ("routes[1].on_absent", Some(7)),
                ("routes[2]", None),
                ("tenants[0].routes[0].id", Some(9)),
                ("tenants[0].routes[0].types", Some(9)),
            ],
        );
    }

    #[test]
    fn text_that_is_no_map_leads_nowhere() {
        for text in ["", "{", "\"", "a: [", "[", "]]}", "{\"routes\"", "routes", "routes [{", "'\\", "a:::b", "- 1 -"] {
            assert_eq!(Places::of(text).line_of("lookups[0].key"), None, "{text}");
            Places::of(text).line_of("routes[0].to[0]");
        }
    }
}
