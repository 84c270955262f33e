//! A judge that finds nothing is worth nothing: each kind of fault, put into an otherwise perfect run, must be found.

use super::*;
use crate::dev::game::{Game, GameEvent};
use prost::Message as _;
use std::sync::Arc;
use veltrix_proto::v1;
use veltrix_route_table::{Deliveries, RouteTable, compile};

const EVENTS: u64 = 2_000;
/// Version 2 is in force from this event on.
const SWITCH: u64 = 1_000;
const TOPICS: [&str; 5] = ["hunt-leaderboard", "hunt-anti-cheat", "hunt-analytics", "hunt-rewards", "hunt-live-ops"];

struct Played {
    game: Game,
    event: GameEvent,
    sent: u64,
    refused: Vec<u64>,
}

impl Workload for Played {
    type Event = GameEvent;

    fn event(&mut self, number: u64) -> &GameEvent {
        self.game.event(number, &mut self.event);
        &self.event
    }

    fn lanes(&self) -> usize {
        4
    }

    fn lane(event: &GameEvent) -> usize {
        usize::from(event.partition())
    }

    fn due_micros(&self, number: u64) -> u64 {
        number * 100
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn resolved(&self) -> u64 {
        self.sent
    }

    fn take_refused(&mut self, refused: &mut Vec<u64>) {
        refused.append(&mut self.refused);
    }
}

/// Version 1 is the example; version 2 delivers hints to nobody but the leaderboard.
#[derive(Clone)]
struct Two([Arc<RouteTable>; 2]);

impl Two {
    fn new() -> Two {
        let first = v1::RouteMap::decode(crate::EMBEDDED_ROUTES).unwrap();
        let mut second = first.clone();
        for route in &mut second.routes {
            if route.id == "count-hunts" || route.id == "charge" {
                route.id.push_str("-2");
                route.to = vec!["leaderboard".to_owned()];
            }
        }
        Two([first, second].map(|map| Arc::new(compile(&map).unwrap())))
    }
}

impl Tables for Two {
    fn table(&self, version: u64) -> Option<Arc<RouteTable>> {
        self.0.get(usize::try_from(version.checked_sub(1)?).ok()?).cloned()
    }

