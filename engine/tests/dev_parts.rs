//! The parts of `veltrix dev` together: the storm's events go through the embedded broker and a naive router, and the audit says
//! what became of them. The router is made wrong in every way that the audit must find.

#[path = "support/rig.rs"]
mod rig;

use rig::{Fault, Outcome, Outgoing, Rig, embedded_map};
use std::time::Duration;
use veltrix_engine::dev::broker::Tuning;
use veltrix_engine::dev::updates::Variations;
use veltrix_proto::v1::RouteMap;

fn run(fault: Fault, maps: &[RouteMap]) -> Outcome {
    let rate = 3_000;
    let rig = Rig { rate, duration: Duration::from_secs(3), tuning: Tuning::for_rate(rate), fault };
    let outcome = rig.run(maps);
    let Outcome { report, storm, consumed } = &outcome;
    assert_eq!((storm.refused, storm.sent), (0, storm.acknowledged));
    assert_eq!((report.events, *consumed), (storm.sent, storm.sent));
    assert!(storm.sent > 8_000 && report.delivered > 2_000, "{storm:?} {report:?}");
    assert_eq!((report.foreign, report.unread, report.unwatched), (0, 0, 0));
    outcome
}

#[test]
fn nothing_is_lost_or_doubled_while_the_routes_change() {
    let variations = Variations::new(embedded_map());
    let maps: Vec<_> = std::iter::once(embedded_map()).chain((0..9).map(|number| variations.map(number))).collect();
    let report = run(|_, outgoing| vec![outgoing], &maps).report;
    assert!(report.is_right() && report.duplicated == 0, "{report:#?}");
    assert!(report.unmatched > report.events / 2, "{report:#?}");
    assert!(report.latency_ms.p50 > 0.0 && report.latency_ms.p99 < 2_000.0, "{report:#?}");
}

#[test]
fn a_router_that_drops_or_doubles_is_found_out() {
    let fault: Fault = |nth, outgoing| match nth {
        300 => vec![],
        600 => vec![outgoing.clone(), outgoing],
        _ => vec![outgoing],
    };
    let report = run(fault, &[embedded_map()]).report;
    assert_eq!((report.lost, report.duplicated, report.misrouted, report.torn), (1, 1, 0, 0), "{report:#?}");
}

#[test]
fn a_router_that_misroutes_or_misstamps_is_found_out() {
    fn elsewhere(topic: &str) -> String {
        if topic == "hunt-live-ops" { "hunt-rewards" } else { "hunt-live-ops" }.to_owned()
    }
    let fault: Fault = |nth, outgoing| match nth {
        300 => vec![Outgoing { topic: elsewhere(&outgoing.topic), ..outgoing }],
        600 => vec![Outgoing { route: Some("nobody".to_owned()), ..outgoing }],
        900 => vec![Outgoing { version: "1000".to_owned(), ..outgoing }],
        _ => vec![outgoing],
    };
    let report = run(fault, &[embedded_map()]).report;
    assert_eq!((report.misrouted, report.misstamped), (2, 1), "{report:#?}");
}
