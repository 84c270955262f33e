//! From the conditions of a table back to messages, so that what a table does can be said in words.
//!
//! A table keeps what a test compares with in the form that is quickest to compare. What comes back says the same and need not be
//! written alike: numbers in one notation, the values of an `in` in order, touching blocks of addresses as one, texts that are compared
//! ignoring case in lower case, and what was written as CEL or as an event pattern as the tree that it stands for.

use crate::condition::{AnyElement, ConditionIndex, NodeKind, Over, Truth};
use crate::fields::FieldIndex;
use crate::lookups::LookupPlace;
use crate::predicate::{Attribute, Bound, ElementPlace, Literal, Predicate, Test, Types};
use crate::table::{RouteIndex, RouteTable, Text};
use veltrix_proto::v1::{self, OnMissing, OnOtherType, RecordPart, ValueType, any_element, condition, literal, range};

impl RouteTable {
    /// The condition of a route, as the table knows it: what was written as a text is a tree. `None` if the route has none, or is of a
    /// larger table.
    pub fn condition(&self, route: RouteIndex) -> Option<v1::Condition> {
        match self.routes.get(route.get())?.condition {
            ConditionIndex::ALWAYS => None,
            ConditionIndex(root) => self.condition_at(root),
        }
    }

    /// The condition whose root is the node at `at`.
    pub(crate) fn condition_at(&self, at: u32) -> Option<v1::Condition> {
        let node = self.conditions.node(at)?;
        let kind = match node.kind {
            NodeKind::Payload(_) => return self.condition_at(at + 1),
            NodeKind::Predicate(index) => condition::Kind::Predicate(self.predicate_at(index)?),
            NodeKind::Not => condition::Kind::Not(Box::new(self.condition_at(at + 1)?)),
            NodeKind::All => condition::Kind::All(self.parts_of(at, node.end)),
            NodeKind::Any => condition::Kind::Any(self.parts_of(at, node.end)),
            NodeKind::AnyElement(index) => {
                let any = self.conditions.any_elements.get(index as usize)?;
                condition::Kind::AnyElement(Box::new(self.any_element(any, self.condition_at(at + 1)?)))
            }
        };
        Some(v1::Condition { kind: Some(kind) })
    }

    fn parts_of(&self, at: u32, end: u32) -> v1::Conditions {
        let parts = self.children(at, end).filter_map(|child| self.condition_at(child));
        v1::Conditions { conditions: parts.collect() }
    }

    /// The parts of the `all` or `any` at `at`, which ends at `end`.
    pub(crate) fn children(&self, at: u32, end: u32) -> impl Iterator<Item = u32> {
        let next = move |child: &u32| self.conditions.node(*child).map(|node| node.end).filter(|next| *next < end);
        std::iter::successors(Some(at + 1).filter(|first| *first < end), next)
    }

    fn any_element(&self, any: &AnyElement, condition: v1::Condition) -> v1::AnyElement {
        v1::AnyElement {
            over: Some(match any.over {
                Over::Field(field) => any_element::Over::Field(self.field(field)),
                Over::Element(place) => any_element::Over::Element(self.element(place)),
            }),
            condition: Some(Box::new(condition)),
            on_missing: on_missing(any.on_missing).into(),
            on_other_type: on_other_type(any.on_other_type).into(),
        }
    }

    /// The predicate at this place among those of the table.
    pub(crate) fn predicate_at(&self, index: u32) -> Option<v1::Predicate> {
        let predicate = self.conditions.predicates.get(index as usize)?;
        Some(v1::Predicate {
            attribute: Some(self.attribute(predicate.attribute)),
            test: Some(self.test(predicate)),
            on_missing: on_missing(predicate.on_missing).into(),
            on_other_type: on_other_type(predicate.on_other_type).into(),
            ignore_case: predicate.ignore_case,
            text_as_number: predicate.text_as_number,
        })
    }

    pub(crate) fn attribute(&self, attribute: Attribute) -> v1::predicate::Attribute {
        let part = |part: RecordPart| v1::predicate::Attribute::Part(part.into());
        match attribute {
            Attribute::Key => part(RecordPart::Key),
            Attribute::Topic => part(RecordPart::Topic),
            Attribute::EventType => part(RecordPart::EventType),
            Attribute::Tenant => part(RecordPart::Tenant),
            Attribute::Timestamp => part(RecordPart::Timestamp),
            Attribute::Header(name) => {
                let name = self.conditions.header_names.get(name as usize).copied().unwrap_or_default();
                v1::predicate::Attribute::Header(self.text(name))
            }
            Attribute::Field(field) => v1::predicate::Attribute::Field(self.field(field)),
            Attribute::Element(place) => v1::predicate::Attribute::Element(self.element(place)),
            Attribute::Lookup(LookupPlace { lookup, field }) => v1::predicate::Attribute::Lookup(v1::LookedUp {
                lookup: self.lookup_id(lookup).to_owned(),
                names: self.field(field).names,
            }),
        }
    }

