//! The number of a RouteMap.

/// Which edition of the routes an event was routed by. Given by the control plane, rising by one, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteMapVersion(u64);

impl RouteMapVersion {
    /// The map that is compiled into the engine: older than all that a control plane has given.
    pub const EMBEDDED: RouteMapVersion = RouteMapVersion(0);

    /// `None` for 0, which on the wire means "none yet".
    pub fn from_wire(raw: u64) -> Option<RouteMapVersion> {
        (raw != 0).then_some(RouteMapVersion(raw))
    }

    /// The number for headers, metrics and the wire; 0 is [`RouteMapVersion::EMBEDDED`].
    pub fn get(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for RouteMapVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
