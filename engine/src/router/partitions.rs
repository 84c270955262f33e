//! The partitions that a router has: where reading starts, what may be committed, how they are taken on and given up.
//!
//! Only stored offsets are ever committed, and only through the group's own state (never a list of our own, which Kafka would accept
//! even for partitions that are somebody else's by then). Beside each stands which topic it is of ([`position`](super::position)).

use super::dispatch::Dispatch;
use super::position::{Committed, Mark, Start, Topic, start_of};
use super::sources::Sources;
use super::{RouterFault, StartAt};
use crate::kafka::native::{Consumer, Record, TopicPartition};
use crate::kafka::topics::{TopicFacts, TopicId, written_beside};
use crate::metrics::Metrics;
use crate::offsets::{PartitionIndex, Tracker};
use crate::snapshot::Reader;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a question to the broker may take while partitions change hands.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take for one partition of many.
const PARTITION_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Partitions {
    start_at: StartAt,
    sources: Sources,
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
    /// The topic that is read, and what is written beside its offsets.
    topic_id: Option<TopicId>,
    mark: String,
    /// The next offset to be read, as far as is known.
    next: Option<i64>,
}

impl Partitions {
    pub(super) fn new(start_at: StartAt, sources: Sources) -> Partitions {
        Partitions { start_at, sources, list: Vec::new(), last: 0 }
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
        consumer: &Arc<Consumer>,
        dispatch: &mut Dispatch,
    ) -> Result<(), RouterFault> {
        let topics = self.topics_of(partitions, consumer)?;
        let mut starts = TopicPartitionList::with_capacity(partitions.len());
        // Starts that are to be committed even if no event comes before the engine stops: else what came then would be skipped by
        // `--start-at latest`.
        let mut begun = TopicPartitionList::new();
        let until = Instant::now() + ANSWER_TIMEOUT;
        let taking_on = |source| RouterFault::Kafka { doing: "take on partitions", source };
        for name in partitions {
            let Some(known) = topics.get(&name.topic) else { continue };
            let topic = Topic {
                id: known.facts.id.as_ref(),
                first_seen: known.first_seen.as_ref(),
                partitions: known.facts.partitions,
                committed: &known.committed,
            };
            let (start, mark) = start_of(&topic, usize::try_from(name.partition).unwrap_or(0), self.start_at);
            let bounds = if start == Start::Beginning { None } else { bounds_of(name, consumer, until) };
            let offset = offset_of(start, name, &topic, bounds, &dispatch.metrics.shared);
            starts.add_partition_offset(&name.topic, name.partition, offset).map_err(taking_on)?;
            let mark = mark.to_string();
            if matches!((start, offset), (Start::Anew | Start::End, Offset::Offset(_))) {
                add_marked(&mut begun, name, offset, &mark)?;
            }
            self.forget(name, &mut dispatch.tracker);
            self.list.push(Partition {
                name: name.clone(),
                topic: CString::new(name.topic.as_str()).unwrap_or_default(),
                topic_identity: 0,
                index: dispatch.tracker.add_partition(),
                topic_id: known.facts.id.clone(),
                mark,
                next: if let Offset::Offset(offset) = offset { Some(offset) } else { None },
            });
        }
        consumer.assign(&starts).map_err(taking_on)?;
        if begun.count() > 0 {
            // Should either fail, the next owner begins as this one did.
            let _ = consumer.client().store_offsets(&begun);
            let _ = consumer.client().commit_consumer_state(CommitMode::Async);
        }
        Ok(())
    }

    /// What is known of the topics of these partitions. Which topics they are is asked first: should one be created anew between the two
    /// questions, its offset gets the mark of the old one, and that is noticed. The other way round it would never be.
    fn topics_of(
        &mut self,
        partitions: &[TopicPartition],
        consumer: &Arc<Consumer>,
    ) -> Result<BTreeMap<String, KnownTopic>, RouterFault> {
        let mut topics = BTreeMap::new();
        if partitions.is_empty() {
            return Ok(topics);
        }
        let mut answer = self.sources.ask(consumer)?;
        let mut list = TopicPartitionList::new();
        for TopicPartition { topic, partition } in partitions {
            if !topics.contains_key(topic) {
                let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
                let asking = |source| RouterFault::Kafka { doing: "ask what the sources are", source };
                let facts = answer.remove(topic).ok_or_else(|| asking(unknown))?;
                let facts = facts.map_err(|code| asking(KafkaError::MetadataFetch(code)))?;
                let first_seen = self.sources.first_seen(topic);
                topics.insert(topic.clone(), KnownTopic { facts, first_seen, committed: Vec::new() });
            }
            if let Some(known) = topics.get_mut(topic) {
                // An answer can be older than the assignment.
                known.facts.partitions = known.facts.partitions.max(usize::try_from(*partition).unwrap_or(0) + 1);
            }
        }
        for (name, known) in &mut topics {
            known.committed = vec![None; known.facts.partitions];
            let last = i32::try_from(known.facts.partitions).unwrap_or(i32::MAX) - 1;
            list.add_partition_range(name, 0, last);
        }
        // Without the errors of single partitions, an offset that could not be asked for would pass for one that was never committed.
        let asking = |source| RouterFault::Kafka { doing: "ask for the committed offsets", source };
        let list = consumer.client().committed_offsets(list, ANSWER_TIMEOUT).map_err(asking)?;
        for (element, written) in list.elements().iter().zip(written_beside(&list)) {
            element.error().map_err(asking)?;
            let partition = usize::try_from(element.partition()).unwrap_or(usize::MAX);
            let known = topics.get_mut(element.topic());
            if let (Some(place), Offset::Offset(offset)) =
                (known.and_then(|known| known.committed.get_mut(partition)), element.offset())
            {
                *place = Some(Committed { offset, mark: Mark::parse(&written) });
            }
        }
        Ok(topics)
    }

