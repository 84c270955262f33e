//! What can't be delivered becomes a dead letter with its reason, and holds nobody up.

use crate::fleet::{Broker, Fleet, PATIENCE, embedded};
use crate::records::{Arrived, Sender, read, read_all};
use prost::Message as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::BTreeSet;
use veltrix_proto::v1::{
    Condition, Destination, EventTypes, KafkaTopic, OnAbsent, Route, RouteMap, Tenant, condition, destination,
};

const CLUE: (&str, &[u8]) = ("ce_type", b"hunt.clue.found");

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_delivered_becomes_a_dead_letter_and_the_next_event_is_delivered() {
    let fleet = Fleet::start(embedded("letters", 1), "letters", 1).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let (bootstrap, source) = (fleet.bootstrap(), fleet.source());
    let (leaderboard, letters) =
        (format!("{}-hunt-leaderboard", fleet.prefix), format!("{}-dead-letters", fleet.prefix));
    let region = ("ce_region", b"eu".as_slice());
    let reading = tokio::task::spawn_blocking(move || {
        let sender = Sender::new(&bootstrap);
        let large = vec![b'x'; 1_200_000];
        sender.send(&source, b"no type", b"payload", &[("other", b"1")]);
        sender.send(&source, b"large payload", &large, &[CLUE, region]);
        sender.send(&source, &large, b"large key", &[CLUE, region]);
        sender.send(&source, b"large header", b"", &[CLUE, region, ("large", &large)]);
        sender.send(&source, b"good", b"payload", &[CLUE, region, ("veltrix-route", b"forged")]);
        // Each of the large ones has two destinations, the leaderboard and the analytics, and is too large for both.
        (read(&bootstrap, &leaderboard, 1), read(&bootstrap, &letters, 7))
    });
    let (delivered, letters) = reading.await.unwrap();
    assert_eq!(
        (delivered[0].key.as_deref(), delivered[0].payload.as_deref()),
        (Some(&b"good"[..]), Some(&b"payload"[..]))
    );
    assert_eq!(delivered[0].headers["veltrix-route"], "leaderboard");

    let source = fleet.source();
    let at = |offset: usize| format!("{source}/0/{offset}");
    let of = |offset: usize| -> Vec<&Arrived> {
        letters.iter().filter(|letter| letter.headers["veltrix-source"] == at(offset)).collect()
    };
    let unreadable = of(0)[0];
    assert_eq!(unreadable.headers["veltrix-dead-letter-cause"], "unreadable");
    assert!(unreadable.headers["veltrix-dead-letter-reason"].contains("ce_type"), "{unreadable:?}");
    assert_eq!(
        (unreadable.key.as_deref(), unreadable.payload.as_deref()),
        (Some(&b"no type"[..]), Some(&b"payload"[..]))
    );
    for (offset, omitted) in [(1, "payload"), (2, "key"), (3, "headers")] {
        assert_eq!(of(offset).len(), 2, "offset {offset}");
        for letter in of(offset) {
            assert_eq!(letter.headers["veltrix-dead-letter-cause"], "too_large");
            assert!(
                letter.headers.contains_key(&format!("veltrix-dead-letter-{omitted}-omitted")),
                "{:?}",
                letter.headers
            );
        }
    }
    assert_eq!(engine.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_of_an_undecided_route_names_the_route_and_what_the_event_lacks() {
    let mut fleet = Fleet::start(embedded("undecided", 1), "undecided", 1).await;
    fleet.map.routes.push(Route {
        id: "rich".to_owned(),
        types: Some(EventTypes { exact: vec!["hunt.clue.found".to_owned()], ..EventTypes::default() }),
        to: vec![fleet.map.destinations[0].id.clone()],
        when: Some(Condition { kind: Some(condition::Kind::Cel("payload.points > 10".to_owned())) }),
        on_absent: OnAbsent::DeadLetter.into(),
        ..Route::default()
    });
    fleet.push(fleet.map.encode_to_vec()).await.unwrap();
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let (bootstrap, source) = (fleet.bootstrap(), fleet.source());
    let letters = format!("{}-dead-letters", fleet.prefix);
    let reading = tokio::task::spawn_blocking(move || {
        let sender = Sender::new(&bootstrap);
        for payload in [&b"{}"[..], b"{\"points\": 11}", b"{\"points\": \"many\"}"] {
            sender.send(&source, b"key", payload, &[CLUE]);
        }
        read(&bootstrap, &letters, 2)
    });
    let reasons: Vec<_> =
        reading.await.unwrap().iter().map(|letter| letter.headers["veltrix-dead-letter-reason"].clone()).collect();
    let undecided = |why: &str| format!("the condition of route `rich` can't be decided: payload.points is {why}");
    assert_eq!(reasons, ["missing", "'many' (a text, which this is not about)"].map(undecided));
    assert_eq!(engine.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_deleted_is_not_created_anew_and_its_events_become_dead_letters() {
    // A broker that creates topics when it is asked to, as Kafka does by default.
    let Some(broker) = Broker::real("a destination that is deleted") else { return };
    let fleet = Fleet::start(broker, "deleted", 1).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let (bootstrap, source) = (fleet.bootstrap(), fleet.source());
    let (deleted, letters) = (format!("{}-hunt-leaderboard", fleet.prefix), format!("{}-dead-letters", fleet.prefix));
    fleet.delete(&deleted).await;
    let name = deleted.clone();
    let reading = tokio::task::spawn_blocking(move || {
        Sender::new(&bootstrap).send(&source, b"key", b"payload", &[CLUE, ("ce_region", b"eu")]);
        let letters = read(&bootstrap, &letters, 1);
        let asking: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &bootstrap).create().unwrap();
        let metadata = asking.fetch_metadata(None, PATIENCE).unwrap();
        (letters, metadata.topics().iter().any(|topic| topic.name() == name))
    });
    let (letters, is_there_again) = reading.await.unwrap();
    assert_eq!(letters[0].headers["veltrix-dead-letter-cause"], "unknown_topic", "{letters:?}");
    assert_eq!(letters[0].headers["veltrix-dead-letter-topic"], deleted);
    assert!(!is_there_again);
    assert_eq!(engine.terminate(), Some(0));
}

/// What a destination takes of events that reach it in common batches, and what is refused alone.
struct Refusal {
    /// Of the leaderboard's topic.
    property: (&'static str, &'static str),
    events: usize,
    key: fn(usize) -> Option<String>,
    payload_bytes: fn(usize) -> usize,
    is_refused: fn(usize) -> bool,
    cause: &'static str,
}

/// Every event that the topic takes arrives, and exactly the others are dead letters.
async fn only_what_is_refused_alone_becomes_a_dead_letter(name: &'static str, refusal: Refusal) {
    let Some(broker) = Broker::real(name) else { return };
    let fleet = Fleet::start(broker, name, 3).await;
    let leaderboard = format!("{}-hunt-leaderboard", fleet.prefix);
    fleet.configure(&leaderboard, refusal.property.0, refusal.property.1).await;
    let (bootstrap, source, prefix) = (fleet.bootstrap(), fleet.source(), fleet.prefix.clone());
    // All of them are there before the engine starts, so that it sends them in large batches.
    let sending = bootstrap.clone();
    tokio::task::spawn_blocking(move || {
        let sender = Sender::new(&sending);
        for number in 0..refusal.events {
            let payload = format!("{number:0>width$}", width = (refusal.payload_bytes)(number));
            let key = (refusal.key)(number);
            sender.queue(&source, key.as_deref().map(str::as_bytes), payload.as_bytes(), &[CLUE, ("ce_region", b"eu")]);
        }
        sender.flush();
    })
    .await
    .unwrap();
    let engine = fleet.start_engine(0);
    let reading = tokio::task::spawn_blocking(move || {
        fleet.wait_until_committed();
        let letters = format!("{prefix}-dead-letters");
        (read_all(&bootstrap, &leaderboard), read_all(&bootstrap, &letters), fleet)
    });
    let (delivered, letters, _fleet) = reading.await.unwrap();
    let log = engine.log();
    assert!(log.contains("each record alone"), "nothing was refused together with others: {log}");
    let number = |arrived: &Arrived| -> usize {
        String::from_utf8_lossy(arrived.payload.as_deref().unwrap_or_default()).parse().unwrap()
    };
    let arrived: BTreeSet<usize> = delivered.iter().map(number).collect();
    let expected = (0..refusal.events).filter(|number| !(refusal.is_refused)(*number));
    assert_eq!(arrived, expected.collect(), "{log}");
    let lettered: BTreeSet<usize> = letters.iter().map(number).collect();
    assert_eq!(lettered, (0..refusal.events).filter(|number| (refusal.is_refused)(*number)).collect(), "{log}");
    for letter in &letters {
        assert_eq!(letter.headers["veltrix-dead-letter-cause"], refusal.cause, "{letter:?}");
    }
    assert_eq!(engine.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_key_takes_no_other_along_when_a_compacted_topic_refuses_it() {
    let refusal = Refusal {
        property: ("cleanup.policy", "compact"),
        events: 2_000,
        key: |number| (number % 50 != 7).then(|| format!("key-{number}")),
        payload_bytes: |_| 4,
        is_refused: |number| number % 50 == 7,
        cause: "refused",
    };
    only_what_is_refused_alone_becomes_a_dead_letter("compacted", refusal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_takes_less_than_a_batch_gets_every_event_that_it_takes_alone() {
    let refusal = Refusal {
        property: ("max.message.bytes", "2000"),
        events: 2_000,
        key: |number| Some(format!("key-{number}")),
        payload_bytes: |number| if number % 100 == 9 { 3_000 } else { 500 },
        is_refused: |number| number % 100 == 9,
        cause: "too_large",
    };
    only_what_is_refused_alone_becomes_a_dead_letter("narrow", refusal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_with_placeholders_is_the_topic_of_the_events_tenant_and_an_event_of_another_is_a_dead_letter() {
    let Some(broker) = Broker::real("a destination with placeholders") else { return };
    let tenants = ["red", "green", "blue"];
    let change = |map: &mut RouteMap| {
        map.tenants = tenants.map(|id| Tenant { id: id.to_owned(), ..Tenant::default() }).to_vec();
        let kafka = KafkaTopic { topic: "hunt-{tenant}".to_owned(), ..KafkaTopic::default() };
        let kind = Some(destination::Kind::Kafka(kafka));
        map.destinations.push(Destination { id: "hunts".to_owned(), kind });
        map.routes.push(Route {
            id: "own-hunt".to_owned(),
            types: Some(EventTypes { prefixes: vec!["hunt.".to_owned()], ..EventTypes::default() }),
            to: vec!["hunts".to_owned()],
            ..Route::default()
        });
    };
    let fleet = Fleet::start_with(broker, "placeholders", 1, change).await;
    let (bootstrap, source, prefix) = (fleet.bootstrap(), fleet.source(), fleet.prefix.clone());
    let sending = bootstrap.clone();
    tokio::task::spawn_blocking(move || {
        let sender = Sender::new(&sending);
        for tenant in tenants.into_iter().chain(["grey"]) {
            sender.send(&source, b"key", tenant.as_bytes(), &[CLUE, ("ce_tenant", tenant.as_bytes())]);
        }
        sender.send(&source, b"key", b"nobody", &[CLUE]);
    })
    .await
    .unwrap();
    let engine = fleet.start_engine(0);
    let reading = tokio::task::spawn_blocking(move || {
        fleet.wait_until_committed();
        let hunts = tenants.map(|tenant| read_all(&bootstrap, &format!("{prefix}-hunt-{tenant}")));
        let [letters, analytics] =
            ["dead-letters", "hunt-analytics"].map(|topic| read_all(&bootstrap, &format!("{prefix}-{topic}")));
        (hunts, letters, analytics, fleet)
    });
    let (hunts, letters, analytics, fleet) = reading.await.unwrap();
    let payloads = |arrived: &[Arrived]| -> Vec<String> {
        arrived.iter().map(|arrived| String::from_utf8(arrived.payload.clone().unwrap()).unwrap()).collect()
    };
    for (tenant, arrived) in tenants.iter().zip(&hunts) {
        assert_eq!(payloads(arrived), [*tenant]);
        assert_eq!(arrived[0].headers["veltrix-route"], "own-hunt");
    }
    // Of those that have no topic nothing else is held back, and nothing is doubled.
    assert_eq!(payloads(&analytics).len(), 5, "{analytics:?}");
    assert_eq!(payloads(&letters), ["grey", "nobody"]);
    let topic = format!("{}-hunt-{{tenant}}", fleet.prefix);
    for (letter, why) in letters.iter().zip(["is 'grey', which {tenant} can't be", "is missing"]) {
        assert_eq!(letter.headers["veltrix-dead-letter-cause"], "unplaced");
        assert_eq!(letter.headers["veltrix-route"], "own-hunt");
        let reason = format!("hunts has no topic {topic} for it: tenant {why}");
        assert_eq!(letter.headers["veltrix-dead-letter-reason"], reason);
    }
    assert_eq!(engine.terminate(), Some(0));
}
