//! What can't be delivered becomes a dead letter with its reason, and holds nobody up.

use crate::fleet::{Fleet, PATIENCE, embedded};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A record that arrived, as far as these tests care.
#[derive(Debug)]
struct Arrived {
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: BTreeMap<String, String>,
}

/// Reads `count` records from the start of a topic with one partition.
fn read(bootstrap: &str, topic: &str, count: usize) -> Vec<Arrived> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", "reader").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
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

struct Sender(BaseProducer);

impl Sender {
    fn new(bootstrap: &str) -> Sender {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("message.max.bytes", "8000000")
            .create()
            .unwrap();
        Sender(producer)
    }

    fn send(&self, topic: &str, key: &[u8], payload: &[u8], headers: &[(&str, &[u8])]) {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
        assert!(self.0.send(BaseRecord::to(topic).key(key).payload(payload).headers(headers)).is_ok());
        self.0.flush(PATIENCE).unwrap();
    }
}

const CLUE: (&str, &[u8]) = ("ce_type", b"hunt.clue.found");

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_delivered_becomes_a_dead_letter_and_the_next_event_is_delivered() {
    let fleet = Fleet::start(embedded("letters", 1), "letters", 1).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let (bootstrap, source) = (fleet.bootstrap(), fleet.source());
    let (leaderboard, letters) =
        (format!("{}-hunt-leaderboard", fleet.prefix), format!("{}-dead-letters", fleet.prefix));
    let region = ("ce_region", b"eu".as_slice());
    let reading = tokio::task::spawn_blocking(move || {
        let sender = Sender::new(&bootstrap);
        let large = vec![b'x'; 1_200_000];
        sender.send(&source, b"no type", b"payload", &[("other", b"1")]);
        sender.send(&source, b"large payload", &large, &[CLUE, region]);
        sender.send(&source, &large, b"large key", &[CLUE, region]);
        sender.send(&source, b"large header", b"", &[CLUE, region, ("large", &large)]);
        sender.send(&source, b"good", b"payload", &[CLUE, region, ("veltrix-route", b"forged")]);
        // Each of the large ones has two destinations, the leaderboard and the analytics, and is too large for both.
        (read(&bootstrap, &leaderboard, 1), read(&bootstrap, &letters, 7))
    });
    let (delivered, letters) = reading.await.unwrap();
    assert_eq!(
        (delivered[0].key.as_deref(), delivered[0].payload.as_deref()),
        (Some(&b"good"[..]), Some(&b"payload"[..]))
    );
    assert_eq!(delivered[0].headers["veltrix-route"], "leaderboard");

    let source = fleet.source();
    let at = |offset: usize| format!("{source}/0/{offset}");
    let of = |offset: usize| -> Vec<&Arrived> {
        letters.iter().filter(|letter| letter.headers["veltrix-source"] == at(offset)).collect()
    };
    let unreadable = of(0)[0];
    assert_eq!(unreadable.headers["veltrix-dead-letter-cause"], "unreadable");
    assert!(unreadable.headers["veltrix-dead-letter-reason"].contains("ce_type"), "{unreadable:?}");
    assert_eq!(
        (unreadable.key.as_deref(), unreadable.payload.as_deref()),
        (Some(&b"no type"[..]), Some(&b"payload"[..]))
    );
    for (offset, omitted) in [(1, "payload"), (2, "key"), (3, "headers")] {
        assert_eq!(of(offset).len(), 2, "offset {offset}");
        for letter in of(offset) {
            assert_eq!(letter.headers["veltrix-dead-letter-cause"], "too_large");
            assert!(
                letter.headers.contains_key(&format!("veltrix-dead-letter-{omitted}-omitted")),
                "{:?}",
                letter.headers
            );
        }
    }
    assert_eq!(engine.terminate(), Some(0));
}
