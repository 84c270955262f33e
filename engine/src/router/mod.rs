//! A router: one OS thread that polls records in batches, routes them, sends them, and stores the offsets of what was delivered.
//!
//! Start at [`Router::run`]. In a round it serves what happened to its partitions ([`partitions`]), takes one snapshot, fills a batch
//! if it has none, dispatches it ([`dispatch`]) and handles delivery reports. Everything a round touches belongs to this thread; what it
//! shares are the published snapshots, the counters and the signal to stop.
//!
//! **Backpressure.** The books of what is under way ([`Tracker`]) are the only limit. They are looked at before every few events
//! ([`Dispatch::stride`]), which keeps the number of events exactly, and the bytes but for those few. What is beyond them stays in the batch, and the
//! batch waits for room. Rounds go on meanwhile, so that the router stays in its group,
//! adopts new tables and hears the signal to stop, however long a destination is dead. After a while of that it pauses its partitions,
//! so that librdkafka does not hold what nobody takes.
//!
//! **A batch that waits** is routed on by the table of the round, so that versions never go back. What is left of it when its partition
//! changes hands is dropped at that moment: the next owner, or this router, reads it again from the committed offset. Were it
//! dispatched after that, later events would count as delivered before earlier ones, and those could be lost.
//!
//! **An event that waits** for something to be looked up holds up its batch in the same way, for as long as the lookup's timeout at
//! most ([`lookups`]).
//!
//! **Faults.** A client that can't go on, a dead letter that can't be written, a position that Kafka has lost, a source topic that was created
//! anew ([`sources`]): the router gives up its clients without committing anything beyond what is delivered, and begins anew
//! ([`supervise`]). Events are repeated then; none is lost.

mod alone;
mod dispatch;
mod lookups;
mod partitions;
mod position;
mod sources;

use crate::kafka::native::{Batch, ClientError, Consumer, ConsumerEvent, Producer};
use crate::kafka::{self, KafkaSettings};
use crate::metrics::{Metrics, RouterMetrics};
use crate::offsets::Tracker;
use crate::snapshot::{Published, Reader};
use crate::stop::{Stop, Stopping};
use alone::Alone;
use dispatch::Dispatch;
use partitions::Partitions;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
pub(crate) use sources::FirstSeen;
use sources::Sources;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What all routers of an engine have in common.
#[derive(Clone)]
pub(crate) struct RouterContext {
    pub(crate) kafka: KafkaSettings,
    pub(crate) group: String,
    pub(crate) sources: Vec<String>,
    pub(crate) first_seen: Arc<FirstSeen>,
    pub(crate) dead_letter_topic: String,
    pub(crate) start_at: StartAt,
    pub(crate) batch_events_max: NonZeroUsize,
    pub(crate) in_flight_events_max: usize,
    pub(crate) in_flight_bytes_max: usize,
    pub(crate) published: Arc<Published>,
    pub(crate) metrics: Metrics,
    pub(crate) stop: Arc<Stop>,
    /// One router's own: set from the first partitions that it takes on until a drain has delivered and committed everything. So it
    /// stays set when the router fails, and while it waits to begin anew: what it had under way is repeated then.
    pub(crate) has_uncommitted: Arc<AtomicBool>,
}

impl RouterContext {
    /// How many further events may be under way. The limit of bytes is looked at before some are dispatched, and these can go beyond
    /// it, by all their deliveries.
    #[inline]
    fn room(&self, tracker: &Tracker) -> usize {
        if tracker.bytes() >= self.in_flight_bytes_max {
            return 0;
        }
        self.in_flight_events_max.saturating_sub(tracker.events())
    }
}

/// Where a group starts to read a partition that it has committed nothing for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StartAt {
    /// At the oldest event that Kafka still has.
    Earliest,
    /// At events that come from now on. Partitions that are added later are read from their first event all the same.
    Latest,
}

/// Why a router had to begin anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouterFault {
    #[error("can't create a Kafka client: {0}")]
    Client(#[source] KafkaError),
    #[error("can't {doing}: {source}")]
    Kafka { doing: &'static str, source: KafkaError },
    #[error("a Kafka client can't go on ({}): {}", .0.code, .0.text)]
    Fatal(ClientError),
    #[error("a dead letter was refused by topic `{topic}`: {code}; create the topic or mend its limits")]
    DeadLetter { topic: String, code: RDKafkaErrorCode },
    #[error("Kafka has lost the position in {topic}/{partition}")]
    PositionLost { topic: String, partition: i32 },
    #[error("the topic `{topic}` was deleted and created anew; it is read from its beginning")]
    TopicCreatedAnew { topic: String },
    #[error("the router panicked; this is a bug")]
    Panic,
}

/// How long one round waits for a record when there is none, and so the longest that an idle router takes to adopt a new table.
const IDLE_WAIT: Duration = Duration::from_millis(5);
/// How long one round waits for reports when there is no room for more events.
const FULL_WAIT: Duration = Duration::from_millis(5);
/// How long one round waits for the answers that the batch's next event needs.
const LOOKUP_WAIT: Duration = Duration::from_millis(5);
/// When there was no room for so long, partitions are paused.
const PAUSE_AFTER: Duration = Duration::from_millis(500);
const STORE_EVERY: Duration = Duration::from_millis(20);
const MEASURE_EVERY: Duration = Duration::from_millis(500);
/// When partitions are to be given up, their events have this long to end; well below any session timeout.
const REVOKE_DRAIN: Duration = Duration::from_secs(3);
const RESTART_BACKOFF: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(10)];

