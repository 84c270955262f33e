//! Feeds the judge from a broker: one thread that reads all destination topics, in no group, and commits nothing.

use super::EventId;
use super::judge::Audit;
use super::report::{AuditReport, Live};
use super::tables::Tables;
use super::workload::{Arrival, Workload};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a [`Reader`] needs to know.
#[derive(Clone, Debug)]
pub struct ReaderSettings {
    /// Kafka's `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// Properties of librdkafka's consumer, set over ours.
    pub properties: Vec<(&'static str, String)>,
    /// Which events are to be judged.
    pub run: u32,
    /// The instant from which the workload counts its times.
    pub origin: Instant,
    /// Whether topics are read from their beginning, rather than from their end when the reader starts.
    pub from_beginning: bool,
}

/// Why nothing is read.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The consumer was refused.
    #[error("the audit can't make a consumer for `{bootstrap_servers}`; check the properties given to it")]
    Client {
        /// As in the settings.
        bootstrap_servers: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// A topic can't be read.
    #[error("the audit can't read topic `{topic}`; is the broker up, and does the topic exist?")]
    Topic {
        /// The topic's name.
        topic: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// The topic has no partitions, so that it does not exist.
    #[error("topic `{topic}`, which the audit is to read, does not exist; create it first")]
    NoTopic {
        /// The topic's name.
        topic: String,
    },
    /// The thread could not be started.
    #[error("can't start the audit's thread")]
    Thread(#[source] std::io::Error),
    /// The thread ended by a panic.
    #[error("the audit ended by a fault of its own; there is no verdict, please report the panic above")]
    Panicked,
}

/// A running audit.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    thread: JoinHandle<AuditReport>,
}

#[derive(Debug, Default)]
struct Shared {
    live: Mutex<Live>,
    /// 0: go on. Else: end when nothing has arrived for so many milliseconds.
    quiet_millis: AtomicU64,
}

impl Reader {
    /// Starts to read the audit's topics. Asks the broker for them first, so not to be called on an async worker.
    ///
    /// # Errors
    /// The broker can't be reached or lacks a topic.
    pub fn start<W, T>(settings: ReaderSettings, audit: Audit<W, T>) -> Result<Reader, ReaderError>
    where
        W: Workload + Send + 'static,
        T: Tables + Send + 'static,
    {
        let (consumer, positions) = open(&settings, audit.topics())?;
        let shared = Arc::new(Shared::default());
        let feed = Feed { settings, audit, consumer, positions, last_arrival: Instant::now() };
        let of_thread = Arc::clone(&shared);
        // A plain thread: it reads without pause, and its consumer's end may wait for the broker.
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || feed.run(&of_thread))
            .map_err(ReaderError::Thread)?;
        Ok(Reader { shared, thread })
    }

    /// How things stand; brought up to date several times per second.
    pub fn live(&self) -> Live {
        self.shared.live.lock().clone()
    }

    /// Waits until nothing has arrived for `quiet`, and judges what is left. The engine should have nothing left to deliver. Blocks.
    ///
    /// # Errors
    /// The audit itself is broken.
    pub fn finish(self, quiet: Duration) -> Result<AuditReport, ReaderError> {
        let millis = u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX).max(1);
        self.shared.quiet_millis.store(millis, Ordering::Relaxed);
        self.thread.join().map_err(|_| ReaderError::Panicked)
    }
}

/// The next offset of each partition of each topic; negative: not known yet.
type Positions = Vec<Vec<i64>>;

