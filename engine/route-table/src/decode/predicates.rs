//! Reads predicates into a list in which each different one stands once, and the places and values that they speak of.

use super::Decoder;
use super::said::Kept;
use crate::compile::{Scratch, Spelling, hash_bytes, hash_text, intern_field};
use crate::condition::{NodeKind, range};
use crate::fault::Fault;
use crate::fields::FieldIndex;
use crate::limits;
use crate::predicate::{Attribute, Bound, Bounds, ElementPlace, Literal, Predicate, Test, Types};
use crate::table::{RouteTable, Text};
use crate::value::cidr::Block;
use crate::value::fold;
use crate::value::number::Decimal;
use crate::value::wildcard::Wildcard;
use crate::wire::{Field, Reader};
use std::cmp::Ordering;

/// The tests that there are.
const TESTS: &str =
    "`equals`, `in`, `prefix`, `suffix`, `contains`, `wildcard`, `range`, `cidr`, `share`, `types` and `exists`";

/// What a predicate that is being read says so far.
#[derive(Default)]
struct PredicateFields<'a> {
    attribute: Option<Attribute>,
    test: Option<Field<'a>>,
    /// An attribute was given; it need not have been usable.
    attributed: bool,
    on_missing: Option<u64>,
    on_other_type: Option<u64>,
    ignore_case: Option<bool>,
    text_as_number: Option<bool>,
}

