//! Compiles the routes of `proto/routes/*.proto` into the binary, so that an engine can route before it has met a control plane.
//! Schemas that can't be routed by fail the build, not the engine.

use prost::Message as _;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let routes = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../proto/routes");
    println!("cargo::rerun-if-changed={}", routes.display());
    let map = veltrix_route_table::schema::compile_files(&[routes])?;
    veltrix_route_table::compile(&map)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("embedded_routes.binpb");
    std::fs::write(out, map.encode_to_vec())?;
    Ok(())
}
