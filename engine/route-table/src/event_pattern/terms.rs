//! From JSON to terms: which leaves a pattern has, at which paths, and between which of them there is an `$or`.

use super::error::Fault;
use super::json::{Field, Node, Value};
use super::operators::{Leaf, is_reserved};

/// Names of one path, those that dots make included.
const PATH_NAMES_MAX: usize = 128;

/// A part of a pattern that has to hold, with paths from the outermost object.
#[derive(Clone, Debug)]
pub(super) enum Term {
    Leaf {
        path: Vec<String>,
        leaf: Leaf,
    },
    /// All terms of one of these must hold.
    Or(Vec<Vec<Term>>),
}

/// The terms of a pattern, in the order of the text.
pub(super) fn read(pattern: &Node<'_>) -> Result<Vec<Term>, Fault> {
    let operator = Reader { or_is_operator: true, path: Vec::new() }.pattern(pattern);
    // Patterns from before `$or` was an operator still mean what they did.
    operator.or_else(|fault| Reader { or_is_operator: false, path: Vec::new() }.pattern(pattern).map_err(|_| fault))
}

struct Reader {
    or_is_operator: bool,
    path: Vec<String>,
}

impl Reader {
    fn pattern(&mut self, pattern: &Node<'_>) -> Result<Vec<Term>, Fault> {
        let Value::Object(fields) = &pattern.value else {
            return Err(Fault::new(
                pattern.at,
                "Filter is not an object",
                "a pattern is a JSON object: {\"state\": [\"running\"]}",
            ));
        };
        let mut terms = Vec::new();
        self.object(pattern.at, fields, false, &mut terms)?;
        Ok(terms)
    }

    fn object(&mut self, at: usize, fields: &[Field<'_>], in_or: bool, terms: &mut Vec<Term>) -> Result<(), Fault> {
        if fields.is_empty() {
            return Err(Fault::new(at, "Empty objects are not allowed", "name a field, or leave the object out"));
        }
        for field in fields {
            if self.or_is_operator && field.name == "$or" {
                terms.push(self.or(&field.node)?);
                continue;
            }
            if in_or && is_reserved(&field.name) {
                let reason = format!("{} is Ruler reserved fieldName which cannot be used inside $or.", field.name);
                return Err(Fault::new(
                    field.at,
                    reason,
                    "an operator stands in a list: {\"field\": [{\"prefix\": \"x\"}]}",
                ));
            }
            let outer = self.path.len();
            self.path.extend(field.name.split('.').map(str::to_owned));
            if self.path.len() > PATH_NAMES_MAX {
                let reason = format!("Path of more than {PATH_NAMES_MAX} names");
                return Err(Fault::new(field.at, reason, "write a pattern that is not as deep"));
            }
            match &field.node.value {
                Value::Object(fields) => self.object(field.node.at, fields, in_or, terms)?,
                Value::Array(items) => {
                    let leaf = Leaf::read(field.node.at, items)?;
                    terms.push(Term::Leaf { path: self.path.clone(), leaf });
                }
                _ => {
                    let reason = format!("\"{}\" must be an object or an array", field.name);
                    return Err(Fault::new(
                        field.node.at,
                        reason,
                        "put the values that match into a list: [\"running\"]",
                    ));
                }
            }
            self.path.truncate(outer);
        }
        Ok(())
    }

    fn or(&mut self, node: &Node<'_>) -> Result<Term, Fault> {
        let help = "`$or` is a list of two or more objects: {\"$or\": [{\"a\": [1]}, {\"b\": [2]}]}";
        let Value::Array(elements) = &node.value else {
            return Err(Fault::new(node.at, "It must be an Array followed with $or.", help));
        };
        let mut branches = Vec::with_capacity(elements.len());
        for element in elements {
            let Value::Object(fields) = &element.value else {
                let reason = "Only JSON object is allowed in array of $or relationship.";
                return Err(Fault::new(element.at, reason, help));
            };
            let mut branch = Vec::new();
            self.object(element.at, fields, true, &mut branch)?;
            branches.push(branch);
        }
        if branches.len() < 2 {
            return Err(Fault::new(node.at, "There must have at least 2 Objects in $or relationship.", help));
        }
        Ok(Term::Or(branches))
    }
}
