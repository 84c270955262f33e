//! The rules of the checker, one by one: two schemas as text, and every line that it must print about the step between them.

use crate::checker::breaks;
use crate::pool;
use prost_types::FileDescriptorSet;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// One schema, in memory.
struct Text(String);

impl FileResolver for Text {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "t.proto" { File::from_source(name, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

/// A schema of package `t`; proto3, if it doesn't say otherwise.
pub(crate) fn compile(text: &str) -> FileDescriptorSet {
    let syntax = if text.starts_with("syntax") { "" } else { "syntax = \"proto3\"; package t;\n" };
    let mut resolver = ChainFileResolver::new();
    resolver.add(Text(format!("{syntax}{text}")));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.open_file("t.proto").unwrap_or_else(|error| panic!("{error:?} in {text}"));
    compiler.file_descriptor_set()
}

/// Asserts the whole output, so that a test also shows that nothing else is refused.
#[track_caller]
fn check(before: &str, after: &str, expected: &[&str]) {
    let found = breaks(&pool(&compile(before)), &pool(&compile(after)));
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(lines, expected, "\nbefore: {before}\nafter: {after}");
}

#[track_caller]
fn allowed(before: &str, after: &str) {
    check(before, after, &[]);
}

// What may be done.

#[test]
fn new_fields_messages_enums_values_services_and_methods_are_allowed() {
    allowed(
        "message M { string a = 1; } enum E { E_NONE = 0; } service S { rpc Get(M) returns (M); }",
        "message M { string a = 1; repeated N b = 2; oneof kind { string c = 3; } message Inner {} }
         message N {}
         enum E { E_NONE = 0; E_ONE = 1; }
         enum F { F_NONE = 0; }
         service S { rpc Get(M) returns (M); rpc Put(M) returns (N); }
         service T {}",
    );
}

#[test]
fn comments_order_and_deprecation_are_free() {
    allowed(
        "message M { string a = 1; string b = 2; }",
        "// A comment.\nmessage M { string b = 2 [deprecated = true]; /* Another. */ string a = 1; }",
    );
}

#[test]
fn a_field_may_go_if_number_and_name_stay_reserved() {
    allowed("message M { string a = 1; string b = 2; }", "message M { string a = 1; reserved 2; reserved \"b\"; }");
}

#[test]
fn an_enum_value_may_go_if_number_and_name_stay_reserved() {
    allowed("enum E { A = 0; B = 1; }", "enum E { A = 0; reserved 1; reserved \"B\"; }");
}

#[test]
fn a_map_field_may_go_like_any_other() {
    allowed("message M { map<string, string> a = 1; }", "message M { reserved 1; reserved \"a\"; }");
}

#[test]
fn reserved_ranges_may_be_split_joined_and_widened() {
    allowed("message M { reserved 3 to 6; reserved 8; }", "message M { reserved 5 to 9; reserved 2 to 4; }");
    allowed("enum E { A = 0; reserved 2 to max; }", "enum E { A = 0; reserved 2 to 9; reserved 10 to max; }");
}

#[test]
fn a_new_field_may_join_an_old_oneof() {
    allowed("message M { oneof kind { string a = 1; } }", "message M { oneof kind { string a = 1; string b = 2; } }");
}

#[test]
fn a_second_name_for_an_enum_value_is_allowed() {
    allowed("enum E { A = 0; B = 1; }", "enum E { option allow_alias = true; A = 0; C = 1; B = 1; }");
}

// What may not vanish.

#[test]
fn a_vanished_message_is_refused() {
    check(
        "message M { message Inner {} } message N {}",
        "message N {}",
        &[
            "message t.M: vanished; put it back; it may be deprecated, not removed",
            "message t.M.Inner: vanished; put it back; it may be deprecated, not removed",
        ],
    );
}

#[test]
fn a_vanished_enum_is_refused() {
    check("enum E { A = 0; }", "", &["enum t.E: vanished; put it back; it may be deprecated, not removed"]);
}

#[test]
fn a_vanished_service_is_refused() {
    check(
        "message M {} service S { rpc Get(M) returns (M); }",
        "message M {}",
        &["service t.S: vanished; put it back; it may be deprecated, not removed"],
    );
}

#[test]
fn a_vanished_method_is_refused() {
    check(
        "message M {} service S { rpc Get(M) returns (M); }",
        "message M {} service S { rpc Fetch(M) returns (M); }",
        &["method t.S.Get: vanished; put it back; it may be deprecated, not removed"],
    );
}

#[test]
fn a_vanished_extension_is_refused() {
    check(
        "import \"google/protobuf/descriptor.proto\"; extend google.protobuf.FileOptions { string a = 70001; }",
        "import \"google/protobuf/descriptor.proto\"; extend google.protobuf.FileOptions { string b = 70001; }",
        &["extension t.a: vanished; put it back; it may be deprecated, not removed"],
    );
}

#[test]
fn another_package_is_a_break() {
    check(
        "message M {}",
        "syntax = \"proto3\"; package u; message M {}",
        &["message t.M: vanished; put it back; it may be deprecated, not removed"],
    );
}

// What a field keeps.

const KEEP_A: &str = "put it back, or give the new field a number of its own and `reserved 1; reserved \"a\";`";

#[track_caller]
fn check_field_a(before: &str, after: &str, faults: &[&str]) {
    let lines: Vec<String> =
        faults.iter().map(|fault| format!("message t.M, field 1 `a`: {fault}; {KEEP_A}")).collect();
    check(before, after, &lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_field_number_given_to_another_name_is_refused() {
    check_field_a(
        "message M { string a = 1; }",
        "message M { string b = 1; }",
        &["name was a, is b", "JSON name was a, is b"],
    );
}

#[test]
fn another_json_name_is_refused() {
    check_field_a(
        "message M { string a = 1; }",
        "message M { string a = 1 [json_name = \"A\"]; }",
        &["JSON name was a, is A"],
    );
}

#[test]
fn another_scalar_type_is_refused_even_where_the_wire_would_not_notice() {
    check_field_a("message M { string a = 1; }", "message M { bytes a = 1; }", &["type was string, is bytes"]);
    check_field_a("message M { uint32 a = 1; }", "message M { uint64 a = 1; }", &["type was uint32, is uint64"]);
}

#[test]
fn another_message_or_enum_type_is_refused() {
    check_field_a(
        "message N {} message O {} message M { N a = 1; }",
        "message N {} message O {} message M { O a = 1; }",
        &["type was message t.N, is message t.O"],
    );
    check_field_a(
        "enum E { A = 0; } message M { E a = 1; }",
        "enum E { A = 0; } message M { int32 a = 1; }",
        &["type was enum t.E, is int32"],
    );
}

#[test]
fn a_single_value_made_a_list_is_refused() {
    check_field_a(
        "message M { string a = 1; }",
        "message M { repeated string a = 1; }",
        &["label was singular without presence, is repeated"],
    );
}

#[test]
fn a_list_made_a_single_value_is_refused() {
    check_field_a(
        "message M { repeated string a = 1; }",
        "message M { string a = 1; }",
        &["label was repeated, is singular without presence"],
    );
}

#[test]
fn presence_gained_or_lost_is_refused() {
    check_field_a(
        "message M { string a = 1; }",
        "message M { optional string a = 1; }",
        &["label was singular without presence, is optional"],
    );
    check_field_a(
        "message M { optional string a = 1; }",
        "message M { string a = 1; }",
        &["label was optional, is singular without presence"],
    );
}

#[test]
fn an_optional_field_made_required_is_refused() {
    check_field_a(
        "syntax = \"proto2\"; package t; message M { optional string a = 1; }",
        "syntax = \"proto2\"; package t; message M { required string a = 1; }",
        &["label was optional, is required"],
    );
}

#[test]
fn a_field_moved_into_a_oneof_is_refused() {
    check_field_a(
        "message M { optional string a = 1; }",
        "message M { oneof kind { string a = 1; string b = 2; } }",
        &["label was optional, is in oneof kind"],
    );
}

#[test]
fn a_field_moved_out_of_a_oneof_is_refused() {
    check_field_a(
        "message M { oneof kind { string a = 1; string b = 2; } }",
        "message M { oneof kind { string b = 2; } optional string a = 1; }",
        &["label was in oneof kind, is optional"],
    );
}

#[test]
fn a_field_moved_to_another_oneof_is_refused() {
    check_field_a(
        "message M { oneof kind { string a = 1; string b = 2; } }",
        "message M { oneof kind { string b = 2; } oneof sort { string a = 1; } }",
        &["label was in oneof kind, is in oneof sort"],
    );
}

#[test]
fn a_map_made_a_list_of_entries_is_refused() {
    check_field_a(
        "message M { map<string, int32> a = 1; }",
        "message M { message Entry { string key = 1; int32 value = 2; } repeated Entry a = 1; }",
        &["type was map<string, int32>, is message t.M.Entry"],
    );
}

#[test]
fn another_map_key_or_value_is_refused() {
    check_field_a(
        "message M { map<string, int32> a = 1; }",
        "message M { map<int32, M> a = 1; }",
        &["type was map<string, int32>, is map<int32, message t.M>"],
    );
}

#[test]
fn a_group_made_a_message_is_refused() {
    check(
        "syntax = \"proto2\"; package t; message M { optional group A = 1 {} }",
        "syntax = \"proto2\"; package t; message M { message A {} optional A a = 1; }",
        &["message t.M, field 1 `a`: type was group t.M.A, is message t.M.A; \
           put it back, or give the new field a number of its own and `reserved 1; reserved \"a\";`"],
    );
}

// What is spent when a field goes.

#[test]
fn a_field_removed_without_a_trace_is_refused() {
    check(
        "message M { string a = 1; string b = 2; }",
        "message M { string a = 1; }",
        &["message t.M, field 2 `b`: removed without reserving its number and name; \
           put it back, or add `reserved 2; reserved \"b\";`"],
    );
}

#[test]
fn a_removed_field_whose_name_could_come_back_is_refused() {
    check(
        "message M { string a = 1; }",
        "message M { reserved 1; }",
        &["message t.M, field 1 `a`: removed without reserving its name; put it back, or add `reserved \"a\";`"],
    );
}

#[test]
fn a_removed_field_whose_number_could_come_back_is_refused() {
    check(
        "message M { string a = 1; }",
        "message M { reserved \"a\"; }",
        &["message t.M, field 1 `a`: removed without reserving its number; put it back, or add `reserved 1;`"],
    );
}

#[test]
fn a_field_with_another_number_is_refused() {
    check(
        "message M { string a = 1; }",
        "message M { reserved 1; string a = 2; }",
        &["message t.M, field 1 `a`: moved to number 2; give it number 1 back"],
    );
}

#[test]
fn a_lifted_reserved_number_is_refused() {
    check(
        "message M { reserved 2, 4 to 6; }",
        "message M { reserved 4, 6; string a = 2; }",
        &[
            "message t.M: number(s) 2 no longer reserved; put `reserved 2;` back",
            "message t.M: number(s) 4 to 6 no longer reserved; put `reserved 4 to 6;` back",
        ],
    );
}

#[test]
fn a_lifted_reserved_name_is_refused() {
    check(
        "message M { reserved \"a\", \"b\"; }",
        "message M { reserved \"b\"; string a = 1; }",
        &["message t.M: name `a` no longer reserved; put `reserved \"a\";` back"],
    );
}

// What enums keep.

#[test]
fn an_enum_value_removed_without_a_trace_is_refused() {
    check(
        "enum E { A = 0; B = -1; }",
        "enum E { A = 0; }",
        &["enum t.E, value -1 `B`: removed without reserving its number and name; \
           put it back, or add `reserved -1; reserved \"B\";`"],
    );
}

#[test]
fn an_enum_number_given_to_another_name_is_refused() {
    check(
        "enum E { A = 0; B = 1; }",
        "enum E { A = 0; C = 1; }",
        &["enum t.E, value 1 `B`: name was B, is C; put the name back; `allow_alias` lets a number have both"],
    );
}

#[test]
fn an_enum_value_with_another_number_is_refused() {
    check(
        "enum E { A = 0; B = 1; }",
        "enum E { A = 0; B = 2; }",
        &["enum t.E, value 1 `B`: moved to number 2; give it number 1 back"],
    );
}

#[test]
fn lifted_reserved_enum_numbers_and_names_are_refused() {
    check(
        "enum E { A = 0; reserved 2 to 3; reserved \"B\"; }",
        "enum E { A = 0; B = 3; }",
        &[
            "enum t.E: number(s) 2 to 3 no longer reserved; put `reserved 2 to 3;` back",
            "enum t.E: name `B` no longer reserved; put `reserved \"B\";` back",
        ],
    );
}

// What methods and extensions keep.

#[test]
fn another_input_or_output_of_a_method_is_refused() {
    check(
        "message M {} message N {} service S { rpc Get(M) returns (M); }",
        "message M {} message N {} service S { rpc Get(N) returns (N); }",
        &[
            "method t.S.Get: input was t.M, is t.N; put it back, or add a method with another name",
            "method t.S.Get: output was t.M, is t.N; put it back, or add a method with another name",
        ],
    );
}

#[test]
fn streaming_gained_or_lost_is_refused() {
    check(
        "message M {} service S { rpc Get(M) returns (stream M); }",
        "message M {} service S { rpc Get(stream M) returns (M); }",
        &[
            "method t.S.Get: what the client sends was one message, is a stream; \
             put it back, or add a method with another name",
            "method t.S.Get: what the server sends was a stream, is one message; \
             put it back, or add a method with another name",
        ],
    );
}

#[test]
fn another_number_type_label_or_target_of_an_extension_is_refused() {
    let remedy = "put it back, or add an extension with another name and number";
    check(
        "import \"google/protobuf/descriptor.proto\"; extend google.protobuf.FileOptions { string a = 70001; }",
        "import \"google/protobuf/descriptor.proto\"; extend google.protobuf.FieldOptions { repeated bytes a = 70002; }",
        &[
            &format!("extension t.a: number was 70001, is 70002; {remedy}"),
            &format!(
                "extension t.a: extended message was google.protobuf.FileOptions, is google.protobuf.FieldOptions; {remedy}"
            ),
            &format!("extension t.a: type was string, is bytes; {remedy}"),
            &format!("extension t.a: label was optional, is repeated; {remedy}"),
        ],
    );
}

// What is printed.

#[test]
fn every_break_is_reported_in_one_pass() {
    check(
        "message M { string a = 1; string b = 2; } message N {} enum E { A = 0; }",
        "message M { reserved 2; reserved \"b\"; bytes a = 1; } enum E { Z = 0; }",
        &[
            &format!("message t.M, field 1 `a`: type was string, is bytes; {KEEP_A}"),
            "message t.N: vanished; put it back; it may be deprecated, not removed",
            "enum t.E, value 0 `A`: name was A, is Z; put the name back; `allow_alias` lets a number have both",
        ],
    );
}
