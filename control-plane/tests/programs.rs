//! The two programs as people start, use and kill them.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use support::*;
use tonic::Code;
use veltrix_proto::v1::route_map_version::State;
use veltrix_proto::v1::{self};

const ROUTES: &str = r#"
    name: "hunt"
    destinations { id: "board" kafka { topic: "board" } }
    routes { id: "clues" types { prefixes: "hunt.clue." } to: "board" }
"#;

const BROKEN: &str = r#"
    destinations { id: "board" kafka { topic: "no topic" } }
    routes { id: "clues" types { any: true } to: "bord" }
"#;

const SCHEMA: &str = r#"
    syntax = "proto3";
    package hunt;
    import "veltrix/v1/options.proto";
    option (veltrix.v1.route_map) = { name: "hunt" destinations: [{ id: "board" kafka: { topic: "board" } }] };
    message ClueFound {
      option (veltrix.v1.event) = { type: "hunt.clue.found" routes: [{ id: "found" to: "board" }] };
    }
"#;

struct Program {
    child: Child,
    address: std::net::SocketAddr,
}

impl Program {
    fn start(data: &Path) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_veltrix-control-plane"));
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"]).arg(data);
        Program::run(command)
    }

    /// On a disk that is full once its file has 4 MiB.
    fn start_on_a_small_disk(data: &Path) -> Program {
        // The shell's unit is 512 bytes. Beyond the limit, writes fail like those to a full disk.
        let script = "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_veltrix-control-plane")]);
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"]).arg(data);
        Program::run(command)
    }

    fn run(mut command: Command) -> Program {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = log.find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            (line["message"] == "listening").then(|| line["address"].as_str().unwrap().parse().unwrap())
        });
        // Nobody may have to wait because nobody reads.
        std::thread::spawn(move || log.for_each(drop));
        Program { child, address: address.expect("it listens") }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn client(&self) -> support::Remote {
        Remote { address: self.address }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(mut self) -> ExitStatus {
        let terminated = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(terminated.success());
        self.child.wait().unwrap()
    }
}

/// Also when its test has failed: it would run on.
impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended long ago.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// With this on standard input.
fn ctl_reads(url: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veltrixctl"));
    command.env("VELTRIX_CONTROL_PLANE", url).args(arguments).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have refused to read.
    child.stdin.take().unwrap().write_all(input).ok();
    child.wait_with_output().unwrap()
}

fn ctl(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veltrixctl"));
    command.env("VELTRIX_CONTROL_PLANE", url).args(arguments).output().unwrap()
}

/// Exit code, stdout, stderr.
fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn validate_says_every_fault_and_needs_no_control_plane() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = "http://127.0.0.1:1";
    let broken = write(directory.path(), "broken.txtpb", BROKEN);
    let (code, stdout, stderr) = said(&ctl(nowhere, &["validate", &broken]));
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("3 reasons"), "{stderr}");
    for part in [
        ": name: must be set",
        ":2: destinations[0].kafka.topic: `no topic`",
        ":3: routes[0].to[0]: route `clues`: `bord`",
    ] {
        assert!(stderr.contains(&format!("\n  {broken}{part}")), "{stderr}");
    }
    assert!(!stderr.contains('\u{1b}'), "colours without a terminal: {stderr}");
    for (name, content) in [("good.txtpb", ROUTES), ("good.proto", SCHEMA)] {
        let (code, stdout, stderr) = said(&ctl(nowhere, &["validate", &write(directory.path(), name, content)]));
        assert_eq!((code, stderr.as_str()), (0, ""), "{name}");
        assert!(stdout.contains("routes           1"), "{stdout}");
    }
}

