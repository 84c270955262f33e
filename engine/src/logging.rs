//! Logs: structured, to standard error.

use clap::ValueEnum;
use std::io::{self, IsTerminal as _, Stderr, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// How often something was written to the logs. What draws on standard error, too, must not draw over that.
pub(crate) fn written() -> u64 {
    WRITTEN.load(Ordering::Relaxed)
}

/// Standard error, counting.
struct Counted(Stderr);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.fetch_add(1, Ordering::Relaxed);
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Sends tracing's events to standard error. `filter` is as in `RUST_LOG`: `info`, `veltrix_engine=debug,info`.
///
/// # Errors
/// The filter can't be parsed, or there are logs already.
pub fn init(format: LogFormat, filter: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(filter)?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Counted(io::stderr()));
    match format {
        LogFormat::Text => builder.with_ansi(colour).with_target(false).try_init(),
        LogFormat::Json => builder.json().with_ansi(false).flatten_event(true).try_init(),
    }
}
