//! What `veltrixctl` says of maps without a control plane.

use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const MAP: &str = r#"
    name: "hunt"
    sources { topic: "hunt-loop" }
    destinations { id: "board" kafka { topic: "hunt-board" } }
    destinations { id: "spare" kafka { topic: "hunt-loop" } }
    routes { id: "rich" types { exact: "hunt.clue.found" } to: "board" when { cel: "payload.points > 10" } }
    routes { id: "shape" types { prefixes: "hunt." } to: "spare" when { event_pattern: "{\"kind\": [{\"prefix\": \"gold\"}]}" } }
    routes { id: "chests" types { exact: "hunt.chest.opened" } to: "board" }
    tenants { id: "live" routes { id: "own" types { any: true } to: "board" when { cel: "payload.points == 700" } } }
"#;

const EVENT: &str = r#"{
    "topic": "game-events",
    "headers": {"ce_type": "hunt.clue.found"},
    "payload": {"points": 7.0, "kind": "silver"}
}"#;

/// Exit code, stdout, stderr.
fn run(directory: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veltrixctl"));
    command.current_dir(directory).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have refused to read.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| std::fs::write(directory.path().join(name), text).unwrap());
    directory
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

#[test]
fn explain_says_for_each_route_what_stood_in_the_way() {
    let files = directory(&[("map.txtpb", MAP), ("event.json", EVENT)]);
    let (code, stdout, stderr) = run(files.path(), &["explain", "map.txtpb", "event.json"], "");
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(
        stdout,
        "type hunt.clue.found (header `ce_type`), no tenant\n\
         no route wants it: it is dropped\n\
         - rich: payload.points > 10: payload.points is 7.0\n\
         - shape: {\"kind\": [{\"prefix\": \"gold\"}]}: kind is \"silver\"\n  chests: is about hunt.chest.opened\n"
    );
    let (code, stdout, _) = run(files.path(), &["explain", "map.txtpb", "-", "--route", "rich", "--json"], EVENT);
    let answer = json(&stdout);
    assert_eq!((code, answer["routes"].as_array().unwrap().len()), (0, 1));
    let route = &answer["routes"][0];
    assert_eq!((&route["outcome"], &route["written"]), (&"no_match".into(), &"cel".into()));
    assert_eq!(route["cause"]["actual"][0]["text"], "7.0");
    assert_eq!(answer["verdict"], "dropped");
    let tenant = r#"{"headers": {"ce_type": "x", "ce_tenant": "live"}, "payload": {"points": 700}}"#;
    let (_, stdout, _) = run(files.path(), &["explain", "map.txtpb", "-", "--json"], tenant);
    let answer = json(&stdout);
    assert_eq!((&answer["tenantHasRoutes"], &answer["deliveries"][0]["route"]), (&true.into(), &"own".into()));
}

/// The destinations of the README, and who goes to them.
const NAMED: &str = r#"
    name: "hunt"
    destinations { id: "rest"   kafka { topic: "hunt-rest" } }
    destinations { id: "hunts"  kafka { topic: "hunt-{tenant}" otherwise: "rest" } }
    destinations { id: "region" kafka {
      topic: "chests-{region}"
      placeholders { name: "region" field { names: "region" } values { values: ["eu", "us"] } }
    } }
    tenants { id: "live" }
    tenants { id: "practice" }
    routes { id: "chests" types { exact: "hunt.chest.opened" } to: "hunts" to: "region" }
"#;

