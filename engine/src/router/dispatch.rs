//! From a record to its deliveries: routes it, writes its headers, sends it, and ends it when the reports are in.
//!
//! Nothing here allocates Rust memory for an event of up to 24 headers: the table fills reused deliveries, headers go straight into
//! librdkafka's list, and a delivery travels as a number, the [`Ticket`] (`tests/allocations.rs` counts). More headers, dead
//! letters, a new table and records that are sent again take some. librdkafka itself takes memory for every message
//! and its headers.
//!
//! Nothing here waits for room: librdkafka's queue has no limit to speak of, and the router looks at the books ([`Tracker`]) every
//! few events.

use super::RouterFault;
use super::alone::{Alone, refuses_a_batch};
use super::lookups::Looker;
use super::partitions::Partitions;
use crate::dead_letter::{Cause, DeadLetter, LetterLog};
use crate::headers;
use crate::kafka::native::{Batch, Headers, Outgoing, Producer, Record, Report, Topic};
use crate::metrics::RouterMetrics;
use crate::offsets::{Ended, Ticket, Tracker};
use crate::snapshot::{Reader, Snapshot};

use prometheus::local::LocalIntCounter;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use veltrix_route_table::{Deliveries, Event, RouteIndex, Unmatched, Value, Verdict};

pub(super) struct Dispatch {
    pub(super) tracker: Tracker,
    pub(super) metrics: RouterMetrics,
    producer: Arc<Producer>,
    alone: Alone,
    lanes: Vec<Lane>,
    /// Handles of topics that were sent to, by name; a new table finds most of its destinations here.
    topics: HashMap<String, Arc<Topic>>,
    dead_letters: Arc<Topic>,
    dead_letter_topic: String,
    deliveries: Deliveries,
    looker: Looker,
    version: String,
    source: String,
    /// Records whose delivery was refused for good, on their way to the dead letters.
    refused: Vec<(DeadLetter, Ticket)>,
    letter_log: LetterLog,
    clock: Instant,
    /// When the batch under way was polled; its events count their time from there.
    polled_at: u32,
}

/// How a record was sent that a report is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    WithOthers,
    Alone,
}

/// Where the deliveries of one destination of the table go.
struct Lane {
    topic: Arc<Topic>,
    sent: LocalIntCounter,
}

/// Records that are dispatched together.
const AHEAD: usize = 8;

/// Headers that a record can have before they need memory of their own.
const HEADERS_INLINE: usize = 24;
type HeaderList<'r> = SmallVec<[(&'r str, Option<&'r [u8]>); HEADERS_INLINE]>;

/// What librdkafka needs for a message besides the event itself, as measured: its own fields, the list of headers, and our headers.
const DELIVERY_BYTES: usize = 600;
/// And for each header of the event besides its name and value.
const HEADER_BYTES: usize = 68;

/// A Kafka record as the route table sees it.
struct KafkaEvent<'r> {
    record: Record<'r>,
    topic: &'r str,
    headers: HeaderList<'r>,
}

impl<'r> KafkaEvent<'r> {
    fn of(record: Record<'r>) -> KafkaEvent<'r> {
        KafkaEvent { record, topic: record.topic(), headers: record.headers().collect() }
    }

    /// The memory that one delivery of it takes in librdkafka's queue.
    fn bytes(&self) -> u32 {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers: usize = self.headers.iter().map(|(name, value)| HEADER_BYTES + name.len() + len(*value)).sum();
        let bytes = DELIVERY_BYTES + headers + len(self.record.payload()) + len(self.record.key());
        u32::try_from(bytes).unwrap_or(u32::MAX)
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

    #[inline]
    fn payload(&self) -> Option<&[u8]> {
        self.record.payload()
    }

    #[inline]
    fn timestamp(&self) -> Option<i64> {
        self.record.timestamp()
    }
}

impl Dispatch {
    pub(super) fn new(
        producer: Arc<Producer>,
        alone: Alone,
        dead_letter_topic: &str,
        snapshot: &Snapshot,
        metrics: RouterMetrics,
    ) -> Result<Dispatch, RouterFault> {
        let dead_letters = Arc::new(producer.topic(dead_letter_topic).map_err(RouterFault::Client)?);
        let looker = Looker::new(metrics.shared.clone());
        let mut dispatch = Dispatch {
            tracker: Tracker::default(),
            metrics,
            producer,
            alone,
            lanes: Vec::new(),
            topics: HashMap::new(),
            dead_letters,
            dead_letter_topic: dead_letter_topic.to_owned(),
            deliveries: Deliveries::new(),
            looker,
            version: String::new(),
            source: String::new(),
            refused: Vec::new(),
            letter_log: LetterLog::default(),
            clock: Instant::now(),
            polled_at: 0,
        };
        dispatch.adopt(snapshot)?;
        Ok(dispatch)
    }

    /// The snapshot for the next round, readied if it is a new one.
    #[inline]
    pub(super) fn pin<'r>(&mut self, reader: &'r mut Reader) -> Result<&'r Snapshot, RouterFault> {
        let (snapshot, is_new) = reader.pin();
        if is_new {
            self.adopt(snapshot)?;
        }
        self.looker.begin_round();
        Ok(snapshot)
    }