#[test]
fn wrong_files_are_refused_with_their_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| write(directory.path(), name, content);
    let cases = [
        (vec![file("broken.txtpb", "destinations {\n  id: \"a\"\n\n")], 1, "broken.txtpb:2:10: expected '}'"),
        (vec![file("other.txtpb", "name: \"ü\" nme: 1")], 1, "other.txtpb:1:11: field 'nme' not found"),
        (vec![file("a.json", "{\n  \"rotes\": []}")], 1, "a.json:2:9: unrecognized field name 'rotes'"),
        (vec![file("cut.json", "{\n  \"routes\": [")], 1, "cut.json:2:13: EOF while parsing a list"),
        (vec!["-".into()], 2, "--format"),
        (vec![file("a.binpb", "\u{1}")], 1, "not a serialized RouteMap"),
        (vec![file("a.proto", "syntax = \"proto3\"; message {")], 1, "a.proto"),
        (vec![file("a.yaml", "routes: []")], 2, "no extension that says what it is"),
        (vec![file("a.txtpb", ROUTES), file("b.txtpb", ROUTES)], 2, "several files"),
        (vec!["missing.json".into()], 1, "missing.json"),
        (vec![], 2, "required"),
    ];
    for (files, expected, text) in cases {
        let arguments: Vec<_> = std::iter::once("validate").chain(files.iter().map(String::as_str)).collect();
        let (code, _, stderr) = said(&ctl("http://127.0.0.1:1", &arguments));
        assert_eq!(code, expected, "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    }
}

#[test]
fn what_is_applied_is_in_force_and_can_be_read_back_in_every_form() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(&directory.path().join("data"));
    let url = program.url();
    let routes = write(directory.path(), "routes.txtpb", ROUTES);
    let (code, stdout, stderr) = said(&ctl(&url, &["apply", &routes, "--note", "first", "--expected-version", "0"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("version 1 is in force; no engine is connected"), "{stdout}");

    for name in ["one.binpb", "one.json", "one.txtpb"] {
        let path: PathBuf = directory.path().join(name);
        let path = path.to_str().unwrap();
        assert_eq!(said(&ctl(&url, &["get", "-o", path])).0, 0);
        let (code, stdout, _) = said(&ctl(&url, &["apply", path]));
        assert_eq!(code, 0);
        assert!(stdout.contains("version 1 has these very bytes already"), "{name}: {stdout}");
    }
    let schema = write(directory.path(), "hunt.proto", SCHEMA);
    let (code, stdout, _) = said(&ctl(&url, &["apply", &schema, "--json"]));
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &answer["version"]), (0, &"2".into()));
    let (_, stdout, _) = said(&ctl(&url, &["get", "--version", "1", "--format", "txtpb"]));
    assert!(stdout.contains("hunt.clue."), "{stdout}");
    let (_, stdout, _) = said(&ctl(&url, &["versions"]));
    assert!(stdout.lines().nth(2).unwrap().trim_end().ends_with("first"), "{stdout}");
    let (code, stdout, _) = said(&ctl(&url, &["status"]));
    assert!(code == 0 && stdout.contains("version 2 is in force"), "{stdout}");
    let (_, stdout, _) = said(&ctl(&url, &["limits"]));
    assert!(stdout.contains("destinations_per_route"), "{stdout}");
    assert_eq!(program.terminate().code(), Some(0));
}

#[test]
fn a_refused_update_exits_with_1_and_every_reason() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(&directory.path().join("data"));
    let url = program.url();
    let (good, broken) = (write(directory.path(), "a.txtpb", ROUTES), write(directory.path(), "b.txtpb", BROKEN));
    let (code, _, stderr) = said(&ctl(&url, &["apply", &broken]));
    assert_eq!(code, 1);
    for place in ["2: destinations[0].kafka.topic: ", "3: routes[0].to[0]: route `clues`: "] {
        assert!(stderr.contains(&format!("\n  {broken}:{place}")), "{stderr}");
    }
    let (_, stdout, _) = said(&ctl(&url, &["apply", &broken, "--json"]));
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let of_route = answer["reasons"].as_array().unwrap().iter().find(|reason| reason["path"] == "routes[0].to[0]");
    assert_eq!((&of_route.unwrap()["route"], &of_route.unwrap()["line"]), (&"clues".into(), &3.into()));
    let (code, _, stderr) = said(&ctl(&url, &["apply", &good, "--expected-version", "3"]));
    assert!(code == 1 && stderr.contains("version 0 is in force, not 3") && stderr.contains("hint:"), "{stderr}");
    let (code, _, stderr) = said(&ctl(&url, &["apply", &good, "--minimum-engines", "2"]));
    assert!(code == 1 && stderr.contains("0 engines can take the map, at least 2 must"), "{stderr}");
    let (code, _, stderr) = said(&ctl(&url, &["get"]));
    assert!(code == 1 && stderr.contains("no RouteMap is in force yet"), "{stderr}");
    program.kill();
    let (code, _, stderr) = said(&ctl(&url, &["status"]));
    assert!(code == 3 && stderr.contains("can't reach the control plane"), "{stderr}");
    assert_eq!(said(&ctl("https://localhost", &["status"])).0, 2);
}

