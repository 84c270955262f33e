//! Runs an engine's driver on a row, and makes of whatever it does a result: a measurement, a refusal, a crash, or too much of time or
//! memory.

use crate::clock::rss_bytes;
use crate::report::DriverReport;
use serde::Serialize;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The exit status of a driver that was given a rule that its engine does not take.
const REFUSED: i32 = 3;

/// How an engine's program wants to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// As `peers/README.md` says.
    Driver,
    /// As `loadtest match` does.
    Match,
}

/// A program that matches.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    /// The column of the table that it stands in.
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) dialect: Dialect,
    /// In quamina's mode for speed.
    pub(crate) speed: bool,
}

/// What an engine is to do.
#[derive(Clone, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) rules: &'a Path,
    pub(crate) events: &'a Path,
    pub(crate) passes: u32,
    pub(crate) pass_seconds: f64,
    pub(crate) limit: Option<u64>,
    pub(crate) out: Option<&'a Path>,
    pub(crate) churn: Option<Churn<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Churn<'a> {
    pub(crate) per_second: f64,
    pub(crate) seconds: f64,
    pub(crate) extra: &'a Path,
}

/// What it may use for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) time: Duration,
    pub(crate) memory_bytes: u64,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Outcome {
    Measured(DriverReport),
    /// It does not take these rules.
    Rejects {
        reason: String,
    },
    /// It failed otherwise.
    Panics {
        reason: String,
    },
    TooSlow {
        seconds: f64,
    },
    TooLarge {
        bytes: u64,
    },
}

impl Outcome {
    pub(crate) fn report(&self) -> Option<&DriverReport> {
        match self {
            Outcome::Measured(report) => Some(report),
            _ => None,
        }
    }
}

impl Engine {
    fn command(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        match self.dialect {
            Dialect::Driver => self.drive(&mut command, job),
            Dialect::Match => ask_match(&mut command, job),
        }
        command
    }

    fn drive(&self, command: &mut Command, job: &Job<'_>) {
        command.arg(job.rules).arg(job.events);
        command.arg(format!("passes={}", job.passes)).arg(format!("maxsec={}", job.pass_seconds));
        let with_path = |name: &str, path: &Path| {
            let mut argument = OsString::from(name);
            argument.push(path);
            argument
        };
        if let Some(limit) = job.limit {
            command.arg(format!("limit={limit}"));
        }
        if let Some(out) = job.out {
            command.arg(with_path("out=", out));
        }
        if self.speed {
            command.arg("speed=true");
        }
        if let Some(churn) = job.churn {
            command.arg(format!("churn={}", churn.per_second)).arg(format!("minsec={}", churn.seconds));
            command.arg(with_path("extra=", churn.extra));
        }
    }

    /// Runs it, and ends it if it uses more than `allowance`. What it says goes to files in `dir`.
    pub(crate) fn run(&self, job: &Job<'_>, allowance: Allowance, dir: &Path) -> io::Result<Outcome> {
        let (out, err) = (dir.join("driver.out"), dir.join("driver.err"));
        let child =
            self.command(job).stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&err)?).spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => return Ok(Outcome::Panics { reason: format!("can't be started: {error}") }),
        };
        let status = match wait(child, allowance)? {
            Ok(status) => status,
            Err(ended) => return Ok(ended),
        };
        let text = |path: &Path| Ok::<_, io::Error>(String::from_utf8_lossy(&std::fs::read(path)?).into_owned());
        Ok(self.judge(status, &text(&out)?, &text(&err)?))
    }

    fn judge(&self, status: ExitStatus, out: &str, err: &str) -> Outcome {
        let report = out.lines().last().and_then(|line| serde_json::from_str::<DriverReport>(line).ok());
        let refused = err.lines().find_map(|line| line.trim_start_matches("loadtest: ").strip_prefix("refused"));
        let may_refuse = match self.dialect {
            Dialect::Driver => status.code() == Some(REFUSED),
            Dialect::Match => status.code() == Some(1),
        };
        match (report, refused) {
            // `loadtest match` also ends with 1 after it has lost matches, which the report says.
            (Some(report), _) if status.success() || may_refuse => Outcome::Measured(report),
            (None, Some(reason)) if may_refuse => {
                Outcome::Rejects { reason: reason.trim_start_matches(':').trim().to_owned() }
            }
            (None, _) if status.success() => Outcome::Panics { reason: "ended well, but printed no result".into() },
            _ => Outcome::Panics { reason: cause(status, err) },
        }
    }
}