    fn newest(&self) -> u64 {
        2
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Record {
    number: u64,
    destination: usize,
    version: u64,
    route: Option<String>,
}

/// What a router without fault delivers of one event by one version.
fn routed(tables: &Two, number: u64, version: u64) -> Vec<Record> {
    let mut event = GameEvent::default();
    Game::new(1, 42, 4).event(number, &mut event);
    let (table, mut deliveries) = (tables.table(version).unwrap(), Deliveries::new());
    table.route(&event, &mut deliveries);
    let place = |topic| TOPICS.iter().position(|known| *known == topic).unwrap();
    let record = |delivery: &veltrix_route_table::Delivery| Record {
        number,
        destination: place(table.destination(delivery.destination).unwrap().topic),
        version,
        route: delivery.route.map(|route| table.route_id(route).to_owned()),
    };
    deliveries.list().iter().map(record).collect()
}

fn perfect(tables: &Two) -> Vec<Record> {
    (0..EVENTS).flat_map(|number| routed(tables, number, if number < SWITCH { 1 } else { 2 })).collect()
}

struct Run {
    audit: Audit<Played, Two>,
    now: u64,
}

impl Run {
    fn new() -> Run {
        let workload =
            Played { game: Game::new(1, 42, 4), event: GameEvent::default(), sent: EVENTS, refused: Vec::new() };
        let topics = TOPICS.map(str::to_owned).to_vec();
        let mut audit = Audit::new(workload, Two::new(), topics, None).unwrap();
        // The run starts by version 1.
        audit.lanes.iter_mut().for_each(|lane| lane.version = 1);
        Run { audit, now: EVENTS * 100 }
    }

    fn arrive(&mut self, records: &[Record]) {
        for record in records {
            self.audit.arrived(Arrival {
                number: record.number,
                destination: record.destination,
                version: (record.version != 0).then_some(record.version),
                route: record.route.as_deref().map(str::as_bytes),
                at_micros: self.now,
            });
        }
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.now += 100_000;
            self.audit.settle(self.now);
        }
    }

    fn finish(mut self) -> AuditReport {
        self.audit.finish(self.now)
    }
}

fn judged(records: &[Record]) -> AuditReport {
    let mut run = Run::new();
    run.arrive(records);
    run.wait(20);
    run.finish()
}

/// An event of version 1 with three deliveries, and where they stand among the records.
fn thrice_delivered(records: &[Record]) -> usize {
    records.windows(4).position(|four| four[0].number == four[2].number && four[3].number != four[0].number).unwrap()
}

#[test]
fn a_run_without_fault_is_found_to_be_right() {
    let records = perfect(&Two::new());
    let report = judged(&records);
    assert!(report.is_right(), "{report:?}");
    assert_eq!((report.events, report.delivered, report.duplicated), (EVENTS, records.len() as u64, 0));
    let arrived: std::collections::HashSet<u64> = records.iter().map(|record| record.number).collect();
    assert_eq!(report.unmatched, EVENTS - arrived.len() as u64);
    assert_eq!(report.delivered_by_topic.iter().map(|(_, count)| count).sum::<u64>(), report.delivered);
    // In JSON it can be asked for by the topic's name.
    let json = serde_json::to_value(&report).unwrap();
    for (topic, count) in &report.delivered_by_topic {
        assert_eq!(json["delivered_by_topic"][topic], *count);
    }
}

#[test]
fn the_order_in_which_topics_are_read_does_not_matter() {
    let mut records = perfect(&Two::new());
    records.sort_by_key(|record| (record.destination, record.number));
    let report = judged(&records);
    assert!(report.is_right(), "{report:?}");
    assert_eq!(report.duplicated, 0);
}

#[test]
fn every_single_dropped_record_is_found() {
    let records = perfect(&Two::new());
    for dropped in (0..records.len()).step_by(7) {
        let mut records = records.clone();
        let record = records.remove(dropped);
        let report = judged(&records);
        let faults = (report.lost, report.misrouted, report.torn, report.duplicated, report.misstamped);
        // By the table before or after the switch it may have had no destination: that is the one excuse.
        let near = record.number.abs_diff(SWITCH) < 20;
        assert!(faults == (1, 0, 0, 0, 0) || near, "{record:?}: {report:?}");
    }
}

#[test]
fn an_event_of_which_all_deliveries_are_dropped_is_found() {
    let mut records = perfect(&Two::new());
    let at = thrice_delivered(&records);
    records.drain(at..at + 3);
    let report = judged(&records);
    assert_eq!((report.lost, report.torn, report.misrouted), (3, 0, 0), "{report:?}");
    assert!(report.examples[0].contains("is missing in"), "{:?}", report.examples);
}

#[test]
fn every_single_doubled_record_is_found() {
    let records = perfect(&Two::new());
    for doubled in (0..records.len()).step_by(7) {
        let mut records = records.clone();
        records.insert(doubled, records[doubled].clone());
        let report = judged(&records);
        assert!(report.is_right() && report.duplicated == 1, "{report:?}");
    }
}

#[test]
fn a_record_that_comes_again_after_its_event_was_judged_is_a_duplicate() {
    let records = perfect(&Two::new());
    let mut run = Run::new();
    run.arrive(&records);
    run.wait(20);
    run.arrive(&records[10..20]);
    let report = run.finish();
    assert!(report.is_right() && report.duplicated == 10, "{report:?}");
}

#[test]
fn a_record_in_the_wrong_topic_is_found() {
    let mut records = perfect(&Two::new());
    let unwanted = |record: &Record| TOPICS[record.destination] == "hunt-rewards" && record.version == 1;
    let at = records.iter().position(unwanted).unwrap();
    records[at].destination = TOPICS.iter().position(|topic| *topic == "hunt-live-ops").unwrap();
    let report = judged(&records);
    // Unless the hunt is the live one, of which there are few.
    assert_eq!((report.misrouted, report.lost, report.duplicated), (1, 1, 0), "{report:?}");
}

#[test]
fn a_record_with_another_route_or_none_is_found() {
    for route in [Some("count-hunts-of-others".to_owned()), None] {
        let mut records = perfect(&Two::new());
        records[3].route = route;
        let report = judged(&records);
        assert_eq!((report.misrouted, report.lost), (1, 0), "{report:?}");
    }
}

#[test]
fn a_record_with_the_version_of_another_table_is_found() {
    let records = perfect(&Two::new());
    let renamed = |record: &Record| record.route.as_deref() == Some("count-hunts") && record.version == 1;
    let at = records.iter().position(renamed).unwrap();
    let mut records = records;
    records[at].version = 2;
    let report = judged(&records);
    assert!(!report.is_right() && report.misrouted == 1, "{report:?}");
}

#[test]
fn a_record_without_version_or_with_one_that_never_was_is_found() {
    for version in [0, 77] {
        let mut records = perfect(&Two::new());
        let at = thrice_delivered(&records);
        records[at + 1].version = version;
        let report = judged(&records);
        let faults = (report.misstamped, report.lost, report.misrouted, report.torn, report.duplicated);
        assert_eq!(faults, (1, 0, 0, 0, 0), "{report:?}");
    }
}

#[test]
fn an_attempt_that_mixes_two_versions_is_torn() {
    let tables = Two::new();
    let mut records = perfect(&tables);
    // Both tables send a clue of a player far from home to the same places but one.
    let at = thrice_delivered(&records);
    let number = records[at].number;
    let (old, new) = (routed(&tables, number, 1), routed(&tables, number, 2));
    assert!(new.len() > 1, "choose another event");
    let half_and_half: Vec<Record> =
        old.iter().filter(|record| record.destination != new[0].destination).chain([&new[0]]).cloned().collect();
    records.splice(at..at + 3, half_and_half);
    let report = judged(&records);
    assert_eq!(report.torn, 1, "{report:?}");
    assert!(!report.is_right());
}

#[test]
fn an_event_that_is_delivered_again_in_full_by_a_newer_version_is_not_torn() {
    let tables = Two::new();
    let mut records = perfect(&tables);
    let at = thrice_delivered(&records);
    let again = routed(&tables, records[at].number, 2);
    // The first attempt was cut off after one delivery.
    records.splice(at + 1..at + 3, again.clone());
    let report = judged(&records);
    assert!(report.is_right(), "{report:?}");
    let doubled = again.iter().filter(|record| record.destination == records[at].destination).count();
    assert_eq!(report.duplicated, doubled as u64);
}

#[test]
fn an_event_that_arrives_after_it_was_missed_is_lost_no_more() {
    let mut records = perfect(&Two::new());
    let at = thrice_delivered(&records);
    let late: Vec<Record> = records.drain(at..at + 3).collect();
    let mut run = Run::new();
    run.arrive(&records);
    run.wait(20);
    assert_eq!(run.audit.live().report.lost, 3);
    run.arrive(&late[..2]);
    assert_eq!(run.audit.live().report.lost, 1);
    run.arrive(&late[2..]);
    let report = run.finish();
    assert!(report.is_right() && report.duplicated == 0, "{report:?}");
}

#[test]
fn while_the_engine_is_behind_nothing_counts_as_lost() {
    let records = perfect(&Two::new());
    let mut run = Run::new();
    run.wait(30);
    assert_eq!((run.audit.live().report.lost, run.audit.live().report.unmatched), (0, 0));
    for some in records.chunks(50) {
        run.arrive(some);
        run.wait(1);
        assert_eq!(run.audit.live().report.lost, 0);
    }
    assert!(run.finish().is_right());
}

#[test]
fn an_event_that_the_broker_refused_need_not_arrive() {
    let mut records = perfect(&Two::new());
    let at = thrice_delivered(&records);
    let number = records[at].number;
    records.drain(at..at + 3);
    let mut run = Run::new();
    run.audit.workload.refused.push(number);
    run.arrive(&records);
    run.wait(20);
    let report = run.finish();
    assert!(report.is_right(), "{report:?}");
    assert_eq!((report.refused, report.events), (1, EVENTS - 1));
}

#[test]
fn a_number_that_was_never_sent_is_nobodys() {
    let mut run = Run::new();
    run.arrive(&[Record { number: 1 << 47, destination: 0, version: 1, route: None }]);
    assert_eq!(run.audit.live().report.foreign, 1);
    assert!(run.audit.window.is_empty());
}

#[test]
fn the_window_is_bounded_by_what_is_under_way() {
    let tables = Two::new();
    let mut run = Run::new();
    run.audit.workload.sent = 0;
    for number in 0..200_000 {
        run.audit.workload.sent = number + 1;
        run.now = number * 100;
        let version = if number < SWITCH { 1 } else { 2 };
        run.arrive(&routed(&tables, number, version));
        if number % 500 == 0 {
            run.audit.settle(run.now);
            assert!(run.audit.window.len() < 70_000, "{}", run.audit.window.len());
        }
    }
    assert!(run.finish().is_right());
}
