//! How engines that come, go and come back end on the right version.

mod support;

use support::*;
use tonic::Code;
use veltrix_control_plane::Config;
use veltrix_proto::v1::engine_outcome::Outcome;
use veltrix_proto::v1::engine_report::Report;
use veltrix_proto::v1::{self};

#[tokio::test]
async fn an_engine_that_lags_is_brought_to_the_version_in_force() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut new = control_plane.engine("new").await;
    assert_eq!(new.welcome().await.version, 1);
    assert_eq!(new.follow().await, 1);
    operator.until(|engines| engines.engines.iter().all(|engine| engine.sha256 == sha256(&map("a")))).await;
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_runs_the_map_in_force_is_sent_no_bytes() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut one = control_plane.engine_that_runs("one", 1, sha256(&map("a"))).await;
    one.welcome().await;
    // The next thing it hears is the next version.
    let update = operator.begin(update(&map("b")));
    assert_eq!(one.follow().await, 2);
    update.await.unwrap().unwrap();
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_comes_while_others_prepare_ends_on_the_new_version() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut one = control_plane.engine_that_runs("one", 1, sha256(&map("a"))).await;
    one.welcome().await;
    let update = operator.begin(update(&map("b")));
    let prepare = one.prepare().await;

    // It has nothing, and must not wait for an update that may be aborted.
    let mut fresh = control_plane.engine("fresh").await;
    assert_eq!(fresh.welcome().await.version, 1);
    assert_eq!(fresh.follow().await, 1);
    // It has what is in force, and needs nothing until the decision.
    let mut current = control_plane.engine_that_runs("current", 1, sha256(&map("a"))).await;
    assert_eq!(current.welcome().await.version, 1);
    operator.until_connected(3).await;

    one.say_prepared(&prepare).await;
    let commit = one.commit().await;
    one.say_in_force(&commit).await;
    assert_eq!(tokio::join!(fresh.follow(), current.follow()), (2, 2));
    let answer = update.await.unwrap().unwrap();
    assert!(answer.engines.iter().all(|engine| engine.outcome() == Outcome::InForce), "{answer:?}");
    assert_eq!(answer.engines.len(), 3);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_comes_between_the_decision_and_its_confirmation_ends_on_the_new_version() {
    let control_plane = ControlPlane::start().await;
    let operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let update = operator.begin(update(&map("a")));
    let prepare = one.prepare().await;
    one.say_prepared(&prepare).await;
    let commit = one.commit().await;
    let mut late = control_plane.engine("late").await;
    assert_eq!(late.welcome().await.version, 1);
    assert_eq!(late.follow().await, 1);
    one.say_in_force(&commit).await;
    update.await.unwrap().unwrap();
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_still_catching_up_when_the_version_changes_ends_on_the_newest() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut one = control_plane.engine_that_runs("one", 1, sha256(&map("a"))).await;
    one.welcome().await;
    let update = operator.begin(update(&map("b")));
    let prepare = one.prepare().await;
    let mut slow = control_plane.engine("slow").await;
    slow.welcome().await;
    let old = slow.prepare().await;
    assert_eq!(old.version, 1);
    one.say_prepared(&prepare).await;
    let commit = one.commit().await;
    one.say_in_force(&commit).await;
    // Only now it is done with what is no longer in force.
    slow.say_prepared(&old).await;
    assert_eq!(slow.abort().await.version, 1);
    assert_eq!(slow.follow().await, 2);
    assert_eq!(update.await.unwrap().unwrap().engines.len(), 2);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_catching_up_when_an_update_begins_takes_part_in_it() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let old = one.prepare().await;
    let update = operator.begin(update(&map("b")));
    one.say_prepared(&old).await;
    let commit = one.commit().await;
    assert_eq!(commit.version, 1);
    one.say_in_force(&commit).await;
    let prepare = one.prepare().await;
    one.say_rejected(&prepare, "", "no").await;
    assert_eq!(update.await.unwrap().unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(operator.in_force().await.unwrap().0, 1);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_was_gone_during_an_aborted_update_stays_on_the_old_version() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let (mut one, mut two) = (control_plane.engine("one").await, control_plane.engine("two").await);
    one.welcome().await;
    two.welcome().await;
    assert_eq!(tokio::join!(one.follow(), two.follow()), (1, 1));
    operator.until(|engines| engines.engines.iter().all(|engine| engine.version == 1)).await;
    drop(two);
    operator.until_connected(1).await;
    let update_one = operator.begin(update(&map("b")));
    let prepare = one.prepare().await;
    one.say_rejected(&prepare, "", "no").await;
    update_one.await.unwrap().unwrap_err();
    let mut two = control_plane.engine_that_runs("two", 1, sha256(&map("a"))).await;
    assert_eq!(two.welcome().await.version, 1);
    // The next thing it hears is the next version.
    let update = operator.begin(update(&map("c")));
    assert_eq!(tokio::join!(one.follow(), two.follow()), (3, 3));
    update.await.unwrap().unwrap();
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_comes_back_while_it_was_asked_gets_the_map_after_the_decision() {
    let control_plane = ControlPlane::start().await;
    let operator = control_plane.operator().await;
    let (mut one, mut two) = (control_plane.engine("one").await, control_plane.engine("two").await);
    one.welcome().await;
    two.welcome().await;
    let update = operator.begin(update(&map("a")));
    two.prepare().await;
    let mut two_again = control_plane.engine("two").await;
    assert_eq!(two_again.welcome().await.version, 0);
    let status = two.end().await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::AlreadyExists, "engine `two` connected again; the newer connection stays")
    );
    one.follow().await;
    assert_eq!(two_again.follow().await, 1);
    let answer = update.await.unwrap().unwrap();
    assert!(answer.engines.iter().all(|engine| engine.outcome() == Outcome::InForce), "{answer:?}");
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_can_not_use_the_map_in_force_stays_connected_and_is_shown_with_its_reasons() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    operator.update(update(&map("b"))).await.unwrap();
    let mut old = control_plane.engine_that_runs("old", 1, sha256(&map("a"))).await;
    old.welcome().await;
    let prepare = old.prepare().await;
    old.say_rejected(&prepare, "routes[0]", "not known to this release").await;
    old.say(Report::Health(v1::EngineHealth { partitions: 3, ..Default::default() })).await;
    operator.until(|engines| engines.engines.first().is_some_and(|engine| engine.health.is_some())).await;
    let status = operator.engines().await.engines.remove(0);
    assert_eq!((status.version, status.refused_version), (1, 2));
    let reason = &status.refused_reasons[0];
    assert_eq!((&*reason.path, &*reason.message), ("routes[0]", "not known to this release"));
    let update = operator.begin(update(&map("c")));
    // On a slow machine it may be asked for the old one again before.
    let mut prepare = old.prepare().await;
    while prepare.version == 2 {
        old.say_rejected(&prepare, "routes[0]", "not known to this release").await;
        prepare = old.prepare().await;
    }
    old.say_prepared(&prepare).await;
    let commit = old.commit().await;
    assert_eq!(commit.version, 3);
    old.say_in_force(&commit).await;
    assert_eq!(update.await.unwrap().unwrap().version, 3);
    let status = operator.engines().await.engines.remove(0);
    assert_eq!((status.version, status.refused_version, status.refused_reasons.len()), (3, 0, 0));
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_refused_the_map_in_force_is_asked_again_until_it_can_use_it() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    for _ in 0..2 {
        let prepare = one.prepare().await;
        one.say_rejected(&prepare, "", "can't ask Kafka for the topics").await;
    }
    // Nobody applies anything; the reasons stay to be seen until they are gone.
    let prepare = one.prepare().await;
    assert_eq!(operator.engines().await.engines[0].refused_version, 1);
    one.say_prepared(&prepare).await;
    let commit = one.commit().await;
    one.say_in_force(&commit).await;
    operator.until(|engines| engines.engines[0].version == 1 && engines.engines[0].refused_version == 0).await;
    control_plane.stop().await;
}

