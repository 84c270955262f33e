//! `veltrix dev`: everything in one process.

pub mod broker;
mod command;
pub mod game;
mod players;
pub mod storm;
mod tables;
pub mod updates;
pub mod view;

pub use command::{DevArgs, DevError, DevReport, run};
