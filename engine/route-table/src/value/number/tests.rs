use super::*;
use proptest::prelude::*;

/// A number as sign, digits without zeros at either end, and the exponent of 0.digits; by long-hand work on texts.
#[derive(Debug, PartialEq, Eq)]
struct Reference {
    negative: bool,
    digits: Vec<u8>,
    exponent: i128,
}

impl Reference {
    fn parse(text: &str) -> Option<Reference> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
            None => (unsigned, None),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) => (integer, Some(fraction)),
            None => (mantissa, None),
        };
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let exponent_digits = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
        if !all_digits(integer)
            || !fraction.is_none_or(all_digits)
            || !exponent_digits.is_none_or(all_digits)
            || (integer.len() > 1 && integer.starts_with('0'))
        {
            return None;
        }
        let exponent = exponent.map_or(0, |text| {
            let beyond = if text.starts_with('-') { i128::MIN / 2 } else { i128::MAX / 2 };
            text.parse::<i128>().unwrap_or(beyond).clamp(i128::MIN / 2, i128::MAX / 2)
        });
        let digits = format!("{integer}{}", fraction.unwrap_or_default());
        let zeros = digits.len() - digits.trim_start_matches('0').len();
        let digits: Vec<u8> = digits.trim_matches('0').into();
        if digits.is_empty() {
            return Some(Reference { negative: false, digits, exponent: 0 });
        }
        let exponent = exponent + integer.len() as i128 - zeros as i128;
        let most = (1 << 61) - 1;
        Some(Reference { negative: text.starts_with('-'), digits, exponent: exponent.clamp(-most, most) })
    }

    fn compare(&self, other: &Reference) -> Ordering {
        let sign = |of: &Reference| if of.digits.is_empty() { 0 } else { 1 - 2 * i32::from(of.negative) };
        let magnitude = || self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => magnitude(),
            _ => magnitude().reverse(),
        })
    }
}

/// What was before a number in its payload, enough to be loaded with it.
const LONG: &str = "{\"amounts\":[1234567.8901,0000000000000001234567890123456789";

/// Every way to ask gives this answer.
fn check(left: &str, right: &str) {
    for (before, after) in
        [("", ""), ("{\"x\":", ",\"y\":12345678}"), ("123", "45678901234567890"), ("", "0"), (LONG, ""), (LONG, "5")]
    {
        let payload = format!("{before}{left}{after}");
        let found = Number::parse_at(payload.as_bytes(), before.len()..before.len() + left.len());
        assert_eq!(found, parse_any(left.as_bytes()), "{left}");
        assert_eq!(
            found.is_some_and(|found| found.is_long()),
            parse_any(left.as_bytes()).is_some_and(|it| it.is_long())
        );
    }
    let expected = match (Reference::parse(left), Reference::parse(right)) {
        (Some(left), Some(right)) => left.compare(&right),
        (left_expected, _) => {
            assert_eq!(Number::parse(left.as_bytes()).is_some(), left_expected.is_some(), "{left}");
            return;
        }
    };
    let mut texts = String::from("x1");
    let literal = Decimal::compile(right, &mut texts).unwrap_or_else(|| panic!("{right} is a number"));
    texts.push_str("99");
    assert_eq!(compare(left.as_bytes(), &literal, &texts), Some(expected), "{left} and {right}");
    let (left, right) = (Number::parse(left.as_bytes()).unwrap(), literal.number(&texts));
    let zone = match expected {
        Ordering::Less => 0,
        Ordering::Equal => 1,
        Ordering::Greater => 2,
    };
    assert_eq!(left.zone(&[literal], &texts), zone, "{left:?} and {right:?}");
    assert_eq!(left.cmp(&right), expected);
    assert_eq!(right.cmp(&left), expected.reverse());
    if expected.is_eq() {
        assert_eq!(left.key(), right.key());
    } else if left.key() == right.key() {
        assert!(left.is_long() && right.is_long());
    }
}

fn is_number(text: &str) -> bool {
    Number::parse(text.as_bytes()).is_some()
}

#[test]
fn one_number_has_many_notations() {
    for group in [
        &["1", "1.0", "1e0", "10e-1", "1E+0", "0.1e1", "0.001e3", "1.000000000000000000000000"][..],
        &["0", "-0", "0.0", "0e5", "-0.000e-999999999999999999999999", "0e99999999999999999999999999"],
        &["100", "1e2", "1.00e2", "100.000"],
        &["12345678901234567890123", "1234567890123456789012.3e1", "12345678901234567890123.000"],
        &["-122.42916360922355", "-12242916360922355e-14", "-1.2242916360922355E2"],
    ] {
        for left in group {
            for right in group {
                check(left, right);
                assert_eq!(Number::parse(left.as_bytes()), Number::parse(right.as_bytes()), "{left} and {right}");
            }
        }
    }
}

