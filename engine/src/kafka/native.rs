//! The engine's hot calls into librdkafka, behind a safe interface. The `unsafe` of the event path is in this file and in
//! `queue.rs`.
//!
//! Why not the rdkafka crate's own calls: they allocate for every record that is polled and for every one that is sent, look the topic
//! up by name each time, and hand rebalances and delivery reports to callbacks, which can't reach the router's state without a lock.
//! Here records come in batches, topics are handles, and both rebalances and reports are values that the router's own loop handles,
//! in its own time. `cargo bench -p veltrix-engine --bench kafka_calls` compares the two: two allocations per event fewer, at about
//! the same time, which is librdkafka's own for the headers. Settings, logging, metadata, commits and seeking stay with the rdkafka
//! crate.
//!
//! What librdkafka asks of us, and where it is kept: a message lives until it is destroyed and no longer than its client
//! (a [`Batch`] keeps its [`Consumer`] alive); headers belong to the caller until `produce` has taken them ([`Headers`]); a queue is destroyed before its client.

use super::ClientContext;
pub use super::queue::ClientError;
use super::queue::{Queue, millis, slice, text};
use rdkafka::bindings as rd;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::Duration;

const OK: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;

/// A topic and a partition of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

/// What happens to a consumer besides records.
#[derive(Debug)]
pub enum ConsumerEvent {
    /// These partitions are ours when [`Consumer::assign`] has been called.
    Assigned(Vec<TopicPartition>),
    /// These partitions must be given up by [`Consumer::unassign`].
    Revoked(Vec<TopicPartition>),
    /// A commit failed or the client has trouble.
    Error(ClientError),
}

/// A member of a consumer group whose records come in batches.
pub struct Consumer {
    // Queues before the client: fields are dropped in order, and a queue must go before its client.
    records: Queue,
    events: Queue,
    client: BaseConsumer<ClientContext>,
}

impl Consumer {
    pub fn new(client: BaseConsumer<ClientContext>) -> Consumer {
        let native = client.client().native_ptr();
        // SAFETY: the client is alive; both queues are references of our own.
        let (records, events) =
            unsafe { (Queue(rd::rd_kafka_queue_new(native)), Queue(rd::rd_kafka_queue_get_consumer(native))) };
        Consumer { records, events, client }
    }

    pub fn client(&self) -> &BaseConsumer<ClientContext> {
        &self.client
    }

    pub(super) fn native(&self) -> *mut rd::rd_kafka_t {
        self.client.client().native_ptr()
    }

    /// The next event, if there is one within `timeout`. Has to be called often, records or not: it is what keeps the member in
    /// its group.
    pub fn poll_event(&self, timeout: Duration) -> Option<ConsumerEvent> {
        let event = self.events.poll(timeout)?;
        match event.kind() {
            rd::RD_KAFKA_EVENT_REBALANCE => {
                // SAFETY: the event is a rebalance, so that it has a list, which lives as long as the event.
                let (cause, partitions) = unsafe {
                    let list = rd::rd_kafka_event_topic_partition_list(event.0);
                    (rd::rd_kafka_event_error(event.0), partitions_of(list))
                };
                Some(match cause {
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => ConsumerEvent::Assigned(partitions),
                    _ => ConsumerEvent::Revoked(partitions),
                })
            }
            rd::RD_KAFKA_EVENT_ERROR => Some(ConsumerEvent::Error(event.error())),
            rd::RD_KAFKA_EVENT_OFFSET_COMMIT => {
                let error = event.error();
                // "No offset" says that there was nothing to commit.
                let benign = matches!(error.code, RDKafkaErrorCode::NoError | RDKafkaErrorCode::NoOffset);
                (!benign).then_some(ConsumerEvent::Error(error))
            }
            _ => None,
        }
    }

