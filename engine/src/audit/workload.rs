//! What the judge is told: what was produced, and what arrived.

use veltrix_route_table::Event;

/// What was produced. Times are in microseconds since an instant that the whole run shares.
pub trait Workload {
    /// An event as the engine reads it.
    type Event: Event;

    /// Event `number`, made again.
    fn event(&mut self, number: u64) -> &Self::Event;

    /// In how many lanes events go.
    fn lanes(&self) -> usize;

    /// The lane of an event. The engine routes the events of a lane in the order of their numbers.
    fn lane(event: &Self::Event) -> usize;

    /// When the event was due to be produced, whether or not the producer kept up.
    fn due_micros(&self, number: u64) -> u64;

    /// The events below this number were given to the broker, or are just being given.
    fn sent(&self) -> u64;

    /// The events below this number were acknowledged or refused by the broker.
    fn resolved(&self) -> u64;

    /// Moves the numbers of events that were refused, and are below [`Workload::resolved`], into `refused`.
    fn take_refused(&mut self, refused: &mut Vec<u64>);
}

/// A record that arrived, and the headers that the engine put on it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Which event.
    pub number: u64,
    /// Place of the topic among those that the audit was made with.
    pub destination: usize,
    /// `veltrix-route-map-version`; `None` if it is missing or no number.
    pub version: Option<u64>,
    /// `veltrix-route`; `None` if it is missing.
    pub route: Option<&'a [u8]>,
    /// When it was read.
    pub at_micros: u64,
}
