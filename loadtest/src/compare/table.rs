//! The comparison as people and programs read it: a line per row on the terminal, Markdown, JSON.

use super::agreement::{Agreement, Disagreement};
use super::engine::Outcome;
use console::{Style, style};
use serde::Serialize;

/// What one engine did in a row, over all its rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) engine: String,
    /// quamina's mode for speed.
    pub(crate) speed: bool,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
    /// CPU time per event in the best pass of all rounds.
    pub(crate) best_ns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) churn: Option<ChurnCell>,
}

/// The same while rules change.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChurnCell {
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
    /// How many times longer an event takes than without changes, middle pass against middle pass.
    pub(crate) slowdown: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct RowResult {
    pub(crate) row: String,
    pub(crate) cells: Vec<Cell>,
    pub(crate) best_peer: Option<String>,
    pub(crate) best_peer_ns: Option<f64>,
    /// How many times faster Veltrix is than the best peer.
    pub(crate) ratio: Option<f64>,
    pub(crate) target: Option<f64>,
    pub(crate) met: Option<bool>,
    #[serde(flatten)]
    pub(crate) agreement: Agreement,
}

/// An engine that could not take part at all.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Absence {
    pub(crate) engine: &'static str,
    pub(crate) why: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) engines: Vec<&'static str>,
    pub(crate) absent: Vec<Absence>,
    pub(crate) rows: Vec<RowResult>,
}

impl RowResult {
    /// Draws the conclusion from what the engines did. `own` is the name of the one that the others are peers of.
    pub(crate) fn new(row: &str, cells: Vec<Cell>, target: Option<f64>, own: &str, agreement: Agreement) -> Self {
        let fastest = |of_own: bool| {
            let measured = cells
                .iter()
                .filter(|cell| (cell.engine == own) == of_own && !agreement.is_wrong(&cell.engine))
                .filter_map(|cell| Some((cell, cell.best_ns?)));
            measured.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(cell, ns)| (cell.engine.clone(), ns))
        };
        let (own_ns, peer) = (fastest(true).map(|(_, ns)| ns), fastest(false));
        let ratio = own_ns.zip(peer.as_ref()).map(|(own, (_, peer))| peer / own);
        RowResult {
            row: row.into(),
            best_peer_ns: peer.as_ref().map(|(_, ns)| *ns),
            best_peer: peer.map(|(name, _)| name),
            ratio,
            target,
            met: ratio.zip(target).map(|(ratio, target)| ratio >= target && !agreement.is_open()),
            agreement,
            cells,
        }
    }

    /// What stands in an engine's column: the better of its modes.
    fn cell(&self, engine: &str) -> String {
        let mine = || self.cells.iter().filter(|cell| cell.engine == engine);
        let measured = mine().filter_map(|cell| Some((cell, cell.best_ns?))).min_by(|a, b| a.1.total_cmp(&b.1));
        if self.agreement.is_wrong(engine) {
            return "wrong".into();
        }
        match (measured, mine().next()) {
            (Some((cell, ns)), _) => format!("{}{}", grouped(ns), if cell.speed { " s" } else { "" }),
            (None, Some(cell)) => outcome(&cell.outcome),
            (None, None) => "absent".into(),
        }
    }

    /// Best peer, ratio, target, met?
    fn conclusion(&self) -> [String; 4] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let times = |ratio: f64| if ratio < 20.0 { format!("{ratio:.1}x") } else { format!("{ratio:.0}x") };
        let met = match (self.agreement.is_open(), self.met) {
            (true, _) => "WRONG".to_owned(),
            (false, Some(met)) => if met { "yes" } else { "no" }.to_owned(),
            (false, None) => "-".to_owned(),
        };
        [or_dash(self.best_peer.clone()), or_dash(self.ratio.map(times)), or_dash(self.target.map(times)), met]
    }
}

/// In a few words.
fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Measured(report) => grouped(report.best_ns()),
        Outcome::Rejects { .. } => "rejects".into(),
        Outcome::Panics { .. } => "panics".into(),
        Outcome::TooSlow { seconds } => format!("> {seconds:.0} s"),
        Outcome::TooLarge { bytes } => format!("> {:.1} GB", *bytes as f64 / 1e9),
    }
}

/// 1234567.8 as 1,234,568.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const ROW_WIDTH: usize = 31;
const WIDTH: usize = 13;

/// The line above the rows.
pub(crate) fn heading(engines: &[&str]) -> String {
    let mut line = format!("{:<ROW_WIDTH$}", "ns per event");
    for name in engines.iter().chain(&["best peer"]) {
        line.push_str(&format!("{name:>WIDTH$}"));
    }
    line.push_str(&format!("{:>9}{:>8}  {}", "ratio", "target", "met"));
    style(line).bold().to_string()
}

/// A row on the terminal, and below it what is wrong with its answers and what became of it while rules changed.
pub(crate) fn line(result: &RowResult, engines: &[&str]) -> String {
    let mut line = format!("{:<ROW_WIDTH$}", result.row);
    for engine in engines {
        line.push_str(&format!("{:>WIDTH$}", result.cell(engine)));
    }
    let [best, ratio, target, met] = result.conclusion();
    let colour = match met.as_str() {
        "yes" => Style::new().green(),
        "no" => Style::new().yellow(),
        "WRONG" => Style::new().red().bold(),
        _ => Style::new(),
    };
    line.push_str(&format!("{best:>WIDTH$}{ratio:>9}{target:>8}  {}", colour.apply_to(met)));
    for wrong in &result.agreement.disagreements {
        line.push_str(&format!("\n  {}", style(wrong_in_words(wrong)).red()));
    }
    for churn in result.cells.iter().filter_map(churn_in_words) {
        line.push_str(&format!("\n  {churn}"));
    }
    line
}

