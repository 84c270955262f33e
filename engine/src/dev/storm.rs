//! The storm: sends the events of a [`Game`] at a steady rate, whatever the engine does with them.
//!
//! Open loop: event n is due at a time that was set before, and latency is counted from there, so that a slow router can't make
//! itself look fast by slowing its own producer down. There is one exception, and it is counted: when readers are so far behind
//! that the embedded broker would delete records unread, the storm holds its breath ([`StormStatus::throttled`]) and the events
//! after it are due later. Start at [`Storm::start`]; [`StormWorkload`] is how the audit knows what was sent.

use super::game::{Game, GameEvent};
use crate::audit::Workload;
use parking_lot::{Mutex, RwLock};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use veltrix_route_table::{Event as _, Value};

/// What a [`Storm`] needs to know.
pub struct StormSettings {
    /// Kafka's `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// Properties of librdkafka's producer, set over ours.
    pub properties: Vec<(&'static str, String)>,
    /// Where events are sent to.
    pub topic: String,
    /// Whose events are sent.
    pub game: Game,
    /// More than 0.
    pub events_per_second: u64,
    /// When to end by itself; `None`: when it is told to.
    pub duration: Option<Duration>,
    /// How many of its events were read so far. Asked often, so to be cheap.
    pub read: Box<dyn Fn() -> u64 + Send>,
    /// With more than this sent and not read, the storm waits until half of them are read.
    pub unread_max: u64,
}

/// Why there is no storm.
#[derive(Debug, thiserror::Error)]
pub enum StormError {
    /// The producer was refused.
    #[error("the storm can't make a producer for `{bootstrap_servers}`; check the properties given to it")]
    Client {
        /// As in the settings.
        bootstrap_servers: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// The thread could not be started.
    #[error("can't start the storm's thread")]
    Thread(#[source] std::io::Error),
    /// The thread ended by a panic.
    #[error("the storm ended by a fault of its own, please report the panic above")]
    Panicked,
}

/// How a storm stands, or how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StormStatus {
    /// Events that were given to the client.
    pub sent: u64,
    /// Events that the broker acknowledged.
    pub acknowledged: u64,
    /// Events that the broker refused. None was sent again by us; librdkafka gave up on them.
    pub refused: u64,
    /// How long the storm held its breath for readers that were too far behind.
    pub throttled: Duration,
    /// How far behind its schedule the storm is because machine or broker are too slow.
    pub late: Duration,
}

/// When events are due: runs of a steady rate, with waits in between.
#[derive(Debug)]
struct Schedule {
    events_per_second: u64,
    /// Number of a run's first event and when it was due. Only the latest runs are kept; who asks for older events gets a time that
    /// is too late by the waits since.
    runs: RwLock<Vec<(u64, u64)>>,
}

impl Schedule {
    const RUNS_MAX: usize = 4_096;

    fn due_micros(&self, number: u64) -> u64 {
        let runs = self.runs.read();
        let of_number = runs.iter().rev().find(|(first, _)| *first <= number).or(runs.first());
        of_number.map_or(0, |(first, at)| at + self.micros_of(number.saturating_sub(*first)))
    }

    fn micros_of(&self, events: u64) -> u64 {
        (u128::from(events) * 1_000_000 / u128::from(self.events_per_second)) as u64
    }

    /// The events before this one are due by now.
    fn due_below(&self, now_micros: u64) -> u64 {
        let (first, at) = self.runs.read().last().copied().unwrap_or_default();
        let elapsed = u128::from(now_micros.saturating_sub(at));
        first + (elapsed * u128::from(self.events_per_second) / 1_000_000) as u64 + u64::from(now_micros >= at)
    }

