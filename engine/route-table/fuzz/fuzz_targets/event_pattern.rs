//! Text that claims to be an event pattern: none may bring the parser down, a refusal points into the text, and what is
//! taken is JSON to everybody else, too. `cargo +nightly fuzz run event_pattern` in `engine/route-table`, see
//! <https://rust-fuzz.github.io/book/>.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use veltrix_proto::v1::Condition;
use veltrix_route_table::event_pattern::parse;

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(condition) => {
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
            // A pattern of a few dozen levels makes more messages within each other than decoders take.
            let bytes = condition.encode_to_vec();
            assert!(text.len() > 100 || Condition::decode(bytes.as_slice()).is_ok_and(|decoded| decoded == condition));
        }
        Err(error) => {
            let line = text.split('\n').nth(error.line() - 1).expect("the line is there");
            assert!(error.column() <= line.chars().count() + 1);
            assert!(error.render().to_string().contains(error.reason()));
        }
    }
});
