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
        (&["explain", "map.txtpb", "-"], "\n []", 1, "standard input:2:2: this is no event, which is a JSON object"),
        (&["explain", "map.txtpb", "-"], "7", 1, "an event is a JSON object such as"),
        (&["explain", "map.txtpb", "none.json"], "", 1, "can't read `none.json`"),
        (&["explain", "-", "-"], "", 2, "only one of the files"),
        (&["explain", "broken.txtpb", "event.json"], "", 1, "refused"),
        (&["explain", "map.txtpb", "event.json", "--route", "rihc"], "", 2, "no route `rihc`; did you mean `rich`?"),
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
    assert_eq!((&answer["events"]["dependOnLookups"], &answer["events"]["open"]), (&0.into(), &serde_json::json!([])));
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
        "destinations[1]: destination `spare` writes to topic `hunt-loop`, which is a source: its events come back",
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
        (
            &"excluded".into(),
            &serde_json::json!({ "group": "flow", "default": false, "behind": "one", "unless": [], "unlessMore": 0 })
        )
    );
    assert_eq!((&route("other")["outcome"], &route("other")["ofTenant"]), (&"no_match".into(), &true.into()));
    let stdout = run(files.path(), &["diff", "old.txtpb", "new.txtpb"], "").1;
    assert_eq!(stdout, "~ route two\n    - exclusive: priority 1\n    + exclusive: priority 0\n");
    let (_, stdout, _) = run(files.path(), &["analyze", "old.txtpb"], "");
    assert!(stdout.contains("route `two` never delivers: route `one` of its exclusive group"), "{stdout}");
    assert!(stdout.ends_with("9 routes (1 disabled), compiled as 7: aggregation ratio 1.14\n"), "{stdout}");
    let answer = json(&run(files.path(), &["analyze", "old.txtpb", "--json"], "").1);
    let shared = &answer["sharing"][2];
    assert_eq!(
        (&shared["tenant"], &shared["alike"], &shared["compiledRoutes"], &shared["ratio"]),
        (&"test".into(), &"live".into(), &0.into(), &Value::Null)
    );
}

/// A map in which where events go depends on lookups.
const TIERS: &str = r#"
    name: "hunt"
    destinations { id: "lake" kafka { topic: "lake-{tenant}" } }
    destinations { id: "plain" kafka { topic: "plain" } }
    destinations { id: "desk" kafka { topic: "desk" } }
    destinations { id: "spare" kafka { topic: "spare" } }
    lookups { id: "c" key { part: RECORD_PART_KEY } table { kafka { topic: "tiers" } } }
    lookups { id: "shard" key { field { names: "hunt_id" } } table { kafka { topic: "shards" } } }
    tenants { id: "acme" }
    routes { id: "to-lake" types { prefixes: "a." } to: "lake" }
    routes { id: "to-plain" types { prefixes: "a." } to: "plain" }
    routes { id: "vip" types { prefixes: "a." } to: "desk" when { cel: "lookup.c.tier == 'gold'" } }
    routes { id: "gold" types { exact: "b" } to: "desk" exclusive { group: "g" } when { cel: "lookup.c.tier == 'gold'" } }
    routes { id: "silver" types { exact: "b" } to: "plain" exclusive { group: "g" priority: 1 } when { cel: "lookup.c.tier == 'silver'" } }
    routes { id: "rest" types { exact: "b" } to: "spare" exclusive { group: "g" default: true } }
    routes { id: "open" types { exact: "d" } to: "spare" when { cel: "lookup.shard.tier == 'open'" } on_absent: ON_ABSENT_DEAD_LETTER }
"#;

