//! Which offsets may be committed: per partition, everything before the first event that still has a delivery under way.
//!
//! Pure bookkeeping, without Kafka: the router says when an event begins and when a delivery of it ends, and asks how far each
//! partition has come. Deliveries end in any order; only the contiguous prefix counts, so a crash repeats events and never loses
//! one. Offsets that no record has (transaction markers, compacted records) are passed over with the record behind them.
//!
//! Reports can arrive after their partition was given up, or given up and taken on again. Each assignment is a generation of its
//! own, and a ticket of another generation is answered with "unknown" and changes nothing.

use std::collections::VecDeque;

/// A Kafka offset that may be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommitOffset(i64);

impl CommitOffset {
    /// Kafka commits the *next* offset to read, not the last one read.
    pub(crate) fn after(record_offset: i64) -> CommitOffset {
        CommitOffset(record_offset + 1)
    }

    pub(crate) fn get(self) -> i64 {
        self.0
    }
}

/// A partition's place in the [`Tracker`] during one assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionIndex {
    place: u16,
    generation: u16,
}

/// One event under way. Travels through Kafka's client as a number and comes back with each of its deliveries' reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    partition: PartitionIndex,
    sequence: u32,
}

// librdkafka carries it as a pointer.
const _: () = assert!(usize::BITS >= u64::BITS, "a ticket does not fit into a pointer of this machine");

impl Ticket {
    pub(crate) fn to_raw(self) -> u64 {
        u64::from(self.partition.place) << 48 | u64::from(self.partition.generation) << 32 | u64::from(self.sequence)
    }

    pub(crate) fn from_raw(raw: u64) -> Ticket {
        let partition = PartitionIndex { place: (raw >> 48) as u16, generation: (raw >> 32) as u16 };
        Ticket { partition, sequence: raw as u32 }
    }
}

/// What ending a delivery meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Other deliveries of the event are still under way.
    Delivery,
    /// That was the event's last one. The value is what the caller gave when it began.
    Event { began: u32 },
    /// The partition is not ours any more.
    Unknown,
}

/// All partitions of one router.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    places: Vec<Place>,
    events: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Place {
    generation: u16,
    taken: bool,
    /// Sequence number of the front of `events`.
    first: u32,
    events: VecDeque<Event>,
    /// The offset up to which everything has ended, if anything has since the assignment.
    ended: Option<CommitOffset>,
    stored: Option<CommitOffset>,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    offset: i64,
    /// Deliveries under way.
    open: u32,
    bytes: u32,
    began: u32,
}

