//! Reference tables from compacted topics: read from the beginning to the end, then followed.
//!
//! The consumer is nobody's member and commits nothing: every engine reads all of a table. It is ready when each partition was read to
//! where it ended then. What comes later is published every [`PUBLISH_EVERY`], so that a change is there soon, and a burst of them
//! is not published one by one. A topic that was deleted and created anew is another one, which its id tells, and is read from its beginning.

use super::answer::{self, Unreadable};
use super::table::{Edition, Entries, Table, TooLarge};
use crate::kafka::topics::{Question, TopicId};
use crate::kafka::{self, ClientContext, KafkaSettings};
use crate::stop::{Stop, Stopping};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use veltrix_route_table::limits::LOOKUP_KEY_BYTES;

/// How long it takes until a change is there, at most, besides what Kafka takes.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);
/// How long a question to Kafka may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts to read what can't be read.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// The same of what was read far enough to be known as too large.
const TOO_LARGE_AGAIN: Duration = Duration::from_secs(60);
/// Between two looks at whether the topic has more partitions, or is another one.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why a topic can't be used.
#[derive(Debug, thiserror::Error)]
enum TopicFault {
    #[error("can't create a Kafka client: {0}")]
    Client(#[source] KafkaError),
    #[error("the cluster has no topic `{0}`; create it, compacted, or name another")]
    Missing(String),
    #[error("can't read topic `{topic}`: {source}")]
    Kafka { topic: String, source: KafkaError },
    #[error("topic `{0}` was deleted and created anew; it is read from its beginning")]
    Another(String),
    #[error("topic `{topic}` is too large: {why}")]
    TooLarge { topic: String, why: TooLarge },
}

/// A table's topic.
pub(super) struct TopicTable {
    /// Of the lookup.
    id: String,
    topic: String,
    settings: KafkaSettings,
    table: Arc<Table>,
    is_ready: bool,
    /// Whether that is so since it was begun to be read anew.
    is_read: bool,
    unreadable: Unreadable,
}

impl TopicTable {
    pub(super) fn new(id: String, topic: String, settings: KafkaSettings, table: Arc<Table>) -> TopicTable {
        TopicTable { id, topic, settings, table, is_ready: false, is_read: false, unreadable: Unreadable::default() }
    }

    /// Reads it, and goes on with what is new, until nobody needs it any more. After a fault it is read from its beginning; until that is
    /// done, the table stays as it was, unless it has become too large.
    pub(super) fn follow(mut self, stop: &Stop) {
        while let Err(fault) = self.read(stop) {
            let lookup = &self.id;
            if self.is_ready && !matches!(fault, TopicFault::TooLarge { .. }) {
                tracing::error!(lookup, "the reference table stays as it was until it can be read anew: {fault}");
            } else {
                self.is_ready = false;
                tracing::error!(lookup, "the reference table can't be used: {fault}");
                self.table.publish(Edition::Unusable(fault.to_string()));
            }
            let pause = if matches!(fault, TopicFault::TooLarge { .. }) { TOO_LARGE_AGAIN } else { TRY_AGAIN };
            if stop.wait(pause) {
                return;
            }
        }
    }

