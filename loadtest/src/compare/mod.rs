//! `loadtest compare match`: Veltrix and its peers on the same rules and events, in turns.
//!
//! Machines are noisy: engines take turns within each row, a round each, and the best pass of all rounds counts, in CPU time of
//! the matching thread. Figures of one run can be compared with each other, not with those of another day.

mod agreement;
mod engine;
mod peers;
mod rows;
mod table;

use crate::failure::Failure;
use crate::match_command::{rate, seconds};
use agreement::Asking;
use engine::{Allowance, Churn, Dialect, Engine, Job, Outcome};
use indicatif::ProgressBar;
use peers::PEERS;
use rows::{Row, Tier, Workload};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use table::{Absence, Cell, ChurnCell, Comparison, RowResult};

#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// Rows by name; a `*` at the end stands for the rest [default: all but the giants]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    rows: Vec<String>,

    /// Engines by name [default: veltrix and all peers]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    engines: Vec<String>,

    /// Small rows, few events and one round: a first look in some minutes
    #[arg(long, conflicts_with = "all")]
    quick: bool,

    /// The giants, too: some engines take minutes and gigabytes for these
    #[arg(long)]
    all: bool,

    /// Rounds of all engines [default: 3, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// Passes over the events in each round
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    passes: u32,

    /// Events of each row [default: 213,068 city lots, 100,000 of the shop; with --quick 20,000]
    #[arg(long, value_name = "N")]
    events: Option<u64>,

    /// Ends a pass after so many seconds; it counts for the events that it came to
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    pass_seconds: Duration,

    /// Ends an engine that takes longer for a round, loading included; giants may take five times as long
    #[arg(long, value_name = "S", default_value = "180", value_parser = seconds)]
    time_limit: Duration,

    /// Ends an engine that takes more memory (Linux only)
    #[arg(long, value_name = "GB", default_value = "8", value_parser = rate)]
    memory_limit: f64,

    /// Measures once more while another thread changes rules N times a second, and counts matches that are lost
    #[arg(long, value_name = "N", value_parser = rate)]
    churn: Option<f64>,

    /// Keeps rules, events and the comparison as JSON and Markdown in this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Where the peers' drivers are built and kept [default: ~/.cache/veltrix/peers]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Prints one JSON object instead of a table
    #[arg(long, conflicts_with = "markdown")]
    json: bool,

    /// Prints a table of Markdown
    #[arg(long)]
    markdown: bool,
}

pub(crate) const EXAMPLES: &str = "The peers are event-ruler (needs a JDK and Maven), quamina for Go (needs Go) and quamina for Rust; one that can't be built is left out, which \
the table says. All answers are compared. `s` stands for quamina's mode BuiltForSpeed, `> N s` and `> N GB` for an engine that was \
ended. A peer that contradicts Veltrix and another one is `wrong` and not counted. A target that is missed is no failure: exit status 1 \
means answers that nobody bears out, lost matches of Veltrix, or rules that it refused.

Examples:
  loadtest compare match --quick
  loadtest compare match --rows 'citylots-*' --rounds 5 --markdown
  loadtest compare match --rows exact-1800,router-1800 --churn 100
  loadtest compare match --all --json --out results";

const OWN: &str = "veltrix";
const QUICK_EVENTS: u64 = 20_000;
/// How long rules change for, at least.
const CHURN_SECONDS: f64 = 10.0;
/// How much longer a giant may take.
const GIANT_FACTOR: u32 = 5;