#[test]
fn numbers_are_in_their_order() {
    let ascending = [
        "-1e400",
        "-12345678901234567890124",
        "-12345678901234567890123.5",
        "-12345678901234567890123",
        "-1e19",
        "-9999999999999999999",
        "-2",
        "-1.0000000000000000000000001",
        "-1",
        "-0.1",
        "-1e-400",
        "0",
        "1e-99999999999999999999",
        "1e-400",
        "9.99e-400",
        "0.1",
        "1",
        "1.0000000000000000000000001",
        "1.00000000000000000000000010001",
        "2",
        "10",
        "9999999999999999999",
        "10000000000000000000",
        "18446744073709551615",
        "18446744073709551616",
        "12345678901234567890123",
        "12345678901234567890123.5",
        "1e308",
        "1e400",
        "1e99999999999999999999999999",
        "2e99999999999999999999999999",
    ];
    for (at, left) in ascending.iter().enumerate() {
        for (other, right) in ascending.iter().enumerate() {
            let mut texts = String::new();
            let literal = Decimal::compile(right, &mut texts).unwrap();
            assert_eq!(compare(left.as_bytes(), &literal, &texts), Some(at.cmp(&other)), "{left} and {right}");
        }
    }
}

#[test]
fn what_json_does_not_write_is_no_number() {
    for text in [
        "",
        "-",
        "+1",
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "1.e5",
        "1e",
        "1e+",
        "e5",
        "1 ",
        " 1",
        "1.2.3",
        "1e5.0",
        "0x10",
        "1,5",
        "--1",
        "NaN",
        "Infinity",
        "1_000",
        "1e5e5",
        "12345678901234567890a",
        "1.2345678901234567a",
        "１",
        "1:",
        "1/",
        "1.5:",
        "1.:5",
    ] {
        assert!(!is_number(text), "{text:?}");
    }
    assert!(!is_number("1\0") && Number::parse(b"\xb1").is_none());
}

#[test]
fn integers_of_a_payload_are_the_numbers_that_json_writes() {
    for value in [
        0,
        1,
        9,
        10,
        u64::from(u32::MAX),
        9_999_999_999_999_999_999,
        10_000_000_000_000_000_000,
        u64::MAX - 5,
        u64::MAX,
    ] {
        assert_eq!(Some(Number::from_u64(value)), Number::parse(value.to_string().as_bytes()), "{value}");
    }
    for value in [i64::MIN, i64::MIN + 1, -10, -1, 0, 1, i64::MAX] {
        assert_eq!(Some(Number::from_i64(value)), Number::parse(value.to_string().as_bytes()), "{value}");
    }
}

#[test]
fn a_double_means_its_shortest_decimal() {
    for (value, text) in [
        (0.1, "0.1"),
        (-0.0, "0"),
        (1e23, "1e23"),
        (f64::MAX, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (9_007_199_254_740_993.0, "9007199254740992"),
        (-122.42916360922355, "-122.42916360922355"),
    ] {
        assert_eq!(Number::from_f64(value), Number::parse(text.as_bytes()), "{text}");
    }
    assert_eq!(Number::from_f32(0.1), Number::parse(b"0.1"));
    assert_eq!(Number::from_f32(16_777_216.0), Number::parse(b"16777216"));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Number::from_f64(value), None);
        assert_eq!(Number::from_f32(value as f32), None);
    }
}

/// Texts of numbers, most like those that occur.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,16})?",
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?",
        "-?[01]{1,3}(\\.[01]{1,3})?([eE][+-]?[0-3])?",
        "-?(0|[1-9]0{0,30})(\\.0{1,30}[0-9]?)?(e-?[0-9]{1,20})?",
        "-?1234567890123456789[0-9]{0,3}(\\.[0-9]{1,2})?",
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
        any::<i64>().prop_map(|value| value.to_string()),
    ]
}

fn mutated() -> impl Strategy<Value = String> {
    (number(), any::<prop::sample::Index>(), "[-+.eE0-9 :/a]{0,2}", any::<bool>()).prop_map(
        |(text, at, insert, drop)| {
            let at = at.index(text.len() + 1);
            let behind = (at + usize::from(drop)).min(text.len());
            format!("{}{insert}{}", &text[..at], &text[behind..])
        },
    )
}

