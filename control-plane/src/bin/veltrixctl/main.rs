//! The program `veltrixctl`: what operators type.
//!
//! Start at [`run`]. Files are read and written in [`maps`] and [`events`], places in them are found in [`places`], the control plane is called
//! in [`remote`], what needs none is found out in [`offline`], and what people see is written in [`print`].

mod events;
mod maps;
mod offline;
mod places;
mod print;
mod remote;

use clap::{Parser, Subcommand};
use maps::Format;
use print::Failure;
use serde_json::{Value, json};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use veltrix_control_plane::json::{Mapping, MappingError};
use veltrix_control_plane::map_id::MapDigest;
use veltrix_control_plane::validate::Validator;
use veltrix_proto::v1::engine_outcome::Outcome;

const EXAMPLES: &str = "\
Examples:
  veltrixctl validate routes.proto                        what is wrong with it, without a control plane
  veltrixctl explain routes.proto event.json              why this event goes where it goes
  veltrixctl diff before.binpb routes.proto               what a change changes
  veltrixctl apply schemas/ --dry-run                     would every engine take it?
  veltrixctl apply schemas/ --note \"open the spring hunt\"  make it the map of the whole fleet
  veltrixctl status                                       which engine runs which version
  veltrixctl versions                                     what was applied, when, and what became of it
  veltrixctl get --version 6 -o before.binpb && veltrixctl apply before.binpb --note \"back to 6\"
`veltrixctl COMMAND --help` has more.

A FILE is a RouteMap: .binpb or .pb (serialized), .json (protobuf JSON), .txtpb or .textproto (protobuf text form);
or it is a .proto file, or a directory of them, whose options say the routes: of these there may be several.
`-` is standard input; --format says what comes from there.

With --json every command writes one JSON object to stdout instead: its answer, or `error`, `reasons`, `hint` and
`exitCode`, also for wrong usage. Messages are in protobuf's JSON form, in which 64-bit numbers are strings and bytes are base64.

Exit codes: 0 done; 1 refused or invalid; 2 wrong usage; 3 the control plane can't be reached, or can't work at the moment;
4 the map is in force, but an engine has not confirmed it yet.
Colours appear on a terminal only, and not if NO_COLOR is set.";

const APPLY_EXAMPLES: &str = "\
Examples:
  veltrixctl apply routes.proto --note \"rewards for chests\"
  veltrixctl apply schemas/ --dry-run                 asks every engine, and changes nothing
  veltrixctl apply a.binpb --expected-version 41      not if somebody else was faster
  generate-routes | veltrixctl apply - --format json  from standard input
The SHA-256 of the map is always sent along, so that one that was cut or changed on its way is refused.";

const VALIDATE_EXAMPLES: &str = "\
Examples:
  veltrixctl validate routes.txtpb
  veltrixctl validate schemas/ billing.proto          all of them together are one map
  generate-routes | veltrixctl validate - --format txtpb --json";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  veltrixctl explain routes.proto event.json
  veltrixctl explain routes.proto event.json --route clues   of one route only
  echo '{\"headers\": {\"ce_type\": \"hunt.clue.found\"}, \"payload\": {\"points\": 7}}' | veltrixctl explain schemas/ -
An event is a JSON object: `topic`, `key`, `headers` (an object of texts), `payload` (any JSON), `payload_text` or `payload_base64` (a protobuf message), and `timestamp`
(milliseconds since 1970); all of them can be left out.
Nothing is looked up: `lookups` says what lookups find, by their ids, any JSON or null for nothing, and `lookups_failed` is a list of those that
fail. What depends on others is told as not known.
  echo '{\"headers\": {\"ce_type\": \"hunt.clue.found\"}, \"key\": \"p7\", \"lookups\": {\"player\": {\"region\": \"eu\"}, \"shard\": null}}' | veltrixctl explain schemas/ -";

const DIFF_EXAMPLES: &str = "\
Examples:
  veltrixctl get -o now.binpb && veltrixctl diff now.binpb routes.proto
  veltrixctl diff now.binpb routes.proto --events events.jsonl   which events are delivered otherwise
  veltrixctl diff now.binpb routes.proto --json | jq -r '.changes[] | select(.kind == \"route\") | .id'