    /// Returns when it is told to stop.
    fn read(&mut self, stop: &Stop) -> Result<(), TopicFault> {
        let consumer: Arc<BaseConsumer<ClientContext>> =
            Arc::new(kafka::create(&self.settings.table_reader()).map_err(TopicFault::Client)?);
        let (mut partitions, mut id) = (0, None);
        self.is_read = false;
        self.unreadable = Unreadable::default();
        self.take_on(&consumer, &mut partitions, &mut id)?;
        // Those whose end was not seen yet.
        let mut unread: BTreeSet<i32> = (0..partitions).collect();
        let mut entries = Entries::new();
        let (mut is_changed, mut published, mut looked) = (false, Instant::now(), Instant::now());
        while stop.state() == Stopping::No {
            match consumer.poll(PUBLISH_EVERY) {
                None => {}
                Some(Ok(record)) => {
                    self.apply(&record, &mut entries)?;
                    is_changed = true;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    is_changed |= unread.remove(&partition);
                }
                Some(Err(source)) if is_passing(&source) => {
                    tracing::warn!(
                        lookup = self.id,
                        topic = self.topic,
                        "the reference table can't be read for now: {source}"
                    );
                }
                Some(Err(source)) => return Err(TopicFault::Kafka { topic: self.topic.clone(), source }),
            }
            if is_changed && published.elapsed() >= PUBLISH_EVERY || (unread.is_empty() && !self.is_read) {
                self.publish(&entries, unread.is_empty());
                (is_changed, published) = (false, Instant::now());
            }
            if self.is_read {
                self.unreadable.say(&self.id);
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                let before = partitions;
                self.take_on(&consumer, &mut partitions, &mut id)?;
                unread.extend(before..partitions);
            }
        }
        Ok(())
    }

    /// Begins to read the partitions that are not read yet, each from its first record. What was read so far was of the topic `id`.
    fn take_on(
        &self,
        consumer: &Arc<BaseConsumer<ClientContext>>,
        partitions: &mut i32,
        id: &mut Option<TopicId>,
    ) -> Result<(), TopicFault> {
        let fault = |source| TopicFault::Kafka { topic: self.topic.clone(), source };
        let metadata = consumer.fetch_metadata(Some(&self.topic), ANSWER_TIMEOUT).map_err(fault)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let count = topic.filter(|topic| topic.error().is_none()).map_or(0, |topic| topic.partitions().len());
        if count == 0 {
            return Err(TopicFault::Missing(self.topic.clone()));
        }
        let now = self.id_now(consumer, metadata.orig_broker_id());
        if id.is_some() && now.is_some() && *id != now {
            return Err(TopicFault::Another(self.topic.clone()));
        }
        *id = now.or(id.take());
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        if count > *partitions {
            let mut list = TopicPartitionList::new();
            for partition in *partitions..count {
                list.add_partition_offset(&self.topic, partition, Offset::Beginning).map_err(fault)?;
            }
            consumer.incremental_assign(&list).map_err(fault)?;
            *partitions = count;
        }
        Ok(())
    }

    /// Which topic has the name now; `None`: that can't be said, as by brokers before Kafka 2.8.
    fn id_now(&self, consumer: &Arc<BaseConsumer<ClientContext>>, broker: i32) -> Option<TopicId> {
        let name = std::iter::once(self.topic.as_str());
        let question = Question::ask(consumer, name, (broker >= 0).then_some(broker), ANSWER_TIMEOUT).ok()?;
        let answer = question.answer(ANSWER_TIMEOUT)?.ok()?;
        answer.into_values().next()?.ok()?.id
    }

    fn apply(&mut self, record: &BorrowedMessage<'_>, entries: &mut Entries) -> Result<(), TopicFault> {
        // A compacted topic takes none without a key; under one that is too long nobody looks.
        let Some(key) = record.key().filter(|key| key.len() as u64 <= LOOKUP_KEY_BYTES.max) else { return Ok(()) };
        let Some(value) = record.payload() else {
            entries.remove(key);
            return Ok(());
        };
        let put = match answer::check(value) {
            Ok(()) => entries.put(key, value),
            Err(unfit) => {
                let place = || format!("key `{}` at {}/{}", key.escape_ascii(), record.partition(), record.offset());
                self.unreadable.note(place, unfit);
                entries.put_failed(key, &unfit.to_string())
            }
        };
        put.map_err(|why| TopicFault::TooLarge { topic: self.topic.clone(), why })
    }

