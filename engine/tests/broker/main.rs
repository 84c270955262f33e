//! Engines as processes, on a broker, with a control plane: what a user has, and what may happen to it.

mod dead_letters;
mod delivery;
mod fleet;
mod lookup_services;
mod lookups;
mod positions;
mod records;
