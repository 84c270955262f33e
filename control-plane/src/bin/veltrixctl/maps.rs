//! RouteMaps in files: in the forms that people and programs write, by the file's extension.

use crate::print::Failure;
use bytes::Bytes;
use clap::ValueEnum;
use console::Term;
use prost::Message as _;
use std::path::{Path, PathBuf};
use veltrix_control_plane::json::Mapping;
use veltrix_control_plane::with_sources;
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::schema;

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

/// One RouteMap from one file, or from any number of schemas.
pub(crate) fn read(paths: &[PathBuf], mapping: &Mapping) -> Result<Bytes, Failure> {
    let is_schema = |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|extension| extension == "proto");
    if paths.iter().all(is_schema) {
        let map = schema::compile_files(paths).map_err(|fault| Failure::invalid(with_sources(&fault)))?;
        return Ok(map.encode_to_vec().into());
    }
    let [path] = paths else {
        return Err(Failure::usage(
            "several files make a RouteMap only if all of them are .proto files or directories of such".into(),
        ));
    };
    let shown = path.display();
    let Some(format) = Format::of(path) else {
        return Err(Failure::usage(format!(
            "`{shown}` has no extension that says what it is: .binpb, .pb, .json, .txtpb, .textproto or .proto"
        )));
    };
    let bytes = std::fs::read(path).map_err(|error| Failure::invalid(format!("can't read `{shown}`: {error}")))?;
    let map: Result<RouteMap, _> = match format {
        // As it is: what a newer release wrote must arrive unchanged.
        Format::Binpb => return Ok(bytes.into()),
        Format::Json => mapping.from_json(ROUTE_MAP, &bytes),
        Format::Txtpb => match str::from_utf8(&bytes) {
            Ok(text) => mapping.from_text(ROUTE_MAP, text),
            Err(fault) => return Err(Failure::invalid(format!("`{shown}` is not UTF-8 text: {fault}"))),
        },
    };
    map.map(|map| map.encode_to_vec().into()).map_err(|fault| Failure::invalid(format!("`{shown}` is {fault}")))
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

/// Into the file, or back to be written to stdout.
pub(crate) fn save(written: Vec<u8>, output: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let Some(path) = output else { return Ok(written) };
    std::fs::write(path, &written)
        .map_err(|error| Failure::invalid(format!("can't write `{}`: {error}", path.display())))?;
    Ok(Vec::new())
}

pub(crate) fn json<M: prost::Message>(name: &str, message: &M, mapping: &Mapping) -> Result<String, Failure> {
    let json = mapping.to_json(name, message).map_err(|fault| Failure::invalid(fault.to_string()))?;
    Ok(json + "\n")
}
