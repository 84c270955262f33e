//! One connection of one engine, as far as the fleet is concerned: what it runs, what it was asked and told.
//!
//! Not here: when it is asked or told something ([`super::state`]), and its gRPC stream ([`crate::engine_service`]).

use crate::limits;
use crate::map_id::MapId;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use veltrix_proto::v1::{self, route_update::Update};

/// Tells two connections of the same engine apart. Given in the order of connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionSerial(pub(super) u64);

/// Where an engine's stream takes its messages from.
pub(crate) struct Mailbox {
    pub(crate) updates: mpsc::Receiver<v1::RouteUpdate>,
    /// Why the stream ends, once it is to end. Goes before what waits in `updates`.
    pub(crate) end: oneshot::Receiver<Status>,
}

/// A Prepare that was not answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) id: MapId,
    pub(super) at: Instant,
    /// The engine has been told to forget it, though it still owes the answer: which then is to none that is asked now, even if the
    /// map and its number are the same again.
    pub(super) aborted: bool,
}

/// A map that an engine can't use, the first reasons why, and when it is asked again: what stood in the way may have passed, such as a
/// Kafka that did not answer, or a topic that was missing.
pub(super) struct Refused {
    pub(super) id: MapId,
    pub(super) reasons: Vec<v1::RefusedField>,
    /// How long after the refusal it is asked again. Grows with every refusal.
    pause: Duration,
    again_at: Instant,
}

pub(super) struct Session {
    pub(super) serial: SessionSerial,
    /// What it routes by, in its own words.
    pub(super) version: u64,
    pub(super) sha256: Bytes,
    /// The highest version that it has routed by, also before it was started again; and which map that was.
    pub(super) highest: u64,
    highest_id: Option<MapId>,
    /// There is at most one: a Prepare goes out only after the one before was answered, or aborted.
    pub(super) asked: Option<Asked>,
    /// The map that it runs or will run, once it has done all that it was told.
    pub(super) told: Option<MapId>,
    /// What it was told to run and has not confirmed, the oldest first. It may confirm late: one whose router waits for Kafka switches
    /// when that is over, perhaps after it was told to run the next map.
    unconfirmed: VecDeque<MapId>,
    /// The map in force, while it can't use it.
    pub(super) refused: Option<Refused>,
    software_version: String,
    connected_at: SystemTime,
    last_report_at: SystemTime,
    health: Option<v1::EngineHealth>,
    updates: mpsc::Sender<v1::RouteUpdate>,
    end: Option<oneshot::Sender<Status>>,
}

impl Session {
    pub(super) fn new(serial: SessionSerial, hello: v1::Hello) -> (Session, Mailbox) {
        let (updates, updates_receiver) = mpsc::channel(limits::UPDATES_PER_ENGINE);
        let (end, end_receiver) = oneshot::channel();
        let highest_id = match hello.last_known_good_version > hello.version {
            true => MapId::from_wire(hello.last_known_good_version, &hello.last_known_good_sha256),
            false => MapId::from_wire(hello.version, &hello.sha256),
        };
        let session = Session {
            serial,
            told: MapId::from_wire(hello.version, &hello.sha256),
            highest: highest_version(&hello),
            highest_id,
            version: hello.version,
            sha256: hello.sha256,
            asked: None,
            unconfirmed: VecDeque::new(),
            refused: None,
            software_version: hello.software_version,
            connected_at: SystemTime::now(),
            last_report_at: SystemTime::now(),
            health: None,
            updates,
            end: Some(end),
        };
        (session, Mailbox { updates: updates_receiver, end: end_receiver })
    }

    /// False if the engine has left so much unread that no more fits.
    #[must_use]
    pub(super) fn send(&self, update: Update) -> bool {
        !matches!(
            self.updates.try_send(v1::RouteUpdate { update: Some(update) }),
            Err(mpsc::error::TrySendError::Full(_))
        )
    }

    pub(super) fn end(mut self, status: Status) {
        if let Some(end) = self.end.take() {
            // The stream may be gone already, and then nobody needs to be told.
            end.send(status).ok();
        }
    }

    pub(super) fn heard(&mut self) {
        self.last_report_at = SystemTime::now();
    }

    pub(super) fn set_health(&mut self, health: v1::EngineHealth) {
        self.health = Some(health);
    }

