//! RouteMaps in files: in the forms that people and programs write, by the file's extension or by what is asked for.

use crate::places::Places;
use crate::print::{Failure, Reason};
use bytes::Bytes;
use clap::ValueEnum;
use console::Term;
use prost::Message as _;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use veltrix_control_plane::json::{Mapping, MappingError};
use veltrix_control_plane::with_sources;
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::schema::{self, FromSchemas};
use veltrix_route_table::{Compiler, Reason as Fault, Refused, route_ids};

const ROUTE_MAP: &str = "veltrix.v1.RouteMap";

/// How a RouteMap is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Serialized, byte by byte as it was applied.
    Binpb,
    /// Protobuf JSON.
    Json,
    /// Protobuf text form.
    Txtpb,
}

impl Format {
    fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "binpb" | "pb" => Some(Format::Binpb),
            "json" => Some(Format::Json),
            "txtpb" | "textproto" => Some(Format::Txtpb),
            _ => None,
        }
    }
}

/// A RouteMap that was read.
pub(crate) struct Source {
    /// Serialized.
    pub(crate) route_map: Bytes,
    from: From,
}

enum From {
    /// With its text, if it is one.
    File(String, Option<String>),
    Schemas(Box<FromSchemas>),
}

impl Source {
    /// Says of faults of this map where to look, and of which routes they are.
    pub(crate) fn locate(&self, reasons: &mut [Reason]) {
        let routes = route_ids(&self.route_map, reasons.iter().map(|reason| reason.path.as_str()));
        let places = match &self.from {
            From::File(_, Some(text)) => Some(Places::of(text)),
            From::File(_, None) | From::Schemas(_) => None,
        };
        // By the line on which an option begins and its file.
        let mut options: BTreeMap<(&str, usize), Places<'_>> = BTreeMap::new();
        for (reason, route) in reasons.iter_mut().zip(routes) {
            // An engine that names no field does not blame the map.
            if !reason.engine.is_empty() && reason.path.is_empty() {
                continue;
            }
            reason.route = route;
            match &self.from {
                From::File(name, _) => {
                    reason.file = name.clone();
                    reason.line = places.as_ref().and_then(|places| places.line_of(&reason.path));
                }
                From::Schemas(schemas) => {
                    let Some(place) = schemas.place_of(&reason.path) else { continue };
                    reason.file = place.file.to_owned();
                    reason.line = place.option.and_then(|(text, first)| {
                        let option = options.entry((place.file, first)).or_insert_with(|| Places::of(text));
                        Some(first - 1 + option.line_of(&place.path)?)
                    });
                }
            }
        }
    }
}

/// `-` is standard input, or standard output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// One RouteMap from one file or from standard input, or from any number of schemas.
pub(crate) fn read(paths: &[PathBuf], format: Option<Format>, mapping: &Mapping) -> Result<Source, Failure> {
    let is_schema = |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|extension| extension == "proto");
    if format.is_none() && paths.iter().all(is_schema) {
        let mut schemas = schema::collect_files(paths).map_err(|fault| Failure::invalid(with_sources(&fault)))?;
        let faults = std::mem::take(&mut schemas.faults);
        let source = Source { route_map: schemas.map.encode_to_vec().into(), from: From::Schemas(Box::new(schemas)) };
        return if faults.is_empty() { Ok(source) } else { Err(refused(faults, &source)) };
    }
    let [path] = paths else {
        return Err(Failure::usage(
            "several files make a RouteMap only if all of them are .proto files or directories of such".into(),
        ));
    };
    let (shown, bytes) = match is_standard(path) {
        true => ("standard input".to_owned(), read_standard_input()),
        false => (path.display().to_string(), std::fs::read(path)),
    };
    let Some(format) = format.or_else(|| Format::of(path)) else {
        return Err(Failure::usage(match is_standard(path) {
            true => {
                "what comes from standard input has no extension; say what it is: --format txtpb, json or binpb".into()
            }
            false => format!(
                "`{shown}` has no extension that says what it is: .binpb, .pb, .json, .txtpb, .textproto or .proto; give --format"
            ),
        }));
    };
    let bytes = bytes.map_err(|error| Failure::invalid(format!("can't read `{shown}`: {error}")))?;
    let map: Result<RouteMap, _> = match format {
        // As it is: what a newer release wrote must arrive unchanged.
        Format::Binpb => return Ok(Source { route_map: bytes.into(), from: From::File(shown, None) }),
        Format::Json => mapping.from_json(ROUTE_MAP, &bytes),
        Format::Txtpb => match str::from_utf8(&bytes) {
            Ok(text) => mapping.from_text(ROUTE_MAP, text),
            Err(fault) => return Err(Failure::invalid(format!("`{shown}` is not UTF-8 text: {fault}"))),
        },
    };
    let map = map.map_err(|fault| match fault {
        // As compilers say it, so that editors can jump there.
        MappingError::Json { place, fault, .. } | MappingError::Text { place, fault, .. } => Failure::Refused {
            text: format!("{shown}:{}:{}: {fault}", place.line, place.column),
            reasons: Vec::new(),
            hint: looks_like(format, &bytes),
        },
        other => Failure::invalid(format!("`{shown}` is {other}")),
    })?;
    let from = From::File(shown, String::from_utf8(bytes).ok());
    Ok(Source { route_map: map.encode_to_vec().into(), from })
}

