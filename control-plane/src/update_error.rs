//! Why an update was not made, and how callers are told: as a gRPC status with details that a program can read.

use crate::fleet::{EngineRefusal, RefusalKind};
use crate::limits;
use crate::map_id::MapDigest;
use crate::store::StoreError;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt as _};
use veltrix_route_table::Refused;

/// Who gives the machine-readable reasons of `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "veltrix";

/// The `reason` of an update that expected another version than the one in force.
pub const VERSION_CONFLICT: &str = "VERSION_CONFLICT";

/// Why an update was not made. The version in force is the one from before.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum UpdateError {
    #[error(
        "{} updates are checked or waiting, and that is the limit; try again when some are done",
        limits::UPDATES_WAITING
    )]
    TooManyWaiting,
    #[error("the control plane is stopping; when it is back, its versions show what became of this update")]
    Stopping,
    #[error("sha256 has {found} bytes, not 32; send the SHA-256 of route_map as it is, or leave it out")]
    DigestLength { found: usize },
    #[error(
        "route_map has the SHA-256 {found}, not {expected} as the request says: it was cut or changed on its way; send it again"
    )]
    OtherDigest { expected: MapDigest, found: MapDigest },
    #[error("the note has {found} bytes; the limit is {}", limits::NOTE_BYTES)]
    NoteTooLong { found: usize },
    #[error("{}", refused_text(.0))]
    Refused(Refused),
    #[error("version {in_force} is in force, not {expected} as expected; look at what changed, then expect {in_force}")]
    VersionConflict { expected: u64, in_force: u64 },
    #[error("{found} engine{} can take the map, at least {minimum} must; nothing was switched", plural(*.found))]
    TooFewEngines { minimum: u32, found: usize },
    #[error(
        "no engine is connected, but one was until {:.1} s ago and may be on its way back; try again: after {} s without engines, a map \
         is taken without them",
        .gone.as_secs_f64(),
        limits::ENGINES_AWAITED.as_secs()
    )]
    EnginesAway { gone: Duration },
    #[error("{}", engines_text(.refusals, .timeout))]
    EnginesRefused { refusals: Vec<EngineRefusal>, timeout: Duration },
    #[error("the store failed, the version in force stays: {}", crate::with_sources(.0))]
    Store(StoreError),
    #[error("the update failed for a fault of the control plane; the version in force stays; please report it")]
    Internal,
}

impl UpdateError {
    /// For the wire. `details_bytes` bounds the details; what does not fit is counted.
    pub fn status(&self, details_bytes: usize) -> Status {
        let details = self.details(details_bytes);
        let text = self.to_string();
        let message = match limits::cut(&text, limits::STATUS_MESSAGE_BYTES) {
            cut if cut.len() < text.len() => format!("{cut} …"),
            _ => text,
        };
        Status::with_error_details(self.code(), message, details)
    }

    /// For the metric.
    pub(crate) fn result(&self) -> &'static str {
        match self {
            UpdateError::TooManyWaiting => "too_many_waiting",
            UpdateError::Stopping => "stopping",
            UpdateError::DigestLength { .. } | UpdateError::OtherDigest { .. } => "other_digest",
            UpdateError::NoteTooLong { .. } => "note_too_long",
            UpdateError::Refused(_) => "refused",
            UpdateError::VersionConflict { .. } => "version_conflict",
            UpdateError::TooFewEngines { .. } => "too_few_engines",
            UpdateError::EnginesAway { .. } => "engines_away",
            UpdateError::EnginesRefused { .. } => "engines_refused",
            UpdateError::Store(_) => "store_failed",
            UpdateError::Internal => "internal",
        }
    }

    fn code(&self) -> Code {
        match self {
            UpdateError::TooManyWaiting => Code::ResourceExhausted,
            UpdateError::Stopping | UpdateError::Store(_) => Code::Unavailable,
            UpdateError::DigestLength { .. }
            | UpdateError::OtherDigest { .. }
            | UpdateError::NoteTooLong { .. }
            | UpdateError::Refused(_) => Code::InvalidArgument,
            UpdateError::VersionConflict { .. } => Code::Aborted,
            UpdateError::TooFewEngines { .. }
            | UpdateError::EnginesAway { .. }
            | UpdateError::EnginesRefused { .. } => Code::FailedPrecondition,
            UpdateError::Internal => Code::Internal,
        }
    }

    fn details(&self, bytes: usize) -> ErrorDetails {
        match self {
            UpdateError::DigestLength { .. } | UpdateError::OtherDigest { .. } => {
                ErrorDetails::with_bad_request_violation("sha256", self.to_string())
            }
            UpdateError::NoteTooLong { .. } => ErrorDetails::with_bad_request_violation("note", self.to_string()),
            UpdateError::Refused(refused) => ErrorDetails::with_bad_request(field_violations(refused, bytes)),
            UpdateError::VersionConflict { expected, in_force } => {
                let metadata = [("expected_version", expected), ("version_in_force", in_force)];
                let metadata: HashMap<_, _> = metadata.map(|(key, version)| (key.into(), version.to_string())).into();
                ErrorDetails::with_error_info(VERSION_CONFLICT, ERROR_DOMAIN, metadata)
            }
            UpdateError::TooFewEngines { .. } => {
                ErrorDetails::with_precondition_failure_violation("MINIMUM_ENGINES", "fleet", self.to_string())
            }
            UpdateError::EnginesAway { .. } => {
                ErrorDetails::with_precondition_failure_violation("ENGINES_AWAY", "fleet", self.to_string())
            }
            UpdateError::EnginesRefused { refusals, timeout } => {
                ErrorDetails::with_precondition_failure(engine_violations(refusals, *timeout, bytes))
            }
            UpdateError::TooManyWaiting | UpdateError::Stopping => {
                ErrorDetails::with_retry_info(Some(Duration::from_secs(1)))
            }
            UpdateError::Store(_) | UpdateError::Internal => ErrorDetails::new(),
        }
    }
}

