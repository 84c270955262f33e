//! JSON values as trees, how they are written, and what a field of one is: by definition, without looking at bytes.

use super::reference::Path;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    /// As it is written: `null`, `true`, `false` or a number.
    Word(String),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

pub(super) fn name() -> impl Strategy<Value = String> {
    let fixed = [
        "a",
        "b",
        "c",
        "ab",
        "type",
        "STREET",
        "BLKLOT",
        "eightlet",
        "a name of more than a few bytes",
        "é",
        "",
        "q\"t\\",
        "{",
        ":,",
    ];
    prop_oneof![9 => prop::sample::select(fixed.to_vec()).prop_map(str::to_owned), 1 => ".{0,80}"]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "0", "-0", "-1.5e+10", "1E5", "0.25"])
            .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no such number", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
        "-?[1-9][0-9]{0,80}(\\.[0-9]{1,40})?",
    ]
}

pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[A-Z0-9 ]{0,12}", 1 => ".{0,150}", 1 => "[\"\\\\{}:,\\[\\]\u{0}-\u{20}😀a]{0,90}"]
}

pub(super) fn object() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![word().prop_map(Tree::Word), text().prop_map(Tree::Text)];
    let tree = leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::Array),
            prop::collection::vec((name(), inner), 0..9).prop_map(Tree::Object),
        ]
    });
    prop::collection::vec((name(), tree), 0..9).prop_map(Tree::Object)
}

/// Fields to ask for, some of which are there.
pub(super) fn paths() -> impl Strategy<Value = Vec<Path>> {
    let path = || (prop::collection::vec(name(), 1..4), any::<bool>());
    prop_oneof![9 => prop::collection::vec(path(), 1..6), 1 => prop::collection::vec(path(), 6..40)]
}

/// How a tree is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) seed: u64,
    /// Out of 256 places where white space may stand, how many have it.
    pub(super) space: u8,
    /// Out of 256 characters, how many are escaped without need.
    pub(super) escape: u8,
}

pub(super) fn style() -> impl Strategy<Value = Style> {
    let few = || prop_oneof![Just(0), Just(0), 0..255u8];
    (any::<u64>(), few(), few()).prop_map(|(seed, space, escape)| Style { seed, space, escape })
}

pub(super) fn write(tree: &Tree, mut style: Style) -> Vec<u8> {
    let mut out = String::new();
    style.space(&mut out);
    style.value(tree, &mut out);
    style.space(&mut out);
    out.into_bytes()
}

impl Style {
    fn random(&mut self) -> u8 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 56) as u8
    }

    fn space(&mut self, out: &mut String) {
        while self.random() < self.space {
            out.push([' ', '\n', '\t', '\r'][usize::from(self.random()) % 4]);
        }
    }

    fn text(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            if character < ' ' || matches!(character, '"' | '\\') || self.random() < self.escape {
                let short = [('"', '"'), ('\\', '\\'), ('/', '/'), ('\n', 'n'), ('\t', 't')];
                match short.iter().find(|(meaning, _)| *meaning == character) {
                    Some((_, letter)) if self.random() < 128 => out.extend(['\\', *letter]),
                    _ => character
                        .encode_utf16(&mut [0; 2])
                        .iter()
                        .for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
                }
            } else {
                out.push(character);
            }
        }
        out.push('"');
    }

    fn value(&mut self, tree: &Tree, out: &mut String) {
        match tree {
            Tree::Word(word) => out.push_str(word),
            Tree::Text(text) => self.text(text, out),
            Tree::Array(elements) => {
                self.list(elements, ['[', ']'], out, |style, element, out| style.value(element, out))
            }
            Tree::Object(members) => self.list(members, ['{', '}'], out, |style, (name, value), out| {
                style.text(name, out);
                style.space(out);
                out.push(':');
                style.space(out);
                style.value(value, out);
            }),
        }
    }

    fn list<T>(
        &mut self,
        items: &[T],
        [open, close]: [char; 2],
        out: &mut String,
        item: impl Fn(&mut Style, &T, &mut String),
    ) {
        out.push(open);
        self.space(out);
        for (number, one) in items.iter().enumerate() {
            if number > 0 {
                out.push(',');
                self.space(out);
            }
            item(self, one, out);
            self.space(out);
        }
        out.push(close);
    }
}

impl Tree {
    /// The values of a field, by what a RouteMap says of fields.
    pub(super) fn field<'t>(&'t self, names: &[String], through: bool, values: &mut Vec<&'t Tree>) {
        match (self, names) {
            (Tree::Array(elements), _) if through => {
                elements.iter().for_each(|element| element.field(names, through, values))
            }
            (_, []) => values.push(self),
            (Tree::Object(members), [first, rest @ ..]) => {
                if let Some((_, value)) = members.iter().find(|(name, _)| name == first) {
                    value.field(rest, through, values);
                }
            }
            _ => {}
        }
    }

    /// The same shape with other values: texts and numbers are drawn anew, arrays get longer or shorter.
    pub(super) fn vary(&self, style: &mut Style) -> Tree {
        match self {
            Tree::Word(_) | Tree::Text(_) => match style.random() % 4 {
                0 => Tree::Word("null".to_owned()),
                1 => Tree::Word(format!("{}.5", style.random())),
                _ => Tree::Text("x".repeat(usize::from(style.random()) / 2)),
            },
            Tree::Array(elements) => {
                let length = usize::from(style.random()) % 8;
                Tree::Array(
                    elements
                        .iter()
                        .cycle()
                        .take(if elements.is_empty() { 0 } else { length })
                        .map(|one| one.vary(style))
                        .collect(),
                )
            }
            Tree::Object(members) => {
                Tree::Object(members.iter().map(|(name, value)| (name.clone(), value.vary(style))).collect())
            }
        }
    }
}
