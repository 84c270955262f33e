//! What lookups mean for an event, case by case. `tests/reference.rs` holds the same against a naive reading of maps of all sorts.

#[path = "support/text_format.rs"]
mod text_format;

use std::time::Duration;
use text_format::route_map;
use veltrix_route_table::{
    Answers, Deliveries, Event, Lookup, LookupCache, LookupSource, Matches, RouteTable, Value, Verdict, compile,
};

struct Clue {
    player: Option<Vec<u8>>,
    payload: String,
}

impl Event for Clue {
    fn topic(&self) -> &str {
        "game-events"
    }

    fn key(&self) -> Value<'_> {
        self.player.as_deref().map_or(Value::Missing, Value::Bytes)
    }

    fn header(&self, name: &str) -> Value<'_> {
        if name == "ce_type" { Value::Bytes(b"hunt.clue.found") } else { Value::Missing }
    }

    fn payload(&self) -> Option<&[u8]> {
        Some(self.payload.as_bytes())
    }
}

fn clue(payload: &str) -> Clue {
    Clue { player: Some(b"p7".to_vec()), payload: payload.to_owned() }
}

/// A table with lookups of the player by the key and of the shard by a field, and a route for each condition, to a destination of its
/// number. The first route asks for a dead letter when it can't be decided.
fn table(conditions: &[&str]) -> RouteTable {
    let route = |(n, when): (usize, &&str)| {
        let on_absent = if n == 0 { "ON_ABSENT_DEAD_LETTER" } else { "ON_ABSENT_NO_MATCH" };
        format!(
            r#"destinations {{ id: "d{n}" kafka {{ topic: "t{n}" }} }}
               routes {{ id: "r{n}" types {{ any: true }} to: "d{n}" when {{ {when} }} on_absent: {on_absent} }}"#
        )
    };
    table_of(&conditions.iter().enumerate().map(route).collect::<String>())
}

/// A table with the same lookups.
fn table_of(routes: &str) -> RouteTable {
    compile(&route_map(&format!(
        r#"name: "m"
           lookups {{ id: "player" key {{ part: RECORD_PART_KEY }} table {{ kafka {{ topic: "players" }} }} }}
           lookups {{ id: "shard" key {{ field {{ names: "shard" }} }}
                      http {{ url: "https://shards/of/{{key}}?v=2" timeout_ms: 50 }} cache {{ entries: 9 ttl_ms: 5 }} }}
           lookups {{ id: "team" key {{ header: "team" }} grpc {{ endpoint: "http://teams:9000" timeout_ms: 50 }} }}
           {routes}"#
    )))
    .unwrap()
}

fn cel(text: &str) -> String {
    format!("cel: {text:?}")
}

/// What lookups say, by name; what is not named is not found.
type Known<'k> = &'k [(&'k str, Option<&'k str>)];

/// Routes an event, and tells each question as `lookup:key`, then who gets it: routes, and `?` for a dead letter.
fn run(table: &RouteTable, event: &Clue, known: Known<'_>) -> String {
    let (mut out, mut answers, mut told) = (Deliveries::new(), Answers::new(), Vec::new());
    table.route(event, &mut out);
    while out.verdict() == Verdict::Waiting {
        for need in out.needs() {
            let id = table.lookups().nth(need.lookup.get()).unwrap().id;
            told.push(format!("{id}:{}", String::from_utf8_lossy(need.key)));
            match known.iter().find(|(known, _)| *known == id) {
                Some((_, Some(json))) => answers.found(need.lookup, json.as_bytes()),
                Some((_, None)) => answers.failed(need.lookup),
                None => answers.not_found(need.lookup),
            }
        }
        table.resume(event, &answers, &mut out);
    }
    told.extend(out.list().iter().map(|delivery| table.route_id(delivery.route.unwrap()).to_owned()));
    told.extend(out.undecided().map(|route| format!("{}?", table.route_id(route))));
    told.join(" ")
}

