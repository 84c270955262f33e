//! What people see: answers as text, and failures with a hint and an exit code.

use crate::maps::Source;
use console::{Style, measure_text_width, pad_str};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use veltrix_control_plane::map_id::MapDigest;
use veltrix_proto::v1::engine_outcome::Outcome;
use veltrix_proto::v1::route_map_version::State;
use veltrix_proto::v1::{self};
use veltrix_route_table::{Aggregation, Refused, RouteCost, Sharing};

/// Why a command did not do what it was asked to.
pub(crate) enum Failure {
    /// By the map, the engines or the control plane. Exit code 1.
    Refused {
        text: String,
        /// Every one of them.
        reasons: Vec<Reason>,
        hint: Option<String>,
    },
    /// Exit code 2.
    Usage { text: String },
    /// Exit code 3.
    Unreachable { text: String, hint: String },
}

/// One reason, and where to look.
#[derive(Default, Serialize)]
pub(crate) struct Reason {
    /// Whose it is, if an engine's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) engine: String,
    /// Which file says the field, where that is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) file: String,
    /// Where in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    /// The field, such as `routes[0].to[0]`; empty if none is to blame.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) path: String,
    /// The id of the route that it is of; the message says it, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<String>,
    pub(crate) message: String,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.engine.is_empty() {
            write!(f, "engine `{}`: ", self.engine)?;
        }
        // As compilers say it, so that editors can jump there.
        match (self.file.as_str(), self.line) {
            ("", _) => {}
            (file, None) => write!(f, "{file}: ")?,
            (file, Some(line)) => write!(f, "{file}:{line}: ")?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl Failure {
    pub(crate) fn invalid(text: String) -> Failure {
        Failure::Refused { text, reasons: Vec::new(), hint: None }
    }

    pub(crate) fn usage(text: String) -> Failure {
        Failure::Usage { text }
    }

    pub(crate) fn refused(refused: &Refused, source: &Source) -> Failure {
        let count = refused.reasons.len() + refused.omitted;
        let reason = |reason: &veltrix_route_table::Reason| Reason {
            path: reason.path.clone(),
            message: reason.message(),
            ..Reason::default()
        };
        let mut reasons: Vec<_> = refused.reasons.iter().map(reason).collect();
        source.locate(&mut reasons);
        if refused.omitted > 0 {
            reasons.push(Reason { message: format!("and {} more", refused.omitted), ..Reason::default() });
        }
        let text = format!("the RouteMap is refused for {count} reason{}", if count == 1 { "" } else { "s" });
        Failure::Refused { text, reasons, hint: None }
    }
}

pub(crate) fn to_stdout(text: &[u8]) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // `veltrixctl versions | head`: whoever read has what it wanted.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => to_stderr(&Failure::invalid(format!("can't write to stdout: {error}"))),
    }
}

impl Failure {
    /// Text, reasons, hint and exit code.
    fn parts(&self) -> (&str, &[Reason], Option<&str>, u8) {
        match self {
            Failure::Refused { text, reasons, hint } => (text, reasons, hint.as_deref(), 1),
            Failure::Usage { text } => (text, &[], Some("`veltrixctl --help` has examples"), 2),
            Failure::Unreachable { text, hint } => (text, &[], Some(hint), 3),
        }
    }
}

/// The same as one JSON object, for programs.
pub(crate) fn failure_to_stdout(failure: &Failure) -> ExitCode {
    let (text, reasons, hint, code) = failure.parts();
    let object = serde_json::json!({ "error": text, "reasons": reasons, "hint": hint, "exitCode": code });
    to_stdout(format!("{object:#}\n").as_bytes());
    ExitCode::from(code)
}

pub(crate) fn to_stderr(failure: &Failure) -> ExitCode {
    let (text, reasons, hint, code) = failure.parts();
    let bold = Style::new().for_stderr().bold();
    let mut lines = format!("{} {text}\n", bold.clone().red().apply_to("error:"));
    for reason in reasons {
        lines.push_str(&format!("  {reason}\n"));
    }
    if let Some(hint) = hint {
        lines.push_str(&format!("{} {hint}\n", bold.cyan().apply_to("hint:")));
    }
    // There is nowhere left to complain to.
    std::io::stderr().write_all(lines.as_bytes()).ok();
    ExitCode::from(code)
}

