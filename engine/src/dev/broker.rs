//! A Kafka broker in this process, for `veltrix dev` and for tests.
//!
//! It is the mock cluster that librdkafka carries: one broker, one thread, everything in memory, on a random port of 127.0.0.1.
//! It speaks Kafka's protocol over TCP, so any Kafka client of any process can use it. Start at [`EmbeddedBroker::start`], then
//! [`Tuning::for_rate`]: clients that use it with Kafka's usual settings see seconds of latency.
//!
//! What it is not, and what is done about it:
//!
//! | limit | what we do |
//! | --- | --- |
//! | keeps 5 MiB or 100,000 batches of a partition, then deletes silently, read or not | [`Tuning::unread_events_max`] says how far readers may be behind; the storm waits beyond that, and the audit counts records that were deleted unread |
//! | finds a batch by walking all that it keeps, the oldest first | few, large batches: [`Tuning`] picks partitions and linger by the rate, so that a walk stays short; no compression, which would keep more batches |
//! | answers an empty fetch after `fetch.wait.max.ms`, even if a record comes in meanwhile | a short [`Tuning`] fetch wait |
//! | gives one batch of a partition per fetch | see above: large batches |
//! | creates topics that it is asked about with 4 partitions; has no admin API | topics are created here, before any client asks |
//! | the first member of a group waits 3 s for others | set to none |
//! | a rebalance takes the session timeout less one second | a short session timeout in [`Tuning::consumer`] |
//! | no deduplication of an idempotent producer's repeats, transactions in name only, offsets by time unknown | it never drops a response by itself; what needs these is tested against a real broker |

use rdkafka::ClientConfig;
use rdkafka::bindings as rd;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use std::num::NonZeroU16;

/// Why there is no embedded broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// librdkafka did not start one.
    #[error("the embedded broker did not start; are ports of 127.0.0.1 and memory free?")]
    Start(#[source] KafkaError),
    /// librdkafka started a client without a broker in it.
    #[error("librdkafka gave no embedded broker; it has to be built with its mock cluster, as it is by default")]
    Absent,
    /// A topic could not be created.
    #[error("the embedded broker can't create topic `{topic}` with {partitions} partitions; is it named twice?")]
    Topic {
        /// The topic's name.
        topic: String,
        /// As many were asked for.
        partitions: u16,
        /// What librdkafka says.
        source: KafkaError,
    },
}

/// A broker that lives as long as this value. Drop it on a plain thread: its end waits for librdkafka's threads.
pub struct EmbeddedBroker {
    /// The client that the mock cluster lives in.
    _owner: BaseProducer,
    bootstrap_servers: String,
}

impl std::fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedBroker").field("bootstrap_servers", &self.bootstrap_servers).finish_non_exhaustive()
    }
}

impl EmbeddedBroker {
    /// Starts a broker that has these topics, with so many partitions each.
    ///
    /// # Errors
    /// librdkafka could not start it, or a topic is given twice.
    pub fn start(topics: &[(&str, NonZeroU16)]) -> Result<EmbeddedBroker, BrokerError> {
        let owner: BaseProducer =
            ClientConfig::new().set("test.mock.num.brokers", "1").create().map_err(BrokerError::Start)?;
        let cluster = owner.client().mock_cluster().ok_or(BrokerError::Absent)?;
        for (topic, partitions) in topics {
            cluster.create_topic(topic, i32::from(partitions.get()), 1).map_err(|source| BrokerError::Topic {
                topic: (*topic).to_owned(),
                partitions: partitions.get(),
                source,
            })?;
        }
        let bootstrap_servers = cluster.bootstrap_servers();
        drop(cluster);
        // SAFETY: the client is alive, and the cluster in it lives as long as the client. The call sets a number; it is made
        // before any client knows of the broker.
        unsafe {
            let cluster = rd::rd_kafka_handle_mock_cluster(owner.client().native_ptr());
            rd::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
        Ok(EmbeddedBroker { _owner: owner, bootstrap_servers })
    }

    /// For `bootstrap.servers` of any Kafka client on this machine: `127.0.0.1:PORT`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

/// Settings that keep latency low on an [`EmbeddedBroker`]. Measured; see the table at [`Tuning::for_rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Partitions of the topic that events are produced to.
    pub source_partitions: NonZeroU16,
    /// Partitions of each topic that events are delivered to.
    pub destination_partitions: NonZeroU16,
    /// How long a producer waits for a batch to fill, in milliseconds.
    pub linger_ms: u32,
    /// How long the broker holds an empty fetch, in milliseconds.
    pub fetch_wait_ms: u32,
    /// How many events of the source may be unread before they are in danger of being deleted: half of what is kept, for events of
    /// at most 400 bytes.
    pub unread_events_max: u64,
}

impl Tuning {
    /// For a storm of so many events per second (0: for what other processes produce).
    ///
    /// The cost of finding a batch grows with the square of the batches per second of a topic, so partitions come with the rate, and
    /// rare events get a longer linger. Measured with everything in one process on 2 cores, a router of one thread that makes 0.38
    /// deliveries per event, and the audit; from due to delivered:
    ///
    /// | events/s | partitions | linger, fetch wait | p50 | p99 | cores in use |
    /// | --- | --- | --- | --- | --- | --- |
    /// | 1,000 | 2 | 10, 5 ms | 21 ms | 32 ms | 0.2 (0.4 with 5, 2 ms: tiny batches) |
    /// | 20,000 | 6 | 5, 2 ms | 12 ms | 20 ms | 0.7; no slower after 2 minutes than after 10 seconds |
    /// | 50,000 | 12 | 5, 2 ms | 13 ms | 22 ms | 1.1 |
    /// | 100,000 | 16 | 10, 2 ms | 21 ms | 61 ms | 1.4 |
    /// | 150,000 | 16 | 10, 2 ms | 169 ms | seconds | all; at most 155,000/s come through |
    pub fn for_rate(events_per_second: u64) -> Tuning {
        const KEPT_BYTES: u64 = 5 << 20;
        const EVENT_BYTES: u64 = 400;
        let (source, destination, linger_ms, fetch_wait_ms) = match events_per_second {
            0..=5_000 => (2, 1, 10, 5),
            5_001..=30_000 => (6, 1, 5, 2),
            30_001..=80_000 => (12, 2, 5, 2),
            _ => (16, 2, 10, 2),
        };
        let partitions = |count: u16| NonZeroU16::MIN.saturating_add(count - 1);
        Tuning {
            source_partitions: partitions(source),
            destination_partitions: partitions(destination),
            linger_ms,
            fetch_wait_ms,
            unread_events_max: u64::from(source) * KEPT_BYTES / EVENT_BYTES / 2,
        }
    }

