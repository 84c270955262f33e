//! Answers to calls that are remembered for a while, the most useful ones if there are too many.

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::time::{Duration, Instant};
use veltrix_route_table::LookupCache;
use veltrix_route_table::limits::{LOOKUP_ANSWER_BYTES, LOOKUP_CACHE_BYTES};

/// What an answer takes besides its bytes and those of its key.
const ENTRY_BYTES: u64 = 120;

/// The answers of one lookup; shared by all routers.
#[derive(Debug)]
pub(super) struct Remembered {
    answers: Cache<Box<[u8]>, Entry, Weights>,
    ttl: Duration,
    negative_ttl: Duration,
}

#[derive(Clone, Debug)]
struct Entry {
    /// `None`: nothing was found.
    value: Option<Arc<[u8]>>,
    until: Instant,
}

/// What bounds a cache: its number of entries alone where these can't take too many bytes, else both. Then an answer weighs its bytes, and
/// at least as much as makes the number of entries come out right.
#[derive(Clone, Copy, Debug)]
enum Weights {
    Entries,
    Bytes { least: u64 },
}

impl Weighter<Box<[u8]>, Entry> for Weights {
    fn weight(&self, key: &Box<[u8]>, entry: &Entry) -> u64 {
        let value = entry.value.as_ref().map_or(0, |value| value.len());
        match self {
            Weights::Entries => 1,
            Weights::Bytes { least } => (ENTRY_BYTES + (key.len() + value) as u64).max(*least),
        }
    }
}

impl Remembered {
    pub(super) fn new(cache: &LookupCache) -> Remembered {
        let LookupCache { entries, ttl, negative_ttl } = *cache;
        let entries = u64::from(entries.max(1));
        let (weights, most) = if entries * LOOKUP_ANSWER_BYTES.max <= LOOKUP_CACHE_BYTES.max {
            (Weights::Entries, entries)
        } else {
            (Weights::Bytes { least: LOOKUP_CACHE_BYTES.max / entries }, LOOKUP_CACHE_BYTES.max)
        };
        Remembered { answers: Cache::with_weighter(entries as usize, most, weights), ttl, negative_ttl }
    }

    /// What is remembered of `key`; the inner `None`: that nothing was found.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Arc<[u8]>>> {
        self.answers.get(key).filter(|entry| entry.until > Instant::now()).map(|entry| entry.value)
    }

    pub(super) fn put(&self, key: Box<[u8]>, value: Option<Arc<[u8]>>) {
        let ttl = if value.is_some() { self.ttl } else { self.negative_ttl };
        if !ttl.is_zero() {
            self.answers.insert(key, Entry { value, until: Instant::now() + ttl });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn key(number: usize) -> Box<[u8]> {
        number.to_string().into_bytes().into()
    }

    fn remembered(entries: u32, bytes: usize, puts: usize) -> usize {
        let cache = Remembered::new(&LookupCache { entries, ttl: LONG, negative_ttl: LONG });
        (0..puts).for_each(|number| cache.put(key(number), Some(vec![b'1'; bytes].into())));
        (0..puts).filter(|number| cache.get(&key(*number)).is_some()).count()
    }

    #[test]
    fn as_many_answers_are_remembered_as_the_map_says_and_no_more_bytes_than_the_limit_says() {
        for entries in [1, 2, 9, 256, 1_000] {
            let count = remembered(entries, 1, 3 * entries as usize);
            assert!(count <= entries as usize && count * 10 >= entries as usize * 8, "{count} of {entries}");
        }
        let large = 1 << 20;
        let most = LOOKUP_CACHE_BYTES.max as usize / large;
        let count = remembered(1_000_000, large, 2 * most);
        assert!(count <= most && count > most / 2, "{count} of {most}");
    }

    #[test]
    fn an_answer_is_remembered_for_its_time_and_that_there_was_none_for_another() {
        let cache = Remembered::new(&LookupCache { entries: 100, ttl: LONG, negative_ttl: Duration::from_nanos(1) });
        cache.put(key(1), Some(b"1"[..].into()));
        cache.put(key(2), None);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(cache.get(&key(1)), Some(Some(b"1"[..].into())));
        assert_eq!((cache.get(&key(2)), cache.get(&key(3))), (None, None));
        let cache = Remembered::new(&LookupCache { entries: 100, ttl: Duration::ZERO, negative_ttl: LONG });
        cache.put(key(1), Some(b"1"[..].into()));
        cache.put(key(2), None);
        assert_eq!((cache.get(&key(1)), cache.get(&key(2))), (None, Some(None)));
    }
}
