//! Do all engines give the same answers? Believed by hash, and where it differs shown by the first event and rule.
//!
//! Engines come differently far in their time. Two of them are compared over the events that both have matched: who came further is
//! asked again for so many.

use super::engine::{Allowance, Engine, Job};
use crate::report::DriverReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Two engines that do not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Disagreement {
    pub(crate) engines: [String; 2],
    /// What they differ in, in words.
    pub(crate) what: String,
}

/// What came of comparing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Agreement {
    pub(crate) disagreements: Vec<Disagreement>,
    /// Most engines, two at least, say what the first one says: the others are wrong.
    pub(crate) first_is_borne_out: bool,
}

impl Agreement {
    /// Whether an engine's figures are those of answers that others contradict.
    pub(crate) fn is_wrong(&self, engine: &str) -> bool {
        self.first_is_borne_out && self.disagreements.iter().any(|found| found.engines[1] == engine)
    }

    /// Whether it can't be told who is right, or it is the first one that is wrong.
    pub(crate) fn is_open(&self) -> bool {
        !self.disagreements.is_empty() && !self.first_is_borne_out
    }
}

/// What is needed to ask an engine again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) job: &'a Job<'a>,
    pub(crate) allowance: Allowance,
    pub(crate) dir: &'a Path,
}

/// Compares all answers with those of the first engine.
pub(crate) fn check(answers: &[Answers<'_>], asking: Asking<'_>) -> io::Result<Agreement> {
    let mut disagreements = Vec::new();
    let Some((first, others)) = answers.split_first() else { return Ok(Agreement::default()) };
    for other in others {
        if let Some(what) = differ(*first, *other, asking)? {
            disagreements.push(Disagreement { engines: [first.0.name.into(), other.0.name.into()], what });
        }
    }
    // An engine in two modes has one voice, and none if they differ.
    let names: BTreeSet<&str> = answers.iter().map(|(engine, _)| engine.name).collect();
    let against: BTreeSet<&str> = disagreements.iter().map(|found| found.engines[1].as_str()).collect();
    let agreeing = names.difference(&against).count();
    Ok(Agreement { first_is_borne_out: agreeing >= 2 && agreeing > against.len(), disagreements })
}

/// An engine and what it said.
pub(crate) type Answers<'a> = (&'a Engine, &'a DriverReport);

fn differ(first: Answers<'_>, other: Answers<'_>, asking: Asking<'_>) -> io::Result<Option<String>> {
    let events = first.1.events.min(other.1.events);
    let mut told = Vec::new();
    for (engine, report) in [first, other] {
        let again = if report.events == events { None } else { asking.again(engine, events, None)? };
        let report = again.as_ref().unwrap_or(report);
        if report.events != events {
            return Ok(Some(format!("{} could not be asked again about {events} events", engine.name)));
        }
        told.push((report.matches, report.hash.clone()));
    }
    if told[0] == told[1] {
        return Ok(None);
    }
    let files = [asking.dir.join("first.answers"), asking.dir.join("other.answers")];
    for ((engine, _), file) in [first, other].into_iter().zip(&files) {
        if asking.again(engine, events, Some(file))?.is_none() {
            return Ok(Some(format!("their hashes differ, and {} could not be asked for its answers", engine.name)));
        }
    }
    let names = [first.0.name, other.0.name];
    let difference = first_difference(names, [&files[0], &files[1]])?;
    for file in files {
        std::fs::remove_file(file)?;
    }
    Ok(Some(difference.unwrap_or_else(|| {
        let [(matches, hash), (other_matches, other_hash)] = [&told[0], &told[1]];
        format!(
            "the answers that they write are the same, but {} counts {matches} matches with hash {hash}, {} {other_matches} with {other_hash}",
            names[0], names[1]
        )
    })))
}

impl Asking<'_> {
    /// One pass over the first `events`, however long it takes within the allowance.
    fn again(&self, engine: &Engine, events: u64, out: Option<&Path>) -> io::Result<Option<DriverReport>> {
        let job = Job { passes: 1, pass_seconds: 1e6, limit: Some(events), out, churn: None, ..self.job.clone() };
        Ok(engine.run(&job, self.allowance, self.dir)?.report().cloned())
    }
}

/// A line of a driver's answers, or of those of `loadtest match`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Ids(BTreeSet<String>),
    Event { matches: BTreeSet<String> },
}

/// The first event of which two files of answers differ.
fn first_difference(names: [&str; 2], files: [&Path; 2]) -> io::Result<Option<String>> {
    let lines = |file: &Path| Ok::<_, io::Error>(BufReader::new(File::open(file)?).lines());
    let (mut first, mut other) = (lines(files[0])?, lines(files[1])?);
    for event in 0.. {
        let (Some(a), Some(b)) = (next_ids(&mut first)?, next_ids(&mut other)?) else { break };
        if let Some(rule) = a.difference(&b).next() {
            return Ok(Some(format!("event {event}: {} finds rule {rule}, {} does not", names[0], names[1])));
        }
        if let Some(rule) = b.difference(&a).next() {
            return Ok(Some(format!("event {event}: {} finds rule {rule}, {} does not", names[1], names[0])));
        }
    }
    Ok(None)
}

