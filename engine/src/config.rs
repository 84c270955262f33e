//! The settings of an engine: flags, each of which is an environment variable, too, parsed once into a struct that can't be wrong.

use crate::kafka::{KafkaSettings, PropertyError};
use crate::router::StartAt;
use clap::Args;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::{IntErrorKind, NonZeroUsize, ParseIntError};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tonic::transport::Endpoint;
use veltrix_control_plane::address::{self, AddressError};

/// The flags of `veltrix run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Kafka brokers to start from
    #[arg(long, env = "VELTRIX_BROKERS", value_name = "HOST:PORT,…")]
    pub brokers: String,

    /// Topics to read events from
    #[arg(long = "source", env = "VELTRIX_SOURCE", value_name = "TOPIC", num_args = 1.., value_delimiter = ',', required = true)]
    pub sources: Vec<String>,

    /// Where route changes come from; without it the engine routes by its last known good map, or by the one in the binary
    #[arg(long, env = "VELTRIX_CONTROL_PLANE", value_name = "HOST:PORT")]
    pub control_plane: Option<String>,

    /// How long a start waits for the control plane before it takes the last known good map
    #[arg(long, env = "VELTRIX_CONTROL_PLANE_WAIT_MS", value_name = "MS", default_value_t = 2_000)]
    pub control_plane_wait_ms: u64,

    /// Consumer group; engines of one group share the partitions
    #[arg(long, env = "VELTRIX_GROUP", default_value = "veltrix")]
    pub group: String,

    /// Where a group starts that has committed nothing
    #[arg(long, env = "VELTRIX_START_AT", value_enum, default_value = "earliest")]
    pub start_at: StartAt,

    /// Topic for events that can't be delivered; it has to exist
    #[arg(long, env = "VELTRIX_DEAD_LETTER_TOPIC", value_name = "TOPIC", default_value = "veltrix-dead-letters")]
    pub dead_letter_topic: String,

    /// Directory for the last known good RouteMap and the engine's id; one engine each
    #[arg(long, env = "VELTRIX_STATE_DIR", value_name = "DIR", default_value = ".veltrix/engine")]
    pub state_dir: PathBuf,

    /// Name that the control plane knows this engine by [default: made once and kept in the state directory]
    #[arg(long, env = "VELTRIX_ENGINE_ID", value_name = "NAME")]
    pub engine_id: Option<String>,

    /// Address for /healthz, /readyz and /metrics
    #[arg(long, env = "VELTRIX_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7080")]
    pub listen: SocketAddr,

    /// Router threads [default: half of the processors; librdkafka's threads use the others]
    #[arg(long, env = "VELTRIX_ROUTERS", value_name = "N", value_parser = at_least_1::<NonZeroUsize>)]
    pub routers: Option<NonZeroUsize>,

    /// Events that are taken at once
    #[arg(long, env = "VELTRIX_BATCH_EVENTS", value_name = "N", default_value = "512", value_parser = at_least_1::<NonZeroUsize>)]
    pub batch_events: NonZeroUsize,

    /// Events that each router has under way at most before it stops reading
    #[arg(long, env = "VELTRIX_IN_FLIGHT_EVENTS", value_name = "N", default_value = "50000", value_parser = at_least_1::<NonZeroUsize>)]
    pub in_flight_events: NonZeroUsize,

    /// Memory that the deliveries of such events may take
    #[arg(long, env = "VELTRIX_IN_FLIGHT_MIB", value_name = "MIB", default_value = "128", value_parser = at_least_1::<NonZeroUsize>)]
    pub in_flight_mib: NonZeroUsize,

    /// How long a stop may take to finish what is under way
    #[arg(long, env = "VELTRIX_GRACE_MS", value_name = "MS", default_value_t = 10_000)]
    pub grace_ms: u64,

    /// A librdkafka property for all clients, or for one kind: consumer.KEY=VALUE, producer.KEY=VALUE; several in the variable: a line
    /// each
    #[arg(long = "kafka-property", env = "VELTRIX_KAFKA_PROPERTY", value_name = "KEY=VALUE", value_delimiter = '\n')]
    pub kafka_properties: Vec<String>,

    /// A file of such properties, a line each; flags go before it
    #[arg(long, env = "VELTRIX_KAFKA_PROPERTIES_FILE", value_name = "FILE")]
    pub kafka_properties_file: Option<PathBuf>,
}