#[test]
fn what_is_too_large_is_not_sent_and_the_hint_is_about_what_is_too_large() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let routes = write(directory.path(), "routes.txtpb", ROUTES);
    let (code, _, stderr) = said(&ctl(&program.url(), &["apply", &routes, "--note", &"x".repeat(5_000)]));
    assert!(code == 1 && stderr.contains("the note has 5000 bytes") && stderr.contains("a shorter --note"), "{stderr}");
    let huge = write(directory.path(), "huge.binpb", "");
    std::fs::File::options().write(true).open(&huge).unwrap().set_len((256 << 20) + 1).unwrap();
    let (code, _, stderr) = said(&ctl(&program.url(), &["apply", &huge]));
    assert!(code == 1 && stderr.contains("the RouteMap has 268435457 bytes"), "{stderr}");
    assert!(stderr.contains("mend the map") && !stderr.contains("report it"), "{stderr}");
    program.kill();
}

#[test]
fn every_reason_names_the_schema_that_it_is_about() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "hunt.proto", SCHEMA);
    let other = "syntax = \"proto3\"; package other; import \"veltrix/v1/options.proto\"; message Lost {
        option (veltrix.v1.event) = { type: \"hunt.lost\" routes: [{ id: \"lost\" to: \"nowhere\" }] }; }";
    write(directory.path(), "other.proto", other);
    let (code, _, stderr) = said(&ctl("", &["validate", directory.path().to_str().unwrap()]));
    assert!(code == 1 && stderr.contains("\n  other.proto:2: routes[1].to[0]: "), "{stderr}");
}

#[test]
fn every_command_answers_in_json() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(&directory.path().join("data"));
    // As people write it.
    let address = program.address.to_string();
    let json = |arguments: &[&str], input: &str| {
        let (code, stdout, stderr) = said(&ctl_reads(&address, &[arguments, &["--json"]].concat(), input.as_bytes()));
        assert_eq!(stderr, "", "{arguments:?}");
        let value: serde_json::Value =
            serde_json::from_str(&stdout).unwrap_or_else(|fault| panic!("{fault}: {stdout}"));
        (code, value)
    };
    let (code, answer) = json(&["validate", "-", "--format", "txtpb"], ROUTES);
    assert_eq!((code, &answer["valid"], &answer["size"]["routes"]), (0, &true.into(), &"1".into()));
    let (code, refused) = json(&["validate", "-", "--format", "txtpb"], BROKEN);
    assert_eq!((code, &refused["exitCode"]), (1, &1.into()));
    assert_eq!(refused["reasons"][0]["file"], "standard input");
    assert_eq!(refused["reasons"].as_array().unwrap().len(), 3);

    let (code, answer) = json(&["apply", "-", "--format", "txtpb", "--note", "piped"], ROUTES);
    assert_eq!((code, &answer["version"], &answer["engines"]), (0, &"1".into(), &serde_json::json!([])));
    let (code, refused) = json(&["apply", "-", "--format", "txtpb", "--expected-version", "9"], ROUTES);
    assert!(code == 1 && refused["error"].as_str().unwrap().contains("not 9"), "{refused}");
    let (_, answer) = json(&["status"], "");
    assert_eq!((&answer["versionInForce"], &answer["inForce"]["note"]), (&"1".into(), &"piped".into()));
    let (_, answer) = json(&["versions"], "");
    assert_eq!(answer["versions"][0]["state"], "STATE_COMMITTED");
    let (_, answer) = json(&["limits"], "");
    assert!(answer["limits"].as_array().unwrap().iter().any(|limit| limit["name"] == "routes"));
    let path = directory.path().join("map.binpb");
    let (_, answer) = json(&["get", "-o", path.to_str().unwrap()], "");
    assert_eq!((&answer["version"]["note"], &answer["routeMap"]), (&"piped".into(), &"".into()));
    let (_, answer) = json(&["get"], "");
    assert!(answer["routeMap"].as_str().unwrap().len() > 10);
    // What was written is what was applied.
    let (_, answer) = json(&["apply", path.to_str().unwrap()], "");
    assert_eq!(answer["unchanged"], true);
    program.kill();
    let (code, unreachable) = json(&["status"], "");
    assert_eq!((code, &unreachable["exitCode"]), (3, &3.into()));
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in ["apply", "validate", "explain", "diff", "analyze", "get", "versions", "status", "limits"] {
        let (code, stdout, _) = said(&ctl("", &[command, "--help"]));
        let examples = stdout.split("Examples:").nth(1).unwrap_or_default();
        assert!(code == 0 && examples.contains(&format!("veltrixctl {command}")), "{stdout}");
    }
}