fn next_ids(lines: &mut impl Iterator<Item = io::Result<String>>) -> io::Result<Option<BTreeSet<String>>> {
    let Some(line) = lines.next().transpose()? else { return Ok(None) };
    let (Line::Ids(ids) | Line::Event { matches: ids }) = serde_json::from_str(&line)?;
    Ok(Some(ids))
}

#[cfg(test)]
mod tests {
    use super::super::engine::tests::{PLENTY, job, script};
    use super::*;

    /// An engine that has matched `events` and says so with `hash`, also when it is asked again; its answers are `lines`.
    fn engine(name: &'static str, events: u64, hash: &str, lines: &str) -> (Engine, DriverReport) {
        let report = DriverReport { events, hash: hash.into(), matches: 2, ..Default::default() };
        let text = serde_json::to_string(&DriverReport { events: 0, ..report.clone() }).unwrap();
        let text = text.replace(r#""events":0"#, r#""events":LIMIT"#);
        let write = format!(r#"if [ -n "$out" ]; then printf '{lines}' > "$out"; fi; "#);
        (script(name, &format!(r#"{write} echo '{text}' | sed "s/LIMIT/$limit/""#)), report)
    }

    fn agreement(engines: &[(Engine, DriverReport)]) -> Agreement {
        let dir = tempfile::tempdir().unwrap();
        let answers: Vec<(&Engine, &DriverReport)> = engines.iter().map(|(engine, report)| (engine, report)).collect();
        let asking = Asking { job: &job(), allowance: PLENTY, dir: dir.path() };
        super::check(&answers, asking).unwrap()
    }

    fn check(engines: &[(Engine, DriverReport)]) -> Vec<String> {
        agreement(engines).disagreements.into_iter().map(|found| found.what).collect()
    }

    #[test]
    fn one_engine_against_two_is_wrong_and_one_against_one_leaves_it_open() {
        let of = |name, hash| engine(name, 2, hash, r#"["r1"]\n[]\n"#);
        let two_to_one = agreement(&[of("a", "07"), of("b", "08"), of("c", "07")]);
        assert!(two_to_one.is_wrong("b") && !two_to_one.is_wrong("c") && !two_to_one.is_open());
        let one_to_one = agreement(&[of("a", "07"), of("b", "08")]);
        assert!(!one_to_one.is_wrong("b") && one_to_one.is_open());
        let first_alone = agreement(&[of("a", "07"), of("b", "08"), of("c", "08")]);
        assert!(!first_alone.is_wrong("b") && first_alone.is_open());
        assert!(!agreement(&[of("a", "07"), of("b", "07")]).is_open());
    }

    #[test]
    fn engines_with_the_same_hash_agree() {
        assert!(check(&[engine("a", 2, "07", ""), engine("b", 2, "07", ""), engine("c", 2, "07", "")]).is_empty());
    }

    #[test]
    fn an_engine_that_lies_is_caught_with_the_first_event_and_rule() {
        let honest = r#"["r1"]\n["r1","r2"]\n"#;
        assert_eq!(
            check(&[engine("a", 2, "07", honest), engine("b", 2, "08", r#"["r1"]\n["r1"]\n"#)]),
            ["event 1: a finds rule r2, b does not"]
        );
        assert_eq!(
            check(&[engine("a", 2, "07", honest), engine("b", 2, "08", r#"["r1","r9"]\n[]\n"#)]),
            ["event 0: b finds rule r9, a does not"]
        );
    }

    #[test]
    fn answers_may_stand_in_any_order_and_in_the_form_of_match() {
        let [a, b] = [r#"["r1","r2"]\n"#, r#"{"event":0,"matches":["r2","r1"]}\n"#];
        let told = check(&[engine("a", 1, "07", a), engine("b", 1, "08", b)]);
        assert!(told[0].starts_with("the answers that they write are the same, but a counts 2 matches"), "{told:?}");
    }

    #[test]
    fn who_came_further_is_asked_again_for_as_many_events() {
        assert!(check(&[engine("a", 1_000, "07", ""), engine("b", 64, "07", "")]).is_empty());
        let (again, _) = engine("a", 0, "09", "");
        let (_, then) = engine("a", 1_000, "07", "");
        assert_eq!(check(&[(again, then), engine("b", 64, "09", "")]).len(), 0);
    }

    #[test]
    fn an_engine_that_can_not_repeat_its_answers_is_told_of() {
        let (_, report) = engine("a", 2, "07", "");
        let told = check(&[(script("a", "exit 1"), report), engine("b", 2, "08", "")]);
        assert_eq!(told, ["their hashes differ, and a could not be asked for its answers"]);
    }
}