The events are JSON objects as `veltrixctl explain --help` says, one on each line. Only what is certain is compared; those that depend on
lookups which they have no answer of in `lookups` are counted and listed.";

const ANALYZE_EXAMPLES: &str = "\
Examples:
  veltrixctl analyze routes.proto
  veltrixctl analyze routes.proto --source game-events   loops, too, if the map does not say what engines read
  veltrixctl analyze schemas/ --json | jq -r '.findings[] | [.path, .kind] | @tsv'
What is found is certain: routes that are said to add nothing can all be removed, and no event goes elsewhere. Steps are what a route
adds to an event of its types: one for each test that no other route makes and each node of its condition that has to be walked, ten for
each `any_element`.";

const GET_EXAMPLES: &str = "\
Examples:
  veltrixctl get                                      to read it
  veltrixctl get --version 6 -o before.binpb          to apply it again
  veltrixctl get --json -o now.binpb                  the map to a file, what is known of it to stdout";

const VERSIONS_EXAMPLES: &str = "\
Examples:
  veltrixctl versions
  veltrixctl versions --limit 100 --before 41
  veltrixctl versions --json | jq -r '.versions[] | select(.state == \"STATE_ABORTED\") | .reason'";

const STATUS_EXAMPLES: &str = "\
Examples:
  veltrixctl status
  veltrixctl status --control-plane 10.0.0.7:7070
  veltrixctl status --json | jq -r '.engines[] | [.engineId, .version] | @tsv'";

const LIMITS_EXAMPLES: &str = "\
Examples:
  veltrixctl limits
  veltrixctl limits --json | jq -r '.limits[] | select(.name == \"routes\") | .used'";

/// Changes the routes of a running fleet, and shows what it runs.
#[derive(Parser)]
#[command(name = "veltrixctl", version, after_help = EXAMPLES)]
struct Arguments {
    /// Where the control plane listens.
    #[arg(
        long,
        global = true,
        env = "VELTRIX_CONTROL_PLANE",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7070"
    )]
    control_plane: String,

    /// Write one JSON object to stdout, for programs.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