#[test]
fn an_answer_is_a_value_of_any_type_with_places_in_it() {
    let conditions = [
        "lookup.player.region == 'eu'",
        "lookup.player.at.x > 2",
        "lookup.player == 'vip'",
        "lookup.player == null",
        "has(lookup.player)",
        "has(lookup.player.region)",
    ];
    let table = table(&conditions.map(cel).each_ref().map(String::as_str));
    let cases = [
        (r#"{"region": "eu"}"#, "r0 r4 r5"),
        (r#" {"at": {"x": 3.0, "y": []}, "region": null} "#, "r1 r4 r5"),
        (r#""v\u0069p""#, "r2 r4 r0?"),
        ("null", "r3 r4 r0?"),
        (r#"[{"region": "eu"}]"#, "r4 r0?"),
        ("7", "r4 r0?"),
    ];
    for (answer, expected) in cases {
        let found = run(&table, &clue("{}"), &[("player", Some(answer))]);
        assert_eq!(found, format!("player:p7 {expected}"), "{answer}");
    }
}

#[test]
fn what_is_not_found_is_missing_and_what_fails_is_absent_whatever_on_missing_says() {
    let leaf = |on_missing: &str| {
        format!(
            r#"predicate {{ lookup {{ lookup: "player" names: "a" }} equals {{ text: "x" }} on_missing: {on_missing} }}"#
        )
    };
    let conditions = ["ON_MISSING_TRUE", "ON_MISSING_TRUE", "ON_MISSING_FALSE", "ON_MISSING_ABSENT"].map(leaf);
    let table = table(&conditions.each_ref().map(String::as_str));
    let event = clue("{}");
    assert_eq!(run(&table, &event, &[]), "player:p7 r0 r1");
    assert_eq!(run(&table, &event, &[("player", Some("{}"))]), "player:p7 r0 r1");
    assert_eq!(run(&table, &event, &[("player", None)]), "player:p7 r0?");
    // No JSON, and more than an answer may have.
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    for failure in ["", "{", r#"{"a": x}"#, "{} {}", &long] {
        assert_eq!(run(&table, &event, &[("player", Some(failure))]), "player:p7 r0?", "{failure:.9}");
    }
}

#[test]
fn an_event_without_a_key_is_not_looked_up_and_its_answer_is_missing() {
    let conditions = [cel("has(lookup.shard)"), cel("!has(lookup.shard)")];
    let table = table(&conditions.each_ref().map(String::as_str));
    let long = format!(r#"{{"shard": "{}"}}"#, "x".repeat(1_025));
    for payload in
        ["{}", r#"{"shard": null}"#, r#"{"shard": {}}"#, r#"{"shard": true}"#, r#"{"shard": [1]}"#, "", &long]
    {
        assert_eq!(run(&table, &clue(payload), &[("shard", Some("1"))]), "r1", "{payload:.20}");
    }
    for (shard, key) in [(r#""é\n""#, "é\n"), ("7.0", "7.0"), (r#""""#, "")] {
        let payload = format!(r#"{{"shard": {shard}}}"#);
        assert_eq!(run(&table, &clue(&payload), &[("shard", Some("1"))]), format!("shard:{key} r0"), "{payload}");
    }
}

#[test]
fn nothing_is_asked_for_that_makes_no_difference() {
    let cases = [
        ("lookup.player.a == 1 && payload.n == 1", "{}", ""),
        ("lookup.player.a == 1 && payload.n == 1", r#"{"n": 2}"#, ""),
        ("lookup.player.a == 1 && payload.n == 1", r#"{"n": 1}"#, "player:p7"),
        ("lookup.player.a == 1 || payload.n == 1", r#"{"n": 1}"#, "r1"),
        ("lookup.player.a == 1 || payload.n == 1", r#"{"n": 2}"#, "player:p7"),
        ("!(lookup.player.a == 1 && payload.n == 1)", r#"{"n": 2}"#, "r1"),
        ("(lookup.player.a == 1 || payload.n == 1) && payload.n == 2", r#"{"n": 1}"#, ""),
        // Where the payload has no list, `exists` is an error: whatever the lookup says, the route doesn't match.
        ("payload.l.exists(x, x == lookup_) && lookup.player.a == 1", "{}", ""),
        ("payload.l.exists(x, x == 1 && lookup.player.a == 1)", r#"{"l": [2, 3]}"#, ""),
        ("payload.l.exists(x, x == 1 && lookup.player.a == 1)", r#"{"l": [2, 1]}"#, "player:p7"),
    ];
    for (text, payload, expected) in cases {
        // Alone under their type and in a group, there beside a route that matches nothing.
        let condition = cel(&text.replace("lookup_", "1"));
        let never = cel("type == 'never'");
        let with_others = table(&[&never, &condition, &never]);
        assert_eq!(run(&with_others, &clue(payload), &[]), expected, "{text} of {payload}");
    }
}

#[test]
fn a_second_lookup_is_made_only_if_the_first_one_leaves_it_to_it() {
    let never = cel("type == 'never'");
    let shard_first = cel("lookup.shard.open && lookup.player.region == 'eu'");
    let table_of_both = table(&[&never, &shard_first]);
    let event = clue(r#"{"shard": "s1"}"#);
    let open = ("shard", Some(r#"{"open": true}"#));
    assert_eq!(run(&table_of_both, &event, &[]), "shard:s1");
    assert_eq!(run(&table_of_both, &event, &[("shard", None)]), "shard:s1");
    assert_eq!(run(&table_of_both, &event, &[open]), "shard:s1 player:p7");
    let eu = ("player", Some(r#"{"region": "eu"}"#));
    assert_eq!(run(&table_of_both, &event, &[open, eu]), "shard:s1 player:p7 r1");
    // Several routes: what each of them asks for first is asked for at once.
    let player_first = cel("lookup.player.region == 'eu' && lookup.shard.open");
    let table_of_routes = table(&[&never, &shard_first, &player_first]);
    assert_eq!(run(&table_of_routes, &event, &[open, eu]), "player:p7 shard:s1 r1 r2");
}

#[test]
fn the_first_lookup_that_is_asked_for_is_one_that_can_make_the_condition_true() {
    // The second part can't be true any more, nor can the first one alone make it so.
    let text = "(lookup.shard.open && payload.n == 1) || lookup.player.region == 'eu'";
    let table = table(&[&cel("type == 'never'"), &cel(text)]);
    let event = clue(r#"{"shard": "s1"}"#);
    assert_eq!(run(&table, &event, &[("player", Some(r#"{"region": "us"}"#))]), "player:p7");
}

/// Routes of one exclusive group, in the order in which they are asked.
fn exclusive(routes: &[(&str, &str)]) -> RouteTable {
    let route = |(n, (more, when)): (usize, &(&str, &str))| {
        format!(
            r#"routes {{ id: "r{n}" types {{ any: true }} to: "d" when {{ cel: {when:?} }}
               exclusive {{ group: "g" {more} }} }}"#
        )
    };
    let routes: String = routes.iter().enumerate().map(route).collect();
    table_of(&format!(r#"destinations {{ id: "d" kafka {{ topic: "t" }} }} {routes}"#))
}

#[test]
fn of_an_exclusive_group_nothing_is_looked_up_that_only_routes_behind_a_match_ask_for() {
    const YES: &str = "type != 'never'";
    const NO: &str = "type == 'never'";
    let (player, shard) = (("", "lookup.player.a == 1"), ("", "lookup.shard.b == 2"));
    let event = clue(r#"{"shard": "s1"}"#);
    let a = ("player", Some(r#"{"a": 1}"#));
    let b = ("shard", Some(r#"{"b": 2}"#));
    type Case<'c> = (&'c [(&'c str, &'c str)], Known<'c>, &'c str);
    let cases: [Case<'_>; 13] = [
        (&[("", YES), player], &[a], "r0"),
        (&[("", NO), player], &[a], "player:p7 r1"),
        (&[player, ("", YES)], &[a], "player:p7 r0"),
        (&[player, ("", YES)], &[], "player:p7 r1"),
        (&[player, shard], &[a, b], "player:p7 r0"),
        (&[player, shard], &[b], "player:p7 shard:s1 r1"),
        (&[player, ("", YES), shard], &[], "player:p7 r1"),
        (&[("continues: true", YES), player], &[a], "player:p7 r0"),
        (&[("continues: true", "lookup.player.a == 1"), shard], &[a, b], "player:p7 shard:s1 r0"),
        (&[("default: true", "lookup.player.a == 1"), ("", YES)], &[a], "r1"),
        (&[("default: true", "lookup.player.a == 1"), ("continues: true", YES)], &[a], "r1"),
        (&[("default: true", "lookup.player.a == 1"), ("continues: true", shard.1)], &[a, b], "shard:s1 r1"),
        (&[("default: true", "lookup.player.a == 1"), ("continues: true", shard.1)], &[a], "shard:s1 player:p7 r0"),
    ];
    for (routes, known, expected) in cases {
        assert_eq!(run(&exclusive(routes), &event, known), expected, "{routes:?} with {known:?}");
    }
}

#[test]
fn answers_may_come_one_after_the_other_and_are_not_asked_for_again() {
    let table = table(&[&cel("lookup.player.a == 1"), &cel("lookup.shard.b == 2")]);
    let event = clue(r#"{"shard": "s1"}"#);
    let (mut out, mut answers) = (Deliveries::new(), Answers::new());
    table.route(&event, &mut out);
    let needed = |out: &Deliveries| out.needs().map(|need| need.lookup).collect::<Vec<_>>();
    let [player, shard] = needed(&out)[..] else { panic!("both are needed") };
    answers.found(shard, br#"{"b": 2}"#);
    table.resume(&event, &answers, &mut out);
    assert_eq!((needed(&out), out.verdict()), (vec![player], Verdict::Waiting));
    // Nothing came since.
    table.resume(&event, &answers, &mut out);
    assert_eq!((needed(&out), out.verdict()), (vec![player], Verdict::Waiting));
    answers.not_found(player);
    table.resume(&event, &answers, &mut out);
    assert_eq!((needed(&out), out.verdict()), (vec![], Verdict::Routed));
    let found = (out.list().len(), out.undecided());
    // What is decided stays as it is.
    table.resume(&event, &answers, &mut out);
    assert_eq!((out.list().len(), out.undecided()), found);
}

#[test]
fn an_event_that_was_left_waiting_leaves_nothing_to_the_next_one() {
    let waiting = table(&[&cel("lookup.player.a == 1")]);
    let plain = table(&[&cel("type == 'hunt.clue.found'")]);
    let mut out = Deliveries::new();
    waiting.route(&clue("{}"), &mut out);
    assert_eq!(out.needs().count(), 1);
    plain.route(&clue("{}"), &mut out);
    assert_eq!((out.needs().count(), out.verdict(), out.list().len()), (0, Verdict::Routed, 1));
}

#[test]
fn matches_tell_which_routes_wait_for_lookups() {
    let conditions = [
        cel("lookup.player.a == 1"),
        cel("payload.n == 1 && has(payload.n)"),
        cel("payload.n == 1 || lookup.player.a == 1"),
    ];
    let table = table(&conditions.each_ref().map(String::as_str));
    let mut out = Matches::new();
    let mut told = |payload: &str| {
        table.matches(&clue(payload), &mut out).unwrap();
        [out.routes(), out.undecided(), out.waiting()]
            .map(|routes| routes.iter().map(|route| route.get()).collect::<Vec<_>>())
    };
    assert_eq!(told(r#"{"n": 1}"#), [vec![1, 2], vec![], vec![0]]);
    assert_eq!(told("{}"), [vec![], vec![], vec![0, 2]]);
}

#[test]
fn an_explanation_tells_what_has_to_be_looked_up_and_what_was_found() {
    let conditions = [
        cel("payload.n > 1 && lookup.player.region == 'eu'"),
        cel("lookup.player.level >= 8 || lookup.shard.open == true"),
        cel("!(lookup.player.region == 'us') && payload.n == 1"),
    ];
    let table = table(&conditions.each_ref().map(String::as_str));
    let event = clue(r#"{"n": 2, "shard": "s1"}"#);
    let first = table.explain(&event);
    assert_eq!(first.needs, [("player".to_owned(), "p7".to_owned())]);
    assert_eq!(
        first.to_string(),
        "type hunt.clue.found (header `ce_type`), no tenant\n\
         where it goes depends on lookup player of p7\n\
         ? r0: lookup.player.region == 'eu': has to be looked up, in player under p7\n\
         ? r1: lookup.player.level >= 8: has to be looked up, in player under p7\n\
         - r2: payload.n == 1: payload.n is 2"
    );
    let mut answers = Answers::new();
    let lookups: Vec<_> = {
        let mut out = Deliveries::new();
        table.route(&event, &mut out);
        out.needs().map(|need| need.lookup).collect()
    };
    answers.found(lookups[0], br#"{"region": "eu", "level": 7}"#);
    let second = table.explain_with(&event, &answers);
    assert_eq!(second.needs, [("shard".to_owned(), "s1".to_owned())]);
    let text = second.to_string();
    for line in
        ["+ r0: wants it", "? r1: lookup.shard.open == true: has to be looked up, in shard under s1", "- r2: payload.n"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    answers.failed(lookups[0]);
    let text = table.explain_with(&event, &answers).to_string();
    assert!(text.contains("r0: neither true nor false, which makes a dead letter: "), "{text}");
    assert!(text.contains("lookup.player.region == 'eu': lookup player has failed"), "{text}");
}

#[test]
fn a_table_says_where_answers_come_from() {
    let table = table(&[&cel("has(payload.n)")]);
    let lookups: Vec<_> = table.lookups().collect();
    let cache = LookupCache { entries: 9, ttl: Duration::from_millis(5), negative_ttl: Duration::ZERO };
    let timeout = Duration::from_millis(50);
    let expected = [
        Lookup { id: "player", source: LookupSource::Topic("players"), cache: None },
        Lookup {
            id: "shard",
            source: LookupSource::Http { before: "https://shards/of/", after: "?v=2", timeout },
            cache: Some(cache),
        },
        Lookup { id: "team", source: LookupSource::Grpc { endpoint: "http://teams:9000", timeout }, cache: None },
    ];
    assert_eq!(lookups, expected);
}
