//! The partitions that a router has: where reading starts, what may be committed, how they are taken on and given up.
//!
//! Only stored offsets are ever committed, and only through the group's own state (never a list of our own, which Kafka would accept
//! even for partitions that are somebody else's by then).

use super::dispatch::Dispatch;
use super::{RouterFault, StartAt};
use crate::kafka::native::{Consumer, Record, TopicPartition};
use crate::metrics::Metrics;
use crate::offsets::{PartitionIndex, Tracker};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::ffi::CString;
use std::time::{Duration, Instant};

/// How long a question to the broker may take while partitions change hands.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Partitions {
    start_at: StartAt,
    list: Vec<Partition>,
    /// Where the last record's partition stands in the list: records of one partition come in runs.
    last: usize,
}

struct Partition {
    name: TopicPartition,
    topic: CString,
    /// As records show it; 0 until the first one.
    topic_identity: usize,
    index: PartitionIndex,
    /// The next offset to be read, as far as is known.
    next: Option<i64>,
}

impl Partitions {
    pub(super) fn new(start_at: StartAt) -> Partitions {
        Partitions { start_at, list: Vec::new(), last: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The partition of a record, and notes that it was read. `None`: it is not ours any more.
    #[inline]
    pub(super) fn of(&mut self, record: &Record<'_>) -> Option<PartitionIndex> {
        let is_it = |partition: &Partition| {
            partition.name.partition == record.partition() && partition.topic_identity == record.topic_identity()
        };
        if !self.list.get(self.last).is_some_and(is_it) {
            self.last = self.list.iter().position(is_it).or_else(|| self.meet(record))?;
        }
        let partition = self.list.get_mut(self.last)?;
        partition.next = Some(record.offset() + 1);
        Some(partition.index)
    }

    /// The first record of a partition: from here on its topic is known without comparing names.
    #[cold]
    fn meet(&mut self, record: &Record<'_>) -> Option<usize> {
        let found = self.list.iter_mut().enumerate().find(|(_, partition)| {
            partition.name.partition == record.partition() && partition.name.topic == record.topic()
        });
        let (place, partition) = found?;
        partition.topic_identity = record.topic_identity();
        Some(place)
    }

    /// Starts to read partitions, each where its events that were not delivered begin.
    pub(super) fn take_on(
        &mut self,
        partitions: &[TopicPartition],
        consumer: &Consumer,
        dispatch: &mut Dispatch,
    ) -> Result<(), RouterFault> {
        let mut list = list_of(partitions);
        if !partitions.is_empty() {
            let asking = |source| RouterFault::Kafka { doing: "ask for the committed offsets", source };
            list = consumer.client().committed_offsets(list, ANSWER_TIMEOUT).map_err(asking)?;
        }
        let mut starts = TopicPartitionList::with_capacity(partitions.len());
        for element in list.elements() {
            let name = TopicPartition { topic: element.topic().to_owned(), partition: element.partition() };
            // Without this, an offset that could not be asked for would pass for one that was never committed.
            let asking = |source| RouterFault::Kafka { doing: "ask for the committed offsets", source };
            element.error().map_err(asking)?;
            let start = match element.offset() {
                Offset::Offset(committed) => {
                    self.check_position(&name, committed, consumer, &dispatch.metrics.shared)?
                }
                _ => match self.start_at {
                    StartAt::Earliest => Offset::Beginning,
                    StartAt::Latest => end_of(&name, consumer)?,
                },
            };
            let adding = |source| RouterFault::Kafka { doing: "take on partitions", source };
            starts.add_partition_offset(&name.topic, name.partition, start).map_err(adding)?;
            let next = if let Offset::Offset(offset) = start { Some(offset) } else { None };
            let topic = CString::new(name.topic.as_str()).unwrap_or_default();
            self.forget(&name, &mut dispatch.tracker);
            let index = dispatch.tracker.add_partition();
            self.list.push(Partition { name, topic, topic_identity: 0, index, next });
        }
        consumer.assign(&starts).map_err(|source| RouterFault::Kafka { doing: "take on partitions", source })?;
        if self.start_at == StartAt::Latest {
            // Beginnings are not events of ours, so that the tracker would never store them.
            let _ = consumer.client().store_offsets(&starts);
        }
        Ok(())
    }

    /// Where to start with a committed offset. If Kafka has deleted what is behind it, that is said loudly, and reading goes on with
    /// the oldest event there is.
    fn check_position(
        &self,
        name: &TopicPartition,
        committed: i64,
        consumer: &Consumer,
        metrics: &Metrics,
    ) -> Result<Offset, RouterFault> {
        let TopicPartition { topic, partition } = name;
        let asking = |source| RouterFault::Kafka { doing: "ask for a partition's first and last offset", source };
        let (first, end) = consumer.client().fetch_watermarks(topic, *partition, ANSWER_TIMEOUT).map_err(asking)?;
        if (first..=end).contains(&committed) {
            return Ok(Offset::Offset(committed));
        }
        metrics.gaps.inc();
        metrics.gap_events.inc_by(u64::try_from(first - committed).unwrap_or(0));
        tracing::error!(
            topic,
            partition,
            committed,
            first,
            end,
            "GAP: the committed offset is not in Kafka any more (retention, or the topic was created anew); \
             reading goes on with the oldest event"
        );
        Ok(Offset::Offset(first))
    }

    /// Gives partitions up: what is under way may end within `patience`, what has ended is committed, the rest is the next owner's.
    pub(super) fn give_up(
        &mut self,
        partitions: &[TopicPartition],
        consumer: &Consumer,
        dispatch: &mut Dispatch,
        patience: Duration,
    ) -> Result<(), RouterFault> {
        let lost = consumer.is_assignment_lost();
        if !lost {
            let deadline = Instant::now() + patience;
            let under_way = |this: &Self, tracker: &Tracker| -> usize {
                let given_up = this.list.iter().filter(|partition| partitions.contains(&partition.name));
                given_up.map(|partition| tracker.events_of(partition.index)).sum()
            };
            while under_way(self, &dispatch.tracker) > 0 && Instant::now() < deadline {
                dispatch.handle_reports(Duration::from_millis(5))?;
            }
            self.store_progress(consumer, &mut dispatch.tracker);
            self.commit(consumer);
        }
        for name in partitions {
            self.forget(name, &mut dispatch.tracker);
        }
        let giving_up = |source| RouterFault::Kafka { doing: "give up partitions", source };
        consumer.unassign(&list_of(partitions)).map_err(giving_up)
    }

    fn forget(&mut self, name: &TopicPartition, tracker: &mut Tracker) {
        self.list.retain(|partition| {
            let stays = partition.name != *name;
            if !stays {
                tracker.remove_partition(partition.index);
            }
            stays
        });
        self.last = 0;
    }

    /// Tells the client what may be committed; it does so once a second.
    pub(super) fn store_progress(&self, consumer: &Consumer, tracker: &mut Tracker) {
        let mut progress = TopicPartitionList::new();
        for partition in &self.list {
            if let Some(offset) = tracker.take_progress(partition.index) {
                let TopicPartition { topic, partition } = &partition.name;
                let _ = progress.add_partition_offset(topic, *partition, Offset::Offset(offset.get()));
            }
        }
        if progress.count() > 0
            && let Err(error) = consumer.client().store_offsets(&progress)
        {
            // Expected while partitions change hands: what can't be stored is repeated by the next owner.
            tracing::debug!(%error, "offsets were not stored");
        }
    }

    /// Commits what is stored, and waits for it.
    pub(super) fn commit(&self, consumer: &Consumer) {
        match consumer.client().commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => tracing::warn!(%error, "commit failed; events since the last commit may be repeated"),
        }
    }

    pub(super) fn pause(&self, consumer: &Consumer) {
        if let Err(error) = consumer.client().pause(&self.all()) {
            tracing::warn!(%error, "can't pause reading");
        }
    }

    pub(super) fn resume(&self, consumer: &Consumer) {
        if let Err(error) = consumer.client().resume(&self.all()) {
            tracing::warn!(%error, "can't resume reading");
        }
    }

    /// Events that are in Kafka and were not read yet, as far as the last fetches tell.
    pub(super) fn lag(&self, consumer: &Consumer) -> i64 {
        let lag = |partition: &Partition| {
            let end = consumer.known_end(&partition.topic, partition.name.partition)?;
            Some((end - partition.next?).max(0))
        };
        self.list.iter().filter_map(lag).sum()
    }

    fn all(&self) -> TopicPartitionList {
        let names: Vec<TopicPartition> = self.list.iter().map(|partition| partition.name.clone()).collect();
        list_of(&names)
    }
}

/// The partition's end as a number, so that it is committed even if nothing comes before the engine stops, and what comes then is
/// read.
fn end_of(name: &TopicPartition, consumer: &Consumer) -> Result<Offset, RouterFault> {
    let asking = |source| RouterFault::Kafka { doing: "ask for a partition's first and last offset", source };
    let (_, end) = consumer.client().fetch_watermarks(&name.topic, name.partition, ANSWER_TIMEOUT).map_err(asking)?;
    Ok(Offset::Offset(end))
}

fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}
