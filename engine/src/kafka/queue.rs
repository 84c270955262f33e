//! librdkafka's queues and the events in them, behind a safe interface: what [`native`](super::native) and [`topics`](super::topics)
//! wait on.

use super::ClientContext;
use rdkafka::bindings as rd;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::null;
use std::time::Duration;

pub(super) fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// # Safety
/// `bytes` is null or points to `len` bytes that live as long as `'a`.
pub(super) unsafe fn slice<'a>(bytes: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: promised by the caller.
    (!bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts(bytes.cast(), len) })
}

/// # Safety
/// `text` points to a C string that lives as long as `'a`.
pub(super) unsafe fn text<'a>(text: *const c_char) -> &'a str {
    // SAFETY: promised by the caller. Topic and header names are UTF-8 in Kafka's protocol; a broken one reads as "".
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default()
}

/// librdkafka's levels are those of syslog.
fn level_of(level: i32) -> RDKafkaLogLevel {
    match level {
        ..=0 => RDKafkaLogLevel::Emerg,
        1 => RDKafkaLogLevel::Alert,
        2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        7.. => RDKafkaLogLevel::Debug,
    }
}

/// A reference of our own to one of librdkafka's queues. It has to be dropped before the queue's client.
pub(super) struct Queue(pub(super) *mut rd::rd_kafka_queue_t);

// SAFETY: librdkafka's queues are locked inside.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// The next event within `timeout`. Log lines, which librdkafka puts among them, are logged on the way.
    pub(super) fn poll(&self, mut timeout: Duration) -> Option<RawEvent> {
        loop {
            // SAFETY: the queue lives as long as this reference to it.
            let event = unsafe { rd::rd_kafka_queue_poll(self.0, millis(timeout)) };
            let event = (!event.is_null()).then_some(RawEvent(event))?;
            if event.kind() != rd::RD_KAFKA_EVENT_LOG {
                return Some(event);
            }
            event.log();
            timeout = Duration::ZERO;
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this was our reference, and it is given up once.
        unsafe { rd::rd_kafka_queue_destroy(self.0) }
    }
}

pub(super) struct RawEvent(pub(super) *mut rd::rd_kafka_event_t);

impl RawEvent {
    pub(super) fn kind(&self) -> i32 {
        // SAFETY: the event lives until it is dropped; so in the calls below.
        unsafe { rd::rd_kafka_event_type(self.0) }
    }

    #[cold]
    fn log(&self) {
        let (mut facility, mut line, mut level) = (null(), null(), 0);
        // SAFETY: the event is alive and the out-parameters are ours; the texts belong to the event.
        unsafe {
            if rd::rd_kafka_event_log(self.0, &raw mut facility, &raw mut line, &raw mut level) == 0 {
                let line = CStr::from_ptr(line).to_string_lossy();
                rdkafka::ClientContext::log(&ClientContext, level_of(level), text(facility), &line);
            }
        }
    }

    pub(super) fn error(&self) -> ClientError {
        // Only an event of this kind has the flag; of another kind librdkafka 2.12 would read past what it has allocated.
        let may_be_fatal = self.kind() == rd::RD_KAFKA_EVENT_ERROR;
        // SAFETY: as above, and the flag is there; the text belongs to the event and is copied.
        unsafe {
            ClientError {
                code: rd::rd_kafka_event_error(self.0).into(),
                fatal: may_be_fatal && rd::rd_kafka_event_error_is_fatal(self.0) != 0,
                text: text(rd::rd_kafka_event_error_string(self.0)).to_owned(),
            }
        }
    }
}

impl Drop for RawEvent {
    fn drop(&mut self) {
        // SAFETY: the event is ours and is destroyed once.
        unsafe { rd::rd_kafka_event_destroy(self.0) }
    }
}

/// What a client reports of itself.
#[derive(Clone, Debug)]
pub struct ClientError {
    /// What kind of trouble it is.
    pub code: RDKafkaErrorCode,
    /// The client can't go on; it has to be made anew.
    pub fatal: bool,
    /// In librdkafka's words.
    pub text: String,
}