    /// Finds out whether a topic that is read was created anew: its offsets mean nothing any more, so that the router has to begin
    /// anew, too, with whatever it had under way.
    pub(super) fn check_topics(&mut self, consumer: &Arc<Consumer>) -> Result<(), RouterFault> {
        let Some(answer) = self.sources.watch(consumer) else { return Ok(()) };
        let is_another = |partition: &&Partition| match (&partition.topic_id, answer.get(&partition.name.topic)) {
            (Some(read), Some(Ok(TopicFacts { id: Some(now), .. }))) => read != now,
            _ => false,
        };
        match self.list.iter().find(is_another) {
            Some(partition) => Err(RouterFault::TopicCreatedAnew { topic: partition.name.topic.clone() }),
            None => Ok(()),
        }
    }

    /// Gives partitions up: what is under way may end within `patience`, what has ended is committed, the rest is the next owner's. A
    /// new table is adopted meanwhile, so that a route change does not wait.
    pub(super) fn give_up(
        &mut self,
        partitions: &[TopicPartition],
        consumer: &Consumer,
        dispatch: &mut Dispatch,
        reader: &mut Reader,
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
                dispatch.pin(reader)?;
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
                let _ = add_marked(&mut progress, &partition.name, Offset::Offset(offset.get()), &partition.mark);
            }
        }
        if progress.count() > 0
            && let Err(error) = consumer.client().store_offsets(&progress)
        {
            // Expected while partitions change hands: what can't be stored is repeated by the next owner.
            tracing::debug!(%error, "offsets were not stored");
        }
    }

    /// Commits what is stored, waits for it, and says whether it is committed.
    pub(super) fn commit(&self, consumer: &Consumer) -> bool {
        match consumer.client().commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => true,
            Err(error) => {
                tracing::warn!(%error, "commit failed; events since the last commit may be repeated");
                false
            }
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

/// What is known of a topic whose partitions are taken on.
struct KnownTopic {
    facts: TopicFacts,
    first_seen: Option<TopicId>,
    committed: Vec<Option<Committed>>,
}

/// A partition's first offset and its end. `None` if nobody can say, as while it has no leader: no reason to leave the others unread.
fn bounds_of(name: &TopicPartition, consumer: &Consumer, until: Instant) -> Option<(i64, i64)> {
    let TopicPartition { topic, partition } = name;
    let timeout = until.saturating_duration_since(Instant::now()).min(PARTITION_ANSWER_TIMEOUT);
    match consumer.client().fetch_watermarks(topic, *partition, timeout) {
        Ok(bounds) => Some(bounds),
        Err(error) => {
            tracing::warn!(topic, partition, %error, "a partition can't be asked for its offsets; it is taken on unchecked");
            None
        }
    }
}

/// A start as an offset. If Kafka has deleted what is behind a committed one, or the whole topic, that is said loudly. What can't be
/// checked now shows itself when the partition has a leader again: an offset that is not there is an error then
/// ([`RouterFault::PositionLost`]), and this is asked again.
fn offset_of(
    start: Start,
    name: &TopicPartition,
    now: &Topic<'_>,
    bounds: Option<(i64, i64)>,
    metrics: &Metrics,
) -> Offset {
    let TopicPartition { topic, partition } = name;
    match (start, bounds) {
        (Start::Beginning, _) => Offset::Beginning,
        (Start::End, bounds) => bounds.map_or(Offset::End, |(_, end)| Offset::Offset(end)),
        (Start::At(committed), Some((first, end))) if !(first..=end).contains(&committed) => {
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
            Offset::Offset(first)
        }
        (Start::At(committed), _) => Offset::Offset(committed),
        (Start::Anew, bounds) => {
            metrics.created_anew.inc();
            tracing::error!(
                topic,
                partition,
                id = now.id.map(tracing::field::display),
                "GAP: the topic was deleted and created anew; what was not read of the old one is lost, \
                 and reading goes on with the first event of the new one"
            );
            bounds.map_or(Offset::Beginning, |(first, _)| Offset::Offset(first))
        }
    }
}

fn add_marked(
    list: &mut TopicPartitionList,
    name: &TopicPartition,
    offset: Offset,
    mark: &str,
) -> Result<(), RouterFault> {
    let mut element = list.add_partition(&name.topic, name.partition);
    element.set_metadata(mark);
    element.set_offset(offset).map_err(|source| RouterFault::Kafka { doing: "store offsets", source })
}

fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_without_a_leader_is_taken_on_unchecked_and_one_with_a_gap_from_its_oldest_event() {
        let metrics = Metrics::new().unwrap();
        let name = TopicPartition { topic: "events".to_owned(), partition: 3 };
        let topic = Topic { id: None, first_seen: None, partitions: 4, committed: &[] };
        let offset = |start, bounds| offset_of(start, &name, &topic, bounds, &metrics);
        assert_eq!(offset(Start::At(7), None), Offset::Offset(7));
        assert_eq!(offset(Start::At(7), Some((5, 9))), Offset::Offset(7));
        assert_eq!(offset(Start::Anew, None), Offset::Beginning);
        assert_eq!(offset(Start::End, None), Offset::End);
        assert_eq!(offset(Start::End, Some((5, 9))), Offset::Offset(9));
        assert_eq!(metrics.gaps.get(), 0);
        assert_eq!(offset(Start::At(2), Some((5, 9))), Offset::Offset(5));
        assert_eq!((metrics.gaps.get(), metrics.gap_events.get()), (1, 3));
    }
}
