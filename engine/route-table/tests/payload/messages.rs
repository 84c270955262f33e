//! Messages as their bytes may be, what they are in JSON, and conditions that find something in them.

use proptest::prelude::*;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use std::sync::LazyLock;
use veltrix_proto::v1::{
    AnyElement, Condition, Conditions, Destination, Element, EventTypes, Field, KafkaTopic, Literal, Null, Predicate,
    Range, Route, RouteMap, ValueTypes, any_element, condition, destination, literal, predicate, range,
};

struct OwnFile;

impl FileResolver for OwnFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "messages.proto" => File::from_source(name, include_str!("messages.proto")),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The descriptors of `messages.proto`, as protoc writes them.
pub(crate) fn descriptors() -> Vec<u8> {
    static SET: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut resolver = ChainFileResolver::new();
        resolver.add(GoogleFileResolver::new());
        resolver.add(OwnFile);
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).open_file("messages.proto").unwrap();
        compiler.encode_file_descriptor_set()
    });
    SET.clone()
}

pub(crate) fn pool() -> DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(descriptors().as_slice()).unwrap());
    POOL.clone()
}

/// What a field holds on the wire.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Varint,
    Fixed32,
    Fixed64,
    Text,
    Bytes,
    Message,
    /// A wrapper of a varint, or of a text.
    Wrapper(bool),
    /// An entry: the wire of key and value.
    Entry(&'static Wire, &'static Wire),
    PackedVarint,
    PackedFixed64,
    Group,
}

const FIELDS: &[(u32, Wire)] = &[
    (1, Wire::Varint),
    (2, Wire::Varint),
    (3, Wire::Varint),
    (4, Wire::Varint),
    (5, Wire::Varint),
    (6, Wire::Varint),
    (7, Wire::Fixed32),
    (8, Wire::Fixed64),
    (9, Wire::Fixed32),
    (10, Wire::Fixed64),
    (11, Wire::Fixed32),
    (12, Wire::Fixed64),
    (13, Wire::Varint),
    (14, Wire::Text),
    (14, Wire::Text),
    (15, Wire::Bytes),
    (16, Wire::Varint),
    (17, Wire::Varint),
    (18, Wire::Message),
    (18, Wire::Message),
    (18, Wire::Message),
    (19, Wire::Message),
    (19, Wire::Message),
    (20, Wire::Text),
    (21, Wire::Varint),
    (21, Wire::PackedVarint),
    (22, Wire::Varint),
    (22, Wire::PackedVarint),
    (23, Wire::Entry(&Wire::Text, &Wire::Message)),
    (23, Wire::Entry(&Wire::Text, &Wire::Message)),
    (24, Wire::Entry(&Wire::Varint, &Wire::Text)),
    (25, Wire::Entry(&Wire::Varint, &Wire::Fixed64)),
    (26, Wire::Text),
    (27, Wire::Varint),
    (28, Wire::Message),
    (28, Wire::Message),
    (29, Wire::Wrapper(false)),
    (30, Wire::Wrapper(true)),
    (31, Wire::Wrapper(false)),
    (32, Wire::Text),
    (33, Wire::Fixed64),
    (33, Wire::PackedFixed64),
    (100, Wire::Varint),
    (101, Wire::Bytes),
    (102, Wire::Group),
];

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(value, &mut out);
    out
}

fn tagged(number: u32, wire_type: u32, value: &[u8]) -> Vec<u8> {
    [&varint(u64::from(number << 3 | wire_type)), value].concat()
}

fn delimited(number: u32, value: &[u8]) -> Vec<u8> {
    tagged(number, 2, &[&varint(value.len() as u64), value].concat())
}

fn varint_value() -> impl Strategy<Value = Vec<u8>> {
    let values =
        [0, 1, 2, 5, u64::MAX, i64::MIN as u64, i32::MIN as i64 as u64, 1 << 31, 1 << 63, 9_007_199_254_740_993];
    prop_oneof![4 => 0..3u64, 1 => prop::sample::select(values.to_vec())].prop_map(varint)
}

