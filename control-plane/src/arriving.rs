//! The bodies of updates, until all of them is here. Only then an update takes one of the few places: a client that is slow, or means
//! to be, holds up nobody but itself.
//!
//! What all of them take together is bounded, and one that brings next to nothing is cut off ([`limits::BODY_PACE`]).

use crate::limits;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use hyper::body::Body as _;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Memory is taken in pieces, of as many bytes as have arrived before, within these bounds: so that neither many small bodies nor one of
/// single bytes takes much more than its length.
const PIECE_BYTES: (usize, usize) = (4 << 10, 64 << 10);

/// Why a body was not received.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the body has more than {0} bytes, and that is the limit")]
    TooLarge(usize),
    #[error(
        "the bodies of updates that are arriving have {} bytes together, and that is the limit; try again when some of them are here",
        limits::ARRIVING_BYTES
    )]
    NoRoom,
    #[error(
        "the body is cut off: it brought less than {} bytes in {:?}, or was not here after {:?}",
        limits::BODY_PACE.0, limits::BODY_PACE.1, limits::BODY_TIMEOUT
    )]
    TooSlow,
    #[error("the body did not arrive whole: {0}")]
    Broken(String),
}

/// Receives bodies.
#[derive(Clone, Debug)]
pub(crate) struct Arriving {
    /// A permit for each byte.
    room: Arc<Semaphore>,
    /// So many bytes in so much time, again and again.
    pace: (usize, Duration),
}

impl Default for Arriving {
    fn default() -> Arriving {
        Arriving { room: Arc::new(Semaphore::new(limits::ARRIVING_BYTES)), pace: limits::BODY_PACE }
    }
}

/// A body that is here. It counts among those that are arriving until it is taken.
#[derive(Debug)]
pub(crate) struct Arrived {
    pieces: Vec<BytesMut>,
    len: usize,
    room: OwnedSemaphorePermit,
}

impl Arriving {
    /// Receives a body of at most `limit` bytes.
    pub(crate) async fn receive(&self, body: Body, limit: usize) -> Result<Arrived, BodyFault> {
        // What announces to be too large is not received at all.
        if body.size_hint().lower() > limit as u64 {
            return Err(BodyFault::TooLarge(limit));
        }
        let none = Arc::clone(&self.room).try_acquire_many_owned(0).map_err(|_| BodyFault::NoRoom)?;
        let mut arrived = Arrived { pieces: Vec::new(), len: 0, room: none };
        let mut body = body.into_data_stream();
        let (pace_bytes, pace_time) = self.pace;
        let end = Instant::now() + limits::BODY_TIMEOUT;
        loop {
            let (until, enough) = (end.min(Instant::now() + pace_time), arrived.len + pace_bytes);
            while arrived.len < enough {
                let next = tokio::time::timeout_at(until, body.next()).await;
                let Some(data) = next.map_err(|_| BodyFault::TooSlow)? else { return Ok(arrived) };
                let data = data.map_err(|error| BodyFault::Broken(crate::with_sources(&error)))?;
                if data.len() > limit - arrived.len {
                    return Err(BodyFault::TooLarge(limit));
                }
                self.put(&mut arrived, &data)?;
            }
        }
    }

    /// Copies, since a few bytes can hold on to a large buffer of the connection's.
    fn put(&self, arrived: &mut Arrived, mut data: &[u8]) -> Result<(), BodyFault> {
        while !data.is_empty() {
            let free = arrived.pieces.last().map_or(0, |piece| piece.capacity() - piece.len());
            let Some(piece) = arrived.pieces.last_mut().filter(|_| free > 0) else {
                let capacity = arrived.len.clamp(PIECE_BYTES.0, PIECE_BYTES.1);
                let room = Arc::clone(&self.room).try_acquire_many_owned(capacity as u32);
                arrived.room.merge(room.map_err(|_| BodyFault::NoRoom)?);
                arrived.pieces.push(BytesMut::with_capacity(capacity));
                continue;
            };
            let (now, later) = data.split_at(data.len().min(free));
            piece.extend_from_slice(now);
            arrived.len += now.len();
            data = later;
        }
        Ok(())
    }
}