    /// Takes partitions on, each from its offset, and leads their records into this consumer's batches.
    pub fn assign(&self, partitions: &rdkafka::TopicPartitionList) -> Result<(), KafkaError> {
        for element in partitions.elements() {
            let Ok(topic) = CString::new(element.topic()) else { continue };
            // SAFETY: the client is alive, the name is a C string, and the partition's queue is given back at once.
            unsafe {
                let queue = rd::rd_kafka_queue_get_partition(self.native(), topic.as_ptr(), element.partition());
                if !queue.is_null() {
                    rd::rd_kafka_queue_forward(queue, self.records.0);
                    rd::rd_kafka_queue_destroy(queue);
                }
            }
        }
        if self.is_cooperative() { self.client.incremental_assign(partitions) } else { self.client.assign(partitions) }
    }

    /// Gives partitions up. With the eager protocol that is all of them.
    pub fn unassign(&self, partitions: &rdkafka::TopicPartitionList) -> Result<(), KafkaError> {
        if self.is_cooperative() { self.client.incremental_unassign(partitions) } else { self.client.unassign() }
    }

    fn is_cooperative(&self) -> bool {
        // SAFETY: the client is alive; the answer is a constant text, or null before the first join.
        unsafe {
            let protocol = rd::rd_kafka_rebalance_protocol(self.native());
            !protocol.is_null() && CStr::from_ptr(protocol) == c"COOPERATIVE"
        }
    }

    /// Whether the partitions to give up are somebody else's already, so that nothing may be committed for them.
    pub fn is_assignment_lost(&self) -> bool {
        // SAFETY: the client is alive.
        unsafe { rd::rd_kafka_assignment_lost(self.native()) != 0 }
    }

    /// The partition's end as the last fetch saw it, without asking the broker.
    pub fn known_end(&self, topic: &CStr, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (0, 0);
        // SAFETY: the client is alive and the out-parameters are ours.
        let result = unsafe {
            rd::rd_kafka_get_watermark_offsets(self.native(), topic.as_ptr(), partition, &raw mut low, &raw mut high)
        };
        (result == OK && high >= 0).then_some(high)
    }
}

/// # Safety
/// `list` is null or points to a list that is alive during the call.
unsafe fn partitions_of(list: *const rd::rd_kafka_topic_partition_list_t) -> Vec<TopicPartition> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list has `cnt` elements at `elems`; with none, `elems` may be null.
    let elements = unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        if count == 0 { &[] } else { std::slice::from_raw_parts((*list).elems, count) }
    };
    let owned = |element: &rd::rd_kafka_topic_partition_t| TopicPartition {
        // SAFETY: an element's topic is a C string.
        topic: unsafe { text(element.topic) }.to_owned(),
        partition: element.partition,
    };
    elements.iter().map(owned).collect()
}

/// Records that were polled together, and are taken some at a time. Made once and filled again and again.
pub struct Batch {
    records: Vec<*mut rd::rd_kafka_message_t>,
    /// So many of them were taken.
    taken: usize,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka's messages are not bound to a thread.
unsafe impl Send for Batch {}

impl Batch {
    /// A batch of at most `records_max`.
    pub fn new(consumer: Arc<Consumer>, records_max: usize) -> Batch {
        Batch { records: Vec::with_capacity(records_max), taken: 0, consumer }
    }

    /// Gives back the records in it, and takes those that are there now; if there are none, waits for a first one for at most
    /// `timeout`.
    pub fn fill(&mut self, timeout: Duration) {
        self.clear();
        // librdkafka would wait until the batch is full or time is up. So: what is there now; or else one record, then what came
        // with it.
        self.poll(Duration::ZERO, usize::MAX);
        if self.records.is_empty() && !timeout.is_zero() {
            self.poll(timeout, 1);
            if !self.records.is_empty() {
                self.poll(Duration::ZERO, usize::MAX);
            }
        }
    }

