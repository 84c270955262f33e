//! Generates the Rust code for `veltrix.v1` and a descriptor set, without protoc.
//!
//! protox compiles the .proto files in this process, so a fresh clone needs nothing installed, and no generated code is checked
//! in that could fall behind its source. What the wire must keep is checked by `tests/compatibility.rs` instead.

use prost::Message as _;
use std::path::PathBuf;

const FILES: [&str; 5] = [
    "veltrix/v1/route_map.proto",
    "veltrix/v1/options.proto",
    "veltrix/v1/control_plane.proto",
    "veltrix/v1/route_updates.proto",
    "veltrix/v1/lookup.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=veltrix");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    // protox's own encoding: prost-types would drop the custom options.
    std::fs::write(out_dir.join("descriptor.binpb"), compiler.encode_file_descriptor_set())?;
    let files = prost_types::FileDescriptorSet::decode(compiler.encode_file_descriptor_set().as_slice())?;
    let services = std::env::var_os("CARGO_FEATURE_SERVICES").is_some();
    tonic_prost_build::configure()
        .build_client(services)
        .build_server(services)
        // The map travels through the control plane unread: shared, not copied.
        .bytes(".veltrix.v1")
        .compile_fds(files)?;
    Ok(())
}
