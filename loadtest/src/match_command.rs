//! `loadtest match`: rules and events from files, who matches what, and how fast.

use crate::churn::{Changing, rule_for_nothing, while_rules_change};
use crate::clock::rss_bytes;
use crate::failure::Failure;
use crate::input::{Events, Rule, read_rules};
use crate::matcher::{Compile, Refusal};
use crate::measure::{Passes, Plan, counts, hash, write_matches};
use crate::report::DriverReport;
use console::style;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct MatchArgs {
    /// JSON lines, plain or gzip: {"id": "r1", "pattern": {EventBridge pattern}} or {"id": "r2", "when": "CEL"}
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: PathBuf,

    /// JSON lines, plain or gzip: one event each, a JSON object; empty lines are left out and not counted
    #[arg(long, value_name = "FILE")]
    pub(crate) events: PathBuf,

    /// Writes a line per event: {"event": 0, "matches": ["r1", …]}, ids sorted
    #[arg(long, value_name = "FILE")]
    pub(crate) matches_out: Option<PathBuf>,

    /// Passes over all events; the first one warms up
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,

    /// Reads the first N events only
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// Ends a pass after so many seconds
    #[arg(long, value_name = "S", default_value = "1e6", value_parser = seconds, hide_default_value = true)]
    pub(crate) pass_seconds: Duration,

    /// Counts rules that can't be compiled and goes on without them
    #[arg(long)]
    pub(crate) skip_refused: bool,

    /// Changes the rules N times a second meanwhile, and counts matches that are lost by it
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) churn: Option<f64>,

    /// The rule that comes and goes with --churn, the first of the file; one that an event matches is refused [default: one that is about nothing]
    #[arg(long, value_name = "FILE", requires = "churn")]
    pub(crate) churn_rule: Option<PathBuf>,

    /// Goes on with --churn for so many seconds at least
    #[arg(long, value_name = "S", default_value = "0", value_parser = seconds, requires = "churn")]
    pub(crate) churn_seconds: Duration,

    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) const EXAMPLES: &str = r#"A rule that can't be compiled ends this with status 1, its id, line and the reason on standard error; --skip-refused counts it instead.
A line of the events that is no JSON object ends it with status 1, too, before anything is matched.
Times are of the matching thread's own CPU time. `hash` is equal for equal answers, here and in other engines' drivers; with --churn it
is made when the last pass is over, by the rules that were in force then.

Examples:
  echo '{"id": "big", "pattern": {"amount": [{"numeric": [">", 100]}]}}' > rules.jsonl
  echo '{"amount": 250}' > events.jsonl
  loadtest match --rules rules.jsonl --events events.jsonl
  loadtest match --rules rules.jsonl --events events.jsonl.gz --matches-out matches.jsonl --json
  loadtest match --rules rules.jsonl --events events.jsonl --churn 100 --churn-seconds 10"#;

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("`{text}` is no number above 0"))
}

/// What is printed: the same as a driver says, and more.
#[derive(Debug, Serialize)]
struct MatchReport {
    #[serde(flatten)]
    driver: DriverReport,
    events_per_s: f64,
    best_ns: f64,
    p50_ns: f64,
    p99_ns: f64,
    refused: usize,
    /// What the compiled rules hold; `null` if that is not known.
    table_bytes: Option<usize>,
    #[serde(skip)]
    event_bytes: usize,
}

/// Runs it by an engine; what it printed is on standard output.
pub(crate) fn run<C>(args: &MatchArgs, engine: &str, compiler: &mut C) -> Result<(), Failure>
where
    C: Compile + Send,
    C::Matcher: Send,
{
    let mut rules = read_rules(&args.rules)?;
    let events = Events::read(&args.events, args.limit.unwrap_or(usize::MAX))?;
    let began = Instant::now();
    let (mut matcher, refused) = compile(compiler, &mut rules, args)?;
    let load = began.elapsed();
    let table_bytes = C::memory_bytes(&matcher);
    if let Some(path) = &args.matches_out {
        let mut out = BufWriter::new(File::create(path).map_err(|source| Failure::unwritable(path, source))?);
        write_matches(&mut matcher, &rules, &events, &mut out).map_err(|source| Failure::unwritable(path, source))?;
    }
    let plan = Plan { passes: args.repeat as usize, pass_max: args.pass_seconds, min: Duration::ZERO };
    let (passes, changes, hash) = if let Some(per_second) = args.churn {
        let extra = extra_rule(args, compiler, &events)?;
        let before = counts(&mut matcher, &events);
        let plan = Plan { min: args.churn_seconds, ..plan };
        let measure = |matcher: &mut Changing<'_, C::Matcher>| {
            let passes = Passes::run(matcher, &events, plan, Some(&before));
            let hash = hash(matcher, &rules, &events, passes.events);
            (passes, hash)
        };
        let ((passes, hash), changes) = while_rules_change(compiler, matcher, (&rules, &extra), per_second, measure);
        (passes, changes, hash)
    } else {
        let passes = Passes::run(&mut matcher, &events, plan, None);
        let hash = hash(&mut matcher, &rules, &events, passes.events);
        (passes, Default::default(), hash)
    };
    let report = MatchReport {
        events_per_s: if passes.best_ns() > 0.0 { 1e9 / passes.best_ns() } else { 0.0 },
        best_ns: passes.best_ns(),
        p50_ns: passes.quantile_ns(0.5),
        p99_ns: passes.quantile_ns(0.99),
        refused,
        table_bytes,
        event_bytes: events.mean_bytes(),
        driver: DriverReport {
            peer: engine.into(),
            rules: rules.len() as u64,
            events: passes.events as u64,
            load_ms: load.as_secs_f64() * 1e3,
            heap_mb: table_bytes.unwrap_or_default() as f64 / 1e6,
            rss_mb: rss_bytes("self").unwrap_or_default() as f64 / 1e6,
            ns_per_event: passes.wall_ns,
            cpu_ns_per_event: passes.cpu_ns,
            matches: passes.matches,
            hash: hash.to_string(),
            updates: changes.updates,
            us_per_update: changes.spent.as_secs_f64() * 1e6 / changes.updates.max(1) as f64,
            expected: passes.loss.expected,
            lost: passes.loss.lost,
            threw: 0,
        },
    };
    print(&report, args.json)?;
    if report.driver.lost > 0 {
        return Err(Failure::Lost { lost: report.driver.lost, expected: report.driver.expected });
    }
    Ok(())
}

