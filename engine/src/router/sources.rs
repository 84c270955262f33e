//! Whether the sources are still the topics that they were: asked when partitions are taken on, and again and again after that.

use super::RouterFault;
use crate::kafka::native::Consumer;
use crate::kafka::topics::{Answer, Question, TopicFacts, TopicId};
use parking_lot::Mutex;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two questions. What is read of a new topic meanwhile, from the wrong offset, is repeated.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long a question may take: librdkafka gives it up then.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// By name, the first topic that an engine has seen. Nothing replaces it, so that each router finds out for itself that it has another
/// one now.
#[derive(Debug, Default)]
pub(crate) struct FirstSeen(Mutex<BTreeMap<String, TopicId>>);

impl FirstSeen {
    fn note(&self, answer: &Answer) {
        let mut seen = self.0.lock();
        for (name, facts) in answer {
            if let Ok(TopicFacts { id: Some(id), .. }) = facts {
                seen.entry(name.clone()).or_insert_with(|| id.clone());
            }
        }
    }
}

pub(super) struct Sources {
    names: Vec<String>,
    first_seen: Arc<FirstSeen>,
    /// A broker that has answered.
    broker: Option<i32>,
    question: Option<Question>,
    asked_at: Option<Instant>,
}

impl Sources {
    pub(super) fn new(names: &[String], first_seen: Arc<FirstSeen>) -> Sources {
        // librdkafka refuses a question that names a topic twice.
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        Sources { names, first_seen, broker: None, question: None, asked_at: None }
    }

    /// What the sources are now. Waits for the answer.
    pub(super) fn ask(&mut self, consumer: &Arc<Consumer>) -> Result<Answer, RouterFault> {
        let asking = |source| RouterFault::Kafka { doing: "ask what the sources are", source };
        // A broker has to be asked by its number, and this tells the number of one that answers.
        let any = self.names.first().map(String::as_str);
        let metadata = consumer.client().fetch_metadata(any, ANSWER_TIMEOUT).map_err(asking)?;
        let listed = metadata.brokers().first().map(|broker| broker.id());
        // An answer that is still on its way would be older than this one.
        self.question = None;
        self.broker = Some(metadata.orig_broker_id()).filter(|broker| *broker >= 0).or(listed);
        let answer = self.question(consumer).map_err(asking)?.answer(ANSWER_TIMEOUT);
        let answer = answer.unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut));
        let answer = answer.map_err(|code| asking(KafkaError::MetadataFetch(code)))?;
        self.first_seen.note(&answer);
        Ok(answer)
    }

    /// An answer that has come by now. Does not wait; has to be called again and again, and sees to it that there is a question.
    pub(super) fn watch(&mut self, consumer: &Arc<Consumer>) -> Option<Answer> {
        if self.question.is_none() && self.asked_at.is_none_or(|asked_at| asked_at.elapsed() >= ASK_EVERY) {
            self.asked_at = Some(Instant::now());
            self.question = self.question(consumer).ok();
        }
        let answer = self.question.as_ref()?.answer(Duration::ZERO)?;
        self.question = None;
        match answer {
            Ok(answer) => {
                self.first_seen.note(&answer);
                Some(answer)
            }
            Err(_) => {
                // That broker may be gone: the controller next time. Whatever else is wrong shows itself elsewhere.
                self.broker = None;
                None
            }
        }
    }

    pub(super) fn first_seen(&self, name: &str) -> Option<TopicId> {
        self.first_seen.0.lock().get(name).cloned()
    }

    fn question(&self, consumer: &Arc<Consumer>) -> Result<Question, KafkaError> {
        Question::ask(consumer, self.names.iter().map(String::as_str), self.broker, ANSWER_TIMEOUT)
    }
}
