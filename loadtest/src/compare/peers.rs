//! The peers' drivers: their sources, which this program carries along, and how they are built into a cache directory.
//!
//! A toolchain that is not there, or a build that fails, costs the table a column, not the comparison.

use super::engine::{Dialect, Engine};
use crate::hash::Fnv1a;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A matcher that Veltrix is compared with.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// It has a mode for wildcards in which loading may take for ever.
    pub(crate) has_speed_mode: bool,
    /// Programs that building and running need, and where they come from.
    tools: &'static [(&'static str, &'static str)],
    sources: &'static [(&'static str, &'static str)],
    /// Commands, run one after the other in the driver's directory.
    build: &'static [&'static [&'static str]],
    /// What starts the driver; `{}` stands for its directory.
    start: &'static [&'static str],
}

const JAVA: &str = "a JDK of version 17 or newer: https://adoptium.net, or `apt install openjdk-17-jdk-headless maven`";
const GO: &str = "Go 1.22 or newer: https://go.dev/dl";
const RUST: &str = "Rust: https://rustup.rs";

macro_rules! source {
    ($peer:literal, $file:literal) => {
        ($file, include_str!(concat!("../../peers/", $peer, "/", $file)))
    };
}

/// In the order of the table.
pub(crate) static PEERS: [Peer; 3] = [
    Peer {
        name: "event-ruler",
        has_speed_mode: false,
        tools: &[("java", JAVA), ("javac", JAVA), ("mvn", "Maven: https://maven.apache.org, or `apt install maven`")],
        sources: &[source!("event-ruler", "pom.xml"), source!("event-ruler", "Driver.java")],
        build: &[
            &["mvn", "-q", "-B", "-ntp", "dependency:copy-dependencies", "-DoutputDirectory=lib"],
            &["javac", "-cp", "lib/*", "-d", "classes", "Driver.java"],
        ],
        start: &["java", "-cp", "{}/lib/*:{}/classes", "Driver"],
    },
    Peer {
        name: "quamina-go",
        has_speed_mode: true,
        tools: &[("go", GO)],
        sources: &[
            source!("quamina-go", "go.mod"),
            source!("quamina-go", "main.go"),
            source!("quamina-go", "cpu_linux.go"),
            source!("quamina-go", "cpu_other.go"),
        ],
        // `-mod=mod` lets go note the checksums of the module, which its checksum database vouches for.
        build: &[&["go", "build", "-mod=mod", "-o", "driver", "."]],
        start: &["{}/driver"],
    },
    Peer {
        name: "quamina-rs",
        has_speed_mode: true,
        tools: &[("cargo", RUST)],
        sources: &[
            source!("quamina-rs", "Cargo.toml"),
            source!("quamina-rs", "Cargo.lock"),
            source!("quamina-rs", "src/main.rs"),
        ],
        build: &[&["cargo", "build", "--release", "--locked", "--target-dir", "target"]],
        start: &["{}/target/release/quamina-rs-driver"],
    },
];

impl Peer {
    /// Builds the driver, unless the one in the cache is from these sources. The error is one line that says what to do.
    pub(crate) fn build(&self, cache: &Path) -> Result<Vec<Engine>, String> {
        if let Some((tool, hint)) = self.tools.iter().find(|(tool, _)| !is_installed(tool)) {
            return Err(format!("{tool} is not there; install {hint}"));
        }
        let dir = cache.join(self.name);
        let stamp = dir.join("built");
        let edition = self.edition();
        if fs::read_to_string(&stamp).is_ok_and(|built| built == edition) {
            return Ok(self.engines(&dir));
        }
        let log = dir.join("build.log");
        self.unpack(&dir).map_err(|error| format!("can't write to {}: {error}", dir.display()))?;
        for command in self.build {
            run(command, &dir, &log).map_err(|cause| format!("can't be built: {cause}; see {}", log.display()))?;
        }
        fs::write(&stamp, edition).map_err(|error| format!("can't write {}: {error}", stamp.display()))?;
        Ok(self.engines(&dir))
    }