/// Runs it; the table or the object is on standard output.
pub(crate) fn run(args: &CompareArgs) -> Result<(), Failure> {
    let tier = if args.all {
        Tier::Giant
    } else if args.quick {
        Tier::Quick
    } else {
        Tier::Usual
    };
    let rows = rows::select(&args.rows, tier)?;
    let (engines, absent) = engines(args)?;
    let scratch = tempfile::tempdir().map_err(|source| Failure::unwritable(&std::env::temp_dir(), source))?;
    let dir = args.out.as_deref().unwrap_or(scratch.path());
    std::fs::create_dir_all(dir).map_err(|source| Failure::unwritable(dir, source))?;
    let columns = columns(&engines, &absent);
    let on_the_fly = !args.json && !args.markdown;
    if on_the_fly {
        print(&table::heading(&columns))?;
    }
    let mut comparison = Comparison { engines: columns, absent, rows: Vec::new() };
    for (number, row) in (1..).zip(&rows) {
        let bar = ProgressBar::new_spinner().with_prefix(format!("{number}/{} {}", rows.len(), row.name));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar.set_style(
            indicatif::ProgressStyle::with_template("{spinner} {prefix} {msg}")
                .unwrap_or(indicatif::ProgressStyle::default_spinner()),
        );
        let result = Comparing { args, row, engines: &engines, dir, scratch: scratch.path(), bar: &bar }.run()?;
        bar.finish_and_clear();
        if on_the_fly {
            print(&table::line(&result, &comparison.engines))?;
        }
        comparison.rows.push(result);
    }
    if args.json {
        print(&to_json(&comparison)?)?;
    } else if args.markdown {
        print(&table::markdown(&comparison))?;
    }
    if args.out.is_some() {
        keep(&dir.join("comparison.json"), &to_json(&comparison)?)?;
        keep(&dir.join("comparison.md"), &table::markdown(&comparison))?;
    }
    verdict(&comparison)
}

/// Those that were asked for and can take part, and the others. Says at once what is missing.
fn engines(args: &CompareArgs) -> Result<(Vec<Engine>, Vec<Absence>), Failure> {
    let known: Vec<&str> = std::iter::once(OWN).chain(PEERS.iter().map(|peer| peer.name)).collect();
    if let Some(unknown) = args.engines.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Failure::UnknownEngine { name: unknown.clone(), known: known.join(", ") });
    }
    let wanted = |name: &str| args.engines.is_empty() || args.engines.iter().any(|wanted| wanted == name);
    let (mut engines, mut absent) = (Vec::new(), Vec::new());
    if wanted(OWN) {
        let program = std::env::current_exe()?;
        engines.push(Engine { name: OWN, program, arguments: Vec::new(), dialect: Dialect::Match, speed: false });
    }
    let cache = args.cache.clone().unwrap_or_else(peers::default_cache);
    for peer in PEERS.iter().filter(|peer| wanted(peer.name)) {
        let bar = ProgressBar::new_spinner().with_message(format!("building the driver of {}", peer.name));
        bar.enable_steady_tick(Duration::from_millis(120));
        let built = peer.build(&cache);
        bar.finish_and_clear();
        match built {
            Ok(built) => engines.extend(built),
            Err(why) => {
                eprintln!("loadtest: without {}: {why}", peer.name);
                absent.push(Absence { engine: peer.name, why });
            }
        }
    }
    Ok((engines, absent))
}

/// Every engine once, the absent ones too, in the order of the table.
fn columns(engines: &[Engine], absent: &[Absence]) -> Vec<&'static str> {
    let there =
        |name: &str| engines.iter().any(|engine| engine.name == name) || absent.iter().any(|gone| gone.engine == name);
    std::iter::once(OWN).chain(PEERS.iter().map(|peer| peer.name)).filter(|name| there(name)).collect()
}

/// One row that is being compared.
struct Comparing<'a> {
    args: &'a CompareArgs,
    row: &'a Row,
    engines: &'a [Engine],
    dir: &'a Path,
    scratch: &'a Path,
    bar: &'a ProgressBar,
}

