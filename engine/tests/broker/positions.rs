//! Where reading begins: in a topic that was created anew under its old name, and in partitions that were added later.

use crate::fleet::{Broker, EngineProcess, Fleet, PATIENCE};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

const TIMEOUT: Duration = Duration::from_secs(10);

/// An engine's source and the one destination that every event of these tests has.
struct Topics {
    bootstrap: String,
    group: String,
    source: String,
    destination: String,
}

type Keys = BTreeSet<String>;

fn keys(name: &str, partitions: Range<i32>, count: usize) -> Keys {
    partitions.flat_map(|partition| (0..count).map(move |nth| format!("{name}/{partition}/{nth}"))).collect()
}

impl Topics {
    fn of(fleet: &Fleet) -> Topics {
        Topics {
            bootstrap: fleet.bootstrap(),
            group: fleet.prefix.clone(),
            source: fleet.source(),
            destination: format!("{}-hunt-leaderboard", fleet.prefix),
        }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("group.id", &self.group);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    /// Sends `count` events to each of these partitions, and returns their keys.
    fn send(&self, name: &str, partitions: Range<i32>, count: usize) -> Keys {
        let producer: BaseProducer = self.client().create().unwrap();
        let sent = keys(name, partitions, count);
        for key in &sent {
            let partition = key.split('/').nth(1).unwrap().parse().unwrap();
            let header = |key, value| Header { key, value: Some(value) };
            let headers = OwnedHeaders::new().insert(header("ce_type", "hunt.clue.found"));
            let headers = headers.insert(header("ce_region", "eu"));
            let record = BaseRecord::to(&self.source).partition(partition).key(key).payload("").headers(headers);
            assert!(producer.send(record).is_ok());
        }
        producer.flush(PATIENCE).unwrap();
        sent
    }

    /// Everything that was delivered, once all of `expected` were.
    fn wait_for(&self, expected: &Keys) -> Keys {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let mut list = TopicPartitionList::new();
        (0..3).for_each(|partition| {
            list.add_partition_offset(&self.destination, partition, Offset::Beginning).unwrap();
        });
        consumer.assign(&list).unwrap();
        let (mut arrived, deadline) = (Keys::new(), Instant::now() + PATIENCE);
        while !arrived.is_superset(expected) {
            let missing: Vec<_> = expected.difference(&arrived).take(3).collect();
            let count = expected.difference(&arrived).count();
            assert!(Instant::now() < deadline, "{count} events were not delivered: {missing:?}, …");
            let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
            arrived.insert(String::from_utf8(record.unwrap().key().unwrap().to_vec()).unwrap());
        }
        arrived
    }

    /// Deletes the source and creates another topic of its name.
    async fn create_anew(&self, partitions: i32) {
        let (admin, options) = (self.admin(), AdminOptions::new());
        for deleted in admin.delete_topics(&[&self.source], &options).await.unwrap() {
            deleted.unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let new = NewTopic::new(&self.source, partitions, TopicReplication::Fixed(1));
            match admin.create_topics(&[new], &options).await.unwrap().remove(0) {
                Ok(_) => return,
                // The old one is not quite gone.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => assert!(Instant::now() < deadline),
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn committed(&self, partitions: i32) -> TopicPartitionList {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.source, 0, partitions - 1);
        consumer.committed_offsets(list, TIMEOUT).unwrap()
    }

    /// As an engine does that has not noticed yet that the topic is another one. Kafka takes it when it has given up the members that
    /// were killed.
    fn commit(&self, offsets: &TopicPartitionList) {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = consumer.commit(offsets, CommitMode::Sync) {
            assert!(Instant::now() < deadline, "{error}");
        }
    }
}

/// Everything that was sent is delivered and committed, and an engine that starts after that has nothing to complain of.
async fn all_is_well(fleet: &Fleet, topics: &Topics, sent: &Keys) {
    block_in_place(|| {
        topics.wait_for(sent);
        fleet.wait_until_committed();
    });
    let engine = fleet.start_engine(7);
    fleet.wait_for_engines(1).await;
    assert!(!engine.log().contains("GAP"), "{}", engine.log());
    assert_eq!(engine.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_created_anew_under_a_running_engine_is_read_from_its_first_event() {
    for start_at in ["earliest", "latest"] {
        let Some(broker) = Broker::real("a topic that is created anew under an engine") else { return };
        let fleet = Fleet::start(broker, &format!("anew-{start_at}"), 2).await;
        let topics = Topics::of(&fleet);
        let engine = fleet.start_engine_with(0, &["--start-at", start_at]);
        fleet.wait_for_engines(1).await;
        block_in_place(|| topics.wait_for(&topics.send("old", 0..2, 100)));
        topics.create_anew(2).await;
        // Beyond the old offset, at once.
        let new = block_in_place(|| topics.send("new", 0..2, 300));
        block_in_place(|| topics.wait_for(&new));
        assert!(engine.log().contains("created anew"), "{}", engine.log());
        assert_eq!(engine.terminate(), Some(0));
        all_is_well(&fleet, &topics, &new).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_topics_offset_is_not_taken_for_one_of_the_new_topic_after_a_kill() {
    for start_at in ["earliest", "latest"] {
        let Some(broker) = Broker::real("an old topic's offset after a kill") else { return };
        let fleet = Fleet::start(broker, &format!("killed-{start_at}"), 2).await;
        let topics = Topics::of(&fleet);
        let engine = fleet.start_engine_with(0, &["--start-at", start_at]);
        fleet.wait_for_engines(1).await;
        let committed = block_in_place(|| {
            topics.wait_for(&topics.send("old", 0..2, 100));
            fleet.wait_until_committed();
            topics.committed(2)
        });
        engine.kill();
        topics.create_anew(2).await;
        let new = block_in_place(|| topics.send("new", 0..2, 300));
        // Kafka has deleted the offsets with the topic. An engine that had not noticed commits once more.
        block_in_place(|| topics.commit(&committed));
        let engine = fleet.start_engine_with(1, &["--start-at", start_at]);
        block_in_place(|| topics.wait_for(&new));
        assert!(engine.log().contains("created anew"), "{}", engine.log());
        assert_eq!(engine.terminate(), Some(0));
        all_is_well(&fleet, &topics, &new).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_created_anew_is_read_from_its_first_event_when_an_engine_slept_through_it() {
    let Some(broker) = Broker::real("an engine that slept while a topic was created anew") else { return };
    let fleet = Fleet::start(broker, "slept", 4).await;
    let topics = Topics::of(&fleet);
    let engines = [fleet.start_engine(0), fleet.start_engine(1)];
    fleet.wait_for_engines(2).await;
    block_in_place(|| topics.wait_for(&topics.send("old", 0..4, 100)));
    engines[0].signal(Signal::STOP);
    topics.create_anew(4).await;
    let new = block_in_place(|| topics.send("new", 0..4, 300));
    engines[0].signal(Signal::CONT);
    block_in_place(|| topics.wait_for(&new));
    assert_eq!(engines.map(EngineProcess::terminate), [Some(0), Some(0)]);
    all_is_well(&fleet, &topics, &new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_skips_what_was_there_before_the_group_and_nothing_of_partitions_that_are_added_later() {
    let Some(broker) = Broker::real("partitions that are added to a topic read from its end") else { return };
    let mut fleet = Fleet::start(broker, "added", 4).await;
    let topics = Topics::of(&fleet);
    let before = block_in_place(|| topics.send("before", 0..4, 50));
    let arguments = ["--start-at", "latest", "--kafka-property", "consumer.topic.metadata.refresh.interval.ms=500"];
    let engines = [0, 1].map(|number| fleet.start_engine_with(number, &arguments));
    fleet.wait_for_engines(2).await;
    let mut expected = block_in_place(|| topics.send("after", 0..4, 50));
    block_in_place(|| topics.wait_for(&expected));
    let (admin, options) = (topics.admin(), AdminOptions::new());
    for added in admin.create_partitions(&[NewPartitions::new(&topics.source, 6)], &options).await.unwrap() {
        added.unwrap();
    }
    fleet.partitions = 6;
    expected.extend(block_in_place(|| topics.send("added", 4..6, 50)));
    let arrived = block_in_place(|| topics.wait_for(&expected));
    assert!(arrived.is_disjoint(&before), "what was there before the group is not skipped");
    assert_eq!(engines.map(EngineProcess::terminate), [Some(0), Some(0)]);
    all_is_well(&fleet, &topics, &expected).await;
}
