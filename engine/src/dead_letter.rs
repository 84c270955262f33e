//! Events that can't be delivered: as they were, with the reason.

use crate::headers;
use crate::kafka::native::{Headers, Outgoing, Record};
use crate::seldom::Seldom;
use rdkafka::error::RDKafkaErrorCode;
use std::time::{Duration, Instant};

/// Classes of causes; their names are in the header [`headers::CAUSE`] and in the metric `veltrix_dead_letters_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The event's type can't be told.
    Unreadable,
    /// A route that could not be decided asks for a dead letter.
    Undecided,
    /// No route wants the event, and the map says that such events are dead letters.
    Unmatched,
    /// A destination with placeholders has no topic for the event.
    Unplaced,
    /// The record is too large for its destination.
    TooLarge,
    /// The destination's topic is not there any more.
    UnknownTopic,
    /// Kafka refuses the record for another reason.
    Refused,
}

impl Cause {
    /// In the order of their numbers.
    pub(crate) const ALL: [Cause; 7] = [
        Cause::Unreadable,
        Cause::Undecided,
        Cause::Unmatched,
        Cause::Unplaced,
        Cause::TooLarge,
        Cause::UnknownTopic,
        Cause::Refused,
    ];

    /// As it stands in headers and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Unreadable => "unreadable",
            Cause::Undecided => "undecided",
            Cause::Unmatched => "unmatched",
            Cause::Unplaced => "unplaced",
            Cause::TooLarge => "too_large",
            Cause::UnknownTopic => "unknown_topic",
            Cause::Refused => "refused",
        }
    }

    pub(crate) fn of_code(code: RDKafkaErrorCode) -> Cause {
        match code {
            RDKafkaErrorCode::MessageSizeTooLarge => Cause::TooLarge,
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition => Cause::UnknownTopic,
            _ => Cause::Refused,
        }
    }
}

/// Says when a dead letter is worth a log line: each cause once a second at most, so that a flood of letters does not wait for the log.
#[derive(Debug, Default)]
pub(crate) struct LetterLog([Seldom; Cause::ALL.len()]);

impl LetterLog {
    const EVERY: Duration = Duration::from_secs(1);

    /// Takes note of a letter. If it is to be logged: how many of its cause were not since the last that was.
    pub(crate) fn note(&mut self, cause: Cause, now: Instant) -> Option<u64> {
        let letters = &mut self.0[cause as usize];
        letters.note();
        letters.tell(LetterLog::EVERY, now).map(|count| count - 1)
    }
}

/// A record on its way to the dead-letter topic. Owns what it says: dead letters are rare, or asked for.
pub(crate) struct DeadLetter {
    cause: Cause,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    timestamp: Option<i64>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl DeadLetter {
    /// Of an event that was not sent anywhere.
    pub(crate) fn of_event(
        record: &Record<'_>,
        source: &str,
        version: &str,
        route: Option<&str>,
        cause: Cause,
        text: String,
    ) -> DeadLetter {
        let theirs = record.headers().filter(|(name, _)| !headers::is_own(name));
        let mut letter = DeadLetter::new(record, cause, theirs);
        letter.add(headers::VERSION, version);
        letter.add(headers::SOURCE, source);
        route.into_iter().for_each(|route| letter.add(headers::ROUTE, route));
        letter.add(headers::REASON, &text);
        letter
    }

    /// Of a delivery that Kafka has refused: it carries its headers already.
    pub(crate) fn of_delivery(delivery: &Record<'_>, code: RDKafkaErrorCode) -> DeadLetter {
        let mut letter = DeadLetter::new(delivery, Cause::of_code(code), delivery.headers());
        letter.add(headers::TOPIC, delivery.topic());
        letter.add(headers::REASON, &code.to_string());
        letter
    }

    fn new<'r>(
        record: &Record<'r>,
        cause: Cause,
        headers: impl Iterator<Item = (&'r str, Option<&'r [u8]>)>,
    ) -> DeadLetter {
        let mut letter = DeadLetter {
            cause,
            key: record.key().map(<[u8]>::to_vec),
            payload: record.payload().map(<[u8]>::to_vec),
            timestamp: record.timestamp(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
        };
        letter.add(headers::CAUSE, cause.name());
        letter
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), Some(value.as_bytes().to_vec())));
    }

    pub(crate) fn cause(&self) -> Cause {
        self.cause
    }

    /// Of a letter that was itself too large for the dead-letter topic.
    pub(crate) fn of_letter(letter: &Record<'_>) -> DeadLetter {
        let mut again = DeadLetter::new(letter, Cause::TooLarge, letter.headers());
        // It says what its cause was already.
        again.headers.pop();
        if let Some(cause) = Cause::ALL.into_iter().find(|cause| cause.name() == again.header(headers::CAUSE)) {
            again.cause = cause;
        }
        again
    }

    /// Leaves out the next thing that may make the letter too large, and says so: the payload, then the event's own headers, then
    /// the key. What says where the event can be found stays. False if nothing is left to leave out.
    pub(crate) fn shrink(&mut self) -> bool {
        if let Some(payload) = self.payload.take() {
            self.add(headers::PAYLOAD_OMITTED, &payload.len().to_string());
            return true;
        }
        let before = self.headers.len();
        self.headers.retain(|(name, _)| headers::is_own(name));
        if self.headers.len() < before {
            self.add(headers::HEADERS_OMITTED, &(before - self.headers.len()).to_string());
            return true;
        }
        match self.key.take() {
            Some(key) => {
                self.add(headers::KEY_OMITTED, &key.len().to_string());
                true
            }
            None => false,
        }
    }

    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        Outgoing { key: self.key.as_deref(), payload: self.payload.as_deref(), timestamp: self.timestamp }
    }

    pub(crate) fn headers(&self) -> Headers {
        let mut headers = Headers::with_room_for(self.headers.len());
        self.headers.iter().for_each(|(name, value)| headers.add(name, value.as_deref()));
        headers
    }

    pub(crate) fn text(&self) -> &str {
        self.header(headers::REASON)
    }

    pub(crate) fn source(&self) -> &str {
        self.header(headers::SOURCE)
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().rev().find(|(header, _)| header == name);
        found.and_then(|(_, value)| str::from_utf8(value.as_deref()?).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_logged_once_a_second_and_says_how_many_were_not() {
        let (mut log, began) = (LetterLog::default(), Instant::now());
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        assert_eq!(log.note(Cause::Unmatched, at(0)), Some(0));
        assert_eq!(log.note(Cause::Unmatched, at(1)), None);
        assert_eq!(log.note(Cause::Unmatched, at(999)), None);
        assert_eq!(log.note(Cause::Refused, at(999)), Some(0), "another cause has its own second");
        assert_eq!(log.note(Cause::Unmatched, at(1_000)), Some(2));
        assert_eq!(log.note(Cause::Unmatched, at(2_000)), Some(0));
    }

    #[test]
    fn causes_stand_in_the_order_of_their_numbers() {
        for (number, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number, "{cause:?}");
        }
    }
}