/// Runs routers one after the other until the engine stops: a new one whenever one could not go on.
pub(crate) fn supervise(context: &RouterContext, number: usize) {
    let mut restarts = 0;
    loop {
        let began = Instant::now();
        let life = || Router::start(context, number).and_then(|(router, reader)| router.run(reader));
        let fault = match catch_unwind(AssertUnwindSafe(life)) {
            Ok(Ok(())) => return,
            Ok(Err(fault)) => fault,
            // The panic's own message has gone to standard error.
            Err(_) => RouterFault::Panic,
        };
        if context.stop.state() != Stopping::No {
            tracing::error!(
                router = number,
                "router failed while it stopped; what it had under way is repeated: {fault}"
            );
            return;
        }
        context.metrics.router_restarts.inc();
        // One that worked for a minute has nothing to do with the faults before it.
        restarts = if began.elapsed() > Duration::from_secs(60) { 0 } else { restarts };
        let wait = RESTART_BACKOFF[restarts.min(RESTART_BACKOFF.len() - 1)];
        restarts += 1;
        tracing::error!(router = number, retry_in = ?wait, "router begins anew, from what it had delivered: {fault}");
        if context.stop.wait(wait) {
            tracing::warn!(
                router = number,
                "stopped before the router could begin anew; what it had under way is repeated"
            );
            return;
        }
    }
}

struct Router<'c> {
    context: &'c RouterContext,
    number: usize,
    batch: Batch,
    partitions: Partitions,
    dispatch: Dispatch,
    consumer: Arc<Consumer>,
    full_since: Option<Instant>,
    paused: bool,
    stored_at: Instant,
    measured_at: Instant,
}

impl<'c> Router<'c> {
    fn start(context: &'c RouterContext, number: usize) -> Result<(Router<'c>, Reader), RouterFault> {
        let producer = kafka::create(&context.kafka.producer()).map_err(RouterFault::Client)?;
        let producer = Arc::new(Producer::new(producer));
        let consumer = kafka::create(&context.kafka.consumer(&context.group)).map_err(RouterFault::Client)?;
        let consumer = Arc::new(Consumer::new(consumer));
        let topics: Vec<&str> = context.sources.iter().map(String::as_str).collect();
        let subscribing = |source| RouterFault::Kafka { doing: "subscribe to the sources", source };
        consumer.client().subscribe(&topics).map_err(subscribing)?;
        let Some(reader) = context.published.reader() else {
            let source = KafkaError::Canceled;
            return Err(RouterFault::Kafka { doing: "route before there is a route table", source });
        };
        let metrics = RouterMetrics::new(&context.metrics, number);
        let router = Router {
            context,
            number,
            batch: Batch::new(Arc::clone(&consumer), context.batch_events_max.get()),
            partitions: Partitions::new(
                context.start_at,
                Sources::new(&context.sources, Arc::clone(&context.first_seen)),
            ),
            dispatch: Dispatch::new(
                producer,
                Alone::new(context.kafka.clone()),
                &context.dead_letter_topic,
                reader.snapshot(),
                metrics,
            )?,
            consumer,
            full_since: None,
            paused: false,
            stored_at: Instant::now(),
            measured_at: Instant::now(),
        };
        Ok((router, reader))
    }

    /// Routes until the engine stops; then drains. What is drained was routed already: nobody has to wait for this reader any more.
    fn run(mut self, mut reader: Reader) -> Result<(), RouterFault> {
        tracing::info!(router = self.number, sources = ?self.context.sources, group = self.context.group, "router started");
        loop {
            match self.context.stop.state() {
                Stopping::No => self.round(&mut reader)?,
                Stopping::Until(deadline) => {
                    drop(reader);
                    return self.drain(deadline);
                }
            }
        }
    }

    fn round(&mut self, reader: &mut Reader) -> Result<(), RouterFault> {
        self.serve_events(reader)?;
        let has_room = self.has_room();
        let Router { context, batch, partitions, dispatch, .. } = self;
        let snapshot = dispatch.pin(reader)?;
        if has_room {
            if batch.is_done() {
                batch.fill(IDLE_WAIT);
                dispatch.begin_batch();
            }
            loop {
                let room = context.room(&dispatch.tracker);
                if room == 0 || batch.is_done() {
                    break;
                }
                dispatch.look_ahead(snapshot, batch);
                let left = dispatch.dispatch(snapshot, partitions, batch.take(room.min(dispatch.stride())))?;
                if left > 0 {
                    batch.put_back(left);
                    dispatch.wait_for_lookups(LOOKUP_WAIT);
                    break;
                }
            }
            dispatch.handle_reports(Duration::ZERO)?;
        } else {
            dispatch.handle_reports(FULL_WAIT)?;
        }
        self.keep_books()
    }