/// The same number in another notation: the point moved, the exponent with it, and zeros appended.
fn renotated(text: &str, shift: i64, zeros: usize) -> Option<String> {
    let Reference { negative, digits, exponent } = Reference::parse(text)?;
    let sign = if negative { "-" } else { "" };
    let digits = String::from_utf8(digits).unwrap();
    let nothing = "0".repeat(zeros);
    let point = shift.unsigned_abs() as usize % (digits.len() + 1);
    let (integer, fraction) = digits.split_at(point);
    let integer = if integer.is_empty() { "0" } else { integer };
    Some(format!("{sign}{integer}.{fraction}{nothing}0e{}", exponent - point as i128))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn numbers_compare_as_by_hand(left in number(), right in number()) {
        check(&left, &right);
    }

    #[test]
    fn what_looks_like_a_number_is_read_as_by_hand(left in mutated(), right in number()) {
        check(&left, &right);
    }

    #[test]
    fn the_notation_does_not_matter(text in number(), shift in 0i64..40, zeros in 0usize..20) {
        if let Some(other) = renotated(&text, shift, zeros) {
            check(&text, &other);
            prop_assert_eq!(Number::parse(text.as_bytes()), Number::parse(other.as_bytes()));
        }
    }

    #[test]
    fn a_number_lies_between_those_that_are_less_and_those_that_are_not(
        value in number(),
        mut bounds in prop::collection::vec(number(), 0..24),
        is_among in any::<bool>(),
        around in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        prop_assume!(is_number(&value));
        bounds.extend(is_among.then(|| value.clone()));
        let mut texts = String::new();
        let mut bounds: Vec<Decimal> =
            bounds.iter().filter_map(|text| Decimal::compile(text, &mut texts)).collect();
        bounds.sort_by(|a, b| a.number(&texts).cmp_decimal(b, &texts));
        bounds.dedup_by(|a, b| a.number(&texts).cmp_decimal(b, &texts).is_eq());
        let number = Number::parse(value.as_bytes()).unwrap();
        let count = |is: fn(Ordering) -> bool| {
            bounds.iter().filter(|bound| is(number.cmp_decimal(bound, &texts))).count()
        };
        let expected = 2 * count(Ordering::is_gt) + count(Ordering::is_eq);
        prop_assert_eq!(number.zone(&bounds, &texts), expected);
        let payload = [&around, value.as_bytes(), &around].concat();
        let at = around.len()..around.len() + value.len();
        prop_assert_eq!(Number::zone_at(&payload, at, &bounds, &texts), Some(expected));
        prop_assert_eq!(Number::zone_at(b"1e", 0..2, &bounds, &texts), None);
    }

    #[test]
    fn close_numbers_are_told_apart(text in number(), at in any::<prop::sample::Index>(), digit in b'0'..=b'9') {
        let mut other = text.clone().into_bytes();
        let at = at.index(other.len());
        if other[at].is_ascii_digit() {
            other[at] = digit;
        }
        check(&text, &String::from_utf8(other).unwrap());
    }

    #[test]
    fn floats_mean_what_is_printed(value in any::<f64>(), small in any::<f32>(), cents in -1_000_000_000i64..1_000_000_000) {
        for value in [value, cents as f64 / 100.0, cents as f64 / 1e6] {
            let text = serde_like(value.to_string());
            prop_assert_eq!(Number::from_f64(value), text.as_ref().and_then(|text| Number::parse(text.as_bytes())));
        }
        for value in [small, cents as f32 / 100.0] {
            let text = serde_like(value.to_string());
            prop_assert_eq!(Number::from_f32(value), text.as_ref().and_then(|text| Number::parse(text.as_bytes())));
        }
    }

    #[test]
    fn integers_mean_what_is_printed(signed in any::<i64>(), unsigned in any::<u64>(), shift in 0u32..64) {
        let (signed, unsigned) = (signed >> shift, unsigned >> shift);
        let texts = (signed.to_string(), unsigned.to_string());
        prop_assert_eq!(Some(Number::from_i64(signed)), Number::parse(texts.0.as_bytes()));
        prop_assert_eq!(Some(Number::from_u64(unsigned)), Number::parse(texts.1.as_bytes()));
    }
}

/// `None` for what `Display` writes of infinity and the like.
fn serde_like(text: String) -> Option<String> {
    text.ends_with(|last: char| last.is_ascii_digit()).then_some(text)
}

#[test]
fn a_number_is_written_so_that_people_and_readers_know_it() {
    for (text, written) in [
        ("0", "0"),
        ("-0.0", "0"),
        ("1.50", "1.5"),
        ("-10e-1", "-1"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e21"),
        ("12e400", "1.2e401"),
        ("0.00001", "0.00001"),
        ("-0.00000012", "-1.2e-7"),
        ("123456789012345678901234567890.5", "1.234567890123456789012345678905e29"),
        ("12345678901234567890.5", "12345678901234567890.5"),
        ("1e99999999999999999999", "1e2305843009213693950"),
    ] {
        let number = Number::parse(text.as_bytes()).unwrap();
        assert_eq!(number.to_string(), written, "{text}");
        assert_eq!(Number::parse(written.as_bytes()).unwrap(), number, "{text}");
    }
}