    /// Changes with the sources.
    fn edition(&self) -> String {
        let all: String = self.sources.iter().flat_map(|(name, text)| [*name, "\0", *text, "\0"]).collect();
        format!("{:016x}", Fnv1a::of(all.as_bytes()))
    }

    fn unpack(&self, dir: &Path) -> io::Result<()> {
        for (name, text) in self.sources {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            fs::write(path, text)?;
        }
        Ok(())
    }

    fn engines(&self, dir: &Path) -> Vec<Engine> {
        let mut start = self.start.iter().map(|part| part.replace("{}", &dir.display().to_string()));
        let program = PathBuf::from(start.next().unwrap_or_default());
        let arguments: Vec<OsString> = start.map(OsString::from).collect();
        let usual = Engine { name: self.name, program, arguments, dialect: Dialect::Driver, speed: false };
        let fast = self.has_speed_mode.then(|| Engine { speed: true, ..usual.clone() });
        std::iter::once(usual).chain(fast).collect()
    }
}

/// Runs a command; the error is the line of its output that says most.
fn run(command: &[&str], dir: &Path, log: &Path) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let output = Command::new(program).args(arguments).current_dir(dir).output().map_err(|error| error.to_string())?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    fs::write(log, &*text).map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = lines().find(|line| ["ERROR", "error:", "error["].iter().any(|word| line.contains(word)));
    Err(telling.or(lines().next_back()).unwrap_or("it says nothing").to_owned())
}

fn is_installed(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|dir| dir.join(tool).is_file())
}

/// Where drivers are kept between runs.
pub(crate) fn default_cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("veltrix").join("peers")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Peer = Peer {
        name: "peer",
        has_speed_mode: true,
        tools: &[("sh", "a shell")],
        sources: &[("Driver.txt", "source\n"), ("src/more.txt", "more\n")],
        build: &[&["sh", "-c", "cat Driver.txt src/more.txt >> driver; echo built"]],
        start: &["{}/driver", "{}/a:{}/b"],
    };

    #[test]
    fn a_driver_is_built_once_from_the_same_sources() {
        let cache = tempfile::tempdir().unwrap();
        let engines = PEER.build(cache.path()).unwrap();
        PEER.build(cache.path()).unwrap();
        let driver = cache.path().join("peer/driver");
        assert_eq!(fs::read_to_string(&driver).unwrap(), "source\nmore\n");
        assert_eq!(engines.iter().map(|engine| engine.speed).collect::<Vec<_>>(), [false, true]);
        assert_eq!(engines[0].program, driver);
        let dir = cache.path().join("peer").display().to_string();
        assert_eq!(engines[0].arguments, [OsString::from(format!("{dir}/a:{dir}/b"))]);
        let changed = Peer { sources: &[("Driver.txt", "other\n"), ("src/more.txt", "")], ..PEER };
        changed.build(cache.path()).unwrap();
        assert_eq!(fs::read_to_string(&driver).unwrap(), "source\nmore\nother\n");
    }

    #[test]
    fn a_tool_that_is_missing_is_named_with_where_it_comes_from() {
        let peer = Peer { tools: &[("no-such-tool", "it from its maker")], ..PEER };
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(peer.build(cache.path()).unwrap_err(), "no-such-tool is not there; install it from its maker");
    }

    #[test]
    fn a_build_that_fails_says_why_in_one_line_and_is_tried_again() {
        let peer = Peer { build: &[&["sh", "-c", "echo begin; echo error: no module >&2; echo end; exit 1"]], ..PEER };
        let cache = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let error = peer.build(cache.path()).unwrap_err();
            assert!(error.starts_with("can't be built: error: no module; see "), "{error}");
        }
        assert!(fs::read_to_string(cache.path().join("peer/build.log")).unwrap().contains("begin"));
    }
}
