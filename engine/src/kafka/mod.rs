//! Kafka's clients: their settings, what they log, and what can be asked of a cluster on the slow path.
//!
//! The settings that Veltrix's guarantees rest on are fixed here and can't be overridden ([`FIXED`] says why for each); everything
//! else of librdkafka is the operator's (`--kafka-property`). The calls of the hot path are in [`native`]; what
//! topics are is asked in [`topics`].

#[doc(hidden)]
pub mod native;
mod queue;
#[doc(hidden)]
pub mod topics;

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// How to reach a cluster, and what else librdkafka is told.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    brokers: String,
    both: BTreeMap<String, String>,
    consumer: BTreeMap<String, String>,
    producer: BTreeMap<String, String>,
}

/// Why a Kafka property was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// There is no `=`. Only the first word is kept: what stands behind it may be a secret.
    #[error(
        "the Kafka property that begins with `{0}` has no `=`; write key=value, for one kind of client consumer.key=value or producer.key=value"
    )]
    NoValue(String),
    /// Veltrix needs it to be what it is.
    #[error("the Kafka property `{key}` can't be set: {why}")]
    Fixed {
        /// The property.
        key: String,
        /// What depends on it.
        why: &'static str,
    },
    /// librdkafka does not take it.
    #[error("librdkafka refuses the Kafka property `{key}` = `{value}`: {reason}")]
    Refused {
        /// The property.
        key: String,
        /// Its value; of secrets a placeholder.
        value: String,
        /// In librdkafka's words.
        reason: String,
    },
    /// A properties file can't be read.
    #[error("can't read the Kafka properties from `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
}

/// Properties that are Veltrix's own, and why.
const FIXED: [(&str, &str); 19] = [
    ("bootstrap.servers", "use --brokers"),
    ("metadata.broker.list", "use --brokers"),
    ("group.id", "use --group"),
    (
        "group.instance.id",
        "the routers of an engine are members of their own; under one id Kafka would fence all but one",
    ),
    ("group.protocol", "the engine takes its partitions on by the classic protocol"),
    (
        "allow.auto.create.topics",
        "a destination that is gone gives dead letters; it is not made anew, with whatever partitions",
    ),
    ("enable.partition.eof", "the end of a partition would pass for an error of it"),
    ("enable.auto.offset.store", "offsets are stored when all deliveries of an event are acknowledged"),
    ("enable.auto.commit", "stored offsets are committed once a second and whenever partitions change hands"),
    ("auto.offset.reset", "use --start-at; a position that Kafka has lost is reported, not silently replaced"),
    ("transactional.id", "deliveries are not sent in transactions, and a producer with this id takes no others"),
    ("enable.idempotence", "without it a retry could deliver twice or out of order"),
    ("acks", "a delivery counts when all in-sync replicas have it"),
    ("request.required.acks", "a delivery counts when all in-sync replicas have it"),
    ("delivery.timeout.ms", "a delivery is tried until the broker is back; giving up would lose the event"),
    ("message.timeout.ms", "a delivery is tried until the broker is back; giving up would lose the event"),
    ("delivery.report.only.error", "offsets wait for the reports of success"),
    ("queue.buffering.max.messages", "use --in-flight-events: what is under way is limited once, before it is sent"),
    ("queue.buffering.max.kbytes", "use --in-flight-mib: what is under way is limited once, before it is sent"),
];

/// Before the operator's own, in this order of precedence: fixed, operator's, these.
const DEFAULTS: [(&str, &str); 2] = [("client.id", "veltrix"), ("socket.keepalive.enable", "true")];

const CONSUMER_DEFAULTS: [(&str, &str); 9] = [
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("check.crcs", "true"),
    ("auto.commit.interval.ms", "1000"),
    // How long the partitions of an engine that was killed wait for another one. It costs nothing while all is well: heartbeats come
    // from a thread of their own, and a router that is busy for long is not mistaken for a dead one.
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "2000"),
    // A broker answers as soon as there is a byte; this is how long it holds a fetch when there is none.
    ("fetch.wait.max.ms", "50"),
    ("fetch.queue.backoff.ms", "20"),
    // What is fetched ahead, for all partitions of a router together: bounded by bytes first.
    ("queued.max.messages.kbytes", "32768"),
    ("queued.min.messages", "50000"),
];

