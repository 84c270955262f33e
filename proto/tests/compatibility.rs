//! The promise of `veltrix.v1`: builds of different age understand each other, and what one stored the other reads.
//!
//! `compat/veltrix.v1.binpb` is the contract as it was last agreed on: the descriptors of `veltrix/v1/*.proto`, without comments.
//! [`uphold`] holds today's schemas against it. What the contract allows is in `compatibility/checker.rs`, rule by rule.
//!
//! New things are fine, but become part of the promise: `VELTRIX_BLESS=1 cargo test -p veltrix-proto` writes them down. It refuses
//! to write down a break; the way out of one is a new package. (Until the first release there is a shorter one, which a reviewer
//! sees: delete the baseline and bless.)

#[path = "compatibility/checker.rs"]
mod checker;
#[path = "compatibility/checker_tests.rs"]
mod checker_tests;

use checker::breaks;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const PACKAGE: &str = "veltrix.v1";
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/compat/veltrix.v1.binpb");
const BLESS: &str = "VELTRIX_BLESS=1 cargo test -p veltrix-proto";

#[test]
fn the_schemas_keep_the_promise_of_the_baseline() {
    let bless = std::env::var("VELTRIX_BLESS").is_ok_and(|value| value == "1");
    if let Err(reason) = uphold(Path::new(BASELINE), &contract(veltrix_proto::DESCRIPTOR_SET), bless) {
        panic!("{reason}");
    }
}

#[test]
fn the_contract_holds_neither_comments_nor_the_schemas_of_others() {
    let contract = contract(veltrix_proto::DESCRIPTOR_SET);
    let names: Vec<&str> = contract.file.iter().map(|file| file.name()).collect();
    assert!(names.contains(&"veltrix/v1/route_map.proto"), "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("veltrix/v1/")), "{names:?}");
    assert!(contract.file.iter().all(|file| file.source_code_info.is_none()));
}

#[test]
fn a_missing_baseline_is_reported_with_the_command_that_writes_it() {
    let path = scratch("missing");
    let reason = uphold(&path, &contract(veltrix_proto::DESCRIPTOR_SET), false).unwrap_err();
    assert!(reason.contains(BLESS), "{reason}");
    assert!(!path.exists());
}

#[test]
fn an_addition_is_refused_until_it_is_blessed() {
    let path = scratch("addition");
    let before = checker_tests::compile("message M { string a = 1; }");
    let after = checker_tests::compile("message M { string a = 1; string b = 2; }");
    uphold(&path, &before, true).unwrap();
    uphold(&path, &before, false).unwrap();

    let reason = uphold(&path, &after, false).unwrap_err();
    assert!(reason.contains(BLESS), "{reason}");
    uphold(&path, &after, true).unwrap();
    uphold(&path, &after, false).unwrap();
}

#[test]
fn a_break_is_not_blessed() {
    let path = scratch("break");
    let before = checker_tests::compile("message M { string a = 1; }");
    let after = checker_tests::compile("message M { bytes a = 1; }");
    uphold(&path, &before, true).unwrap();
    for bless in [false, true] {
        let reason = uphold(&path, &after, bless).unwrap_err();
        assert!(reason.contains("M, field 1 `a`: type was"), "{reason}");
        assert!(!reason.contains(BLESS), "{reason}");
    }
    uphold(&path, &before, false).unwrap();
}

/// Holds today's schemas against the baseline and, with `bless`, writes additions down. The error is for the developer's eyes.
fn uphold(baseline: &Path, today: &FileDescriptorSet, bless: bool) -> Result<(), String> {
    let name = baseline.display();
    let agreed = match std::fs::read(baseline) {
        Ok(bytes) => FileDescriptorSet::decode(bytes.as_slice()).map_err(|error| format!("{name}: {error}"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => FileDescriptorSet::default(),
        Err(error) => return Err(format!("{name}: {error}")),
    };
    let broken = breaks(&pool(&agreed), &pool(today));
    if !broken.is_empty() {
        let mut reason = format!("{} break(s) of the contract in {name}:\n", broken.len());
        for one in broken {
            writeln!(reason, "- {one}").expect("a String takes every write");
        }
        return Err(reason);
    }
    if agreed == *today {
        return Ok(());
    }
    if !bless {
        return Err(format!(
            "the schemas say more than {name}, and break nothing\n\
             if that is to be kept from now on, run `{BLESS}` and commit the file"
        ));
    }
    if let Some(folder) = baseline.parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("{name}: {error}"))?;
    }
    std::fs::write(baseline, today.encode_to_vec()).map_err(|error| format!("{name}: {error}"))
}

/// What is promised of a descriptor set: our package, in a fixed order, and no comments, which may change at will.
fn contract(descriptor_set: &[u8]) -> FileDescriptorSet {
    let mut set = FileDescriptorSet::decode(descriptor_set).expect("the build wrote a descriptor set");
    set.file.retain(|file| file.package() == PACKAGE);
    set.file.sort_by(|a, b| a.name().cmp(b.name()));
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}

/// With Google's types beside ours, since the contract uses them and does not hold them.
fn pool(set: &FileDescriptorSet) -> DescriptorPool {
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_set(set.clone()).expect("a descriptor set that the compiler made");
    pool
}

/// A path of its own for one test, with nothing there.
fn scratch(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.binpb"));
    if path.exists() {
        std::fs::remove_file(&path).unwrap();
    }
    path
}
