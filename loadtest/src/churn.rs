//! Changes the rules many times a second while another thread matches.
//!
//! The changing thread compiles all rules anew, in turn with and without one rule that no event matches, and lays the finished matcher
//! ready; the matching thread takes it between two batches and gives the old one back, to be freed by the one that changes.

use crate::input::{Condition, Rule};
use crate::matcher::{Compile, Matcher};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often rules were changed, and how long that took the thread that did it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) updates: u64,
    pub(crate) spent: Duration,
}

/// Where a finished matcher lies until it is taken.
struct Exchange<M> {
    /// How many were laid ready.
    edition: AtomicU64,
    next: Mutex<Option<M>>,
    /// Given back by the matching thread.
    old: Mutex<Vec<M>>,
}

/// A matcher whose rules change.
pub(crate) struct Changing<'e, M> {
    current: M,
    /// Which edition that is.
    edition: u64,
    exchange: &'e Exchange<M>,
    /// The rule that comes and goes has this place, and does not count.
    extra: u32,
}

impl<M: Matcher> Matcher for Changing<'_, M> {
    fn matches(&mut self, event: &[u8], out: &mut Vec<u32>) {
        self.current.matches(event, out);
        if out.last() == Some(&self.extra) {
            out.pop();
        }
    }

    fn refresh(&mut self) {
        let edition = self.exchange.edition.load(Ordering::Acquire);
        if edition == self.edition {
            return;
        }
        self.edition = edition;
        if let Some(next) = self.exchange.next.lock().take() {
            let old = std::mem::replace(&mut self.current, next);
            self.exchange.old.lock().push(old);
        }
    }
}

/// A rule that is about nothing any event has.
pub(crate) fn rule_for_nothing() -> Rule {
    let pattern = r#"{"a field that no event has":["a value that no event has"]}"#;
    Rule { id: "for-nothing".into(), line: 0, condition: Condition::Pattern(pattern.into()) }
}

/// Lets `measure` match by `matcher`, whose rules are `rules`, while `extra` comes and goes: `per_second` changes in a second, or as
/// many as can be compiled.
pub(crate) fn while_rules_change<C, T>(
    compiler: &mut C,
    matcher: C::Matcher,
    (rules, extra): (&[Rule], &Rule),
    per_second: f64,
    measure: impl FnOnce(&mut Changing<'_, C::Matcher>) -> T,
) -> (T, Changes)
where
    C: Compile + Send,
    C::Matcher: Send,
{
    let exchange = Exchange { edition: AtomicU64::new(0), next: Mutex::new(None), old: Mutex::new(Vec::new()) };
    let ended = AtomicBool::new(false);
    let mut with_extra = rules.to_vec();
    with_extra.push(extra.clone());
    thread::scope(|scope| {
        let changes = scope.spawn(|| change(compiler, [&with_extra, rules], per_second, &exchange, &ended));
        let mut changing = Changing { current: matcher, edition: 0, exchange: &exchange, extra: rules.len() as u32 };
        // Told also if measuring panics: the scope waits for the other thread.
        let end = EndOnDrop(&ended);
        let measured = measure(&mut changing);
        drop(end);
        (measured, changes.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Compiles the editions in turn until `ended`.
fn change<C: Compile>(
    compiler: &mut C,
    editions: [&[Rule]; 2],
    per_second: f64,
    exchange: &Exchange<C::Matcher>,
    ended: &AtomicBool,
) -> Changes {
    let (mut changes, first) = (Changes::default(), Instant::now());
    for rules in editions.into_iter().cycle() {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        exchange.old.lock().drain(..).for_each(|old| compiler.recycle(old));
        // Rules that compiled before compile again, and `extra` is one that does.
        if let Ok(next) = compiler.compile(rules) {
            let untaken = exchange.next.lock().replace(next);
            exchange.edition.fetch_add(1, Ordering::Release);
            changes.updates += 1;
            untaken.into_iter().for_each(|untaken| compiler.recycle(untaken));
        }
        changes.spent += began.elapsed();
        let due = first + Duration::from_secs_f64(changes.updates as f64 / per_second);
        wait_until(due, ended);
    }
    changes
}

/// In steps, so that a slow rate does not hold up the end.
fn wait_until(due: Instant, ended: &AtomicBool) {
    const STEP: Duration = Duration::from_millis(50);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() || ended.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep(left.min(STEP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Loss, Passes, Plan, counts};
    use crate::stand_in::{StandIn, events, rules};

    #[test]
    fn rules_change_while_events_are_matched_and_nothing_is_lost() {
        let (rules, events) = (rules(), events(1_000));
        // Every event matches it, which must not be counted either.
        let extra = Rule { id: "extra".into(), ..rules[0].clone() };
        let mut compiler = StandIn;
        let mut matcher = compiler.compile(&rules).unwrap();
        let before = counts(&mut matcher, &events);
        let plan = Plan { passes: 2, pass_max: Duration::from_secs(60), min: Duration::from_millis(200) };
        let (passes, changes) = while_rules_change(&mut compiler, matcher, (&rules, &extra), 500.0, |matcher| {
            Passes::run(matcher, &events, plan, Some(&before))
        });
        assert!(changes.updates > 2, "{} updates", changes.updates);
        assert!(passes.cpu_ns.len() >= 2);
        assert_eq!(passes.matches, 1_100);
        assert_eq!(passes.loss, Loss { expected: 1_100 * passes.cpu_ns.len() as u64, lost: 0 });
    }
}
