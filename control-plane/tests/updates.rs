//! What operators and engines see of an update, over real connections.

mod support;

use std::time::{Duration, Instant};
use support::*;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use veltrix_control_plane::Config;
use veltrix_proto::v1::engine_outcome::Outcome;
use veltrix_proto::v1::engine_report::Report;
use veltrix_proto::v1::route_map_version::State;
use veltrix_proto::v1::{self};

fn outcomes(answer: &v1::UpdateRouteMapResponse) -> Vec<(&str, Outcome)> {
    answer.engines.iter().map(|engine| (engine.engine_id.as_str(), engine.outcome())).collect()
}

#[tokio::test]
async fn an_update_reaches_every_engine_and_is_answered_only_when_all_have_switched() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    let mut two = control_plane.engine("two").await;
    assert_eq!(one.welcome().await.version, 0);
    two.welcome().await;

    let update = operator.begin(update(&map("a")));
    let prepare = two.prepare().await;
    two.say_prepared(&prepare).await;
    assert_eq!(one.follow().await, 1);
    let commit = two.commit().await;
    // One runs it, two does not yet: so there is no answer.
    operator.until(|engines| engines.engines.iter().any(|engine| engine.version == 1)).await;
    assert!(!update.is_finished());
    two.say_in_force(&commit).await;

    let answer = update.await.unwrap().unwrap();
    assert_eq!((answer.version, answer.unchanged), (1, false));
    assert_eq!(outcomes(&answer), [("one", Outcome::InForce), ("two", Outcome::InForce)]);
    assert_eq!(answer.engines[0].prepare.unwrap().nanos, 1_000_000);
    assert_eq!(answer.engines[0].swap.unwrap().nanos, 500_000);
    assert_eq!(answer.size.unwrap().routes, 1);
    let times = answer.times.unwrap();
    assert!(times.validate.is_some() && times.store.is_some() && times.prepare.is_some() && times.commit.is_some());
    assert_eq!(operator.in_force().await, Some((1, map("a"))));
    control_plane.stop().await;
}

#[tokio::test]
async fn without_engines_an_update_is_stored_and_in_force() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let request = v1::UpdateRouteMapRequest { note: "why not".into(), ..update(&map("a")) };
    assert_eq!(operator.update(request).await.unwrap().version, 1);
    let versions = operator.versions().await;
    assert_eq!((versions[0].version, versions[0].state(), &*versions[0].note), (1, State::Committed, "why not"));
    control_plane.stop().await;
}

#[tokio::test]
async fn if_one_engine_refuses_nobody_switches_and_the_caller_is_told_who_and_why() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let (mut one, mut two) = (control_plane.engine("one").await, control_plane.engine("two").await);
    one.welcome().await;
    two.welcome().await;

    let update = operator.begin(update(&map("a")));
    let prepare = one.prepare().await;
    one.say_prepared(&prepare).await;
    let prepare = two.prepare().await;
    two.say_rejected(&prepare, "destinations[0]", "no such topic").await;

    let status = update.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let violations = status.get_details_precondition_failure().unwrap().violations;
    assert_eq!((&*violations[0].subject, &*violations[0].description), ("two", "destinations[0]: no such topic"));
    assert_eq!(violations.len(), 1);
    let abort = one.abort().await;
    assert_eq!((abort.version, abort.dry_run), (1, false));
    assert_eq!(operator.in_force().await, None);
    let versions = operator.versions().await;
    assert_eq!(versions[0].state(), State::Aborted);
    assert!(versions[0].reason.contains("`two` refused the map: destinations[0]: no such topic"));
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_refuses_for_thousands_of_reasons_is_still_understood() {
    let control_plane = ControlPlane::start().await;
    let operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let update = operator.begin(update(&map("a")));
    let prepare = one.prepare().await;
    let reason = v1::RefusedField { path: "routes[0]".repeat(9), message: "no ".repeat(30) };
    let (version, sha256) = (prepare.version, prepare.sha256);
    one.say(Report::Rejected(v1::Rejected { version, sha256, reasons: vec![reason; 4_000] })).await;
    let status = update.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let violations = status.get_details_precondition_failure().unwrap().violations;
    assert!(violations.len() > 5 && violations.last().unwrap().description.ends_with("more"), "{violations:?}");
    control_plane.stop().await;
}