#[tokio::test]
async fn what_an_engine_says_against_a_map_is_printed_once_with_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let routes = write(directory.path(), "routes.txtpb", ROUTES);
    let program = Program::start(&directory.path().join("data"));
    let mut engine = program.client().engine("one").await;
    engine.welcome().await;
    for (path, message, line) in [
        (
            "destinations[0].kafka.topic",
            "the cluster has no `board`",
            format!("{routes}:3: destinations[0].kafka.topic: "),
        ),
        ("", "can't ask Kafka: timed out", String::new()),
    ] {
        let (url, file) = (program.url(), routes.clone());
        let apply = tokio::task::spawn_blocking(move || said(&ctl(&url, &["apply", &file])));
        let prepare = engine.prepare().await;
        engine.say_rejected(&prepare, path, message).await;
        let (code, _, stderr) = in_time("the refusal", apply).await.unwrap();
        assert_eq!((code, stderr.matches(message).count()), (1, 1), "{stderr}");
        assert!(stderr.contains(&format!("\n  engine `one`: {line}{message}\n")), "{stderr}");
    }
    program.kill();
}

#[tokio::test]
async fn killed_between_proposal_and_decision_it_aborts_the_update_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let mut operator = program.client().operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut engine = program.client().engine_that_runs("one", 1, sha256(&map("a"))).await;
    engine.welcome().await;
    let update_two = operator.begin(update(&map("b")));
    let prepare = engine.prepare().await;
    assert_eq!(prepare.version, 2);
    program.kill();
    assert!(update_two.await.unwrap().is_err());

    let program = Program::start(directory.path());
    let mut operator = program.client().operator().await;
    assert_eq!(operator.in_force().await, Some((1, map("a"))));
    let versions = operator.versions().await;
    assert_eq!((versions[0].version, versions[0].state()), (2, State::Aborted));
    assert_eq!(versions[0].reason, "the control plane stopped before it was decided");
    assert_eq!(operator.update(update(&map("c"))).await.unwrap().version, 3);
    program.kill();
}

#[tokio::test]
async fn killed_again_and_again_it_keeps_all_that_it_confirmed() {
    let directory = tempfile::tempdir().unwrap();
    let mut confirmed: Vec<(u64, bytes::Bytes)> = Vec::new();
    for round in 0..12 {
        let program = Program::start(directory.path());
        let mut operator = program.client().operator().await;
        for (version, map) in &confirmed {
            let request = v1::GetRouteMapRequest { version: *version };
            let answer = operator.0.get_route_map(request).await.unwrap().into_inner();
            assert_eq!((answer.version.unwrap().state(), &answer.route_map), (State::Committed, map));
        }
        for step in 0..round % 4 {
            let map = map(&format!("{round}.{step}"));
            confirmed.push((operator.update(update(&map)).await.unwrap().version, map));
        }
        // Killed while these are on their way.
        let last = [map(&format!("{round}.x")), map(&format!("{round}.y"))];
        let under_way = last.each_ref().map(|map| operator.begin(update(map)));
        tokio::task::yield_now().await;
        program.kill();
        for (task, map) in under_way.into_iter().zip(last) {
            if let Ok(answer) = task.await.unwrap() {
                confirmed.push((answer.version, map));
            }
        }
        let numbers: std::collections::BTreeSet<_> = confirmed.iter().map(|(version, _)| version).collect();
        assert_eq!(numbers.len(), confirmed.len(), "a number was given twice");
    }
}

