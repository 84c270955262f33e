//! What `veltrix dev` shows while it runs.
//!
//! On a terminal a block that is drawn again in place; elsewhere, as in a log, one plain line per call. Both go to stderr: stdout
//! is for the answer of a run. Start at [`View::show`]; what is shown is [`ViewState`], plain numbers.

use console::{Style, Term, measure_text_width, truncate_str};
use std::fmt::Write as _;
use std::time::Duration;

/// All that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ViewState {
    /// Since the start.
    pub elapsed: Duration,
    /// Events that the engine has read so far, other processes' included.
    pub events_in: u64,
    /// The same per second, lately.
    pub rate: f64,
    /// Deliveries that the engine has sent so far, by destination.
    pub per_destination: Vec<(String, u64)>,
    /// Events that no route of the engine wanted.
    pub unmatched: u64,
    /// Latency from due to delivered, lately: half of the deliveries took no longer. In milliseconds.
    pub p50_ms: f64,
    /// The same for 99 of 100.
    pub p99_ms: f64,
    /// Events that are in Kafka and that the engine has not read yet.
    pub lag: u64,
    /// Which RouteMap is in force.
    pub route_map_version: u64,
    /// How many changed RouteMaps were applied.
    pub updates_applied: u64,
    /// How long the storm waited for readers that were too far behind.
    pub throttled: Duration,
    /// How far the storm is behind its schedule, since machine or broker are too slow for its rate.
    pub late: Duration,
    /// Deliveries that did not arrive.
    pub lost: u64,
    /// Deliveries that arrived again.
    pub duplicated: u64,
    /// Deliveries that arrived in the wrong place, by a mix of tables, or without a version.
    pub misrouted: u64,
}

impl ViewState {
    /// Less is the unrest of a busy machine.
    const LATE_SHOWN: Duration = Duration::from_secs(1);

    /// What keeps the storm from its rate, with how long; nothing, if it keeps it.
    fn trouble(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let throttled = Some(("throttled", self.throttled)).filter(|(_, throttled)| !throttled.is_zero());
        let late = Some(("late", self.late)).filter(|(_, late)| *late >= ViewState::LATE_SHOWN);
        throttled.into_iter().chain(late)
    }
}

/// Draws [`ViewState`]s.
#[derive(Debug)]
pub struct View {
    term: Term,
    lines_drawn: usize,
    logged: u64,
}

impl Default for View {
    fn default() -> View {
        View::new()
    }
}

impl View {
    /// On stderr.
    pub fn new() -> View {
        View { term: Term::buffered_stderr(), lines_drawn: 0, logged: crate::logging::written() }
    }

    /// Whether states are drawn in place, so that several per second are a pleasure; else one per second is enough.
    pub fn is_live(&self) -> bool {
        self.term.is_term()
    }

    /// Shows a state in place of the one before.
    ///
    /// # Errors
    /// stderr is closed.
    pub fn show(&mut self, state: &ViewState) -> std::io::Result<()> {
        if !self.is_live() {
            self.term.write_line(&render_line(state))?;
            return self.term.flush();
        }
        let (rows, columns) = self.term.size();
        let painter = Painter::for_terminal(console::colors_enabled_stderr());
        let lines = render_block(state, usize::from(columns), usize::from(rows), &painter);
        let logged = crate::logging::written();
        if logged != self.logged {
            // A log line stands below the block; the next block goes below that, so that it can be read.
            (self.logged, self.lines_drawn) = (logged, 0);
        }
        // A block that is as wide as the terminal was may wrap when it has become narrower; the next one is right again.
        self.term.clear_last_lines(self.lines_drawn)?;
        lines.iter().try_for_each(|line| self.term.write_line(line))?;
        self.lines_drawn = lines.len();
        self.term.flush()
    }

    /// Leaves what is drawn, so that what is printed next comes below it.
    pub fn leave(&mut self) {
        self.lines_drawn = 0;
    }
}

/// Gives words their color, or none.
struct Painter {
    dim: Style,
    strong: Style,
    good: Style,
    bad: Style,
    bar: Style,
}

impl Painter {
    fn for_terminal(colors: bool) -> Painter {
        let style = || Style::new().for_stderr().force_styling(colors);
        Painter {
            dim: style().dim(),
            strong: style().bold(),
            good: style().green(),
            bad: style().red().bold(),
            bar: style().cyan(),
        }
    }
}