#[tokio::test]
async fn a_compressed_update_is_understood() {
    let control_plane = ControlPlane::start().await;
    let Operator(client) = control_plane.operator().await;
    let mut operator = Operator(client.send_compressed(tonic::codec::CompressionEncoding::Gzip));
    assert_eq!(operator.update(update(&map(&"a".repeat(200)))).await.unwrap().version, 1);
    control_plane.stop().await;
}

#[tokio::test]
async fn every_engine_that_refuses_is_named() {
    let control_plane = ControlPlane::start().await;
    let operator = control_plane.operator().await;
    let mut engines = Vec::new();
    for id in ["one", "two", "three"] {
        let mut engine = control_plane.engine(id).await;
        engine.welcome().await;
        engines.push(engine);
    }
    let update = operator.begin(update(&map("a")));
    let mut prepares = Vec::new();
    for engine in &mut engines {
        prepares.push(engine.prepare().await);
    }
    for (engine, prepare) in engines.iter_mut().zip(&prepares) {
        engine.say_rejected(prepare, "", "no memory").await;
    }
    let status = update.await.unwrap().unwrap_err();
    let violations = status.get_details_precondition_failure().unwrap().violations;
    assert_eq!(violations.iter().map(|violation| &*violation.subject).collect::<Vec<_>>(), ["one", "three", "two"]);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_does_not_answer_in_time_aborts_the_update_and_is_cut_off() {
    let config = Config { prepare_timeout: Duration::from_millis(50), ..Config::default() };
    let control_plane = ControlPlane::with(config).await;
    let mut operator = control_plane.operator().await;
    let mut silent = control_plane.engine("silent").await;
    silent.welcome().await;
    let status = operator.update(update(&map("a"))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let violations = status.get_details_precondition_failure().unwrap().violations;
    assert_eq!((&*violations[0].r#type, &*violations[0].subject), ("ENGINE_TIMED_OUT", "silent"));
    assert_eq!(silent.end().await.code(), Code::DeadlineExceeded);
    operator.until_connected(0).await;
    assert_eq!(operator.in_force().await, None);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_lost_while_it_prepares_does_not_hold_up_the_others() {
    let control_plane = ControlPlane::start().await;
    let operator = control_plane.operator().await;
    let (mut one, mut two) = (control_plane.engine("one").await, control_plane.engine("two").await);
    one.welcome().await;
    two.welcome().await;
    let update = operator.begin(update(&map("a")));
    two.prepare().await;
    drop(two);
    one.follow().await;
    let answer = update.await.unwrap().unwrap();
    assert_eq!(outcomes(&answer), [("one", Outcome::InForce), ("two", Outcome::Disconnected)]);
    control_plane.stop().await;
}

#[tokio::test]
async fn too_few_engines_refuse_an_update_at_its_start_and_also_if_they_are_lost_on_the_way() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let request = v1::UpdateRouteMapRequest { minimum_engines: 2, ..update(&map("a")) };
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    assert_eq!(operator.update(request.clone()).await.unwrap_err().code(), Code::FailedPrecondition);
    assert!(operator.versions().await.is_empty());

    let mut two = control_plane.engine("two").await;
    two.welcome().await;
    let update = operator.begin(request);
    two.prepare().await;
    drop(two);
    let prepare = one.prepare().await;
    one.say_prepared(&prepare).await;
    let status = update.await.unwrap().unwrap_err();
    assert!(status.message().contains("1 engine can take the map, at least 2 must"), "{status}");
    one.abort().await;
    assert_eq!(operator.in_force().await, None);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_does_not_confirm_the_switch_is_unconfirmed_and_the_others_run_the_map() {
    // Long enough for the engine that does confirm, on a busy machine.
    let config = Config { commit_timeout: Duration::from_secs(3), ..Config::default() };
    let control_plane = ControlPlane::with(config).await;
    let mut operator = control_plane.operator().await;
    let (mut one, mut two) = (control_plane.engine("one").await, control_plane.engine("two").await);
    one.welcome().await;
    two.welcome().await;
    let update_one = operator.begin(update(&map("a")));
    let prepare = two.prepare().await;
    two.say_prepared(&prepare).await;
    one.follow().await;
    let commit = two.commit().await;
    let answer = update_one.await.unwrap().unwrap();
    assert_eq!(outcomes(&answer), [("one", Outcome::InForce), ("two", Outcome::Unconfirmed)]);
    // It still can, and it takes part in the next update.
    two.say_in_force(&commit).await;
    operator.until(|engines| engines.engines.iter().all(|engine| engine.version == 1)).await;
    let update = operator.begin(update(&map("b")));
    assert_eq!(tokio::join!(one.follow(), two.follow()), (2, 2));
    assert_eq!(update.await.unwrap().unwrap().version, 2);
    control_plane.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_lost_after_the_decision_is_unconfirmed() {
    let control_plane = ControlPlane::start().await;
    let operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let update = operator.begin(update(&map("a")));
    let prepare = one.prepare().await;
    one.say_prepared(&prepare).await;
    one.commit().await;
    drop(one);
    assert_eq!(outcomes(&update.await.unwrap().unwrap()), [("one", Outcome::Unconfirmed)]);
    control_plane.stop().await;
}

#[tokio::test]
async fn the_expected_version_must_be_the_one_in_force() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let expecting =
        |version, event_type| v1::UpdateRouteMapRequest { expected_version: Some(version), ..update(&map(event_type)) };
    assert_eq!(operator.update(expecting(1, "a")).await.unwrap_err().code(), Code::Aborted);
    assert_eq!(operator.update(expecting(0, "a")).await.unwrap().version, 1);
    let status = operator.update(expecting(0, "b")).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.metadata["version_in_force"]), ("VERSION_CONFLICT", "1"));
    assert_eq!(operator.update(expecting(1, "b")).await.unwrap().version, 2);
    control_plane.stop().await;
}

#[tokio::test]
async fn the_bytes_that_are_in_force_already_make_no_new_version() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut one = control_plane.engine_that_runs("one", 1, sha256(&map("a"))).await;
    one.welcome().await;
    let answer = operator.update(update(&map("a"))).await.unwrap();
    assert_eq!((answer.version, answer.unchanged), (1, true));
    assert_eq!(outcomes(&answer), [("one", Outcome::InForce)]);
    assert_eq!(operator.versions().await.len(), 1);
    control_plane.stop().await;
}

#[tokio::test]
async fn a_dry_run_asks_every_engine_and_leaves_no_trace() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut one = control_plane.engine_that_runs("one", 1, sha256(&map("a"))).await;
    one.welcome().await;
    let dry_run = v1::UpdateRouteMapRequest { dry_run: true, ..update(&map("b")) };
    for refuse in [false, true] {
        let update = operator.begin(dry_run.clone());
        let prepare = one.prepare().await;
        assert_eq!(prepare.version, 2);
        if refuse {
            one.say_rejected(&prepare, "", "no").await;
            assert_eq!(update.await.unwrap().unwrap_err().code(), Code::FailedPrecondition);
        } else {
            one.say_prepared(&prepare).await;
            let answer = update.await.unwrap().unwrap();
            assert_eq!((answer.version, outcomes(&answer)), (1, vec![("one", Outcome::Prepared)]));
            let abort = one.abort().await;
            assert_eq!((&*abort.reason, abort.dry_run), ("it was a dry run", true));
        }
    }
    assert_eq!(operator.versions().await.len(), 1);
    assert_eq!(operator.in_force().await, Some((1, map("a"))));
    let update = operator.begin(update(&map("b")));
    assert_eq!(one.follow().await, 2);
    update.await.unwrap().unwrap();
    control_plane.stop().await;
}

#[tokio::test]
async fn maps_that_can_not_be_used_are_refused_by_name_and_the_old_one_stays() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let decoded = <v1::RouteMap as prost::Message>::decode(map("b")).unwrap();
    let encoded = |change: &dyn Fn(&mut v1::RouteMap)| {
        let mut map = decoded.clone();
        change(&mut map);
        bytes::Bytes::from(prost::Message::encode_to_vec(&map))
    };
    let cases = [
        ("empty", bytes::Bytes::new(), "route_map", "is empty (0 bytes)"),
        ("truncated", map("b").slice(..map("b").len() - 3), "route_map", "cut off at byte"),
        (
            "unknown destination",
            encoded(&|map| map.routes[0].to = vec!["nowhere".into()]),
            "route_map.routes[0].to[0]",
            "`nowhere`",
        ),
        (
            "over a limit",
            encoded(&|map| map.routes[0].to = vec!["orders".into(); 300]),
            "route_map.routes[0]",
            "`destinations_per_route` of 256",
        ),
    ];
    for (name, map, field, text) in cases {
        let status = operator.update(update(&map)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let named = violations
            .iter()
            .any(|violation| violation.field.starts_with(field) && violation.description.contains(text));
        assert!(named, "{name}: {violations:?}");
    }
    assert_eq!(operator.versions().await.len(), 1);
    assert_eq!(operator.in_force().await, Some((1, map("a"))));
    control_plane.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_map_is_told_at_once_and_thousands_of_them_still_arrive() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    for (count, all_told) in [(3, true), (5_000, false)] {
        let mut broken = <v1::RouteMap as prost::Message>::decode(map("a")).unwrap();
        let route = broken.routes[0].clone();
        broken.routes = (0..count)
            .map(|index| v1::Route { id: format!("route-{index}"), to: vec!["nowhere".into()], ..route.clone() })
            .collect();
        let status = operator.update(update(&prost::Message::encode_to_vec(&broken).into())).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let last = &violations.last().unwrap().description;
        assert_eq!(last.contains("more; `veltrixctl validate` shows the first 200"), !all_told, "{last}");
        assert!(violations.len() >= 3);
    }
    control_plane.stop().await;
}

#[tokio::test]
async fn a_map_that_was_changed_on_its_way_is_noticed() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let request = v1::UpdateRouteMapRequest { sha256: sha256(b"another"), ..update(&map("a")) };
    let status = operator.update(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("it was cut or changed on its way"), "{status}");
    // Cut between two fields it is a whole map, and only the digest shows it.
    let cut = map("b");
    let mut two_routes = <v1::RouteMap as prost::Message>::decode(cut.clone()).unwrap();
    two_routes.routes.push(v1::Route { id: "second".into(), ..two_routes.routes[0].clone() });
    let whole = prost::Message::encode_to_vec(&two_routes);
    assert!(whole.starts_with(&cut) && whole.len() > cut.len());
    let request = v1::UpdateRouteMapRequest { sha256: sha256(&whole), ..update(&cut) };
    assert!(operator.update(request).await.unwrap_err().message().contains("it was cut or changed on its way"));
    let request = v1::UpdateRouteMapRequest { sha256: bytes::Bytes::new(), ..update(&cut) };
    assert_eq!(operator.update(request).await.unwrap().size.unwrap().routes, 1);
    let request = v1::UpdateRouteMapRequest { sha256: "short".into(), ..update(&map("a")) };
    assert!(operator.update(request).await.unwrap_err().message().contains("sha256 has 5 bytes, not 32"));
    control_plane.stop().await;
}