#[test]
fn explain_and_diff_say_which_topic_an_event_names_and_what_it_lacks() {
    let new = NAMED.replace("names: \"region\"", "names: \"area\"");
    let files = directory(&[("map.txtpb", NAMED), ("new.txtpb", &new)]);
    let event = |tenant: &str, region: &str| {
        let headers = format!(r#"{{"ce_type": "hunt.chest.opened", "ce_tenant": "{tenant}"}}"#);
        format!(r#"{{"headers": {headers}, "payload": {{"region": "{region}", "area": "us"}}}}"#)
    };
    let (code, stdout, stderr) = run(files.path(), &["explain", "map.txtpb", "-"], &event("live", "ap"));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(
        stdout,
        "type hunt.chest.opened (header `ce_type`), tenant live\n\
         goes to hunts (topic hunt-live), by route chests\n\
         goes to the dead letters: region has no topic chests-{region} for it: payload.region is 'ap', which {region} can't be\n\
         + chests: wants it\n"
    );
    let answer = json(&run(files.path(), &["explain", "map.txtpb", "-", "--json"], &event("other", "eu")).1);
    let topics: Vec<&Value> = answer["deliveries"].as_array().unwrap().iter().map(|one| &one["topic"]).collect();
    assert_eq!(topics, ["hunt-rest", "chests-eu"]);
    let unplaced = &answer["unplaced"][0];
    for (name, expected) in [
        ("destination", "hunts"),
        ("topic", "hunt-{tenant}"),
        ("route", "chests"),
        ("placeholder", "tenant"),
        ("place", "tenant"),
        ("instead", "rest"),
    ] {
        assert_eq!(unplaced[name], expected, "{name}");
    }
    assert_eq!(unplaced["actual"][0]["text"], "'other'");
    let arguments = ["diff", "map.txtpb", "new.txtpb", "--events", "-", "--json"];
    let answer = json(&run(files.path(), &arguments, &event("live", "eu")).1);
    assert_eq!(answer["changes"][0]["details"][0]["what"], "placeholders");
    let readdressed = &answer["events"]["told"][0]["readdressed"][0];
    assert_eq!((&readdressed["before"], &readdressed["after"]), (&"chests-eu".into(), &"chests-us".into()));
}

#[test]
fn explain_takes_payloads_of_any_bytes() {
    let files = directory(&[("map.txtpb", MAP)]);
    let event = r#"{"headers": {"ce_type": "hunt.clue.found"}, "payload_base64": "eyJwb2ludHMiOiA3fQ=="}"#;
    let (code, stdout, stderr) = run(files.path(), &["explain", "map.txtpb", "-"], event);
    assert!(code == 0 && stdout.contains("payload.points is 7"), "{stdout}{stderr}");
}

#[test]
fn what_explain_cannot_read_is_told_with_its_place() {
    let files = directory(&[("map.txtpb", MAP), ("event.json", EVENT), ("broken.txtpb", "name: \"x\"")]);
    for (arguments, input, expected, text) in [
        (&["explain", "map.txtpb", "-"][..], "{\n \"headrs\": {}}", 1, "standard input:2:9: unknown field `headrs`"),
        (&["explain", "map.txtpb", "-"], r#"{"payload": 1, "payload_text": "1"}"#, 1, "leave one in"),
        (&["explain", "map.txtpb", "-"], r#"{"payload_base64": "e"}"#, 1, "`payload_base64` is no base64"),
        (&["explain", "map.txtpb", "none.json"], "", 1, "can't read `none.json`"),
        (&["explain", "-", "-"], "", 2, "only one of the files"),
        (&["explain", "broken.txtpb", "event.json"], "", 1, "refused"),
        (&["explain", "map.txtpb", "event.json", "--route", "rihc"], "", 2, "no route `rihc`"),
        (&["explain", "map.txtpb", "event.json", "--route", "own"], "", 2, "another tenant's"),
    ] {
        let (code, _, stderr) = run(files.path(), arguments, input);
        assert_eq!(code, expected, "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    }
}

#[test]
fn diff_says_what_changes_in_the_map_and_for_events() {
    let new = MAP.replace("payload.points > 10", "payload.points > 5").replace("\"rich\"", "\"wealthy\"");
    let other = MAP.replace("payload.points > 10", "10 < payload.points");
    let events = format!("{}\n\n{}\n", EVENT.replace('\n', " "), EVENT.replace('\n', " ").replace("7.0", "3"));
    let files =
        directory(&[("old.txtpb", MAP), ("new.txtpb", &new), ("other.txtpb", &other), ("events.jsonl", &events)]);
    let (code, stdout, stderr) = run(files.path(), &["diff", "old.txtpb", "other.txtpb"], "");
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "no change: both maps say the same\n", ""));
    let (_, stdout, _) = run(files.path(), &["diff", "old.txtpb", "new.txtpb", "--events", "events.jsonl"], "");
    assert_eq!(
        stdout,
        "- route rich\n+ route wealthy\nevent on line 1\n    + board, by route wealthy\n1 of 2 events are delivered otherwise\n"
    );
    let arguments = ["diff", "old.txtpb", "new.txtpb", "--events", "-", "--json"];
    let answer = json(&run(files.path(), &arguments, &events).1);
    assert_eq!((&answer["changes"][0]["how"], &answer["changes"][1]["id"]), (&"removed".into(), &"wealthy".into()));
    assert_eq!((&answer["events"]["count"], &answer["events"]["told"][0]["line"]), (&2.into(), &1.into()));
    let (code, _, stderr) = run(files.path(), &["diff", "old.txtpb", "new.txtpb", "--events", "-"], "{}\n{\n");
    assert!(code == 1 && stderr.contains("standard input:2:"), "{stderr}");
}

#[test]
fn analyze_finds_what_is_needless_and_wrong() {
    let more = r#"
        destinations { id: "idle" kafka { topic: "hunt-idle" } }
        routes { id: "richer" types { exact: "hunt.clue.found" } to: "board" when { cel: "payload.points > 100" } }
    "#;
    let files = directory(&[("map.txtpb", &format!("{MAP}{more}"))]);
    let (code, stdout, stderr) = run(files.path(), &["analyze", "map.txtpb"], "");
    assert_eq!((code, stderr.as_str()), (0, ""));
    for line in [
        "destinations[1]: destination `spare` writes to topic `hunt-loop`, which is a source of the map",
        "destinations[2]: destination `idle` is named by no route",
        "routes[3]: route `richer` adds nothing to route `rich`",
    ] {
        assert!(stdout.contains(line), "{stdout}");
    }
    let answer = json(&run(files.path(), &["analyze", "map.txtpb", "--json"], "").1);
    assert_eq!(answer["findings"][2]["kind"], "shadowed");
    assert_eq!(answer["costs"].as_array().unwrap().len(), 5);
    assert_eq!(answer["sharing"][0]["neededRoutes"], 3);
}

#[test]
fn routes_that_are_switched_off_in_groups_or_shared_by_tenants_are_told_as_such() {
    let more = |priority: u32| {
        format!(
            r#"
            routes {{ id: "off" types {{ any: true }} to: "board" disabled: true }}
            routes {{ id: "few" types {{ any: true }} to: "board" when {{ cel: "share(key, 'new-flow', 0, 1000)" }} }}
            routes {{ id: "one" types {{ any: true }} to: "board" exclusive {{ group: "flow" }} }}
            routes {{ id: "two" types {{ any: true }} to: "board" exclusive {{ group: "flow" priority: {priority} }} }}
            tenants {{
                id: "test" unmatched {{ dead_letter {{}} }}
                routes {{ id: "other" types {{ any: true }} to: "board" when {{ cel: "payload.points == 700" }} }}
            }}
            "#
        )
    };
    let event = EVENT.replace(r#""headers": {"#, r#""key": "player-8", "headers": {"ce_tenant": "test", "#);
    let (old, new) = (format!("{MAP}{}", more(1)), format!("{MAP}{}", more(0)));
    let files = directory(&[("old.txtpb", &old), ("new.txtpb", &new), ("event.json", &event)]);
    let (code, stdout, stderr) = run(files.path(), &["explain", "old.txtpb", "event.json", "--json"], "");
    assert_eq!((code, stderr.as_str()), (0, ""));
    let answer = json(&stdout);
    assert_eq!(answer["policyOfTenant"], true);
    let routes = answer["routes"].as_array().unwrap();
    let route = |id: &str| routes.iter().find(|route| route["id"] == id).unwrap();
    assert_eq!(route("off")["outcome"], "disabled");
    let share = serde_json::json!({ "place": 8326, "from": 0, "to": 1000 });
    assert_eq!(route("few")["cause"]["actual"][0]["share"], share);
    assert_eq!((&route("one")["outcome"], &route("one")["exclusive"]["behind"]), (&"matched".into(), &Value::Null));
    assert_eq!(
        (&route("two")["outcome"], &route("two")["exclusive"]),
        (&"excluded".into(), &serde_json::json!({ "group": "flow", "default": false, "behind": "one" }))
    );
    assert_eq!((&route("other")["outcome"], &route("other")["ofTenant"]), (&"no_match".into(), &true.into()));
    let stdout = run(files.path(), &["diff", "old.txtpb", "new.txtpb"], "").1;
    assert_eq!(stdout, "~ route two\n    - exclusive: priority 1\n    + exclusive: priority 0\n");
    let (_, stdout, _) = run(files.path(), &["analyze", "old.txtpb"], "");
    assert!(stdout.contains("route `two` never delivers: route `one` of its exclusive group"), "{stdout}");
    assert!(stdout.ends_with("9 routes, compiled as 7\n"), "{stdout}");
    let answer = json(&run(files.path(), &["analyze", "old.txtpb", "--json"], "").1);
    let shared = &answer["sharing"][2];
    assert_eq!(
        (&shared["tenant"], &shared["alike"], &shared["compiledRoutes"]),
        (&"test".into(), &"live".into(), &0.into())
    );
}
