//! Reads against simpler ones, at every level that this processor has, with and without a memo.

mod reference;
mod tree;
mod validate;

use super::elements::elements_at;
use super::kernel::{Job, Kernel, Level};
use super::memo::Recalled;
use super::*;
use proptest::prelude::*;
use reference::{Answer, Path};
use tree::{Style, Tree};

fn plans(paths: &[Path]) -> Plans {
    let mut plans = Plans::default();
    // One before it, so that nothing is right only because it is the first.
    plans.add([Wanted { names: ["zzz"], through_arrays: false }]);
    plans.add(
        paths
            .iter()
            .map(|(names, through)| Wanted { names: names.iter().map(String::as_str), through_arrays: *through }),
    );
    plans
}

const PLAN: PlanIndex = PlanIndex(1);

fn path(names: &[&str], through: bool) -> Path {
    (names.iter().map(|name| (*name).to_owned()).collect(), through)
}

fn answer(reader: &mut Reader, plans: &Plans, payload: &[u8], fields: usize) -> Answer {
    // In memory of its own, so that a byte beyond it is a byte too many for Miri and the sanitizers.
    let payload: Box<[u8]> = payload.into();
    reader.read(plans, PLAN, &payload);
    let values: Vec<Vec<Found>> = (0..fields as u32).map(|field| reader.values(field).collect()).collect();
    for (field, values) in (0..).zip(&values) {
        assert_eq!(reader.first(field), values.first().copied());
    }
    Answer { values, crossed_array: reader.crossed_array() }
}

/// Readers of every kind.
fn readers() -> Vec<Reader> {
    let kinds = Level::all().flat_map(|level| [true, false].map(|remember| Reader { remember, ..Reader::at(level) }));
    kinds.collect()
}

/// All readers say the same of all payloads, and again when they have seen them, and it is what the reference says.
fn check(paths: &[Path], payloads: &[Vec<u8>]) {
    let plans = plans(paths);
    for reader in &mut readers() {
        for payload in payloads.iter().chain(payloads) {
            let expected = reference::read(paths, payload);
            let found = answer(reader, &plans, payload, paths.len());
            assert_eq!(found, expected, "{:?} of {:?}", reader.level, String::from_utf8_lossy(payload));
        }
    }
}

/// Whether the memo answers for a payload.
fn is_known(reader: &mut Reader, plans: &Plans, payload: &[u8]) -> bool {
    struct Ask<'a>(&'a mut Reader, &'a Plans, &'a [u8]);
    impl Job for Ask<'_> {
        type Output = bool;
        fn run<K: Kernel>(self, kernel: K) -> bool {
            self.0.values.begin(self.1.plan(PLAN).unwrap().fields);
            matches!(self.0.memo.recall(kernel, (self.1, PLAN), self.2, &mut self.0.values), Recalled::Known)
        }
    }
    reader.level.run(Ask(reader, plans, payload))
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: if cfg!(miri) { 2 } else { 512 }, failure_persistence: None, ..ProptestConfig::default() }
}

/// Bytes where mistakes hide.
fn nasty() -> impl Strategy<Value = u8> {
    prop_oneof![6 => prop::sample::select(b"\"\\:,{}[] \n0-.eEnta\x00\x0c\x1a\xef\xff".to_vec()), 1 => any::<u8>()]
}

/// Where, what to do (put, take away, replace), with what.
fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, nasty()), 0..6)
}