/// The rule that comes and goes; one that compiles, and that no event matches.
fn extra_rule(args: &MatchArgs, compiler: &mut impl Compile, events: &Events) -> Result<Rule, Failure> {
    let Some(path) = &args.churn_rule else { return Ok(rule_for_nothing()) };
    let rule = read_rules(path)?.into_iter().next().ok_or_else(|| Failure::NoChurnRule { path: path.clone() })?;
    let alone = std::slice::from_ref(&rule);
    let mut matcher = compiler.compile(alone).map_err(|refusals| Failure::Refused(told(&refusals, alone, path)))?;
    let matching = counts(&mut matcher, events).iter().position(|count| *count > 0);
    compiler.recycle(matcher);
    match matching {
        None => Ok(rule),
        Some(event) => Err(Failure::ChurnRuleMatches {
            rule: rule.id,
            path: path.clone(),
            line: events.line_of(event),
            events: args.events.clone(),
        }),
    }
}

/// Compiles `rules`; those that are refused leave them, if that is wanted. Says how many did.
fn compile<C: Compile>(
    compiler: &mut C,
    rules: &mut Vec<Rule>,
    args: &MatchArgs,
) -> Result<(C::Matcher, usize), Failure> {
    let refusals = match compiler.compile(rules) {
        Ok(matcher) => return Ok((matcher, 0)),
        Err(refusals) => refusals,
    };
    let each_is_a_rule = refusals.iter().all(|refusal| refusal.rule.is_some());
    if !(args.skip_refused && each_is_a_rule) {
        return Err(Failure::Refused(told(&refusals, rules, &args.rules)));
    }
    let mut refused = refusals.iter().filter_map(|refusal| refusal.rule).peekable();
    let mut place = 0;
    rules.retain(|_| {
        let keep = refused.next_if_eq(&place).is_none();
        place += 1;
        keep
    });
    let matcher = compiler.compile(rules).map_err(|refusals| Failure::Refused(told(&refusals, rules, &args.rules)))?;
    Ok((matcher, refusals.len()))
}

/// One line for each refusal, not for all of them if they are many.
fn told(refusals: &[Refusal], rules: &[Rule], path: &Path) -> Vec<String> {
    const TOLD: usize = 50;
    let line = |refusal: &Refusal| match refusal.rule.and_then(|place| rules.get(place)) {
        Some(rule) => format!("refused {}: line {} of `{}`: {}", rule.id, rule.line, path.display(), refusal.reason),
        None => format!("refused: {}", refusal.reason),
    };
    let mut lines: Vec<String> = refusals.iter().take(TOLD).map(line).collect();
    if refusals.len() > TOLD {
        lines.push(format!("and {} more rules are refused", refusals.len() - TOLD));
    }
    lines
}

fn print(report: &MatchReport, json: bool) -> Result<(), Failure> {
    let text = if json { serde_json::to_string(report).map_err(std::io::Error::from)? } else { describe(report) };
    writeln!(std::io::stdout(), "{text}").map_err(Failure::Output)
}

fn describe(report: &MatchReport) -> String {
    let MatchReport { driver, .. } = report;
    let refused = if report.refused > 0 { format!(", {} refused", report.refused) } else { String::new() };
    let table = report.table_bytes.map_or(String::new(), |bytes| format!(", table {:.1} KB", bytes as f64 / 1e3));
    let mut lines = vec![
        format!("rules    {}{refused}, compiled in {:.1} ms{table}", driver.rules, driver.load_ms),
        format!("events   {} of {} bytes on average", driver.events, report.event_bytes),
        format!(
            "matches  {}, {:.2} per event, hash {}",
            driver.matches,
            driver.matches as f64 / driver.events.max(1) as f64,
            driver.hash
        ),
        format!(
            "speed    {} events/s: {:.1} ns per event in the best of {} passes; batches p50 {:.1}, p99 {:.1}",
            style(format!("{:.0}", report.events_per_s)).bold(),
            report.best_ns,
            driver.cpu_ns_per_event.len(),
            report.p50_ns,
            report.p99_ns
        ),
        format!("memory   {:.1} MB in use", driver.rss_mb),
    ];
    if driver.updates > 0 {
        let lost = style(format!("{} lost", driver.lost));
        lines.push(format!(
            "changes  {} of the rules, {:.0} us each; {} of {} matches",
            driver.updates,
            driver.us_per_update,
            if driver.lost > 0 { lost.red() } else { lost.green() },
            driver.expected
        ));
    }
    lines.join("\n")
}