pub(crate) fn applied(answer: &v1::UpdateRouteMapResponse, dry_run: bool) -> String {
    let version = answer.version;
    let total = answer.engines.len();
    let reached = answer.engines.iter().filter(|engine| is_good(engine.outcome())).count();
    let headline = match (answer.unchanged, dry_run) {
        (true, _) => format!("version {version} has these very bytes already: nothing to do"),
        (false, true) => {
            format!("dry run: {reached} of {total} engines could route by this map; version {version} stays in force")
        }
        (false, false) if total == 0 => {
            format!("version {version} is in force; no engine is connected, each gets it when it connects")
        }
        (false, false) => format!("version {version} is in force on {reached} of {total} engines"),
    };
    let mut text = format!("{}\n", Style::new().bold().apply_to(headline));
    let rows: Vec<_> = answer.engines.iter().map(outcome_row).collect();
    text.push_str(&table(&[], &rows));
    let times = answer.times.unwrap_or_default();
    let steps =
        [("validate", times.validate), ("store", times.store), ("prepare", times.prepare), ("commit", times.commit)];
    let steps = steps.map(|(name, took)| took.map(|took| format!("{name} {}", millis(took))));
    let steps: Vec<_> = steps.into_iter().flatten().collect();
    writeln!(text, "  took {} ({})", times.total.map_or("?".into(), millis), steps.join(", ")).ok();
    text
}

pub(crate) fn valid(route_map: &[u8], size: &v1::RouteMapSize) -> String {
    let ok = Style::new().green().bold().apply_to("ok");
    let mut text = format!("{ok}: a RouteMap with the SHA-256 {}\n", MapDigest::of(route_map));
    let rows = [
        ("bytes", size.bytes),
        ("sources", size.sources),
        ("destinations", size.destinations),
        ("routes", size.routes),
        ("tenants", size.tenants),
        ("bytes of memory", size.table_bytes),
    ];
    let rows: Vec<_> = rows.map(|(name, count)| vec![name.to_owned(), count.to_string()]).into();
    text.push_str(&table(&[], &rows));
    text
}

pub(crate) fn versions(versions: &[v1::RouteMapVersion]) -> String {
    if versions.is_empty() {
        return "there is no version yet; make one with `veltrixctl apply FILE`\n".into();
    }
    let row = |version: &v1::RouteMapVersion| {
        let state = match version.state() {
            State::Committed => Style::new().green().apply_to("committed"),
            State::Aborted => Style::new().red().apply_to("aborted"),
            State::Proposed => Style::new().yellow().apply_to("proposed"),
            State::Unspecified => Style::new().apply_to("unknown"),
        };
        let about = [cut(&version.note), version.reason.clone()];
        let about: Vec<_> = about.iter().filter(|text| !text.is_empty()).map(|text| one_line(text)).collect();
        vec![
            version.version.to_string(),
            state.to_string(),
            version.proposed_at.map_or("?".into(), |at| seconds(at).to_string()),
            version.size.map_or("?".into(), |size| size.routes.to_string()),
            short(&version.sha256),
            if version.pruned { "gone".into() } else { "kept".into() },
            about.join(" | "),
        ]
    };
    table(
        &["VERSION", "STATE", "PROPOSED", "ROUTES", "SHA-256", "BYTES", "NOTE"],
        &versions.iter().map(row).collect::<Vec<_>>(),
    )
}

