//! Sends again, each record alone, what Kafka has refused together with others.
//!
//! A broker takes all records of a batch or none: one event without a key refuses everything that goes to a compacted topic with it,
//! and a batch that is larger than its topic allows is refused although each record of it is small enough. Only a record that is
//! refused alone is refused for its own sake. So the others need a producer of their own, whose batches are of one record.
//!
//! What is sent again comes after what was sent meanwhile; among what is sent again, the order stays.

use super::RouterFault;
use crate::headers;
use crate::kafka::native::{Headers, Opaque, Outgoing, Producer, Record, Topic};
use crate::kafka::{self, KafkaSettings};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

pub(super) struct Alone {
    settings: KafkaSettings,
    /// Made when it is first needed, which for most routers is never.
    producer: Option<Arc<Producer>>,
    topics: HashMap<String, Topic>,
}

/// Whether a broker that answers so has refused a whole batch, and may well take other records of it.
pub(super) fn refuses_a_batch(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        // One record of it is what the topic does not take: without a key where it is compacted, against a schema.
        RDKafkaErrorCode::InvalidRecord
            // librdkafka's word for the others of that batch.
            | RDKafkaErrorCode::InvalidDifferentRecord
            // One record of it is too old or too new for the topic.
            | RDKafkaErrorCode::InvalidTimestamp
            // One record of it is against a rule of the operator's.
            | RDKafkaErrorCode::PolicyViolation
            // It is larger than max.message.bytes, which counts batches, or than a segment of the topic.
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
    )
}

impl Alone {
    pub(super) fn new(settings: KafkaSettings) -> Alone {
        Alone { settings, producer: None, topics: HashMap::new() }
    }

    /// The producer whose reports are about what was sent here, if anything ever was.
    pub(super) fn producer(&self) -> Option<Arc<Producer>> {
        self.producer.clone()
    }

    /// Sends a record as it was sent before, when Kafka refused it by `code`. The inner error is the client's own, about the record.
    pub(super) fn send(
        &mut self,
        record: &Record<'_>,
        code: RDKafkaErrorCode,
        opaque: Opaque,
    ) -> Result<Result<(), RDKafkaErrorCode>, RouterFault> {
        let mut headers = Headers::with_room_for(headers::OWN_MAX);
        record.headers().for_each(|(name, value)| headers.add(name, value));
        let outgoing = Outgoing { key: record.key(), payload: record.payload(), timestamp: record.timestamp() };
        Ok(self.topic(record.topic(), code)?.send(outgoing, headers, opaque))
    }

    fn topic(&mut self, name: &str, code: RDKafkaErrorCode) -> Result<&Topic, RouterFault> {
        let place = match self.topics.entry(name.to_owned()) {
            Entry::Occupied(topic) => return Ok(topic.into_mut()),
            Entry::Vacant(place) => place,
        };
        tracing::warn!(
            topic = name,
            %code,
            "Kafka refuses records of a topic together with those that were sent with them; what is refused so is sent again, each \
             record alone, which is slower and after what was sent meanwhile (this is said once; the metric goes on)"
        );
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => {
                let client = kafka::create(&self.settings.lone_producer()).map_err(RouterFault::Client)?;
                none.insert(Arc::new(Producer::new(client)))
            }
        };
        Ok(place.insert(producer.topic(name).map_err(RouterFault::Client)?))
    }
}