fn mutate(payload: &mut Vec<u8>, mutations: &[(prop::sample::Index, u8, u8)]) {
    for (place, what, byte) in mutations {
        let at = place.index(payload.len() + 1);
        match what {
            0 => payload.insert(at, *byte),
            _ if at == payload.len() => {}
            1 => drop(payload.remove(at)),
            _ => payload[at] = *byte,
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_field_of_good_json_is_what_the_tree_says(object in tree::object(), paths in tree::paths(), style in tree::style()) {
        let payload = tree::write(&object, style);
        serde_json::from_slice::<serde::de::IgnoredAny>(&payload).unwrap();
        check(&paths, std::slice::from_ref(&payload));
        let answer = reference::read(&paths, &payload);
        for ((names, through), values) in paths.iter().zip(&answer.values) {
            let mut expected = Vec::new();
            object.field(names, *through, &mut expected);
            prop_assert_eq!(values.len(), expected.len());
            for (found, tree) in values.iter().zip(expected) {
                assert_is(*found, &payload, tree);
            }
        }
    }

    #[test]
    fn bytes_of_any_kind_are_read_as_the_reference_does(
        object in tree::object(),
        paths in tree::paths(),
        style in tree::style(),
        mutated in prop::collection::vec(mutations(), 1..4),
    ) {
        let payload = tree::write(&object, style);
        let mut payloads = vec![payload.clone()];
        payloads.extend(mutated.iter().map(|mutations| {
            let mut payload = payload.clone();
            mutate(&mut payload, mutations);
            payload
        }));
        check(&paths, &payloads);
    }

    #[test]
    fn noise_is_read_as_the_reference_does(noise in prop::collection::vec(nasty(), 0..200), paths in tree::paths()) {
        check(&paths, &[noise.clone(), [b"{".as_slice(), &noise].concat(), [b"{\"a\":".as_slice(), &noise].concat()]);
    }

    #[test]
    fn payloads_of_few_shapes_get_the_answers_of_walks(
        shapes in prop::collection::vec((tree::object(), tree::style()), 1..4),
        paths in tree::paths(),
        seed in any::<u64>(),
        length in 4usize..if cfg!(miri) { 6 } else { 40 },
        mutated in prop::collection::vec((any::<prop::sample::Index>(), mutations()), 0..4),
    ) {
        let mut random = Style { seed, space: 0, escape: 0 };
        let mut payloads: Vec<Vec<u8>> = (0..length)
            .map(|number| {
                let (object, style) = &shapes[number * 7 / 3 % shapes.len()];
                tree::write(&object.vary(&mut random), *style)
            })
            .collect();
        for (place, mutations) in &mutated {
            let at = place.index(payloads.len());
            mutate(&mut payloads[at], mutations);
        }
        check(&paths, &payloads);
    }

    #[test]
    fn elements_are_those_of_the_array(values in prop::collection::vec(tree::object(), 0..4), style in tree::style(), mutations in mutations()) {
        let all = values.into_iter().flat_map(|value| match value {
            Tree::Object(members) => members.into_iter().map(|(_, value)| value).collect(),
            other => vec![other],
        });
        let array = Tree::Array(all.collect());
        let payload = tree::write(&array, style);
        let start = payload.iter().position(|byte| *byte == b'[').unwrap();
        let mut behind = payload.clone();
        behind.extend(b",[]}]");
        for level in Level::all() {
            let found: Vec<Found> = elements_at(level, &behind).collect();
            let Tree::Array(expected) = &array else { unreachable!() };
            prop_assert_eq!(found.len(), expected.len());
            for (found, tree) in found.iter().zip(expected) {
                assert_is(*found, &behind, tree);
            }
            prop_assert_eq!(whole(&behind[start..]).unwrap(), payload[start..].trim_ascii_end());
        }
        let mut payload = payload;
        mutate(&mut payload, &mutations);
        let all: Vec<Vec<Found>> = Level::all().map(|level| elements_at(level, &payload).collect()).collect();
        prop_assert!(all.windows(2).all(|two| two[0] == two[1]));
    }
}

/// Whether what was found is this value, as serde_json reads it.
fn assert_is(found: Found, payload: &[u8], tree: &Tree) {
    let bytes = found.of(payload);
    let plain = tree::write(tree, Style { seed: 0, space: 0, escape: 0 });
    match tree {
        Tree::Word(word) => {
            assert_eq!(bytes, word.as_bytes());
            let kind = match word.as_str() {
                "null" => Kind::Null,
                "true" => Kind::True,
                "false" => Kind::False,
                _ => Kind::Number,
            };
            assert_eq!(found.kind(), kind);
        }
        Tree::Text(text) => {
            let mut meaning = Vec::new();
            unescape(bytes, &mut meaning).unwrap();
            assert_eq!(meaning, text.as_bytes());
            assert_eq!(found.kind(), Kind::Text { escaped: bytes.contains(&b'\\') });
        }
        Tree::Array(_) | Tree::Object(_) => {
            let mut stream =
                serde_json::Deserializer::from_slice(bytes).into_iter::<Box<serde_json::value::RawValue>>();
            let written = stream.next().unwrap().unwrap();
            assert_eq!(whole(bytes).unwrap(), written.get().as_bytes());
            let value: serde_json::Value = serde_json::from_str(written.get()).unwrap();
            assert_eq!(value, serde_json::from_slice::<serde_json::Value>(&plain).unwrap());
            assert_eq!(found.kind(), if value.is_array() { Kind::Array } else { Kind::Object });
        }
    }
}

fn texts(paths: &[Path], payload: &str) -> Vec<Vec<String>> {
    check(paths, &[payload.as_bytes().to_vec()]);
    let answer = reference::read(paths, payload.as_bytes());
    let of = |found: &Found| String::from_utf8_lossy(found.of(payload.as_bytes())).into_owned();
    answer.values.iter().map(|values| values.iter().map(of).collect()).collect()
}

#[test]
fn the_first_of_equal_keys_counts_also_if_it_is_written_with_escapes() {
    let paths = [path(&["a"], false), path(&["o", "b"], false)];
    assert_eq!(texts(&paths, r#"{"a":1,"a":2,"o":{"b":3},"o":{"b":4}}"#), [["1"], ["3"]]);
    assert_eq!(texts(&paths, r#"{"\u0061":1,"a":2,"o":7,"o":{"b":4}}"#), [vec!["1"], vec![]]);
    assert_eq!(texts(&paths, r#"{"o":{"c":1},"o":{"b":4},"a":null}"#), [vec!["null"], vec![]]);
}

#[test]
fn arrays_stand_for_their_elements_only_if_asked_to() {
    let paths = [path(&["p", "x"], false), path(&["p", "x"], true), path(&["p"], true), path(&["q"], false)];
    let payload = r#"{"p":[[{"x":1},[]],{"y":2,"x":[3,[4]]},5,{"x":{}}],"q":[1]}"#;
    let found = texts(&paths, payload);
    assert_eq!(found[0], Vec::<String>::new());
    assert_eq!(found[1][..3], ["1", "3", "4"]);
    assert!(found[1][3].starts_with("{}"));
    assert_eq!((found[2].len(), found[2][2].as_str()), (4, "5"));
    assert!(found[3][0].starts_with("[1]"));
    assert!(reference::read(&paths, payload.as_bytes()).crossed_array);
    assert_eq!(texts(&paths, r#"{"p":{"x":8}}"#)[..2], [["8"], ["8"]]);
}

#[test]
fn what_is_no_object_has_no_fields() {
    let paths = [path(&["a"], true)];
    for payload in
        ["", " ", "[{\"a\":1}]", "\u{feff}{\"a\":1}", "x{\"a\":1}", "\"{\\\"a\\\":1}\"", "null", "{", "}{\"a\":1}"]
    {
        assert_eq!(texts(&paths, payload), [Vec::<String>::new()], "{payload}");
    }
}

#[test]
fn a_field_may_lie_within_another() {
    let paths = [path(&["a"], false), path(&["a", "b"], false), path(&["a"], false)];
    let found = texts(&paths, r#"{"a":{"b":1}}"#);
    assert_eq!(found[1], ["1"]);
    assert_eq!(found[0], found[2]);
    assert!(found[0][0].starts_with(r#"{"b":1}"#));
}

#[test]
fn an_element_is_read_by_a_plan_of_its_own() {
    let payload = br#"{"items":[{"p":1},{"q":{"p":3}},{"p":4}],"p":5}"#;
    let mut plans = Plans::default();
    let items = plans.add([Wanted { names: ["items"], through_arrays: false }]);
    let price = plans.add([Wanted { names: ["p"], through_arrays: false }]);
    let (mut outer, mut inner) = (Reader::new(), Reader::new());
    outer.read(&plans, items, payload);
    let array = outer.first(0).unwrap().of(payload);
    let prices: Vec<_> = elements(array)
        .map(|element| {
            let object = element.of(array);
            inner.read(&plans, price, object);
            inner.first(0).map(|found| found.of(object))
        })
        .collect();
    assert_eq!(prices, [Some(b"1".as_slice()), None, Some(b"4")]);
}

#[test]
fn a_payload_of_a_known_shape_needs_no_walk() {
    let street = |lot: &str, street: &str, points: usize, x: &str| {
        let points = vec![r#"{"x":1.5,"y":[2]}"#; points].join(",");
        format!(
            r#"{{"type":"F","p":{{"lot":{lot},"street":"{street}"}},"g":{{"t":"P","c":[[{points}]],"f":{{"x":{x},"y":2}}}}}}"#
        )
    };
    let paths = [
        path(&["p", "street"], false),
        path(&["g", "f", "x"], false),
        path(&["g", "f", "q"], false),
        path(&["g", "c"], false),
    ];
    let plans = plans(&paths);
    for level in Level::all() {
        let mut reader = Reader::at(level);
        answer(&mut reader, &plans, street("\"1\"", "HYDE", 3, "-1.5").as_bytes(), 4);
        for (lot, name, points, x) in
            [("null", "", 0, "1"), ("\"a{\\\"\"", "x".repeat(200).as_str(), 90, "\"\\\\\""), ("7", "Z", 1, "null")]
        {
            let payload = street(lot, name, points, x);
            assert!(is_known(&mut reader, &plans, payload.as_bytes()), "{level:?} {payload}");
            assert_eq!(answer(&mut reader, &plans, payload.as_bytes(), 4), reference::read(&paths, payload.as_bytes()));
        }
        for other in [
            street("{}", "HYDE", 3, "1"),
            street("1", "HYDE", 3, "[]"),
            street("1,\"street\":\"FIRST\"", "HYDE", 3, "1"),
            street("1", "HYDE\",\"g\":\"1", 3, "1"),
            format!("x{}", street("1", "HYDE", 3, "1")),
        ] {
            assert!(!is_known(&mut reader, &plans, other.as_bytes()), "{level:?} {other}");
        }
    }
}

#[test]
fn new_plans_make_a_reader_forget() {
    let payload = br#"{"a":1,"b":2}"#;
    let mut plans = Plans::default();
    let mut reader = Reader::new();
    for (names, expected) in [("a", "1"), ("b", "2"), ("a", "1")] {
        plans.clear();
        let plan = plans.add([Wanted { names: [names], through_arrays: false }]);
        for _ in 0..3 {
            reader.read(&plans, plan, payload);
            assert_eq!(reader.first(0).unwrap().of(payload), expected.as_bytes());
        }
    }
    assert!(plans.memory_bytes() > 0 && reader.memory_bytes() > 0);
}

#[test]
fn a_thousand_fields_in_an_object_of_ten_thousand_keys_are_found() {
    let (keys, fields) = if cfg!(miri) { (60, 20) } else { (10_000, 4_096) };
    let paths: Vec<Path> = (0..fields).map(|number| path(&[&format!("key number {}", number * 2)], false)).collect();
    let members: Vec<String> = (0..keys).rev().map(|number| format!("\"key number {number}\":{number}")).collect();
    check(&paths, &[format!("{{{}}}", members.join(",")).into_bytes()]);
}

#[test]
fn depth_is_no_danger() {
    let depth = if cfg!(miri) { 400 } else { 200_000 };
    let names: Vec<String> = (0..32).map(|level| format!("n{level}")).collect();
    let paths = [(names.clone(), true), path(&["z"], false), path(&["d"], true), path(&["d", "x"], true)];
    let opened: String = names.iter().map(|name| format!("{{\"{name}\":")).collect();
    check(&paths, &[format!("{opened}1{}", "}".repeat(32)).into_bytes()]);
    for levels in [1, 254, 255, 256, 257, 300, depth] {
        let deep = format!("{{\"d\":{}{{\"x\":[1]}}{},\"z\":5}}", "[".repeat(levels), "]".repeat(levels));
        check(&paths, &[deep.into_bytes()]);
    }
    for open in ["[", "{\"d\":", "{\"d\":["] {
        check(&paths, &[format!("{{\"q\":{}", open.repeat(depth)).into_bytes(), open.repeat(depth).into_bytes()]);
    }
}

#[test]
fn a_mebibyte_before_a_field_is_stepped_over() {
    let size = if cfg!(miri) { 300 } else { 1 << 20 };
    for filler in [
        format!("\"{}\"", "x".repeat(size)),
        format!("[{}0]", "{\"a\":1},".repeat(size / 8)),
        format!("\"{}\"", "\\\\".repeat(size / 2)),
    ] {
        let payloads = [format!("{{\"f\":{filler},\"a\":7}}").into_bytes(), format!("{{\"f\":{filler}").into_bytes()];
        check(&[path(&["a"], false), path(&["f", "a"], true)], &payloads);
    }
}
