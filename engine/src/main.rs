//! `veltrix`, the engine's command line.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use veltrix_control_plane::with_sources;
use veltrix_engine::Engine;
use veltrix_engine::config::{Config, RunArgs};
use veltrix_engine::dev::DevArgs;
use veltrix_engine::logging::{self, LogFormat};

/// Kafka's C client allocates several times per record and header, and frees on another thread, which glibc's malloc answers with locks
/// and consolidation: a third of the engine's processor time. The crate's feature `override` makes C code use this one, too.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Routes events from Kafka by a RouteMap that can be changed while it runs
#[derive(Parser)]
#[command(
    name = "veltrix",
    version,
    after_help = "Exit status: 0 stopped with nothing left to do, 1 failed (also: the --listen address is taken) or stopped with events left that are repeated, 2 wrong usage, 130 stopped at once by a second signal."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How log lines look; they go to standard error
    #[arg(long, env = "VELTRIX_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    log_format: LogFormat,

    /// Which log lines there are, as in RUST_LOG: veltrix_engine=debug,info [default: info; for dev: warn]
    #[arg(long, env = "VELTRIX_LOG", value_name = "FILTER", global = true)]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Route events of a Kafka cluster
    #[command(
        after_help = "Example:\n  veltrix run --brokers localhost:9092 --source game-events --control-plane localhost:7070"
    )]
    Run(Box<RunArgs>),
    /// Start everything in one process: a broker, the control plane, the engine with the example routes, and a storm of game events
    #[command(
        after_help = "The audit at the end reads what arrived; exit status 1 if anything was lost or misrouted.\n\nExample:\n  veltrix dev --rate 20000 --seconds 60 --updates-per-second 17 --json"
    )]
    Dev(DevArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = matches!(cli.command, Command::Dev(_));
    let filter = cli.log.as_deref().unwrap_or(if quiet { "warn" } else { "info" });
    if let Err(error) = logging::init(cli.log_format, filter) {
        eprintln!("veltrix: can't use --log `{filter}`: {error}");
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("can't start the runtime: {error}")),
    };
    let result = match cli.command {
        Command::Run(args) => runtime.block_on(run(args)),
        Command::Dev(args) => runtime.block_on(dev(args)),
    };
    // Clients that did not close in time must not keep the process: nothing of theirs was committed.
    runtime.shutdown_background();
    result
}

async fn run(args: Box<RunArgs>) -> ExitCode {
    let config = match Config::new(*args) {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("veltrix: {error}"));
            return ExitCode::from(2);
        }
    };
    let shutdown = CancellationToken::new();
    if let Err(error) = stop_on_signals(shutdown.clone()) {
        return failed(&format!("can't listen for signals: {error}"));
    }
    let ended = match Engine::start(config).await {
        Ok(engine) => {
            if let Some(address) = engine.admin_address() {
                tracing::info!("http://{address}/readyz and /metrics");
            }
            engine.run_until(shutdown).await
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&with_sources(&error)),
    }
}

async fn dev(args: DevArgs) -> ExitCode {
    let shutdown = CancellationToken::new();
    if let Err(error) = stop_on_signals(shutdown.clone()) {
        return failed(&format!("can't listen for signals: {error}"));
    }
    let json = args.json;
    let report = match veltrix_engine::dev::run(args, shutdown).await {
        Ok(report) => report,
        Err(error) => return failed(&with_sources(&error)),
    };
    if json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => return failed(&format!("can't print the report: {error}")),
        }
    } else {
        println!("{report}");
    }
    if report.audit.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failed(message: &str) -> ExitCode {
    tracing::error!("{message}");
    ExitCode::FAILURE
}

/// The first SIGTERM or SIGINT asks to stop; a second one does not ask.
fn stop_on_signals(shutdown: CancellationToken) -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                shutdown.cancel();
            } else {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}