pub(crate) fn status(url: &str, engines: &v1::ListEnginesResponse, in_force: Option<&v1::RouteMapVersion>) -> String {
    let mut text = match in_force {
        None => format!("{url}: no version is in force yet; make one with `veltrixctl apply FILE`\n"),
        Some(record) => format!(
            "{url}: version {} is in force since {} (routes: {}, SHA-256: {})\n",
            record.version,
            record.decided_at.map_or("?".into(), |at| seconds(at).to_string()),
            record.size.map_or(0, |size| size.routes),
            short(&record.sha256),
        ),
    };
    if engines.engines.is_empty() {
        text.push_str("no engine is connected\n");
        return text;
    }
    let row = |engine: &v1::EngineStatus| {
        let is_same = in_force.is_none_or(|record| record.version == engine.version && record.sha256 == engine.sha256);
        let behind = engines.version_in_force.saturating_sub(engine.version);
        let behind = match (is_same, behind) {
            (true, _) => Style::new().green().apply_to("-".to_owned()),
            (false, 0) => Style::new().red().apply_to("another map".into()),
            (false, _) if engine.refused_version != 0 => Style::new().red().apply_to("refused".into()),
            (false, count) => Style::new().red().apply_to(format!("{count}")),
        };
        let health = engine.health.unwrap_or_default();
        vec![
            engine.engine_id.clone(),
            if engine.version == 0 { "none".into() } else { engine.version.to_string() },
            behind.to_string(),
            engine.last_report_at.map_or("?".into(), ago),
            health.events_consumed.to_string(),
            health.deliveries_acknowledged.to_string(),
            health.dead_lettered.to_string(),
            engine.software_version.clone(),
        ]
    };
    let refusals = engines.engines.iter().filter(|engine| engine.refused_version != 0).flat_map(|engine| {
        let reasons = engine.refused_reasons.iter().map(|reason| Reason {
            engine: engine.engine_id.clone(),
            path: reason.path.clone(),
            message: one_line(&reason.message),
            ..Reason::default()
        });
        let version = engine.refused_version;
        reasons.map(move |reason| format!("  can't use version {version}: {reason}\n"))
    });
    let head = ["ENGINE", "RUNS", "BEHIND", "HEARD", "CONSUMED", "ACKNOWLEDGED", "DEAD-LETTERED", "RELEASE"];
    text.push_str(&table(&head, &engines.engines.iter().map(row).collect::<Vec<_>>()));
    text.extend(refusals);
    text
}

pub(crate) fn limits(limits: &[v1::Limit]) -> String {
    let row = |limit: &v1::Limit| {
        let used = limit.used.map_or("-".to_owned(), |used| used.to_string());
        let is_near = limit.used.is_some_and(|used| used.saturating_mul(10) >= limit.max.saturating_mul(7));
        let used = if is_near { Style::new().yellow().apply_to(used).to_string() } else { used };
        vec![limit.name.clone(), limit.max.to_string(), used, limit.meaning.clone()]
    };
    table(&["LIMIT", "MAX", "USED", "COUNTS"], &limits.iter().map(row).collect::<Vec<_>>())
}

pub(crate) fn costs(costs: &[&RouteCost]) -> String {
    let row = |cost: &&RouteCost| {
        let numbers = [
            cost.steps(),
            cost.own_tests,
            cost.shared_tests,
            cost.fields,
            cost.tree_nodes,
            cost.any_elements,
            cost.types,
        ];
        std::iter::once(cost.id.clone()).chain(numbers.map(|number| number.to_string())).collect()
    };
    let head = ["COSTS MOST", "STEPS", "OWN TESTS", "SHARED", "FIELDS", "TREE NODES", "ANY ELEMENTS", "TYPES"];
    table(&head, &costs.iter().map(row).collect::<Vec<_>>())
}

pub(crate) fn sharing(rows: &[Sharing]) -> String {
    let row = |row: &Sharing| {
        let name = row.tenant.clone().unwrap_or_else(|| "(all)".into());
        let ratio = ratio(row.aggregation()).map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let alike = row.alike.clone().unwrap_or_default();
        let routes = [row.routes, row.needed_routes, row.compiled_routes].map(|number| number.to_string());
        let tests = [row.tests, row.different_tests].map(|number| number.to_string());
        std::iter::once(name).chain(routes).chain([ratio]).chain(tests).chain([alike]).collect()
    };
    table(
        &["TENANT", "ROUTES", "NEEDED", "COMPILED", "RATIO", "TESTS", "DIFFERENT", "LIKE TENANT"],
        &rows.iter().map(row).collect::<Vec<_>>(),
    )
}