/// An engine's settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// Topics to read from; never empty.
    pub sources: Vec<String>,
    /// See [`RunArgs::group`].
    pub group: String,
    /// See [`RunArgs::start_at`].
    pub start_at: StartAt,
    /// See [`RunArgs::dead_letter_topic`].
    pub dead_letter_topic: String,
    /// See [`RunArgs::control_plane`].
    pub control_plane: Option<Endpoint>,
    /// See [`RunArgs::control_plane_wait_ms`].
    pub control_plane_wait: Duration,
    /// `None`: nothing is kept.
    pub state_dir: Option<PathBuf>,
    /// See [`RunArgs::engine_id`].
    pub engine_id: Option<String>,
    /// `None`: no HTTP side.
    pub listen: Option<SocketAddr>,
    /// See [`RunArgs::routers`].
    pub routers: NonZeroUsize,
    /// See [`RunArgs::batch_events`].
    pub batch_events_max: NonZeroUsize,
    /// For each router.
    pub in_flight_events_max: NonZeroUsize,
    /// For each router.
    pub in_flight_bytes_max: usize,
    /// See [`RunArgs::grace_ms`].
    pub grace: Duration,
}

/// A setting that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSetting {
    /// Of a Kafka property.
    #[error("{0}")]
    Property(#[from] PropertyError),
    /// Of the control plane.
    #[error("--control-plane: {0}")]
    ControlPlane(#[from] AddressError),
    /// An event that came from a topic would go to it again.
    #[error("--dead-letter-topic `{0}` is a source, too; dead letters would be read again")]
    DeadLettersAreASource(String),
    /// Kafka's client refuses to subscribe to it.
    #[error("--source names `{0}` twice; name each topic once")]
    SourceTwice(String),
    /// Also what Kafka's client would take for a pattern.
    #[error(
        "{flag} `{name}` can't be the name of a topic: 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`, and not `.` or `..`"
    )]
    NoTopic {
        /// What gave it.
        flag: &'static str,
        /// The name.
        name: String,
    },
    /// Beyond it there is no machine, and numbers that are computed from it could overflow.
    #[error("{flag} {given} is too much; at most {max}")]
    TooMuch {
        /// What gave it.
        flag: &'static str,
        /// The number.
        given: u64,
        /// The largest that can be used.
        max: u64,
    },
}

/// Each router is a thread with two Kafka clients, and a member of the group.
const ROUTERS_MAX: u64 = 1_024;
/// Twice what librdkafka holds ready for a router by default.
const BATCH_EVENTS_MAX: u64 = 100_000;
/// Hundreds of times what a router needs to be busy.
const IN_FLIGHT_EVENTS_MAX: u64 = 100_000_000;
/// 1 TiB; librdkafka's own books end at 2.
const IN_FLIGHT_MIB_MAX: u64 = 1 << 20;
/// A day.
const WAIT_MS_MAX: u64 = 24 * 3_600 * 1_000;

impl Config {
    /// Checks the flags.
    ///
    /// # Errors
    /// Every setting that can't be used.
    pub fn new(args: RunArgs) -> Result<Config, Vec<BadSetting>> {
        let mut errors = refused(&args);
        let file = args.kafka_properties_file.as_deref();
        let kafka = KafkaSettings::new(args.brokers, file, &args.kafka_properties)
            .map_err(|refused| errors.extend(refused.into_iter().map(BadSetting::from)));
        let control_plane = args.control_plane.map(|address| {
            address::endpoint(&address).map_err(|refused| errors.push(BadSetting::ControlPlane(refused)))
        });
        let (Ok(kafka), Ok(control_plane), true) = (kafka, control_plane.transpose(), errors.is_empty()) else {
            return Err(errors);
        };
        Ok(Config {
            kafka,
            sources: args.sources,
            group: args.group,
            start_at: args.start_at,
            dead_letter_topic: args.dead_letter_topic,
            control_plane,
            control_plane_wait: Duration::from_millis(args.control_plane_wait_ms),
            state_dir: Some(args.state_dir),
            engine_id: args.engine_id,
            listen: Some(args.listen),
            routers: args.routers.unwrap_or_else(default_routers),
            batch_events_max: args.batch_events,
            in_flight_events_max: args.in_flight_events,
            in_flight_bytes_max: args.in_flight_mib.get().saturating_mul(1 << 20),
            grace: Duration::from_millis(args.grace_ms),
        })
    }
}