impl Tracker {
    /// Begins an assignment. Its events are numbered anew.
    pub(crate) fn add_partition(&mut self) -> PartitionIndex {
        let free = self.places.iter().position(|place| !place.taken).unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() - 1
        });
        let place = &mut self.places[free];
        place.taken = true;
        place.generation = place.generation.wrapping_add(1);
        // Kafka's limits keep one process far from 65,536 partitions.
        PartitionIndex { place: free as u16, generation: place.generation }
    }

    /// Ends an assignment, with whatever is under way.
    pub(crate) fn remove_partition(&mut self, partition: PartitionIndex) {
        let Some(place) = self.place_mut(partition) else { return };
        let events = place.events.len();
        let bytes: usize = place.events.iter().map(|event| event.bytes as usize).sum();
        place.taken = false;
        place.events.clear();
        place.ended = None;
        place.stored = None;
        self.events -= events;
        self.bytes -= bytes;
    }

    /// Begins an event with as many deliveries; with none it has ended. `began` comes back when the event ends. Events of a partition
    /// begin in the order of their offsets: one that came after a later one would be passed over by its commit.
    pub(crate) fn begin(
        &mut self,
        partition: PartitionIndex,
        offset: i64,
        deliveries: u32,
        bytes: u32,
        began: u32,
    ) -> Ticket {
        let mut ticket = Ticket { partition, sequence: 0 };
        let Some(place) = self.place_mut(partition) else { return ticket };
        let last = place.events.back().map(|event| CommitOffset::after(event.offset)).or(place.ended);
        debug_assert!(last.is_none_or(|last| offset >= last.get()), "offset {offset} after {last:?}");
        ticket.sequence = place.first.wrapping_add(place.events.len() as u32);
        place.events.push_back(Event { offset, open: deliveries, bytes, began });
        self.events += 1;
        self.bytes += bytes as usize;
        if deliveries == 0 {
            self.release(partition);
        }
        ticket
    }

    /// Ends one delivery.
    pub(crate) fn end(&mut self, ticket: Ticket) -> Ended {
        let Some(place) = self.place_mut(ticket.partition) else { return Ended::Unknown };
        let at = ticket.sequence.wrapping_sub(place.first) as usize;
        let Some(event) = place.events.get_mut(at).filter(|event| event.open > 0) else { return Ended::Unknown };
        event.open -= 1;
        if event.open > 0 {
            return Ended::Delivery;
        }
        let began = event.began;
        if at == 0 {
            self.release(ticket.partition);
        }
        Ended::Event { began }
    }

    /// Lets go of the contiguous prefix that has ended.
    fn release(&mut self, partition: PartitionIndex) {
        let (mut events, mut bytes) = (0, 0);
        if let Some(place) = self.place_mut(partition) {
            while let Some(event) = place.events.front().copied().filter(|event| event.open == 0) {
                place.events.pop_front();
                place.first = place.first.wrapping_add(1);
                place.ended = Some(CommitOffset::after(event.offset));
                events += 1;
                bytes += event.bytes as usize;
            }
        }
        self.events -= events;
        self.bytes -= bytes;
    }

    /// The offset to store for a partition, if it has moved since the last call.
    pub(crate) fn take_progress(&mut self, partition: PartitionIndex) -> Option<CommitOffset> {
        let place = self.place_mut(partition)?;
        if place.ended == place.stored {
            return None;
        }
        place.stored = place.ended;
        place.ended
    }

    /// Events of one partition that are under way, or that wait for one before them.
    pub(crate) fn events_of(&self, partition: PartitionIndex) -> usize {
        let place = self.places.get(usize::from(partition.place));
        place.filter(|place| place.generation == partition.generation).map_or(0, |place| place.events.len())
    }

    /// Events of all partitions that are under way, or that wait for one before them.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Bytes of those events, as the caller gave them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn place_mut(&mut self, partition: PartitionIndex) -> Option<&mut Place> {
        let place = self.places.get_mut(usize::from(partition.place))?;
        (place.taken && place.generation == partition.generation).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_later_delivery_does_not_release_an_earlier_event() {
        let mut tracker = Tracker::default();
        let partition = tracker.add_partition();
        let first = tracker.begin(partition, 10, 1, 0, 0);
        let second = tracker.begin(partition, 11, 1, 0, 0);
        assert_eq!(tracker.end(second), Ended::Event { began: 0 });
        assert_eq!(tracker.take_progress(partition), None);
        tracker.end(first);
        assert_eq!(tracker.take_progress(partition), Some(CommitOffset::after(11)));
        assert_eq!(tracker.take_progress(partition), None, "nothing has moved since");
    }

    #[test]
    fn a_report_of_an_earlier_assignment_changes_nothing() {
        let mut tracker = Tracker::default();
        let before = tracker.add_partition();
        let late = tracker.begin(before, 5, 1, 100, 0);
        tracker.remove_partition(before);
        let now = tracker.add_partition();
        let current = tracker.begin(now, 5, 1, 100, 0);
        assert_eq!((late.sequence, late.partition.place), (current.sequence, current.partition.place));
        assert_eq!(tracker.end(late), Ended::Unknown);
        assert_eq!((tracker.events(), tracker.bytes()), (1, 100));
        assert_eq!(tracker.take_progress(now), None);
    }

    #[test]
    fn a_report_that_comes_twice_ends_one_delivery() {
        let mut tracker = Tracker::default();
        let partition = tracker.add_partition();
        let blocked = tracker.begin(partition, 1, 1, 0, 0);
        let ticket = tracker.begin(partition, 2, 1, 0, 0);
        assert_eq!(tracker.end(ticket), Ended::Event { began: 0 });
        assert_eq!(tracker.end(ticket), Ended::Unknown);
        assert_eq!(tracker.end(blocked), Ended::Event { began: 0 });
        assert_eq!(tracker.end(blocked), Ended::Unknown);
    }

    #[test]
    fn a_ticket_survives_its_way_through_the_client() {
        let ticket = Ticket { partition: PartitionIndex { place: 513, generation: 65_535 }, sequence: u32::MAX - 1 };
        assert_eq!(Ticket::from_raw(ticket.to_raw()), ticket);
    }

    /// What happens to a router: an event begins with so many deliveries, or one of the open deliveries ends.
    #[derive(Clone, Debug)]
    enum Step {
        Begin { deliveries: u32, gap: i64 },
        End(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4u32, 1..3i64).prop_map(|(deliveries, gap)| Step::Begin { deliveries, gap }),
            any::<prop::sample::Index>().prop_map(Step::End),
            any::<prop::sample::Index>().prop_map(Step::End),
        ]
    }

    proptest! {
        #[test]
        fn progress_is_the_contiguous_prefix_of_ended_events(steps in prop::collection::vec(step(), 0..200)) {
            let mut tracker = Tracker::default();
            let partition = tracker.add_partition();
            let (mut offset, mut open) = (100, Vec::new());
            // The reference: every event with its open deliveries, searched from the start each time.
            let mut events: Vec<(i64, u32)> = Vec::new();
            let mut progress = None;
            for step in steps {
                match step {
                    Step::Begin { deliveries, gap } => {
                        offset += gap;
                        let ticket = tracker.begin(partition, offset, deliveries, 7, 0);
                        open.extend((0..deliveries).map(|_| (ticket, events.len())));
                        events.push((offset, deliveries));
                    }
                    Step::End(which) if !open.is_empty() => {
                        let (ticket, event) = open.swap_remove(which.index(open.len()));
                        events[event].1 -= 1;
                        let last = events[event].1 == 0;
                        prop_assert_eq!(tracker.end(ticket), if last { Ended::Event { began: 0 } } else { Ended::Delivery });
                    }
                    Step::End(_) => {}
                }
                let ended = events.iter().take_while(|(_, open)| *open == 0).count();
                let expected = events[..ended].last().map(|(offset, _)| CommitOffset::after(*offset));
                progress = tracker.take_progress(partition).or(progress);
                prop_assert_eq!(progress, expected);
                prop_assert_eq!(tracker.events(), events.len() - ended);
                prop_assert_eq!(tracker.bytes(), 7 * (events.len() - ended));
            }
        }
    }
}