    fn field(&self, field: FieldIndex) -> v1::Field {
        let Some(row) = self.fields.rows.get(field.0 as usize) else { return v1::Field::default() };
        let names = self.fields.names_of(row).iter().map(|name| self.text(*name)).collect();
        v1::Field { names, through_arrays: row.through_arrays, dotted: row.dots != 0 }
    }

    fn element(&self, place: ElementPlace) -> v1::Element {
        let v1::Field { names, through_arrays, dotted } = self.field(place.field);
        let through_arrays = through_arrays || place.through_arrays;
        v1::Element { outwards: place.outwards, names, through_arrays, dotted }
    }

    fn test(&self, predicate: &Predicate) -> v1::predicate::Test {
        let literals = &self.conditions.literals;
        match predicate.test {
            Test::Equals(value) => v1::predicate::Test::Equals(self.literal(value)),
            Test::In { first, count } => {
                let values = literals.list(first, count).iter().map(|value| self.literal(*value)).collect();
                v1::predicate::Test::In(v1::Literals { values })
            }
            Test::Prefix(text) => v1::predicate::Test::Prefix(self.text(text)),
            Test::Suffix(text) => v1::predicate::Test::Suffix(self.text(text)),
            Test::Contains(text) => v1::predicate::Test::Contains(self.text(text)),
            Test::Wildcard(place) => {
                let wildcard = literals.wildcards.get(place as usize);
                let pattern = wildcard.map(|wildcard| wildcard.pattern(&self.texts, &literals.needles));
                v1::predicate::Test::Wildcard(pattern.unwrap_or_default())
            }
            Test::Exists(expected) => v1::predicate::Test::Exists(expected),
            Test::Range(place) => {
                let bounds = literals.bounds.get(place as usize);
                let (lower, upper) = bounds.map_or((None, None), |bounds| (bounds.lower, bounds.upper));
                v1::predicate::Test::Range(v1::Range {
                    lower: lower.map(|Bound { literal, inclusive }| match inclusive {
                        true => range::Lower::AtLeast(self.literal(literal)),
                        false => range::Lower::Above(self.literal(literal)),
                    }),
                    upper: upper.map(|Bound { literal, inclusive }| match inclusive {
                        true => range::Upper::AtMost(self.literal(literal)),
                        false => range::Upper::Below(self.literal(literal)),
                    }),
                })
            }
            Test::Cidr(place) => {
                let set = literals.cidrs.get(place as usize);
                let blocks = set.map(|set| set.blocks(&literals.cidr_ranges)).unwrap_or_default();
                v1::predicate::Test::Cidr(v1::Cidrs { blocks })
            }
            Test::Share(place) => {
                let share = literals.shares.get(place as usize);
                v1::predicate::Test::Share(share.map_or_else(v1::Share::default, |share| v1::Share {
                    salt: self.text(share.salt),
                    from: share.from,
                    to: share.to,
                }))
            }
            Test::Types => v1::predicate::Test::Types(v1::ValueTypes { types: types_of(predicate.about) }),
        }
    }

    fn literal(&self, value: Literal) -> v1::Literal {
        let kind = match value {
            Literal::Text(text) => literal::Kind::Text(self.text(text)),
            Literal::Number(place) => {
                let number = self.conditions.literals.decimals.get(place as usize);
                literal::Kind::Number(number.map(|number| number.number(&self.texts).to_string()).unwrap_or_default())
            }
            Literal::Boolean(value) => literal::Kind::Boolean(value),
            Literal::Null => literal::Kind::Null(v1::Null {}),
        };
        v1::Literal { kind: Some(kind) }
    }

    fn text(&self, text: Text) -> String {
        text.of(&self.texts).to_owned()
    }
}

fn types_of(about: Types) -> Vec<i32> {
    let known = [
        (Types::NULL, ValueType::Null),
        (Types::BOOLEAN, ValueType::Boolean),
        (Types::NUMBER, ValueType::Number),
        (Types::TEXT, ValueType::Text),
        (Types::OBJECT, ValueType::Object),
        (Types::ARRAY, ValueType::Array),
    ];
    known.into_iter().filter(|(types, _)| about.has(*types)).map(|(_, value_type)| value_type.into()).collect()
}

/// What is false need not be said.
fn on_missing(truth: Truth) -> OnMissing {
    match truth {
        // A default is never pending.
        Truth::False | Truth::Pending(_) => OnMissing::Unspecified,
        Truth::True => OnMissing::True,
        Truth::Absent => OnMissing::Absent,
    }
}

fn on_other_type(truth: Truth) -> OnOtherType {
    match truth {
        Truth::False | Truth::Pending(_) => OnOtherType::Unspecified,
        Truth::True => OnOtherType::True,
        Truth::Absent => OnOtherType::Absent,
    }
}
