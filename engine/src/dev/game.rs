//! The events of a treasure hunt: event n of a seed, as a pure function.
//!
//! The storm sends them and the audit recomputes them, so that the audit can tell where an event belongs without having read it.
//! Start at [`Game::event`]. Types and headers are those that the routes of `proto/routes/treasure_hunt.proto` ask for, and some
//! that no route wants.

use crate::audit::EventId;
use std::fmt::Write as _;
use veltrix_route_table::{Event, Value};

/// The topic that the example's map names as its source.
pub const SOURCE_TOPIC: &str = "game-events";

/// How many there are: those from `player-000000` on.
pub(super) const PLAYERS: u64 = 10_000;

/// Types with how many of 1,000 events are of them.
const TYPES: [(&str, u64); 9] = [
    ("input.player.moved", 700),
    ("input.button.clicked", 100),
    ("hunt.clue.found", 60),
    ("hunt.chest.opened", 35),
    ("hunt.hint.bought", 25),
    ("hunt.team.joined", 15),
    ("hunt.started", 5),
    ("chat.message.sent", 50),
    ("system.heartbeat", 10),
];

const HUNTS: [&str; 8] =
    ["hunt-live", "hunt-lisbon", "hunt-kyoto", "hunt-oslo", "hunt-quito", "hunt-hanoi", "hunt-accra", "hunt-perth"];

/// Regions with how many of 100 players are there.
const REGIONS: [(&str, u64); 5] = [("eu", 45), ("us", 35), ("ap", 12), ("sa", 5), ("", 3)];

const CLIENTS: [(&str, u64); 4] = [("ios/7.2", 48), ("android/7.2", 46), ("web/7.1", 5), ("unknown/0", 1)];

/// A game of one run of the storm.
#[derive(Clone, Debug)]
pub struct Game {
    run: u32,
    seed: u64,
    partitions: u16,
}

/// One event of a [`Game`]. Made once and filled again and again, see [`Game::event`].
#[derive(Clone, Debug, Default)]
pub struct GameEvent {
    number: u64,
    random: u64,
    id: [u8; EventId::LEN],
    partition: u16,
    event_type: &'static str,
    hunt: &'static str,
    /// Empty: none.
    region: &'static str,
    client: &'static str,
    player: [u8; 13],
    session: Option<[u8; 12]>,
    sampled: bool,
    teleport: bool,
}

impl Game {
    /// `run` tells this game's events from those of others; `partitions` is how many the source has.
    pub fn new(run: u32, seed: u64, partitions: u16) -> Game {
        Game { run, seed, partitions: partitions.max(1) }
    }

    /// What the ids of this game's events carry.
    pub fn run(&self) -> u32 {
        self.run
    }

    /// In how many partitions its events go.
    pub fn partitions(&self) -> u16 {
        self.partitions
    }

    /// Makes `event` event `number`. The same for the same game, whenever and wherever.
    pub fn event(&self, number: u64, event: &mut GameEvent) {
        let random = mix(self.seed ^ mix(number));
        let player = random % PLAYERS;
        // What belongs to a player rather than to an event.
        let traits = mix(self.seed.rotate_left(32) ^ player);
        event.number = number;
        event.random = random;
        event.id = EventId { run: self.run, number }.to_text();
        event.partition = (player % u64::from(self.partitions)) as u16;
        event.event_type = pick(&TYPES, (random >> 16) % 1_000);
        event.hunt = HUNTS[(traits >> 48) as usize % HUNTS.len()];
        event.region = pick(&REGIONS, traits % 100);
        event.client = pick(&CLIENTS, (traits >> 8) % 100);
        event.player = *b"player-000000";
        write_digits(&mut event.player[7..], player);
        event.session = (!(traits >> 16).is_multiple_of(50)).then(|| {
            let mut session = *b"s-0000000000";
            write_digits(&mut session[2..], traits >> 24);
            session
        });
        event.sampled = (traits >> 40).is_multiple_of(16);
        event.teleport = event.event_type == TYPES[0].0 && (random >> 28).is_multiple_of(500);
    }
}