    /// Readies the lanes of a new table. Its topics were looked up when it was prepared; those that are not in use any more are
    /// closed.
    fn adopt(&mut self, snapshot: &Snapshot) -> Result<(), RouterFault> {
        self.version.clear();
        let _ = write!(self.version, "{}", snapshot.version);
        self.flush_metrics();
        self.looker.adopt(&snapshot.lookups);
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
        self.looker.begin_batch();
    }

    /// Starts the calls that the next records of the batch need, as far ahead as is good, unless that was done.
    #[inline]
    pub(super) fn look_ahead(&mut self, snapshot: &Snapshot, batch: &Batch) {
        if self.looker.wants_window() {
            self.begin_window(snapshot, batch.rest());
        }
    }

    #[cold]
    fn begin_window<'r>(&mut self, snapshot: &Snapshot, records: impl Iterator<Item = Record<'r>>) {
        self.looker.begin_window();
        for record in records {
            if record.error().is_none() {
                let event = KafkaEvent::of(record);
                snapshot.table.route(&event, &mut self.deliveries);
                self.looker.ask_ahead(&snapshot.table, &event, &mut self.deliveries);
            }
            if !self.looker.extend_window() {
                break;
            }
        }
        self.looker.end_window();
    }

    /// How many records to dispatch together: while one waits for lookups, none is taken behind it.
    #[inline]
    pub(super) fn stride(&self) -> usize {
        if self.looker.waits() { 1 } else { AHEAD }
    }

    /// Waits until the event that waits may go on, for `time` at most.
    pub(super) fn wait_for_lookups(&self, time: Duration) {
        self.looker.wait(time);
    }

    /// Routes and sends some records, [`AHEAD`] of them at most. A large table is told of all of them before the first is routed, so
    /// that they wait for memory together. Returns how many are left because the first of these has to wait.
    #[inline]
    pub(super) fn dispatch<'r>(
        &mut self,
        snapshot: &Snapshot,
        partitions: &mut Partitions,
        records: impl Iterator<Item = Record<'r>>,
    ) -> Result<usize, RouterFault> {
        let prefetch = snapshot.table.wants_prefetch();
        let mut events: SmallVec<[(usize, KafkaEvent<'_>); AHEAD]> = SmallVec::new();
        let mut count = 0;
        for record in records {
            count += 1;
            if let Some(code) = record.error() {
                self.partition_error(&record, code)?;
                continue;
            }
            let event = KafkaEvent::of(record);
            if prefetch {
                snapshot.table.prefetch(&event);
            }
            events.push((count - 1, event));
        }
        for (place, event) in &events {
            if !self.dispatch_event(snapshot, partitions, event)? {
                self.looker.pass(*place, true);
                return Ok(count - place);
            }
        }
        self.looker.pass(count, false);
        Ok(0)
    }

    /// False: the event waits, and nothing was done about it.
    #[inline]
    fn dispatch_event(
        &mut self,
        snapshot: &Snapshot,
        partitions: &mut Partitions,
        event: &KafkaEvent<'_>,
    ) -> Result<bool, RouterFault> {
        let record = &event.record;
        let Some(partition) = partitions.of(record) else { return Ok(true) };
        snapshot.table.route(event, &mut self.deliveries);
        let waits = self.deliveries.verdict() == Verdict::Waiting;
        if waits && !self.looker.answer(&snapshot.table, event, &mut self.deliveries) {
            return Ok(false);
        }
        self.metrics.consumed.inc();
        let letter = self.letter_of(snapshot, event, waits);
        let deliveries = self.deliveries.list().len() as u32;
        let under_way = deliveries + u32::from(letter.is_some());
        let bytes = event.bytes().saturating_mul(under_way);
        let ticket = self.tracker.begin(partition, record.offset(), under_way, bytes, self.polled_at);
        if under_way == 0 {
            self.metrics.unmatched.inc();
            return Ok(true);
        }
        self.source.clear();
        let _ = write!(self.source, "{}/{}/{}", event.topic, record.partition(), record.offset());
        for index in 0..deliveries as usize {
            let delivery = self.deliveries.list()[index];
            let route = delivery.route.map(|route| snapshot.table.route_id(route));
            self.send(event, delivery.destination.get(), route, ticket)?;
        }
        if let Some(letter) = letter {
            self.refused.push((letter, ticket));
            self.send_dead_letters()?;
        }
        Ok(true)
    }

    /// The dead letter that an event asks for as a whole, and counts what became of it.
    /// `has_waited`: it was routed with what was looked up for it.
    fn letter_of(&self, snapshot: &Snapshot, event: &KafkaEvent<'_>, has_waited: bool) -> Option<DeadLetter> {
        let unplaced = self.why_unplaced(snapshot, event);
        let undecided = |route: RouteIndex| {
            let answers = has_waited.then(|| self.looker.answers());
            let failures = if has_waited { self.looker.failures() } else { "" };
            let lacks = || snapshot.table.tell_undecided(event, route, answers);
            let why = if failures.is_empty() { lacks() } else { Some(failures.to_owned()) };
            let id = snapshot.table.route_id(route);
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            let text = format!("the condition of route `{id}` can't be decided{why}");
            let text = unplaced.iter().fold(text, |text, (unplaced, _)| format!("{text}; {unplaced}"));
            self.letter(event, Cause::Undecided, text, Some(id))
        };
        let letter_of_unplaced = || {
            let (text, route) = unplaced.as_ref()?;
            let route = route.map(|route| snapshot.table.route_id(route));
            Some(self.letter(event, Cause::Unplaced, text.clone(), route))
        };
        match self.deliveries.verdict() {
            Verdict::Routed => self.deliveries.undecided().map(undecided).or_else(letter_of_unplaced),
            Verdict::Unmatched(policy) => {
                if policy != Unmatched::Drop {
                    self.metrics.unmatched.inc();
                }
                let text = || "no route wants the event, and the map says `unmatched: dead_letter`".to_owned();
                match policy {
                    Unmatched::DeadLetter => Some(self.letter(event, Cause::Unmatched, text(), None)),
                    Unmatched::Drop | Unmatched::Destination(_) => letter_of_unplaced(),
                }
            }
            // It is answered by now; were it not, it must not be lost.
            Verdict::Waiting => {
                let text = "a route still depends on a lookup; this is a bug of the engine";
                Some(self.letter(event, Cause::Undecided, text.to_owned(), None))
            }
            Verdict::Unreadable(why) => {
                let text = match why.is_about_type() {
                    true => format!("{why}: looked for it in {}", snapshot.table.type_origin(event)),
                    false => why.to_string(),
                };
                Some(self.letter(event, Cause::Unreadable, text, None))
            }
        }
    }

    /// Why some destinations have no topic for an event, in the words of the first of them, and the route that it is about. `None`: all have
    /// one, or another destination gets the event instead.
    fn why_unplaced(&self, snapshot: &Snapshot, event: &KafkaEvent<'_>) -> Option<(String, Option<RouteIndex>)> {
        let mut lost = self.deliveries.unplaced().iter().filter(|unplaced| unplaced.instead.is_none());
        let first = lost.next()?;
        let told = snapshot.table.tell_unplaced(event, first);
        let mut text = told.map_or_else(|| "a destination has no topic for it".to_owned(), |told| told.to_string());
        match lost.count() {
            0 => {}
            1 => text.push_str("; one more destination has none"),
            more => text.push_str(&format!("; {more} more destinations have none")),
        }
        Some((text, first.route))
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
        let lane = &self.lanes[lane];
        match lane.topic.send(outgoing, own, ticket.to_raw()) {
            Ok(()) => {
                lane.sent.inc();
                Ok(())
            }
            // Nothing was decided about the event: it is repeated when the router begins anew.
            Err(code @ (RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::Fatal)) => {
                Err(RouterFault::Kafka { doing: "queue a delivery", source: KafkaError::MessageProduction(code) })
            }
            Err(code) => {
                let letter = self.letter(event, Cause::of_code(code), code.to_string(), route);
                self.refused.push((letter, ticket));
                self.send_dead_letters()
            }
        }
    }

    /// Hands over what was counted.
    pub(super) fn flush_metrics(&mut self) {
        self.metrics.flush();
        self.looker.flush_metrics();
        self.metrics.in_flight.set(self.tracker.events() as i64);
        self.lanes.iter_mut().for_each(|lane| lane.sent.flush());
    }

    /// Ends the deliveries whose reports are in. What was refused is sent again alone, or to the dead letters.
    pub(super) fn handle_reports(&mut self, timeout: Duration) -> Result<(), RouterFault> {
        let producer = Arc::clone(&self.producer);
        self.take_reports(&producer, Attempt::WithOthers, timeout)?;
        if let Some(producer) = self.alone.producer() {
            self.take_reports(&producer, Attempt::Alone, Duration::ZERO)?;
        }
        if self.refused.is_empty() { Ok(()) } else { self.send_dead_letters() }
    }

    fn take_reports(&mut self, producer: &Producer, attempt: Attempt, timeout: Duration) -> Result<(), RouterFault> {
        let now = self.now();
        let mut result = Ok(());
        let fatal = producer.poll_reports(timeout, |report: Report<'_>| match report.error {
            None => {
                self.metrics.acknowledged.inc();
                if let Ended::Event { began } = self.tracker.end(Ticket::from_raw(report.opaque)) {
                    let ticks = f64::from(now.wrapping_sub(began));
                    self.metrics.event_seconds.observe(ticks / TICKS_PER_SECOND);
                }
            }
            // The producer is being closed; nothing was decided about the record, and its offset is not released.
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {}
            Some(code) => {
                let refused = self.refused(&report, code, attempt);
                result = std::mem::replace(&mut result, Ok(())).and(refused);
            }
        });
        fatal.map_or(result, |error| Err(RouterFault::Fatal(error)))
    }

    /// Sees to a record that Kafka has refused. Its event goes on being under way.
    #[cold]
    fn refused(&mut self, report: &Report<'_>, code: RDKafkaErrorCode, attempt: Attempt) -> Result<(), RouterFault> {
        let record = &report.record;
        let mut code = code;
        if attempt == Attempt::WithOthers && refuses_a_batch(code) {
            match self.alone.send(record, code, report.opaque)? {
                Ok(()) => {
                    self.metrics.shared.deliveries_sent_alone.with_label_values(&[record.topic()]).inc();
                    return Ok(());
                }
                Err(own) => code = own,
            }
        }
        let letter = if record.topic() != self.dead_letter_topic {
            DeadLetter::of_delivery(record, code)
        } else {
            let mut letter = DeadLetter::of_letter(record);
            if code != RDKafkaErrorCode::MessageSizeTooLarge || !letter.shrink() {
                return Err(RouterFault::DeadLetter { topic: self.dead_letter_topic.clone(), code });
            }
            letter
        };
        self.refused.push((letter, Ticket::from_raw(report.opaque)));
        Ok(())
    }

    /// Sends what was refused to the dead letters. An event ends when its letter is acknowledged.
    #[cold]
    fn send_dead_letters(&mut self) -> Result<(), RouterFault> {
        std::mem::take(&mut self.refused)
            .into_iter()
            .try_for_each(|(letter, ticket)| self.send_dead_letter(letter, ticket))
    }

    fn send_dead_letter(&mut self, mut letter: DeadLetter, ticket: Ticket) -> Result<(), RouterFault> {
        let cause = letter.cause();
        if let Some(not_shown) = self.letter_log.note(cause, Instant::now()) {
            tracing::warn!(cause = cause.name(), source = letter.source(), not_shown, "dead letter: {}", letter.text());
        }
        loop {
            match self.dead_letters.send(letter.outgoing(), letter.headers(), ticket.to_raw()) {
                Ok(()) => {
                    self.metrics.dead_letter(cause).inc();
                    return Ok(());
                }
                Err(RDKafkaErrorCode::MessageSizeTooLarge) if letter.shrink() => {}
                Err(code) => return Err(RouterFault::DeadLetter { topic: self.dead_letter_topic.clone(), code }),
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