const PRODUCER_DEFAULTS: [(&str, &str); 4] = [
    // Long enough for batches at a high rate, short beside any network's round trip. 0 would send every event alone.
    ("linger.ms", "1"),
    ("batch.size", "1000000"),
    // What brokers and topics take by default; a source's largest record must not fail at its way out.
    ("message.max.bytes", "1048588"),
    // The partitioner of Java's producers, so that a key meets the same partition whoever sends it.
    ("partitioner", "murmur2_random"),
];

impl KafkaSettings {
    /// Settings from `key=value` properties, those of a file first. A key that begins with `consumer.` or `producer.` is for that
    /// kind of client only.
    ///
    /// # Errors
    /// Every property that can't be used.
    pub fn new(
        brokers: impl Into<String>,
        file: Option<&Path>,
        properties: &[String],
    ) -> Result<KafkaSettings, Vec<PropertyError>> {
        let mut settings = KafkaSettings {
            brokers: brokers.into(),
            both: BTreeMap::new(),
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
        };
        let mut errors = Vec::new();
        let mut lines = Vec::new();
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(text) => {
                    lines.extend(text.lines().map(str::trim).filter(|line| is_property(line)).map(str::to_owned))
                }
                Err(error) => errors
                    .push(PropertyError::Unreadable { path: path.display().to_string(), reason: error.to_string() }),
            }
        }
        for line in lines.iter().chain(properties) {
            errors.extend(settings.set(line).err());
        }
        for config in [settings.consumer("check"), settings.producer()] {
            errors.extend(refused(&config));
        }
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    fn set(&mut self, property: &str) -> Result<(), PropertyError> {
        let (key, value) = property.split_once('=').ok_or_else(|| PropertyError::NoValue(key_of(property)))?;
        let (key, value) = (key.trim(), value.trim().to_owned());
        let (properties, key) = match (key.strip_prefix("consumer."), key.strip_prefix("producer.")) {
            (Some(key), _) => (&mut self.consumer, key),
            (_, Some(key)) => (&mut self.producer, key),
            _ => (&mut self.both, key),
        };
        if let Some((key, why)) = FIXED.iter().find(|(fixed, _)| *fixed == key) {
            return Err(PropertyError::Fixed { key: (*key).to_owned(), why });
        }
        properties.insert(key.to_owned(), value);
        Ok(())
    }

    fn config(
        &self,
        defaults: &[(&str, &str)],
        own: &BTreeMap<String, String>,
        fixed: &[(&str, &str)],
    ) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in DEFAULTS.iter().chain(defaults) {
            config.set(*key, *value);
        }
        for (key, value) in self.both.iter().chain(own) {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        // By default producers do, and so do brokers.
        config.set("allow.auto.create.topics", "false");
        for (key, value) in fixed {
            config.set(*key, *value);
        }
        config
    }

    /// For a member of the consumer group.
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let fixed = [
            ("group.id", group),
            ("enable.auto.offset.store", "false"),
            ("enable.auto.commit", "true"),
            ("auto.offset.reset", "error"),
        ];
        self.config(&CONSUMER_DEFAULTS, &self.consumer, &fixed)
    }

    /// For deliveries.
    pub fn producer(&self) -> ClientConfig {
        let fixed = [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("message.timeout.ms", "0"),
            ("delivery.report.only.error", "false"),
            // As good as unlimited: a full queue could only be waited for, and that in the midst of a batch. Routers keep books of
            // what is under way and take no further event beyond their limits.
            ("queue.buffering.max.messages", "0"),
            ("queue.buffering.max.kbytes", "2147483647"),
        ];
        self.config(&PRODUCER_DEFAULTS, &self.producer, &fixed)
    }

    /// For deliveries that must not share a batch with any other.
    pub fn lone_producer(&self) -> ClientConfig {
        let mut config = self.producer();
        config.set("batch.num.messages", "1").set("linger.ms", "0");
        config
    }

    /// For reading all of a topic, as a member of no group.
    pub fn table_reader(&self) -> ClientConfig {
        let fixed = [
            // The client asks for one, and has no use for it: nothing is joined or committed.
            ("group.id", "veltrix-lookups"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
        ];
        self.config(&CONSUMER_DEFAULTS, &self.consumer, &fixed)
    }

    /// For questions about the cluster.
    fn probe(&self) -> ClientConfig {
        self.config(&[], &self.consumer, &[])
    }
}