    /// Whether events may be dispatched; pauses and resumes reading where that takes long.
    fn has_room(&mut self) -> bool {
        let tracker = &self.dispatch.tracker;
        let full = self.context.room(tracker) == 0;
        let half_full = tracker.events() * 2 >= self.context.in_flight_events_max
            || tracker.bytes() * 2 >= self.context.in_flight_bytes_max;
        let wait = full || (self.paused && half_full);
        if !wait {
            if self.paused {
                tracing::info!(router = self.number, "deliveries have caught up; reading goes on");
                self.partitions.resume(&self.consumer);
            }
            (self.full_since, self.paused) = (None, false);
            return true;
        }
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if !self.paused && since.elapsed() > PAUSE_AFTER {
            tracing::warn!(
                router = self.number,
                events = tracker.events(),
                bytes = tracker.bytes(),
                "deliveries do not keep up; reading is paused"
            );
            self.context.metrics.pauses.inc();
            self.partitions.pause(&self.consumer);
            self.paused = true;
        }
        false
    }

    fn serve_events(&mut self, reader: &mut Reader) -> Result<(), RouterFault> {
        while let Some(event) = self.consumer.poll_event(Duration::ZERO) {
            self.serve(event, reader)?;
        }
        Ok(())
    }

    fn serve(&mut self, event: ConsumerEvent, reader: &mut Reader) -> Result<(), RouterFault> {
        match event {
            ConsumerEvent::Assigned(partitions) => {
                self.context.metrics.rebalances.inc();
                // There should be none; what was polled in an earlier assignment must not count in this one.
                self.batch.discard(&partitions);
                self.context.has_uncommitted.store(true, Ordering::Release);
                self.partitions.take_on(&partitions, &self.consumer, &mut self.dispatch)?;
                let (count, held) = (partitions.len(), self.partitions.len());
                tracing::info!(router = self.number, count, held, "partitions assigned");
                if self.paused {
                    self.partitions.pause(&self.consumer);
                }
            }
            ConsumerEvent::Revoked(partitions) => {
                self.context.metrics.rebalances.inc();
                self.batch.discard(&partitions);
                self.partitions.give_up(&partitions, &self.consumer, &mut self.dispatch, reader, REVOKE_DRAIN)?;
                let (count, held) = (partitions.len(), self.partitions.len());
                tracing::info!(router = self.number, count, held, "partitions revoked");
            }
            ConsumerEvent::Error(error) if error.fatal => return Err(RouterFault::Fatal(error)),
            ConsumerEvent::Error(error) => {
                tracing::warn!(router = self.number, code = %error.code, "consumer: {}", error.text);
            }
        }
        Ok(())
    }

    /// Stores offsets, hands over counters, measures the lag, looks after the topics: each in its interval.
    fn keep_books(&mut self) -> Result<(), RouterFault> {
        let now = Instant::now();
        if now - self.stored_at < STORE_EVERY {
            return Ok(());
        }
        self.stored_at = now;
        self.partitions.store_progress(&self.consumer, &mut self.dispatch.tracker);
        self.dispatch.flush_metrics();
        if now - self.measured_at >= MEASURE_EVERY {
            self.measured_at = now;
            let metrics = &self.dispatch.metrics;
            metrics.partitions.set(self.partitions.len() as i64);
            metrics.lag.set(self.partitions.lag(&self.consumer));
            self.partitions.check_topics(&self.consumer)?;
        }
        Ok(())
    }

    /// Waits for what is under way, commits what has ended, also when a fault has cut that short, and leaves the group.
    fn drain(mut self, deadline: Instant) -> Result<(), RouterFault> {
        self.batch.clear();
        self.partitions.pause(&self.consumer);
        let mut result = Ok(());
        while self.dispatch.tracker.events() > 0 && Instant::now() < deadline && result.is_ok() {
            result = self.dispatch.handle_reports(FULL_WAIT);
            // Nothing is taken on or given up any more; leaving the group gives up everything.
            while self.consumer.poll_event(Duration::ZERO).is_some() {}
        }
        let left = self.dispatch.tracker.events();
        if left > 0 && result.is_ok() {
            tracing::warn!(
                router = self.number,
                events = left,
                "grace is over with events still under way; they are repeated after the next start"
            );
        }
        self.partitions.store_progress(&self.consumer, &mut self.dispatch.tracker);
        let is_committed = self.partitions.commit(&self.consumer);
        self.dispatch.flush_metrics();
        if left == 0 && is_committed {
            self.context.has_uncommitted.store(false, Ordering::Release);
        }
        tracing::info!(router = self.number, "router stopped");
        result
    }
}

impl Drop for Router<'_> {
    fn drop(&mut self) {
        self.dispatch.metrics.in_flight.set(0);
        self.dispatch.metrics.partitions.set(0);
        self.dispatch.metrics.lag.set(0);
    }
}