#[tokio::test]
async fn an_open_stream_does_not_hold_up_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    let mut engine = program.client().engine("one").await;
    engine.welcome().await;
    let end = tokio::task::spawn_blocking(move || program.terminate());
    assert_eq!(engine.end().await.code(), Code::Unavailable);
    assert_eq!(in_time("the program to end", end).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn when_no_more_can_be_written_updates_fail_and_the_old_map_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start_on_a_small_disk(directory.path());
    let mut operator = program.client().operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    let mut version = 1;
    let failed = loop {
        // Some 500 KB each.
        match operator.update(update(&large_map(2_000, version))).await {
            Ok(answer) => version = answer.version,
            Err(failed) => break failed,
        }
        assert!(version < 50, "the file never became full");
    };
    assert_eq!(failed.code(), Code::Unavailable, "{failed}");
    assert!(failed.message().contains("check the disk's room"), "{failed}");
    assert_eq!(operator.in_force().await.unwrap().0, version);
    assert_eq!(operator.engines().await.version_in_force, version);
    program.kill();

    let program = Program::start(directory.path());
    let mut operator = program.client().operator().await;
    assert_eq!(operator.in_force().await.unwrap().0, version);
    assert!(operator.update(update(&map("c"))).await.unwrap().version > version);
    program.kill();
}

#[tokio::test]
async fn when_the_store_works_again_it_is_ready_again_also_if_nobody_asks_for_anything() {
    let directory = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (directory.path().join("data"), directory.path().join("elsewhere"));
    let program = Program::start_on_a_small_disk(&data);
    let client = program.client();
    let mut operator = client.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    // A disk that is full, and then gone: it can't be opened again.
    std::fs::rename(&data, &elsewhere).unwrap();
    let failed = operator.update(update(&large_map(40_000, 1))).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable, "{failed}");
    let (status, reasons) = call(&client, "GET", "/readyz", b"").await;
    assert!(status == 503 && reasons.contains("control-plane.redb"), "{status} {reasons}");
    std::fs::rename(&elsewhere, &data).unwrap();
    let ready = async { while call(&client, "GET", "/readyz", b"").await.0 != 200 {} };
    in_time("readiness", ready).await;
    operator.update(update(&map("b"))).await.unwrap();
    program.kill();
}

#[tokio::test]
async fn a_flipped_bit_in_the_store_is_told_with_the_file_and_what_to_do_and_without_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path());
    program.client().operator().await.update(update(&map("a-type-to-be-found"))).await.unwrap();
    program.kill();
    let file = directory.path().join("control-plane.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    let places = bytes.windows(18).enumerate().filter(|(_, window)| window == b"a-type-to-be-found");
    for at in places.map(|(at, _)| at).collect::<Vec<_>>() {
        bytes[at] ^= 1;
    }
    std::fs::write(&file, &bytes).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_veltrix-control-plane"));
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(directory.path()).env("RUST_BACKTRACE", "1");
    let (code, _, stderr) = said(&command.output().unwrap());
    for part in [file.to_str().unwrap(), "damaged", "move the file away", "route_map.current"] {
        assert!(code == 1 && stderr.contains(part), "{part}: {stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{stderr}");
}

#[test]
fn what_keeps_it_from_starting_is_said_with_an_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_veltrix-control-plane"));
        said(&command.arg("--data-dir").arg(directory.path()).args(arguments).output().unwrap())
    };
    let program = Program::start(directory.path());
    let (code, _, stderr) = run(&["--listen", "127.0.0.1:0"]);
    assert!(code == 1 && stderr.contains("in use by another process"), "{stderr}");
    let (code, _, stderr) = run(&["--listen", &program.address.to_string()]);
    assert!(code == 1 && stderr.contains("can't listen"), "{stderr}");
    program.kill();
    let (code, _, stderr) = run(&["--prepare-timeout", "10"]);
    assert!(code == 2 && stderr.contains("`10` is not a time"), "{stderr}");
    std::fs::write(directory.path().join("control-plane.redb"), "rubbish").unwrap();
    let (code, _, stderr) = run(&["--listen", "127.0.0.1:0"]);
    assert!(code == 1 && stderr.contains("move the file away"), "{stderr}");
}
