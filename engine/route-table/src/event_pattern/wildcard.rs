//! Which wildcards EventBridge takes: no star after a star, no backslash before anything but a star or a backslash, and
//! not too many ways to match at once.

use std::collections::HashSet;

/// Ways to match that may be open at once. AWS does not publish it: of the patterns whose answer is known, those with up
/// to 8 are taken and those from 11 on refused, and another open implementation has 10.
pub(super) const COMPLEXITY_MAX: usize = 10;

/// Sets of open ways that are looked at before a list of wildcards is taken for simple enough.
const SETS_MAX: usize = 4_096;

/// Why a wildcard is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadShape {
    /// Two stars in a row.
    Stars,
    /// A backslash before something else than a star or a backslash.
    Escape,
}

/// One step of a wildcard: this byte, or a star.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Byte(u8),
    Star,
}

/// A wildcard that can be matched.
#[derive(Clone, Debug)]
pub(super) struct Shape(Vec<Step>);

impl Shape {
    /// Reads `*`, `\*` and `\\`. A fault comes with its byte; AWS counts the text's opening quote, too.
    pub(super) fn read(text: &str) -> Result<Shape, (BadShape, usize)> {
        let mut steps = vec![Step::Byte(b'"')];
        let mut bytes = text.bytes().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            steps.push(match byte {
                b'*' if bytes.next_if(|(_, next)| *next == b'*').is_some() => return Err((BadShape::Stars, at)),
                b'*' => Step::Star,
                b'\\' => match bytes.next_if(|(_, next)| matches!(next, b'*' | b'\\')) {
                    Some((_, escaped)) => Step::Byte(escaped),
                    None => return Err((BadShape::Escape, at)),
                },
                byte => Step::Byte(byte),
            });
        }
        steps.push(Step::Byte(b'"'));
        Ok(Shape(steps))
    }
}

/// A way to match that is open: a shape, and how many of its steps are done.
type Way = (usize, usize);

/// Whether some text keeps more than [`COMPLEXITY_MAX`] ways to match open at once: of all wildcards of one list
/// together, and a star that may still end counts beside the step before it. This is how event-ruler measures a list
/// (`MachineComplexityEvaluator`), where it pays for each open way. We don't, but refuse what AWS refuses.
///
/// Fields that stand in several branches of an `$or` are measured one by one here, together by event-ruler.
pub(super) fn is_too_complex(shapes: &[Shape]) -> bool {
    let start: Vec<Way> = (0..shapes.len()).map(|shape| (shape, 0)).collect();
    let mut seen: HashSet<Vec<Way>> = HashSet::new();
    let mut pending = vec![start];
    while let Some(ways) = pending.pop() {
        // Bytes that no open way waits for do to all ways what the byte `None` does.
        let mut bytes: Vec<Option<u8>> = ways.iter().filter_map(|way| waits_for(shapes, *way)).map(Some).collect();
        bytes.push(None);
        bytes.sort_unstable();
        bytes.dedup();
        for byte in bytes {
            let next = after(shapes, &ways, byte);
            if next.len() > COMPLEXITY_MAX {
                return true;
            }
            if !next.is_empty() && seen.len() < SETS_MAX && seen.insert(next.clone()) {
                pending.push(next);
            }
        }
    }
    false
}

fn step(shapes: &[Shape], (shape, done): Way) -> Option<Step> {
    shapes.get(shape)?.0.get(done).copied()
}

fn waits_for(shapes: &[Shape], way: Way) -> Option<u8> {
    match step(shapes, way)? {
        Step::Byte(byte) => Some(byte),
        Step::Star => None,
    }
}

/// The ways that are open when `byte` was read.
fn after(shapes: &[Shape], ways: &[Way], byte: Option<u8>) -> Vec<Way> {
    let mut next = Vec::with_capacity(ways.len() * 2);
    for &way in ways {
        let (shape, done) = way;
        if byte.is_some() && waits_for(shapes, way) == byte {
            next.push((shape, done + 1));
            if step(shapes, (shape, done + 1)) == Some(Step::Star) {
                next.push((shape, done + 2));
            }
        }
        // The step before is a star: it takes any byte.
        if done > 0 && step(shapes, (shape, done - 1)) == Some(Step::Star) {
            next.push(way);
        }
    }
    next.sort_unstable();
    next.dedup();
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complex(wildcards: &[&str]) -> bool {
        let shapes: Vec<Shape> = wildcards.iter().map(|wildcard| Shape::read(wildcard).unwrap()).collect();
        is_too_complex(&shapes)
    }

    #[test]
    fn wildcards_with_many_ways_to_match_are_too_complex() {
        for wildcard in ["*:*:*:*:*:event-bus/*", "*aaaaaaaaaa", "*a*b*c*d*e*f*g*h*i*j*k*l", "*a*a*a*a*a*a"] {
            assert!(complex(&[wildcard]), "{wildcard}");
        }
        let folder = ["*/datasync/*.bif", "*/datasync/*.tiff", "*/datasync/*.tif", "*/datasync/*.svs"];
        assert!(complex(&folder));
        assert!(complex(&["a*", "b*", "c*", "d*", "e*", "f*", "g*", "h*", "i*", "j*", "k*"]));
    }

    #[test]
    fn usual_wildcards_are_simple_enough() {
        for wildcard in [
            "",
            "*",
            "abc",
            "*:*:*:*:*:event-bus",
            "arn:aws:events:us-east-1:*:event-bus/*",
            "/Users/*/dir/dir/dir/dir/dir/doc.txt",
            "*aaaaaaaa",
            "2*0*1*7",
        ] {
            assert!(!complex(&[wildcard]), "{wildcard}");
        }
        assert!(!complex(&["*/datasync/*.bif", "*/datasync/*.tif"]));
        assert!(!complex(&["*.bif", "*.tiff", "*.tif", "*.svs"]));
        assert!(!complex(&[]));
    }

    #[test]
    fn a_bad_shape_is_told_with_its_place() {
        assert_eq!(Shape::read("ab**").unwrap_err(), (BadShape::Stars, 2));
        assert_eq!(Shape::read("é***").unwrap_err(), (BadShape::Stars, 2));
        assert_eq!(Shape::read(r"ab\c").unwrap_err(), (BadShape::Escape, 2));
        assert_eq!(Shape::read(r"ab\").unwrap_err(), (BadShape::Escape, 2));
        assert!(Shape::read(r"\**\*\\*").is_ok());
    }
}
