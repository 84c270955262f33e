//! The files of the suite, and the tests in them.
//!
//! Scalars of YAML are kept as they are written, since `TRUE` is an expression here and a boolean there.

use crate::syntax::Literal;
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::path::Path;

/// One test: an expression, an event, and what the one says of the other.
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) result: Option<Literal>,
    pub(crate) error: Option<String>,
    /// All attributes of the event.
    pub(crate) attributes: Vec<(String, Literal)>,
}

/// What an event has that a test says nothing else of. Any values would do.
const REQUIRED: [(&str, &str); 4] =
    [("specversion", "1.0"), ("id", "an-id"), ("source", "a-source"), ("type", "a-type")];

pub(crate) fn read(file: &Path) -> Vec<Test> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut events = Parser::new_from_str(&text).map(|event| event.unwrap().0);
    let Some(Node::List(tests)) = node(&mut events).and_then(|root| root.field("tests").cloned()) else {
        panic!("{} has no tests", file.display())
    };
    tests.iter().map(test).collect()
}

fn test(node: &Node) -> Test {
    let text = |name: &str| node.field(name).map(|value| value.text().to_owned());
    let overrides = node.field("eventOverrides").map_or(&[][..], Node::fields);
    let event = node.field("event").map(Node::fields);
    let required = REQUIRED.map(|(name, value)| (name.to_owned(), Node::Quoted(value.to_owned())));
    let mut attributes: Vec<(String, Literal)> = Vec::new();
    for (name, value) in event.unwrap_or(&required).iter().chain(overrides) {
        attributes.retain(|(known, _)| known != name);
        attributes.push((name.clone(), value.literal()));
    }
    Test {
        name: text("name").unwrap(),
        expression: text("expression").unwrap(),
        result: node.field("result").map(Node::literal),
        error: text("error"),
        attributes,
    }
}

#[derive(Clone)]
enum Node {
    Plain(String),
    Quoted(String),
    List(Vec<Node>),
    Fields(Vec<(String, Node)>),
}

/// The next node; `None` if what it is within ends.
fn node<'e>(events: &mut impl Iterator<Item = Event<'e>>) -> Option<Node> {
    loop {
        return Some(match events.next()? {
            Event::Scalar(text, ScalarStyle::Plain, ..) => Node::Plain(text.into_owned()),
            Event::Scalar(text, ..) => Node::Quoted(text.into_owned()),
            Event::SequenceStart(..) => Node::List(std::iter::from_fn(|| node(events)).collect()),
            Event::MappingStart(..) => {
                let field = || Some((node(events)?.text().to_owned(), node(events).unwrap()));
                Node::Fields(std::iter::from_fn(field).collect())
            }
            Event::SequenceEnd | Event::MappingEnd => return None,
            Event::Alias(_) => panic!("the suite has no aliases"),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                continue;
            }
        });
    }
}

impl Node {
    fn field(&self, name: &str) -> Option<&Node> {
        self.fields().iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn fields(&self) -> &[(String, Node)] {
        match self {
            Node::Fields(fields) => fields,
            _ => panic!("fields are expected"),
        }
    }

    fn text(&self) -> &str {
        match self {
            Node::Plain(text) | Node::Quoted(text) => text,
            Node::List(_) | Node::Fields(_) => panic!("a scalar is expected"),
        }
    }

    /// "Can be a boolean, an integer or a string": what is not quoted is what it looks like.
    fn literal(&self) -> Literal {
        match self {
            Node::Plain(text) if matches!(text.as_str(), "true" | "TRUE") => Literal::Boolean(true),
            Node::Plain(text) if matches!(text.as_str(), "false" | "FALSE") => Literal::Boolean(false),
            Node::Plain(text) if let Ok(number) = text.parse() => Literal::Integer(number),
            other => Literal::Text(other.text().to_owned()),
        }
    }
}