    /// From `number` on, events are due from `at_micros` on.
    fn resume(&self, number: u64, at_micros: u64) {
        let mut runs = self.runs.write();
        if runs.len() >= Schedule::RUNS_MAX {
            runs.remove(0);
        }
        runs.push((number, at_micros));
    }
}

/// What the storm's thread shares with those who watch it.
#[derive(Debug)]
struct Progress {
    origin: Instant,
    schedule: Schedule,
    sent: AtomicU64,
    /// Everything below was answered for by the broker.
    resolved: AtomicU64,
    acknowledged: AtomicU64,
    refused_count: AtomicU64,
    refused: Mutex<Vec<u64>>,
    throttled_micros: AtomicU64,
    late_micros: AtomicU64,
}

impl Progress {
    fn micros(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn status(&self) -> StormStatus {
        StormStatus {
            sent: self.sent.load(Ordering::Relaxed),
            acknowledged: self.acknowledged.load(Ordering::Relaxed),
            refused: self.refused_count.load(Ordering::Relaxed),
            throttled: Duration::from_micros(self.throttled_micros.load(Ordering::Relaxed)),
            late: Duration::from_micros(self.late_micros.load(Ordering::Relaxed)),
        }
    }
}

/// A storm that is made but has not begun; its workload can be given to an audit first.
pub struct Storm {
    settings: StormSettings,
    producer: BaseProducer<Answers>,
    progress: Arc<Progress>,
}

/// A storm that blows.
#[derive(Debug)]
pub struct RunningStorm {
    progress: Arc<Progress>,
    thread: JoinHandle<StormStatus>,
}

impl Storm {
    /// Makes the producer. Times are counted from `origin`.
    ///
    /// # Errors
    /// librdkafka refuses the properties.
    pub fn new(settings: StormSettings, origin: Instant) -> Result<Storm, StormError> {
        let progress = Arc::new(Progress {
            origin,
            schedule: Schedule { events_per_second: settings.events_per_second.max(1), runs: RwLock::default() },
            sent: AtomicU64::new(0),
            resolved: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            refused_count: AtomicU64::new(0),
            refused: Mutex::default(),
            throttled_micros: AtomicU64::new(0),
            late_micros: AtomicU64::new(0),
        });
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &settings.bootstrap_servers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // An event is given up by nobody: a broker that is away for long holds the storm up, it does not lose events.
            .set("message.timeout.ms", "0")
            .set("queue.buffering.max.messages", UNDER_WAY_MAX.to_string())
            .set("queue.buffering.max.kbytes", "262144");
        settings.properties.iter().for_each(|(name, value)| {
            config.set(*name, value);
        });
        let answers = Answers { progress: Arc::clone(&progress), ahead: Mutex::new(Ahead::default()) };
        let producer = config
            .create_with_context(answers)
            .map_err(|source| StormError::Client { bootstrap_servers: settings.bootstrap_servers.clone(), source })?;
        Ok(Storm { settings, producer, progress })
    }

    /// What this storm sends, for an audit.
    pub fn workload(&self) -> StormWorkload {
        StormWorkload {
            game: self.settings.game.clone(),
            event: GameEvent::default(),
            progress: Arc::clone(&self.progress),
        }
    }

    /// Begins to send, until its time is over or `stop` is cancelled.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(self, stop: CancellationToken) -> Result<RunningStorm, StormError> {
        let progress = Arc::clone(&self.progress);
        let thread = std::thread::Builder::new()
            .name("storm".to_owned())
            .spawn(move || Sender::new(self).run(&stop))
            .map_err(StormError::Thread)?;
        Ok(RunningStorm { progress, thread })
    }
}

impl RunningStorm {
    /// How it stands.
    pub fn status(&self) -> StormStatus {
        self.progress.status()
    }

