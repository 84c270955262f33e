//! Bytes that claim to be JSON: none may bring a reader down, a memo may never change an answer, and what is valid is what serde_json
//! takes, wherever it stands. `cargo +nightly fuzz run json_reader` in `engine/route-table`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veltrix_route_table::json::{
    Found, Malformed, PlanIndex, Plans, Reader, Wanted, elements, unescape, validate, whole,
};

/// All that a reader says of a payload.
fn read(reader: &mut Reader, plans: &Plans, plan: PlanIndex, payload: &[u8]) -> (Vec<Vec<Found>>, bool) {
    reader.read(plans, plan, payload);
    let values = (0..FIELDS.len() as u32).map(|field| reader.values(field).collect()).collect();
    (values, reader.crossed_array())
}

const FIELDS: [&[&str]; 6] = [&["a"], &["a", "b"], &["b"], &["b", "a", "c"], &["c", "a"], &["q\"t\\"]];

fuzz_target!(|bytes: &[u8]| {
    let mut plans = Plans::default();
    let wanted = |through_arrays| FIELDS.map(|names| Wanted { names: names.iter().copied(), through_arrays });
    let all = [plans.add(wanted(false)), plans.add(wanted(true)), plans.add(wanted(false).into_iter().take(2))];
    let (mut remembering, mut walking) = (Reader::new(), Reader::without_memo());
    // Payloads of one shape, perhaps, between zeros.
    let payloads = || bytes.split(|byte| *byte == 0);
    for plan in all {
        for payload in payloads().chain(payloads()) {
            let expected = read(&mut walking, &plans, plan, payload);
            assert_eq!(read(&mut remembering, &plans, plan, payload), expected);
            let mut text = Vec::new();
            for found in expected.0.iter().flatten() {
                let value = found.of(payload);
                let _ = unescape(value, &mut text);
                assert!(elements(value).count() <= value.len());
                assert!(whole(value).is_none_or(|whole| value.starts_with(whole)));
            }
        }
    }
    check(bytes);
});

/// What is valid is what serde_json takes, and what is said of bytes does not depend on where blocks of 64 bytes end in them.
fn check(bytes: &[u8]) {
    let verdict = validate(bytes);
    if !matches!(verdict, Err(Malformed::TooDeep { .. })) {
        let takes = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        assert_eq!(verdict.is_ok(), std::str::from_utf8(bytes).is_ok() && takes);
    }
    // In an array, so that numbers, words and texts are checked the quick way, too.
    for before in [0, 17, 40, 62] {
        let array = [b"[", " ".repeat(before).as_bytes(), bytes, b"]"].concat();
        let wrapped = validate(&array);
        assert!(verdict.is_err() || !matches!(wrapped, Err(Malformed::Syntax { .. })));
        if !matches!(wrapped, Err(Malformed::TooDeep { .. })) {
            let takes = serde_json::from_slice::<serde::de::IgnoredAny>(&array).is_ok();
            assert_eq!(wrapped.is_ok(), std::str::from_utf8(&array).is_ok() && takes);
        }
    }
}