pub(crate) fn wrong_in_words(wrong: &Disagreement) -> String {
    format!("{} and {} disagree: {}", wrong.engines[0], wrong.engines[1], wrong.what)
}

fn churn_in_words(cell: &Cell) -> Option<String> {
    let churn = cell.churn.as_ref()?;
    let name = format!("{}{}", cell.engine, if cell.speed { " (speed)" } else { "" });
    let Some(report) = churn.outcome.report() else {
        return Some(format!("{name} while rules change: {}", outcome(&churn.outcome)));
    };
    let lost = format!("{} of {} matches lost", report.lost, report.expected);
    let lost = if report.lost > 0 { style(lost).red() } else { style(lost).green() };
    let threw = if report.threw > 0 { format!(", {} events failed", report.threw) } else { String::new() };
    Some(format!(
        "{name} while rules change: {} ns ({}), {lost}{threw}, {} changes of {} us",
        grouped(report.median_ns()),
        churn.slowdown.map_or("-".into(), |slowdown| format!("{slowdown:.2}x")),
        report.updates,
        grouped(report.us_per_update)
    ))
}

/// The same as a table of Markdown.
pub(crate) fn markdown(comparison: &Comparison) -> String {
    let Comparison { engines, absent, rows } = comparison;
    let mut text = format!("| ns per event | {} | best peer | ratio | target | met |\n|---", engines.join(" | "));
    text.push_str(&"|---".repeat(engines.len() + 4));
    text.push_str("|\n");
    for row in rows {
        let cells: Vec<String> = engines.iter().map(|engine| row.cell(engine)).collect();
        text.push_str(&format!("| {} | {} | {} |\n", row.row, cells.join(" | "), row.conclusion().join(" | ")));
    }
    for Absence { engine, why } in absent {
        text.push_str(&format!("\nWithout {engine}: {why}\n"));
    }
    for wrong in rows.iter().flat_map(|row| row.agreement.disagreements.iter().map(move |wrong| (row, wrong))) {
        text.push_str(&format!("\n{}: {}\n", wrong.0.row, wrong_in_words(wrong.1)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::DriverReport;

    fn cell(engine: &str, ns: f64, speed: bool) -> Cell {
        let report = DriverReport { cpu_ns_per_event: vec![ns], ..Default::default() };
        Cell { engine: engine.into(), speed, outcome: Outcome::Measured(report), best_ns: Some(ns), churn: None }
    }

    fn failed(engine: &str, outcome: Outcome) -> Cell {
        Cell { outcome, best_ns: None, ..cell(engine, 0.0, false) }
    }

    fn row(agreement: Agreement) -> RowResult {
        let cells = vec![
            cell("veltrix", 100.0, false),
            cell("a", 12_345.0, false),
            failed("b", Outcome::Rejects { reason: "no".into() }),
            cell("c", 900.0, false),
            cell("c", 650.0, true),
        ];
        RowResult::new("row-1", cells, Some(6.0), "veltrix", agreement)
    }

    #[test]
    fn the_best_peer_counts_in_its_better_mode() {
        let row = row(Agreement::default());
        assert_eq!((row.best_peer.as_deref(), row.ratio, row.met), (Some("c"), Some(6.5), Some(true)));
        let text = console::strip_ansi_codes(&line(&row, &["veltrix", "a", "b", "c"])).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words, ["row-1", "100", "12,345", "rejects", "650", "s", "c", "6.5x", "6.0x", "yes"]);
    }

    fn disagreement(other: &str, first_is_borne_out: bool) -> Agreement {
        let what = "event 3: veltrix finds rule r1".to_owned();
        let engines = ["veltrix".into(), other.into()];
        Agreement { disagreements: vec![Disagreement { engines, what }], first_is_borne_out }
    }

    #[test]
    fn a_target_is_not_met_by_answers_that_a_peer_contradicts() {
        let row = row(disagreement("a", false));
        assert_eq!(row.met, Some(false));
        let text = console::strip_ansi_codes(&line(&row, &["veltrix"])).into_owned();
        assert!(text.contains("WRONG\n  veltrix and a disagree: event 3"), "{text}");
    }

    #[test]
    fn a_peer_that_two_others_contradict_is_not_the_best() {
        let row = row(disagreement("c", true));
        assert_eq!((row.best_peer.as_deref(), row.cell("c").as_str(), row.met), (Some("a"), "wrong", Some(true)));
    }

    #[test]
    fn a_row_without_veltrix_still_has_its_best_peer() {
        let row = RowResult::new("row-1", vec![cell("a", 5.0, false)], Some(6.0), "veltrix", Agreement::default());
        assert_eq!(row.conclusion(), ["a", "-", "6.0x", "-"]);
    }

    #[test]
    fn markdown_has_a_line_for_each_row_and_each_absence() {
        let absent = vec![Absence { engine: "d", why: "go is not there".into() }];
        let text =
            markdown(&Comparison { engines: vec!["veltrix", "a", "d"], absent, rows: vec![row(Agreement::default())] });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "| row-1 | 100 | 12,345 | absent | c | 6.5x | 6.0x | yes |");
        assert_eq!(lines[4], "Without d: go is not there");
    }

    #[test]
    fn what_went_wrong_is_told_in_a_word_or_two() {
        assert_eq!(outcome(&Outcome::TooSlow { seconds: 180.0 }), "> 180 s");
        assert_eq!(outcome(&Outcome::TooLarge { bytes: 8_000_000_000 }), "> 8.0 GB");
        assert_eq!(outcome(&Outcome::Panics { reason: String::new() }), "panics");
        assert_eq!([0.4, 999.0, 1_000.0, 1_234_567.8].map(grouped), ["0", "999", "1,000", "1,234,568"]);
    }
}