/// A RouteMap to read.
#[derive(clap::Args)]
struct Input {
    /// The RouteMap, or the schemas to make it from; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What FILE is, if its extension does not say so.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a RouteMap the one in force on every engine, or on none.
    #[command(after_help = APPLY_EXAMPLES)]
    Apply {
        #[command(flatten)]
        input: Input,
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
    },
    /// Says what is wrong with a RouteMap, the first 200 faults of it, without a control plane.
    #[command(after_help = VALIDATE_EXAMPLES)]
    Validate {
        #[command(flatten)]
        input: Input,
    },
    /// Says why an event goes where it goes: for each route, the test that stood in the way. Without a control plane.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain {
        /// The RouteMap, or the schemas to make it from; - is standard input.
        #[arg(value_name = "MAP")]
        map: PathBuf,
        /// The event, a JSON object; - is standard input.
        #[arg(value_name = "EVENT")]
        event: PathBuf,
        /// Only of this route.
        #[arg(long, value_name = "ID")]
        route: Option<String>,
        /// What MAP is, if its extension does not say so.
        #[arg(long, value_name = "FORMAT")]
        format: Option<Format>,
    },
    /// Says what changes from one RouteMap to another, however they are written. Without a control plane.
    #[command(after_help = DIFF_EXAMPLES)]
    Diff {
        /// The RouteMap before, or the schemas to make it from; - is standard input.
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The RouteMap after.
        #[arg(value_name = "NEW")]
        new: PathBuf,
        /// Events, one JSON object on each line: says which of them are delivered otherwise.
        #[arg(long, value_name = "FILE")]
        events: Option<PathBuf>,
        /// What OLD and NEW are, if their extensions do not say so.
        #[arg(long, value_name = "FORMAT")]
        format: Option<Format>,
    },
    /// Finds routes that add nothing or can't match, unused destinations and loops, and what each route costs. Without a control plane.
    #[command(after_help = ANALYZE_EXAMPLES)]
    Analyze {
        #[command(flatten)]
        input: Input,
        /// A topic that engines read by their own settings, besides the map's `sources`: what is sent there comes back. Repeatable.
        #[arg(long = "source", value_name = "TOPIC")]
        sources: Vec<String>,
    },
    /// Writes the RouteMap in force, or that of another version.
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// Which one, if not the one in force.
        #[arg(long, value_name = "VERSION", value_parser = version)]
        version: Option<NonZeroU64>,
        /// Where to write it, if not to stdout, which is -.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// How to write it; if not given, as the output's extension says, or as txtpb if there is none.
        #[arg(long, value_name = "FORMAT")]
        format: Option<Format>,
    },
    /// Lists what was applied and what became of it, newest first.
    #[command(after_help = VERSIONS_EXAMPLES)]
    Versions {
        /// At most so many.
        #[arg(long, value_name = "COUNT", default_value = "20")]
        limit: u32,
        /// Only those below this version.
        #[arg(long, value_name = "VERSION")]
        before: Option<u64>,
    },
    /// Shows the engines, what each one runs, and how far it is behind.
    #[command(after_help = STATUS_EXAMPLES)]
    Status,
    /// Shows every limit of a RouteMap, and what the one in force uses of it.
    #[command(after_help = LIMITS_EXAMPLES)]
    Limits,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(fault) => return misused(&fault),
    };
    let json = arguments.json;
    match run(arguments) {
        Ok(Done { text, unconfirmed }) => {
            let written = print::to_stdout(&text);
            if unconfirmed { ExitCode::from(4) } else { written }
        }
        Err(failure) if json => print::failure_to_stdout(&failure),
        Err(failure) => print::to_stderr(&failure),
    }
}

/// What could not be understood does not say whether it wanted JSON; whoever wrote the flag did.
fn misused(fault: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json");
    if !(wants_json && fault.use_stderr()) {
        fault.exit();
    }
    let told = fault.to_string();
    let told = told.strip_prefix("error: ").unwrap_or(&told);
    let told = ["\n\nUsage:", "\n\nFor more information"]
        .iter()
        .fold(told, |told, end| told.split(end).next().unwrap_or(told));
    print::failure_to_stdout(&Failure::usage(told.trim().to_owned()))
}

/// The parser of versions, which begin at 1.
fn version(text: &str) -> Result<NonZeroU64, String> {
    let number: u64 = text.parse().map_err(|fault| format!("{fault}"))?;
    NonZeroU64::new(number).ok_or_else(|| "must be at least 1".to_owned())
}

/// What goes to stdout, and how it went.
struct Done {
    text: Vec<u8>,
    /// An update is decided, but not every engine has said that it routes by it.
    unconfirmed: bool,
}

impl Done {
    fn new(text: impl Into<Vec<u8>>) -> Done {
        Done { text: text.into(), unconfirmed: false }
    }
}