/// What a line that is no property begins with, as far as it looks like a key.
fn key_of(line: &str) -> String {
    let is_of_a_key = |byte: &char| byte.is_ascii_lowercase() || ".-_".contains(*byte);
    line.trim_start().chars().take_while(is_of_a_key).take(KEY_SHOWN_MAX).collect()
}

/// librdkafka's longest key has 43 characters, and `consumer.` may stand before it.
const KEY_SHOWN_MAX: usize = 60;

fn is_property(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn refused(config: &ClientConfig) -> Option<PropertyError> {
    match config.create_native_config().err()? {
        KafkaError::ClientConfig(_, reason, key, value) => {
            let secret = ["password", "secret", "token", "key"].iter().any(|word| key.contains(word));
            let value = if secret { "…".to_owned() } else { value };
            Some(PropertyError::Refused { key, value, reason })
        }
        other => Some(PropertyError::Refused { key: String::new(), value: String::new(), reason: other.to_string() }),
    }
}

/// Creates a client that logs by way of this module.
pub fn create<C: FromClientConfigAndContext<ClientContext>>(config: &ClientConfig) -> Result<C, KafkaError> {
    config.create_with_context(ClientContext)
}

/// Sends librdkafka's log lines and errors to ours.
#[derive(Clone, Copy, Debug)]
pub struct ClientContext;

impl rdkafka::ClientContext for ClientContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // It comes as an error, too.
            _ if facility == "FAIL" => tracing::debug!(target: "librdkafka", facility, "{message}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            // Its warnings are about settings that one kind of client does not know.
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Who asks to be told where a partition ends is told when it is polled, and it is no error.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return tracing::debug!(target: "librdkafka", "{reason}");
        }
        tracing::warn!(target: "librdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for ClientContext {}

impl ProducerContext for ClientContext {
    type DeliveryOpaque = ();

    /// Only called for what a drop purges; reports are polled in [`native::Producer::poll_reports`].
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}

    fn get_custom_partitioner(&self) -> Option<&NoCustomPartitioner> {
        None
    }
}

/// Questions about a cluster. They block; not for the hot path.
pub(crate) struct Cluster {
    client: BaseConsumer<ClientContext>,
}

impl Cluster {
    /// Asking for each topic on its own, up to so many; beyond that, for all topics at once.
    const SINGLE_QUESTIONS_MAX: usize = 16;

    pub(crate) fn new(settings: &KafkaSettings) -> Result<Cluster, KafkaError> {
        Ok(Cluster { client: create(&settings.probe())? })
    }

    /// Those of `topics` that the cluster does not have. All questions together take no longer than `timeout`; with no topics, none is
    /// asked.
    pub(crate) fn missing<'t>(
        &self,
        topics: impl Iterator<Item = &'t str>,
        timeout: Duration,
    ) -> Result<BTreeSet<&'t str>, KafkaError> {
        let deadline = Instant::now() + timeout;
        let mut missing: BTreeSet<&str> = topics.collect();
        let questions: Vec<Option<&str>> = if missing.len() > Cluster::SINGLE_QUESTIONS_MAX {
            vec![None]
        } else {
            missing.iter().copied().map(Some).collect()
        };
        for topic in questions {
            let metadata = self.client.fetch_metadata(topic, deadline.saturating_duration_since(Instant::now()))?;
            let is_there = |topic: &&MetadataTopic| topic.error().is_none() && !topic.partitions().is_empty();
            for topic in metadata.topics().iter().filter(is_there) {
                missing.remove(topic.name());
            }
        }
        Ok(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(properties: &[&str]) -> Result<KafkaSettings, Vec<PropertyError>> {
        let properties: Vec<String> = properties.iter().map(|text| (*text).to_owned()).collect();
        KafkaSettings::new("localhost:9092", None, &properties)
    }

    #[test]
    fn a_property_overrides_a_default_for_the_clients_that_it_names() {
        let settings = settings(&["linger.ms=7", "consumer.client.id=reader"]).unwrap();
        assert_eq!(settings.producer().get("linger.ms"), Some("7"));
        assert_eq!(settings.producer().get("client.id"), Some("veltrix"));
        assert_eq!(settings.consumer("g").get("client.id"), Some("reader"));
    }

    #[test]
    fn what_the_guarantees_rest_on_can_not_be_set_and_every_bad_property_is_named() {
        let errors = settings(&["acks=0", "producer.message.timeout.ms=1", "nonsense", "no.such.key=1"]).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        for (text, named) in texts.iter().zip(["`acks`", "`message.timeout.ms`", "`nonsense`", "`no.such.key`"]) {
            assert!(text.contains(named), "{text}");
        }
        for (key, why) in FIXED {
            for property in [format!("{key}=1"), format!("consumer.{key}=1"), format!("producer.{key}=1")] {
                let errors = settings(&[&property]).unwrap_err();
                assert_eq!(errors, [PropertyError::Fixed { key: key.to_owned(), why }]);
            }
        }
    }

    #[test]
    fn no_client_creates_topics() {
        let settings = settings(&[]).unwrap();
        let consumers = [settings.consumer("g"), settings.table_reader(), settings.probe()];
        for config in [settings.producer(), settings.lone_producer()].into_iter().chain(consumers) {
            assert_eq!(config.get("allow.auto.create.topics"), Some("false"));
        }
    }

    #[test]
    fn a_property_without_a_value_is_named_by_its_key_alone() {
        for line in
            ["sasl.password: hunter2", "sasl.password hunter2", "sasl.password:hunter2", " sasl.password\thunter2"]
        {
            let text = settings(&[line]).unwrap_err()[0].to_string();
            assert!(text.contains("`sasl.password`") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn the_lone_producer_sends_each_record_alone_whatever_is_set() {
        let settings = settings(&["producer.batch.num.messages=100", "linger.ms=7"]).unwrap();
        assert_eq!(settings.producer().get("batch.num.messages"), Some("100"));
        assert_eq!(settings.lone_producer().get("batch.num.messages"), Some("1"));
        assert_eq!(settings.lone_producer().get("linger.ms"), Some("0"));
    }

    #[test]
    fn a_file_of_properties_is_read_and_a_flag_goes_before_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# comment\n\nlinger.ms = 9\nclient.id=from-file\n").unwrap();
        let settings =
            KafkaSettings::new("localhost:9092", Some(file.path()), &["client.id=from-flag".to_owned()]).unwrap();
        assert_eq!(settings.producer().get("linger.ms"), Some("9"));
        assert_eq!(settings.producer().get("client.id"), Some("from-flag"));
    }

    #[test]
    fn the_end_of_a_partition_is_no_warning() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let writer = std::sync::Arc::new(log.reopen().unwrap());
        let warnings = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(writer).finish();
        tracing::subscriber::with_default(warnings, || {
            for code in [RDKafkaErrorCode::PartitionEOF, RDKafkaErrorCode::AllBrokersDown] {
                rdkafka::ClientContext::error(&ClientContext, KafkaError::Global(code), &format!("{code:?}"));
            }
        });
        let log = std::fs::read_to_string(log.path()).unwrap();
        assert!(log.contains("AllBrokersDown") && !log.contains("PartitionEOF"), "{log}");
    }
}
