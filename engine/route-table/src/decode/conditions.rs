//! Reads conditions: trees into nodes in preorder, predicates into a list in which each different one stands once.

use super::Decoder;
use crate::compile::{Scratch, Spelling, hash_bytes, hash_of, hash_text};
use crate::condition::{Attribute, Node, NodeKind, Predicate, Test, Truth, range};
use crate::fault::Fault;
use crate::limits;
use crate::table::{RouteTable, Text};
use crate::wire::{Field, Reader};
use std::hash::{Hash, Hasher};

/// What a predicate that is being read says so far.
#[derive(Default)]
struct PredicateFields {
    attribute: Option<Attribute>,
    test: Option<Test>,
    /// An attribute, a test was given; it need not have been usable.
    attributed: bool,
    tested: bool,
    on_missing: Option<u64>,
}

impl Decoder<'_> {
    /// Reads a tree. Every call leaves one whole subtree, or has the map refused.
    pub(super) fn condition(&mut self, condition: Reader<'_>, depth: u64) {
        self.condition_nodes += 1;
        self.table.usage.condition_nodes += 1;
        // Both limits are spoken of once, where all nodes are counted.
        let too_many = self.condition_nodes > limits::CONDITION_NODES_PER_ROUTE.max
            || self.table.usage.condition_nodes > limits::CONDITION_NODES.max;
        if too_many || self.is_over(&limits::CONDITION_DEPTH, depth) {
            return;
        }
        let mut kind: Option<(u32, Reader<'_>)> = None;
        self.each_field(condition, |this, field| {
            let name = match field.number {
                1 => "predicate",
                2 => "all",
                3 => "any",
                4 => "not",
                number => return this.refuse(Fault::UnknownField { message: "Condition", number }),
            };
            match field.message() {
                Ok(reader) => this.once(name, &mut kind, (field.number, reader)),
                Err(fault) => this.refuse_at(name, Fault::Wire(fault)),
            }
        });
        match kind {
            Some((1, predicate)) => self.within("predicate", None, |this| this.predicate(predicate)),
            Some((2, parts)) => self.within("all", None, |this| this.conditions(NodeKind::All, parts, depth)),
            Some((3, parts)) => self.within("any", None, |this| this.conditions(NodeKind::Any, parts, depth)),
            Some((_, negated)) => self.within("not", None, |this| {
                this.subtree(NodeKind::Not, |this| this.condition(negated, depth + 1));
            }),
            None => self.refuse(Fault::Missing),
        }
    }

    fn conditions(&mut self, kind: NodeKind, parts: Reader<'_>, depth: u64) {
        let mut count = 0;
        self.subtree(kind, |this| {
            this.each_field(parts, |this, field| match field.number {
                1 => {
                    this.within("conditions", Some(count), |this| match field.message() {
                        Ok(part) => this.condition(part, depth + 1),
                        Err(fault) => this.refuse(Fault::Wire(fault)),
                    });
                    count += 1;
                }
                number => this.refuse(Fault::UnknownField { message: "Conditions", number }),
            });
        });
        if count == 0 {
            self.refuse_at("conditions", Fault::Missing);
        }
    }

    fn subtree(&mut self, kind: NodeKind, children: impl FnOnce(&mut Self)) {
        let at = self.table.conditions.nodes.len();
        self.table.conditions.nodes.push(Node { kind, end: 0 });
        children(self);
        let end = self.table.conditions.nodes.len() as u32;
        if let Some(node) = self.table.conditions.nodes.get_mut(at) {
            node.end = end;
        }
    }

    /// Many routes test the same thing, and an encoder writes it with the same bytes: those are read once.
    fn predicate(&mut self, predicate: Reader<'_>) {
        let (at, bytes) = predicate.rest();
        let hash = hash_bytes(bytes);
        let Scratch { spellings, spelled, .. } = &*self.scratch;
        let spelling = |index: u32| spelled.get(index as usize).copied().unwrap_or_default();
        let same = |index| self.map.get(range(spelling(index).at, spelling(index).len)) == Some(bytes);
        if let Some(known) = spellings.find(hash, same) {
            let index = spelling(known).predicate;
            return self.subtree(NodeKind::Predicate(index), |_| {});
        }
        let Some(index) = self.new_predicate(predicate) else { return };
        self.subtree(NodeKind::Predicate(index), |_| {});
        // What is refused is refused wherever it stands.
        if self.scratch.reasons.is_empty() {
            self.scratch.spellings.add(hash, self.scratch.spelled.len());
            self.scratch.spelled.push(Spelling { at: at as u32, len: bytes.len() as u32, predicate: index });
        }
    }

    fn new_predicate(&mut self, predicate: Reader<'_>) -> Option<u32> {
        let mut fields = PredicateFields::default();
        self.each_field(predicate, |this, field| match field.number {
            1 | 2 => this.predicate_attribute(field, &mut fields),
            8..=11 => this.predicate_test(field, &mut fields),
            15 => this.number("on_missing", &mut fields.on_missing, field),
            number => this.refuse(Fault::UnknownField { message: "Predicate", number }),
        });
        let on_missing = match fields.on_missing {
            None | Some(0 | 1) => Truth::False,
            Some(2) => Truth::True,
            Some(3) => Truth::Absent,
            Some(value) => {
                self.refuse_at("on_missing", Fault::UnknownEnum { name: "OnMissing", value });
                Truth::False
            }
        };
        for (given, what) in [(fields.attributed, "attribute"), (fields.tested, "test")] {
            if !given {
                self.refuse_at(what, Fault::Missing);
            }
        }
        if matches!(fields.test, Some(Test::Exists(_))) && fields.on_missing.is_some_and(|value| value != 0) {
            self.refuse_at("on_missing", Fault::OnMissingOfExists);
        }
        let (attribute, test) = (fields.attribute?, fields.test?);
        Some(self.intern_predicate(Predicate { attribute, test, on_missing }))
    }

    fn predicate_attribute(&mut self, field: Field<'_>, fields: &mut PredicateFields) {
        let given_before = std::mem::replace(&mut fields.attributed, true);
        if given_before {
            return self.refuse_at("attribute", Fault::GivenTwice);
        }
        if field.number == 1 {
            let mut name = None;
            self.text("header", &mut name, field);
            if let Some(name) = name
                && self.required("header", Some(name))
            {
                fields.attribute = Some(self.header(name));
            }
            return;
        }
        self.within("part", None, |this| match field.number_value() {
            Ok(1) => fields.attribute = Some(Attribute::Key),
            Ok(2) => fields.attribute = Some(Attribute::Topic),
            Ok(3) => fields.attribute = Some(Attribute::EventType),
            Ok(4) => fields.attribute = Some(Attribute::Tenant),
            Ok(value) => this.refuse(Fault::UnknownEnum { name: "RecordPart", value }),
            Err(fault) => this.refuse(Fault::Wire(fault)),
        });
    }

    fn header(&mut self, name: &str) -> Attribute {
        let RouteTable { conditions, texts, .. } = &mut *self.table;
        let names = &conditions.header_names;
        let same = |index: u32| names.get(index as usize).is_some_and(|known| known.of(texts) == name);
        let index = match self.scratch.header_names.find_or_add(hash_text(name), names.len(), same) {
            Ok(known) => known,
            Err(new) => {
                let name = self.keep(name);
                self.table.conditions.header_names.push(name);
                self.is_over(&limits::HEADER_NAMES, u64::from(new) + 1);
                new
            }
        };
        Attribute::Header(index)
    }

    fn predicate_test(&mut self, field: Field<'_>, fields: &mut PredicateFields) {
        let given_before = std::mem::replace(&mut fields.tested, true);
        if given_before {
            return self.refuse_at("test", Fault::GivenTwice);
        }
        fields.test = match field.number {
            8 => self.within("equals", None, |this| match field.message() {
                Ok(literal) => this.literal(literal).map(Test::Equals),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
            9 => self.within("in", None, |this| match field.message() {
                Ok(literals) => this.literals(literals),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
            10 => self.within("prefix", None, |this| match field.text() {
                Ok("") => this.refused(Fault::EmptyText { instead: "for any value, say `exists: true`" }),
                Ok(text) => this.literal_text(text).map(Test::Prefix),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
            _ => match field.flag() {
                Ok(expected) => Some(Test::Exists(expected)),
                Err(fault) => self.within("exists", None, |this| this.refused(Fault::Wire(fault))),
            },
        };
    }

    fn refused<T>(&mut self, fault: Fault) -> Option<T> {
        self.refuse(fault);
        None
    }

    fn literal(&mut self, literal: Reader<'_>) -> Option<Text> {
        let mut text = None;
        self.each_field(literal, |this, field| match field.number {
            1 => match field.text() {
                Ok(value) => this.once("text", &mut text, value),
                Err(fault) => this.refuse_at("text", Fault::Wire(fault)),
            },
            number => this.refuse(Fault::UnknownField { message: "Literal", number }),
        });
        match text {
            Some(text) => self.literal_text(text),
            None => self.refused(Fault::Missing),
        }
    }

    fn literal_text(&mut self, text: &str) -> Option<Text> {
        (!self.is_over(&limits::LITERAL_BYTES, text.len() as u64)).then(|| self.keep(text))
    }

    fn literals(&mut self, literals: Reader<'_>) -> Option<Test> {
        let first = self.table.conditions.literals.len();
        let mut count = 0u32;
        self.each_field(literals, |this, field| match field.number {
            1 => {
                this.within("values", Some(count), |this| match field.message() {
                    Ok(literal) => {
                        let literal = this.literal(literal);
                        if u64::from(count) < limits::VALUES_PER_IN.max {
                            this.table.conditions.literals.extend(literal);
                        }
                    }
                    Err(fault) => this.refuse(Fault::Wire(fault)),
                });
                count += 1;
            }
            number => this.refuse(Fault::UnknownField { message: "Literals", number }),
        });
        if count == 0 {
            self.refuse_at("values", Fault::Missing);
        }
        if self.is_over(&limits::VALUES_PER_IN, u64::from(count)) {
            self.table.conditions.literals.truncate(first);
            return None;
        }
        let RouteTable { conditions, texts, .. } = &mut *self.table;
        let values = conditions.literals.get_mut(first..).unwrap_or_default();
        values.sort_unstable_by(|a, b| a.bytes_of(texts).cmp(b.bytes_of(texts)));
        Some(Test::In { first: first as u32, count: values.len() as u32 })
    }

    /// The number of a predicate; one that says the same as an earlier one gets that one's, and leaves no values behind.
    fn intern_predicate(&mut self, predicate: Predicate) -> u32 {
        let RouteTable { conditions, texts, .. } = &mut *self.table;
        let hash = hash_of(|hasher| {
            (predicate.attribute, predicate.on_missing as u8).hash(hasher);
            match predicate.test {
                Test::Equals(text) => (0u8, text.bytes_of(texts)).hash(hasher),
                Test::Prefix(text) => (1u8, text.bytes_of(texts)).hash(hasher),
                Test::Exists(expected) => (2u8, expected).hash(hasher),
                Test::In { first, count } => {
                    hasher.write_u8(3);
                    conditions.literals(first, count).iter().for_each(|text| text.bytes_of(texts).hash(hasher));
                }
            }
        });
        let same_test = |known: Test| match (known, predicate.test) {
            (Test::Equals(a), Test::Equals(b)) | (Test::Prefix(a), Test::Prefix(b)) => {
                a.bytes_of(texts) == b.bytes_of(texts)
            }
            (Test::Exists(a), Test::Exists(b)) => a == b,
            (Test::In { first: f1, count: c1 }, Test::In { first: f2, count: c2 }) => {
                let texts_of = |first, count| conditions.literals(first, count).iter().map(|text| text.bytes_of(texts));
                texts_of(f1, c1).eq(texts_of(f2, c2))
            }
            _ => false,
        };
        let same = |index: u32| {
            conditions.predicates.get(index as usize).is_some_and(|known| {
                known.attribute == predicate.attribute
                    && known.on_missing == predicate.on_missing
                    && same_test(known.test)
            })
        };
        let Scratch { predicates, .. } = &mut *self.scratch;
        match predicates.find_or_add(hash, conditions.predicates.len(), same) {
            Ok(known) => {
                if let Test::In { first, .. } = predicate.test {
                    conditions.literals.truncate(first as usize);
                }
                known
            }
            Err(new) => {
                if let Test::In { first, count } = predicate.test
                    && conditions.literals.len() as u64 > limits::VALUES.max
                {
                    conditions.literals.truncate(first as usize);
                    self.values_left_out += u64::from(count);
                }
                conditions.predicates.push(predicate);
                new
            }
        }
    }
}
