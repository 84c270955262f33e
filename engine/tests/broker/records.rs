//! Single records: sends them, and reads what arrived.

use crate::fleet::PATIENCE;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A record that arrived, as far as these tests care.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// Reads records from the start of a topic until there are `count`.
pub(crate) fn read(bootstrap: &str, topic: &str, count: usize) -> Vec<Arrived> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", "reader").create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut arrived, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while arrived.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} in {topic}: {arrived:?}", arrived.len());
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        let record = record.unwrap();
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
        arrived.push(Arrived {
            key: record.key().map(<[u8]>::to_vec),
            payload: record.payload().map(<[u8]>::to_vec),
            headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
        });
    }
    arrived
}

/// Reads what a topic has.
pub(crate) fn read_all(bootstrap: &str, topic: &str) -> Vec<Arrived> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let count = |partition: i32| {
        let (first, end) = consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap();
        usize::try_from(end - first).unwrap()
    };
    read(bootstrap, topic, metadata.topics()[0].partitions().iter().map(|partition| count(partition.id())).sum())
}

/// Sends events.
pub(crate) struct Sender(BaseProducer);

impl Sender {
    pub(crate) fn new(bootstrap: &str) -> Sender {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("message.max.bytes", "8000000")
            .create()
            .unwrap();
        Sender(producer)
    }

    pub(crate) fn send(&self, topic: &str, key: &[u8], payload: &[u8], headers: &[(&str, &[u8])]) {
        self.queue(topic, Some(key), payload, headers);
        self.flush();
    }

    /// Queues a record of a table; without a payload it takes the key away.
    pub(crate) fn queue_record(&self, topic: &str, key: &[u8], payload: Option<&[u8]>) {
        let record = BaseRecord::<[u8], [u8]>::to(topic).key(key);
        assert!(self.0.send(if let Some(payload) = payload { record.payload(payload) } else { record }).is_ok());
    }

    pub(crate) fn flush(&self) {
        self.0.flush(PATIENCE).unwrap();
    }

    pub(crate) fn queue(&self, topic: &str, key: Option<&[u8]>, payload: &[u8], headers: &[(&str, &[u8])]) {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
        let record = BaseRecord::to(topic).payload(payload).headers(headers);
        assert!(self.0.send(if let Some(key) = key { record.key(key) } else { record }).is_ok());
    }
}
