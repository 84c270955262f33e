//! Lookups by HTTP: GET of a URL around the key.

use super::calls::{Failure, Known, value_of};
use super::network::{Network, chain};
use http_body_util::{BodyExt as _, Limited};
use hyper::{StatusCode, Uri};
use std::fmt::Write as _;
use std::sync::Arc;
use veltrix_route_table::limits::LOOKUP_ANSWER_BYTES;

/// What is called.
#[derive(Debug)]
pub(super) struct Http {
    before: String,
    after: String,
    network: Arc<Network>,
}

impl Http {
    pub(super) fn new(before: &str, after: &str, network: Arc<Network>) -> Http {
        Http { before: before.to_owned(), after: after.to_owned(), network }
    }

    /// Why this key can't be asked for.
    pub(super) fn refuses(key: &[u8]) -> Option<&'static str> {
        // Even percent-encoded they would lead to another path.
        matches!(key, b"." | b"..").then_some("the key is a step in a path")
    }

    /// Asks for one key.
    pub(super) async fn get(&self, key: &[u8]) -> Result<Known, Failure> {
        let url = url_of(&self.before, key, &self.after);
        let no_url = |error| Failure::OfKey(format!("`{url}` is no URL: {error}"));
        let url: Uri = url.parse().map_err(no_url)?;
        let response = self.network.http.get(url).await.map_err(|error| Failure::OfService(chain(&error)))?;
        let (head, body) = response.into_parts();
        // Also of answers that say nothing: a connection whose answer was not read can't be used again.
        let body = Limited::new(body, LOOKUP_ANSWER_BYTES.max as usize).collect().await;
        match head.status {
            StatusCode::NOT_FOUND | StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK => {
                let body = body.map_err(|error| Failure::OfKey(format!("the answer can't be read: {error}")))?;
                value_of(&body.to_bytes()).map(Some)
            }
            status => {
                let why = format!("the answer is {status}");
                let is_of_service = status.is_server_error()
                    || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                Err(if is_of_service { Failure::OfService(why) } else { Failure::OfKey(why) })
            }
        }
    }
}

/// The URL of a key, which is percent-encoded but for what never needs it.
fn url_of(before: &str, key: &[u8], after: &str) -> String {
    let mut url = String::with_capacity(before.len() + 3 * key.len() + after.len());
    url.push_str(before);
    for byte in key {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(*byte)),
            byte => {
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url.push_str(after);
    url
}
