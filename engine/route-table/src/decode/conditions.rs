//! Reads conditions: trees into nodes in preorder, and beside them which fields of the payload each tree asks for.

use super::Decoder;
use crate::compile::{Scratch, plan_for};
use crate::condition::{AnyElement, ConditionIndex, Node, NodeKind, Over, Truth};
use crate::fault::Fault;
use crate::fields::{FieldIndex, PlanIndex};
use crate::limits;
use crate::lookups::LookupPlace;
use crate::predicate::{Attribute, ElementPlace};
use crate::table::Written;
use crate::wire::{Field, Reader};
use crate::{cel, event_pattern};
use prost::Message as _;
use veltrix_proto::v1;

/// The kinds of conditions.
const CONDITIONS: &str = "`cel`, `event_pattern`, `predicate`, `all`, `any`, `not` and `any_element`";

/// A field that a tree asks for, and of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// 0: of the payload; else of the elements of the `any_element` that stands in so many, itself counted.
    depth: u32,
    field: FieldIndex,
}

/// What an `any_element` that is being read says so far.
#[derive(Default)]
struct AnyElementFields<'a> {
    over: Option<Over>,
    /// One was given; it need not have been usable.
    placed: bool,
    condition: Option<Reader<'a>>,
    on_missing: Option<u64>,
    on_other_type: Option<u64>,
}

