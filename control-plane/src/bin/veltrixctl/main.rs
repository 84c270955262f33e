//! The program `veltrixctl`: what operators type.
//!
//! Start at [`run`]. Files are read and written in [`maps`], the control plane is called in [`remote`], and what people see is
//! written in [`print`].

mod maps;
mod print;
mod remote;

use clap::{Parser, Subcommand};
use maps::Format;
use print::Failure;
use std::path::PathBuf;
use std::process::ExitCode;
use veltrix_control_plane::json::Mapping;
use veltrix_control_plane::validate::Validator;
use veltrix_proto::v1::engine_outcome::Outcome;

const EXAMPLES: &str = "\
Examples:
  veltrixctl validate routes.proto                        every fault of it, without a control plane
  veltrixctl apply schemas/ --dry-run                     would every engine take it?
  veltrixctl apply schemas/ --note \"open the spring hunt\"  make it the map of the whole fleet
  veltrixctl status                                       which engine runs which version
  veltrixctl versions                                     what was applied, when, and what became of it
  veltrixctl get --version 6 -o before.binpb && veltrixctl apply before.binpb --note \"back to 6\"

A FILE is a RouteMap: .binpb or .pb (serialized), .json (protobuf JSON), .txtpb or .textproto (protobuf text form);
or it is a .proto file, or a directory of them, whose options say the routes: of these there may be several.

Exit codes: 0 done; 1 refused or invalid; 2 wrong usage; 3 the control plane can't be reached, or can't work at the moment;
4 the map is in force, but an engine has not confirmed it yet.
Colours appear on a terminal only, and not if NO_COLOR is set.";

/// Changes the routes of a running fleet, and shows what it runs.
#[derive(Parser)]
#[command(name = "veltrixctl", version, after_help = EXAMPLES)]
struct Arguments {
    /// Where the control plane listens.
    #[arg(
        long,
        global = true,
        env = "VELTRIX_CONTROL_PLANE",
        value_name = "URL",
        default_value = "http://127.0.0.1:7070"
    )]
    control_plane: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a RouteMap the one in force on every engine, or on none.
    Apply {
        /// The RouteMap, or the schemas to make it from.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Refuse if another version is in force; 0: if any is.
        #[arg(long, value_name = "VERSION")]
        expected_version: Option<u64>,
        /// Let every engine prepare the map, but don't switch, number or store it.
        #[arg(long)]
        dry_run: bool,
        /// Why; kept with the version.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
        /// Refuse if fewer engines than this are connected.
        #[arg(long, value_name = "COUNT", default_value = "0", hide_default_value = true)]
        minimum_engines: u32,
        /// Write the answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says everything that is wrong with a RouteMap, without a control plane.
    Validate {
        /// The RouteMap, or the schemas to make it from.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Writes the RouteMap in force, or that of another version.
    Get {
        /// Which one, if not the one in force.
        #[arg(long, value_name = "VERSION")]
        version: Option<std::num::NonZeroU64>,
        /// Where to write it, if not to stdout.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// How to write it; if not given, as the output's extension says, or as txtpb.
        #[arg(long, value_name = "FORMAT")]
        format: Option<Format>,
    },
    /// Lists what was applied and what became of it, newest first.
    Versions {
        /// At most so many.
        #[arg(long, value_name = "COUNT", default_value = "20")]
        limit: u32,
        /// Only those below this version.
        #[arg(long, value_name = "VERSION")]
        before: Option<u64>,
    },
    /// Shows the engines, what each one runs, and how far it is behind.
    Status,
    /// Shows every limit of a RouteMap, and what the one in force uses of it.
    Limits,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(Done { text, unconfirmed }) => {
            let written = print::to_stdout(&text);
            if unconfirmed { ExitCode::from(4) } else { written }
        }
        Err(failure) => print::to_stderr(&failure),
    }
}

/// What goes to stdout, and how it went.
struct Done {
    text: Vec<u8>,
    /// An update is decided, but not every engine has said that it routes by it.
    unconfirmed: bool,
}

/// Does what was asked for.
#[tokio::main(flavor = "current_thread")]
async fn run(arguments: Arguments) -> Result<Done, Failure> {
    let mut unconfirmed = false;
    let mapping =
        Mapping::new().map_err(|fault| Failure::invalid(format!("this program was built wrongly: {fault}")))?;
    let remote = || remote::Remote::connect(&arguments.control_plane);
    let text = match arguments.command {
        Command::Apply { files, expected_version, dry_run, note, minimum_engines, json } => {
            let route_map = maps::read(&files, &mapping)?;
            let request = remote::Apply { route_map, expected_version, dry_run, note, minimum_engines };
            let answer = remote().await?.apply(request).await?;
            let settled = [Outcome::InForce, Outcome::Prepared];
            unconfirmed = !answer.engines.iter().all(|engine| settled.contains(&engine.outcome()));
            if json {
                maps::json("veltrix.v1.UpdateRouteMapResponse", &answer, &mapping)?
            } else {
                print::applied(&answer, dry_run)
            }
        }
        Command::Validate { files } => {
            let route_map = maps::read(&files, &mapping)?;
            let checked = Validator::default().check(&route_map).map_err(|refused| Failure::refused(&refused))?;
            print::valid(&route_map, &checked.size())
        }
        Command::Get { version, output, format } => {
            let format = maps::output_format(format, output.as_deref())?;
            let route_map = remote().await?.route_map(version.map_or(0, Into::into)).await?;
            let written = maps::write(route_map, format, &mapping)?;
            return maps::save(written, output.as_deref()).map(|text| Done { text, unconfirmed });
        }
        Command::Versions { limit, before } => {
            print::versions(&remote().await?.versions(limit, before.unwrap_or(0)).await?)
        }
        Command::Status => {
            let mut remote = remote().await?;
            let engines = remote.engines().await?;
            let newest = remote.in_force(engines.version_in_force).await?;
            print::status(&arguments.control_plane, &engines, newest.as_ref())
        }
        Command::Limits => print::limits(&remote().await?.limits().await?),
    };
    Ok(Done { text: text.into_bytes(), unconfirmed })
}