#[tokio::test]
async fn applying_the_map_in_force_again_asks_engines_that_refused_it_at_once() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    // More often than the growing pauses allow in the time that a test waits.
    for _ in 0..8 {
        let prepare = one.prepare().await;
        one.say_rejected(&prepare, "destinations[0]", "no such topic").await;
        operator.until(|engines| engines.engines[0].refused_version == 1).await;
        let answer = operator.update(update(&map("a"))).await.unwrap();
        assert!(answer.unchanged);
        assert_eq!(answer.engines[0].outcome(), Outcome::Unconfirmed);
        assert!(answer.engines[0].detail.contains("destinations[0]: no such topic"), "{answer:?}");
    }
    assert_eq!(one.follow().await, 1);
    operator.until(|engines| engines.engines[0].version == 1).await;
    assert_eq!(operator.versions().await.len(), 1);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_never_catches_up_is_cut_off_and_does_not_hold_up_updates_for_ever() {
    let config = Config { prepare_timeout: std::time::Duration::from_millis(100), ..Config::default() };
    let control_plane = ControlPlane::with(config).await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut hung = control_plane.engine("hung").await;
    hung.welcome().await;
    hung.prepare().await;
    assert_eq!(hung.end().await.code(), Code::DeadlineExceeded);
    operator.until_connected(0).await;
    let mut well = control_plane.engine("well").await;
    well.welcome().await;
    assert_eq!(well.follow().await, 1);
    let update = operator.begin(update(&map("b")));
    assert_eq!(well.follow().await, 2);
    assert_eq!(update.await.unwrap().unwrap().version, 2);
    control_plane.stop().await;
}

