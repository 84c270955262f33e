//! Lookups by gRPC: calls of `LookupService`, whose contract is `lookup.proto`.

use super::calls::{Failure, Known, value_of};
use super::network::{Peer, chain};
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};
use veltrix_proto::v1::lookup_service_client::LookupServiceClient;
use veltrix_proto::v1::{LookupAnswer, LookupRequest};
use veltrix_route_table::limits::{LOOKUP_ANSWER_BYTES, LOOKUP_KEYS_PER_CALL};

/// The longest list of the longest answers, with what is around each.
const RESPONSE_BYTES_MAX: u64 = LOOKUP_KEYS_PER_CALL.max * (LOOKUP_ANSWER_BYTES.max + 64);
/// Both ends watch the clock, and each can be first to say that a call's time is over: then it is over for all.
const CLOCKS_APART: Duration = Duration::from_millis(20);

/// Who is called, and in which matter.
#[derive(Debug)]
pub(super) struct Grpc {
    lookup: String,
    peer: Arc<Peer>,
}

impl Grpc {
    pub(super) const KEYS_PER_CALL: usize = LOOKUP_KEYS_PER_CALL.max as usize;

    pub(super) fn new(lookup: &str, peer: Arc<Peer>) -> Grpc {
        Grpc { lookup: lookup.to_owned(), peer }
    }

    /// Why this key can't be asked for.
    pub(super) fn refuses(key: &[u8]) -> Option<&'static str> {
        std::str::from_utf8(key).is_err().then_some("the key is not UTF-8 text")
    }

    /// Asks for a list of keys; what comes of each, in their order. It is up to the caller to end it at the deadline.
    pub(super) async fn ask(&self, keys: &[&[u8]], deadline: Instant) -> Result<Vec<Result<Known, Failure>>, Failure> {
        let texts = keys.iter().map(|key| String::from_utf8_lossy(key).into_owned());
        let mut request = Request::new(LookupRequest { lookup: self.lookup.clone(), keys: texts.collect() });
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        let mut client =
            LookupServiceClient::new(self.peer.channel()).max_decoding_message_size(RESPONSE_BYTES_MAX as usize);
        let answers = match client.lookup(request).await {
            Ok(response) => response.into_inner().answers,
            Err(status) if status.code() == Code::NotFound => return Ok(keys.iter().map(|_| Ok(None)).collect()),
            Err(status) if is_over(&status, deadline) => std::future::pending().await,
            Err(status) => return Err(failure_of(&status)),
        };
        if answers.len() != keys.len() {
            let why = format!("{} answer(s) to {} key(s); the contract is one for each", answers.len(), keys.len());
            return Err(Failure::OfKey(why));
        }
        Ok(answers.into_iter().map(known_of).collect())
    }

    /// See [`Peer::renew`].
    pub(super) fn renew(&self) {
        self.peer.renew();
    }
}

fn known_of(answer: LookupAnswer) -> Result<Known, Failure> {
    match answer {
        LookupAnswer { failed, .. } if !failed.is_empty() => Err(Failure::OfKey(failed)),
        LookupAnswer { json: Some(json), .. } => value_of(json.as_bytes()).map(Some),
        LookupAnswer { json: None, .. } => Ok(None),
    }
}

/// Whether it says nothing but that the call's time is over.
fn is_over(status: &Status, deadline: Instant) -> bool {
    matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded) && Instant::now() + CLOCKS_APART >= deadline
}

fn failure_of(status: &Status) -> Failure {
    let source = status.source().map(|error| format!(" ({})", chain(error))).unwrap_or_default();
    let why = format!("the status is {:?}: {}{source}", status.code(), status.message());
    match status.code() {
        // What a service says that lives and won't have these keys.
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange | Code::PermissionDenied => {
            Failure::OfKey(why)
        }
        _ => Failure::OfService(why),
    }
}
