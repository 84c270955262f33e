//! Any text is a condition or is refused, with reasons that can be shown; and what a condition is shown as is read as it again. Any
//! condition can be shown, whoever made it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use veltrix_proto::v1::Condition;
use veltrix_route_table::cel::{FieldType, MessageTypes, Scope, parse, render};

fuzz_target!(|data: &[u8]| {
    if let Ok(condition) = Condition::decode(data) {
        render(&condition);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut types = MessageTypes::new();
    let message = types.declare();
    let list = |kind| FieldType::Repeated(Box::new(kind));
    let fields = [
        ("s", FieldType::String),
        ("n", FieldType::Int),
        ("b", FieldType::Bool),
        ("e", FieldType::Enum(["A".into(), "B".into()].into())),
        ("t", FieldType::Timestamp),
        ("m", FieldType::Message(message)),
        ("l", list(FieldType::Message(message))),
        ("k", FieldType::Map(Box::new(FieldType::Double))),
        ("a", FieldType::Any),
    ];
    for (name, kind) in fields {
        types.field(message, name, kind);
    }
    for scope in [Scope::record(), Scope::message(&types, message)] {
        match parse(text, &scope) {
            Ok(condition) => {
                let shown = render(&condition);
                assert_eq!(parse(&shown, &Scope::record()), Ok(condition), "{shown}");
            }
            Err(refused) => {
                assert!(!refused.reasons.is_empty() && !refused.to_string().is_empty());
                for reason in &refused.reasons {
                    assert!(text.get(reason.span.clone()).is_some() && !reason.help.is_empty());
                }
            }
        }
    }
});