    fn publish(&mut self, entries: &Entries, is_read: bool) {
        match (is_read, self.is_ready) {
            (true, _) => {
                if !self.is_read {
                    tracing::info!(
                        lookup = self.id,
                        topic = self.topic,
                        entries = entries.count(),
                        "reference table read"
                    );
                }
                (self.is_ready, self.is_read) = (true, true);
                self.table.publish(Edition::Ready(entries.clone()));
            }
            (false, false) => self.table.publish(Edition::Reading(entries.count())),
            // It is read anew, and stays as it was until that is done.
            (false, true) => {}
        }
    }
}

/// Whether a client goes on by itself after this.
fn is_passing(error: &KafkaError) -> bool {
    let KafkaError::MessageConsumption(code) = error else { return false };
    !matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::Fatal
    )
}

#[cfg(test)]
mod tests {
    use super::super::table::View;
    use super::*;
    use crate::dev::broker::EmbeddedBroker;
    use rdkafka::ClientConfig;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use std::num::NonZeroU16;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn send(producer: &BaseProducer, records: &[(&str, Option<&str>)]) {
        for (key, value) in records {
            let record = BaseRecord::<str, str>::to("players").key(key);
            let record = if let Some(value) = value { record.payload(value) } else { record };
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Runs `test` while a table is followed.
    fn following(broker: &EmbeddedBroker, topic: &str, test: impl FnOnce(&Arc<Table>)) {
        let settings = KafkaSettings::new(broker.bootstrap_servers(), None, &[]).unwrap();
        let (table, stop) = (Table::new(), Stop::default());
        let reading = TopicTable::new("player".to_owned(), topic.to_owned(), settings, Arc::clone(&table));
        std::thread::scope(|scope| {
            scope.spawn(|| reading.follow(&stop));
            // Also when the test fails, or the scope would wait for ever.
            let tested = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&table)));
            stop.stop(Duration::ZERO);
            tested.unwrap();
        });
    }

    #[test]
    fn a_table_is_ready_when_it_was_read_to_its_end_and_is_followed_from_there() {
        let broker = EmbeddedBroker::start(&[("players", NonZeroU16::new(3).unwrap())]).unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker.bootstrap_servers()).set("message.max.bytes", "4000000");
        let producer: BaseProducer = client.create().unwrap();
        let all: Vec<(String, String)> = (0..500).map(|n| (format!("p{}", n % 100), n.to_string())).collect();
        let all: Vec<_> = all.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))).collect();
        send(&producer, &all);
        let too_long = "1".repeat((1 << 20) + 1);
        send(&producer, &[("p7", None), ("p8", Some(&too_long)), ("p6", Some("gold"))]);
        following(&broker, "players", |table| {
            let deadline = Instant::now() + PATIENCE;
            table.wait(deadline).unwrap();
            let mut view = View::new(table);
            assert_eq!((view.get(b"p9"), view.get(b"p99")), (Ok(Some(&b"409"[..])), Ok(Some(&b"499"[..]))));
            assert_eq!((view.get(b"p7"), view.get(b"p100")), (Ok(None), Ok(None)));
            assert_eq!(
                view.get(b"p8"),
                Err("the answer has 1048577 bytes; the limit `lookup_answer_bytes` is 1048576")
            );
            assert!(view.get(b"p6").unwrap_err().starts_with("the answer is no JSON"), "{:?}", view.get(b"p6"));
            send(&producer, &[("p7", Some("1")), ("p9", None)]);
            while (view.get(b"p7"), view.get(b"p9")) != (Ok(Some(b"1")), Ok(None)) {
                assert!(Instant::now() < deadline, "{:?}", (view.get(b"p7"), view.get(b"p9")));
                std::thread::yield_now();
                view.refresh();
            }
        });
    }

    #[test]
    fn an_empty_topic_is_an_empty_table_and_one_that_is_not_there_is_refused_by_name() {
        let broker = EmbeddedBroker::start(&[("players", NonZeroU16::MIN)]).unwrap();
        following(&broker, "players", |table| {
            table.wait(Instant::now() + PATIENCE).unwrap();
            assert_eq!(View::new(table).get(b"p7"), Ok(None));
        });
        following(&broker, "nobodys", |table| {
            let why = table.wait(Instant::now() + PATIENCE).unwrap_err();
            assert!(why.contains("no topic `nobodys`"), "{why}");
        });
    }
}
