//! `loadtest`, the command line: measures Veltrix, alone and beside its peers.
//!
//! Start at `match_command` for Veltrix alone, at `compare` for the comparison. What is measured stands behind the seam in `matcher`;
//! `veltrix` is the only thing behind it, and a stand-in in tests. Rules and events come from `input` or are made by `generate`.

mod churn;
mod clock;
mod compare;
mod failure;
mod generate;
mod hash;
mod input;
mod match_command;
mod matcher;
mod measure;
mod report;
#[cfg(test)]
mod stand_in;
mod veltrix;

use clap::{Parser, Subcommand};
use compare::CompareArgs;
use failure::Failure;
use match_command::MatchArgs;
use std::process::ExitCode;

/// Measures Veltrix, alone and beside its peers, and checks the answers while it does
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 done; 1 a rule or an event was refused, an answer is wrong, a match was lost, or a file can't be read or written; 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Match events from a file by rules from a file, and say how fast that is
    #[command(after_help = match_command::EXAMPLES)]
    Match(MatchArgs),
    /// Run Veltrix and its peers on the same work
    #[command(subcommand)]
    Compare(Compare),
}

#[derive(Subcommand)]
enum Compare {
    /// Match the same events by the same rules in all engines, in turns, and check that the answers agree
    #[command(after_help = compare::EXAMPLES)]
    Match(CompareArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("loadtest: {}", failure.describe());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Match(args) => match_command::run(&args, "veltrix", &mut veltrix::Veltrix::default()),
        Command::Compare(Compare::Match(args)) => compare::run(&args),
    }
}
