//! A matcher for tests of everything around a matcher: rules with one field and exact numbers or texts, read by serde_json.

use crate::input::{Condition, Events, Rule, read_rules};
use crate::matcher::{Compile, Matcher, Refusal};
use serde_json::Value;
use std::io::Write;

pub(crate) struct StandIn;

pub(crate) struct StandInMatcher(Vec<(String, Vec<Value>)>);

impl Matcher for StandInMatcher {
    fn matches(&mut self, event: &[u8], out: &mut Vec<u32>) {
        let event: Value = serde_json::from_slice(event).unwrap();
        out.clear();
        out.extend(
            (0..).zip(&self.0).filter(|(_, (field, values))| values.contains(&event[field])).map(|(place, _)| place),
        );
    }
}

impl Compile for StandIn {
    type Matcher = StandInMatcher;

    fn compile(&mut self, rules: &[Rule]) -> Result<StandInMatcher, Vec<Refusal>> {
        let (mut compiled, mut refusals) = (Vec::new(), Vec::new());
        for (place, rule) in rules.iter().enumerate() {
            match field_and_values(rule) {
                Ok(rule) => compiled.push(rule),
                Err(reason) => refusals.push(Refusal { rule: Some(place), reason }),
            }
        }
        if refusals.is_empty() { Ok(StandInMatcher(compiled)) } else { Err(refusals) }
    }

    fn recycle(&mut self, _: StandInMatcher) {}

    fn memory_bytes(_: &StandInMatcher) -> Option<usize> {
        Some(1_000)
    }
}

fn field_and_values(rule: &Rule) -> Result<(String, Vec<Value>), String> {
    let Condition::Pattern(text) = &rule.condition else { return Err("only patterns".into()) };
    let pattern: serde_json::Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (field, values) = pattern.into_iter().next().ok_or("no field")?;
    let Value::Array(values) = values else { return Err("no list".into()) };
    Ok((field, values))
}

/// One that every event of [`events`] matches, and one that each tenth does.
pub(crate) fn rules() -> Vec<Rule> {
    let lines =
        "{\"id\":\"every\",\"pattern\":{\"kind\":[\"event\"]}}\n{\"id\":\"tenth\",\"pattern\":{\"digit\":[0]}}\n";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(lines.as_bytes()).unwrap();
    read_rules(file.path()).unwrap()
}

pub(crate) fn events(count: usize) -> Events {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for event in 0..count {
        writeln!(file, r#"{{"kind":"event","digit":{}}}"#, event % 10).unwrap();
    }
    Events::read(file.path(), usize::MAX).unwrap()
}
