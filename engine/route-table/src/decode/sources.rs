//! Reads sources: where their records carry type and tenant, and what their payloads are.

use super::{DESCRIPTORS, Decoder};
use crate::compile::{Scratch, hash_text, plan_for};
use crate::fault::Fault;
use crate::fields::FieldIndex;
use crate::limits;
use crate::protobuf::framing::Framing;
use crate::protobuf::{Descriptors, MessageId};
use crate::source::{Origin, PayloadRule, SourceRule};
use crate::table::Text;
use crate::wire::{Field, Reader};

impl Decoder<'_> {
    /// The rule of topics that the map does not name.
    pub(super) fn default_source(&mut self) -> SourceRule {
        let rule = SourceRule {
            event_type: Origin::Header(self.keep("ce_type")),
            tenant: Origin::Header(self.keep("ce_tenant")),
            payload: PayloadRule::Json { full: false },
            origins: None,
        };
        self.table.sources.push(rule);
        rule
    }

    /// Reads the types of protobuf payloads. That they are given once is known from the first walk.
    pub(super) fn descriptors(&mut self, map: Reader<'_>) {
        let mut set = None;
        self.each_field(map, |_, field| {
            if field.number == DESCRIPTORS {
                set = field.message().ok();
            }
        });
        if let Some(set) = set {
            self.within("descriptors", None, |this| this.descriptor_set(set));
        }
    }

    fn descriptor_set(&mut self, set: Reader<'_>) {
        if self.is_over(&limits::DESCRIPTOR_BYTES, set.rest().1.len() as u64) {
            return;
        }
        match Descriptors::read(set) {
            Ok(descriptors) => self.scratch.messages.descriptors = descriptors,
            Err(bad) => self.refuse(Fault::Descriptors(bad)),
        }
    }

    pub(super) fn source(&mut self, source: Reader<'_>, default: SourceRule) {
        let (mut topic, mut event_type, mut tenant, mut payload) = (None, None, None, None);
        self.each_field(source, |this, field| match field.number {
            1 => this.text("topic", &mut topic, field),
            2 => this.message("event_type", &mut event_type, field),
            3 => this.message("tenant", &mut tenant, field),
            4 => this.message("payload", &mut payload, field),
            number => this.refuse(Fault::UnknownField { message: "Source", number }),
        });
        let mut rule = default;
        if let Some(payload) = payload {
            rule.payload = self.within("payload", None, |this| this.payload(payload)).unwrap_or(rule.payload);
        }
        self.note_messages(rule.payload);
        if let Some(origin) = event_type {
            self.within("event_type", None, |this| {
                this.origin(origin, &mut rule.event_type);
                // It would make a dead letter of every record; as a tenant it means none, which is of use.
                if matches!(rule.event_type, Origin::Constant(text) if text.len == 0) {
                    this.refuse_at("constant", Fault::Missing);
                }
            });
        }
        if let Some(origin) = tenant {
            self.within("tenant", None, |this| this.origin(origin, &mut rule.tenant));
        }
        self.origins(&mut rule);
        self.table.sources.push(rule);
        let topic = topic.unwrap_or_default();
        self.within("topic", None, |this| this.topic_name(topic));
        let text = self.note(topic);
        let Scratch { source_topics, source_topic_texts, texts, .. } = &mut *self.scratch;
        let same =
            |index: u32| source_topic_texts.get(index as usize).is_some_and(|text: &Text| text.of(texts) == topic);
        let known = source_topics.find_or_add(hash_text(topic), source_topic_texts.len(), same);
        source_topic_texts.push(text);
        self.refuse_taken("topic", "source topic", topic, known);
    }

    fn origin(&mut self, origin: Reader<'_>, rule: &mut Origin) {
        let (mut kind, mut given) = (None, false);
        self.each_field(origin, |this, field| {
            given = true;
            match field.number {
                1 => {
                    let mut name = None;
                    this.text("header", &mut name, field);
                    this.required("header", name);
                    let name = this.keep(name.unwrap_or_default());
                    this.once("header", &mut kind, Origin::Header(name));
                }
                2 => this.within("part", None, |this| match field.number_value() {
                    Ok(1) => this.once("part", &mut kind, Origin::Key),
                    Ok(2) => this.once("part", &mut kind, Origin::Topic),
                    Ok(part @ (3 | 4)) => this.refuse(Fault::PartNotAllowed {
                        part: if part == 3 { "the event type" } else { "the tenant" },
                        instead: "it is what this field finds; name a header, KEY, TOPIC or a constant",
                    }),
                    Ok(value) => this.refuse(Fault::UnknownEnum { name: "RecordPart", value }),
                    Err(fault) => this.refuse(Fault::Wire(fault)),
                }),
                3 => {
                    let mut text = None;
                    this.text("constant", &mut text, field);
                    let text = this.keep(text.unwrap_or_default());
                    this.once("constant", &mut kind, Origin::Constant(text));
                }
                4 => {
                    if let Some(field) = this.origin_field(field) {
                        this.once("field", &mut kind, Origin::Field(field));
                    }
                }
                number => this.refuse(Fault::UnknownField { message: "Origin", number }),
            }
        });
        match kind {
            Some(kind) => *rule = kind,
            None if given => {}
            None => self.refuse(Fault::Missing),
        }
    }

    fn origin_field(&mut self, field: Field<'_>) -> Option<FieldIndex> {
        let field = self.payload_field(field)?;
        if self.table.fields.is_through_arrays(field) {
            self.refuse_at("field", Fault::OriginThroughArrays);
        }
        Some(field)
    }

    /// Makes a plan for what of type and tenant is in the payload.
    fn origins(&mut self, rule: &mut SourceRule) {
        let mut wished = Vec::new();
        for (name, origin) in [("event_type", rule.event_type), ("tenant", rule.tenant)] {
            let Origin::Field(field) = origin else { continue };
            wished.push(field);
            self.within(name, None, |this| match rule.payload {
                PayloadRule::Protobuf { message, .. } => {
                    this.within("field", None, |this| this.place(field, &[message]))
                }
                PayloadRule::Nothing => this.refuse_at("field", Fault::FieldOfNoPayload),
                PayloadRule::Json { .. } | PayloadRule::CloudEvents { .. } => {}
            });
        }
        if !wished.is_empty() {
            wished.sort_unstable();
            wished.dedup();
            rule.origins = Some(plan_for(self.table, &mut self.scratch.plans, &wished));
        }
    }

    fn payload(&mut self, payload: Reader<'_>) -> Option<PayloadRule> {
        let (mut kind, mut rule, mut none) = (None, None, None);
        self.each_field(payload, |this, field| {
            let name = match field.number {
                1 => "json",
                2 => "protobuf",
                3 => "cloud_events",
                4 => return this.empty_message("none", field, &mut none, PayloadRule::Nothing),
                number => return this.refuse(Fault::UnknownField { message: "Payload", number }),
            };
            this.message(name, &mut kind, field);
            if let Some(message) = kind {
                rule = this.within(name, None, |this| match name {
                    "json" => this.json_payload(message),
                    "protobuf" => this.protobuf_payload(message),
                    _ => this.cloud_events(message),
                });
            }
        });
        match (kind, none) {
            (None, None) => self.refuse(Fault::Missing),
            (Some(_), Some(_)) => self.refuse_at("none", Fault::GivenTwice),
            _ => {}
        }
        rule.or(none)
    }

    fn json_payload(&mut self, json: Reader<'_>) -> Option<PayloadRule> {
        let mut validation = None;
        self.each_field(json, |this, field| match field.number {
            1 => this.number("validation", &mut validation, field),
            number => this.refuse(Fault::UnknownField { message: "Json", number }),
        });
        Some(PayloadRule::Json { full: self.is_full(validation) })
    }

    fn protobuf_payload(&mut self, protobuf: Reader<'_>) -> Option<PayloadRule> {
        let (mut name, mut framing, mut validation) = (None, None, None);
        self.each_field(protobuf, |this, field| match field.number {
            1 => this.text("message", &mut name, field),
            2 => this.number("framing", &mut framing, field),
            3 => this.number("validation", &mut validation, field),
            number => this.refuse(Fault::UnknownField { message: "ProtobufMessage", number }),
        });
        let full = self.is_full(validation);
        let framing = match framing {
            None | Some(0 | 1) => Framing::Plain,
            Some(2) => Framing::LengthDelimited,
            Some(3) => Framing::SchemaRegistry,
            Some(value) => {
                self.refuse_at("framing", Fault::UnknownEnum { name: "Framing", value });
                Framing::Plain
            }
        };
        if !self.required("message", name) {
            return None;
        }
        let message = self.within("message", None, |this| this.message_type(name.unwrap_or_default()))?;
        if full {
            self.table.schema.add(&self.scratch.messages.descriptors, message);
        }
        Some(PayloadRule::Protobuf { message, framing, full })
    }

    fn message_type(&mut self, name: &str) -> Option<MessageId> {
        let descriptors = &self.scratch.messages.descriptors;
        let found = descriptors.message(name);
        if found.is_none() {
            let near = crate::cel::nearest(name, descriptors.message_names()).map(str::to_owned);
            self.refuse(Fault::UnknownMessage { name: name.to_owned(), near });
        }
        found
    }

    fn cloud_events(&mut self, cloud_events: Reader<'_>) -> Option<PayloadRule> {
        let (mut mode, mut validation) = (None, None);
        self.each_field(cloud_events, |this, field| match field.number {
            1 => this.number("mode", &mut mode, field),
            2 => this.number("validation", &mut validation, field),
            number => this.refuse(Fault::UnknownField { message: "CloudEvents", number }),
        });
        if let Some(value) = mode.filter(|mode| *mode > 1) {
            self.refuse_at("mode", Fault::UnknownEnum { name: "CloudEventsMode", value });
        }
        Some(PayloadRule::CloudEvents { always_structured: mode == Some(1), full: self.is_full(validation) })
    }

    fn is_full(&mut self, validation: Option<u64>) -> bool {
        if let Some(value) = validation.filter(|value| *value > 2) {
            self.refuse_at("validation", Fault::UnknownEnum { name: "Validation", value });
        }
        validation == Some(2)
    }
}