fn double() -> impl Strategy<Value = Vec<u8>> {
    let values = [0.0, 1.0, -0.0, 0.1, 1.5, 1e300, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    prop::sample::select(values.to_vec()).prop_map(|value: f64| value.to_le_bytes().to_vec())
}

fn float() -> impl Strategy<Value = Vec<u8>> {
    let values = [0.0, 1.0, 0.1, 1.5, 3e38, f32::NAN, f32::NEG_INFINITY];
    prop::sample::select(values.to_vec()).prop_map(|value: f32| value.to_le_bytes().to_vec())
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(&["a", "b", "ab", "", "ä\"\\"]).prop_map(|text| text.as_bytes().to_vec())
}

fn field_of(number: u32, wire: Wire, depth: u32) -> BoxedStrategy<Vec<u8>> {
    let of = move |wire_type: u32| move |value: Vec<u8>| tagged(number, wire_type, &value);
    let delimited = move |value: Vec<u8>| delimited(number, &value);
    match wire {
        Wire::Varint => varint_value().prop_map(of(0)).boxed(),
        Wire::Fixed32 => float().prop_map(of(5)).boxed(),
        Wire::Fixed64 => double().prop_map(of(1)).boxed(),
        Wire::Text => text().prop_map(delimited).boxed(),
        Wire::Bytes => prop::collection::vec(any::<u8>(), 0..4).prop_map(delimited).boxed(),
        Wire::Message if depth == 0 => Just(delimited(Vec::new())).boxed(),
        Wire::Message => message(depth - 1).prop_map(delimited).boxed(),
        Wire::Wrapper(is_text) => {
            let inner = if is_text { field_of(1, Wire::Text, 0) } else { field_of(1, Wire::Varint, 0) };
            prop::collection::vec(inner, 0..3).prop_map(move |values| delimited(values.concat())).boxed()
        }
        Wire::Entry(key, value) => {
            // In any order, any number of times.
            let key = prop::collection::vec(field_of(1, *key, depth), 0..2);
            let value = prop::collection::vec(field_of(2, *value, depth), 0..3);
            let entry = (key, value, any::<bool>()).prop_map(|(key, value, is_turned)| match is_turned {
                true => [value.concat(), key.concat()].concat(),
                false => [key.concat(), value.concat()].concat(),
            });
            entry.prop_map(delimited).boxed()
        }
        Wire::PackedVarint => {
            prop::collection::vec(varint_value(), 0..4).prop_map(move |values| delimited(values.concat())).boxed()
        }
        Wire::PackedFixed64 => {
            prop::collection::vec(double(), 0..4).prop_map(move |values| delimited(values.concat())).boxed()
        }
        Wire::Group => field_of(3, Wire::Text, 0)
            .prop_map(move |inner| {
                let inner = [tagged(4, 3, &inner), tagged(4, 4, &[])].concat();
                [tagged(number, 3, &inner), tagged(number, 4, &[])].concat()
            })
            .boxed(),
    }
}

fn message(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let field = prop::sample::select(FIELDS).prop_flat_map(move |(number, wire)| field_of(number, wire, depth));
    prop::collection::vec(field, 0..if depth == 2 { 14 } else { 5 }).prop_map(|fields| fields.concat()).boxed()
}

/// The bytes of a `test.All`, with fields in any order and several times.
pub(crate) fn wire() -> BoxedStrategy<Vec<u8>> {
    message(2)
}

/// What the JSON form of a message is, as far as it is said in `route_map.proto`: by the names of the descriptor, and by JSON names.
pub(crate) fn json_of(message: &DynamicMessage) -> String {
    let name = message.descriptor().full_name().to_owned();
    if name.starts_with("google.protobuf.") && name.ends_with("Value") {
        let field = message.descriptor().get_field(1).unwrap();
        return json_of_value(&message.get_field(&field), &field.kind());
    }
    let mut fields = Vec::new();
    for field in message.descriptor().fields() {
        if field.supports_presence() && !message.has_field(&field) {
            continue;
        }
        let value = json_of_field(&message.get_field(&field), &field);
        fields.push(format!("{:?}:{value}", field.name()));
        if field.json_name() != field.name() {
            fields.push(format!("{:?}:{value}", field.json_name()));
        }
    }
    format!("{{{}}}", fields.join(","))
}

fn json_of_field(value: &Value, field: &FieldDescriptor) -> String {
    match value {
        Value::List(values) => {
            let values: Vec<String> = values.iter().map(|value| json_of_value(value, &field.kind())).collect();
            format!("[{}]", values.join(","))
        }
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { panic!("a map has entries") };
            let of_value = entry.map_entry_value_field().kind();
            let key = |key: &MapKey| match key {
                MapKey::String(text) => text.clone(),
                MapKey::Bool(value) => value.to_string(),
                MapKey::I32(value) => value.to_string(),
                other => panic!("no map has such keys: {other:?}"),
            };
            let quoted = |text: String| serde_json::to_string(&text).unwrap();
            let entries: Vec<String> = entries
                .iter()
                .map(|(name, value)| format!("{}:{}", quoted(key(name)), json_of_value(value, &of_value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        value => json_of_value(value, &field.kind()),
    }
}

fn json_of_value(value: &Value, kind: &Kind) -> String {
    let float = |value: f64, shortest: String| match value {
        value if value.is_nan() => "\"NaN\"".to_owned(),
        f64::INFINITY => "\"Infinity\"".to_owned(),
        f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
        _ => shortest,
    };
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => float(f64::from(*value), value.to_string()),
        Value::F64(value) => float(*value, value.to_string()),
        Value::String(text) => serde_json::to_string(text).unwrap(),
        Value::Bytes(bytes) => format!("\"{}\"", base64(bytes)),
        Value::EnumNumber(number) => {
            let Kind::Enum(descriptor) = kind else { panic!("an enum has a number") };
            // As they are declared: of names for the same number the first one counts.
            let name = descriptor.enum_descriptor_proto().value.iter().find(|value| value.number() == *number);
            name.map_or_else(|| number.to_string(), |value| format!("{:?}", value.name()))
        }
        Value::Message(message) => json_of(message),
        Value::List(_) | Value::Map(_) => panic!("no value of one field"),
    }
}

/// Bit by bit.
fn base64(bytes: &[u8]) -> String {
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut bits: Vec<usize> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| usize::from(byte >> bit & 1))).collect();
    bits.resize(bits.len().next_multiple_of(6), 0);
    let mut text: String = bits.chunks(6).map(|six| letters[six.iter().fold(0, |sum, bit| sum * 2 + bit)]).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

fn names() -> impl Strategy<Value = Vec<String>> {
    let inner = prop::sample::select(&["child", "children", "by_name.a", "by_name.", "within", "byName.b"][..]);
    let leaf = prop::sample::select(
        &[
            "int32",
            "int64",
            "uint32",
            "uint64",
            "sint32",
            "sint64",
            "fixed32",
            "fixed64",
            "sfixed32",
            "sfixed64",
            "float",
            "double",
            "bool",
            "text",
            "text",
            "text",
            "bytes",
            "color",
            "maybe",
            "child",
            "children",
            "texts",
            "numbers",
            "colors",
            "by_name",
            "by_number",
            "by_number.1",
            "by_number.-1",
            "by_number.0",
            "by_number.01",
            "by_flag.true",
            "by_flag.false",
            "by_name.a",
            "left",
            "right",
            "within",
            "wrapped",
            "wraps",
            "at.seconds",
            "at",
            "snake_case",
            "snakeCase",
            "doubles",
            "nothing",
            "text.x",
        ][..],
    );
    (prop::collection::vec(inner, 0..3), leaf).prop_map(|(path, leaf)| {
        path.iter().chain([&leaf]).flat_map(|names| names.split('.')).map(str::to_owned).collect()
    })
}

fn literal_of(kind: literal::Kind) -> Literal {
    Literal { kind: Some(kind) }
}

fn number() -> impl Strategy<Value = Literal> {
    let numbers =
        ["0", "1", "2", "-1", "1.5", "0.1", "5", "9007199254740993", "18446744073709551615", "-2147483648", "1e300"];
    prop::sample::select(numbers.to_vec()).prop_map(|number| literal_of(literal::Kind::Number(number.to_owned())))
}

fn test() -> impl Strategy<Value = predicate::Test> {
    let texts = ["a", "b", "ab", "", "NONE", "RED", "BLUE", "NaN", "Infinity", "AQ==", "AA==", "ä\"\\"];
    let text = || prop::sample::select(texts.to_vec()).prop_map(str::to_owned);
    let literal = prop_oneof![
        3 => text().prop_map(|text| literal_of(literal::Kind::Text(text))),
        3 => number(),
        1 => any::<bool>().prop_map(|value| literal_of(literal::Kind::Boolean(value))),
        1 => Just(literal_of(literal::Kind::Null(Null {}))),
    ];
    prop_oneof![
        4 => literal.prop_map(predicate::Test::Equals),
        2 => any::<bool>().prop_map(predicate::Test::Exists),
        2 => prop::sample::select(&["a", "A", "R"]).prop_map(|text| predicate::Test::Prefix(text.to_owned())),
        2 => number().prop_map(|bound| predicate::Test::Range(Range { lower: Some(range::Lower::Above(bound)), upper: None })),
        2 => prop::collection::vec(1..7i32, 1..3).prop_map(|types| predicate::Test::Types(ValueTypes { types })),
    ]
}

fn predicate(attribute: BoxedStrategy<predicate::Attribute>) -> BoxedStrategy<Condition> {
    (attribute, test(), 0..4i32, 0..4i32)
        .prop_map(|(attribute, test, on_missing, on_other_type)| {
            let is_exists = matches!(test, predicate::Test::Exists(_));
            let is_types = matches!(test, predicate::Test::Types(_));
            let predicate = Predicate {
                attribute: Some(attribute),
                test: Some(test),
                on_missing: if is_exists { 0 } else { on_missing },
                on_other_type: if is_exists || is_types { 0 } else { on_other_type },
                ..Predicate::default()
            };
            Condition { kind: Some(condition::Kind::Predicate(predicate)) }
        })
        .boxed()
}

fn field() -> BoxedStrategy<Field> {
    (names(), any::<bool>()).prop_map(|(names, through_arrays)| Field { names, through_arrays, dotted: false }).boxed()
}

/// A list, a message, or a value; no map, as elements that are maps have no places in messages.
fn over() -> BoxedStrategy<Vec<String>> {
    let is_map = |names: &Vec<String>| names.iter().any(|name| name == "by_name" || name == "by_number");
    names().prop_filter("a map", move |names| !is_map(names)).boxed()
}

fn any_element() -> BoxedStrategy<Condition> {
    let place = |outwards: std::ops::Range<u32>| {
        (outwards, prop::option::of(names()), any::<bool>())
            .prop_map(|(outwards, names, through_arrays)| {
                let names = names.unwrap_or_default();
                predicate::Attribute::Element(Element { outwards, names, through_arrays, dotted: false })
            })
            .boxed()
    };
    let of = |over: any_element::Over, condition: Condition, on_missing: i32, on_other_type: i32| {
        let is_through = matches!(&over, any_element::Over::Field(field) if field.through_arrays);
        Condition {
            kind: Some(condition::Kind::AnyElement(Box::new(AnyElement {
                over: Some(over),
                condition: Some(Box::new(condition)),
                on_missing,
                on_other_type: if is_through { 0 } else { on_other_type },
            }))),
        }
    };
    let inner = (over(), any::<bool>(), predicate(place(0..2)), 0..4i32, 0..4i32).prop_map(
        move |(names, through_arrays, condition, on_missing, on_other_type)| {
            let over = any_element::Over::Element(Element { outwards: 0, names, through_arrays, dotted: false });
            of(over, condition, on_missing, on_other_type)
        },
    );
    let both = |parts: Vec<Condition>| Condition { kind: Some(condition::Kind::All(Conditions { conditions: parts })) };
    let condition = prop_oneof![
        3 => predicate(place(0..1)),
        2 => prop::collection::vec(predicate(place(0..1)), 2..4).prop_map(both),
        1 => inner,
    ];
    (over(), any::<bool>(), condition, 0..4i32, 0..4i32)
        .prop_map(move |(names, through_arrays, condition, on_missing, on_other_type)| {
            let over = any_element::Over::Field(Field { names, through_arrays, dotted: false });
            of(over, condition, on_missing, on_other_type)
        })
        .boxed()
}

/// What of a message can be asked.
pub(crate) fn condition() -> BoxedStrategy<Condition> {
    let leaf = || predicate(field().prop_map(predicate::Attribute::Field).boxed());
    let all = prop::collection::vec(prop_oneof![3 => leaf(), 1 => any_element()], 2..4)
        .prop_map(|conditions| Condition { kind: Some(condition::Kind::All(Conditions { conditions })) });
    prop_oneof![4 => leaf(), 2 => any_element(), 2 => all].boxed()
}

/// A map with a route and a destination for each condition.
pub(crate) fn map_of(conditions: Vec<Condition>) -> RouteMap {
    let destination = |n: usize| Destination {
        id: format!("d{n}"),
        kind: Some(destination::Kind::Kafka(KafkaTopic { topic: format!("topic-{n}"), ..Default::default() })),
    };
    let route = |(n, when): (usize, Condition)| Route {
        id: format!("r{n}"),
        types: Some(EventTypes { any: true, ..EventTypes::default() }),
        when: Some(when),
        to: vec![format!("d{n}")],
        on_absent: 2,
        ..Route::default()
    };
    RouteMap {
        name: "payloads".to_owned(),
        destinations: (0..conditions.len()).map(destination).collect(),
        routes: conditions.into_iter().enumerate().map(route).collect(),
        ..RouteMap::default()
    }
}