/// The last step of SplitMix64: every bit of the input reaches every bit of the output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The thing that `at`, counted through the weights, falls on.
fn pick(weighted: &[(&'static str, u64)], mut at: u64) -> &'static str {
    for (thing, weight) in weighted {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return thing,
        }
    }
    ""
}

fn write_digits(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl GameEvent {
    /// Where the storm sends it. All events of a player go to the same partition.
    pub fn partition(&self) -> u16 {
        self.partition
    }

    /// The record's headers, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        const NAMES: [&str; 10] = [
            "ce_specversion",
            "ce_id",
            "ce_source",
            "ce_type",
            "ce_tenant",
            "ce_region",
            "ce_client",
            "ce_session",
            "ce_sampled",
            "ce_teleport",
        ];
        NAMES.into_iter().filter_map(|name| Some((name, self.header(name).bytes()?)))
    }

    /// Writes the payload, JSON, over what is in `into`.
    pub fn write_payload(&self, into: &mut String) {
        into.clear();
        let player = std::str::from_utf8(&self.player).unwrap_or_default();
        let (a, b) = ((self.random >> 33) % 4_096, (self.random >> 45) % 4_096);
        // Writing to a String does not fail.
        let _ = match self.event_type {
            "input.player.moved" => write!(into, r#"{{"player_id":"{player}","x":{a},"y":{b}}}"#),
            "hunt.clue.found" => write!(
                into,
                r#"{{"hunt_id":"{}","player_id":"{player}","clue_id":"clue-{a}","points":{},"elapsed_ms":{b}}}"#,
                self.hunt,
                a % 100
            ),
            "hunt.chest.opened" => write!(
                into,
                r#"{{"hunt_id":"{}","player_id":"{player}","chest_id":"chest-{a}","coins":{b}}}"#,
                self.hunt
            ),
            "hunt.hint.bought" => {
                write!(into, r#"{{"hunt_id":"{}","player_id":"{player}","price":{}}}"#, self.hunt, a % 50)
            }
            _ => write!(into, r#"{{"player_id":"{player}","value":{a}}}"#),
        };
    }
}

impl Event for GameEvent {
    fn topic(&self) -> &str {
        SOURCE_TOPIC
    }

    fn key(&self) -> Value<'_> {
        Value::Bytes(&self.player)
    }

    fn header(&self, name: &str) -> Value<'_> {
        let text = |text: &'static str| Value::Bytes(text.as_bytes());
        match name {
            "ce_specversion" => text("1.0"),
            "ce_id" => Value::Bytes(&self.id),
            "ce_source" => text("/veltrix/dev"),
            "ce_type" => text(self.event_type),
            "ce_tenant" => text(self.hunt),
            "ce_region" if !self.region.is_empty() => text(self.region),
            "ce_client" => text(self.client),
            "ce_session" => self.session.as_ref().map_or(Value::Missing, |session| Value::Bytes(session)),
            "ce_sampled" => text(if self.sampled { "true" } else { "false" }),
            "ce_teleport" if self.teleport => text("true"),
            _ => Value::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn an_event_is_the_same_whenever_it_is_asked_for() {
        let game = Game::new(7, 42, 4);
        let (mut once, mut again) = (GameEvent::default(), GameEvent::default());
        for number in (0..10_000).chain([u64::MAX >> 20]) {
            game.event(number + 1, &mut again);
            game.event(number, &mut once);
            game.event(number, &mut again);
            assert_eq!(format!("{once:?}"), format!("{again:?}"));
            assert_eq!(EventId::parse(&once.id), Some(EventId { run: 7, number }));
        }
    }

    #[test]
    fn a_player_keeps_partition_hunt_and_session() {
        let game = Game::new(7, 42, 4);
        let mut event = GameEvent::default();
        let mut seen = HashMap::new();
        for number in 0..50_000 {
            game.event(number, &mut event);
            let traits = (event.partition, event.hunt, event.region, event.client, event.session, event.sampled);
            assert_eq!(*seen.entry(event.player).or_insert(traits), traits);
        }
        assert!(seen.len() > 9_000, "{} players", seen.len());
    }

    #[test]
    fn what_the_routes_ask_for_occurs_and_is_sometimes_missing() {
        let game = Game::new(7, 42, 4);
        let mut event = GameEvent::default();
        let mut types: HashMap<&str, u64> = HashMap::new();
        let mut headers: HashMap<&str, u64> = HashMap::new();
        let mut payload = String::new();
        for number in 0..100_000 {
            game.event(number, &mut event);
            *types.entry(event.event_type).or_default() += 1;
            event.headers().for_each(|(name, _)| *headers.entry(name).or_default() += 1);
            event.write_payload(&mut payload);
            serde_json::from_str::<serde_json::Value>(&payload).unwrap();
        }
        for (name, weight) in TYPES {
            let expected = weight * 100;
            assert!(types[name].abs_diff(expected) < expected / 5 + 100, "{name}: {} of {expected}", types[name]);
        }
        assert_eq!(headers["ce_id"], 100_000);
        for (name, range) in [("ce_session", 90_000..99_999), ("ce_region", 90_000..99_999), ("ce_teleport", 20..500)] {
            assert!(range.contains(&headers[name]), "{name}: {}", headers[name]);
        }
    }
}