/// For logs: everything in one line, by names that can be searched for.
fn render_line(state: &ViewState) -> String {
    let mut line = format!(
        "{:>4}s  in {}  {}/s  p50 {} ms  p99 {} ms  lag {}  version {}  updates {}  lost {}  duplicated {}  misrouted {}",
        state.elapsed.as_secs(),
        grouped(state.events_in),
        grouped(state.rate.round() as u64),
        millis(state.p50_ms),
        millis(state.p99_ms),
        grouped(state.lag),
        state.route_map_version,
        state.updates_applied,
        state.lost,
        state.duplicated,
        state.misrouted,
    );
    for (name, time) in state.trouble() {
        let _ = write!(line, "  {name} {:.1}s", time.as_secs_f64());
    }
    for (destination, count) in &state.per_destination {
        let _ = write!(line, "  {destination} {}", grouped(*count));
    }
    line
}

/// For terminals. No line is longer than `columns`, and there are fewer lines than `rows`.
fn render_block(state: &ViewState, columns: usize, rows: usize, painter: &Painter) -> Vec<String> {
    // A line that fills the last column makes some terminals wrap.
    let width = columns.saturating_sub(1).clamp(20, 100);
    let mut lines = vec![String::new(), headline(state, painter), flow_line(state, painter), String::new()];
    lines.extend(destination_lines(state, width, rows.saturating_sub(8).max(1), painter));
    lines.push(String::new());
    lines.push(verdict_line(state, painter));
    lines.iter().map(|line| truncate_str(line, width, "…").into_owned()).collect()
}

fn headline(state: &ViewState, painter: &Painter) -> String {
    let elapsed = state.elapsed.as_secs();
    let updates = match state.updates_applied {
        0 => String::new(),
        1 => " (1 update)".to_owned(),
        count => format!(" ({} updates)", grouped(count)),
    };
    format!(
        "  {}  {}  {} {}{}",
        painter.strong.apply_to("veltrix dev"),
        painter.dim.apply_to(format!("{:02}:{:02}", elapsed / 60, elapsed % 60)),
        painter.dim.apply_to("route map version"),
        painter.strong.apply_to(state.route_map_version),
        painter.dim.apply_to(updates),
    )
}

fn flow_line(state: &ViewState, painter: &Painter) -> String {
    let named =
        |name: &str, value: String| format!("{} {}", painter.dim.apply_to(name), painter.strong.apply_to(value));
    let mut parts = vec![
        named("events", grouped(state.events_in)),
        named("per second", grouped(state.rate.round() as u64)),
        named("p50", format!("{} ms", millis(state.p50_ms))),
        named("p99", format!("{} ms", millis(state.p99_ms))),
        named("lag", grouped(state.lag)),
    ];
    parts.extend(state.trouble().map(|(name, time)| named(name, format!("{:.1} s", time.as_secs_f64()))));
    format!("  {}", parts.join("   "))
}

/// One line per destination, the busiest first if there is no room for all, with a bar as long as its share.
fn destination_lines(state: &ViewState, width: usize, lines_max: usize, painter: &Painter) -> Vec<String> {
    let mut shown: Vec<(&str, u64)> =
        state.per_destination.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let mut hidden = 0;
    if shown.len() > lines_max {
        shown.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        hidden = shown.len() - lines_max.saturating_sub(1);
        shown.truncate(lines_max.saturating_sub(1));
    }
    shown.push(("(no route)", state.unmatched));
    let name_width = shown.iter().map(|(name, _)| measure_text_width(name)).max().unwrap_or(0).min(width / 2);
    let count_width = shown.iter().map(|(_, count)| grouped(*count).len()).max().unwrap_or(0);
    let most = shown.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let bar_width = width.saturating_sub(name_width + count_width + 6).min(40);
    let line = |(name, count): &(&str, u64)| {
        let name = truncate_str(name, name_width, "…");
        let padding = " ".repeat(name_width - measure_text_width(&name));
        let count_text = grouped(*count);
        let bar = bar(*count, most, bar_width);
        let bar = if *name == *"(no route)" { painter.dim.apply_to(bar) } else { painter.bar.apply_to(bar) };
        format!("  {name}{padding}  {count_text:>count_width$}  {bar}")
    };
    let mut lines: Vec<String> = shown.iter().map(line).collect();
    if hidden > 0 {
        lines.push(format!("  {}", painter.dim.apply_to(format!("and {hidden} more"))));
    }
    lines
}

fn verdict_line(state: &ViewState, painter: &Painter) -> String {
    let fault = |name: &str, count: u64| {
        let style = if count == 0 { &painter.good } else { &painter.bad };
        format!("{} {}", painter.dim.apply_to(name), style.apply_to(grouped(count)))
    };
    // Doubles are allowed, so that they are no cause for alarm.
    let duplicated =
        format!("{} {}", painter.dim.apply_to("duplicated"), painter.strong.apply_to(grouped(state.duplicated)));
    format!(
        "  {}  {}   {}   {duplicated}",
        painter.dim.apply_to("audit:"),
        fault("lost", state.lost),
        fault("misrouted", state.misrouted)
    )
}

