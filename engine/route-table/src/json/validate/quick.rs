//! Whether a text is valid: 64 bytes at a time, and no single token is looked at.
//!
//! That works because JSON, but for its nesting, is a matter of neighbours. Call a byte *soft* if it is white space or belongs to a text
//! (its quotes too), and `{ } [ ] : ,` and the bytes of numbers and words *hard*. A text is valid if and only if
//! 1. a text, number, word or container begins after each `:`, `,`, `[` and `{`, over white space, and nowhere else; only after an opening
//!    bracket a closing one may stand instead;
//! 2. the first hard byte after a `{` is a colon, or its closing bracket; every colon is such a byte after a `{` or a `,`;
//! 3. brackets are balanced, each closed by one of its kind; where they all are closed the text ends;
//! 4. colons stand in objects only, and the first hard byte after a comma in an object is a colon;
//! 5. texts, numbers and words are well formed.
//!
//! What the first hard byte after something is takes an addition: a carry runs over a row of ones. So do rows of digits. Only 3 takes a
//! step per bracket, and escapes and words, which are few, one each. Everything is a mask, bit `i` for byte `i`, and what a block leaves
//! to the next one is a bit.
//!
//! Where this says yes, the text is valid. It says no, too, where it does not want to know: to a text that is no object or array, and to
//! one that is nested more than 62 levels deep.

use crate::json::kernel::{BLOCK, Job, Kernel};
use crate::json::plan::word;
use crate::json::scan::Texts;
use crate::json::value::is_space;

/// Whether some bytes are certainly a JSON text.
pub(in crate::json) struct Quick<'a>(pub(in crate::json) &'a [u8]);

impl Job for Quick<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> bool {
        let bytes = self.0;
        let Some(first) = bytes.iter().position(|byte| !is_space(*byte)) else { return false };
        let text = bytes.get(first..).unwrap_or_default();
        if !matches!(text, [b'{' | b'[', ..]) {
            return false;
        }
        let mut check = Check::new(kernel, bytes);
        let (blocks, rest) = text.as_chunks::<BLOCK>();
        let mut at = first;
        for block in blocks {
            check.block(kernel.load(block, 0), at, 0);
            if check.bad != 0 {
                return false;
            }
            at += BLOCK;
            if check.kinds == 1 {
                return check.ends(at);
            }
        }
        if rest.is_empty() {
            return false;
        }
        // The zeros after the end count as white space.
        check.block(kernel.load(bytes, at), at, u64::MAX << rest.len());
        check.bad == 0 && check.kinds == 1 && check.ends(bytes.len())
    }
}

/// What is left to the next block: 1 if its first byte is one of those that are asked for.
#[derive(Default)]
struct Carry(u64);

impl Carry {
    /// The bytes after the marked ones.
    #[inline(always)]
    fn next(&mut self, marks: u64) -> u64 {
        let next = marks << 1 | self.0;
        self.0 = marks >> 63;
        next
    }

    /// Lets each marked byte run to the end of the row of bytes of `over` that begins with it: in the sum, that row is gone, and the
    /// byte after it is there. Other bytes of `over` stay.
    #[inline(always)]
    fn sum(&mut self, marks: u64, over: u64) -> u64 {
        let (sum, carry) = (marks | self.0).overflowing_add(over);
        self.0 = u64::from(carry);
        sum
    }

    /// From the byte after each marked one, the first that is not of `over`. No marked byte is of `over`.
    #[inline(always)]
    fn landing(&mut self, marks: u64, over: u64) -> u64 {
        // Where a mark is, the sum carries, and keeps what comes from below.
        let (sum, here) = (over | marks).overflowing_add(marks);
        let (sum, before) = sum.overflowing_add(self.0);
        self.0 = u64::from(here | before);
        sum & !over
    }
}

/// What a block is made of, as far as it stands outside of texts.
struct Outside {
    opens: u64,
    closes: u64,
    /// Of brackets, those of objects.
    braces: u64,
    commas: u64,
    colons: u64,
    /// Where texts begin.
    quotes: u64,
    spaces: u64,
    /// White space, and all of texts.
    soft: u64,
}