#[tokio::test]
async fn two_updates_at_once_are_made_one_after_the_other() {
    let control_plane = ControlPlane::start().await;
    let operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let first = operator.begin(update(&map("a")));
    let prepare = one.prepare().await;
    let second = operator.begin(update(&map("b")));
    until_updates_wait(&control_plane, 2).await;
    one.say_prepared(&prepare).await;
    let commit = one.commit().await;
    one.say_in_force(&commit).await;
    assert_eq!(one.follow().await, 2);
    assert_eq!(first.await.unwrap().unwrap().version, 1);
    assert_eq!(second.await.unwrap().unwrap().version, 2);
    control_plane.stop().await;
}

#[tokio::test]
async fn more_updates_than_may_wait_are_turned_away() {
    let control_plane = ControlPlane::start().await;
    let operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let maps: Vec<_> = (0..12).map(|number| map(&number.to_string())).collect();
    let updates: Vec<_> = maps.iter().map(|map| operator.begin(update(map))).collect();
    let (mut made, mut refused) = (0, 0);
    let engine = tokio::spawn(async move {
        // Until the control plane stops.
        while let Ok(veltrix_proto::v1::route_update::Update::Prepare(prepare)) = one.hear().await {
            one.say_prepared(&prepare).await;
            let commit = one.commit().await;
            one.say_in_force(&commit).await;
        }
    });
    for update in updates {
        match update.await.unwrap() {
            Ok(_) => made += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                assert!(status.message().contains("8 updates"), "{status}");
                refused += 1;
            }
        }
    }
    assert!(made >= 8 && made + refused == 12, "{made} {refused}");
    control_plane.stop().await;
    engine.await.unwrap();
}

