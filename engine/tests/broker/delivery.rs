//! Nothing is lost, whatever is done to an engine: killed, stopped, left without its control plane, its routes changed all the while.
//!
//! Each test judges by what arrived, recomputed event by event with the table of the version that each delivery carries.

use crate::fleet::{Broker, EngineProcess, Fleet, embedded, on_two_machines};
use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use veltrix_engine::audit::{AuditReport, Reader};
use veltrix_engine::dev::updates::{UpdateCounts, push_updates};

/// After the last event is committed, nothing arrives any more that did not within this time.
const QUIET: Duration = Duration::from_secs(2);

struct Plan {
    rate: u64,
    seconds: u64,
    kills: u32,
    updates: u64,
}

/// Storm and updates all the while, and an engine that is killed and started again in between.
async fn kills_and_updates(fleet: Fleet, plan: Plan) -> (AuditReport, u64) {
    let mut engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let duration = Duration::from_secs(plan.seconds);
    let (storm, audit) = fleet.start_storm(plan.rate, duration);

    let (counts, stop) = (Arc::new(UpdateCounts::default()), CancellationToken::new());
    let per_second = NonZeroU32::new((plan.updates / plan.seconds + 1) as u32).unwrap();
    let (map, versions) = (fleet.map.clone(), Arc::clone(&fleet.versions));
    let fleet = Arc::new(fleet);
    let pushing = Arc::clone(&fleet);
    let push = move |map: Vec<u8>| {
        let fleet = Arc::clone(&pushing);
        async move { fleet.push(map).await }
    };
    let updates = tokio::spawn(push_updates(map, per_second, versions, Arc::clone(&counts), stop.clone(), push));
    for _ in 0..plan.kills {
        // Else a kill would hit an engine that waits for its partitions, and show nothing.
        fleet.wait_for_consumption().await;
        engine.kill();
        fleet.wait_for_no_engine().await;
        engine = fleet.start_engine(0);
    }
    let stormed = tokio::task::spawn_blocking(|| storm.join()).await.unwrap().unwrap();
    assert_eq!(stormed.refused, 0);
    while counts.applied() < plan.updates {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    updates.await.unwrap().unwrap();
    let waiting = Arc::clone(&fleet);
    tokio::task::spawn_blocking(move || waiting.wait_until_committed()).await.unwrap();
    let report = tokio::task::spawn_blocking(|| audit.finish(QUIET)).await.unwrap().unwrap();
    let _ = writeln!(
        std::io::stderr(),
        "{} events, {} delivered, {} kills, {} updates: {} lost, {} misrouted, {} torn, {} duplicated; p99 {} ms",
        report.events,
        report.delivered,
        plan.kills,
        counts.applied(),
        report.lost,
        report.misrouted,
        report.torn,
        report.duplicated,
        report.latency_ms.p99,
    );
    assert_eq!(report.events, stormed.acknowledged);
    assert!(report.is_right(), "{report:#?}\n{}", engine.log());
    // Not all of them: some come and go while no engine is up.
    assert!(report.versions > plan.updates / 4, "deliveries by hardly any version: {report:#?}");
    assert!(report.delivered > report.events / 4, "hardly anything was delivered: {report:#?}");
    assert_eq!(engine.terminate(), Some(0));
    (report, counts.applied())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_a_real_broker_through_5_kills_and_50_updates_of_200_000_events() {
    let name = "5 kills and 50 updates of 200,000 events";
    let Some(broker) = Broker::real(name) else { return };
    let fleet = Fleet::start(broker, "kills", 12).await;
    let plan = Plan { rate: 5_000, seconds: 40, kills: 5, updates: 50 };
    let (report, updates) = kills_and_updates(fleet, plan).await;
    assert!(report.events >= 199_000 && updates >= 50, "{report:#?}");
    // Two kills of a slow storm can both come when nothing is under way.
    assert!(report.duplicated > 0, "no kill met an event under way: {report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_the_embedded_broker_through_kills_and_updates() {
    let fleet = Fleet::start(embedded("small", 4), "small", 4).await;
    let plan = Plan { rate: 750, seconds: 20, kills: 2, updates: 20 };
    kills_and_updates(fleet, plan).await;
}

/// Judges a storm when everything that it sent is committed.
async fn judge(fleet: &Arc<Fleet>, audit: Reader, engine: &EngineProcess) -> AuditReport {
    let waiting = Arc::clone(fleet);
    tokio::task::spawn_blocking(move || waiting.wait_until_committed()).await.unwrap();
    let report = tokio::task::spawn_blocking(|| audit.finish(QUIET)).await.unwrap().unwrap();
    assert!(report.is_right(), "{report:#?}\n{}", engine.log());
    report
}

/// A stop in order, and a start after it.
async fn stop_and_start(fleet: Fleet) {
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let (storm, audit) = fleet.start_storm(2_000, Duration::from_secs(6));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(engine.terminate(), Some(0));
    let engine = fleet.start_engine(0);
    tokio::task::spawn_blocking(|| storm.join()).await.unwrap().unwrap();
    let report = judge(&Arc::new(fleet), audit, &engine).await;
    assert_eq!(report.duplicated, 0, "a stop in order commits what it delivered\n{}", engine.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_order_repeats_nothing_and_loses_nothing_on_a_real_broker() {
    let Some(broker) = Broker::real("a stop in order") else { return };
    stop_and_start(Fleet::start(broker, "stop", 6).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_order_repeats_nothing_and_loses_nothing_on_the_embedded_broker() {
    stop_and_start(Fleet::start(embedded("stop", 2), "stop", 2).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_control_plane_an_engine_routes_on_and_restarts_from_its_last_known_good_map() {
    let mut fleet = Fleet::start(embedded("alone", 2), "alone", 2).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let (storm, audit) = fleet.start_storm(500, Duration::from_secs(12));
    fleet.stop_control_plane().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    engine.kill();
    let engine = fleet.start_engine(0);
    tokio::task::spawn_blocking(|| storm.join()).await.unwrap().unwrap();
    let log = engine.log();
    let fleet = Arc::new(tokio::sync::Mutex::new(fleet));
    let waiting = Arc::clone(&fleet);
    tokio::task::spawn_blocking(move || waiting.blocking_lock().wait_until_committed()).await.unwrap();
    let report = tokio::task::spawn_blocking(|| audit.finish(QUIET)).await.unwrap().unwrap();
    assert!(report.is_right(), "{report:#?}\n{log}");
    assert!(log.contains("routing by the last known good RouteMap"), "{log}");
    // And when the control plane is back, the engine follows it again.
    let mut fleet = fleet.lock().await;
    fleet.start_control_plane().await;
    fleet.wait_for_engines(1).await;
    assert_eq!(engine.terminate(), Some(0));
}

/// Books so small that a destination that takes nothing fills them within a batch. And a session that outlasts the 3 s for which the mock
/// lets a group's first member wait.
const SMALL_BOOKS: [&str; 6] =
    ["--in-flight-events", "100", "--grace-ms", "500", "--kafka-property", "consumer.session.timeout.ms=4500"];
const DEAD: &str = "hunt-leaderboard";
const BOOKS_ARE_FULL: &str = "reading is paused";

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_destination_holds_up_no_route_change_and_no_stop_and_its_events_wait_for_it() {
    let fleet = Arc::new(Fleet::start(on_two_machines("dead", 2, DEAD), "dead", 2).await);
    let (storm, audit) = fleet.start_storm(1_000, Duration::from_secs(3));
    fleet.second_machine(false);
    tokio::task::spawn_blocking(|| storm.join()).await.unwrap().unwrap();

    let engine = fleet.start_engine_with(0, &SMALL_BOOKS);
    engine.wait_for_log(BOOKS_ARE_FULL).await;
    for _ in 0..3 {
        fleet.push_again().await;
    }
    assert_eq!(engine.terminate(), Some(1), "a stop that leaves events behind says so");

    let engine = fleet.start_engine_with(0, &SMALL_BOOKS);
    fleet.wait_for_engines(1).await;
    fleet.push_again().await;
    fleet.second_machine(true);
    judge(&fleet, audit, &engine).await;
    assert!(!engine.log().contains("begins anew"), "{}", engine.log());
    assert_eq!(engine.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_waits_for_deliveries_to_stop_holds_up_no_route_change() {
    let fleet = Fleet::start(on_two_machines("leaving", 2, DEAD), "leaving", 2).await;
    let (storm, _audit) = fleet.start_storm(1_000, Duration::from_secs(1));
    fleet.second_machine(false);
    tokio::task::spawn_blocking(|| storm.join()).await.unwrap().unwrap();

    let mut patient = SMALL_BOOKS;
    patient[3] = "60000";
    let engine = fleet.start_engine_with(0, &patient);
    engine.wait_for_log(BOOKS_ARE_FULL).await;
    engine.signal(rustix::process::Signal::TERM);
    engine.wait_for_log("stopping grace").await;
    fleet.push_again().await;
    engine.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_go_and_come_back_while_a_batch_waits_for_a_dead_destination_lose_nothing() {
    let fleet = Arc::new(Fleet::start(on_two_machines("hands", 4, DEAD), "hands", 4).await);
    // All at once, so that a batch has several runs of each partition.
    let (storm, audit) = fleet.start_storm(20_000, Duration::from_millis(200));
    fleet.second_machine(false);
    tokio::task::spawn_blocking(|| storm.join()).await.unwrap().unwrap();

    let engine = fleet.start_engine_with(0, &SMALL_BOOKS);
    engine.wait_for_log(BOOKS_ARE_FULL).await;
    let other = fleet.start_engine_with(1, &SMALL_BOOKS);
    let half_of_them = "partitions assigned router=0 count=2";
    other.wait_for_log(half_of_them).await;
    other.kill();
    engine.wait_for_log(half_of_them).await;
    fleet.second_machine(true);
    judge(&fleet, audit, &engine).await;
    assert!(!engine.log().contains("begins anew"), "{}", engine.log());
    assert_eq!(engine.terminate(), Some(0));
}
