//! Which topics stand behind their names, and what is written beside committed offsets: calls of the slow path that the rdkafka crate
//! does not have.
//!
//! A name can be given to one topic after another. Only the id that Kafka gives to each (KIP-516, since Kafka 2.8) tells them apart:
//! librdkafka itself goes on with the old topic's offset in the new one if there are enough records
//! (`rd_kafka_topic_metadata_update` has a FIXME about it).

use super::ClientContext;
use super::native::Consumer;
use super::queue::{Queue, RawEvent, millis, slice, text};
use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Duration;

/// Which of the topics that have had a name this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicId(String);

impl TopicId {
    /// `None` for an empty text.
    pub fn new(text: &str) -> Option<TopicId> {
        (!text.is_empty()).then(|| TopicId(text.to_owned()))
    }
}

impl fmt::Display for TopicId {
    /// As Kafka's own tools show it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a broker says of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    /// `None`: the broker is too old to know ids.
    pub id: Option<TopicId>,
    pub partitions: usize,
}

/// By name, for each topic that was asked for: what it is, or why that can't be said.
pub type Answer = BTreeMap<String, Result<TopicFacts, RDKafkaErrorCode>>;

/// A client that questions can be asked through.
pub trait Asker: Send + Sync + 'static {
    /// Of a client that is alive for as long as this is.
    fn native(&self) -> *mut rd::rd_kafka_t;
}

impl Asker for Consumer {
    fn native(&self) -> *mut rd::rd_kafka_t {
        Consumer::native(self)
    }
}

impl Asker for BaseConsumer<ClientContext> {
    fn native(&self) -> *mut rd::rd_kafka_t {
        self.client().native_ptr()
    }
}

/// A question about topics that was sent and may be answered by now.
pub struct Question {
    // Before the client: a queue must go before its client.
    answers: Queue,
    _asker: Arc<dyn Asker>,
}

impl Question {
    /// Asks a broker, or the controller, what topics are. Does not block; gives up by itself after `patience`. Not every cluster has
    /// a controller that can be asked: the embedded broker has none.
    pub fn ask<'t>(
        asker: &Arc<impl Asker>,
        topics: impl Iterator<Item = &'t str>,
        broker: Option<i32>,
        patience: Duration,
    ) -> Result<Question, KafkaError> {
        let bad_name = |_| KafkaError::AdminOpCreation("a topic's name has a zero byte in it".to_owned());
        let names: Vec<CString> = topics.map(CString::new).collect::<Result<_, _>>().map_err(bad_name)?;
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let native = asker.native();
        // SAFETY: the client is alive and is kept alive by the question; names and pointers outlive the calls, which copy them; options
        // and collection are ours and are destroyed once; an option that is refused, without a buffer for its text, stays as it was.
        let answers = unsafe {
            let answers = Queue(rd::rd_kafka_queue_new(native));
            let options =
                rd::rd_kafka_AdminOptions_new(native, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
            rd::rd_kafka_AdminOptions_set_request_timeout(options, millis(patience), null_mut(), 0);
            if let Some(broker) = broker {
                rd::rd_kafka_AdminOptions_set_broker(options, broker, null_mut(), 0);
            }
            let collection = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            rd::rd_kafka_DescribeTopics(native, collection, options, answers.0);
            rd::rd_kafka_TopicCollection_destroy(collection);
            rd::rd_kafka_AdminOptions_destroy(options);
            answers
        };
        Ok(Question { answers, _asker: Arc::clone(asker) as Arc<dyn Asker> })
    }

    /// The answer, if it comes within `timeout`. It comes once.
    pub fn answer(&self, timeout: Duration) -> Option<Result<Answer, RDKafkaErrorCode>> {
        let event = self.answers.poll(timeout)?;
        let error = event.error();
        Some(if error.code == RDKafkaErrorCode::NoError { Ok(answer_of(&event)) } else { Err(error.code) })
    }
}

fn answer_of(event: &RawEvent) -> Answer {
    // SAFETY: the call answers null for an event of another kind; descriptions, and what they point to, live as long as the event, and
    // an array has as many elements as the call says.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Answer::new();
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let topics = if count == 0 { &[] } else { std::slice::from_raw_parts(topics, count) };
        topics.iter().filter(|topic| !topic.is_null()).map(|topic| facts_of(*topic)).collect()
    }
}

/// # Safety
/// `topic` points to a description that is alive during the call.
unsafe fn facts_of(topic: *const rd::rd_kafka_TopicDescription_t) -> (String, Result<TopicFacts, RDKafkaErrorCode>) {
    // SAFETY: promised by the caller; name, error and id belong to the description.
    unsafe {
        let name = text(rd::rd_kafka_TopicDescription_name(topic)).to_owned();
        let error = rd::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            return (name, Err(rd::rd_kafka_error_code(error).into()));
        }
        let mut partitions = 0;
        rd::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let uuid = rd::rd_kafka_TopicDescription_topic_id(topic);
        let is_zero =
            rd::rd_kafka_Uuid_most_significant_bits(uuid) == 0 && rd::rd_kafka_Uuid_least_significant_bits(uuid) == 0;
        let base64 = rd::rd_kafka_Uuid_base64str(uuid);
        let known = !is_zero && !base64.is_null();
        // Kafka's tools write ids in the alphabet that needs no quoting.
        let id = if known { TopicId::new(&text(base64).replace('+', "-").replace('/', "_")) } else { None };
        (name, Ok(TopicFacts { id, partitions }))
    }
}

/// What was written beside each offset of a list, in its order. What is no text reads as none: anybody may have written it, and the
/// rdkafka crate would panic.
pub fn written_beside(offsets: &TopicPartitionList) -> Vec<String> {
    // SAFETY: the list lives as long as the borrow, has `cnt` elements at `elems`, and metadata and its size belong together.
    unsafe {
        let list = offsets.ptr();
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        let elements = if count == 0 { &[] } else { std::slice::from_raw_parts((*list).elems, count) };
        let written = |element: &rd::rd_kafka_topic_partition_t| {
            let bytes = slice(element.metadata, element.metadata_size).unwrap_or_default();
            str::from_utf8(bytes).unwrap_or_default().to_owned()
        };
        elements.iter().map(written).collect()
    }
}
