//! Veltrix as a [`Matcher`]: all rules in one RouteMap, each a route for any event type with the rule as its condition.

use crate::input::{Condition, Rule};
use crate::matcher::{Compile, Matcher, Refusal};
use prost::Message as _;
use veltrix_proto::v1::{self, condition, destination, origin};
use veltrix_route_table::{Compiler, Event, Matches, Reason, Refused, RouteTable, Value};

const DESTINATION: &str = "somewhere";
const TOPIC: &str = "events";
/// Reasons that are told for all rules together, if no rule alone is to blame.
const REASONS_TOLD: usize = 5;

/// Compiles rules by the same road that a RouteMap takes in an engine.
#[derive(Default)]
pub(crate) struct Veltrix {
    compiler: Compiler,
}

/// A compiled table; none without rules, since a map without routes is refused.
pub(crate) struct VeltrixMatcher {
    table: Option<RouteTable>,
    matches: Matches,
}

/// An event that is nothing but a payload.
struct Payload<'p>(&'p [u8]);

impl Event for Payload<'_> {
    fn topic(&self) -> &str {
        TOPIC
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, _name: &str) -> Value<'_> {
        Value::Missing
    }

    fn payload(&self) -> Option<&[u8]> {
        Some(self.0)
    }
}

impl Matcher for VeltrixMatcher {
    fn matches(&mut self, event: &[u8], out: &mut Vec<u32>) {
        out.clear();
        // All events have the type of their source, so that none is unreadable.
        if let Some(table) = &self.table
            && table.matches(&Payload(event), &mut self.matches).is_ok()
        {
            out.extend(self.matches.routes().iter().map(|route| route.get() as u32));
        }
    }

    fn prefetch(&self, event: &[u8]) {
        if let Some(table) = &self.table {
            table.prefetch(&Payload(event));
        }
    }
}

impl Compile for Veltrix {
    type Matcher = VeltrixMatcher;

    fn compile(&mut self, rules: &[Rule]) -> Result<VeltrixMatcher, Vec<Refusal>> {
        let table = match rules {
            [] => None,
            _ => match self.compiler.compile(&route_map(rules)) {
                Ok(table) => Some(table),
                Err(together) => return Err(self.blame(rules, &together)),
            },
        };
        Ok(VeltrixMatcher { table, matches: Matches::new() })
    }

    fn recycle(&mut self, matcher: VeltrixMatcher) {
        matcher.table.into_iter().for_each(|table| self.compiler.recycle(table));
    }

    fn memory_bytes(matcher: &VeltrixMatcher) -> Option<usize> {
        Some(matcher.table.as_ref().map_or(0, RouteTable::memory_bytes))
    }
}

impl Veltrix {
    /// The rules that are refused alone, too. A refusal tells of a limited number of routes only, so that each rule is asked.
    fn blame(&mut self, rules: &[Rule], together: &Refused) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            match self.compiler.compile(&route_map(std::slice::from_ref(rule))) {
                Ok(table) => self.compiler.recycle(table),
                Err(alone) => refusals.push(Refusal { rule: Some(place), reason: reasons(&alone, usize::MAX) }),
            }
        }
        if refusals.is_empty() {
            refusals.push(Refusal { rule: None, reason: reasons(together, REASONS_TOLD) });
        }
        refusals
    }
}

/// With the names that a rule file has for what the RouteMap calls otherwise.
fn reasons(refused: &Refused, most: usize) -> String {
    let mut told: Vec<String> = refused
        .reasons
        .iter()
        .take(most)
        .map(|reason| {
            // Whoever tells of a refusal names the rule.
            let reason = Reason { route: None, ..reason.clone() }.to_string();
            let of_route = reason.strip_prefix("routes[0].").unwrap_or(&reason);
            let condition = [("when.event_pattern", "pattern"), ("when.cel", "when")];
            let found = condition.iter().find_map(|(ours, theirs)| Some((theirs, of_route.strip_prefix(ours)?)));
            found.map_or_else(|| of_route.to_owned(), |(name, rest)| format!("`{name}`{rest}"))
        })
        .collect();
    let untold = refused.reasons.len() - told.len() + refused.omitted;
    if untold > 0 {
        told.push(format!("and {untold} more"));
    }
    told.join("; ")
}

fn route_map(rules: &[Rule]) -> Vec<u8> {
    let route = |rule: &Rule| v1::Route {
        id: rule.id.clone(),
        types: Some(v1::EventTypes { any: true, ..Default::default() }),
        when: Some(v1::Condition {
            kind: Some(match &rule.condition {
                Condition::Pattern(text) => condition::Kind::EventPattern(text.clone()),
                Condition::When(text) => condition::Kind::Cel(text.clone()),
            }),
        }),
        to: vec![DESTINATION.into()],
        ..Default::default()
    };
    v1::RouteMap {
        name: "rules".into(),
        destinations: vec![v1::Destination {
            id: DESTINATION.into(),
            kind: Some(destination::Kind::Kafka(v1::KafkaTopic { topic: DESTINATION.into(), ..Default::default() })),
        }],
        sources: vec![v1::Source {
            topic: TOPIC.into(),
            event_type: Some(v1::Origin { kind: Some(origin::Kind::Constant("event".into())) }),
            ..Default::default()
        }],
        routes: rules.iter().map(route).collect(),
        ..Default::default()
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, pattern: &str) -> Rule {
        Rule { id: id.into(), line: 1, condition: Condition::Pattern(pattern.into()) }
    }

    #[test]
    fn no_rules_match_nothing() {
        let mut matcher = Veltrix::default().compile(&[]).unwrap();
        let mut out = vec![7];
        matcher.matches(b"{}", &mut out);
        assert!(out.is_empty());
        assert_eq!(Veltrix::memory_bytes(&matcher), Some(0));
    }

    #[test]
    fn a_text_that_is_no_pattern_is_blamed_alone() {
        let refusals = Veltrix::default().compile(&[rule("a", "[1,"), rule("b", "[2,")]).err().unwrap();
        assert_eq!(refusals.iter().map(|refusal| refusal.rule).collect::<Vec<_>>(), [Some(0), Some(1)]);
        assert!(refusals[0].reason.starts_with("`pattern`: "), "{}", refusals[0].reason);
        let text = Rule { condition: Condition::When("payload.a >".into()), ..rule("a", "") };
        let refusals = Veltrix::default().compile(&[text]).err().unwrap();
        assert!(refusals[0].reason.starts_with("`when`: "), "{}", refusals[0].reason);
    }

    #[test]
    fn a_fault_of_all_rules_together_is_told_as_such() {
        let refused = Refused { reasons: Vec::new(), omitted: 3 };
        assert_eq!(reasons(&refused, REASONS_TOLD), "and 3 more");
    }
}