#[tokio::test]
async fn no_map_goes_through_only_because_the_last_engine_was_cut_off_or_lost_a_moment_ago() {
    let config = Config { prepare_timeout: std::time::Duration::from_millis(100), ..Config::default() };
    let control_plane = ControlPlane::with(config).await;
    let mut operator = control_plane.operator().await;
    let mut hung = control_plane.engine("hung").await;
    hung.welcome().await;
    operator.until_connected(1).await;
    let refused = operator.begin(update(&map("a")));
    hung.prepare().await;
    assert_eq!(refused.await.unwrap().unwrap_err().code(), Code::FailedPrecondition);
    let away = operator.update(update(&map("a"))).await.unwrap_err();
    assert_eq!(away.code(), Code::FailedPrecondition);
    assert!(away.message().starts_with("no engine is connected, but one was until"), "{away}");
    assert_eq!(operator.in_force().await, None);
    // An engine that comes back in time is asked.
    let mut back = control_plane.engine("hung").await;
    back.welcome().await;
    operator.until_connected(1).await;
    let update = operator.begin(update(&map("a")));
    back.follow().await;
    assert!(update.await.unwrap().is_ok());
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_does_not_say_who_it_is_first_is_turned_away() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let mut rude = control_plane.dial().await;
    rude.say(Report::Health(v1::EngineHealth::default())).await;
    assert_eq!(rude.end().await.code(), Code::InvalidArgument);
    for id in ["", "line\nbreak", &"x".repeat(256)] {
        assert_eq!(control_plane.engine(id).await.end().await.code(), Code::InvalidArgument, "{id:?}");
    }
    let mut twice = control_plane.engine("twice").await;
    twice.welcome().await;
    twice.say(Report::Hello(v1::Hello { engine_id: "other".into(), ..Default::default() })).await;
    assert_eq!(twice.end().await.code(), Code::InvalidArgument);
    operator.until_connected(0).await;
    control_plane.stop().await;
}