    /// Whether the last event is sent and answered for.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the last event is sent and answered for. Blocks.
    ///
    /// # Errors
    /// The storm itself is broken.
    pub fn join(self) -> Result<StormStatus, StormError> {
        self.thread.join().map_err(|_| StormError::Panicked)
    }
}

/// Events that may be on their way to the broker.
const UNDER_WAY_MAX: usize = 1 << 17;

/// Which events behind the contiguous answered ones were answered: one bit each, in a ring.
#[derive(Debug)]
struct Ahead {
    next: u64,
    bits: Vec<u64>,
}

impl Default for Ahead {
    fn default() -> Ahead {
        Ahead { next: 0, bits: vec![0; UNDER_WAY_MAX / 64] }
    }
}

impl Ahead {
    fn answered(&mut self, number: u64) {
        let at = number as usize % UNDER_WAY_MAX;
        self.bits[at / 64] |= 1 << (at % 64);
        loop {
            let at = self.next as usize % UNDER_WAY_MAX;
            let (word, bit) = (&mut self.bits[at / 64], 1 << (at % 64));
            if *word & bit == 0 {
                return;
            }
            *word &= !bit;
            self.next += 1;
        }
    }
}

/// Takes the broker's answers.
struct Answers {
    progress: Arc<Progress>,
    ahead: Mutex<Ahead>,
}

impl rdkafka::ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let number = number as u64;
        let progress = &self.progress;
        match result {
            Ok(_) => progress.acknowledged.fetch_add(1, Ordering::Relaxed),
            Err((error, record)) => {
                let partition = record.partition();
                tracing::warn!(%error, number, partition, "storm: the broker refused an event");
                progress.refused.lock().push(number);
                progress.refused_count.fetch_add(1, Ordering::Relaxed)
            }
        };
        let mut ahead = self.ahead.lock();
        ahead.answered(number);
        // Behind the list of the refused, for who reads the number first.
        progress.resolved.store(ahead.next, Ordering::Release);
    }
}

struct Sender {
    settings: StormSettings,
    producer: BaseProducer<Answers>,
    progress: Arc<Progress>,
    event: GameEvent,
    payload: String,
}

/// Why an event was not sent.
enum NotSent {
    /// There is no room; to be tried again.
    Full,
    Refused,
}

impl Sender {
    /// How often events are sent and readers are asked for. Not less than a millisecond, to wake up rarely; well below what
    /// latency is measured in.
    const TICK: Duration = Duration::from_millis(1);
    const AT_ONCE_MAX: u64 = 256;

    fn new(storm: Storm) -> Sender {
        let Storm { settings, producer, progress } = storm;
        Sender { settings, producer, progress, event: GameEvent::default(), payload: String::new() }
    }

    fn unread(&self) -> u64 {
        self.progress.sent.load(Ordering::Relaxed).saturating_sub((self.settings.read)())
    }

    fn run(mut self, stop: &CancellationToken) -> StormStatus {
        let progress = Arc::clone(&self.progress);
        let began = progress.micros();
        let end = self.settings.duration.map_or(u64::MAX, |duration| began.saturating_add(duration.as_micros() as u64));
        progress.schedule.resume(0, began);
        let mut next = 0;
        while !stop.is_cancelled() {
            let now = progress.micros();
            if now >= end {
                break;
            }
            if self.unread() > self.settings.unread_max {
                self.hold_breath(next, end, stop);
                continue;
            }
            let due = progress.schedule.due_below(now).min(next + Sender::AT_ONCE_MAX);
            progress.late_micros.store(
                if due > next { now.saturating_sub(progress.schedule.due_micros(next)) } else { 0 },
                Ordering::Relaxed,
            );
            let before = next;
            while next < due && self.send(next) {
                next += 1;
            }
            if next - before < Sender::AT_ONCE_MAX {
                self.rest();
            } else {
                self.take_answers();
            }
        }
        self.drain();
        progress.status()
    }