    fn poll(&mut self, timeout: Duration, most: usize) {
        let room = self.records.spare_capacity_mut();
        let most = most.min(room.len());
        // SAFETY: the queue is alive, and `room` has place for `most` pointers, of which the call writes as many as it says.
        let polled = unsafe {
            rd::rd_kafka_consume_batch_queue(self.consumer.records.0, millis(timeout), room.as_mut_ptr().cast(), most)
        };
        // SAFETY: that many more are written.
        unsafe { self.records.set_len(self.records.len() + usize::try_from(polled).unwrap_or(0)) }
    }

    /// Whether all records were taken.
    pub fn is_done(&self) -> bool {
        self.taken == self.records.len()
    }

    /// Takes the next records, `most` of them at most.
    #[inline]
    pub fn take(&mut self, most: usize) -> impl Iterator<Item = Record<'_>> {
        let begin = self.taken;
        self.taken = self.records.len().min(begin.saturating_add(most));
        let taken = self.records.get(begin..self.taken).unwrap_or_default();
        // SAFETY: each pointer is a message that lives until this batch is cleared, for which it must not be borrowed.
        taken.iter().map(|record| Record { message: unsafe { &**record } })
    }

    /// Puts back the records that were taken last, as many as `records`, to be taken again.
    pub fn put_back(&mut self, records: usize) {
        self.taken = self.taken.saturating_sub(records);
    }

    /// The records that were not taken yet.
    pub fn rest(&self) -> impl Iterator<Item = Record<'_>> {
        // SAFETY: as in `take`.
        self.records.get(self.taken..).unwrap_or_default().iter().map(|record| Record { message: unsafe { &**record } })
    }

    /// Gives back what was not taken yet of these partitions.
    pub fn discard(&mut self, partitions: &[TopicPartition]) {
        let (taken, mut place) = (self.taken, 0);
        self.records.retain(|record| {
            // SAFETY: the pointer is a message that is alive, and the borrow ends before it is destroyed.
            let of = |partition: &TopicPartition| unsafe { Record { message: &**record }.is_of(partition) };
            let stays = place < taken || !partitions.iter().any(of);
            place += 1;
            if !stays {
                // SAFETY: the message is ours, and leaves the list.
                unsafe { rd::rd_kafka_message_destroy(*record) };
            }
            stays
        });
    }

    /// Gives the records back.
    pub fn clear(&mut self) {
        self.taken = 0;
        // SAFETY: each message is ours and is destroyed once.
        self.records.drain(..).for_each(|record| unsafe { rd::rd_kafka_message_destroy(record) });
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A record, or a partition's error that came in place of one.
#[derive(Clone, Copy)]
pub struct Record<'b> {
    message: &'b rd::rd_kafka_message_t,
}

impl<'b> Record<'b> {
    /// The error of the partition, if this is not a record.
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        (self.message.err != OK).then(|| self.message.err.into())
    }

    pub fn topic(&self) -> &'b str {
        if self.message.rkt.is_null() {
            return "";
        }
        // SAFETY: the topic lives as long as the message, and its name as long as the topic.
        unsafe { text(rd::rd_kafka_topic_name(self.message.rkt)) }
    }

    /// Equal for records of the same topic, without comparing names. Not to be used for anything else.
    pub fn topic_identity(&self) -> usize {
        self.message.rkt.addr()
    }

    pub fn partition(&self) -> i32 {
        self.message.partition
    }

    fn is_of(&self, partition: &TopicPartition) -> bool {
        self.partition() == partition.partition && self.topic() == partition.topic
    }

    pub fn offset(&self) -> i64 {
        self.message.offset
    }

    pub fn key(&self) -> Option<&'b [u8]> {
        // SAFETY: key and length belong together and live as long as the message.
        unsafe { slice(self.message.key, self.message.key_len) }
    }

    /// `None`: a tombstone.
    pub fn payload(&self) -> Option<&'b [u8]> {
        // SAFETY: as for the key.
        unsafe { slice(self.message.payload, self.message.len) }
    }

    /// Milliseconds since the Unix epoch, if the record says when it is from.
    pub fn timestamp(&self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive and the out-parameter is ours.
        let timestamp = unsafe { rd::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        (timestamp >= 0).then_some(timestamp)
    }

    /// The headers in their order; a value of `None` is null.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, Option<&'b [u8]>)> + use<'b> {
        let mut headers = null_mut();
        // SAFETY: the message is alive; its headers are parsed on the first call, belong to it and live as long.
        let found = unsafe { rd::rd_kafka_message_headers(self.message, &raw mut headers) } == OK;
        (0..).map_while(move |index| {
            let (mut name, mut value, mut size) = (null(), null(), 0);
            // SAFETY: the list is alive and the out-parameters are ours; beyond the last header the call says so.
            let more = found
                && unsafe { rd::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size) }
                    == OK;
            // SAFETY: name and value belong to the list.
            more.then(|| unsafe { (text(name), slice(value, size)) })
        })
    }
}

