//! The program `veltrix-control-plane`: settings, logs and signals around [`veltrix_control_plane::serve()`].

use clap::{Parser, ValueEnum};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;
use tracing_subscriber::EnvFilter;
use veltrix_control_plane::{Config, HostName, StoreLocation, limits, serve, with_sources};

const EXAMPLES: &str = "\
Examples:
  Start it, with its versions under /var/lib:
    veltrix-control-plane --data-dir /var/lib/veltrix/control-plane

  Apply routes, and look at who runs them:
    veltrixctl apply routes.proto
    veltrixctl status

  Without any client of ours:
    curl -s localhost:7070/v1/engines
    curl -s localhost:7070/v1/route-map -H 'content-type: application/json' -d \"{\\\"routeMap\\\": \\\"$(base64 -w0 routes.binpb)\\\"}\"
    grpcurl -plaintext localhost:7070 veltrix.v1.ControlPlane/ListVersions

On its one port it serves
  gRPC   veltrix.v1.ControlPlane for operators, veltrix.v1.RouteUpdates for engines, grpc.health.v1.Health, reflection
  HTTP   POST and GET /v1/route-map, GET /v1/versions, /v1/engines, /v1/limits (JSON), /healthz, /readyz, /metrics

There is no authentication yet: listen where only operators and engines can reach it.

Exit codes: 0 stopped by SIGTERM or SIGINT; 1 failed: the store, the map to start with or the address can't be used;
2 wrong usage. They are those of `veltrix`.";

/// Validates, stores and hands out RouteMaps: every engine switches to a new one, or none does.
#[derive(Parser)]
#[command(name = "veltrix-control-plane", version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", limits_help()))]
struct Settings {
    /// Where operators and engines connect.
    #[arg(long, env = "VELTRIX_CONTROL_PLANE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,

    /// A name with dots by which it may be called over HTTP, such as veltrix.example.com; again, or with commas, for more. IP addresses,
    /// names without dots, and gRPC need none. It keeps out web pages whose own name was made to lead here.
    #[arg(long = "allow-host", env = "VELTRIX_ALLOW_HOST", value_name = "NAME", value_delimiter = ',')]
    allowed_hosts: Vec<HostName>,

    /// Where the versions are kept. It belongs to one control plane, and is made if it is missing.
    #[arg(long, env = "VELTRIX_DATA_DIR", value_name = "DIRECTORY", default_value = ".veltrix/control-plane")]
    data_dir: PathBuf,

    /// A serialized RouteMap that becomes the first version in force if there is none. It has the next number: 1 in a new store.
    #[arg(long, env = "VELTRIX_INITIAL_ROUTE_MAP", value_name = "FILE")]
    initial_route_map: Option<PathBuf>,

    /// Keep the maps of so many newest versions. Never dropped: the one in force, and those that connected engines run.
    #[arg(long, env = "VELTRIX_KEEP_VERSIONS", value_name = "COUNT", default_value = "1000")]
    keep_versions: NonZeroU64,

    /// How long an engine may take to say whether it can use a map. If one does not, the update is aborted.
    #[arg(long, env = "VELTRIX_PREPARE_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = duration)]
    prepare_timeout: Duration,

    /// How long to wait for an engine to confirm its switch, before the answer says that it has not.
    #[arg(long, env = "VELTRIX_COMMIT_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = duration)]
    commit_timeout: Duration,

    /// How long stopping may take. An update that is under way for longer is given up.
    #[arg(long, env = "VELTRIX_STOP_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = duration)]
    stop_timeout: Duration,

    /// How the log, which goes to stderr, is written.
    #[arg(long, env = "VELTRIX_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,veltrix_control_plane=debug`.
    #[arg(long = "log", env = "VELTRIX_LOG", value_name = "FILTER", default_value = "info", value_parser = log_filter)]
    log_level: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    start_log(&settings);
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => ExitCode::from(code),
    }
}

#[tokio::main]
async fn run(settings: Settings) -> Result<(), u8> {
    let initial_route_map = match &settings.initial_route_map {
        None => None,
        Some(path) => Some(std::fs::read(path).map_err(|error| {
            error!(path = %path.display(), %error, "can't read the map to start with");
            1
        })?),
    };
    let failed = |error: std::io::Error| {
        error!(address = %settings.listen, %error, "can't listen; give another --listen, or stop what listens there");
        1
    };
    // Signals first: one that comes while the store is being opened must not be lost.
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let listener = tokio::net::TcpListener::bind(settings.listen).await.map_err(failed)?;
    let config = Config {
        store: StoreLocation::Directory(settings.data_dir.clone()),
        keep_versions: settings.keep_versions,
        prepare_timeout: settings.prepare_timeout,
        commit_timeout: settings.commit_timeout,
        stop_timeout: settings.stop_timeout,
        connections: limits::CONNECTIONS,
        allowed_hosts: settings.allowed_hosts.clone(),
        initial_route_map: initial_route_map.map(Into::into),
    };
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(config, listener, shutdown).await.map_err(|error| {
        error!(error = with_sources(&error), "the control plane can't start");
        1
    })
}

fn start_log(settings: &Settings) {
    // The filter was checked when the flag was parsed.
    let filter = EnvFilter::try_new(&settings.log_level).unwrap_or_default();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => log.with_ansi(console::colors_enabled_stderr()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let fault = || format!("`{text}` is not a time; write it as `500ms`, `10s` or `2m`, and more than nothing");
    let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(fault)?;
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| fault())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(fault()),
    };
    if number == 0 { Err(fault()) } else { Ok(unit * number) }
}

fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|fault| fault.to_string())
}

fn limits_help() -> String {
    format!(
        "Limits of the control plane (those of a RouteMap: `veltrixctl limits`):
  {} bytes of an UpdateRouteMap request over gRPC, {} over HTTP
  {} updates checked or waiting at once; one is made at a time
  {} bytes of updates that are arriving, together; {} bytes of each in every {:?}
  {} RouteMaps read at once
  {} engines, {} connections, {} requests at once per connection
  {} engines are asked to prepare a map at once",
        limits::REQUEST_BYTES,
        limits::JSON_REQUEST_BYTES,
        limits::UPDATES_WAITING,
        limits::ARRIVING_BYTES,
        limits::BODY_PACE.0,
        limits::BODY_PACE.1,
        limits::MAP_READS,
        limits::ENGINES,
        limits::CONNECTIONS,
        limits::STREAMS_PER_CONNECTION,
        limits::PREPARES_AT_ONCE,
    )
}