    /// Waits for readers, and moves the schedule on by as much.
    fn hold_breath(&self, next: u64, end: u64, stop: &CancellationToken) {
        let progress = &self.progress;
        let began = progress.micros();
        let due = progress.schedule.due_micros(next);
        let mut now = began;
        while self.unread() > self.settings.unread_max / 2 && now < end && !stop.is_cancelled() {
            self.rest();
            now = progress.micros();
        }
        progress.throttled_micros.fetch_add(now - began, Ordering::Relaxed);
        // An event that was late already stays late by as much.
        progress.schedule.resume(next, due + (now - began));
    }

    /// Whether the event is on its way, or refused for good.
    fn send(&mut self, number: u64) -> bool {
        // Before it is sent, so that nothing can arrive of which the audit does not know.
        self.progress.sent.store(number + 1, Ordering::Release);
        loop {
            match self.try_send(number) {
                Ok(()) => return true,
                Err(NotSent::Refused) => return true,
                Err(NotSent::Full) => self.rest(),
            }
        }
    }

    fn try_send(&mut self, number: u64) -> Result<(), NotSent> {
        if number >= self.progress.resolved.load(Ordering::Relaxed) + UNDER_WAY_MAX as u64 {
            return Err(NotSent::Full);
        }
        self.settings.game.event(number, &mut self.event);
        self.event.write_payload(&mut self.payload);
        let headers = self.event.headers().fold(OwnedHeaders::new_with_capacity(10), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let Value::Bytes(key) = self.event.key() else { return Err(NotSent::Refused) };
        let record = BaseRecord::with_opaque_to(&self.settings.topic, number as usize)
            .partition(i32::from(self.event.partition()))
            .key(key)
            .payload(self.payload.as_str())
            .headers(headers);
        match self.producer.send(record) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Err(NotSent::Full),
            Err((error, _)) => {
                tracing::warn!(%error, number, "storm: an event can't be sent");
                self.progress.refused.lock().push(number);
                self.progress.refused_count.fetch_add(1, Ordering::Relaxed);
                let mut ahead = self.producer.context().ahead.lock();
                ahead.answered(number);
                self.progress.resolved.store(ahead.next, Ordering::Release);
                Err(NotSent::Refused)
            }
        }
    }

    /// Waits for the answers that are still out, within reason.
    fn drain(&self) {
        const PATIENCE: Duration = Duration::from_secs(30);
        let deadline = Instant::now() + PATIENCE;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.rest();
        }
    }

    /// Lets a tick pass. Not by polling for as long: the client's poll spins through the last millisecond of its time.
    fn rest(&self) {
        std::thread::sleep(Sender::TICK);
        self.take_answers();
    }

    fn take_answers(&self) {
        // A poll without waiting takes the answers to a single batch.
        const BATCHES: usize = 8;
        (0..BATCHES).for_each(|_| self.producer.poll(Duration::ZERO));
    }
}

/// What a storm sends, as its audit sees it.
#[derive(Debug)]
pub struct StormWorkload {
    game: Game,
    event: GameEvent,
    progress: Arc<Progress>,
}

impl Workload for StormWorkload {
    type Event = GameEvent;

    fn event(&mut self, number: u64) -> &GameEvent {
        self.game.event(number, &mut self.event);
        &self.event
    }

    fn lanes(&self) -> usize {
        usize::from(self.game.partitions())
    }

    fn lane(event: &GameEvent) -> usize {
        usize::from(event.partition())
    }

    fn due_micros(&self, number: u64) -> u64 {
        self.progress.schedule.due_micros(number)
    }

    fn sent(&self) -> u64 {
        self.progress.sent.load(Ordering::Acquire)
    }

    fn resolved(&self) -> u64 {
        self.progress.resolved.load(Ordering::Acquire)
    }

