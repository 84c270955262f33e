//! The full check, for sources that ask for it: whether bytes are one JSON text by RFC 8259, to the last one.
//!
//! One meaning, two speeds. [`quick`] says whether a text is valid, 64 bytes at a time, without a look at single tokens; where it says
//! no, or does not want to say, [`place`] goes over the text token by token and says where it is wrong, or that it is not. So a broken
//! payload costs both, and what is wrong with it is always told in the same words.

mod place;
pub(super) mod quick;

use super::elements::level;
use super::kernel::Level;
use crate::limits::PAYLOAD_DEPTH;
use place::Place;
use quick::Quick;

/// Why bytes are no JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They are none by RFC 8259.
    #[error("byte {at} can't stand there in a JSON text: see RFC 8259")]
    Syntax {
        /// The first byte, or the beginning of the first number or escape, that can't be understood; the length if something is missing.
        at: usize,
    },
    /// Containers are nested more than [`PAYLOAD_DEPTH`] levels deep.
    #[error("byte {at} opens a container within {} others, and `{}` is the limit", PAYLOAD_DEPTH.max, PAYLOAD_DEPTH.name)]
    TooDeep {
        /// The opening bracket that is one too many.
        at: usize,
    },
}

impl Malformed {
    /// The place of the fault.
    pub fn at(self) -> usize {
        match self {
            Malformed::Syntax { at } | Malformed::TooDeep { at } => at,
        }
    }
}

/// Checks a JSON text of any type of value. Whether an object has a key twice, or a text half of a surrogate pair, is not looked at:
/// both are allowed. Containers may be nested up to [`PAYLOAD_DEPTH`] levels deep. Allocates nothing.
#[inline]
pub fn validate(payload: &[u8]) -> Result<(), Malformed> {
    validate_at(level(), payload)
}

#[inline]
pub(super) fn validate_at(level: Level, payload: &[u8]) -> Result<(), Malformed> {
    if level.run(Quick(payload)) { Ok(()) } else { first_fault(level, payload) }
}

#[cold]
pub(super) fn first_fault(level: Level, payload: &[u8]) -> Result<(), Malformed> {
    let marks = level.run(Place(payload));
    // Both look for the first fault of their kind.
    match (std::str::from_utf8(payload), marks) {
        (Err(text), Ok(())) => Err(Malformed::Syntax { at: text.valid_up_to() }),
        (Err(text), Err(fault)) if text.valid_up_to() < fault.at() => Err(Malformed::Syntax { at: text.valid_up_to() }),
        (_, marks) => marks,
    }
}
