//! What a router relies on when partitions change hands in the midst of a batch.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};
use veltrix_engine::dev::broker::EmbeddedBroker;
use veltrix_engine::kafka::native::{Batch, Consumer, TopicPartition};
use veltrix_engine::kafka::{KafkaSettings, create};

const PER_PARTITION: usize = 20;

#[test]
fn what_was_not_taken_yet_of_a_partition_that_is_given_up_is_not_taken_any_more() {
    let broker = EmbeddedBroker::start(&[("source", NonZeroU16::new(2).unwrap())]).unwrap();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker.bootstrap_servers()).create().unwrap();
    for number in 0..PER_PARTITION * 2 {
        producer.send(BaseRecord::to("source").key("key").payload("payload").partition((number % 2) as i32)).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();

    let settings = KafkaSettings::new(broker.bootstrap_servers(), None, &[]).unwrap();
    let consumer = Arc::new(Consumer::new(create(&settings.consumer("group")).unwrap()));
    let mut both = TopicPartitionList::new();
    for partition in 0..2 {
        both.add_partition_offset("source", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&both).unwrap();

    let given_up = [TopicPartition { topic: "source".to_owned(), partition: 0 }];
    let mut batch = Batch::new(consumer, PER_PARTITION * 2);
    let (mut batches, mut of_given_up, mut of_kept) = (0, Vec::new(), Vec::new());
    let deadline = Instant::now() + Duration::from_secs(30);
    while of_kept.len() < PER_PARTITION {
        assert!(Instant::now() < deadline, "{of_given_up:?} {of_kept:?}");
        assert!(batch.is_done());
        batch.fill(Duration::from_millis(10));
        batches += usize::from(!batch.is_done());
        let mut is_first = true;
        while !batch.is_done() {
            for record in batch.take(1) {
                if record.partition() == 0 { &mut of_given_up } else { &mut of_kept }.push(record.offset());
            }
            if std::mem::take(&mut is_first) {
                batch.discard(&given_up);
            }
        }
    }
    assert_eq!(of_kept, (0..PER_PARTITION as i64).collect::<Vec<_>>());
    assert!(of_given_up.len() <= batches && of_given_up.len() < PER_PARTITION, "{batches} batches: {of_given_up:?}");
}