impl Arrived {
    /// Hands the body over. It doesn't count as one that is arriving any more.
    pub(crate) fn into_body(self) -> Body {
        drop(self.room);
        let pieces = self.pieces.into_iter().map(|piece| Ok::<Bytes, Infallible>(piece.freeze()));
        Body::from_stream(futures::stream::iter(pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::Stream;

    const PATIENT: (usize, Duration) = (1, Duration::from_secs(60));

    fn arriving(room: usize, pace: (usize, Duration)) -> Arriving {
        Arriving { room: Arc::new(Semaphore::new(room)), pace }
    }

    fn pieces(count: usize, len: usize) -> impl Stream<Item = Result<Vec<u8>, Infallible>> {
        futures::stream::iter(0..count).map(move |number| Ok(vec![number as u8; len]))
    }

    #[tokio::test]
    async fn what_was_sent_is_what_arrives_in_whatever_pieces_it_comes() {
        for (count, len) in [(0, 0), (1, 1), (10_000, 1), (100, 7_001), (3, 200_000)] {
            let arriving = arriving(1 << 20, PATIENT);
            let arrived = arriving.receive(Body::from_stream(pieces(count, len)), 1 << 20).await.unwrap();
            let taken = (1 << 20) - arriving.room.available_permits();
            assert!(taken >= count * len && taken <= 2 * count * len + PIECE_BYTES.1, "{taken} for {count} of {len}");
            let body = axum::body::to_bytes(arrived.into_body(), usize::MAX).await.unwrap();
            let expected: Vec<u8> = (0..count).flat_map(|number| vec![number as u8; len]).collect();
            assert_eq!(body, expected);
            assert_eq!(arriving.room.available_permits(), 1 << 20);
        }
    }

    #[tokio::test]
    async fn a_body_beyond_its_limit_or_beyond_the_room_for_all_is_refused_and_leaves_nothing_behind() {
        let arriving = arriving(100_000, PATIENT);
        let announced = arriving.receive(Body::from(vec![0; 1_001]), 1_000).await.unwrap_err();
        let found = arriving.receive(Body::from_stream(pieces(1_001, 1)), 1_000).await.unwrap_err();
        assert_eq!((announced, found), (BodyFault::TooLarge(1_000), BodyFault::TooLarge(1_000)));
        assert!(arriving.receive(Body::from_stream(pieces(1_000, 1)), 1_000).await.is_ok());
        let held = arriving.receive(Body::from(vec![0; 60_000]), 100_000).await.unwrap();
        assert_eq!(arriving.receive(Body::from(vec![0; 60_000]), 100_000).await.unwrap_err(), BodyFault::NoRoom);
        drop(held.into_body());
        assert!(arriving.receive(Body::from(vec![0; 60_000]), 100_000).await.is_ok());
        assert_eq!(arriving.room.available_permits(), 100_000);
    }

    #[tokio::test]
    async fn a_body_that_brings_too_little_is_cut_off_however_much_it_brought_before() {
        let pace = (10, Duration::from_millis(1));
        for before in [0, 1, 1_000] {
            let stalls = pieces(before, 1).chain(futures::stream::pending());
            let cut = arriving(1 << 20, pace).receive(Body::from_stream(stalls), 1 << 20).await.unwrap_err();
            assert_eq!(cut, BodyFault::TooSlow);
        }
        let breaks = pieces(3, 1)
            .map(|piece| piece.map_err(|never| match never {}))
            .chain(futures::stream::iter([Err(std::io::Error::other("it is gone"))]));
        let broken = arriving(1 << 20, PATIENT).receive(Body::from_stream(breaks), 1 << 20).await.unwrap_err();
        assert!(broken.to_string().contains("it is gone"), "{broken}");
    }
}
