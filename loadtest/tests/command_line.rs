//! What a shell sees of `loadtest`: exit codes, the shape of the JSON, and what is refused.

use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output};
use tempfile::NamedTempFile;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn loadtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest")).args(arguments).output().unwrap()
}

fn matching(rules: &str, events: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let (rules, events) = (file(rules), file(events));
    let (rules, events) = (rules.path().to_str().unwrap(), events.path().to_str().unwrap());
    let output = loadtest(&[&["match", "--rules", rules, "--events", events], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const NO_PATTERN: &str = "{\"id\":\"broken\",\"pattern\":[\"not\",\"a\",\"pattern\"]}\n";

#[test]
fn a_rule_that_can_not_be_compiled_ends_it_with_1_its_id_and_the_reason() {
    let (code, out, err) = matching(NO_PATTERN, "{}\n", &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("loadtest: refused broken: line 1 of `"), "{err}");
    let (_, reason) = err.split_once("`: `pattern`: ").unwrap_or_else(|| panic!("{err}"));
    assert!(!reason.trim_end().is_empty(), "{err}");
}

#[test]
fn refused_rules_are_counted_if_that_is_wanted() {
    let (code, out, _) = matching(NO_PATTERN, "{}\n{}\n", &["--skip-refused", "--json", "--repeat", "2"]);
    assert_eq!(code, Some(0));
    let report: Value = serde_json::from_str(&out).unwrap();
    let number = |field: &str| report[field].as_u64().unwrap_or_else(|| panic!("{field} in {out}"));
    assert_eq!([number("refused"), number("rules"), number("events"), number("matches")], [1, 0, 2, 0]);
    assert_eq!(report["peer"], "veltrix");
    assert_eq!(report["hash"], "0000000000000000");
    for passes in ["ns_per_event", "cpu_ns_per_event"] {
        assert_eq!(report[passes].as_array().unwrap().len(), 2, "{passes}");
    }
    for figure in ["load_ms", "heap_mb", "rss_mb", "events_per_s", "best_ns", "p50_ns", "p99_ns"] {
        assert!(report[figure].is_number(), "{figure} in {out}");
    }
}

#[test]
fn matches_are_written_with_a_line_for_each_event_also_for_those_without_any() {
    let written = NamedTempFile::new().unwrap();
    let path = written.path().to_str().unwrap();
    let (code, _, _) =
        matching(NO_PATTERN, "{}\n\n{}\n{}\n", &["--skip-refused", "--matches-out", path, "--limit", "2"]);
    assert_eq!(code, Some(0));
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text, "{\"event\":0,\"matches\":[]}\n{\"event\":1,\"matches\":[]}\n");
}

const BIG: &str = "{\"id\":\"big\",\"pattern\":{\"n\":[{\"numeric\":[\">\",10]}]}}\n";

#[test]
fn a_line_that_is_no_event_ends_it_with_1_and_its_number() {
    let (code, out, err) = matching(BIG, "{\"n\":1}\n\n[1]\n", &["--json"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("line 3 of `") && err.contains("is no JSON object"), "{err}");
}

#[test]
fn the_hash_is_the_same_while_rules_change_and_a_rule_that_matches_may_not_come_and_go() {
    let events = "{\"n\":1}\n{\"n\":11}\n\n{\"n\":12}\n";
    let report = |more: &[&str]| -> Value {
        let (code, out, err) = matching(BIG, events, &[&["--json"], more].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""));
        serde_json::from_str(&out).unwrap()
    };
    let calm = report(&[]);
    let changing = report(&["--churn", "1000", "--churn-seconds", "0.1"]);
    assert_ne!(calm["hash"], "0000000000000000");
    assert_eq!((&changing["hash"], &changing["matches"]), (&calm["hash"], &calm["matches"]));
    assert!(changing["updates"].as_u64().unwrap() > 0);
    let extra = file("{\"id\":\"twelve\",\"when\":\"payload.n == 12\"}\n");
    let path = extra.path().to_str().unwrap();
    let (code, out, err) = matching(BIG, events, &["--churn", "10", "--churn-rule", path]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("rule `twelve` of `") && err.contains("on line 4 of `"), "{err}");
}

#[test]
fn without_a_terminal_there_is_neither_colour_nor_a_bar() {
    let (code, out, err) = matching("", "{}\n", &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("rules    0, compiled in ") && !out.contains('\x1b'), "{out}");
}

#[test]
fn files_that_can_not_be_read_end_it_with_1_and_wrong_usage_with_2() {
    let (code, _, err) = matching("{\"id\":\"a\"}\n", "{}\n", &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("rule `a` has both `pattern` and `when`, or neither"), "{err}");
    let gone = loadtest(&["match", "--rules", "/no/such/file", "--events", "/no/such/file"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("can't read `/no/such/file`"));
    assert_eq!(loadtest(&["match"]).status.code(), Some(2));
    assert_eq!(loadtest(&["match", "--no-such-flag"]).status.code(), Some(2));
    assert_eq!(matching("", "", &["--repeat", "0"]).0, Some(2));
}

#[test]
fn a_comparison_of_rows_or_engines_that_are_not_there_names_those_that_are() {
    let row = loadtest(&["compare", "match", "--rows", "no-such-row"]);
    assert_eq!(row.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&row.stderr).contains("citylots-exact, citylots-wildcard"));
    let engine = loadtest(&["compare", "match", "--engines", "no-such-engine"]);
    assert_eq!(engine.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&engine.stderr).contains("veltrix, event-ruler, quamina-go, quamina-rs"));
}

#[test]
fn a_comparison_is_one_json_object_and_is_kept_if_that_is_wanted() {
    let out = tempfile::tempdir().unwrap();
    let dir = out.path().to_str().unwrap();
    let output = loadtest(&[
        "compare",
        "match",
        "--engines",
        "veltrix",
        "--rows",
        "citylots-exact,mix-10",
        "--events",
        "50",
        "--rounds",
        "1",
        "--json",
        "--out",
        dir,
    ]);
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(comparison["engines"], serde_json::json!(["veltrix"]));
    let rows = comparison["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["row"].as_str().unwrap()).collect::<Vec<_>>(), ["citylots-exact", "mix-10"]);
    for row in rows {
        let cell = &row["cells"][0];
        assert_eq!(cell["engine"], "veltrix");
        assert!(row["disagreements"].as_array().unwrap().is_empty());
        // Whatever it is that came of it, the exit status says the same.
        assert_eq!(cell["result"] == "measured", output.status.success(), "{row}");
    }
    let kept = std::fs::read(out.path().join("comparison.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), comparison);
    assert!(
        std::fs::read_to_string(out.path().join("comparison.md")).unwrap().starts_with("| ns per event | veltrix |")
    );
    assert!(out.path().join("mix-10.events.jsonl").exists());
}

#[test]
fn help_teaches_by_examples_and_names_the_exit_codes() {
    let text = |arguments: &[&str]| String::from_utf8(loadtest(arguments).stdout).unwrap();
    assert!(text(&["--help"]).contains("Exit status: 0 done; 1 "));
    assert!(text(&["match", "--help"]).contains("loadtest match --rules rules.jsonl --events events.jsonl\n"));
    assert!(text(&["compare", "match", "--help"]).contains("loadtest compare match --quick\n"));
}
