//! Where in the files each part of a map was written, so that people can be told the line.

use prost_reflect::FileDescriptor;
use std::collections::BTreeMap;
use veltrix_proto::v1::RouteMap;

/// Field numbers of `google.protobuf.FileDescriptorProto` and its parts, by which places in a file are told.
const MESSAGE_TYPE: i32 = 4;
const FILE_OPTIONS: i32 = 8;
const NESTED_TYPE: i32 = 3;
const MESSAGE_OPTIONS: i32 = 7;

/// Where the parts of a map come from.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// By the name of a repeated field of the map, for each of its elements.
    elements: BTreeMap<&'static str, Vec<Origin>>,
    options: Vec<Written>,
}

/// Where an element of the map was written.
#[derive(Clone, Debug)]
struct Origin {
    file: String,
    /// Place among the options, if it is known where that stands.
    option: Option<usize>,
    /// Its place among the elements of that option's field.
    nth: usize,
}

/// The value of an option.
#[derive(Debug)]
struct Written {
    /// From its first brace on, to the last brace of the line on which it ends.
    text: String,
    line: usize,
}

/// A field in the files that a map was collected from.
#[derive(Debug, PartialEq, Eq)]
pub struct Place<'p> {
    /// The name of the file.
    pub file: &'p str,
    /// The value of the option that says the field, in protobuf's text form from its first brace on (what ends on the same line, such as the
    /// message around it, may follow), and the line on which it begins, from 1.
    pub option: Option<(&'p str, usize)>,
    /// The field's path within that value.
    pub path: String,
}

impl Origins {
    /// Takes note of where the elements come from that were added to the map since the last time.
    pub(super) fn note(&mut self, map: &RouteMap, file: &str, written: Option<(String, usize)>) {
        let option = written.map(|(text, line)| {
            self.options.push(Written { text, line });
            self.options.len() - 1
        });
        let fields = [
            ("sources", map.sources.len()),
            ("destinations", map.destinations.len()),
            ("routes", map.routes.len()),
            ("tenants", map.tenants.len()),
            ("lookups", map.lookups.len()),
        ];
        for (field, count) in fields {
            let known = self.elements.entry(field).or_default();
            let news = 0..count.saturating_sub(known.len());
            known.extend(news.map(|nth| Origin { file: file.to_owned(), option, nth }));
        }
    }

    /// Where the field at `path` is said, if it is within an element.
    pub(super) fn place_of(&self, path: &str) -> Option<Place<'_>> {
        let (field, rest) = path.split_once('[')?;
        let (index, rest) = rest.split_once(']')?;
        let Origin { file, option, nth } = self.elements.get(field)?.get(index.parse::<usize>().ok()?)?;
        let written = option.and_then(|option| self.options.get(option));
        let option = written.map(|written| (written.text.as_str(), written.line));
        Some(Place { file, option, path: format!("{field}[{nth}]{rest}") })
    }
}

/// The value of an option of a file, or of the message that `message` is the path of in its file's descriptor; `None` if it is not written
/// with braces in one piece.
pub(super) fn written(
    file: &FileDescriptor,
    source: &str,
    message: Option<&[i32]>,
    option: u32,
) -> Option<(String, usize)> {
    let mut path: Vec<i32> = match message {
        Some(message) => message.iter().copied().chain([MESSAGE_OPTIONS]).collect(),
        None => vec![FILE_OPTIONS],
    };
    path.push(i32::try_from(option).ok()?);
    let locations = &file.file_descriptor_proto().source_code_info.as_ref()?.location;
    let span = &locations.iter().find(|location| location.path == path)?.span;
    let (first, column, last) = match **span {
        [first, column, _] => (first, column, first),
        [first, column, last, _] => (first, column, last),
        _ => return None,
    };
    let [first, column, last] = [first, column, last].map(|number| usize::try_from(number).unwrap_or_default());
    let lines: Vec<&str> = source.split_inclusive('\n').collect();
    let before: usize = lines.get(..first)?.iter().map(|line| line.len()).sum();
    let length: usize = lines.get(first..=last)?.iter().map(|line| line.len()).sum();
    let statement = source.get(before..before + length)?;
    // Columns are told by tabs' width, too: then the word says where the statement begins.
    let begin = statement
        .get(column..)
        .filter(|rest| rest.starts_with("option"))
        .map_or_else(|| statement.find("option"), |_| Some(column))?;
    let equals = begin + statement.get(begin..)?.find('=')?;
    let value = equals + 1 + statement.get(equals + 1..)?.find('{')?;
    let end = statement.rfind('}')?;
    let line = first + statement.get(..value)?.matches('\n').count() + 1;
    Some((statement.get(value..=end)?.to_owned(), line))
}

/// The path in its file's descriptor of a message that is declared as the `nth` of a file, or within the one at `outer`.
pub(super) fn path_of_message(outer: Option<&[i32]>, nth: usize) -> Vec<i32> {
    let nth = i32::try_from(nth).unwrap_or(i32::MAX);
    match outer {
        Some(outer) => outer.iter().copied().chain([NESTED_TYPE, nth]).collect(),
        None => vec![MESSAGE_TYPE, nth],
    }
}