/// Numbers that are too large, and names that are none.
fn refused(args: &RunArgs) -> Vec<BadSetting> {
    let number = |number: NonZeroUsize| number.get() as u64;
    let numbers = [
        ("--routers", args.routers.map_or(1, number), ROUTERS_MAX),
        ("--batch-events", number(args.batch_events), BATCH_EVENTS_MAX),
        ("--in-flight-events", number(args.in_flight_events), IN_FLIGHT_EVENTS_MAX),
        ("--in-flight-mib", number(args.in_flight_mib), IN_FLIGHT_MIB_MAX),
        ("--grace-ms", args.grace_ms, WAIT_MS_MAX),
        ("--control-plane-wait-ms", args.control_plane_wait_ms, WAIT_MS_MAX),
    ];
    let too_much = numbers.into_iter().filter(|(_, given, max)| given > max);
    let mut errors: Vec<BadSetting> =
        too_much.map(|(flag, given, max)| BadSetting::TooMuch { flag, given, max }).collect();
    let sources = args.sources.iter().map(|name| ("--source", name));
    let topics = sources.chain([("--dead-letter-topic", &args.dead_letter_topic)]);
    let no_topics = topics.filter(|(_, name)| !is_topic(name));
    errors.extend(no_topics.map(|(flag, name)| BadSetting::NoTopic { flag, name: name.clone() }));
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&String> = args.sources.iter().filter(|name| !seen.insert(*name)).collect();
    errors.extend(twice.into_iter().map(|name| BadSetting::SourceTwice(name.clone())));
    if args.sources.contains(&args.dead_letter_topic) {
        errors.push(BadSetting::DeadLettersAreASource(args.dead_letter_topic.clone()));
    }
    errors
}

/// Kafka's own rule.
fn is_topic(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

/// The parser of numbers that can't be 0.
pub(crate) fn at_least_1<N: FromStr<Err = ParseIntError>>(text: &str) -> Result<N, String> {
    text.parse().map_err(|fault: ParseIntError| match fault.kind() {
        IntErrorKind::Zero => "must be at least 1".to_owned(),
        _ => fault.to_string(),
    })
}

fn default_routers() -> NonZeroUsize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(processors / 2).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn config(flags: &[&str]) -> Result<Config, Vec<BadSetting>> {
        let needed = ["veltrix", "--brokers", "localhost:9092"];
        Config::new(Cli::try_parse_from(needed.iter().chain(flags)).unwrap().run)
    }

    #[test]
    fn what_could_only_fail_later_is_refused_by_its_flag() {
        let most = usize::MAX.to_string();
        let table: [(&[&str], &str); 13] = [
            (&["--source", "a", "--source", "a"], "--source names `a` twice"),
            (&["--source", "a,b,a,a"], "--source names `a` twice"),
            (&["--source", "a,"], "--source `` can't be"),
            (&["--source", "^a.*"], "--source `^a.*` can't be"),
            (&["--source", "a", "--dead-letter-topic", ".."], "--dead-letter-topic `..` can't be"),
            (&["--source", "a", "--dead-letter-topic", "a"], "--dead-letter-topic `a` is a source"),
            (&["--source", "a", "--in-flight-mib", "17592186044416"], "--in-flight-mib 17592186044416 is too much"),
            (&["--source", "a", "--in-flight-mib", &most], "at most 1048576"),
            (&["--source", "a", "--batch-events", &most], "--batch-events"),
            (&["--source", "a", "--in-flight-events", &most], "--in-flight-events"),
            (&["--source", "a", "--routers", &most], "--routers"),
            (&["--source", "a", "--grace-ms", &most], "--grace-ms"),
            (&["--source", "a", "--control-plane-wait-ms", &most], "--control-plane-wait-ms"),
        ];
        for (flags, named) in table {
            let errors = config(flags).unwrap_err();
            assert!(errors.len() == 1 && errors[0].to_string().contains(named), "{flags:?}: {errors:?}");
        }
    }

    #[test]
    fn the_largest_numbers_that_are_taken_do_not_overflow() {
        let config =
            config(&["--source", "a,b", "--in-flight-mib", "1048576", "--in-flight-events", "100000000"]).unwrap();
        assert_eq!(config.in_flight_bytes_max, 1 << 40);
        assert_eq!(config.sources, ["a", "b"]);
    }

    #[test]
    fn a_number_that_can_not_be_0_says_so() {
        for flag in ["--routers", "--batch-events", "--in-flight-events", "--in-flight-mib"] {
            let refused = Cli::try_parse_from(["veltrix", "--brokers", "b", "--source", "a", flag, "0"]).err().unwrap();
            assert!(refused.to_string().contains(": must be at least 1"), "{refused}");
        }
        assert_eq!(at_least_1::<NonZeroUsize>("7"), Ok(NonZeroUsize::MIN.saturating_add(6)));
        assert!(at_least_1::<NonZeroUsize>("x").unwrap_err().contains("invalid digit"));
    }

    #[test]
    fn every_bad_setting_is_named_at_once() {
        let errors =
            config(&["--source", "a,a,^", "--grace-ms", "99999999999", "--kafka-property", "acks=0"]).unwrap_err();
        assert_eq!(errors.len(), 4, "{errors:?}");
    }
}