#[tokio::test]
async fn answers_to_questions_that_nobody_asked_change_nothing() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let never = v1::Prepare { version: 9, sha256: sha256(b"never"), route_map: bytes::Bytes::new() };
    one.say_prepared(&never).await;
    one.say_rejected(&never, "", "no").await;
    one.say_in_force(&v1::Commit { version: 9, sha256: never.sha256.clone() }).await;
    // Reports are read in order: once this one is shown, those before have been read.
    one.say(Report::Health(v1::EngineHealth { partitions: 3, ..Default::default() })).await;
    operator.until(|engines| engines.engines[0].health.is_some()).await;
    assert_eq!(operator.engines().await.engines[0].version, 0);
    // A number that nobody gave would push up those of all updates, or hold the engine to be ahead of them.
    let update_one = operator.begin(update(&map("a")));
    let prepare = one.prepare().await;
    // Nor is it in force where it is only asked for.
    one.say_in_force(&v1::Commit { version: 1, sha256: prepare.sha256.clone() }).await;
    one.say_prepared(&prepare).await;
    let commit = one.commit().await;
    assert_eq!((commit.version, operator.engines().await.engines[0].version), (1, 0));
    assert!(!update_one.is_finished());
    one.say_in_force(&commit).await;
    assert_eq!(update_one.await.unwrap().unwrap().version, 1);
    assert_eq!(operator.engines().await.version_in_force, 1);
    // Once more, for a map that it has left since.
    let update_two = operator.begin(update(&map("b")));
    assert_eq!(one.follow().await, 2);
    update_two.await.unwrap().unwrap();
    one.say_in_force(&commit).await;
    one.say(Report::Health(v1::EngineHealth { partitions: 4, ..Default::default() })).await;
    operator.until(|engines| engines.engines[0].health.is_some_and(|health| health.partitions == 4)).await;
    assert_eq!(operator.engines().await.engines[0].version, 2);
    one.say_in_force(&v1::Commit { version: u64::MAX, sha256: commit.sha256.clone() }).await;
    assert_eq!(one.end().await.code(), Code::InvalidArgument);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_confirms_a_switch_after_it_was_told_the_next_is_believed_both() {
    let config = Config { commit_timeout: std::time::Duration::from_millis(1), ..Config::default() };
    let control_plane = ControlPlane::with(config).await;
    let mut operator = control_plane.operator().await;
    let mut slow = control_plane.engine("slow").await;
    slow.welcome().await;
    let mut commits = Vec::new();
    for event_type in ["a", "b"] {
        let update = operator.begin(update(&map(event_type)));
        let prepare = slow.prepare().await;
        slow.say_prepared(&prepare).await;
        commits.push(slow.commit().await);
        assert_eq!(update.await.unwrap().unwrap().engines[0].outcome(), Outcome::Unconfirmed);
    }
    for commit in &commits {
        slow.say_in_force(commit).await;
        operator.until(|engines| engines.engines[0].version == commit.version).await;
    }
    assert_eq!(operator.engines().await.version_in_force, 2);
    control_plane.stop().await;
}

#[tokio::test]
async fn a_whole_fleet_that_comes_back_at_once_is_brought_to_the_version_in_force() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let count = veltrix_control_plane::limits::PREPARES_AT_ONCE + 40;
    let mut fleet = Vec::new();
    for number in 0..count {
        fleet.push(control_plane.engine(&format!("engine-{number}")).await);
    }
    let engines: Vec<_> = fleet
        .into_iter()
        .map(|mut engine| {
            tokio::spawn(async move {
                engine.welcome().await;
                assert_eq!(engine.follow().await, 1);
                engine
            })
        })
        .collect();
    for engine in &mut operator.engines().await.engines {
        assert!(engine.version <= 1);
    }
    let mut fleet = Vec::new();
    for engine in engines {
        fleet.push(engine.await.unwrap());
    }
    operator.until(|engines| engines.engines.iter().filter(|engine| engine.version == 1).count() == count).await;
    control_plane.stop().await;
}

#[tokio::test]
async fn after_the_store_was_emptied_an_update_is_numbered_above_all_that_engines_run() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let mut seven = control_plane.engine_that_runs("seven", 7, sha256(b"lost")).await;
    let mut nine = control_plane.engine_that_runs("nine", 9, sha256(b"lost, too")).await;
    assert_eq!((seven.welcome().await.version, nine.welcome().await.version), (0, 0));
    // Also if the engine with the highest version is gone: it will be back.
    drop(nine);
    operator.until_connected(1).await;
    let dry_run = operator.begin(v1::UpdateRouteMapRequest { dry_run: true, ..update(&map("a")) });
    let prepare = seven.prepare().await;
    assert_eq!(prepare.version, 10, "an engine must not take a dry run for an older map");
    seven.say_prepared(&prepare).await;
    dry_run.await.unwrap().unwrap();
    seven.abort().await;
    // The caller knows the control plane, which has nothing in force, not what engines say.
    let update_one = operator.begin(v1::UpdateRouteMapRequest { expected_version: Some(0), ..update(&map("a")) });
    assert_eq!(seven.follow().await, 10);
    assert_eq!(update_one.await.unwrap().unwrap().version, 10);
    let mut nine = control_plane.engine_that_runs("nine", 9, sha256(b"lost, too")).await;
    assert_eq!(nine.welcome().await.version, 10);
    assert_eq!(nine.follow().await, 10);
    let update_two = operator.begin(v1::UpdateRouteMapRequest { expected_version: Some(10), ..update(&map("b")) });
    assert_eq!(tokio::join!(seven.follow(), nine.follow()), (11, 11));
    assert_eq!(update_two.await.unwrap().unwrap().version, 11);
    control_plane.stop().await;
}