impl Comparing<'_> {
    fn run(&self) -> Result<RowResult, Failure> {
        let events = self.args.events.or(self.args.quick.then_some(QUICK_EVENTS));
        self.bar.set_message("rules and events are made");
        let workload = self.row.write(self.dir, events)?;
        let job = Job {
            rules: &workload.rules,
            events: &workload.events,
            passes: self.args.passes,
            pass_seconds: self.args.pass_seconds.as_secs_f64(),
            limit: None,
            out: None,
            churn: None,
        };
        // The mode for speed is for wildcards; elsewhere it is the same.
        let engines: Vec<&Engine> = self.engines.iter().filter(|engine| self.row.wildcards || !engine.speed).collect();
        let mut cells = self.rounds(&engines, &job)?;
        let answers: Vec<_> = engines
            .iter()
            .copied()
            .zip(&cells)
            .filter_map(|(engine, cell)| Some((engine, cell.outcome.report()?)))
            .collect();
        self.bar.set_message("answers are compared");
        let asking = Asking { job: &job, allowance: self.allowance(), dir: self.scratch };
        let agreement = agreement::check(&answers, asking)?;
        if let Some(per_second) = self.args.churn {
            self.while_rules_change(&engines, &job, (per_second, &workload), &mut cells)?;
        }
        if self.args.out.is_none() {
            self.row.remove(&workload);
        }
        Ok(RowResult::new(&self.row.name, cells, self.row.target, OWN, agreement))
    }

    fn allowance(&self) -> Allowance {
        let factor = if self.row.tier == Tier::Giant { GIANT_FACTOR } else { 1 };
        Allowance { time: self.args.time_limit * factor, memory_bytes: (self.args.memory_limit * 1e9) as u64 }
    }

    /// All engines in turns. One that failed once is not asked again.
    fn rounds(&self, engines: &[&Engine], job: &Job<'_>) -> Result<Vec<Cell>, Failure> {
        let rounds = self.args.rounds.unwrap_or(if self.args.quick { 1 } else { 3 });
        let mut cells: Vec<Cell> = Vec::new();
        for round in 1..=rounds {
            for (place, engine) in engines.iter().enumerate() {
                if cells.get(place).is_some_and(|cell| cell.outcome.report().is_none()) {
                    continue;
                }
                self.bar.set_message(format!("round {round}/{rounds}: {}", engine.name));
                let outcome = engine.run(job, self.allowance(), self.scratch)?;
                let best_ns = outcome.report().map(|report| report.best_ns());
                match cells.get_mut(place) {
                    None => {
                        let (engine, speed) = (engine.name.into(), engine.speed);
                        cells.push(Cell { engine, speed, outcome, best_ns, churn: None });
                    }
                    // A machine that was busy for a while must not turn a measurement into a failure.
                    Some(cell) if best_ns < cell.best_ns && best_ns.is_some() => {
                        (cell.outcome, cell.best_ns) = (outcome, best_ns)
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(cells)
    }

    /// Once more for the engines that came through, over the events that they came to.
    fn while_rules_change(
        &self,
        engines: &[&Engine],
        job: &Job<'_>,
        (per_second, workload): (f64, &Workload),
        cells: &mut [Cell],
    ) -> Result<(), Failure> {
        let churn = Some(Churn { per_second, seconds: CHURN_SECONDS, extra: &workload.extra });
        for (engine, cell) in engines.iter().zip(cells) {
            let Some(calm) = cell.outcome.report() else { continue };
            self.bar.set_message(format!("{} while rules change", engine.name));
            let job = Job { limit: Some(calm.events), churn, ..job.clone() };
            let outcome = engine.run(&job, self.allowance(), self.scratch)?;
            let slowdown = outcome.report().map(|report| report.median_ns() / calm.median_ns());
            cell.churn = Some(ChurnCell { outcome, slowdown });
        }
        Ok(())
    }
}

fn to_json(comparison: &Comparison) -> Result<String, Failure> {
    serde_json::to_string(comparison).map_err(|error| Failure::Output(error.into()))
}

fn keep(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|source| Failure::unwritable(path, source))
}

fn print(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(Failure::Output)
}

/// What must not be: wrong answers, and rules that Veltrix refuses or matches that it loses.
fn verdict(comparison: &Comparison) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for row in &comparison.rows {
        let open = row.agreement.disagreements.iter().filter(|_| row.agreement.is_open());
        wrong.extend(open.map(|found| format!("{}: {}", row.row, table::wrong_in_words(found))));
        for cell in row.cells.iter().filter(|cell| cell.engine == OWN) {
            for outcome in std::iter::once(&cell.outcome).chain(cell.churn.as_ref().map(|churn| &churn.outcome)) {
                wrong.extend(fault(outcome).map(|fault| format!("{}: {OWN} {fault}", row.row)));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Wrong(wrong)) }
}

fn fault(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Measured(report) if report.lost > 0 => {
            Some(format!("lost {} of {} matches", report.lost, report.expected))
        }
        Outcome::Measured(_) => None,
        Outcome::Rejects { reason } => Some(format!("rejects {reason}")),
        Outcome::Panics { reason } => Some(format!("panics: {reason}")),
        Outcome::TooSlow { seconds } => Some(format!("takes longer than {seconds:.0} s")),
        Outcome::TooLarge { bytes } => Some(format!("takes more than {:.1} GB", *bytes as f64 / 1e9)),
    }
}
