//! From a record to its deliveries: routes it, writes its headers, sends it, and ends it when the reports are in.
//!
//! Nothing here allocates per event: the table fills reused deliveries, headers go straight into librdkafka's list, and a delivery
//! travels as a number, the [`Ticket`]. Allocations are left to what is rare: dead letters, a new table, a full queue.

use super::RouterFault;
use super::partitions::Partitions;
use crate::dead_letter::{Cause, DeadLetter};
use crate::headers;
use crate::kafka::native::{Consumer, ConsumerEvent, Headers, Outgoing, Producer, Record, Report, Topic};
use crate::metrics::RouterMetrics;
use crate::offsets::{Ended, Ticket, Tracker};
use crate::snapshot::Snapshot;
use crate::stop::{Stop, Stopping};

use prometheus::local::LocalIntCounter;
use rdkafka::error::RDKafkaErrorCode;
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use veltrix_route_table::{Deliveries, Event, RouteIndex, Unmatched, Value, Verdict};

/// How long a send waits at a time when librdkafka's queue is full.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(5);

pub(super) struct Dispatch {
    pub(super) tracker: Tracker,
    pub(super) metrics: RouterMetrics,
    producer: Arc<Producer>,
    lanes: Vec<Lane>,
    /// Handles of topics that were sent to, by name; a new table finds most of its destinations here.
    topics: HashMap<String, Arc<Topic>>,
    dead_letters: Arc<Topic>,
    dead_letter_topic: String,
    deliveries: Deliveries,
    version: String,
    source: String,
    /// Records whose delivery was refused for good, on their way to the dead letters.
    refused: Vec<(DeadLetter, Ticket)>,
    stop: Arc<Stop>,
    clock: Instant,
    /// When the batch under way was polled; its events count their time from there.
    polled_at: u32,
}

/// Where the deliveries of one destination of the table go.
struct Lane {
    topic: Arc<Topic>,
    sent: LocalIntCounter,
}

/// Headers that a record can have before they need memory of their own.
const HEADERS_INLINE: usize = 24;
type HeaderList<'r> = SmallVec<[(&'r str, Option<&'r [u8]>); HEADERS_INLINE]>;

/// A Kafka record as the route table sees it.
struct KafkaEvent<'r> {
    record: Record<'r>,
    topic: &'r str,
    headers: HeaderList<'r>,
}

impl KafkaEvent<'_> {
    /// What one delivery of it keeps in librdkafka's queue.
    fn bytes(&self) -> u32 {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + len(*value)).sum();
        u32::try_from(headers + len(self.record.payload()) + len(self.record.key())).unwrap_or(u32::MAX)
    }
}

impl Event for KafkaEvent<'_> {
    #[inline]
    fn topic(&self) -> &str {
        self.topic
    }

    #[inline]
    fn key(&self) -> Value<'_> {
        self.record.key().map_or(Value::Missing, Value::Bytes)
    }

    #[inline]
    fn header(&self, name: &str) -> Value<'_> {
        match self.headers.iter().rev().find(|(header, _)| *header == name) {
            None => Value::Missing,
            Some((_, None)) => Value::Null,
            Some((_, Some(bytes))) => Value::Bytes(bytes),
        }
    }
}

impl Dispatch {
    pub(super) fn new(
        producer: Arc<Producer>,
        dead_letter_topic: &str,
        snapshot: &Snapshot,
        metrics: RouterMetrics,
        stop: Arc<Stop>,
    ) -> Result<Dispatch, RouterFault> {
        let dead_letters = Arc::new(producer.topic(dead_letter_topic).map_err(RouterFault::Client)?);
        let mut dispatch = Dispatch {
            tracker: Tracker::default(),
            metrics,
            producer,
            lanes: Vec::new(),
            topics: HashMap::new(),
            dead_letters,
            dead_letter_topic: dead_letter_topic.to_owned(),
            deliveries: Deliveries::new(),
            version: String::new(),
            source: String::new(),
            refused: Vec::new(),
            stop,
            clock: Instant::now(),
            polled_at: 0,
        };
        dispatch.adopt(snapshot)?;
        Ok(dispatch)
    }

    /// Readies the lanes of a new table. Its topics were looked up when it was prepared; those that are not in use any more are
    /// closed.
    pub(super) fn adopt(&mut self, snapshot: &Snapshot) -> Result<(), RouterFault> {
        self.version.clear();
        let _ = write!(self.version, "{}", snapshot.version);
        self.flush_metrics();
        self.lanes.clear();
        let table = &snapshot.table;
        for destination in table.destinations() {
            let topic = match self.topics.get(destination.topic) {
                Some(topic) => Arc::clone(topic),
                None => {
                    let topic = Arc::new(self.producer.topic(destination.topic).map_err(RouterFault::Client)?);
                    self.topics.insert(destination.topic.to_owned(), Arc::clone(&topic));
                    topic
                }
            };
            let sent = self.metrics.shared.deliveries.with_label_values(&[destination.id]).local();
            self.lanes.push(Lane { topic, sent });
        }
        if self.topics.len() > self.lanes.len() {
            self.topics.retain(|_, topic| Arc::strong_count(topic) > 1);
        }
        Ok(())
    }