    fn take_refused(&mut self, refused: &mut Vec<u64>) {
        refused.append(&mut self.progress.refused.lock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::broker::{EmbeddedBroker, Tuning};
    use crate::dev::game::SOURCE_TOPIC;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn events_are_due_at_a_steady_rate_that_waits_push_back() {
        let schedule = Schedule { events_per_second: 1_000, runs: RwLock::default() };
        schedule.resume(0, 500);
        assert_eq!([0, 1, 2_000].map(|number| schedule.due_micros(number)), [500, 1_500, 2_000_500]);
        assert_eq!([0, 500, 1_499, 1_500].map(|now| schedule.due_below(now)), [0, 1, 1, 2]);
        schedule.resume(10, 1_000_000);
        assert_eq!([9, 10, 11].map(|number| schedule.due_micros(number)), [9_500, 1_000_000, 1_001_000]);
        assert_eq!([999_999, 1_000_000, 1_001_000].map(|now| schedule.due_below(now)), [10, 11, 12]);
    }

    #[test]
    fn a_long_storm_forgets_its_oldest_waits_only() {
        let schedule = Schedule { events_per_second: 1_000, runs: RwLock::default() };
        for run in 0..10_000 {
            schedule.resume(run * 10, run * 20_000);
        }
        assert_eq!(schedule.runs.read().len(), Schedule::RUNS_MAX);
        assert_eq!(schedule.due_micros(99_991), 9_999 * 20_000 + 1_000);
    }

    #[test]
    fn what_is_answered_is_counted_without_gaps_in_any_order() {
        let mut ahead = Ahead::default();
        for (number, next) in [(1, 0), (2, 0), (0, 3), (4, 3), (3, 5)] {
            ahead.answered(number);
            assert_eq!(ahead.next, next, "after {number}");
        }
        for number in (5..3 * UNDER_WAY_MAX as u64).rev().collect::<Vec<_>>().chunks(1_000).rev() {
            number.iter().for_each(|number| ahead.answered(*number));
        }
        assert_eq!(ahead.next, 3 * UNDER_WAY_MAX as u64);
    }

    #[test]
    fn a_storm_waits_for_readers_that_are_too_far_behind_and_says_how_long() {
        let tuning = Tuning::for_rate(10_000);
        let broker = EmbeddedBroker::start(&[(SOURCE_TOPIC, tuning.source_partitions)]).unwrap();
        let is_behind = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_behind);
        let settings = StormSettings {
            bootstrap_servers: broker.bootstrap_servers().to_owned(),
            properties: tuning.producer(),
            topic: SOURCE_TOPIC.to_owned(),
            game: Game::new(1, 42, tuning.source_partitions.get()),
            events_per_second: 10_000,
            duration: None,
            read: Box::new(move || if seen.load(Ordering::Relaxed) { 0 } else { u64::MAX }),
            unread_max: 10,
        };
        let storm = Storm::new(settings, Instant::now()).unwrap();
        let workload = storm.workload();
        let stop = CancellationToken::new();
        let storm = storm.start(stop.clone()).unwrap();
        let wait_until = |what: &dyn Fn() -> bool| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !what() {
                assert!(Instant::now() < deadline, "{:?}", storm.status());
                std::thread::yield_now();
            }
        };
        wait_until(&|| storm.status().acknowledged >= 500);
        is_behind.store(true, Ordering::Relaxed);
        let held = Instant::now();
        wait_until(&|| held.elapsed() > Duration::from_millis(200));
        is_behind.store(false, Ordering::Relaxed);
        wait_until(&|| storm.status().throttled > Duration::from_millis(150));
        let before = storm.status().sent;
        wait_until(&|| storm.status().sent > before + 500);
        stop.cancel();
        let status = storm.join().unwrap();
        assert_eq!((status.acknowledged, status.refused), (status.sent, 0));
        assert_eq!((workload.sent(), workload.resolved()), (status.sent, status.sent));
        // What it could not send meanwhile is not made up for: it was due later.
        let elapsed = Duration::from_micros(workload.progress.micros());
        let most = (elapsed - status.throttled).as_secs_f64() * 10_000.0;
        assert!(status.sent as f64 <= most + 1.0, "{status:?} in {elapsed:?}");
    }
}