fn field_violations(refused: &Refused, bytes: usize) -> Vec<FieldViolation> {
    let all = refused.reasons.iter().map(|reason| {
        let field = match reason.path.as_str() {
            "" => "route_map".to_owned(),
            path => format!("route_map.{path}"),
        };
        FieldViolation::new(field, reason.message())
    });
    let (mut violations, cut) = fitting(all, bytes, |violation| violation.field.len() + violation.description.len());
    let omitted = cut + refused.omitted;
    if omitted > 0 {
        let more = format!("and {omitted} more; `veltrixctl validate` shows the first {}", Refused::REASONS_MAX);
        violations.push(FieldViolation::new("route_map", more));
    }
    violations
}

fn engine_violations(refusals: &[EngineRefusal], timeout: Duration, bytes: usize) -> Vec<PreconditionViolation> {
    let all = refusals.iter().flat_map(|refusal| {
        let violation = |kind: &str, text: String| PreconditionViolation::new(kind, refusal.engine_id.clone(), text);
        match &refusal.kind {
            RefusalKind::TimedOut => vec![violation("ENGINE_TIMED_OUT", timed_out(timeout))],
            RefusalKind::Refused(reasons) if reasons.is_empty() => {
                vec![violation("ENGINE_REFUSED", "it gave no reason".into())]
            }
            RefusalKind::Refused(reasons) => reasons
                .iter()
                .map(|reason| violation("ENGINE_REFUSED", crate::fleet::reasons_text(std::slice::from_ref(reason))))
                .collect(),
        }
    });
    let size = |violation: &PreconditionViolation| violation.subject.len() + violation.description.len() + 20;
    let (mut violations, omitted) = fitting(all, bytes, size);
    if omitted > 0 {
        violations.push(PreconditionViolation::new("ENGINE_REFUSED", "", format!("and {omitted} more")));
    }
    violations
}

/// As many as fit, and how many do not.
fn fitting<T>(all: impl Iterator<Item = T>, bytes: usize, size: impl Fn(&T) -> usize) -> (Vec<T>, usize) {
    let (mut kept, mut used, mut omitted) = (Vec::new(), 0, 0);
    for item in all {
        // 8: protobuf's own bytes around the texts.
        used += size(&item) + 8;
        if used <= bytes {
            kept.push(item);
        } else {
            omitted += 1;
        }
    }
    (kept, omitted)
}

fn refused_text(refused: &Refused) -> String {
    match (refused.reasons.as_slice(), refused.omitted) {
        ([only], 0) => format!("the RouteMap is refused: {only}"),
        ([first, rest @ ..], omitted) => {
            format!("the RouteMap is refused for {} reasons; the first: {first}", 1 + rest.len() + omitted)
        }
        ([], _) => "the RouteMap is refused".into(),
    }
}

fn engines_text(refusals: &[EngineRefusal], timeout: &Duration) -> String {
    let text = |refusal: &EngineRefusal| match &refusal.kind {
        RefusalKind::TimedOut => format!("engine `{}`: {}", refusal.engine_id, timed_out(*timeout)),
        RefusalKind::Refused(reasons) => {
            format!("engine `{}` refused the map: {}", refusal.engine_id, crate::fleet::reasons_text(reasons))
        }
    };
    let texts: Vec<_> = refusals.iter().map(text).collect();
    format!("nothing was switched; {}", texts.join("; "))
}

fn timed_out(timeout: Duration) -> String {
    format!("it did not say within {timeout:?} whether it can use the map")
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
