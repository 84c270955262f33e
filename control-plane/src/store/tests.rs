use super::*;
use redb::StorageBackend;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn proposal(map: &str) -> Proposal {
    let map = Bytes::copy_from_slice(map.as_bytes());
    Proposal { sha256: MapDigest::of(&map), map, note: "a note".into(), size: v1::RouteMapSize::default(), above: 0 }
}

fn version(number: u64) -> RouteMapVersion {
    RouteMapVersion::from_wire(number).unwrap()
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Proposes and commits, and returns the number.
fn commit(store: &Store, map: &str) -> u64 {
    let number = store.propose(&proposal(map), now()).unwrap().version;
    store.decide(version(number), &Decision::Commit, now()).unwrap();
    number
}

fn commit_many(store: &Store, count: usize) {
    for number in 0..count {
        commit(store, &number.to_string());
    }
}

fn in_force(store: &Store) -> Option<(u64, Bytes)> {
    store.in_force().unwrap().map(|committed| (committed.record.version, committed.map))
}

fn directory() -> (tempfile::TempDir, StoreLocation) {
    let directory = tempfile::tempdir().unwrap();
    let location = StoreLocation::Directory(directory.path().join("made").join("on demand"));
    (directory, location)
}

/// Opens the file of `location` without the store around it.
fn raw(location: &StoreLocation) -> Database {
    let StoreLocation::Directory(directory) = location else { panic!("not a directory") };
    Database::open(directory.join(FILE_NAME)).unwrap()
}

fn refusal(location: &StoreLocation) -> String {
    let Err(error) = Store::open(location) else { panic!("a damaged store was opened") };
    crate::with_sources(&error)
}

#[test]
fn a_new_store_has_nothing_in_force() {
    let store = Store::open(&StoreLocation::Memory).unwrap();
    assert_eq!(in_force(&store), None);
    assert_eq!(store.list(u64::MAX, 10).unwrap(), []);
}

#[test]
fn what_was_committed_is_in_force_after_opening_again() {
    let (_keep, location) = directory();
    let store = Store::open(&location).unwrap();
    assert_eq!(commit(&store, "one"), 1);
    assert_eq!(commit(&store, "two"), 2);
    drop(store);
    let store = Store::open(&location).unwrap();
    assert_eq!(in_force(&store), Some((2, "two".into())));
    assert_eq!(store.map(version(1)).unwrap().unwrap(), "one");
}

#[test]
fn a_proposal_that_nobody_decided_is_aborted_and_its_number_is_not_given_again() {
    let (_keep, location) = directory();
    let store = Store::open(&location).unwrap();
    commit(&store, "one");
    store.propose(&proposal("two"), now()).unwrap();
    drop(store);
    let store = Store::open(&location).unwrap();
    assert_eq!(in_force(&store), Some((1, "one".into())));
    let newest = store.list(u64::MAX, 1).unwrap().remove(0);
    assert_eq!((newest.version, newest.state()), (2, State::Aborted));
    assert_eq!(newest.reason, "the control plane stopped before it was decided");
    assert_eq!(commit(&store, "three"), 3);
}

#[test]
fn an_aborted_number_is_not_given_again_and_keeps_its_reason() {
    let store = Store::open(&StoreLocation::Memory).unwrap();
    let number = store.propose(&proposal("one"), now()).unwrap().version;
    store.decide(version(number), &Decision::Abort { reason: "engine-1 refused".into() }, now()).unwrap();
    assert_eq!(commit(&store, "two"), 2);
    assert_eq!(store.version(version(1)).unwrap().unwrap().reason, "engine-1 refused");
}

#[test]
fn a_number_is_above_those_that_were_given_elsewhere_also_after_opening_again() {
    let (_keep, location) = directory();
    let store = Store::open(&location).unwrap();
    let propose = |store: &Store, above| {
        let number = store.propose(&Proposal { above, ..proposal("map") }, now()).unwrap().version;
        store.decide(version(number), &Decision::Commit, now()).unwrap();
        number
    };
    assert_eq!([0, 7, 7, 3, 20].map(|above| propose(&store, above)), [1, 8, 9, 10, 21]);
    drop(store);
    let store = Store::open(&location).unwrap();
    assert_eq!((in_force(&store).unwrap().0, propose(&store, 0)), (21, 22));
}

#[test]
fn nothing_is_decided_twice_or_before_it_is_proposed() {
    let store = Store::open(&StoreLocation::Memory).unwrap();
    commit(&store, "one");
    for number in [1, 2] {
        let decided = store.decide(version(number), &Decision::Commit, now());
        assert!(matches!(decided, Err(StoreError::NotProposed { .. })), "{number}");
    }
}

#[test]
fn versions_are_listed_newest_first_and_page_by_page() {
    let store = Store::open(&StoreLocation::Memory).unwrap();
    commit_many(&store, 5);
    let numbers = |before, limit| {
        let list = store.list(before, limit).unwrap();
        list.into_iter().map(|version| version.version).collect::<Vec<_>>()
    };
    assert_eq!(numbers(u64::MAX, 2), [5, 4]);
    assert_eq!(numbers(4, 2), [3, 2]);
    assert!(numbers(1, 2).is_empty());
}

#[test]
fn pruning_keeps_the_newest_the_one_in_force_and_those_in_use() {
    let store = Store::open(&StoreLocation::Memory).unwrap();
    commit_many(&store, 5);
    for map in ["six", "seven"] {
        let number = store.propose(&proposal(map), now()).unwrap().version;
        store.decide(version(number), &Decision::Abort { reason: "no".into() }, now()).unwrap();
    }
    // 7 is the newest, 5 is in force, an engine runs 2.
    assert_eq!(store.prune(1, &BTreeSet::from([2])).unwrap(), 4);
    let kept = |number| store.map(version(number)).unwrap().is_some();
    assert_eq!([1, 2, 3, 4, 5, 6, 7].map(kept), [false, true, false, false, true, false, true]);
    assert!(store.version(version(1)).unwrap().unwrap().pruned);
    assert_eq!(store.prune(1, &BTreeSet::from([2])).unwrap(), 0);
}

#[test]
fn two_processes_can_not_share_a_store() {
    let (_keep, location) = directory();
    let _store = Store::open(&location).unwrap();
    assert!(refusal(&location).contains("in use by another process"));
}

#[test]
fn a_record_that_was_changed_is_noticed() {
    let (_keep, location) = directory();
    let store = Store::open(&location).unwrap();
    commit_many(&store, 3);
    drop(store);
    write_to(&raw(&location), |transaction| {
        let mut record = record::get(transaction, 2)?.unwrap();
        record.version.as_mut().unwrap().note = "not what was said".into();
        transaction.open_table(RECORDS)?.insert(2, prost::Message::encode_to_vec(&record).as_slice())?;
        Ok(())
    })
    .unwrap();
    let refusal = refusal(&location);
    assert!(refusal.contains("the record of version 3 does not follow from the one before it"), "{refusal}");
}

#[test]
fn a_record_that_is_gone_is_noticed_at_every_place() {
    for (gone, fault) in [(1, "version 1 is missing"), (2, "version 2 is missing"), (3, "newer ones are lost")] {
        let (_keep, location) = directory();
        let store = Store::open(&location).unwrap();
        commit_many(&store, 3);
        drop(store);
        let remove = |transaction: &WriteTransaction| Ok(transaction.open_table(RECORDS)?.remove(gone).map(drop)?);
        write_to(&raw(&location), remove).unwrap();
        let refusal = refusal(&location);
        assert!(refusal.contains(fault), "{gone}: {refusal}");
    }
}

#[test]
fn a_map_that_was_changed_or_lost_is_noticed() {
    for (change, fault) in [(Some(&b"other"[..]), "SHA-256 differs"), (None, "are missing")] {
        let (_keep, location) = directory();
        let store = Store::open(&location).unwrap();
        commit(&store, "one");
        drop(store);
        write_to(&raw(&location), |transaction| {
            let mut maps = transaction.open_table(MAPS)?;
            match change {
                Some(other) => drop(maps.insert(1, other)?),
                None => drop(maps.remove(1)?),
            }
            Ok(())
        })
        .unwrap();
        let refusal = refusal(&location);
        assert!(refusal.contains(fault), "{refusal}");
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_with_a_remedy() {
    let (_keep, location) = directory();
    let StoreLocation::Directory(path) = &location else { unreachable!() };
    std::fs::create_dir_all(path).unwrap();
    for garbage in [vec![b'x'; 10], vec![0; 4096], vec![0xff; 100_000], b"redb\x1a\x0a\xa9\x0d\x0a".to_vec()] {
        std::fs::write(path.join(FILE_NAME), &garbage).unwrap();
        let refusal = refusal(&location);
        assert!(refusal.contains("move the file away"), "{refusal}");
    }
}

#[test]
fn a_file_that_was_cut_or_overwritten_never_brings_the_process_down() {
    let (_keep, location) = directory();
    let store = Store::open(&location).unwrap();
    for number in 0..20 {
        commit(&store, &"map ".repeat(500 * number));
    }
    drop(store);
    let StoreLocation::Directory(path) = &location else { unreachable!() };
    let whole = std::fs::read(path.join(FILE_NAME)).unwrap();
    let mut refused = 0;
    for step in 0..60 {
        let at = whole.len() * step / 60;
        let mut changed = whole.clone();
        if step % 2 == 0 {
            changed.truncate(at);
        } else {
            let end = (at + 4096).min(whole.len());
            changed[at..end].fill(0x5a);
        }
        std::fs::write(path.join(FILE_NAME), &changed).unwrap();
        match Store::open(&location) {
            // Pages that nothing refers to may be overwritten; an empty file is a new store.
            Ok(store) => assert!(step == 0 || in_force(&store).is_some_and(|(number, _)| number == 20), "{step}"),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains(FILE_NAME), "{error}");
            }
        }
    }
    assert!(refused >= 20, "{refused}");
}

/// Flips `bit` of the file, and returns whether it was still opened. What can be read then must be what was written.
fn opens_with_flipped_bit(whole: &[u8], bit: usize, written: &[v1::RouteMapVersion], maps: &[Bytes]) -> bool {
    let disk = Disk::default();
    *disk.bytes.lock() = whole.to_vec();
    disk.bytes.lock()[bit / 8] ^= 1 << (bit % 8);
    let check = |error: &StoreError| match error {
        StoreError::Damaged { fault, .. } => assert!(!fault.is_empty()),
        // The number of redb's file format, and ours.
        StoreError::Format { .. } => {}
        _ => panic!("bit {bit}: {error:?}"),
    };
    let store = match Store::open_with("a disk".into(), disk.opener()) {
        Ok(store) => store,
        Err(error) => {
            check(&error);
            return false;
        }
    };
    match store.list(u64::MAX, 100) {
        // Whether bytes are missing that should not be is told by whoever asks for them.
        Ok(list) => {
            let list = list.into_iter().map(|version| v1::RouteMapVersion { pruned: false, ..version });
            assert!(list.eq(written.iter().cloned()), "bit {bit}");
        }
        Err(error) => check(&error),
    }
    for (number, map) in (1..).zip(maps) {
        match store.map(version(number)) {
            Ok(found) => assert!(found.as_ref() == Some(map), "bit {bit}"),
            Err(error) => check(&error),
        }
    }
    assert_eq!(in_force(&store).as_ref().map(|(_, map)| map), maps.last(), "bit {bit}");
    true
}

#[test]
fn with_any_bit_of_the_file_flipped_it_opens_with_the_very_same_maps_or_is_refused() {
    let disk = Disk::default();
    let store = Store::open_with("a disk".into(), disk.opener()).unwrap();
    let maps: Vec<Bytes> = (0..6).map(|number| format!("map {number} ").repeat(1 + 40 * number).into()).collect();
    for map in &maps {
        commit(&store, str::from_utf8(map).unwrap());
    }
    let written = store.list(u64::MAX, 100).unwrap();
    let killed = disk.bytes.lock().clone();
    drop(store);
    let closed = disk.bytes.lock().clone();
    for (whole, how) in [(closed, "closed"), (killed, "killed")] {
        // All of the header; and of the pages, some bit of some of the bytes that are not zero.
        let bytes = (512..whole.len()).filter(|at| whole[*at] != 0).step_by(FLIP_EVERY);
        let bits = (0..512 * 8).chain(bytes.map(|at| at * 8 + at % 8));
        let (mut opened, mut refused) = (0, 0);
        for bit in bits.filter(|bit| how == "closed" || *bit != NEWEST_TRANSACTION) {
            match opens_with_flipped_bit(&whole, bit, &written, &maps) {
                true => opened += 1,
                false => refused += 1,
            }
        }
        assert!(opened > 0 && refused > 500, "{how}: {opened} opened, {refused} refused");
    }
}

/// Says which of the last two transactions is the newer one. Flipped in the file of a process that was killed, it gives a whole store
/// from before the last decision, as a copy would be. Engines say that they are ahead of it.
const NEWEST_TRANSACTION: usize = 9 * 8;

/// With 1, the test above takes two minutes.
const FLIP_EVERY: usize = 19;

/// A disk that can fail.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    broken: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> std::io::Result<()> {
        if self.broken.load(Ordering::SeqCst) { Err(std::io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }

    fn opener(&self) -> Opener {
        let disk = self.clone();
        Box::new(move || builder().create_with_backend(disk.clone()))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        out.copy_from_slice(&self.bytes.lock()[offset as usize..offset as usize + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.check()?;
        self.bytes.lock().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.check()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.check()?;
        self.bytes.lock()[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[test]
fn after_a_full_disk_the_old_version_is_in_force_and_the_next_update_works() {
    let disk = Disk::default();
    let store = Store::open_with("a disk".into(), disk.opener()).unwrap();
    commit(&store, "one");
    disk.broken.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let failed = store.propose(&proposal("two"), now());
        let Err(StoreError::Failed { .. }) = failed else { panic!("{failed:?}") };
    }
    disk.broken.store(false, Ordering::SeqCst);
    assert_eq!(in_force(&store), Some((1, "one".into())));
    let number = commit(&store, "three");
    assert_eq!(in_force(&store), Some((number, "three".into())));
}

#[test]
fn a_commit_that_failed_is_no_commit_even_if_it_reached_the_disk() {
    let disk = Disk::default();
    let store = Store::open_with("a disk".into(), disk.opener()).unwrap();
    commit(&store, "one");
    let number = store.propose(&proposal("two"), now()).unwrap().version;
    // As after a sync that fails: the bytes are there, the caller was told that they are not.
    store.decide(version(number), &Decision::Commit, now()).unwrap();
    {
        let mut open = store.open.lock();
        open.announced = 1;
        open.database = None;
    }
    assert_eq!(in_force(&store), Some((1, "one".into())));
    let newest = store.list(u64::MAX, 1).unwrap().remove(0);
    assert_eq!((newest.version, newest.state()), (2, State::Aborted));
    assert_eq!(newest.reason, "the store failed before it was decided");
    assert_eq!(commit(&store, "three"), 3);
    drop(store);
    let store = Store::open_with("a disk".into(), disk.opener()).unwrap();
    assert_eq!(in_force(&store), Some((3, "three".into())));
}
