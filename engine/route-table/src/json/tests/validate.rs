//! The full check: its quick way against the one that goes byte by byte, and both against serde_json.

use super::*;
use crate::json::validate::quick::Quick;
use crate::json::validate::{Malformed, first_fault, validate, validate_at};
use crate::limits::PAYLOAD_DEPTH;

/// What is said of a payload, which is the same whichever way and at every level.
fn check(payload: &[u8]) -> Result<(), Malformed> {
    // In memory of its own, so that a byte beyond it is a byte too many for Miri and the sanitizers.
    let payload: Box<[u8]> = payload.into();
    let expected = first_fault(Level::detect(), &payload);
    for level in Level::all() {
        let shown = String::from_utf8_lossy(&payload);
        assert_eq!(first_fault(level, &payload), expected, "{level:?} {shown}");
        assert_eq!(validate_at(level, &payload), expected, "{level:?} {shown}");
    }
    expected
}

fn serde_takes(payload: &[u8]) -> bool {
    std::str::from_utf8(payload).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok()
}

/// All sequences of so many parts.
fn sequences(parts: &[&str], length: usize, mut each: impl FnMut(&str)) {
    let mut numbers = vec![0; length];
    loop {
        each(&numbers.iter().map(|number| parts[*number]).collect::<String>());
        let Some(at) = numbers.iter().rposition(|number| number + 1 < parts.len()) else { return };
        numbers[at] += 1;
        numbers[at + 1..].fill(0);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_serde_json_takes_is_valid_and_nothing_else(object in tree::object(), style in tree::style(), mutations in mutations()) {
        let mut payload = tree::write(&object, style);
        prop_assert_eq!(check(&payload), Ok(()));
        for level in Level::all() {
            prop_assert!(level.run(Quick(&payload)), "the quick way is enough");
        }
        mutate(&mut payload, &mutations);
        prop_assert_eq!(check(&payload).is_ok(), serde_takes(&payload), "{:?}", String::from_utf8_lossy(&payload));
    }

    #[test]
    fn noise_is_judged_as_serde_json_does(noise in prop::collection::vec(nasty(), 0..200)) {
        prop_assert_eq!(check(&noise).is_ok(), serde_takes(&noise));
        let array = [b"[\"", noise.as_slice(), b"\"]"].concat();
        prop_assert_eq!(check(&array).is_ok(), serde_takes(&array));
    }

    #[test]
    fn parts_of_json_in_any_order_are_judged_as_serde_json_does(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\":", "\"b\"", "\"\\u00e9\\\\\"", "1", "-0.5e-05", "20E+3", "true", "false", "null", "é", "\\",
            " ", "\n", "                                ", "\"a text of some length, {:[,\"", "{\"a\":[]}", "[{},1]",
        ]), 0..40),
        before in 0usize..70,
    ) {
        let parts = parts.concat();
        let before = " ".repeat(before);
        for payload in [parts.clone(), format!("[{before}{parts}]"), format!("{before}{{{before}\"k\":{parts}}}")] {
            prop_assert_eq!(check(payload.as_bytes()).is_ok(), serde_takes(payload.as_bytes()), "{}", payload);
        }
    }
}

#[test]
fn every_short_sequence_of_tokens_is_judged_as_serde_json_does() {
    let tokens = ["{", "}", "[", "]", ",", ":", "\"\"", "1", "null"];
    for length in 0..=if cfg!(miri) { 2 } else { 6 } {
        sequences(&tokens, length, |tokens| {
            // In the array, the first token is the last of a block.
            for payload in [tokens.to_owned(), format!("[{}{tokens}]", " ".repeat(62))] {
                let verdict = validate(payload.as_bytes());
                assert_eq!(verdict.is_ok(), serde_takes(payload.as_bytes()), "{tokens}");
                assert_eq!(verdict, first_fault(Level::detect(), payload.as_bytes()), "{tokens}");
            }
        });
    }
}

#[test]
fn every_short_sequence_of_characters_is_a_number_or_not_as_serde_json_says() {
    for length in 1..=if cfg!(miri) { 2 } else { 6 } {
        sequences(&["-", "+", "0", "7", ".", "e"], length, |number| {
            // One byte of it in the first block, and all but one.
            for before in [62, 64 - length] {
                let payload = format!("[{}{number}]", " ".repeat(before));
                let expected = serde_json::from_str::<Vec<Box<serde_json::value::RawValue>>>(&payload).is_ok();
                assert_eq!(validate(payload.as_bytes()).is_ok(), expected, "{number}");
            }
        });
    }
}