    /// Begins a batch that was polled just now.
    pub(super) fn begin_batch(&mut self) {
        self.polled_at = self.now();
    }

    /// Routes and sends one record.
    #[inline]
    pub(super) fn dispatch(
        &mut self,
        snapshot: &Snapshot,
        partitions: &mut Partitions,
        record: Record<'_>,
        consumer: &Consumer,
        waiting: &mut VecDeque<ConsumerEvent>,
    ) -> Result<(), RouterFault> {
        if let Some(code) = record.error() {
            return self.partition_error(&record, code);
        }
        let Some(partition) = partitions.of(&record) else { return Ok(()) };
        self.metrics.consumed.inc();
        let event = KafkaEvent { record, topic: record.topic(), headers: record.headers().collect() };
        snapshot.table.route(&event, &mut self.deliveries);
        let letter = self.letter_of(snapshot, &event);
        let deliveries = self.deliveries.list().len() as u32;
        let under_way = deliveries + u32::from(letter.is_some());
        let bytes = event.bytes().saturating_mul(under_way);
        let ticket = self.tracker.begin(partition, record.offset(), under_way, bytes, self.polled_at);
        if under_way == 0 {
            self.metrics.unmatched.inc();
            return Ok(());
        }
        self.source.clear();
        let _ = write!(self.source, "{}/{}/{}", event.topic, record.partition(), record.offset());
        for index in 0..deliveries as usize {
            let delivery = self.deliveries.list()[index];
            let route = delivery.route.map(|route| snapshot.table.route_id(route));
            self.send(&event, delivery.destination.get(), route, ticket, consumer, waiting)?;
        }
        if let Some(letter) = letter {
            self.refused.push((letter, ticket));
            self.send_dead_letters()?;
        }
        Ok(())
    }

    /// The dead letter that an event asks for as a whole, and counts what became of it.
    fn letter_of(&mut self, snapshot: &Snapshot, event: &KafkaEvent<'_>) -> Option<DeadLetter> {
        let undecided = |route: RouteIndex| {
            let text = "the route's condition depends on an attribute that the event does not have";
            self.letter(event, Cause::Undecided, text.to_owned(), Some(snapshot.table.route_id(route)))
        };
        match self.deliveries.verdict() {
            Verdict::Routed => self.deliveries.undecided().map(undecided),
            Verdict::Unmatched(policy) => {
                if policy != Unmatched::Drop {
                    self.metrics.unmatched.inc();
                }
                let text = || "no route wants the event, and the map says `unmatched: dead_letter`".to_owned();
                (policy == Unmatched::DeadLetter).then(|| self.letter(event, Cause::Unmatched, text(), None))
            }
            Verdict::Unreadable(why) => {
                let text = format!("{why}: looked for it in {}", snapshot.table.type_origin(event.topic));
                Some(self.letter(event, Cause::Unreadable, text, None))
            }
        }
    }

    fn letter(&self, event: &KafkaEvent<'_>, cause: Cause, text: String, route: Option<&str>) -> DeadLetter {
        let record = &event.record;
        let source = format!("{}/{}/{}", event.topic, record.partition(), record.offset());
        DeadLetter::of_event(record, &source, &self.version, route, cause, text)
    }

    #[inline]
    fn send(
        &mut self,
        event: &KafkaEvent<'_>,
        lane: usize,
        route: Option<&str>,
        ticket: Ticket,
        consumer: &Consumer,
        waiting: &mut VecDeque<ConsumerEvent>,
    ) -> Result<(), RouterFault> {
        let mut own = Headers::with_room_for(event.headers.len() + headers::OWN_MAX);
        for (name, value) in event.headers.iter().filter(|(name, _)| !headers::is_own(name)) {
            own.add(name, *value);
        }
        own.add(headers::VERSION, Some(self.version.as_bytes()));
        own.add(headers::SOURCE, Some(self.source.as_bytes()));
        if let Some(route) = route {
            own.add(headers::ROUTE, Some(route.as_bytes()));
        }
        let record = &event.record;
        let outgoing = Outgoing { key: record.key(), payload: record.payload(), timestamp: record.timestamp() };
        loop {
            let lane = &self.lanes[lane];
            match lane.topic.send(outgoing, own, ticket.to_raw()) {
                Ok(()) => {
                    lane.sent.inc();
                    return Ok(());
                }
                Err((RDKafkaErrorCode::QueueFull, given_back)) => own = given_back,
                Err((code, _)) => {
                    let letter = self.letter(event, Cause::of_code(code), code.to_string(), route);
                    self.refused.push((letter, ticket));
                    return self.send_dead_letters();
                }
            }
            // Other threads' events go on; those of this router's partitions wait their turn, in their order.
            if let Stopping::Until(deadline) = self.stop.state()
                && Instant::now() >= deadline
            {
                return Err(RouterFault::Stopped);
            }
            self.handle_reports(QUEUE_FULL_WAIT)?;
            waiting.extend(consumer.poll_event(Duration::ZERO));
        }
    }