fn open(settings: &ReaderSettings, topics: &[String]) -> Result<(BaseConsumer, Positions), ReaderError> {
    const ASK_TIMEOUT: Duration = Duration::from_secs(10);
    let failed = |source| ReaderError::Client { bootstrap_servers: settings.bootstrap_servers.clone(), source };
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.bootstrap_servers)
        // Not joined and nothing committed; the client insists on a name.
        .set("group.id", "veltrix-audit")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("isolation.level", "read_committed")
        // What was deleted unread is noticed by the jump of the offsets.
        .set("auto.offset.reset", "earliest");
    settings.properties.iter().for_each(|(name, value)| {
        config.set(*name, value);
    });
    let consumer: BaseConsumer = config.create().map_err(failed)?;
    let mut assignment = TopicPartitionList::new();
    let mut positions = Positions::new();
    for topic in topics {
        let refused = |source| ReaderError::Topic { topic: topic.clone(), source };
        let metadata = consumer.fetch_metadata(Some(topic), ASK_TIMEOUT).map_err(refused)?;
        let partitions = metadata.topics().first().map_or(0, |found| found.partitions().len());
        if partitions == 0 {
            return Err(ReaderError::NoTopic { topic: topic.clone() });
        }
        let mut of_topic = vec![-1; partitions];
        for (partition, position) in (0..).zip(&mut of_topic) {
            // The end is asked for here and now: what is produced after this returns is read, whatever the thread does.
            let (low, high) = consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT).map_err(refused)?;
            *position = if settings.from_beginning { low } else { high };
            assignment.add_partition_offset(topic, partition, Offset::Offset(*position)).map_err(refused)?;
        }
        positions.push(of_topic);
    }
    consumer.assign(&assignment).map_err(failed)?;
    Ok((consumer, positions))
}

struct Feed<W, T> {
    settings: ReaderSettings,
    audit: Audit<W, T>,
    consumer: BaseConsumer,
    positions: Positions,
    last_arrival: Instant,
}

impl<W: Workload, T: Tables> Feed<W, T> {
    fn run(mut self, shared: &Shared) -> AuditReport {
        const AT_ONCE: usize = 500;
        const LOOK: Duration = Duration::from_millis(200);
        let mut looked = Instant::now();
        loop {
            // Waits for a first record only, then takes what came with it.
            let mut wait = Duration::from_millis(2);
            for _ in 0..AT_ONCE {
                let Some(polled) = self.consumer.poll(wait) else { break };
                wait = Duration::ZERO;
                match polled {
                    Ok(message) => read(&self.settings, &self.consumer, &mut self.positions, &mut self.audit, &message),
                    Err(error) => {
                        tracing::warn!(%error, "audit: the consumer has trouble");
                        continue;
                    }
                }
                self.last_arrival = Instant::now();
            }
            let now = Instant::now();
            self.audit.settle(self.micros(now));
            if now.duration_since(looked) >= LOOK {
                looked = now;
                *shared.live.lock() = self.audit.live();
            }
            let quiet = shared.quiet_millis.load(Ordering::Relaxed);
            if quiet > 0 && now.duration_since(self.last_arrival) >= Duration::from_millis(quiet) {
                return self.audit.finish(self.micros(now));
            }
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        micros_since(self.settings.origin, at)
    }
}

fn micros_since(origin: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(origin).as_micros()).unwrap_or(u64::MAX)
}

fn read<W: Workload, T: Tables>(
    settings: &ReaderSettings,
    consumer: &BaseConsumer,
    positions: &mut Positions,
    audit: &mut Audit<W, T>,
    message: &BorrowedMessage<'_>,
) {
    let topic = message.topic();
    let Some(destination) = audit.topics().iter().position(|watched| watched == topic) else { return };
    let place = usize::try_from(message.partition()).ok().and_then(|at| positions.get_mut(destination)?.get_mut(at));
    if let Some(position) = place {
        if message.offset() > *position {
            audit.unread(deleted(consumer, message, *position));
        }
        *position = message.offset() + 1;
    }
    let (mut id, mut version, mut route) = (None, None, None);
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        match header.key {
            "ce_id" => id = header.value.and_then(EventId::parse),
            "veltrix-route-map-version" => {
                version = header.value.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            }
            "veltrix-route" => route = header.value,
            _ => {}
        }
    }
    match id {
        Some(EventId { run, number }) if run == settings.run => {
            let at_micros = micros_since(settings.origin, Instant::now());
            audit.arrived(Arrival { number, destination, version, route, at_micros });
        }
        _ => audit.foreign(),
    }
}

/// How many records between `position` and this one were deleted. Others may be missing because they are marks of transactions.
#[cold]
fn deleted(consumer: &BaseConsumer, message: &BorrowedMessage<'_>, position: i64) -> u64 {
    let asked = consumer.fetch_watermarks(message.topic(), message.partition(), Duration::from_secs(5));
    // Who can't say is believed to have deleted all.
    let low = asked.map_or(message.offset(), |(low, _)| low.min(message.offset()));
    u64::try_from(low - position).unwrap_or(0)
}
