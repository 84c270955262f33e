//! `veltrix dev`: everything in one process.

pub mod broker;
mod command;
pub mod game;
pub mod storm;
mod tables;
pub mod updates;
pub mod view;

pub use command::{DevArgs, DevError, DevReport, run};
