//! `veltrix dev`: everything in one process.

pub mod game;