/// A producer whose reports are values.
pub struct Producer {
    reports: Queue,
    client: BaseProducer<ClientContext>,
}

/// A number of the caller's own that comes back with the report.
pub type Opaque = u64;

/// How a record that was sent ended.
pub struct Report<'r> {
    pub opaque: Opaque,
    pub error: Option<RDKafkaErrorCode>,
    /// The record as it was sent.
    pub record: Record<'r>,
}

/// What is sent besides headers.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    pub timestamp: Option<i64>,
}

impl Producer {
    pub fn new(client: BaseProducer<ClientContext>) -> Producer {
        // SAFETY: the client is alive; the queue is a reference of our own.
        let reports = Queue(unsafe { rd::rd_kafka_queue_get_main(client.client().native_ptr()) });
        Producer { reports, client }
    }

    pub fn client(&self) -> &Client<ClientContext> {
        self.client.client()
    }

    /// A handle for a topic. The name must be one that Kafka allows.
    pub fn topic(self: &Arc<Self>, name: &str) -> Result<Topic, KafkaError> {
        let refused = || KafkaError::ClientCreation(format!("`{name}` can't be the name of a topic"));
        let name = CString::new(name).map_err(|_| refused())?;
        // SAFETY: the client is alive and the name a C string; a null configuration means the client's.
        let native = unsafe { rd::rd_kafka_topic_new(self.client().native_ptr(), name.as_ptr(), null_mut()) };
        if native.is_null() {
            return Err(refused());
        }
        Ok(Topic { native, producer: Arc::clone(self) })
    }

