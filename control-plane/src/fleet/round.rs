//! One update's way through the fleet: who takes part, how far each one is, and what the caller is told of it.
//!
//! Not here: what is sent to whom, which is [`super::state`]'s.

use super::session::SessionSerial;
use crate::map_id::MapId;
use bytes::Bytes;
use prost_types::Duration as WireDuration;
use std::collections::BTreeMap;
use veltrix_proto::v1::{self, engine_outcome::Outcome};

/// Why an update can't go on: what one engine said, or that it said nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineRefusal {
    /// Whose.
    pub engine_id: String,
    /// What it did.
    pub kind: RefusalKind,
}

/// How an engine can hold up an update.
#[derive(Clone, Debug, PartialEq)]
pub enum RefusalKind {
    /// It can't use the map.
    Refused(Vec<v1::RefusedField>),
    /// It did not say in time whether it can use the map.
    TimedOut,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Progress {
    /// Its Prepare was not sent yet.
    Waiting,
    Asked,
    Prepared,
    Refused(Vec<v1::RefusedField>),
    /// Its connection was lost before the decision.
    Gone,
    /// It was told to switch; or, if it connected too late to be asked, it is being brought to the new map.
    Told,
    /// Its connection was lost after the decision.
    Lost,
    InForce,
}

pub(super) struct Part {
    pub(super) serial: SessionSerial,
    pub(super) progress: Progress,
    pub(super) prepare: Option<WireDuration>,
    pub(super) swap: Option<WireDuration>,
}

impl Part {
    pub(super) fn new(serial: SessionSerial, progress: Progress) -> Part {
        Part { serial, progress, prepare: None, swap: None }
    }
}

pub(super) struct Round {
    pub(super) id: MapId,
    pub(super) map: Bytes,
    pub(super) decided: bool,
    /// It will be aborted, whatever the engines say.
    pub(super) dry_run: bool,
    /// By engine id.
    pub(super) parts: BTreeMap<String, Part>,
}

impl Round {
    /// The part that this connection has in the round.
    pub(super) fn part(&mut self, engine_id: &str, serial: SessionSerial) -> Option<&mut Part> {
        self.parts.get_mut(engine_id).filter(|part| part.serial == serial)
    }

    /// Every engine that was asked has answered, and there is no use in asking more.
    pub(super) fn all_answered(&self) -> bool {
        let none = |progress: &Progress| self.parts.values().all(|part| part.progress != *progress);
        none(&Progress::Asked) && (none(&Progress::Waiting) || self.is_refused())
    }

    pub(super) fn is_refused(&self) -> bool {
        self.parts.values().any(|part| matches!(part.progress, Progress::Refused(_)))
    }

    /// Every engine that was told to switch has done so, or can't say so any more.
    pub(super) fn all_confirmed(&self) -> bool {
        self.parts.values().all(|part| part.progress != Progress::Told)
    }

    pub(super) fn prepared(&self) -> usize {
        self.parts.values().filter(|part| part.progress == Progress::Prepared).count()
    }

    /// Those that stand in the way of a commit. `overdue`: the time is up, so that silence is an answer too.
    pub(super) fn refusals(&self, overdue: bool) -> Vec<EngineRefusal> {
        let refusal = |(engine_id, part): (&String, &Part)| {
            let kind = match &part.progress {
                Progress::Refused(reasons) => RefusalKind::Refused(reasons.clone()),
                Progress::Waiting | Progress::Asked if overdue => RefusalKind::TimedOut,
                _ => return None,
            };
            Some(EngineRefusal { engine_id: engine_id.clone(), kind })
        };
        self.parts.iter().filter_map(refusal).collect()
    }

    pub(super) fn outcomes(&self) -> Vec<v1::EngineOutcome> {
        self.parts.iter().map(|(engine_id, part)| outcome(engine_id, part)).collect()
    }
}

fn outcome(engine_id: &str, part: &Part) -> v1::EngineOutcome {
    let (outcome, detail) = match &part.progress {
        Progress::InForce => (Outcome::InForce, String::new()),
        Progress::Prepared => (Outcome::Prepared, String::new()),
        Progress::Gone => (Outcome::Disconnected, "the connection was lost; it gets the map when it is back".into()),
        Progress::Lost => (Outcome::Unconfirmed, "the connection was lost; it gets the map when it is back".into()),
        Progress::Refused(reasons) => (Outcome::Unconfirmed, format!("it refused the map: {}", reasons_text(reasons))),
        Progress::Waiting | Progress::Asked | Progress::Told => {
            (Outcome::Unconfirmed, "it has not confirmed the switch yet".into())
        }
    };
    v1::EngineOutcome {
        engine_id: engine_id.into(),
        outcome: outcome.into(),
        prepare: part.prepare,
        swap: part.swap,
        detail,
    }
}

/// For people, in one line.
pub(crate) fn reasons_text(reasons: &[v1::RefusedField]) -> String {
    if reasons.is_empty() {
        return "it gave no reason".into();
    }
    let text = |reason: &v1::RefusedField| match reason.path.as_str() {
        "" => reason.message.clone(),
        path => format!("{path}: {}", reason.message),
    };
    reasons.iter().map(text).collect::<Vec<_>>().join("; ")
}
