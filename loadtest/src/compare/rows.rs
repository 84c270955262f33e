//! What is compared: the rows of the table, each with its rules, its events and what is aimed for.

use crate::failure::Failure;
use crate::generate::citylots;
use crate::generate::shop::{Kind, Shop};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// When a row is run without being asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// Also by `--quick`.
    Quick,
    Usual,
    /// By `--all` only: some engines take minutes to load these rules, or gigabytes to hold them.
    Giant,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    /// The city lots, and the text of a rule file.
    City(&'static str),
    Shop(Kind, u64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    source: Source,
    pub(crate) tier: Tier,
    /// How many times faster than the best peer Veltrix is to be; `None`: it is only measured.
    pub(crate) target: Option<f64>,
    /// Rules for which quamina has a mode of its own to be fast.
    pub(crate) wildcards: bool,
}

/// The files of a row.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) rules: PathBuf,
    pub(crate) events: PathBuf,
    /// One rule that no event matches.
    pub(crate) extra: PathBuf,
}

/// Where a quamina can take the rules, and where only event-ruler can.
const CITY_TARGET: f64 = 6.0;
const CITY_TARGET_ALONE: f64 = 25.0;

macro_rules! city_rules {
    ($($name:literal: $target:expr),* $(,)?) => {
        [$(($name, include_str!(concat!("../../rules/citylots-", $name, ".jsonl")), $target)),*]
    };
}

/// All rows, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    let city = city_rules! {
        "exact": CITY_TARGET,
        "wildcard": CITY_TARGET,
        "prefix": CITY_TARGET,
        "prefix-eic": CITY_TARGET_ALONE,
        "suffix": CITY_TARGET,
        "suffix-eic": CITY_TARGET_ALONE,
        "equals-ignore-case": CITY_TARGET,
        "numeric": CITY_TARGET,
        "anything-but": CITY_TARGET,
        "anything-but-ic": CITY_TARGET_ALONE,
        "anything-but-prefix": CITY_TARGET_ALONE,
        "anything-but-suffix": CITY_TARGET_ALONE,
        "anything-but-wildcard": CITY_TARGET_ALONE,
        "complex-arrays": CITY_TARGET,
        "partial-combo": CITY_TARGET_ALONE,
        "combo": CITY_TARGET_ALONE,
    };
    let city = city.into_iter().map(|(name, rules, target)| Row {
        name: format!("citylots-{name}"),
        source: Source::City(rules),
        tier: Tier::Quick,
        target: Some(target),
        wildcards: name == "wildcard",
    });
    let shop = SHOP.into_iter().map(|(name, kind, rules, tier, target)| Row {
        name: format!("{name}-{rules}"),
        source: Source::Shop(kind, rules),
        tier,
        target,
        wildcards: kind == Kind::Wild,
    });
    city.chain(shop).collect()
}

const SHOP: [(&str, Kind, u64, Tier, Option<f64>); 18] = [
    ("exact", Kind::Exact, 1_800, Tier::Quick, Some(6.0)),
    ("exact", Kind::Exact, 100_000, Tier::Usual, Some(6.0)),
    ("exact", Kind::Exact, 1_000_000, Tier::Giant, Some(6.0)),
    ("router", Kind::Router, 1_800, Tier::Quick, Some(100.0)),
    ("router", Kind::Router, 50_000, Tier::Usual, Some(100.0)),
    ("router", Kind::Router, 1_000_000, Tier::Giant, Some(100.0)),
    ("routerT", Kind::RouterTypeFirst, 1_800, Tier::Quick, Some(9.0)),
    ("routerT", Kind::RouterTypeFirst, 50_000, Tier::Usual, Some(9.0)),
    ("numeric", Kind::Numeric, 1_800, Tier::Usual, None),
    ("numeric", Kind::Numeric, 50_000, Tier::Giant, None),
    ("numericT", Kind::NumericTypeFirst, 1_800, Tier::Usual, None),
    ("wild", Kind::Wild, 10, Tier::Quick, Some(6.0)),
    ("wild", Kind::Wild, 100, Tier::Quick, Some(6.0)),
    ("wild", Kind::Wild, 1_000, Tier::Usual, Some(6.0)),
    ("mix", Kind::Mix, 10, Tier::Quick, None),
    ("mix", Kind::Mix, 1_000, Tier::Quick, None),
    ("mix", Kind::Mix, 100_000, Tier::Usual, None),
    ("mix", Kind::Mix, 1_000_000, Tier::Giant, None),
];