/// With what else is wrong with the map, so that all of it can be mended at once.
fn refused(mut reasons: Vec<Fault>, source: &Source) -> Failure {
    let mut omitted = 0;
    if let Err(refused) = Compiler::new().compile(&source.route_map) {
        let is_told = |more: &Fault| reasons.iter().any(|reason| reason.path == more.path);
        let more: Vec<Fault> = refused.reasons.into_iter().filter(|more| !is_told(more)).collect();
        reasons.extend(more);
        omitted = refused.omitted;
    }
    Failure::refused(&Refused::of(reasons, omitted), source)
}

/// What to do if a text is not in the form that it was said to be in, but in the other one.
fn looks_like(format: Format, bytes: &[u8]) -> Option<String> {
    let begins_as_json = bytes.trim_ascii_start().first()? == &b'{';
    let (name, form) = match (format, begins_as_json) {
        (Format::Json, false) => ("txtpb", "protobuf's text form"),
        (Format::Txtpb, true) => ("json", "JSON"),
        _ => return None,
    };
    Some(format!("it looks like {form}; read it with --format {name}"))
}

fn read_standard_input() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As asked for, or as the output's name says, or as text.
pub(crate) fn output_format(format: Option<Format>, output: Option<&Path>) -> Result<Format, Failure> {
    let by_name = output.and_then(Format::of);
    // A name that says nothing is one thing, and one that says what can't be written another.
    if let (None, None, Some(ending)) = (format, by_name, output.and_then(Path::extension)) {
        return Err(Failure::usage(format!(
            "a RouteMap is not written as `.{}`; end the name in .txtpb, .json or .binpb, or give --format",
            ending.display()
        )));
    }
    let format = format.or(by_name).unwrap_or(Format::Txtpb);
    if format == Format::Binpb && output.is_none() && Term::stdout().is_term() {
        return Err(Failure::usage("binpb is not for a terminal; give -o FILE, or --format txtpb or json".into()));
    }
    Ok(format)
}

pub(crate) fn write(route_map: Bytes, format: Format, mapping: &Mapping) -> Result<Vec<u8>, Failure> {
    if format == Format::Binpb {
        return Ok(route_map.into());
    }
    let map = RouteMap::decode(route_map)
        .map_err(|fault| Failure::invalid(format!("what the control plane sent is no RouteMap: {fault}")))?;
    let text = match format {
        Format::Txtpb => mapping.to_text(ROUTE_MAP, &map),
        Format::Json | Format::Binpb => mapping.to_json(ROUTE_MAP, &map),
    };
    text.map(|text| (text + "\n").into_bytes()).map_err(|fault| Failure::invalid(fault.to_string()))
}

pub(crate) fn save(written: &[u8], path: &Path) -> Result<(), Failure> {
    std::fs::write(path, written)
        .map_err(|error| Failure::invalid(format!("can't write `{}`: {error}", path.display())))
}