/// Does what was asked for.
#[tokio::main(flavor = "current_thread")]
async fn run(arguments: Arguments) -> Result<Done, Failure> {
    let mapping =
        Mapping::new().map_err(|fault| Failure::invalid(format!("this program was built wrongly: {fault}")))?;
    let remote = || remote::Remote::connect(&arguments.control_plane);
    // What people see, or what programs do.
    let shown = |text: &dyn Fn() -> String, value: Result<Value, MappingError>| match arguments.json {
        true => value.map(|value| format!("{value:#}\n")).map_err(|fault| Failure::invalid(fault.to_string())),
        false => Ok(text()),
    };
    match arguments.command {
        Command::Apply { input, expected_version, dry_run, note, minimum_engines } => {
            let source = maps::read(&input.files, input.format, &mapping)?;
            let request = remote::Apply { source, expected_version, dry_run, note, minimum_engines };
            let answer = remote().await?.apply(request).await?;
            let settled = [Outcome::InForce, Outcome::Prepared];
            let unconfirmed = !answer.engines.iter().all(|engine| settled.contains(&engine.outcome()));
            let value = mapping.to_value("veltrix.v1.UpdateRouteMapResponse", &answer);
            let text = shown(&|| print::applied(&answer, dry_run), value)?;
            Ok(Done { text: text.into_bytes(), unconfirmed })
        }
        Command::Validate { input } => {
            let source = maps::read(&input.files, input.format, &mapping)?;
            let checked = Validator::default().check(&source.route_map);
            let size = checked.map_err(|refused| Failure::refused(&refused, &source))?.size();
            let value = mapping.to_value("veltrix.v1.RouteMapSize", &size).map(|size| {
                let sha256 = MapDigest::of(&source.route_map).to_string();
                json!({ "valid": true, "sha256": sha256, "size": size })
            });
            shown(&|| print::valid(&source.route_map, &size), value).map(Done::new)
        }
        Command::Explain { map, event, route, format } => {
            once(&[&map, &event])?;
            let answer = offline::explain(&maps::read(&[map], format, &mapping)?, &event, route.as_deref())?;
            shown(&|| answer.text.clone(), Ok(answer.value.clone())).map(Done::new)
        }
        Command::Diff { old, new, events, format } => {
            once(&[&old, &new].into_iter().chain(&events).collect::<Vec<_>>())?;
            let (old, new) = (maps::read(&[old], format, &mapping)?, maps::read(&[new], format, &mapping)?);
            let answer = offline::changes(&old, &new, events.as_deref())?;
            shown(&|| answer.text.clone(), Ok(answer.value.clone())).map(Done::new)
        }
        Command::Analyze { input, sources } => {
            let answer = offline::analysis(&maps::read(&input.files, input.format, &mapping)?, &sources)?;
            shown(&|| answer.text.clone(), Ok(answer.value.clone())).map(Done::new)
        }
        Command::Get { version, output, format } => {
            let output = output.as_deref().filter(|output| !maps::is_standard(output));
            let format = maps::output_format(format, output)?;
            let mut answer = remote().await?.route_map(version.map_or(0, Into::into)).await?;
            if let Some(output) = output {
                let route_map = std::mem::take(&mut answer.route_map);
                maps::save(&maps::write(route_map, format, &mapping)?, output)?;
            }
            if arguments.json {
                return shown(&String::new, mapping.to_value("veltrix.v1.GetRouteMapResponse", &answer)).map(Done::new);
            }
            Ok(Done::new(if output.is_some() { Vec::new() } else { maps::write(answer.route_map, format, &mapping)? }))
        }
        Command::Versions { limit, before } => {
            let answer = remote().await?.versions(limit, before.unwrap_or(0)).await?;
            let value = mapping.to_value("veltrix.v1.ListVersionsResponse", &answer);
            shown(&|| print::versions(&answer.versions), value).map(Done::new)
        }
        Command::Status => {
            let mut remote = remote().await?;
            let engines = remote.engines().await?;
            let in_force = remote.in_force(engines.version_in_force).await?;
            let value = mapping.to_value("veltrix.v1.ListEnginesResponse", &engines).and_then(|mut value| {
                let record = in_force.as_ref().map(|record| mapping.to_value("veltrix.v1.RouteMapVersion", record));
                if let Value::Object(fields) = &mut value {
                    fields.insert("inForce".into(), record.transpose()?.unwrap_or(Value::Null));
                }
                Ok(value)
            });
            shown(&|| print::status(&arguments.control_plane, &engines, in_force.as_ref()), value).map(Done::new)
        }
        Command::Limits => {
            let answer = remote().await?.limits().await?;
            let value = mapping.to_value("veltrix.v1.GetLimitsResponse", &answer);
            shown(&|| print::limits(&answer.limits), value).map(Done::new)
        }
    }
}

/// Standard input can be read once.
fn once(paths: &[&PathBuf]) -> Result<(), Failure> {
    match paths.iter().filter(|path| maps::is_standard(path)).count() {
        0 | 1 => Ok(()),
        _ => Err(Failure::usage("only one of the files can be standard input".into())),
    }
}
