//! RouteMaps in files: in the forms that people and programs write, by the file's extension or by what is asked for.

use crate::print::Failure;
use bytes::Bytes;
use clap::ValueEnum;
use console::Term;
use prost::Message as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use veltrix_control_plane::json::{Mapping, MappingError};
use veltrix_control_plane::with_sources;
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::schema::{self, FromSchemas};

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
    File(String),
    Schemas(Box<FromSchemas>),
}

impl Source {
    /// The file to look into for the field at `path`; empty if it can't be said.
    pub(crate) fn file_of(&self, path: &str) -> &str {
        match &self.from {
            From::File(name) => name,
            From::Schemas(schemas) => schemas.file_of(path).unwrap_or_default(),
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
        let schemas = schema::collect_files(paths).map_err(|fault| Failure::invalid(with_sources(&fault)))?;
        return Ok(Source { route_map: schemas.map.encode_to_vec().into(), from: From::Schemas(Box::new(schemas)) });
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
        Format::Binpb => return Ok(Source { route_map: bytes.into(), from: From::File(shown) }),
        Format::Json => mapping.from_json(ROUTE_MAP, &bytes),
        Format::Txtpb => match str::from_utf8(&bytes) {
            Ok(text) => mapping.from_text(ROUTE_MAP, text),
            Err(fault) => return Err(Failure::invalid(format!("`{shown}` is not UTF-8 text: {fault}"))),
        },
    };
    let map = map.map_err(|fault| match fault {
        // As compilers say it, so that editors can jump there.
        MappingError::Json { place, fault, .. } | MappingError::Text { place, fault, .. } => {
            Failure::invalid(format!("{shown}:{}:{}: {fault}", place.line, place.column))
        }
        other => Failure::invalid(format!("`{shown}` is {other}")),
    })?;
    Ok(Source { route_map: map.encode_to_vec().into(), from: From::File(shown) })
}

fn read_standard_input() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As asked for, or as the output's name says, or as text.
pub(crate) fn output_format(format: Option<Format>, output: Option<&Path>) -> Result<Format, Failure> {
    let format = format.or_else(|| output.and_then(Format::of)).unwrap_or(Format::Txtpb);
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