/// An event of the tenant `acme` with the key `k`, and what else is said of it.
fn of_acme(event_type: &str, more: &str) -> String {
    format!(r#"{{"key": "k", "headers": {{"ce_type": "{event_type}", "ce_tenant": "acme"}} {more}}}"#)
}

/// The map without the route.
fn without(map: &str, route: &str) -> String {
    let start = format!("routes {{ id: \"{route}\"");
    map.lines().filter(|line| !line.trim_start().starts_with(&start)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn diff_compares_what_is_certain_and_counts_events_that_depend_on_lookups() {
    let silver = TIERS.replace("'gold'\" } }\n    routes { id: \"gold\"", "'silver'\" } }\n    routes { id: \"gold\"");
    let other_default = TIERS.replace("to: \"spare\" exclusive", "to: \"plain\" exclusive");
    let files = directory(&[
        ("old.txtpb", TIERS),
        ("no-lake.txtpb", &without(TIERS, "to-lake")),
        ("no-vip.txtpb", &without(TIERS, "vip")),
        ("silver.txtpb", &silver),
        ("default.txtpb", &other_default),
    ]);
    let said = |new: &str, event: &str| {
        let (code, stdout, stderr) = run(files.path(), &["diff", "old.txtpb", new, "--events", "-"], event);
        assert_eq!((code, stderr.as_str()), (0, ""));
        stdout[stdout.find("event on").or(stdout.find("0 of")).unwrap()..].to_owned()
    };
    let counted = |changed: usize| {
        format!(
            "{changed} of 1 event is delivered otherwise, whatever lookups say\n\
             1 of 1 event depends on lookups; say in `lookups` what these find\n"
        )
    };
    let lost = "event on line 1\n    - lake, by route to-lake\n    ? depends on lookup c of k\n";
    assert_eq!(said("no-lake.txtpb", &of_acme("a.x", "")), format!("{lost}{}", counted(1)));
    let before = "event on line 1\n    ? depends before on lookup c of k\n";
    assert_eq!(said("no-vip.txtpb", &of_acme("a.x", "")), format!("{before}{}", counted(0)));
    let open = "event on line 1\n    ? depends on lookup c of k\n";
    assert_eq!(said("silver.txtpb", &of_acme("a.x", "")), format!("{open}{}", counted(0)));
    assert_eq!(said("default.txtpb", &of_acme("b", "")), format!("{open}{}", counted(0)));
    let gold = of_acme("a.x", r#", "lookups": {"c": {"tier": "gold"}}"#);
    let of_one = "1 of 1 event is delivered otherwise\n";
    assert_eq!(said("silver.txtpb", &gold), format!("event on line 1\n    - desk, by route vip\n{of_one}"));
    let found_nothing = of_acme("b", r#", "lookups": {"c": null}"#);
    let moved = "event on line 1\n    + plain, by route rest\n    - spare, by route rest\n";
    assert_eq!(said("default.txtpb", &found_nothing), format!("{moved}{of_one}"));
    let arguments = ["diff", "old.txtpb", "silver.txtpb", "--events", "-", "--json"];
    let answer = json(&run(files.path(), &arguments, &of_acme("a.x", "")).1);
    let events = &answer["events"];
    assert_eq!((&events["changed"], &events["dependOnLookups"]), (&0.into(), &1.into()));
    assert_eq!(events["open"][0]["needsAfter"][0], serde_json::json!({ "lookup": "c", "key": "k" }));
}

#[test]
fn explain_says_of_routes_behind_one_that_waits_when_they_are_asked() {
    let files = directory(&[("map.txtpb", TIERS)]);
    let said = |event: &str| run(files.path(), &["explain", "map.txtpb", "-", "--json"], event).1;
    let (_, stdout, _) = run(files.path(), &["explain", "map.txtpb", "-"], &of_acme("b", ""));
    for line in [
        "\nwhere it goes depends on lookup c of k\n",
        "\n? gold: lookup.c.tier == 'gold': has to be looked up, in c under k\n",
        "\n? silver: only if gold does not match, and lookup.c.tier == 'silver': has to be looked up, in c under k\n",
        "\n? rest: only if none of gold, silver matches, as the default of group g\n",
    ] {
        assert!(stdout.contains(line), "{line}{stdout}");
    }
    let answer = json(&said(&of_acme("b", "")));
    let rest = answer["routes"].as_array().unwrap().iter().find(|route| route["id"] == "rest").unwrap();
    assert_eq!(
        (&rest["outcome"], &rest["exclusive"]["unless"]),
        (&"waiting".into(), &serde_json::json!(["gold", "silver"]))
    );
}

#[test]
fn explain_takes_what_lookups_find_from_the_event() {
    let files = directory(&[("map.txtpb", TIERS)]);
    let run = |event: &str| run(files.path(), &["explain", "map.txtpb", "-"], event);
    let said = |event_type: &str, more: &str| run(&of_acme(event_type, more)).1;
    let gold = said("b", r#", "lookups": {"c": {"tier": "gold"}, "shard": null}"#);
    assert!(gold.contains("\ngoes to desk (topic desk), by route gold\n"), "{gold}");
    assert!(gold.contains("\n- rest: matches, but is the default of group g, and route gold matches"), "{gold}");
    let nothing = said("b", r#", "lookups": {"c": null}"#);
    assert!(nothing.contains("\ngoes to spare (topic spare), by route rest\n"), "{nothing}");
    let failed = said("d", r#", "payload": {"hunt_id": "h"}, "lookups_failed": ["shard"]"#);
    assert!(failed.contains("open: neither true nor false, which makes a dead letter: "), "{failed}");
    assert!(failed.contains(": lookup shard has failed\n"), "{failed}");
    let keyless = said("d", r#", "payload": {}, "lookups": {"shard": {"tier": "open"}}"#);
    assert!(keyless.contains(": nothing is looked up in shard, as its key payload.hunt_id is missing\n"), "{keyless}");
    for (more, expected) in [
        (r#", "lookups": {"shrad": 1}"#, "the map has no lookup `shrad`; did you mean `shard`?"),
        (r#", "lookups": {"c": 1}, "lookups_failed": ["c"]"#, "leave it in one"),
    ] {
        let (code, _, stderr) = run(&of_acme("b", more));
        assert!(code == 1 && stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn with_json_wrong_usage_is_one_json_object_too() {
    let files = directory(&[]);
    for arguments in [&["validate", "--json"][..], &["--json", "no-such-command"], &["get", "--version", "0", "--json"]]
    {
        let (code, stdout, stderr) = run(files.path(), arguments, "");
        assert_eq!((code, stderr.as_str()), (2, ""), "{arguments:?}");
        let answer = json(&stdout);
        assert_eq!(answer["exitCode"], 2);
        let error = answer["error"].as_str().unwrap();
        assert!(!error.is_empty() && !error.contains("Usage:"), "{error}");
    }
    let (code, stdout, stderr) = run(files.path(), &["validate"], "");
    assert!(code == 2 && stdout.is_empty() && stderr.contains("Usage:"), "{stderr}");
    // Help is no mistake.
    let (code, stdout, _) = run(files.path(), &["validate", "--json", "--help"], "");
    assert!(code == 0 && stdout.contains("Examples:"), "{stdout}");
    let (_, stdout, _) = run(files.path(), &["get", "--version", "0", "--json"], "");
    assert!(json(&stdout)["error"].as_str().unwrap().ends_with(": must be at least 1"), "{stdout}");
}

#[test]
fn a_form_that_a_map_is_not_in_or_can_not_be_written_in_is_told() {
    let files = directory(&[("text.json", MAP), ("json.txtpb", "{\"name\": 1}"), ("broken.txtpb", "name 1")]);
    for (name, expected) in [
        ("text.json", "hint: it looks like protobuf's text form; read it with --format txtpb"),
        ("json.txtpb", "hint: it looks like JSON; read it with --format json"),
    ] {
        let (code, _, stderr) = run(files.path(), &["validate", name], "");
        assert!(code == 1 && stderr.contains(expected), "{stderr}");
    }
    assert!(!run(files.path(), &["validate", "broken.txtpb"], "").2.contains("looks like"));
    let (code, _, stderr) = run(files.path(), &["get", "-o", "x.yaml"], "");
    assert!(
        code == 2 && stderr.contains("is not written as `.yaml`; end the name in .txtpb, .json or .binpb"),
        "{stderr}"
    );
    // Nothing listens there: the name was in order.
    let arguments = ["get", "-o", "x", "--control-plane", "127.0.0.1:1"];
    assert_eq!(run(files.path(), &arguments, "").0, 3);
}

#[test]
fn one_of_a_thing_is_not_several() {
    let map = r#"
        name: "hunt"
        destinations { id: "board" kafka { topic: "hunt-board" } }
        routes { id: "all" types { any: true } to: "board" }
    "#;
    let files = directory(&[("map.txtpb", map), ("events.jsonl", "{}\n")]);
    let (_, stdout, _) = run(files.path(), &["analyze", "map.txtpb"], "");
    assert!(stdout.ends_with("\n1 route, compiled as 1: aggregation ratio 1.00\n"), "{stdout}");
    let (_, stdout, _) = run(files.path(), &["diff", "map.txtpb", "map.txtpb", "--events", "events.jsonl"], "");
    assert!(stdout.ends_with("\n0 of 1 event is delivered otherwise\n"), "{stdout}");
}

#[test]
fn a_fault_is_told_with_the_file_the_line_and_the_route() {
    let text = MAP
        .replace("\"rich\" types", "\"rich\"\n    types")
        .replace("to: \"board\" when { cel: \"payload.points == 700\" }", "");
    let as_json = r#"{
        "name": "hunt", "destinations": [{"id": "board", "kafka": {"topic": "hunt-board"}}],
        "routes": [{"id": "rich",
            "types": {"any": true}, "to": ["bored"]}]}"#;
    let files = directory(&[("map.txtpb", &text), ("map.json", as_json)]);
    let expected = "map.txtpb:10: tenants[0].routes[0].to: route `own`: must be set\n";
    let (code, _, stderr) = run(files.path(), &["validate", "map.txtpb"], "");
    assert!(code == 1 && stderr.contains(expected), "{stderr}");
    let (_, _, stderr) = run(files.path(), &["validate", "-", "--format", "txtpb"], &text);
    assert!(stderr.contains("standard input:10: tenants[0]"), "{stderr}");
    let reason = &json(&run(files.path(), &["validate", "map.json", "--json"], "").1)["reasons"][0];
    assert_eq!((&reason["file"], &reason["line"]), (&"map.json".into(), &4.into()));
    assert_eq!((&reason["path"], &reason["route"]), (&"routes[0].to[0]".into(), &"rich".into()));
}

#[test]
fn loops_are_looked_for_where_sources_are_known_and_else_it_is_said_that_they_are_not() {
    let map = MAP.replace("sources { topic: \"hunt-loop\" }", "");
    let files = directory(&[("map.txtpb", &map)]);
    let said = |arguments: &[&str]| {
        let arguments = [&["analyze", "map.txtpb"], arguments].concat();
        run(files.path(), &arguments, "")
    };
    let unknown = "nothing needless was found\nloops were not looked for: the map has no `sources`; say with --source what engines read\n";
    let (code, stdout, _) = said(&[]);
    assert!(code == 0 && stdout.starts_with(unknown), "{stdout}");
    let (_, stdout, _) = said(&["--source", "other", "--source", "hunt-loop"]);
    let loop_found = "destinations[1]: destination `spare` writes to topic `hunt-loop`, which is a source";
    assert!(stdout.starts_with(loop_found) && !stdout.contains("not looked for"), "{stdout}");
    let (_, stdout, _) = said(&["--source", "other"]);
    assert!(stdout.starts_with("nothing needless was found\n  COSTS"), "{stdout}");
    assert_eq!(json(&said(&["--source", "other", "--json"]).1)["sources"], serde_json::json!(["other"]));
    let (code, _, stderr) = said(&["--source", "no topic"]);
    assert!(code == 2 && stderr.contains("--source: `no topic` can't be the name of a Kafka topic"), "{stderr}");
}

#[test]
fn analyze_tells_which_routes_are_merged_into_which_and_what_that_saves() {
    let copy = r#"
        routes { id: "copy" types { exact: "hunt.clue.found" } to: "board" when { cel: "payload.points > 10" } }
        routes { id: "less" types { exact: "hunt.clue.found" } to: "board"
                 when { cel: "payload.points > 10 && payload.kind == 'gold'" } }
    "#;
    let files = directory(&[("map.txtpb", &format!("{MAP}{copy}"))]);
    let (code, stdout, stderr) = run(files.path(), &["analyze", "map.txtpb"], "");
    assert_eq!((code, stderr.as_str()), (0, ""));
    for line in [
        "routes[3]: route `copy` is merged into `rich`, which has the same condition\n",
        "routes[4]: route `less` is merged into `rich`, which asks for no more\n",
    ] {
        assert!(stdout.contains(line), "{stdout}");
    }
    assert!(stdout.ends_with("6 routes, compiled as 4: aggregation ratio 1.50\n"), "{stdout}");
    let answer = json(&run(files.path(), &["analyze", "map.txtpb", "--json"], "").1);
    assert_eq!(answer["aggregation"], serde_json::json!({ "routes": 6, "compiled": 4, "ratio": 1.5 }));
    let merge = &answer["merged"][1];
    assert_eq!(
        (&merge["path"], &merge["id"], &merge["into"], &merge["why"]),
        (&"routes[4]".into(), &"less".into(), &"rich".into(), &"asks_for_less".into())
    );
    assert_eq!(answer["sharing"][0]["mergedRoutes"], 2);
    let one =
        r#"name: "one" destinations { id: "d" kafka { topic: "t" } } routes { id: "r" types { any: true } to: "d" }"#;
    let files = directory(&[("map.txtpb", one)]);
    let stdout = run(files.path(), &["analyze", "map.txtpb"], "").1;
    assert!(stdout.ends_with("\n1 route, compiled as 1: aggregation ratio 1.00\n"), "{stdout}");
}

/// The blocks of the README that are fenced, each with what stands behind the fence.
fn blocks(readme: &str) -> Vec<(&str, String)> {
    let mut parts = readme.split("```");
    let mut blocks = Vec::new();
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        let (kind, text) = block.split_once('\n').unwrap();
        // Those of a list are indented.
        let text = text.lines().map(|line| line.strip_prefix("  ").filter(|_| text.starts_with("  ")).unwrap_or(line));
        blocks.push((kind, text.collect::<Vec<_>>().join("\n")));
    }
    blocks
}

#[test]
fn the_readme_shows_what_explain_and_analyze_print() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let blocks = blocks(&readme);
    let with = |part: &str| blocks.iter().position(|(_, text)| text.contains(part)).unwrap_or_else(|| panic!("{part}"));
    let map = &blocks[with("routes { id: \"richer\"")].1;
    let more = map.replace("\"gold\" types { prefixes: \"hunt.\"", "\"gold-clues\" types { exact: \"hunt.clue.found\"");
    let more = format!("{map}\n{}", more.lines().last().unwrap());
    let schema = "syntax = \"proto3\";\nimport \"veltrix/v1/options.proto\";\n";
    let lookups = format!("{schema}{}", blocks[with("lookups { id: \"player\"")].1);
    let files = directory(&[("routes.txtpb", map), ("more.txtpb", &more), ("lookups.proto", &lookups)]);
    for map in ["routes.txtpb", "lookups.proto"] {
        let at = with(&format!("| veltrixctl explain {map} -"));
        let event = blocks[at].1.split('\'').nth(1).unwrap();
        let (code, stdout, stderr) = run(files.path(), &["explain", map, "-"], event);
        assert_eq!((code, stderr.as_str()), (0, ""), "{map}");
        assert_eq!(stdout.trim_end(), blocks[at + 1].1, "{map}");
    }
    for (map, part) in [("routes.txtpb", "route `richer` adds nothing"), ("more.txtpb", "compiled as 3: aggregation")] {
        let (_, stdout, _) = run(files.path(), &["analyze", map], "");
        for line in blocks[with(part)].1.lines() {
            assert!(stdout.lines().any(|told| told == line), "{line}\nis not in\n{stdout}");
        }
    }
}
