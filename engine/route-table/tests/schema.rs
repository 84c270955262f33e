//! Routes in .proto files become a RouteMap, and what is wrong with them is told with its place.
#![cfg(feature = "schema")]

use std::path::PathBuf;
use veltrix_route_table::compile;
use veltrix_route_table::schema::{SchemaError, collect_files, compile_files};

/// Files in a directory of their own.
struct Files(PathBuf);

impl Files {
    fn new(test: &str, files: &[(&str, &str)]) -> Files {
        let directory = std::env::temp_dir().join(format!("veltrix-schema-{}-{test}", std::process::id()));
        for (name, text) in files {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("syntax = \"proto3\";\nimport \"veltrix/v1/options.proto\";\n{text}\n"))
                .unwrap();
        }
        Files(directory)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const MAP: &str = r#"option (veltrix.v1.route_map) = { name: "m" destinations { id: "d" kafka { topic: "t" } } };"#;
const EVENT: &str =
    r#"message Found { option (veltrix.v1.event) = { type: "clue.found" routes { id: "r" to: "d" } }; }"#;

#[test]
fn the_example_routes_are_a_map_that_can_be_routed_by() {
    let map = compile_files(&[PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/routes"))]).unwrap();
    assert_eq!(map.name, "treasure-hunt");
    let table = compile(&map).unwrap();
    assert_eq!(table.usage().routes, map.routes.len() as u64 + map.tenants[0].routes.len() as u64);
}

#[test]
fn options_of_several_files_and_of_nested_messages_add_up() {
    let nested = format!("message Outer {{ {} }}", EVENT.replace("\"r\"", "\"nested\""));
    let files = Files::new("several", &[("a.proto", MAP), ("sub/b.proto", EVENT), ("sub/c.proto", &nested)]);
    let map = compile_files(std::slice::from_ref(&files.0)).unwrap();
    let ids: Vec<&str> = map.routes.iter().map(|route| route.id.as_str()).collect();
    assert_eq!((map.name.as_str(), ids), ("m", vec!["r", "nested"]));
    assert!(map.routes.iter().all(|route| route.types.as_ref().unwrap().exact == ["clue.found"]));
    compile(&map).unwrap();
}

#[test]
fn lookups_are_declared_in_schemas_too() {
    let lookups = r#"option (veltrix.v1.route_map) = {
        lookups { id: "player" key { part: RECORD_PART_KEY } table { file: "players.jsonl" } }
    };"#;
    let event = EVENT.replace("to: \"d\"", "to: \"d\" when { cel: \"lookup.player.level > 7\" }");
    let files = Files::new("lookups", &[("a.proto", MAP), ("b.proto", lookups), ("c.proto", &event)]);
    let table = compile(&compile_files(std::slice::from_ref(&files.0)).unwrap()).unwrap();
    assert_eq!(table.lookups().map(|lookup| lookup.id).collect::<Vec<_>>(), ["player"]);
}

#[test]
fn conditions_about_protobuf_payloads_are_checked_against_the_messages_beside_them() {
    let source = r#"sources { topic: "chests" payload { protobuf { message: "game.Opened" } } event_type { constant: "opened" } }"#;
    let file = |when: &str| {
        let map = MAP.replace("name: \"m\"", &format!("name: \"m\" {source}"));
        let event = format!(
            r#"message Opened {{ option (veltrix.v1.event) = {{ type: "opened" routes {{ id: "r" to: "d" when {{ cel: "{when}" }} }} }}; uint32 coins = 1; }}"#
        );
        format!("package game;\n{map}\n{event}")
    };
    let compiled = |test: &str, when: &str| {
        let files = Files::new(test, &[("a.proto", &file(when))]);
        compile(&compile_files(std::slice::from_ref(&files.0)).unwrap())
    };
    compiled("coins", "coins > 100").unwrap();
    let refused = compiled("coin", "coin > 100").unwrap_err().to_string();
    assert!(refused.contains("routes[0].when.cel") && refused.contains("coins"), "{refused}");
}

#[test]
fn every_part_of_the_map_is_known_by_its_file() {
    let files = Files::new("origins", &[("a.proto", MAP), ("sub/b.proto", EVENT), ("sub/c.proto", "")]);
    let collected = collect_files(std::slice::from_ref(&files.0)).unwrap();
    let cases = [
        ("destinations[0].kafka.topic", Some("a.proto")),
        ("routes[0].to[0]", Some("sub/b.proto")),
        ("routes[1]", None),
        ("name", None),
        ("", None),
    ];
    for (path, file) in cases {
        assert_eq!(collected.file_of(path), file, "{path}");
    }
}

#[test]
fn a_directory_can_lie_beside_a_file_or_within_another_directory_and_counts_once() {
    let files = Files::new("within", &[("map.proto", MAP), ("events/found.proto", EVENT)]);
    let (map, events) = (files.0.join("map.proto"), files.0.join("events"));
    for paths in [vec![events.clone(), map.clone()], vec![map, events.clone()], vec![files.0.clone(), events]] {
        let collected = collect_files(&paths).unwrap();
        assert_eq!(collected.map.routes.len(), 1, "{paths:?}");
        assert_eq!(collected.file_of("routes[0].to"), Some("events/found.proto"), "{paths:?}");
        assert_eq!(collected.file_of("name"), None, "{paths:?}");
    }
}

#[test]
fn topics_with_placeholders_are_said_in_options_as_in_maps() {
    let map = r#"option (veltrix.v1.route_map) = {
        name: "m"
        destinations {
            id: "d"
            kafka {
                topic: "hunt-{tenant}-{region}"
                placeholders { name: "region" header: "ce_region" values { values: ["eu", "us"] } }
                otherwise: "rest"
            }
        }
        destinations { id: "rest" kafka { topic: "rest" } }
        tenants { id: "live" }
    };"#;
    let files = Files::new("placeholders", &[("a.proto", map), ("b.proto", EVENT)]);
    let table = compile(&compile_files(std::slice::from_ref(&files.0)).unwrap()).unwrap();
    let topics: Vec<&str> = table.destinations().map(|destination| destination.topic).collect();
    assert_eq!(topics, ["rest", "hunt-live-eu", "hunt-live-us"]);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let refused = |test: &str, files: &[(&str, &str)]| {
        let files = Files::new(test, files);
        compile_files(std::slice::from_ref(&files.0)).unwrap_err()
    };
    let twice = refused("twice", &[("a.proto", MAP), ("b.proto", MAP)]);
    assert!(
        matches!(&twice, SchemaError::GivenTwice { field: "name", first, second } if first == "a.proto" && second == "b.proto")
    );
    let typed = EVENT.replace("to: \"d\"", "to: \"d\" types { any: true }");
    assert!(matches!(refused("typed", &[("a.proto", &typed)]), SchemaError::TypesInMessage { .. }));
    let untyped = "message M { option (veltrix.v1.event) = { routes { id: \"r\" to: \"d\" } }; }";
    assert!(matches!(refused("untyped", &[("a.proto", untyped)]), SchemaError::NoType { .. }));
    let unknown = EVENT.replace("to: \"d\"", "toward: \"d\"");
    let text = refused("unknown", &[("a.proto", &unknown)]).to_string();
    assert!(text.contains("a.proto:3") && text.contains("toward"), "{text}");
    let text = refused("open", &[("a.proto", &MAP.replace(" };", ""))]).to_string();
    assert!(text.contains("a.proto") && text.contains("end of file"), "{text}");
    assert!(matches!(refused("none", &[("a.proto", "message M {}")]), SchemaError::NoRoutes(_)));
    assert!(matches!(compile_files(&[PathBuf::from("no/such.proto")]), Err(SchemaError::Unreadable { .. })));
}
