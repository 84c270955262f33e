//! `veltrix dev`: everything in one process.

pub mod broker;
pub mod game;
pub mod storm;
pub mod updates;
pub mod view;