impl Decoder<'_> {
    /// Reads a route's condition, and says how it was written.
    pub(super) fn when(&mut self, when: Reader<'_>) -> (ConditionIndex, Written) {
        let mut first = when;
        let written = match first.next() {
            Some(Ok(Field { number: 6, .. })) => Written::Cel,
            Some(Ok(Field { number: 7, .. })) => Written::EventPattern,
            _ => Written::Tree,
        };
        self.condition_nodes = 0;
        self.asks_lookup = false;
        let root = self.table.conditions.nodes.len();
        self.condition(when, 1);
        let observed = self.condition_nodes;
        self.is_over(&limits::CONDITION_NODES_PER_ROUTE, observed);
        if let Some(plan) = self.plan_of(0) {
            let nodes = &mut self.table.conditions.nodes;
            nodes.insert(root, Node { kind: NodeKind::Payload(plan), end: 0 });
            let end = nodes.len() as u32;
            let (first, tree) = nodes.split_at_mut(root + 1);
            tree.iter_mut().for_each(|node| node.end += 1);
            first.iter_mut().skip(root).for_each(|node| node.end = end);
        }
        self.places(root);
        let root = ConditionIndex(root as u32);
        if self.asks_lookup {
            self.table.lookups.trees.push(root);
        }
        (root, written)
    }

    /// Reads a tree. Every call leaves one whole subtree, or has the map refused.
    fn condition(&mut self, condition: Reader<'_>, depth: u64) {
        self.condition_nodes += 1;
        self.table.usage.condition_nodes += 1;
        // Both limits are spoken of once, where all nodes are counted.
        let too_many = self.condition_nodes > limits::CONDITION_NODES_PER_ROUTE.max
            || self.table.usage.condition_nodes > limits::CONDITION_NODES.max;
        if too_many || self.is_over(&limits::CONDITION_DEPTH, depth) {
            return;
        }
        let mut kind: Option<(&'static str, Field<'_>)> = None;
        self.each_field(condition, |this, field| {
            let name = match field.number {
                1 => "predicate",
                2 => "all",
                3 => "any",
                4 => "not",
                5 => "any_element",
                6 => "cel",
                7 => "event_pattern",
                number => return this.refuse(Fault::UnknownField { message: "Condition", number }),
            };
            this.once(name, &mut kind, (name, field));
        });
        let Some((name, field)) = kind else { return self.refuse(Fault::MissingOneOf(CONDITIONS)) };
        self.within(name, None, |this| match name {
            "cel" | "event_pattern" => this.condition_text(name, field, depth),
            _ => match field.message() {
                Ok(reader) => this.condition_kind(name, reader, depth),
                Err(fault) => this.refuse(Fault::Wire(fault)),
            },
        });
    }

    fn condition_kind(&mut self, name: &'static str, reader: Reader<'_>, depth: u64) {
        match name {
            "predicate" => self.predicate(reader),
            "all" => self.conditions(NodeKind::All, reader, depth),
            "any" => self.conditions(NodeKind::Any, reader, depth),
            "any_element" => self.any_element(reader, depth),
            _ => self.subtree(NodeKind::Not, |this| this.condition(reader, depth + 1)),
        }
    }

    /// Reads a text as the tree that it stands for.
    fn condition_text(&mut self, language: &'static str, field: Field<'_>, depth: u64) {
        let text = match field.text() {
            Ok(text) => text,
            Err(fault) => return self.refuse(Fault::Wire(fault)),
        };
        let tree: Result<v1::Condition, String> = match language {
            "cel" => cel::parse(text, &self.scratch.messages.scope()).map_err(|error| error.to_string()),
            _ => event_pattern::parse(text).map_err(|error| error.to_string()),
        };
        match tree {
            Ok(tree) => {
                let bytes = tree.encode_to_vec();
                let is_map = std::mem::replace(&mut self.is_map, false);
                // The node that the text stands for was counted.
                self.condition_nodes -= 1;
                self.table.usage.condition_nodes -= 1;
                self.condition(Reader::new(&bytes), depth);
                self.is_map = is_map;
            }
            Err(error) => self.refuse(Fault::Text { language, error }),
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

    pub(super) fn subtree(&mut self, kind: NodeKind, children: impl FnOnce(&mut Self)) {
        let at = self.table.conditions.nodes.len();
        self.table.conditions.nodes.push(Node { kind, end: 0 });
        children(self);
        let end = self.table.conditions.nodes.len() as u32;
        if let Some(node) = self.table.conditions.nodes.get_mut(at) {
            node.end = end;
        }
    }

    fn any_element(&mut self, any: Reader<'_>, depth: u64) {
        let mut fields = AnyElementFields::default();
        self.each_field(any, |this, field| match field.number {
            1 | 2 => {
                if std::mem::replace(&mut fields.placed, true) {
                    return this.refuse_at("over", Fault::GivenTwice);
                }
                fields.over = match field.number {
                    1 => this.payload_field(field).map(Over::Field),
                    _ => this.element(field).map(Over::Element),
                };
            }
            3 => this.message("condition", &mut fields.condition, field),
            4 => this.number("on_missing", &mut fields.on_missing, field),
            5 => this.number("on_other_type", &mut fields.on_other_type, field),
            number => this.refuse(Fault::UnknownField { message: "AnyElement", number }),
        });
        if !fields.placed {
            self.refuse_at("over", Fault::MissingOneOf("`field` and `element`"));
        }
        let on_missing = self.truth("on_missing", "OnMissing", fields.on_missing);
        let on_other_type = self.truth("on_other_type", "OnOtherType", fields.on_other_type);
        let over = fields.over.unwrap_or(Over::Field(FieldIndex::ITSELF));
        if matches!(over, Over::Field(field) if self.table.fields.is_through_arrays(field))
            && fields.on_other_type.is_some_and(|value| value != 0)
        {
            self.refuse_at("on_other_type", Fault::OnOtherTypeThroughArrays);
        }
        match over {
            Over::Field(field) => self.wish(Attribute::Field(field)),
            Over::Element(place) => self.wish(Attribute::Element(place)),
        }
        self.element_depth += 1;
        if !self.is_over(&limits::ELEMENT_DEPTH, u64::from(self.element_depth)) {
            let table = &mut self.table.conditions;
            table.element_depth = table.element_depth.max(self.element_depth);
            let index = table.any_elements.len();
            table.any_elements.push(AnyElement { over, plan: None, on_missing, on_other_type });
            self.subtree(NodeKind::AnyElement(index as u32), |this| match fields.condition {
                Some(condition) => this.within("condition", None, |this| this.condition(condition, depth + 1)),
                None => this.refuse_at("condition", Fault::Missing),
            });
            let plan = self.plan_of(self.element_depth);
            if let Some(any) = self.table.conditions.any_elements.get_mut(index) {
                any.plan = plan;
            }
        }
        self.element_depth -= 1;
    }

    /// Notes that the tree that is being read asks for `attribute`.
    pub(super) fn wish(&mut self, attribute: Attribute) {
        let (depth, field) = match attribute {
            Attribute::Field(field) => (0, field),
            Attribute::Element(ElementPlace { outwards, field, .. }) => {
                match self.element_depth.checked_sub(outwards) {
                    None | Some(0) => return self.refuse_at("element", Fault::NoSuchElement { outwards }),
                    Some(depth) => (depth, field),
                }
            }
            // The tree has to find the key before it can say that it needs an answer.
            Attribute::Lookup(LookupPlace { lookup, .. }) => {
                self.asks_lookup = true;
                match self.table.lookups.key(lookup) {
                    Some(Attribute::Field(field)) => (0, field),
                    _ => return,
                }
            }
            _ => return,
        };
        if field != FieldIndex::ITSELF {
            self.scratch.wishes.push(Wish { depth, field });
        }
    }

    /// The plan for all fields that are wished for at `depth`. `None`: there are none.
    fn plan_of(&mut self, depth: u32) -> Option<PlanIndex> {
        let Scratch { wishes, wished, plans, .. } = &mut *self.scratch;
        wished.clear();
        wished.extend(wishes.iter().filter(|wish| wish.depth == depth).map(|wish| wish.field));
        if wished.is_empty() {
            return None;
        }
        wishes.retain(|wish| wish.depth != depth);
        wished.sort_unstable();
        wished.dedup();
        Some(plan_for(self.table, plans, wished))
    }

    /// What a field says that is an `OnMissing` or an `OnOtherType`.
    pub(super) fn truth(&mut self, field: &'static str, name: &'static str, value: Option<u64>) -> Truth {
        match value {
            None | Some(0 | 1) => Truth::False,
            Some(2) => Truth::True,
            Some(3) => Truth::Absent,
            Some(value) => {
                self.refuse_at(field, Fault::UnknownEnum { name, value });
                Truth::False
            }
        }
    }
}
