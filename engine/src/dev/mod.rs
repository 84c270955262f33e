//! `veltrix dev`: everything in one process.
