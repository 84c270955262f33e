//! What an engine is sent, as the body of an HTTP/2 response: gRPC messages in which a map is never copied.
//!
//! tonic encodes each message into a buffer of its stream, and keeps that buffer as long as the stream: a map of 2 MB for 500 engines
//! would be 1 GB, held for good. Here all streams send the same bytes. The rest of gRPC is small: a message has a head of five bytes,
//! and the status comes in the trailers.
//!
//! Not here: what is sent ([`crate::fleet`]), and what engines say ([`crate::engine_service`]).

use axum::http::HeaderMap;
use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::body::{Body, Frame};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use veltrix_proto::v1::{self, route_update::Update};

/// Field numbers of the contract.
const PREPARE_OF_UPDATE: u32 = 2;
const ROUTE_MAP_OF_PREPARE: u32 = 3;

/// The body. The task that talks with the engine ends with it.
pub(crate) struct UpdateBody {
    updates: mpsc::Receiver<Result<v1::RouteUpdate, Status>>,
    /// What follows the head that was sent last.
    map: Option<Bytes>,
    ended: bool,
    _task: JoinSet<()>,
}

impl UpdateBody {
    pub(crate) fn new(updates: mpsc::Receiver<Result<v1::RouteUpdate, Status>>, task: JoinSet<()>) -> UpdateBody {
        UpdateBody { updates, map: None, ended: false, _task: task }
    }
}

impl Body for UpdateBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(map) = self.map.take() {
            return Poll::Ready(Some(Ok(Frame::data(map))));
        }
        let status = match std::task::ready!(self.updates.poll_recv(context)) {
            Some(Ok(update)) => {
                let (head, map) = encode(update);
                self.map = map;
                return Poll::Ready(Some(Ok(Frame::data(head))));
            }
            Some(Err(status)) => status,
            None => Status::new(Code::Ok, ""),
        };
        self.ended = true;
        Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))))
    }
}

/// One gRPC message: all of it, or all but the map that ends it.
fn encode(update: v1::RouteUpdate) -> (Bytes, Option<Bytes>) {
    let Some(Update::Prepare(v1::Prepare { version, sha256, route_map })) = update.update else {
        return (framed(&update.encode_to_vec(), 0), None);
    };
    // The map is the last field, so that the bytes are those that prost would write.
    let mut prepare = v1::Prepare { version, sha256, route_map: Bytes::new() }.encode_to_vec();
    encode_key(ROUTE_MAP_OF_PREPARE, WireType::LengthDelimited, &mut prepare);
    encode_varint(route_map.len() as u64, &mut prepare);
    let mut message = Vec::with_capacity(prepare.len() + 16);
    encode_key(PREPARE_OF_UPDATE, WireType::LengthDelimited, &mut message);
    encode_varint((prepare.len() + route_map.len()) as u64, &mut message);
    message.extend_from_slice(&prepare);
    (framed(&message, route_map.len()), Some(route_map))
}

/// `beginning` behind the head of a message that goes on for `rest` bytes.
fn framed(beginning: &[u8], rest: usize) -> Bytes {
    let mut framed = BytesMut::with_capacity(beginning.len() + 5);
    // Not compressed.
    framed.put_u8(0);
    // The limit of a map is far below that of u32.
    framed.put_u32((beginning.len() + rest) as u32);
    framed.put_slice(beginning);
    framed.freeze()
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.clear();
        // The same without the text, which could not be written.
        Status::new(status.code(), "").add_header(&mut trailers).ok();
    }
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(update: Update) {
        let update = v1::RouteUpdate { update: Some(update) };
        let expected = update.encode_to_vec();
        let (head, map) = encode(update);
        let whole = [head, map.unwrap_or_default()].concat();
        assert_eq!(whole[..5], [&[0][..], &(expected.len() as u32).to_be_bytes()].concat());
        assert_eq!(whole[5..], expected);
    }

    #[test]
    fn what_is_sent_is_what_prost_would_send() {
        let sha256 = Bytes::from_static(&[7; 32]);
        check(Update::Welcome(v1::Welcome { version: 0, sha256: Bytes::new() }));
        check(Update::Commit(v1::Commit { version: 300, sha256: sha256.clone() }));
        check(Update::Abort(v1::Abort { version: 3, sha256: sha256.clone(), reason: "no".into(), dry_run: true }));
        for length in [1, 127, 128, 20_000, 3_000_000] {
            let route_map = vec![1; length].into();
            check(Update::Prepare(v1::Prepare { version: 1 << 40, sha256: sha256.clone(), route_map }));
        }
    }

    #[test]
    fn the_map_that_is_sent_is_the_map_that_was_given() {
        let map = Bytes::from(vec![1; 1000]);
        let prepare = v1::Prepare { version: 1, sha256: Bytes::new(), route_map: map.clone() };
        let (_, sent) = encode(v1::RouteUpdate { update: Some(Update::Prepare(prepare)) });
        assert_eq!(sent.unwrap().as_ptr(), map.as_ptr());
    }
}
