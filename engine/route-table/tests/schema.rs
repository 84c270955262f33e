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
        assert_eq!(collected.place_of(path).map(|place| place.file), file, "{path}");
    }
}

#[test]
fn a_directory_can_lie_beside_a_file_or_within_another_directory_and_counts_once() {
    let files = Files::new("within", &[("map.proto", MAP), ("events/found.proto", EVENT)]);
    let (map, events) = (files.0.join("map.proto"), files.0.join("events"));
    for paths in [vec![events.clone(), map.clone()], vec![map, events.clone()], vec![files.0.clone(), events]] {
        let collected = collect_files(&paths).unwrap();
        assert_eq!(collected.map.routes.len(), 1, "{paths:?}");
        let file_of = |path: &str| collected.place_of(path).map(|place| place.file);
        assert_eq!(file_of("routes[0].to"), Some("events/found.proto"), "{paths:?}");
        assert_eq!(file_of("name"), None, "{paths:?}");
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

/// What is wrong with routes about an event whose message has several kinds of fields, with their paths.
fn faults(test: &str, map: &str, routes: &str) -> Vec<String> {
    let event = format!(
        r#"import "google/protobuf/timestamp.proto";
        message Chest {{ uint32 level = 1; string loot_kind = 2; }}
        message Opened {{
            option (veltrix.v1.event) = {{ type: "chest.opened" {routes} }};
            uint32 coins = 1;
            Chest chest = 2;
            repeated Chest items = 3;
            map<string, Chest> others = 4;
            google.protobuf.Timestamp at = 5;
            uint64 total = 6;
            string type = 7;
        }}"#
    );
    let files = Files::new(test, &[("a.proto", map), ("b.proto", &event)]);
    let collected = collect_files(std::slice::from_ref(&files.0)).unwrap();
    let told: Vec<String> = collected.faults.iter().map(ToString::to_string).collect();
    assert_eq!(compile_files(std::slice::from_ref(&files.0)).is_err(), !told.is_empty());
    told
}

#[test]
fn routes_about_an_event_name_fields_of_its_message_whatever_form_the_payload_has() {
    let when = |number: usize, when: &str| format!("routes {{ id: \"{number}\" to: \"d\" when {{ {when} }} }}");
    let wrong = [
        (r#"cel: "payload.coinz > 1""#, "routes[0].when.cel: route `0`: ", "write `coins`"),
        (r#"cel: "payload.coins == 'many'""#, "routes[1].when.cel: route `1`: ", "compare it with a number"),
        (
            r#"not { cel: "payload.items.exists(item, item.lvl == 1)" }"#,
            "routes[2].when.not.cel: route `2`: ",
            "its fields are level",
        ),
        (
            r#"event_pattern: "{\"items\": {\"lootKindd\": [1]}}""#,
            "routes[3].when.event_pattern: route `3`: ",
            "did you mean `lootKind`?",
        ),
        (
            r#"all { conditions { predicate { key: "k" exists: true } } conditions { predicate { field { names: ["chest", "levle"] } exists: true } } }"#,
            "routes[4].when.all.conditions[1].predicate.field: route `4`: ",
            "`Chest` has no field `levle`; did you mean `level`?",
        ),
        (
            r#"any_element { field { names: "items" } condition { predicate { element { names: "size" } exists: true } } }"#,
            "routes[5].when.any_element.condition.predicate.element: route `5`: ",
            "`Chest` has no field `size`",
        ),
        (
            r#"predicate { field { names: ["coins", "gold"] } exists: true }"#,
            "routes[6].when.predicate.field: route `6`: ",
            "`gold` leads nowhere",
        ),
    ];
    let right = [
        r#"cel: "payload.coins > 1 && payload.chest.loot_kind == 'a' && payload.chest.lootKind == 'a'""#,
        r#"cel: "payload.total == '5' || payload.total == 5 || payload.at == 'x' || payload.others.red.level == 1""#,
        // Bare names are those of the record.
        r#"cel: "type == 'chest.opened' && has(event.tenant)""#,
        r#"event_pattern: "{\"items\": {\"level\": [1]}, \"at\": [{\"exists\": true}], \"others\": {\"red\": {\"level\": [1]}}}""#,
        r#"any_element { field { names: "items" } condition { predicate { element { names: "level" } exists: true } } }"#,
    ];
    let routes = |conditions: &[&str]| {
        let routes = conditions.iter().enumerate().map(|(number, condition)| when(number, condition));
        routes.collect::<Vec<_>>().join("\n").replace("key: \"k\"", "header: \"k\"")
    };
    let told = faults("fields", MAP, &routes(&wrong.map(|(condition, ..)| condition)));
    assert_eq!(told.len(), wrong.len(), "{told:#?}");
    for (told, (_, path, part)) in told.iter().zip(wrong) {
        assert!(told.starts_with(path) && told.contains(part), "{told}");
    }
    assert_eq!(faults("fields-right", MAP, &routes(&right)), [""; 0]);
}

#[test]
fn routes_about_other_events_may_name_any_field() {
    let routes = r#"
        routes { id: "known" types { exact: "chest.opened" } to: "d" when { cel: "payload.coinz > 1" } }
        routes { id: "unknown" types { exact: ["chest.opened", "other"] } to: "d" when { cel: "payload.coinz > 1" } }
        routes { id: "prefix" types { exact: "chest.opened" prefixes: "chest." } to: "d" when { cel: "payload.coinz > 1" } }"#;
    let tenant = format!("tenants {{ id: \"t\" {} }}", routes.replace("id: \"", "id: \"t-"));
    let map = MAP.replace("name: \"m\"", &format!("name: \"m\" {routes} {tenant}"));
    let told = faults("others", &map, "");
    let paths: Vec<&str> = told.iter().filter_map(|told| told.split(": ").next()).collect();
    assert_eq!(paths, ["routes[0].when.cel", "tenants[0].routes[0].when.cel"], "{told:#?}");
    // What messages are not the only payloads of is not what the table can know.
    let message = r#"sources { topic: "t" payload { protobuf { message: "Opened" } } } name: "m""#;
    let of_messages = MAP.replace("name: \"m\"", message);
    let route = r#"routes { id: "r" to: "d" when { cel: "coinz > 1" } }"#;
    assert_eq!(faults("messages", &of_messages, route), [""; 0], "left to the table");
    let mixed = of_messages.replace("name: \"m\"", "sources { topic: \"u\" } name: \"m\"");
    assert_eq!(faults("mixed", &mixed, route).len(), 1);
}

#[test]
fn a_place_in_a_schema_is_the_option_that_says_it_and_a_path_within() {
    let map = "option (veltrix.v1.route_map) = {\n  name: \"m\"\n  routes { id: \"first\" }\n  tenants { id: \"t\" }\n};\n\
               message Outer { message Inner {\n\toption (veltrix.v1.event) =\n\t{ type: \"a\" routes { id: \"second\" }\n  routes { id: \"third\" } }; } }";
    let files = Files::new("places", &[("a.proto", map), ("b.proto", EVENT)]);
    let collected = collect_files(std::slice::from_ref(&files.0)).unwrap();
    let place = |path: &str| {
        let place = collected.place_of(path).unwrap();
        let (text, line) = place.option.unwrap();
        assert!(text.starts_with('{') && text.ends_with('}'), "{text}");
        (place.file, line, place.path)
    };
    // Two lines stand before each file's own.
    assert_eq!(place("routes[0].when"), ("a.proto", 3, "routes[0].when".to_owned()));
    assert_eq!(place("tenants[0].id"), ("a.proto", 3, "tenants[0].id".to_owned()));
    assert_eq!(place("routes[2].to[1]"), ("a.proto", 10, "routes[1].to[1]".to_owned()));
    assert_eq!(place("routes[3]"), ("b.proto", 3, "routes[0]".to_owned()));
}