    pub(super) fn runs(&self) -> Option<MapId> {
        MapId::from_wire(self.version, &self.sha256)
    }

    /// It has run a number that this control plane can't have given: one above `id`'s, or the same one for another map. Engines never
    /// go back, so it can't be brought to `id`.
    pub(super) fn is_ahead_of(&self, id: MapId) -> bool {
        let number = id.version.get();
        self.highest > number || (self.highest == number && self.highest_id != Some(id))
    }

    /// It is told to run a map.
    pub(super) fn tell(&mut self, id: MapId) {
        self.told = Some(id);
        self.unconfirmed.push_back(id);
        if self.unconfirmed.len() > limits::UNCONFIRMED_PER_ENGINE {
            self.unconfirmed.pop_front();
        }
    }

    /// It says that it routes by `id`. False if it was not told to, or has said so before: then it changes nothing.
    #[must_use]
    pub(super) fn confirmed(&mut self, id: MapId) -> bool {
        let Some(place) = self.unconfirmed.iter().position(|told| *told == id) else {
            return false;
        };
        // Engines never go back, so that those before can't be confirmed any more.
        self.unconfirmed.drain(..=place);
        self.refused.take_if(|refused| refused.id == id);
        (self.version, self.sha256) = (id.version.get(), id.sha256.to_bytes());
        if self.version >= self.highest {
            (self.highest, self.highest_id) = (self.version, Some(id));
        }
        true
    }

    /// It can't use `id`, which is in force.
    pub(super) fn refuses(&mut self, id: MapId, reasons: Vec<v1::RefusedField>, now: Instant) {
        let (first, longest) = limits::ASK_AGAIN_AFTER;
        let before = self.refused.as_ref().filter(|refused| refused.id == id);
        let pause = before.map_or(first, |before| before.pause.saturating_mul(2).clamp(first, longest));
        self.refused = Some(Refused { id, reasons, pause, again_at: now + pause });
        self.unconfirmed.retain(|told| *told != id);
        self.told = self.runs();
    }

    /// What it has refused is to be asked again now, and soon again if it refuses once more.
    pub(super) fn reconsider(&mut self, now: Instant) {
        if let Some(refused) = &mut self.refused {
            (refused.pause, refused.again_at) = (Duration::ZERO, now);
        }
    }

    /// Whether it may be asked to prepare `id` now, for all that it has said of it.
    pub(super) fn may_be_asked(&self, id: MapId, now: Instant) -> bool {
        let waits = self.refused.as_ref().is_some_and(|refused| refused.id == id && now < refused.again_at);
        !waits && !self.is_ahead_of(id)
    }

    /// Why it can't be brought to `id`, if it can't.
    pub(super) fn reasons_against(&self, id: MapId) -> Option<Vec<v1::RefusedField>> {
        let refused = self.refused.as_ref().filter(|refused| refused.id == id);
        let reasons = refused.map(|refused| refused.reasons.clone());
        reasons.or_else(|| self.is_ahead_of(id).then(|| vec![self.ahead_of(id)]))
    }

    /// Why it is not even asked to prepare `id`, which it is ahead of.
    pub(super) fn ahead_of(&self, id: MapId) -> v1::RefusedField {
        let message = format!(
            "it has routed by version {}, which this control plane has not given and which is not below {}; engines never go back. \
             Apply the map again: it will be numbered above",
            self.highest, id.version
        );
        v1::RefusedField { path: String::new(), message }
    }

    pub(super) fn status(&self, engine_id: &str, in_force: Option<MapId>) -> v1::EngineStatus {
        let refused = in_force.and_then(|id| Some((id, self.reasons_against(id)?)));
        let (refused_version, refused_reasons) =
            refused.map(|(id, reasons)| (id.version.get(), reasons)).unwrap_or_default();
        v1::EngineStatus {
            engine_id: engine_id.into(),
            software_version: self.software_version.clone(),
            version: self.version,
            sha256: self.sha256.clone(),
            connected_at: Some(self.connected_at.into()),
            last_report_at: Some(self.last_report_at.into()),
            health: self.health,
            refused_version,
            refused_reasons,
        }
    }
}

/// The highest version that an engine has routed by, in its own words.
pub(super) fn highest_version(hello: &v1::Hello) -> u64 {
    hello.version.max(hello.last_known_good_version)
}