/// A bar of eighths of a column. Something is never shown as nothing.
fn bar(count: u64, most: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (count as f64 / most as f64 * width as f64 * 8.0).round() as usize;
    let eighths = if count > 0 { eighths.max(1) } else { 0 };
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits that mean something: `0.42`, `4.2`, `420`.
fn millis(value: f64) -> String {
    match value {
        value if value < 1.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => grouped(value.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ViewState {
        let destinations = [("hunt-leaderboard", 120_000), ("hunt-analytics", 480_000), ("hunt-live-ops", 1)];
        ViewState {
            elapsed: Duration::from_secs(75),
            events_in: 1_500_000,
            rate: 19_998.6,
            per_destination: destinations.map(|(name, count)| (name.to_owned(), count)).to_vec(),
            unmatched: 960_000,
            p50_ms: 12.34,
            p99_ms: 119.6,
            lag: 1_234,
            route_map_version: 42,
            updates_applied: 41,
            ..ViewState::default()
        }
    }

    fn block(state: &ViewState, columns: usize, rows: usize) -> String {
        render_block(state, columns, rows, &Painter::for_terminal(false)).join("\n")
    }

    #[test]
    fn a_block_is_aligned_and_says_everything() {
        let expected = "
  veltrix dev  01:15  route map version 42 (41 updates)
  events 1,500,000   per second 19,999   p50 12.3 ms   p99 120 ms   lag 1,234

  hunt-leaderboard  120,000  █████
  hunt-analytics    480,000  ████████████████████
  hunt-live-ops           1  ▏
  (no route)        960,000  ████████████████████████████████████████

  audit:  lost 0   misrouted 0   duplicated 0";
        assert_eq!(block(&state(), 100, 24), expected);
    }

    #[test]
    fn what_went_wrong_is_shown_when_it_did() {
        let state =
            ViewState { throttled: Duration::from_millis(2_500), lost: 3, misrouted: 1, duplicated: 1_000, ..state() };
        let block = block(&state, 100, 24);
        assert!(block.contains("throttled 2.5 s"), "{block}");
        assert!(block.contains("lost 3   misrouted 1   duplicated 1,000"), "{block}");
    }

    #[test]
    fn a_storm_that_can_not_keep_its_rate_says_how_late_it_is() {
        let late = |millis| ViewState { late: Duration::from_millis(millis), ..state() };
        for text in [block(&late(999), 100, 24), render_line(&late(999))] {
            assert!(!text.contains("late"), "{text}");
        }
        assert!(block(&late(1_240), 100, 24).contains("lag 1,234   late 1.2 s"));
        assert!(render_line(&late(1_240)).contains("  late 1.2s"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_block_is_higher() {
        let mut state = state();
        state.per_destination = (0..60).map(|number| (format!("destination-{number:03}"), number)).collect();
        for (columns, rows) in [(200, 50), (80, 24), (40, 12), (24, 10)] {
            let block = block(&state, columns, rows);
            assert!(block.lines().all(|line| measure_text_width(line) < columns), "{columns} columns:\n{block}");
            assert!(block.lines().count() < rows.max(10), "{rows} rows:\n{block}");
        }
        assert!(block(&state, 80, 24).contains("and 45 more"), "{}", block(&state, 80, 24));
    }

    #[test]
    fn colors_are_left_out_when_they_are_not_wanted() {
        assert!(!block(&state(), 80, 24).contains('\u{1b}'));
        let colored = render_block(&state(), 80, 24, &Painter::for_terminal(true)).join("\n");
        assert!(colored.contains('\u{1b}'));
        assert_eq!(console::strip_ansi_codes(&colored), block(&state(), 80, 24));
    }

    #[test]
    fn a_line_for_logs_is_one_line_without_decoration() {
        let line = render_line(&state());
        assert_eq!(
            line,
            "  75s  in 1,500,000  19,999/s  p50 12.3 ms  p99 120 ms  lag 1,234  version 42  updates 41  lost 0  duplicated 0  \
             misrouted 0  hunt-leaderboard 120,000  hunt-analytics 480,000  hunt-live-ops 1"
        );
    }

    #[test]
    fn numbers_are_grouped_and_latencies_rounded_to_what_means_something() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.456, 4.56, 45.6, 456.4, 4_560.0].map(millis),
            ["0.00", "0.46", "4.6", "45.6", "456", "4,560"]
        );
    }
}