struct Check<'a, K> {
    kernel: K,
    bytes: &'a [u8],
    texts: Texts,
    /// The kinds of the containers that are open, the innermost one lowest: 1 for an object. A 1 above them all.
    kinds: u64,
    after_open: Carry,
    after_separator: Carry,
    members: Carry,
    after_scalar: Carry,
    words: Carry,
    after_minus: Carry,
    whole: Carry,
    after_zero: Carry,
    digit_wanted: Carry,
    /// Bytes that are not ASCII.
    beyond_ascii: u64,
    /// What can't be.
    bad: u64,
}

impl<'a, K: Kernel> Check<'a, K> {
    #[inline(always)]
    fn new(kernel: K, bytes: &'a [u8]) -> Self {
        Check {
            kernel,
            bytes,
            texts: Texts::default(),
            kinds: 1,
            after_open: Carry(0),
            // A value begins where the bytes do.
            after_separator: Carry(1),
            members: Carry(0),
            after_scalar: Carry(0),
            words: Carry(0),
            after_minus: Carry(0),
            whole: Carry(0),
            after_zero: Carry(0),
            digit_wanted: Carry(0),
            beyond_ascii: 0,
            bad: 0,
        }
    }

    /// Checks the block that begins at `at`. `beyond`: bytes of it that are beyond the end.
    #[inline(always)]
    fn block(&mut self, block: K::Block, at: usize, beyond: u64) {
        let masks = self.kernel.classify(block);
        let (outside, escaped) = self.texts.next(self.kernel, &masks);
        self.beyond_ascii |= self.kernel.with_bit(block, 0x80);
        self.bad |= self.kernel.controls(block) & !outside;
        if escaped != 0 {
            self.bad |= bad_escapes(self.bytes, at, escaped);
        }
        // Amid a text, there is nothing else, and what is left to the next block stays.
        if outside == 0 && masks.quotes & !escaped == 0 {
            return;
        }
        let (opens, closes) = (masks.opens & outside, masks.closes & outside);
        let (commas, colons) = (masks.commas & outside, masks.colons & outside);
        let spaces = (self.kernel.blanks(block) | beyond) & outside;
        let soft = !outside | masks.quotes | spaces;
        // The bytes of numbers and words, and all that can't stand anywhere.
        let scalars = !(opens | closes | commas | colons | soft);
        let braces = self.kernel.with_bit(block, 0x20);
        let quotes = masks.quotes & !escaped & !outside;
        let outside = Outside { opens, closes, braces, commas, colons, quotes, spaces, soft };

        let goes_on = self.after_scalar.0 != 0;
        let starts = scalars & !self.after_scalar.next(scalars);
        if scalars != 0 || goes_on {
            self.scalars(block, at, scalars, starts);
        }
        let objects = self.nest(&outside);
        self.neighbours(&outside, starts, objects);
    }

    /// Whether there is only white space from `at` on, and all is UTF-8.
    #[inline(always)]
    fn ends(&self, at: usize) -> bool {
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.iter().all(|byte| is_space(*byte))
            && (self.beyond_ascii == 0 || simdutf8::basic::from_utf8(self.bytes).is_ok())
    }

    /// Rules 1, 2 and 4, and the kinds of rule 3. `objects`: the bytes that stand in objects, brackets where they stand.
    #[inline(always)]
    fn neighbours(&mut self, outside: &Outside, starts: u64, objects: u64) {
        let Outside { opens, closes, braces, commas, colons, quotes, spaces, soft, .. } = outside;
        let after_open = self.after_open.landing(*opens, *spaces);
        let after_separator = self.after_separator.landing(commas | colons, *spaces);
        let members = self.members.landing(opens & braces | commas, *soft);
        let empty = closes & after_open;
        self.bad |=
            ((quotes | starts | opens) ^ (after_open | after_separator) | (members ^ colons) & objects) & !empty;
        self.bad |= colons & !objects | closes & (braces ^ objects);
    }

    /// Rule 3 but for kinds; says which bytes stand in objects.
    #[inline(always)]
    fn nest(&mut self, outside: &Outside) -> u64 {
        let mut kinds = self.kinds;
        let within = (kinds & 1).wrapping_neg();
        let (mut turns, mut deepest) = (0, 0);
        let mut brackets = outside.opens | outside.closes;
        while brackets != 0 {
            let bracket = brackets & brackets.wrapping_neg();
            brackets ^= bracket;
            let around = kinds;
            let inner = kinds << 1 | u64::from(outside.braces & bracket != 0);
            kinds = if outside.opens & bracket != 0 { inner } else { kinds >> 1 };
            deepest |= kinds;
            turns |= bracket & ((around ^ kinds) & 1).wrapping_neg();
            if kinds == 1 {
                // Nothing may follow.
                self.bad |= !outside.spaces & !(bracket | (bracket - 1));
                break;
            }
        }
        // With the top bit, the next one would push the mark above all kinds out.
        self.bad |= deepest >> 63;
        self.kinds = kinds;
        // What a bracket turns to holds from the byte after it.
        self.kernel.xor_prefix(turns) << 1 ^ within
    }