    /// Hands over what was counted.
    pub(super) fn flush_metrics(&mut self) {
        self.metrics.flush();
        self.metrics.in_flight.set(self.tracker.events() as i64);
        self.lanes.iter_mut().for_each(|lane| lane.sent.flush());
    }

    /// Ends the deliveries whose reports are in, and sends those that were refused to the dead letters.
    pub(super) fn handle_reports(&mut self, timeout: Duration) -> Result<(), RouterFault> {
        self.take_reports(timeout)?;
        if self.refused.is_empty() { Ok(()) } else { self.send_dead_letters() }
    }

    fn take_reports(&mut self, timeout: Duration) -> Result<(), RouterFault> {
        let now = self.now();
        let mut lost_letter = None;
        let Dispatch { producer, tracker, metrics, refused, dead_letter_topic, .. } = self;
        let fatal = producer.poll_reports(timeout, |report: Report<'_>| {
            let ticket = Ticket::from_raw(report.opaque);
            match report.error {
                None => {
                    metrics.acknowledged.inc();
                    if let Ended::Event { began } = tracker.end(ticket) {
                        metrics.event_seconds.observe(f64::from(now.wrapping_sub(began)) / TICKS_PER_SECOND);
                    }
                }
                // The producer is being closed; nothing was decided about the record, and its offset is not released.
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {}
                Some(code) if report.record.topic() == dead_letter_topic => {
                    let mut letter = DeadLetter::of_letter(&report.record);
                    if code == RDKafkaErrorCode::MessageSizeTooLarge && letter.shrink() {
                        refused.push((letter, ticket));
                    } else {
                        lost_letter = Some(code);
                    }
                }
                Some(code) => refused.push((DeadLetter::of_delivery(&report.record, code), ticket)),
            }
        });
        if let Some(error) = fatal {
            return Err(RouterFault::Fatal(error));
        }
        if let Some(code) = lost_letter {
            return Err(RouterFault::DeadLetter { topic: self.dead_letter_topic.clone(), code });
        }
        Ok(())
    }

    /// Sends what was refused to the dead letters. An event ends when its letter is acknowledged.
    #[cold]
    fn send_dead_letters(&mut self) -> Result<(), RouterFault> {
        // Waiting for room takes reports, and those may bring further letters.
        while !self.refused.is_empty() {
            for (letter, ticket) in std::mem::take(&mut self.refused) {
                self.send_dead_letter(letter, ticket)?;
            }
        }
        Ok(())
    }

    fn send_dead_letter(&mut self, mut letter: DeadLetter, ticket: Ticket) -> Result<(), RouterFault> {
        let cause = letter.cause().name();
        tracing::warn!(cause, source = letter.source(), "dead letter: {}", letter.text());
        loop {
            match self.dead_letters.send(letter.outgoing(), letter.headers(), ticket.to_raw()) {
                Ok(()) => {
                    self.metrics.shared.dead_letters.with_label_values(&[cause]).inc();
                    return Ok(());
                }
                Err((RDKafkaErrorCode::QueueFull, _)) => self.take_reports(QUEUE_FULL_WAIT)?,
                Err((RDKafkaErrorCode::MessageSizeTooLarge, _)) if letter.shrink() => {}
                Err((code, _)) => {
                    return Err(RouterFault::DeadLetter { topic: self.dead_letter_topic.clone(), code });
                }
            }
        }
    }

    #[inline]
    fn now(&self) -> u32 {
        (self.clock.elapsed().as_micros() / 100) as u32
    }

    fn partition_error(&self, record: &Record<'_>, code: RDKafkaErrorCode) -> Result<(), RouterFault> {
        let (topic, partition) = (record.topic(), record.partition());
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Err(RouterFault::PositionLost { topic: topic.to_owned(), partition })
            }
            code => {
                tracing::warn!(topic, partition, %code, "can't read from a partition for now");
                Ok(())
            }
        }
    }
}

/// Times are kept in tenths of a millisecond, so that they fit beside an offset.
const TICKS_PER_SECOND: f64 = 10_000.0;