#[tokio::test]
async fn a_map_that_was_applied_before_engines_with_higher_versions_came_back_is_numbered_anew_and_reaches_them() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    assert_eq!(operator.update(update(&map("a"))).await.unwrap().version, 1);
    let mut low = control_plane.engine_that_runs("low", 1, sha256(&map("a"))).await;
    low.welcome().await;
    // A higher number, and the same number for another map.
    for (id, runs, then) in [("seven", 7, 8), ("eight", 8, 9)] {
        let mut engine = control_plane.engine_that_runs(id, runs, sha256(b"lost")).await;
        engine.welcome().await;
        assert_eq!(tokio::join!(low.follow(), engine.follow()), (then, then));
        operator.until(|engines| engines.version_in_force == then).await;
        assert_eq!(operator.in_force().await, Some((then, map("a"))));
        drop(engine);
        operator.until_connected(1).await;
    }
    let note = operator.versions().await.remove(0).note;
    assert_eq!(note, "the map of version 8 under a higher number: engine `eight` ran version 8");
    control_plane.stop().await;
}

#[tokio::test]
async fn a_map_from_the_store_that_is_older_than_what_engines_run_reaches_them_only_when_it_is_applied_again() {
    let directory = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::on(directory.path()).await;
    control_plane.operator().await.update(update(&map("a"))).await.unwrap();
    control_plane.stop().await;

    // As if the directory were a copy from yesterday.
    let control_plane = ControlPlane::on(directory.path()).await;
    let mut operator = control_plane.operator().await;
    let mut one = control_plane.engine_that_runs("one", 7, sha256(&map("b"))).await;
    assert_eq!(one.welcome().await.version, 1);
    let status = operator.engines().await.engines.remove(0);
    assert_eq!((status.version, status.refused_version), (7, 1));
    assert!(status.refused_reasons[0].message.contains("it has routed by version 7"), "{status:?}");
    // The next thing it hears is what an operator wants.
    let update_one = operator.begin(update(&map("a")));
    assert_eq!(one.follow().await, 8);
    let answer = update_one.await.unwrap().unwrap();
    assert_eq!((answer.version, answer.unchanged), (8, false));
    assert!(operator.update(update(&map("a"))).await.unwrap().unchanged);
    control_plane.stop().await;
    // The gap is on disk, too, and the number is not forgotten.
    let control_plane = ControlPlane::on(directory.path()).await;
    assert_eq!(control_plane.operator().await.update(update(&map("c"))).await.unwrap().version, 9);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_has_just_started_and_has_a_higher_version_on_its_disk_is_not_taken_back() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let mut one = control_plane.dial().await;
    let hello = |version: u64, map: &bytes::Bytes| v1::Hello {
        engine_id: "one".into(),
        last_known_good_version: version,
        last_known_good_sha256: sha256(map),
        ..Default::default()
    };
    one.say(Report::Hello(hello(7, &map("lost")))).await;
    one.welcome().await;
    operator.until_connected(1).await;
    let update_one = operator.begin(update(&map("a")));
    assert_eq!(one.follow().await, 8);
    update_one.await.unwrap().unwrap();
    // Started again with the map in force on its disk, it still needs the map: it does not route yet.
    drop(one);
    operator.until_connected(0).await;
    let mut one = control_plane.dial().await;
    one.say(Report::Hello(hello(8, &map("a")))).await;
    one.welcome().await;
    assert_eq!(one.follow().await, 8);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_says_an_impossible_version_is_turned_away_and_costs_no_numbers() {
    let control_plane = ControlPlane::start().await;
    let mut mad = control_plane.engine_that_runs("mad", u64::MAX, sha256(b"mad")).await;
    assert_eq!(mad.end().await.code(), Code::InvalidArgument);
    assert_eq!(control_plane.operator().await.update(update(&map("a"))).await.unwrap().version, 1);
    control_plane.stop().await;
}