    /// Properties for producers, to be set over those of the application.
    pub fn producer(&self) -> Vec<(&'static str, String)> {
        vec![
            ("linger.ms", self.linger_ms.to_string()),
            ("batch.size", "1000000".to_owned()),
            ("batch.num.messages", "10000".to_owned()),
            ("compression.type", "none".to_owned()),
            ("socket.nagle.disable", "true".to_owned()),
        ]
    }

    /// Properties for consumers, to be set over those of the application.
    pub fn consumer(&self) -> Vec<(&'static str, String)> {
        vec![
            ("fetch.wait.max.ms", self.fetch_wait_ms.to_string()),
            ("fetch.queue.backoff.ms", "5".to_owned()),
            // A rebalance takes the session timeout less one second.
            ("session.timeout.ms", "3000".to_owned()),
            ("heartbeat.interval.ms", "500".to_owned()),
            ("socket.nagle.disable", "true".to_owned()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::Message as _;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::producer::BaseRecord;
    use std::time::{Duration, Instant};

    fn client(broker: &EmbeddedBroker, properties: Vec<(&'static str, String)>) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap_servers());
        properties.into_iter().for_each(|(name, value)| {
            config.set(name, value);
        });
        config
    }

    #[test]
    fn clients_of_their_own_produce_and_consume_in_a_group_at_once() {
        let two = NonZeroU16::new(2).unwrap();
        let broker = EmbeddedBroker::start(&[("a", two), ("b", NonZeroU16::MIN)]).unwrap();
        let tuning = Tuning::for_rate(0);
        let producer: BaseProducer = client(&broker, tuning.producer()).create().unwrap();
        producer.send(BaseRecord::to("a").key("key").payload("payload").partition(1)).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
        let began = Instant::now();
        let mut config = client(&broker, tuning.consumer());
        let consumer: BaseConsumer =
            config.set("group.id", "group").set("auto.offset.reset", "earliest").create().unwrap();
        consumer.subscribe(&["a"]).unwrap();
        // A poll may end early, for a rebalance.
        let polls = std::iter::repeat_with(|| consumer.poll(Duration::from_secs(1)));
        let message = polls.take(20).flatten().next().unwrap().unwrap();
        assert_eq!((message.key(), message.payload()), (Some(&b"key"[..]), Some(&b"payload"[..])));
        assert!(began.elapsed() < Duration::from_secs(3), "joined in {:?}", began.elapsed());
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
        let mut partitions: Vec<_> =
            metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len())).collect();
        partitions.sort();
        assert_eq!(partitions, [("a", 2), ("b", 1)]);
    }

    #[test]
    fn a_topic_that_is_named_twice_is_refused_by_name() {
        let refused = EmbeddedBroker::start(&[("a", NonZeroU16::MIN), ("a", NonZeroU16::MIN)]).unwrap_err();
        assert!(refused.to_string().contains("topic `a` with 1 partitions"), "{refused}");
    }

    #[test]
    fn more_events_per_second_never_get_fewer_partitions() {
        let tunings: Vec<Tuning> = (0..300).map(|thousands| Tuning::for_rate(thousands * 1_000)).collect();
        for two in tunings.windows(2) {
            assert!(two[0].source_partitions <= two[1].source_partitions);
            assert!(two[0].unread_events_max <= two[1].unread_events_max);
        }
    }
}