/// How many of some routes a compiled one stands for; `None` if none of them is compiled, but those of another tenant are for them.
pub(crate) fn ratio(aggregation: Aggregation) -> Option<f64> {
    (aggregation.routes == 0 || aggregation.compiled > 0).then(|| aggregation.ratio())
}

/// What compiling makes of the routes of all tenants.
pub(crate) fn aggregation(rows: &[Sharing], all: Aggregation) -> String {
    let [routes, disabled] = [|row: &Sharing| row.routes, |row: &Sharing| row.disabled_routes]
        .map(|count| rows.iter().map(count).sum::<usize>());
    let routes = format!("{routes} {}", if routes == 1 { "route" } else { "routes" });
    let disabled = if disabled == 0 { String::new() } else { format!(" ({disabled} disabled)") };
    format!("{routes}{disabled}, compiled as {}: aggregation ratio {:.2}\n", all.compiled, all.ratio())
}

fn outcome_row(engine: &v1::EngineOutcome) -> Vec<String> {
    let outcome = match engine.outcome() {
        Outcome::InForce => "in force",
        Outcome::Prepared => "could",
        Outcome::Unconfirmed => "unconfirmed",
        Outcome::Disconnected => "disconnected",
        Outcome::Unspecified => "unknown",
    };
    let style = if is_good(engine.outcome()) { Style::new().green() } else { Style::new().yellow() };
    vec![
        engine.engine_id.clone(),
        style.apply_to(outcome).to_string(),
        engine.prepare.map_or(String::new(), |took| format!("prepare {}", millis(took))),
        engine.swap.map_or(String::new(), |took| format!("swap {}", millis(took))),
        one_line(&engine.detail),
    ]
}

fn is_good(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::InForce | Outcome::Prepared)
}

/// Columns as wide as their widest cell.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|name| Style::new().dim().apply_to(name).to_string()).collect();
    let lines: Vec<&[String]> = std::iter::once(head.as_slice())
        .filter(|head| !head.is_empty())
        .chain(rows.iter().map(Vec::as_slice))
        .collect();
    let columns = lines.iter().map(|line| line.len()).max().unwrap_or(0);
    let width =
        |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| measure_text_width(cell)).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| pad_str(cell, *width, console::Alignment::Left, None));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(text, "  {}", line.trim_end()).ok();
    }
    text
}

/// What others wrote must not move the cursor of whoever reads it.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// A note may have a page; the table shows how it begins, --json all of it.
fn cut(note: &str) -> String {
    const SHOWN: usize = 100;
    match note.char_indices().nth(SHOWN) {
        Some((end, _)) => note.get(..end).unwrap_or(note).trim_end().to_owned() + "…",
        None => note.to_owned(),
    }
}

fn short(sha256: &[u8]) -> String {
    MapDigest::from_wire(sha256).map_or("?".into(), |digest| digest.to_string().chars().take(12).collect())
}

fn seconds(at: prost_types::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { nanos: 0, ..at }
}

fn ago(at: prost_types::Timestamp) -> String {
    let at = SystemTime::try_from(at).unwrap_or(SystemTime::UNIX_EPOCH);
    let ago = SystemTime::now().duration_since(at).unwrap_or(Duration::ZERO);
    format!("{} s ago", ago.as_secs())
}

fn millis(took: prost_types::Duration) -> String {
    let took = Duration::try_from(took).unwrap_or_default();
    format!("{:.1} ms", took.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_in_the_table_and_a_short_one_is_not() {
        let shown = |note: String| versions(&[v1::RouteMapVersion { note, ..Default::default() }]);
        let long = shown("ä".repeat(1_000));
        assert!(long.ends_with(&format!(" {}…\n", "ä".repeat(100))), "{long}");
        let short = shown("ä".repeat(100));
        assert!(short.ends_with(&format!(" {}\n", "ä".repeat(100))), "{short}");
    }
}
