//! Why a command did not do what it was asked, and the exit status that says so.

use crate::input::InputError;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Input(#[from] InputError),
    /// A line for each rule.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    #[error("{lost} of {expected} matches were lost while rules changed")]
    Lost { lost: u64, expected: u64 },
    #[error("`{path}` holds no rule; give one that no event matches")]
    NoChurnRule { path: PathBuf },
    #[error(
        "rule `{rule}` of `{path}` comes and goes, so that no event may match it, but that on line {line} of `{events}` does"
    )]
    ChurnRuleMatches { rule: String, path: PathBuf, line: usize, events: PathBuf },
    #[error("can't write `{path}`; check that its directory is there and has room")]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("can't write to standard output")]
    Output(#[from] io::Error),
    #[error("no row is called `{name}`; there are: {known}")]
    UnknownRow { name: String, known: String },
    #[error("no engine is called `{name}`; there are: {known}")]
    UnknownEngine { name: String, known: String },
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

impl Failure {
    pub(crate) fn unwritable(path: &Path, source: io::Error) -> Self {
        Failure::Unwritable { path: path.to_owned(), source }
    }

    /// 2: wrong usage; 1: all else.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::UnknownRow { .. } | Failure::UnknownEngine { .. } => 2,
            _ => 1,
        }
    }

    /// With what caused it.
    pub(crate) fn describe(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        text
    }
}