/// The rows that were asked for: those of `names`, where a `*` at the end stands for the rest of a name, or those up to `tier`.
pub(crate) fn select(names: &[String], tier: Tier) -> Result<Vec<Row>, Failure> {
    let rows = all();
    if names.is_empty() {
        return Ok(rows.into_iter().filter(|row| row.tier <= tier).collect());
    }
    let is = |name: &str, row: &Row| match name.strip_suffix('*') {
        Some(start) => row.name.starts_with(start),
        None => row.name == name,
    };
    if let Some(unknown) = names.iter().find(|name| !rows.iter().any(|row| is(name, row))) {
        let known: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        return Err(Failure::UnknownRow { name: unknown.clone(), known: known.join(", ") });
    }
    Ok(rows.into_iter().filter(|row| names.iter().any(|name| is(name, row))).collect())
}

impl Row {
    /// Writes the row's rules and events into `dir`; the events of the city once for all its rows.
    pub(crate) fn write(&self, dir: &Path, events: Option<u64>) -> Result<Workload, Failure> {
        let rules = dir.join(format!("{}.rules.jsonl", self.name));
        let extra = dir.join(format!("{}.extra.jsonl", self.name));
        let workload = match self.source {
            Source::City(text) => {
                let city = Workload { rules, extra, events: dir.join("citylots.events.jsonl") };
                create(&city.rules, |out| out.write_all(text.as_bytes()))?;
                let nothing = r#"{"id":"for-nothing","pattern":{"properties":{"MAPBLKLOT":["no lot"]}}}"#;
                create(&city.extra, |out| out.write_all(nothing.as_bytes()))?;
                if !city.events.exists() {
                    let limit = events.map_or(usize::MAX, |events| events as usize);
                    create(&city.events, |out| citylots::write(out, limit))?;
                }
                city
            }
            Source::Shop(kind, count) => {
                let shop = Workload { rules, extra, events: dir.join(format!("{}.events.jsonl", self.name)) };
                let mut source = Shop::new(kind, count);
                create(&shop.rules, |out| source.write_rules(out))?;
                create(&shop.events, |out| source.write_events(out, events.unwrap_or(SHOP_EVENTS)))?;
                create(&shop.extra, |out| out.write_all(kind.rule_for_nothing().as_bytes()))?;
                shop
            }
        };
        Ok(workload)
    }

    /// Removes what [`Row::write`] wrote, but for the city's events.
    pub(crate) fn remove(&self, workload: &Workload) {
        let own_events = matches!(self.source, Source::Shop(..)).then_some(&workload.events);
        for file in [&workload.rules, &workload.extra].into_iter().chain(own_events) {
            // What can't be removed goes with the directory.
            let _ = std::fs::remove_file(file);
        }
    }
}

const SHOP_EVENTS: u64 = 100_000;

/// Under another name first, so that a file is whole or not there.
fn create(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let half = path.with_extension("half");
    let all = || {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&half)?);
        write(&mut out)?;
        out.flush()?;
        std::fs::rename(&half, path)
    };
    all().map_err(|source| Failure::unwritable(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Events, read_rules};
    use std::collections::HashSet;

    #[test]
    fn every_row_has_a_name_of_its_own_and_there_are_those_of_the_published_benchmarks() {
        let names: HashSet<String> = all().into_iter().map(|row| row.name).collect();
        assert_eq!(names.len(), 34);
        assert!(names.contains("citylots-anything-but-wildcard") && names.contains("router-1000000"));
    }

    #[test]
    fn giants_come_when_they_are_asked_for() {
        let names = |names: &[&str], tier| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            select(&names, tier).map(|rows| rows.into_iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[], Tier::Giant).unwrap().len(), 34);
        assert!(names(&[], Tier::Quick).unwrap().len() < names(&[], Tier::Usual).unwrap().len());
        assert!(!names(&[], Tier::Usual).unwrap().contains(&"router-1000000".to_owned()));
        assert_eq!(names(&["router-1000000"], Tier::Quick).unwrap(), ["router-1000000"]);
        assert_eq!(
            names(&["wild-*", "exact-1800"], Tier::Quick).unwrap(),
            ["exact-1800", "wild-10", "wild-100", "wild-1000"]
        );
        assert!(names(&["nothing"], Tier::Quick).unwrap_err().to_string().starts_with("no row is called `nothing`"));
    }

    #[test]
    fn the_files_of_a_row_hold_as_many_rules_and_events_as_they_should() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["citylots-combo", "router-1800", "mix-10"] {
            let row = &select(&[name.into()], Tier::Quick).unwrap()[0];
            let workload = row.write(dir.path(), Some(100)).unwrap();
            let rules = match row.source {
                Source::City(_) => 45,
                Source::Shop(_, rules) => rules,
            };
            assert_eq!(read_rules(&workload.rules).unwrap().len() as u64, rules, "{name}");
            assert_eq!(read_rules(&workload.extra).unwrap().len(), 1, "{name}");
            assert_eq!(Events::read(&workload.events, usize::MAX).unwrap().len(), 100, "{name}");
            row.remove(&workload);
            assert!(!workload.rules.exists() && !workload.extra.exists());
        }
    }
}
