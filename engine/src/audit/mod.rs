//! The judge: says which deliveries were lost, doubled, misrouted or torn, from what arrived and from nothing else.
//!
//! It believes no counter of the engine. It knows what was produced (a [`Workload`] can make every event again), it has the route
//! tables that were in force ([`Tables`]), and it reads what arrived. From these it recomputes, event by event, where each
//! should have gone. Start at [`Audit`], the pure judge: no Kafka, no clock, no thread. [`Reader`] feeds it from a broker.
//!
//! | verdict | what it means |
//! | --- | --- |
//! | lost | a delivery that the event's table asks for did not arrive |
//! | misrouted | a delivery arrived that the table whose version it carries does not ask for, or by another route than it says |
//! | torn | one attempt to deliver an event mixed the tables of two versions |
//! | duplicated | a destination got an event again |
//! | misstamped | a delivery carries no version, or one that never was in force |
//!
//! How an event that arrived nowhere is judged: the engine routes the events of one lane (a partition) in their order, by versions
//! that never go back. So the events before and after it in its lane say by which versions it can have been routed, mostly just
//! one. If none of these gives it no destination, it is lost.
//!
//! A repetition in full, as after a restart, is duplication and not tearing: what tears is an event whose newest attempt is not
//! complete and has deliveries of another version beside it.

mod attempts;
mod judge;
mod reader;
mod report;
mod tables;
mod workload;

pub use judge::{Audit, AuditError};
pub use reader::{Reader, ReaderError, ReaderSettings};
pub use report::{AuditReport, LatencyMillis, Live};
pub use tables::Tables;
pub use workload::{Arrival, Workload};

/// The id of an event that an audit can judge, as the header `ce_id` carries it: which run it is of, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// Drawn once per run, so that a run's audit is not confused by the events of others.
    pub run: u32,
    /// Counted from 0 within the run; below 2^48.
    pub number: u64,
}

impl EventId {
    /// Bytes of the text.
    pub const LEN: usize = 21;

    /// `1f3a90c2-00000000002a`.
    pub fn to_text(self) -> [u8; EventId::LEN] {
        let mut text = [b'-'; EventId::LEN];
        write_hex(&mut text[..8], u64::from(self.run));
        write_hex(&mut text[9..], self.number);
        text
    }

    /// `None`: the id of somebody else's event.
    pub fn parse(text: &[u8]) -> Option<EventId> {
        let text: &[u8; EventId::LEN] = text.try_into().ok()?;
        let (run, rest) = text.split_at(8);
        let (dash, number) = rest.split_at(1);
        (dash == b"-").then_some(())?;
        Some(EventId { run: u32::try_from(parse_hex(run)?).ok()?, number: parse_hex(number)? })
    }
}

fn write_hex(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

fn parse_hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_were_written_and_those_of_others_are_not() {
        for id in [EventId { run: 0, number: 0 }, EventId { run: u32::MAX, number: (1 << 48) - 1 }] {
            assert_eq!(EventId::parse(&id.to_text()), Some(id));
        }
        assert_eq!(&EventId { run: 0x1f3a_90c2, number: 42 }.to_text(), b"1f3a90c2-00000000002a");
        for foreign in ["", "1f3a90c2", "1f3a90c2-00000000002A", "1f3a90c2+00000000002a", "1f3a90c2-00000000002a0"] {
            assert_eq!(EventId::parse(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
