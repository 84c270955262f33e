//! Where the reading of a partition begins, decided by what the group has committed. Pure: no Kafka, no clock.
//!
//! An offset alone does not say enough. It can be of a topic that was deleted since, with another one of the same name in its place,
//! whose first events it would skip. And where there is none, `--start-at latest` must tell partitions that were there when the group
//! began from those that were added later, whose first events it would skip as well. So a [`Mark`] is written beside every offset
//! that is committed, and whoever takes the partition over finds it there.

use super::StartAt;
use crate::kafka::topics::TopicId;
use std::fmt;

/// What is written beside a committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The topic that the offset is of. `None`: the broker knew no ids, or somebody else has committed.
    pub(super) topic: Option<TopicId>,
    /// How many of the topic's partitions the group began to read at their end: those that were there then. Kafka only ever adds
    /// partitions, with higher numbers.
    pub(super) at_end: usize,
}

impl Mark {
    /// What is not a mark reads as one that says nothing: the offset beside it counts.
    pub(super) fn parse(text: &str) -> Mark {
        let mut mark = Mark::default();
        for word in text.split(' ') {
            match word.split_once('=') {
                Some(("topic", id)) => mark.topic = TopicId::new(id),
                Some(("at-end", count)) => mark.at_end = count.parse().unwrap_or(0),
                _ => {}
            }
        }
        mark
    }

    fn is_of_another(&self, topic: Option<&TopicId>) -> bool {
        matches!((&self.topic, topic), (Some(marked), Some(topic)) if marked != topic)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.topic.as_ref().map(|id| format!("topic={id} ")).unwrap_or_default();
        write!(formatter, "{id}at-end={}", self.at_end)
    }
}

/// A partition's committed offset and the mark beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) offset: i64,
    pub(super) mark: Mark,
}

/// A topic, as far as it is known when one of its partitions is taken on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Topic<'t> {
    pub(super) id: Option<&'t TopicId>,
    /// The first one of this name that the engine has seen since it began.
    pub(super) first_seen: Option<&'t TopicId>,
    pub(super) partitions: usize,
    /// By partition, what the group has committed, whoever reads it.
    pub(super) committed: &'t [Option<Committed>],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Where the group has come to.
    At(i64),
    /// At the oldest event that there is.
    Beginning,
    /// At the oldest event: the group has read a topic of this name, but not this one.
    Anew,
    /// At events that come from now on.
    End,
}

/// Where to begin, and what to write beside the offsets from there on.
pub(super) fn start_of(topic: &Topic<'_>, partition: usize, start_at: StartAt) -> (Start, Mark) {
    let mark = |at_end| Mark { topic: topic.id.cloned(), at_end };
    if let Some(Some(committed)) = topic.committed.get(partition)
        && !committed.mark.is_of_another(topic.id)
    {
        return (Start::At(committed.offset), mark(committed.mark.at_end));
    }
    let marks = || topic.committed.iter().flatten().map(|committed| &committed.mark);
    let is_anew = matches!((topic.first_seen, topic.id), (Some(first), Some(now)) if first != now)
        || marks().any(|mark| mark.is_of_another(topic.id));
    // The smallest number, should there be several: an event that is repeated does less harm than one that is skipped.
    match (start_at, marks().map(|mark| mark.at_end).min()) {
        _ if is_anew => (Start::Anew, mark(0)),
        (StartAt::Earliest, _) => (Start::Beginning, mark(0)),
        (StartAt::Latest, None) => (Start::End, mark(topic.partitions)),
        (StartAt::Latest, Some(at_end)) if partition < at_end => (Start::End, mark(at_end)),
        (StartAt::Latest, Some(at_end)) => (Start::Beginning, mark(at_end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TopicId {
        TopicId::new(text).unwrap()
    }

    fn committed(offset: i64, mark: &str) -> Option<Committed> {
        Some(Committed { offset, mark: Mark::parse(mark) })
    }

    /// The start of `partition` of a topic `B` with four partitions, and the mark as it is written.
    fn start(
        partition: usize,
        committed: &[Option<Committed>],
        first_seen: &str,
        start_at: StartAt,
    ) -> (Start, String) {
        let (now, first) = (id("B"), TopicId::new(first_seen));
        let topic = Topic { id: Some(&now), first_seen: first.as_ref(), partitions: 4, committed };
        let (start, mark) = start_of(&topic, partition, start_at);
        (start, mark.to_string())
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_what_is_no_mark_says_nothing() {
        let mark = Mark { topic: Some(id("x-_9")), at_end: 12 };
        assert_eq!(Mark::parse(&mark.to_string()), mark);
        assert_eq!(Mark::parse(&Mark::default().to_string()), Mark::default());
        for foreign in ["", "by hand", "topic=", "at-end=-3", "= =", "topic"] {
            assert_eq!(Mark::parse(foreign), Mark::default(), "{foreign:?}");
        }
    }

    #[test]
    fn a_committed_offset_counts_unless_it_is_of_another_topic() {
        for start_at in [StartAt::Earliest, StartAt::Latest] {
            let of = |mark| start(0, &[committed(7, mark), None, None, None], "", start_at);
            assert_eq!(of("topic=B at-end=2"), (Start::At(7), "topic=B at-end=2".to_owned()));
            assert_eq!(of("by an older engine"), (Start::At(7), "topic=B at-end=0".to_owned()));
            assert_eq!(of("topic=A at-end=4"), (Start::Anew, "topic=B at-end=0".to_owned()));
        }
    }

    #[test]
    fn an_offset_counts_where_the_broker_knows_no_ids() {
        let committed = [committed(7, "topic=A at-end=1"), None];
        let topic = Topic { id: None, first_seen: None, partitions: 2, committed: &committed };
        assert_eq!(start_of(&topic, 0, StartAt::Latest).0, Start::At(7));
        assert_eq!(start_of(&topic, 1, StartAt::Earliest).0, Start::Beginning);
    }

    #[test]
    fn latest_is_the_end_only_for_partitions_that_were_there_when_the_group_began() {
        let start = |partition, committed: &[_]| start(partition, committed, "B", StartAt::Latest);
        let (end, beginning) = (Start::End, Start::Beginning);
        assert_eq!(start(3, &[None, None, None, None]), (end, "topic=B at-end=4".to_owned()));
        // Another engine has begun with three partitions: 2 was there, 3 was not.
        let begun = [committed(9, "topic=B at-end=3"), None, None, None];
        assert_eq!(start(2, &begun), (end, "topic=B at-end=3".to_owned()));
        assert_eq!(start(3, &begun), (beginning, "topic=B at-end=3".to_owned()));
        // A group that began at the earliest has no partition that it read from the end.
        assert_eq!(start(1, &[committed(9, "topic=B at-end=0"), None, None, None]).0, beginning);
        assert_eq!(start(1, &[committed(9, ""), None, None, None]).0, beginning);
    }

    #[test]
    fn a_topic_that_was_created_anew_is_read_from_its_beginning_even_at_latest() {
        let anew = (Start::Anew, "topic=B at-end=0".to_owned());
        let none = [None, None, None, None];
        // Kafka has deleted the offsets with the old topic: this engine remembers, or another one has marked what it reads.
        assert_eq!(start(1, &none, "A", StartAt::Latest), anew);
        assert_eq!(start(1, &[committed(5, "topic=A at-end=4"), None, None, None], "", StartAt::Latest), anew);
        let (start, mark) = start(1, &[committed(5, "topic=B at-end=0"), None, None, None], "", StartAt::Latest);
        assert_eq!((start, mark.as_str()), (Start::Beginning, "topic=B at-end=0"));
    }
}
