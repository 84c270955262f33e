//! What the demonstration knows of its players and their events don't carry: a reference table, and a route that asks for it.
//!
//! The table is a file as anyone would write one, and the engine reads it like any other. [`level_of`] says what it holds, so that the
//! audit can judge where an event belongs without the engine's help. One type of event in nine asks for it, one event in thirty: a
//! lookup is for what few events need.

use super::game::PLAYERS;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use tempfile::TempDir;
use veltrix_proto::v1::{
    Condition, EventTypes, Lookup, LookupKey, RecordPart, ReferenceTable, Route, RouteMap, condition, lookup,
    lookup_key, reference_table,
};

const LOOKUP: &str = "player";

/// The players' file, as long as this lives.
#[derive(Debug)]
pub(super) struct Players {
    directory: TempDir,
}

impl Players {
    /// Writes the file.
    pub(super) fn write() -> io::Result<Players> {
        let players = Players { directory: tempfile::Builder::new().prefix("veltrix-dev-").tempdir()? };
        let mut lines = String::new();
        for (number, level) in (0..PLAYERS).filter_map(|number| Some((number, level_of(number)?))) {
            // Writing to a String does not fail.
            let _ = writeln!(lines, r#"{{"key": "player-{number:06}", "value": {{"level": {level}}}}}"#);
        }
        std::fs::write(players.file(), lines)?;
        Ok(players)
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("players.jsonl")
    }

    /// Adds the lookup, and a route to the last destination that depends on it: chests of players who are far.
    pub(super) fn add_to(&self, map: &mut RouteMap) {
        let origin = reference_table::Origin::File(self.file().display().to_string());
        map.lookups.push(Lookup {
            id: LOOKUP.to_owned(),
            key: Some(LookupKey { attribute: Some(lookup_key::Attribute::Part(RecordPart::Key.into())) }),
            source: Some(lookup::Source::Table(ReferenceTable { origin: Some(origin) })),
            cache: None,
        });
        map.routes.push(Route {
            id: "chests-of-masters".to_owned(),
            types: Some(EventTypes { exact: vec!["hunt.chest.opened".to_owned()], ..EventTypes::default() }),
            when: Some(Condition { kind: Some(condition::Kind::Cel(format!("lookup.{LOOKUP}.level >= 40"))) }),
            to: map.destinations.last().map(|destination| destination.id.clone()).into_iter().collect(),
            ..Route::default()
        });
    }
}

/// The level of a player of the game, from 1 to 50; one in ten is new and has none yet.
fn level_of(number: u64) -> Option<u64> {
    (!number.is_multiple_of(10)).then_some(1 + number * 7 % 50)
}

/// What the lookup of this id finds under a key.
pub(super) fn look_up(lookup: &str, key: &[u8]) -> Option<Vec<u8>> {
    let number = std::str::from_utf8(key).ok()?.strip_prefix("player-").filter(|number| number.len() == 6)?;
    let number = number.parse().ok().filter(|number| lookup == LOOKUP && *number < PLAYERS)?;
    Some(format!(r#"{{"level": {}}}"#, level_of(number)?).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use std::collections::HashMap;

    #[test]
    fn the_file_says_of_each_player_what_the_audit_goes_by() {
        let players = Players::write().unwrap();
        let text = std::fs::read_to_string(players.file()).unwrap();
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["key"].as_str().unwrap().to_owned(), line["value"].clone())
        };
        let lines: HashMap<String, serde_json::Value> = text.lines().map(line).collect();
        assert_eq!(lines.len() as u64, PLAYERS * 9 / 10);
        for number in 0..PLAYERS + 10 {
            let key = format!("player-{number:06}");
            let found = look_up("player", key.as_bytes());
            assert_eq!(found.map(|json| serde_json::from_slice(&json).unwrap()), lines.get(&key).cloned(), "{key}");
        }
        assert_eq!((look_up("other", b"player-000001"), look_up("player", b"player-1")), (None, None));
    }

    #[test]
    fn few_events_ask_for_it_and_some_of_them_are_a_masters() {
        let mut map = RouteMap::decode(crate::EMBEDDED_ROUTES).unwrap();
        Players::write().unwrap().add_to(&mut map);
        let table = veltrix_route_table::compile(&map).unwrap();
        let (mut out, mut answers) = (veltrix_route_table::Deliveries::new(), veltrix_route_table::Answers::new());
        let (game, mut event) = (super::super::game::Game::new(7, 42, 4), super::super::game::GameEvent::default());
        let (mut asked, mut masters) = (0, 0);
        for number in 0..100_000 {
            game.event(number, &mut event);
            table.route(&event, &mut out);
            let Some(need) = out.needs().next() else { continue };
            asked += 1;
            answers.clear();
            match look_up("player", need.key) {
                Some(json) => answers.found(need.lookup, &json),
                None => answers.not_found(need.lookup),
            }
            table.resume(&event, &answers, &mut out);
            let routes = out.list().iter().filter_map(|delivery| Some(table.route_id(delivery.route?)));
            masters += u32::from(routes.into_iter().any(|route| route == "chests-of-masters"));
        }
        assert!((2_000..5_000).contains(&asked), "{asked} of 100000 events");
        assert!(masters > asked / 10 && masters < asked / 3, "{masters} of {asked} events");
    }
}
