//! Whether what conditions name is in the messages that they are about, and of which messages the elements are that they go over.

use super::Decoder;
use crate::cel::nearest;
use crate::condition::{NodeKind, Over};
use crate::fault::Fault;
use crate::fields::FieldIndex;
use crate::predicate::Attribute;
use crate::protobuf::{MessageId, Resolved};
use crate::source::PayloadRule;

/// The types that the payload, or an element, can be of; `None` if nothing is known of them.
type Types = Option<Vec<MessageId>>;

impl Decoder<'_> {
    /// Takes note of what a source's payloads are.
    pub(super) fn note_messages(&mut self, payload: PayloadRule) {
        let messages = &mut self.scratch.messages;
        match payload {
            PayloadRule::Protobuf { message, .. } if messages.of_sources.contains(&message) => {}
            PayloadRule::Protobuf { message, .. } => messages.of_sources.push(message),
            PayloadRule::Json { .. } => messages.has_others = true,
            PayloadRule::CloudEvents { .. } => (messages.has_others, messages.has_envelopes) = (true, true),
            PayloadRule::Nothing => {}
        }
    }

    /// Lets CEL texts be checked against the message that all payloads are.
    pub(super) fn know_messages(&mut self) {
        let messages = &mut self.scratch.messages;
        if let ([message], false) = (messages.of_sources.as_slice(), messages.has_others) {
            let (types, ids) = messages.descriptors.types();
            messages.scope = ids.get(usize::from(message.0)).map(|id| (types, *id));
        }
    }

    /// Looks for all places that a condition names in the messages of the sources.
    pub(super) fn places(&mut self, root: usize) {
        if !self.scratch.messages.of_sources.is_empty() {
            let mut scopes = vec![Some(self.scratch.messages.of_sources.clone())];
            self.places_of_node(root as u32, &mut scopes);
        }
    }

    /// Returns one past the node's last one.
    fn places_of_node(&mut self, at: u32, scopes: &mut Vec<Types>) -> u32 {
        let Some(node) = self.table.conditions.node(at) else { return u32::MAX };
        match node.kind {
            NodeKind::Predicate(index) => {
                match self.table.conditions.predicates.get(index as usize).map(|predicate| predicate.attribute) {
                    Some(Attribute::Field(field)) => self.place_in(field, scopes.first().cloned().flatten()),
                    Some(Attribute::Element(place)) => {
                        self.place_in(place.field, scope_at(scopes, place.outwards));
                    }
                    _ => {}
                }
                return node.end;
            }
            NodeKind::AnyElement(index) => {
                let types = self.element_types(index, scopes);
                scopes.push(types);
            }
            NodeKind::All | NodeKind::Any | NodeKind::Not | NodeKind::Payload(_) => {}
        }
        let mut child = at + 1;
        while child < node.end {
            child = self.places_of_node(child, scopes);
        }
        if matches!(node.kind, NodeKind::AnyElement(_)) {
            scopes.pop();
        }
        node.end
    }

    /// The types of the elements that an `any_element` goes over; its plan is needed for them.
    fn element_types(&mut self, index: u32, scopes: &[Types]) -> Types {
        let any = *self.table.conditions.any_elements.get(index as usize)?;
        let (field, scope) = match any.over {
            Over::Field(field) => (field, scopes.first().cloned().flatten()),
            Over::Element(place) => (place.field, scope_at(scopes, place.outwards)),
        };
        let scope = scope?;
        // An element of a message's list is no list.
        if field == FieldIndex::ITSELF {
            return Some(Vec::new());
        }
        self.place_in(field, Some(scope.clone()));
        let names = self.table.fields.full_name(&self.table.texts, field);
        let descriptors = &self.scratch.messages.descriptors;
        let resolved = scope.into_iter().map(|message| descriptors.resolve(message, &names));
        let found: Vec<_> = resolved.filter_map(Result::ok).collect();
        if found.is_empty() {
            return None;
        }
        let mut types: Vec<MessageId> = found.into_iter().filter_map(|resolved| resolved.message).collect();
        types.sort_unstable();
        types.dedup();
        if let Some(plan) = any.plan {
            let of_elements = &mut self.scratch.messages.of_elements;
            of_elements.extend(types.iter().map(|message| (plan, *message)));
        }
        Some(types)
    }

    /// Refuses a place that no payload can have.
    pub(super) fn place_in_payload(&mut self, field: FieldIndex) {
        let messages = &self.scratch.messages.of_sources;
        let scope = (!messages.is_empty()).then(|| messages.clone());
        self.place_in(field, scope);
    }

    fn place_in(&mut self, field: FieldIndex, scope: Types) {
        if let Some(scope) = scope
            && field != FieldIndex::ITSELF
            && !self.scratch.messages.has_others
        {
            self.place(field, &scope);
        }
    }

    /// Refuses a place that none of some messages has.
    pub(super) fn place(&mut self, field: FieldIndex, messages: &[MessageId]) {
        let names = self.table.fields.full_name(&self.table.texts, field);
        let descriptors = &self.scratch.messages.descriptors;
        let mut missing = None;
        for message in messages {
            match descriptors.resolve(*message, &names) {
                Ok(Resolved { .. }) => return,
                Err(lacking) => missing = missing.or(Some(lacking)),
            }
        }
        let fault = match missing {
            Some((message, name)) => Fault::UnknownPlace {
                place: names.join("."),
                name: name.to_owned(),
                of: message.map_or_else(String::new, |message| descriptors.name_of(message).to_owned()),
                near: message.and_then(|message| nearest(name, descriptors.names_of(message)).map(str::to_owned)),
            },
            None => {
                Fault::UnknownPlace { name: names.join("."), place: names.join("."), of: String::new(), near: None }
            }
        };
        self.refuse(fault);
    }
}

fn scope_at(scopes: &[Types], outwards: u32) -> Types {
    // The first one is the payload's.
    let at = scopes.len().checked_sub(outwards as usize + 1).filter(|at| *at > 0)?;
    scopes.get(at).cloned().flatten()
}