fn ask_match(command: &mut Command, job: &Job<'_>) {
    command.args(["match", "--json", "--rules"]).arg(job.rules).arg("--events").arg(job.events);
    command.args(["--repeat", &job.passes.to_string(), "--pass-seconds", &job.pass_seconds.to_string()]);
    if let Some(limit) = job.limit {
        command.args(["--limit", &limit.to_string()]);
    }
    if let Some(out) = job.out {
        command.arg("--matches-out").arg(out);
    }
    if let Some(churn) = job.churn {
        command.args(["--churn", &churn.per_second.to_string(), "--churn-seconds", &churn.seconds.to_string()]);
        command.arg("--churn-rule").arg(churn.extra);
    }
}

/// Waits for the child's end, or makes one.
fn wait(mut child: Child, allowance: Allowance) -> io::Result<Result<ExitStatus, Outcome>> {
    const LOOK: Duration = Duration::from_millis(20);
    let began = Instant::now();
    let process = child.id().to_string();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ok(status));
        }
        let bytes = rss_bytes(&process).unwrap_or_default();
        let too_much = if began.elapsed() > allowance.time {
            Some(Outcome::TooSlow { seconds: allowance.time.as_secs_f64() })
        } else {
            (bytes > allowance.memory_bytes).then_some(Outcome::TooLarge { bytes: allowance.memory_bytes })
        };
        if let Some(ended) = too_much {
            child.kill()?;
            child.wait()?;
            return Ok(Err(ended));
        }
        std::thread::sleep(LOOK);
    }
}

/// The line of a crash that says most: where Rust and Go say "panic", where Java names an exception, else the last one.
fn cause(status: ExitStatus, err: &str) -> String {
    let mut lines = err.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling =
        lines.clone().find(|line| ["panicked", "panic:", "Exception", "Error"].iter().any(|word| line.contains(word)));
    match telling.or(lines.next_back()) {
        Some(line) => format!("{line} ({status})"),
        None => status.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An engine that is a shell script. `$1` to `$9` are a driver's arguments; `$out` is the file of `out=`.
    pub(crate) fn script(name: &'static str, script: &str) -> Engine {
        let find_out =
            r#"for a in "$@"; do case "$a" in out=*) out="${a#out=}";; limit=*) limit="${a#limit=}";; esac; done; "#;
        let arguments = ["-c".into(), format!("{find_out}{script}").into(), name.into()].to_vec();
        Engine { name, program: "sh".into(), arguments, dialect: Dialect::Driver, speed: false }
    }

    pub(crate) fn job() -> Job<'static> {
        let nothing = Path::new("/dev/null");
        Job { rules: nothing, events: nothing, passes: 1, pass_seconds: 1.0, limit: None, out: None, churn: None }
    }

    pub(crate) const PLENTY: Allowance = Allowance { time: Duration::from_secs(60), memory_bytes: u64::MAX };

    fn run(text: &str, allowance: Allowance) -> Outcome {
        let dir = tempfile::tempdir().unwrap();
        script("script", text).run(&job(), allowance, dir.path()).unwrap()
    }

    #[test]
    fn a_report_is_a_measurement() {
        let report =
            DriverReport { peer: "x".into(), cpu_ns_per_event: vec![7.0], hash: "00".into(), ..Default::default() };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(run(&format!("echo '{text}'"), PLENTY), Outcome::Measured(report));
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let reason = "r7: no such operator".to_owned();
        assert_eq!(run("echo 'refused r7: no such operator' >&2; exit 3", PLENTY), Outcome::Rejects { reason });
    }

    #[test]
    fn a_crash_is_told_by_the_line_that_says_most() {
        let crash = "echo 'thread main panicked at x.rs'; echo 'run with RUST_BACKTRACE=1'";
        let Outcome::Panics { reason } = run(&format!("({crash}) >&2; exit 101"), PLENTY) else { panic!("no crash") };
        assert!(reason.starts_with("thread main panicked at x.rs ("), "{reason}");
        assert!(matches!(run("kill -SEGV $$", PLENTY), Outcome::Panics { .. }));
        let Outcome::Panics { reason } = run("echo hello", PLENTY) else { panic!("no crash") };
        assert_eq!(reason, "ended well, but printed no result");
    }

    #[test]
    fn who_takes_too_long_is_ended() {
        let began = Instant::now();
        let allowance = Allowance { time: Duration::from_millis(100), ..PLENTY };
        assert_eq!(run("exec sleep 30", allowance), Outcome::TooSlow { seconds: 0.1 });
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_takes_too_much_memory_is_ended() {
        let allowance = Allowance { memory_bytes: 1, ..PLENTY };
        assert_eq!(run("exec sleep 30", allowance), Outcome::TooLarge { bytes: 1 });
    }

    #[test]
    fn a_program_that_is_not_there_is_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine { program: "/no/such/program".into(), ..script("gone", "") };
        let outcome = engine.run(&job(), PLENTY, dir.path()).unwrap();
        assert!(matches!(outcome, Outcome::Panics { reason } if reason.starts_with("can't be started")));
    }
}