    /// Numbers and words. `starts`: where they begin.
    #[inline(always)]
    fn scalars(&mut self, block: K::Block, at: usize, scalars: u64, starts: u64) {
        let (digits, zeros) = (self.kernel.digits(block) & scalars, self.kernel.equal(block, b'0') & scalars);
        let (minuses, dots) = (self.kernel.equal(block, b'-') & scalars, self.kernel.equal(block, b'.') & scalars);
        let firsts = digits & (starts | self.after_minus.next(minuses & starts));
        let after_whole = self.whole.sum(firsts, digits) & !digits;
        let after_zero = self.after_zero.next(zeros & firsts);
        let wanted = self.digit_wanted.next(minuses | dots);
        self.bad |= wanted & !digits | digits & after_zero | dots & !after_whole;

        let odd = scalars & !(digits | minuses | dots) | minuses & !starts;
        if odd == 0 {
            self.words = Carry(0);
            return;
        }
        let words = starts & odd;
        let powers = odd & !words & self.words.sum(words, scalars);
        if words != 0 {
            self.bad |= bad_words(self.bytes, at, words);
        }
        if powers != 0 {
            self.bad |= bad_powers(self.bytes, at, powers);
        }
    }
}

/// Of bytes with which words begin, those with which none does.
#[inline(never)]
fn bad_words(bytes: &[u8], at: usize, mut starts: u64) -> u64 {
    const NULL: u64 = u32::from_le_bytes(*b"null") as u64;
    const TRUE: u64 = u32::from_le_bytes(*b"true") as u64;
    const FALSE: u64 = u32::from_le_bytes(*b"fals") as u64 | (b'e' as u64) << 32;
    let mut bad = 0;
    while starts != 0 {
        let start = starts.trailing_zeros();
        let word = word(bytes, at + start as usize);
        let (four, five) = (word & 0xffff_ffff, word & 0xff_ffff_ffff);
        let known = (four == NULL) | (four == TRUE) | (five == FALSE);
        let after = if five == FALSE { word >> 40 } else { word >> 32 };
        bad |= u64::from(!(known & ends_scalar(after as u8))) << start;
        starts &= starts - 1;
    }
    bad
}

/// Whether a number or a word that this byte follows has ended.
#[inline(always)]
fn ends_scalar(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
}

/// Of bytes of numbers that are no digits, dots or first minuses, those that are no part of a power of ten.
#[cold]
#[inline(never)]
fn bad_powers(bytes: &[u8], at: usize, mut places: u64) -> u64 {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let is_e = |byte: u8| matches!(byte, b'e' | b'E');
    let mut bad = 0;
    while places != 0 {
        let place = at + places.trailing_zeros() as usize;
        let good = match byte(place) {
            // What follows is looked at from its `e`.
            b'+' | b'-' => is_e(byte(place - 1)),
            b'e' | b'E' => {
                let digits = place + 1 + usize::from(matches!(byte(place + 1), b'+' | b'-'));
                let rest = bytes.get(digits..).unwrap_or_default();
                let run = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                run > 0 && ends_scalar(byte(digits + run)) && byte(place - 1).is_ascii_digit()
            }
            _ => false,
        };
        bad |= u64::from(!good) << (place - at);
        places &= places - 1;
    }
    bad
}

/// Of bytes that backslashes escape, those that can't be.
#[inline(never)]
fn bad_escapes(bytes: &[u8], at: usize, mut escaped: u64) -> u64 {
    let mut bad = 0;
    while escaped != 0 {
        let place = at + escaped.trailing_zeros() as usize;
        let [byte, digits @ .., _, _, _] = word(bytes, place).to_le_bytes();
        let is_code_unit = digits.iter().fold(byte == b'u', |all, digit| all & digit.is_ascii_hexdigit());
        let is_short = matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't');
        bad |= u64::from(!is_short & !is_code_unit) << (place - at);
        escaped &= escaped - 1;
    }
    bad
}