#[test]
fn escapes_words_and_characters_are_judged_wherever_a_block_ends() {
    let good = [
        "\"\\u00e9\"",
        "\"\\\\\\\"\"",
        "\"\\/\"",
        "true",
        "false",
        "null",
        "\"😀\"",
        "-12.5e+17",
        "{\"\":{}}",
        "\"\u{7f}\"",
    ];
    let bad = [
        "\"\\u00g9\"",
        "\"\\u00e\"",
        "\"\\x\"",
        "\"\\\"",
        "tru",
        "truee",
        "true1",
        "nul\0",
        "fals\"e\"",
        "falsey",
        "é",
        "1é",
        "\"\t\"",
        "\"\x1f\"",
        "1\"a\"",
        "\"a\"1",
        "01",
        "-01",
        "1.",
        "1e",
        "1e+",
        "1.5.5",
        "1e5.5",
        "1e5e5",
        "--1",
        "1-1",
        "+1",
        ".5",
        "\x0b",
        "{\"a\"}",
        "\\",
        "\\\"a\"",
    ];
    for before in 0..if cfg!(miri) { 3 } else { 130 } {
        let payload = |what: &str| format!("[\"{}\",{what},1]", "x".repeat(before));
        for good in good {
            assert_eq!(check(payload(good).as_bytes()), Ok(()), "{good}");
        }
        for bad in bad {
            assert!(!serde_takes(payload(bad).as_bytes()), "{bad}");
            assert!(check(payload(bad).as_bytes()).is_err(), "{bad}");
        }
        for broken in [b"\xff".as_slice(), b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\x80"] {
            let payload = [b"[\"", "x".repeat(before).as_bytes(), broken, b"\"]"].concat();
            assert_eq!(check(&payload), Err(Malformed::Syntax { at: before + 2 }));
        }
    }
}

#[test]
fn a_word_at_the_end_of_a_block_excuses_no_number_later() {
    let x = |count| "x".repeat(count);
    for blocks in 0..3 {
        let between = format!(",\"{}\",", x(64 * blocks + 60));
        for (number, good) in [("1e5", true), ("1e", false), ("1+5", false), ("1-5", false)] {
            let payload = format!("[\"{}\",true{between}{number}]", x(56));
            assert!(payload[..64].ends_with("true") && payload[64 * (blocks + 2)..].starts_with(number));
            assert_eq!(check(payload.as_bytes()).is_ok(), good, "{payload}");
        }
    }
}

#[test]
fn containers_may_be_nested_up_to_the_limit() {
    let max = PAYLOAD_DEPTH.max as usize;
    let deep = |levels: usize| {
        let opens: String = (0..levels).map(|level| if level % 3 == 0 { "{\"a\":" } else { "[" }).collect();
        let closes: String = (0..levels).rev().map(|level| if level % 3 == 0 { "}" } else { "]" }).collect();
        (opens, closes)
    };
    for levels in [1, 61, 62, 63, 64, 65, 127, 128, 129, max - 1, max] {
        let (opens, closes) = deep(levels);
        assert_eq!(check(format!("{opens}1{closes}").as_bytes()), Ok(()), "{levels} levels");
        assert_eq!(
            check(format!("{opens}1{closes}]").as_bytes()),
            Err(Malformed::Syntax { at: opens.len() + 1 + closes.len() })
        );
        let swapped = if levels % 3 == 1 { "]" } else { "}" };
        let wrong = format!("{opens}1{swapped}{}", &closes[1..]);
        assert_eq!(check(wrong.as_bytes()), Err(Malformed::Syntax { at: opens.len() + 1 }), "{levels} levels");
    }
    for levels in [max + 1, if cfg!(miri) { max + 2 } else { 200_000 }] {
        let (opens, closes) = deep(levels);
        let at = deep(max).0.len();
        for payload in [format!("{opens}1{closes}"), opens, format!("{}{{}}", "[".repeat(max))] {
            let at = if payload.ends_with("{}") { max } else { at };
            assert_eq!(check(payload.as_bytes()), Err(Malformed::TooDeep { at }));
        }
    }
    for levels in if cfg!(miri) { 60..68 } else { 1..200 } {
        let (opens, closes) = deep(levels);
        for end in 0..levels {
            let cut = format!("{opens}1{}", &closes[..end]);
            assert_eq!(validate(cut.as_bytes()), Err(Malformed::Syntax { at: cut.len() }), "{cut}");
        }
    }
    // What is wrong before counts.
    let (opens, _) = deep(max + 1);
    assert_eq!(check(format!("[1 {opens}").as_bytes()), Err(Malformed::Syntax { at: 3 }));
    assert_eq!(check(&[b"[\"\xff\",", opens.as_bytes()].concat()), Err(Malformed::Syntax { at: 2 }));
    let told = Malformed::TooDeep { at: 7 }.to_string();
    assert_eq!(told, "byte 7 opens a container within 1024 others, and `payload_depth` is the limit");
}

#[test]
fn what_is_no_json_is_refused_by_its_place() {
    for (payload, at) in [
        ("", 0),
        (" ", 1),
        ("{", 1),
        ("{\"a\"}", 4),
        ("{\"a\":1,}", 7),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("{a:1}", 1),
        ("nul", 0),
        ("1.", 0),
        ("[01]", 1),
        ("\"a\nb\"", 2),
        ("\"\\x\"", 1),
        ("\"abc", 4),
        ("[1}", 2),
        ("{}{}", 2),
        ("\u{feff}{}", 0),
        ("[1e]", 1),
        ("-", 0),
        ("[-1.2.3]", 1),
    ] {
        assert_eq!(check(payload.as_bytes()), Err(Malformed::Syntax { at }), "{payload}");
    }
    assert_eq!(check(b"\"\xff\""), Err(Malformed::Syntax { at: 1 }));
    assert_eq!(check(b"[1,\"\\ud800\", -0.5e-7 ]\n"), Ok(()));
}