impl Decoder<'_> {
    /// Many routes test the same thing, and an encoder writes it with the same bytes: those are read once.
    pub(super) fn predicate(&mut self, predicate: Reader<'_>) {
        let (at, bytes) = predicate.rest();
        let hash = hash_bytes(bytes);
        let Scratch { spellings, spelled, of_texts, .. } = &*self.scratch;
        let spelling = |index: u32| spelled.get(index as usize).copied().unwrap_or_default();
        let same = |index| {
            let Spelling { at, len, .. } = spelling(index);
            let spelled = match (at as usize).checked_sub(self.map.len()) {
                None => self.map.get(range(at, len)),
                Some(behind) => of_texts.get(behind..behind + len as usize),
            };
            spelled == Some(bytes)
        };
        if let Some(known) = spellings.find(hash, same) {
            return self.predicate_node(spelling(known).predicate);
        }
        let Some(index) = self.new_predicate(predicate) else { return };
        self.predicate_node(index);
        // What is refused is refused wherever it stands.
        if self.scratch.reasons.is_empty() {
            let Scratch { spellings, spelled, of_texts, .. } = &mut *self.scratch;
            let at = if self.is_map { at } else { self.map.len() + of_texts.len() };
            if !self.is_map {
                of_texts.extend_from_slice(bytes);
            }
            // What texts stand for is longer than they are, by a factor that keeps it below 4 GiB.
            let (at, len) = (at as u32, bytes.len() as u32);
            spellings.add(hash, spelled.len());
            spelled.push(Spelling { at, len, predicate: index });
        }
    }

    fn predicate_node(&mut self, index: u32) {
        if let Some(predicate) = self.table.conditions.predicates.get(index as usize) {
            self.wish(predicate.attribute);
        }
        self.subtree(NodeKind::Predicate(index), |_| {});
    }

    fn new_predicate(&mut self, predicate: Reader<'_>) -> Option<u32> {
        let kept = Kept::by(self.table);
        let mut fields = PredicateFields::default();
        self.each_field(predicate, |this, field| match field.number {
            1..=5 => this.predicate_attribute(field, &mut fields),
            8..=14 | 16..=18 | 22 => {
                if fields.test.replace(field).is_some() {
                    this.refuse_at("test", Fault::GivenTwice);
                }
            }
            15 => this.number("on_missing", &mut fields.on_missing, field),
            19 => this.number("on_other_type", &mut fields.on_other_type, field),
            20 => this.flag("ignore_case", &mut fields.ignore_case, field),
            21 => this.flag("text_as_number", &mut fields.text_as_number, field),
            number => this.refuse(Fault::UnknownField { message: "Predicate", number }),
        });
        let on_missing = self.truth("on_missing", "OnMissing", fields.on_missing);
        let on_other_type = self.truth("on_other_type", "OnOtherType", fields.on_other_type);
        let ignore_case = fields.ignore_case.unwrap_or_default();
        if !fields.attributed {
            self.refuse_at("attribute", Fault::MissingOneOf("`field`, `element`, `header`, `part` and `lookup`"));
        }
        let Some(test) = fields.test else {
            self.refuse_at("test", Fault::MissingOneOf(TESTS));
            return None;
        };
        let (test, about) = self.test(test, ignore_case)?;
        if matches!(test, Test::Exists(_)) && fields.on_missing.is_some_and(|value| value != 0) {
            self.refuse_at("on_missing", Fault::OnMissingOfExists);
        }
        if matches!(test, Test::Exists(_) | Test::Types) && fields.on_other_type.is_some_and(|value| value != 0) {
            self.refuse_at("on_other_type", Fault::OnOtherTypeOfAnyType);
        }
        let has_case = match test {
            Test::Equals(_) | Test::In { .. } => about.has(Types::TEXT),
            Test::Prefix(_) | Test::Suffix(_) | Test::Contains(_) | Test::Wildcard(_) => true,
            _ => false,
        };
        if ignore_case && !has_case {
            self.refuse_at("ignore_case", Fault::WithoutCase);
        }
        let text_as_number = fields.text_as_number.unwrap_or_default();
        let attribute = fields.attribute?;
        let predicate = Predicate { attribute, test, about, on_missing, on_other_type, ignore_case, text_as_number };
        Some(self.intern_predicate(predicate, kept))
    }

    fn predicate_attribute<'a>(&mut self, field: Field<'a>, fields: &mut PredicateFields<'a>) {
        let given_before = std::mem::replace(&mut fields.attributed, true);
        if given_before {
            return self.refuse_at("attribute", Fault::GivenTwice);
        }
        fields.attribute = self.attribute(field);
    }

    /// Reads a field that says where a value of an event is, or of what is looked up for it; its numbers are those of `Predicate`.
    pub(super) fn attribute(&mut self, field: Field<'_>) -> Option<Attribute> {
        match field.number {
            1 => {
                let mut name = None;
                self.text("header", &mut name, field);
                name.filter(|name| self.required("header", Some(name))).map(|name| self.header(name))
            }
            2 => self.within("part", None, |this| match field.number_value() {
                Ok(1) => Some(Attribute::Key),
                Ok(2) => Some(Attribute::Topic),
                Ok(3) => Some(Attribute::EventType),
                Ok(4) => Some(Attribute::Tenant),
                Ok(5) => Some(Attribute::Timestamp),
                Ok(value) => this.refused(Fault::UnknownEnum { name: "RecordPart", value }),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
            3 => self.payload_field(field).map(Attribute::Field),
            4 => self.element(field).map(Attribute::Element),
            _ => self.looked_up(field),
        }
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

    /// Reads a place in the payload.
    pub(super) fn payload_field(&mut self, field: Field<'_>) -> Option<FieldIndex> {
        self.within("field", None, |this| {
            let message = match field.message() {
                Ok(message) => message,
                Err(fault) => return this.refused(Fault::Wire(fault)),
            };
            let first_name = this.table.fields.names.len();
            let (mut through_arrays, mut dotted) = (None, None);
            this.each_field(message, |this, field| match field.number {
                1 => this.field_name(field, first_name),
                2 => this.flag("through_arrays", &mut through_arrays, field),
                3 => this.flag("dotted", &mut dotted, field),
                number => this.refuse(Fault::UnknownField { message: "Field", number }),
            });
            if this.table.fields.names.len() == first_name {
                this.refuse_at("names", Fault::Missing);
                return None;
            }
            Some(this.intern_field(first_name, through_arrays, dotted))
        })
    }

    /// Reads an element, or a place within it.
    pub(super) fn element(&mut self, field: Field<'_>) -> Option<ElementPlace> {
        self.within("element", None, |this| {
            let message = match field.message() {
                Ok(message) => message,
                Err(fault) => return this.refused(Fault::Wire(fault)),
            };
            let first_name = this.table.fields.names.len();
            let (mut outwards, mut through_arrays, mut dotted) = (None, None, None);
            this.each_field(message, |this, field| match field.number {
                1 => this.number("outwards", &mut outwards, field),
                2 => this.field_name(field, first_name),
                3 => this.flag("through_arrays", &mut through_arrays, field),
                4 => this.flag("dotted", &mut dotted, field),
                number => this.refuse(Fault::UnknownField { message: "Element", number }),
            });
            let has_names = this.table.fields.names.len() > first_name;
            let field = match has_names {
                true => this.intern_field(first_name, through_arrays, dotted),
                false => FieldIndex::ITSELF,
            };
            let through_arrays = through_arrays.unwrap_or_default();
            // More than any limit on nesting, and refused where the element is looked for.
            let outwards = outwards.unwrap_or_default().min(u64::from(u32::MAX)) as u32;
            Some(ElementPlace { outwards, field, through_arrays: through_arrays && !has_names })
        })
    }

    pub(super) fn field_name(&mut self, field: Field<'_>, first_name: usize) {
        let index = self.table.fields.names.len() - first_name;
        self.within("names", Some(index as u32), |this| match field.text() {
            Ok(name) => {
                let too_long = this.is_over(&limits::FIELD_NAME_BYTES, name.len() as u64);
                if !too_long && !this.is_over(&limits::FIELD_NAMES, index as u64 + 1) {
                    let name = this.keep(name);
                    this.table.fields.names.push(name);
                }
            }
            Err(fault) => this.refuse(Fault::Wire(fault)),
        });
    }

    /// The number of the field whose names were read last.
    pub(super) fn intern_field(
        &mut self,
        first_name: usize,
        through_arrays: Option<bool>,
        dotted: Option<bool>,
    ) -> FieldIndex {
        let through_arrays = through_arrays.unwrap_or_default();
        let mut dots = 0;
        if dotted == Some(true) {
            if !through_arrays {
                self.refuse_at("dotted", Fault::DottedWithoutArrays);
            }
            let names = (self.table.fields.names.len() - first_name) as u64;
            let is_over = self.within("dotted", None, |this| this.is_over(&limits::DOTTED_NAMES, names));
            dots = if is_over { 0 } else { (1 << names.saturating_sub(1)) - 1 };
        }
        let RouteTable { fields, texts, .. } = &*self.table;
        let names = fields.names.get(first_name..).unwrap_or_default();
        let first_text = names.first().map_or(0, |name| name.at);
        let len: u32 = names.iter().map(|name| name.len).sum();
        let is_last = (first_text + len) as usize == texts.len();
        match intern_field(self.table, &mut self.scratch.fields, first_name, through_arrays, dots) {
            Ok(known) => {
                if is_last {
                    self.table.texts.truncate(first_text as usize);
                }
                known
            }
            Err(new) => {
                self.is_over(&limits::FIELDS, u64::from(new.0) + 1);
                new
            }
        }
    }

    /// Reads a test, and which types it is about.
    fn test(&mut self, field: Field<'_>, ignore_case: bool) -> Option<(Test, Types)> {
        let text = |this: &mut Self, name, test: fn(Text) -> Test| {
            this.within(name, None, |this| match field.text() {
                Ok("") => this.refused(Fault::EmptyText { instead: "for any text, say `types: TEXT`" }),
                Ok(text) => this.literal_text(text, ignore_case).map(|text| (test(text), Types::TEXT)),
                Err(fault) => this.refused(Fault::Wire(fault)),
            })
        };
        match field.number {
            8 => self.within("equals", None, |this| match field.message() {
                Ok(literal) => {
                    this.literal(literal, ignore_case).map(|literal| (Test::Equals(literal), literal.types()))
                }
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
            9 => self.within("in", None, |this| match field.message() {
                Ok(literals) => this.literals(literals, ignore_case),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
            10 => text(self, "prefix", Test::Prefix),
            12 => text(self, "suffix", Test::Suffix),
            13 => text(self, "contains", Test::Contains),
            11 => match field.flag() {
                Ok(expected) => Some((Test::Exists(expected), Types::ALL)),
                Err(fault) => self.within("exists", None, |this| this.refused(Fault::Wire(fault))),
            },
            14 => self.within("wildcard", None, |this| this.wildcard(field, ignore_case)),
            16 => self.within("range", None, |this| match field.message() {
                Ok(range) => this.range(range),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
            17 => self.within("cidr", None, |this| match field.message() {
                Ok(blocks) => this.cidr(blocks),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
            22 => self.within("share", None, |this| match field.message() {
                Ok(share) => this.share(share),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
            _ => self.within("types", None, |this| match field.message() {
                Ok(types) => this.value_types(types).map(|types| (Test::Types, types)),
                Err(fault) => this.refused(Fault::Wire(fault)),
            }),
        }
    }

    pub(super) fn refused<T>(&mut self, fault: Fault) -> Option<T> {
        self.refuse(fault);
        None
    }

    pub(super) fn flag(&mut self, name: &'static str, slot: &mut Option<bool>, field: Field<'_>) {
        match field.flag() {
            Ok(value) => self.once(name, slot, value),
            Err(fault) => self.refuse_at(name, Fault::Wire(fault)),
        }
    }

    fn literal(&mut self, literal: Reader<'_>, ignore_case: bool) -> Option<Literal> {
        let mut kind: Option<(&'static str, Field<'_>)> = None;
        self.each_field(literal, |this, field| {
            let name = match field.number {
                1 => "text",
                2 => "number",
                3 => "boolean",
                4 => "null",
                number => return this.refuse(Fault::UnknownField { message: "Literal", number }),
            };
            this.once(name, &mut kind, (name, field));
        });
        let Some((name, field)) = kind else {
            return self.refused(Fault::MissingOneOf("`text`, `number`, `boolean` and `null`"));
        };
        if name == "null" {
            let mut null = None;
            self.empty_message("null", field, &mut null, Literal::Null);
            return null;
        }
        self.within(name, None, |this| match name {
            "text" => match field.text() {
                Ok(text) => this.literal_text(text, ignore_case).map(Literal::Text),
                Err(fault) => this.refused(Fault::Wire(fault)),
            },
            "number" => match field.text() {
                Ok(text) => this.literal_number(text).map(Literal::Number),
                Err(fault) => this.refused(Fault::Wire(fault)),
            },
            _ => match field.flag() {
                Ok(value) => Some(Literal::Boolean(value)),
                Err(fault) => this.refused(Fault::Wire(fault)),
            },
        })
    }

    /// Keeps a text that values are compared with; one that is compared ignoring case is kept in lower case.
    fn literal_text(&mut self, text: &str, ignore_case: bool) -> Option<Text> {
        if self.is_over(&limits::LITERAL_BYTES, text.len() as u64) {
            return None;
        }
        if !ignore_case {
            return Some(self.keep(text));
        }
        let texts = &mut self.table.texts;
        let at = texts.len() as u32;
        fold::fold_text(text, texts);
        Some(Text { at, len: texts.len() as u32 - at })
    }

    fn literal_number(&mut self, text: &str) -> Option<u32> {
        if self.is_over(&limits::LITERAL_BYTES, text.len() as u64) {
            return None;
        }
        match Decimal::compile(text, &mut self.table.texts) {
            Some(number) => Some(push(&mut self.table.conditions.literals.decimals, number)),
            None => self.refused(Fault::NotANumber { text: text.to_owned() }),
        }
    }

    fn literals(&mut self, literals: Reader<'_>, ignore_case: bool) -> Option<(Test, Types)> {
        let first = self.table.conditions.literals.lists.len();
        let (mut count, mut about) = (0u32, Types::default());
        self.each_field(literals, |this, field| match field.number {
            1 => {
                this.within("values", Some(count), |this| match field.message() {
                    Ok(literal) => {
                        let literal = this.literal(literal, ignore_case);
                        about = literal.map_or(about, |literal| about.with(literal.types()));
                        if u64::from(count) < limits::VALUES_PER_IN.max {
                            this.table.conditions.literals.lists.extend(literal);
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
            self.table.conditions.literals.lists.truncate(first);
            return None;
        }
        let RouteTable { conditions, texts, .. } = &mut *self.table;
        let mut lists = std::mem::take(&mut conditions.literals.lists);
        let values = lists.get_mut(first..).unwrap_or_default();
        values.sort_unstable_by(|a, b| conditions.literals.order(texts, a, b));
        let test = Test::In { first: first as u32, count: values.len() as u32 };
        conditions.literals.lists = lists;
        Some((test, about))
    }

    fn wildcard(&mut self, field: Field<'_>, ignore_case: bool) -> Option<(Test, Types)> {
        let text = match field.text() {
            Ok(text) => text,
            Err(fault) => return self.refused(Fault::Wire(fault)),
        };
        if self.is_over(&limits::LITERAL_BYTES, text.len() as u64) {
            return None;
        }
        let RouteTable { conditions, texts, .. } = &mut *self.table;
        match Wildcard::compile(text, ignore_case, texts, &mut conditions.literals.needles) {
            Ok(wildcard) => Some((Test::Wildcard(push(&mut conditions.literals.wildcards, wildcard)), Types::TEXT)),
            Err(error) => self.refused(Fault::Wildcard(error)),
        }
    }

    fn range(&mut self, range: Reader<'_>) -> Option<(Test, Types)> {
        let (mut lower, mut upper) = (None, None);
        let mut complete = true;
        self.each_field(range, |this, field| {
            let (name, side, inclusive) = match field.number {
                1 => ("above", &mut lower, false),
                2 => ("at_least", &mut lower, true),
                3 => ("below", &mut upper, false),
                4 => ("at_most", &mut upper, true),
                number => return this.refuse(Fault::UnknownField { message: "Range", number }),
            };
            let literal = this.within(name, None, |this| match field.message() {
                Ok(literal) => this.literal(literal, false),
                Err(fault) => this.refused(Fault::Wire(fault)),
            });
            complete &= literal.is_some();
            if let Some(literal) = literal {
                this.once(name, side, Bound { literal, inclusive });
            }
        });
        if !complete {
            return None;
        }
        let bounds = || [lower, upper].into_iter().flatten();
        let about = bounds().fold(Types::default(), |types, bound| types.with(bound.literal.types()));
        if about == Types::default() {
            return self.refused(Fault::Missing);
        }
        if about != Types::NUMBER && about != Types::TEXT {
            return self.refused(Fault::BoundsOfTypes);
        }
        if let (Some(lower), Some(upper)) = (lower, upper) {
            let literals = &self.table.conditions.literals;
            let order = literals.order(&self.table.texts, &lower.literal, &upper.literal);
            if order == Ordering::Greater || (order == Ordering::Equal && !(lower.inclusive && upper.inclusive)) {
                return self.refused(Fault::EmptyRange);
            }
        }
        let bounds = push(&mut self.table.conditions.literals.bounds, Bounds { lower, upper });
        Some((Test::Range(bounds), about))
    }

    fn cidr(&mut self, blocks: Reader<'_>) -> Option<(Test, Types)> {
        let mut count = 0u32;
        let mut read = std::mem::take(&mut self.scratch.blocks);
        read.clear();
        self.each_field(blocks, |this, field| match field.number {
            1 => {
                this.within("blocks", Some(count), |this| match field.text().map(Block::parse) {
                    Ok(Ok(block)) if u64::from(count) < limits::VALUES_PER_IN.max => read.push(block),
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => this.refuse(Fault::Cidr(error)),
                    Err(fault) => this.refuse(Fault::Wire(fault)),
                });
                count += 1;
            }
            number => this.refuse(Fault::UnknownField { message: "Cidrs", number }),
        });
        let is_complete = read.len() == count as usize;
        let literals = &mut self.table.conditions.literals;
        let set = literals.cidr_ranges.add(read.drain(..)).filter(|_| is_complete);
        let set = set.map(|set| push(&mut literals.cidrs, set));
        self.scratch.blocks = read;
        if count == 0 {
            self.refuse_at("blocks", Fault::Missing);
            return None;
        }
        if self.is_over(&limits::VALUES_PER_IN, u64::from(count)) {
            return None;
        }
        set.map(|set| (Test::Cidr(set), Types::TEXT))
    }

    fn value_types(&mut self, message: Reader<'_>) -> Option<Types> {
        let mut types = Types::default();
        let mut count = 0u32;
        self.each_field(message, |this, field| match field.number {
            1 => {
                this.within("types", Some(count), |this| {
                    this.each_enum(field, |this, value| match value {
                        1 => types = types.with(Types::NULL),
                        2 => types = types.with(Types::BOOLEAN),
                        3 => types = types.with(Types::NUMBER),
                        4 => types = types.with(Types::TEXT),
                        5 => types = types.with(Types::OBJECT),
                        6 => types = types.with(Types::ARRAY),
                        value => this.refuse(Fault::UnknownEnum { name: "ValueType", value }),
                    });
                });
                count += 1;
            }
            number => this.refuse(Fault::UnknownField { message: "ValueTypes", number }),
        });
        if count == 0 {
            self.refuse_at("types", Fault::Missing);
        }
        Some(types)
    }
}

/// Adds to a list, and returns the place there.
fn push<T>(list: &mut Vec<T>, item: T) -> u32 {
    list.push(item);
    list.len() as u32 - 1
}
