//! What conditions ask for, which is what they cost.

use crate::condition::{ConditionIndex, NodeKind, Over};
use crate::fields::FieldIndex;
use crate::predicate::Attribute;
use crate::table::RouteTable;
use std::collections::BTreeSet;

/// What a condition asks for.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) tests_written: usize,
    pub(super) tests: BTreeSet<u32>,
    pub(super) fields: BTreeSet<FieldIndex>,
    pub(super) any_elements: usize,
}

impl Asked {
    pub(super) fn of(table: &RouteTable, condition: ConditionIndex) -> Asked {
        let mut asked = Asked::default();
        let ConditionIndex(root) = condition;
        let Some(end) = table.conditions.node(root).map(|node| node.end) else { return asked };
        for node in (root..end).filter_map(|at| table.conditions.node(at)) {
            match node.kind {
                NodeKind::Predicate(index) => {
                    asked.tests_written += 1;
                    asked.tests.insert(index);
                    let attribute = table.conditions.predicates.get(index as usize).map(|known| known.attribute);
                    if let Some(Attribute::Field(field)) = attribute {
                        asked.fields.insert(field);
                    }
                }
                NodeKind::AnyElement(index) => {
                    asked.any_elements += 1;
                    let over = table.conditions.any_elements.get(index as usize).map(|any| any.over);
                    if let Some(Over::Field(field)) = over {
                        asked.fields.insert(field);
                    }
                }
                _ => {}
            }
        }
        asked
    }
}