#[tokio::test]
async fn an_update_whose_caller_is_gone_still_ends_everywhere() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let update_one = operator.begin(update(&map("a")));
    let prepare = one.prepare().await;
    update_one.abort();
    assert!(update_one.await.unwrap_err().is_cancelled());
    // Nobody waits for the answer any more, and the control plane knows it.
    until_updates_wait(&control_plane, 0).await;
    one.say_prepared(&prepare).await;
    let commit = one.commit().await;
    one.say_in_force(&commit).await;
    let update = operator.begin(update(&map("b")));
    assert_eq!(one.follow().await, 2);
    assert_eq!(update.await.unwrap().unwrap().version, 2);
    assert_eq!(operator.versions().await[1].state(), State::Committed);
    control_plane.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_engines_and_tells_them_to_come_back() {
    let control_plane = ControlPlane::start().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let started = Instant::now();
    control_plane.stop().await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(one.end().await.code(), Code::Unavailable);
}

#[tokio::test]
async fn stopping_lets_the_update_under_way_end() {
    let control_plane = ControlPlane::start().await;
    let operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let update = operator.begin(update(&map("a")));
    let prepare = one.prepare().await;
    let mut health = HealthClient::new(control_plane.channel().await);
    let service = "veltrix.v1.ControlPlane".to_owned();
    let mut states = in_time("a watch", health.watch(HealthCheckRequest { service })).await.unwrap().into_inner();
    let mut state = async || in_time("a state", states.message()).await.unwrap().unwrap().status();
    assert_eq!(state().await, ServingStatus::Serving);
    let stopping = tokio::spawn(control_plane.stop());
    assert_eq!(state().await, ServingStatus::NotServing);
    // It has begun to stop, and the watch must not hold it up.
    drop((states, health));
    one.say_prepared(&prepare).await;
    let commit = one.commit().await;
    one.say_in_force(&commit).await;
    assert_eq!(update.await.unwrap().unwrap().version, 1);
    in_time("the control plane to stop", stopping).await.unwrap();
}

#[tokio::test]
async fn an_update_that_outlasts_the_time_to_stop_is_given_up_and_aborted_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        store: veltrix_control_plane::StoreLocation::Directory(directory.path().into()),
        stop_timeout: Duration::from_millis(50),
        ..Config::default()
    };
    let control_plane = ControlPlane::with(config).await;
    let operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    let update_one = operator.begin(update(&map("a")));
    one.prepare().await;
    control_plane.stop().await;
    assert_eq!(update_one.await.unwrap().unwrap_err().code(), Code::Unavailable);
    let control_plane = ControlPlane::on(directory.path()).await;
    let mut operator = control_plane.operator().await;
    let versions = operator.versions().await;
    assert_eq!((versions[0].version, versions[0].state()), (1, State::Aborted));
    assert_eq!(operator.update(update(&map("a"))).await.unwrap().version, 2);
    control_plane.stop().await;
}

#[tokio::test]
async fn health_reports_of_engines_are_shown() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    one.say(Report::Health(v1::EngineHealth { events_consumed: 7, ..Default::default() })).await;
    operator.until(|engines| engines.engines[0].health.is_some_and(|health| health.events_consumed == 7)).await;
    control_plane.stop().await;
}
