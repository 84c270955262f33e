//! Makes the topics that destinations with placeholders stand for.
//!
//! Done when everything else was read: what tenants there are is known then, and whether `otherwise` names a destination. How many topics it
//! will be was counted before.

use super::Decoder;
use super::destinations::{Draft, is_topic};
use crate::compile::{Scratch, plan_for};
use crate::condition::range;
use crate::fault::{Fault, Refused};
use crate::key_index;
use crate::predicate::Attribute;
use crate::table::{DestinationIndex, DestinationRow};
use crate::template::{Placeholder, Template};
use std::ops::Range;

/// How much of a topic is told that can't be one; Kafka takes 249.
const CHARACTERS_TOLD: usize = 300;

impl Decoder<'_> {
    /// Makes the topics of all templates, when everything else was read.
    pub(super) fn templates(&mut self) {
        if self.table.templates.rows.is_empty() {
            return;
        }
        for number in 0..self.table.templates.rows.len() {
            let Some(template) = self.table.templates.rows.get(number).copied() else { break };
            let Some(draft) = self.scratch.templates.drafts.get(number).copied() else { break };
            self.within("destinations", Some(template.place), |this| {
                this.within("kafka", None, |this| {
                    let otherwise = this.otherwise(draft);
                    let first_row = this.table.destinations.len() as u32;
                    if let Some(template) = this.table.templates.rows.get_mut(number) {
                        (template.otherwise, template.first_row) = (otherwise, first_row);
                    }
                    this.topics_of(&template, draft);
                });
            });
        }
        self.template_plan();
        let templates = &mut self.table.templates;
        let allowed = &self.scratch.templates.allowed;
        templates.values.reset(allowed.len());
        templates.values.insert_all(allowed.iter().map(|value| key_index::Key {
            hash: value.hash,
            space: value.placeholder,
            text: value.text.bytes_of(&self.scratch.texts),
            payload: [value.place, 0, 0],
        }));
    }

    fn otherwise(&mut self, draft: Draft) -> Option<DestinationIndex> {
        let id = draft.otherwise?.of(&self.scratch.texts);
        let fault = match self.destination_of(id) {
            None => self.unknown_destination(id),
            Some(to) if to.template().is_some() => Fault::OtherwiseWithPlaceholders { id: id.to_owned() },
            to => return to,
        };
        self.refused_at("otherwise", fault)
    }

    /// Makes the topics of one template: all combinations of its placeholders' values.
    fn topics_of(&mut self, template: &Template, draft: Draft) {
        let placeholders = range(template.first_placeholder, template.placeholders);
        let own = self.table.templates.placeholders.get(placeholders.clone()).unwrap_or_default();
        // What is wrong with tenants is told of them, not of each topic that comes of it.
        if own.iter().any(|own| own.of_tenants) && !self.scratch.reasons.is_empty() {
            return;
        }
        let topics = own.iter().fold(1u32, |topics, own| topics.saturating_mul(own.values));
        let mut topic = std::mem::take(&mut self.scratch.templates.topic);
        for number in 0..topics {
            topic.clear();
            for piece in self.scratch.templates.pieces.get(range(draft.first_piece, draft.pieces)).unwrap_or_default() {
                topic.push_str(piece.text.of(&self.table.texts));
                if let Some(placeholder) = piece.placeholder {
                    topic.push_str(self.value_of(placeholders.clone(), placeholder as usize, number));
                }
            }
            if is_topic(&topic) {
                let topic = self.keep(&topic);
                self.topic_row(DestinationRow { id: template.id, topic, place: template.place });
                continue;
            }
            self.refuse_at("topic", Fault::InvalidTopic { topic: topic.chars().take(CHARACTERS_TOLD).collect() });
            // They can be many, and each of them as long as 100 values.
            if self.scratch.reasons.count() >= Refused::REASONS_MAX {
                break;
            }
        }
        self.scratch.templates.topic = topic;
    }

    /// The value that the topic of this number has for one of a template's placeholders: of the last one they change with each topic.
    fn value_of(&self, placeholders: Range<usize>, placeholder: usize, number: u32) -> &str {
        let Scratch { templates, tenant_ids, texts, .. } = &*self.scratch;
        let own = self.table.templates.placeholders.get(placeholders.clone()).unwrap_or_default();
        let Some((row, behind)) = own.get(placeholder..).and_then(<[_]>::split_first) else { return "" };
        let digit = behind.iter().fold(number, |number, own| number / own.values.max(1)) % row.values.max(1);
        let first = templates.first_allowed.get(placeholders.start + placeholder).copied().unwrap_or_default();
        let value = match row.of_tenants {
            true => tenant_ids.get(digit as usize).copied(),
            false => templates.allowed.get((first + digit) as usize).map(|value| value.text),
        };
        value.unwrap_or_default().of(texts)
    }

    /// Makes a plan for all fields of the payload that placeholders stand for.
    fn template_plan(&mut self) {
        let Scratch { wished, plans, .. } = &mut *self.scratch;
        let field_of = |placeholder: &Placeholder| match placeholder.attribute {
            Attribute::Field(field) => Some(field),
            _ => None,
        };
        wished.clear();
        wished.extend(self.table.templates.placeholders.iter().filter_map(field_of));
        if wished.is_empty() {
            return;
        }
        wished.sort_unstable();
        wished.dedup();
        self.table.templates.plan = Some(plan_for(self.table, plans, wished));
        for placeholder in &mut self.table.templates.placeholders {
            if let Some(field) = field_of(placeholder) {
                placeholder.number = wished.binary_search(&field).unwrap_or(usize::MAX) as u32;
            }
        }
    }
}
