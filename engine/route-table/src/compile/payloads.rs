//! Plans for payloads that are not plain JSON: messages, and the envelopes of CloudEvents.

use super::{Scratch, intern_field, plan_for};
use crate::cel::{self, MessageTypes, Scope};
use crate::condition::NodeKind;
use crate::fault::Fault;
use crate::fields::{FieldIndex, PlanIndex};
use crate::limits;
use crate::protobuf::{Descriptors, MessageId};
use crate::source::{Origin, PayloadRule};
use crate::table::{RouteTable, Text};
use crate::whole::READS_MAX;
use std::collections::BTreeSet;

/// The messages that the payloads of a map's sources are.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pub(crate) descriptors: Descriptors,
    /// Each once.
    pub(crate) of_sources: Vec<MessageId>,
    /// Those of elements, and by which plan they are read.
    pub(crate) of_elements: BTreeSet<(PlanIndex, MessageId)>,
    /// Some sources have payloads that are no messages.
    pub(crate) has_others: bool,
    pub(crate) has_envelopes: bool,
    /// What CEL texts are checked against: the message that all payloads are, if it is one.
    pub(crate) scope: Option<(MessageTypes, cel::MessageId)>,
}

impl Messages {
    /// What names in a CEL text mean.
    pub(crate) fn scope(&self) -> Scope<'_> {
        match &self.scope {
            Some((types, message)) => Scope::message(types, *message),
            None => Scope::record(),
        }
    }
}

/// Makes a plan for all that groups and conditions ask of payloads, if they are more than read each event by themselves.
pub(super) fn plan_whole(table: &mut RouteTable, scratch: &mut Scratch) {
    // What is asked of elements is not asked of the payload.
    let nodes = table.groups.nodes_of_elements.map_or(table.conditions.nodes.len(), |first| first as usize);
    let of_conditions = table.conditions.nodes.iter().take(nodes).filter_map(|node| match node.kind {
        NodeKind::Payload(plan) => Some(plan),
        _ => None,
    });
    let of_groups = table.groups.rows.iter().filter(|group| !group.is_of_elements);
    let plans = &mut scratch.asked_plans;
    plans.clear();
    let mut reads = 0;
    for plan in of_groups.filter_map(|group| group.plan).chain(of_conditions) {
        reads += 1;
        // Most conditions ask what the one before them asks.
        if plans.last() != Some(&plan) {
            plans.push(plan);
        }
    }
    if reads <= READS_MAX {
        return;
    }
    plans.sort_unstable();
    plans.dedup();
    let wished = &mut scratch.wished;
    wished.clear();
    wished.extend(plans.iter().flat_map(|plan| table.fields.of_plan(*plan)));
    wished.sort_unstable();
    wished.dedup();
    table.fields.whole = Some(plan_for(table, &mut scratch.plans, wished));
}

/// Makes all plans anew for all messages that they can be asked of.
pub(super) fn plan_messages(table: &mut RouteTable, messages: &Messages) -> Result<(), Fault> {
    if messages.of_sources.is_empty() {
        return Ok(());
    }
    let RouteTable { fields, conditions, groups, templates, sources, texts, .. } = table;
    let of_conditions = conditions.nodes.iter().filter_map(|node| match node.kind {
        NodeKind::Payload(plan) => Some(plan),
        _ => None,
    });
    let of_groups = groups.rows.iter().filter_map(|group| group.plan);
    let of_payloads: BTreeSet<PlanIndex> =
        of_conditions.chain(of_groups).chain(templates.plan).chain(fields.whole).collect();
    let of_origins = sources.iter().filter_map(|rule| match rule.payload {
        PayloadRule::Protobuf { message, .. } => Some((rule.origins?, message)),
        _ => None,
    });
    let of_payloads = of_payloads.iter().flat_map(|plan| messages.of_sources.iter().map(|message| (*plan, *message)));
    for (plan, message) in of_payloads.chain(of_origins).chain(messages.of_elements.iter().copied()) {
        fields.plan_message(texts, &messages.descriptors, plan, message);
        let (limit, observed) = (&limits::PROTOBUF_PLACES, fields.protobuf_places() as u64);
        if observed > limit.max {
            return Err(Fault::OverLimit { limit, observed });
        }
    }
    Ok(())
}

/// Makes a plan for all attributes of envelopes that somebody asks for by the names that their headers have in binary mode.
pub(super) fn plan_envelopes(table: &mut RouteTable, scratch: &mut Scratch) {
    if !scratch.messages.has_envelopes {
        return;
    }
    let is_envelope = |payload| matches!(payload, PayloadRule::CloudEvents { .. });
    let rules = table.sources.iter().filter(|rule| is_envelope(rule.payload));
    let of_origins = rules.flat_map(|rule| [rule.event_type, rule.tenant]).filter_map(|origin| match origin {
        Origin::Header(name) => Some(name),
        _ => None,
    });
    let headers: Vec<Text> = of_origins.chain(table.conditions.header_names.iter().copied()).collect();
    let mut field_of = |table: &mut RouteTable, name: Text| {
        let first_name = table.fields.names.len();
        table.fields.names.push(name);
        intern_field(table, &mut scratch.fields, first_name, false, 0).unwrap_or_else(|new| new)
    };
    let mut attributes: Vec<(Text, FieldIndex)> = Vec::new();
    for header in headers {
        let Some(name) = header.of(&table.texts).strip_prefix("ce_") else { continue };
        let name = Text { at: header.at + 3, len: name.len() as u32 };
        attributes.push((name, field_of(table, name)));
    }
    attributes.sort_unstable_by_key(|(_, field)| *field);
    attributes.dedup_by_key(|(_, field)| *field);
    let data = Text { at: table.texts.len() as u32, len: 4 };
    table.texts.push_str("data");
    let data = field_of(table, data);
    let mut wished: Vec<FieldIndex> = attributes.iter().map(|(_, field)| *field).chain([data]).collect();
    wished.sort_unstable();
    wished.dedup();
    let number_of = |field: FieldIndex| wished.binary_search(&field).unwrap_or(usize::MAX) as u32;
    table.envelope.attributes.extend(attributes.iter().map(|(name, field)| (*name, number_of(*field))));
    table.envelope.data = number_of(data);
    table.envelope.plan = Some(plan_for(table, &mut scratch.plans, &wished));
}