    /// Handles the reports that are there, waiting for a first one for at most `timeout`. Returns a fatal error, if there is one.
    pub fn poll_reports(&self, timeout: Duration, mut handle: impl FnMut(Report<'_>)) -> Option<ClientError> {
        const AT_ONCE: usize = 256;
        let mut timeout = timeout;
        while let Some(event) = self.reports.poll(timeout) {
            timeout = Duration::ZERO;
            match event.kind() {
                rd::RD_KAFKA_EVENT_DR => {
                    let mut messages: [*const rd::rd_kafka_message_t; AT_ONCE] = [null(); AT_ONCE];
                    loop {
                        // SAFETY: the event is alive, and the array has room for as many as we say.
                        let count =
                            unsafe { rd::rd_kafka_event_message_array(event.0, messages.as_mut_ptr(), AT_ONCE) };
                        if count == 0 {
                            break;
                        }
                        for message in messages.iter().take(count) {
                            // SAFETY: the event's messages live as long as the event.
                            let record = Record { message: unsafe { &**message } };
                            let opaque = record.message._private.addr() as Opaque;
                            handle(Report { opaque, error: record.error(), record });
                        }
                    }
                }
                rd::RD_KAFKA_EVENT_ERROR => {
                    let error = event.error();
                    if error.fatal {
                        return Some(error);
                    }
                    tracing::warn!(code = %error.code, "producer: {}", error.text);
                }
                _ => {}
            }
        }
        None
    }
}

/// A topic that can be sent to.
pub struct Topic {
    native: *mut rd::rd_kafka_topic_t,
    producer: Arc<Producer>,
}

// SAFETY: librdkafka's topics are reference-counted and locked inside.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl Topic {
    /// Queues a record for sending. It is copied. On an error nothing was queued.
    pub fn send(&self, record: Outgoing<'_>, headers: Headers, opaque: Opaque) -> Result<(), RDKafkaErrorCode> {
        use rd::rd_kafka_vtype_t as vtype;
        let field = |vtype, u| rd::rd_kafka_vu_s { vtype, u };
        let bytes = |bytes: Option<&[u8]>| rd::rd_kafka_vu_s__bindgen_ty_1 {
            mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: bytes.map_or(null_mut(), |bytes| bytes.as_ptr().cast_mut().cast()),
                size: bytes.map_or(0, <[u8]>::len),
            },
        };
        let fields = [
            field(vtype::RD_KAFKA_VTYPE_RKT, rd::rd_kafka_vu_s__bindgen_ty_1 { rkt: self.native }),
            field(vtype::RD_KAFKA_VTYPE_MSGFLAGS, rd::rd_kafka_vu_s__bindgen_ty_1 { i: rd::RD_KAFKA_MSG_F_COPY }),
            field(vtype::RD_KAFKA_VTYPE_VALUE, bytes(record.payload)),
            field(vtype::RD_KAFKA_VTYPE_KEY, bytes(record.key)),
            // 0 stands for "now".
            field(
                vtype::RD_KAFKA_VTYPE_TIMESTAMP,
                rd::rd_kafka_vu_s__bindgen_ty_1 { i64_: record.timestamp.unwrap_or(0) },
            ),
            field(
                vtype::RD_KAFKA_VTYPE_OPAQUE,
                rd::rd_kafka_vu_s__bindgen_ty_1 { ptr: std::ptr::without_provenance_mut(opaque as usize) },
            ),
            field(vtype::RD_KAFKA_VTYPE_HEADERS, rd::rd_kafka_vu_s__bindgen_ty_1 { headers: headers.0 }),
        ];
        // SAFETY: client and topic are alive, key and payload are copied before the call returns (F_COPY), and the headers are
        // ours to give.
        let error =
            unsafe { rd::rd_kafka_produceva(self.producer.client().native_ptr(), fields.as_ptr(), fields.len()) };
        if error.is_null() {
            // They belong to the message now.
            std::mem::forget(headers);
            return Ok(());
        }
        // SAFETY: the error is ours, is read and then destroyed once. On an error the headers stay ours.
        let code = unsafe {
            let code = rd::rd_kafka_error_code(error);
            rd::rd_kafka_error_destroy(error);
            code
        };
        Err(code.into())
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: our reference, given up once, while the producer is still alive.
        unsafe { rd::rd_kafka_topic_destroy(self.native) }
    }
}

/// The headers of a record to be sent.
pub struct Headers(*mut rd::rd_kafka_headers_t);

impl Headers {
    /// An empty list with room for some.
    pub fn with_room_for(count: usize) -> Headers {
        // SAFETY: has no preconditions; librdkafka aborts when memory is exhausted, as Rust does.
        Headers(unsafe { rd::rd_kafka_headers_new(count) })
    }

    /// Adds a header; a value of `None` is null.
    pub fn add(&mut self, name: &str, value: Option<&[u8]>) {
        let (value, size) = value.map_or((null(), 0), |value| (value.as_ptr().cast(), value.len() as isize));
        // SAFETY: the list is ours; name and value are copied.
        unsafe { rd::rd_kafka_header_add(self.0, name.as_ptr().cast(), name.len() as isize, value, size) };
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: the list is ours as long as it was not sent.
        unsafe { rd::rd_kafka_headers_destroy(self.0) }
    }
}
