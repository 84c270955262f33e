//! One test of one attribute: what a predicate is in a table, and what it says of a value.
//!
//! What each test yields for a value that is missing, null or of another type is said in `route_map.proto`; [`Literals::test`] is
//! where it is done.

use crate::condition::{Truth, range};
use crate::fields::FieldIndex;
use crate::lookups::LookupPlace;
use crate::share::Share;
use crate::table::Text;
use crate::value::cidr::{CidrRanges, CidrSet};
use crate::value::fold;
use crate::value::number::{Decimal, Number};
use crate::value::text::{Excerpt, Needle};
use crate::value::wildcard::Wildcard;
use std::cmp::Ordering;

/// One test of one attribute, and what is to be said where the test has nothing to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predicate {
    pub(crate) attribute: Attribute,
    pub(crate) test: Test,
    /// The types that the test is about.
    pub(crate) about: Types,
    pub(crate) on_missing: Truth,
    pub(crate) on_other_type: Truth,
    pub(crate) ignore_case: bool,
    pub(crate) text_as_number: bool,
}

impl Predicate {
    /// What it says where there is no value.
    #[inline]
    pub(crate) fn of_missing(&self) -> Truth {
        match self.test {
            Test::Exists(expected) => Truth::from(!expected),
            _ => self.on_missing,
        }
    }
}

/// What a predicate looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Attribute {
    Key,
    Topic,
    EventType,
    Tenant,
    Timestamp,
    /// Place among the header names.
    Header(u32),
    Field(FieldIndex),
    Element(ElementPlace),
    Lookup(LookupPlace),
}

/// An element that an `any_element` is about, or a place within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ElementPlace {
    /// 0: that of the innermost `any_element`.
    pub(crate) outwards: u32,
    /// [`FieldIndex::ITSELF`]: the element.
    pub(crate) field: FieldIndex,
    /// For the element itself: whether an array stands for its elements.
    pub(crate) through_arrays: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    Equals(Literal),
    /// A run of [`Literals::lists`], sorted.
    In {
        first: u32,
        count: u32,
    },
    Prefix(Text),
    Suffix(Text),
    Contains(Text),
    /// Place among [`Literals::wildcards`].
    Wildcard(u32),
    Exists(bool),
    /// Place among [`Literals::bounds`].
    Range(u32),
    /// Place among [`Literals::cidrs`].
    Cidr(u32),
    /// About [`Predicate::about`].
    Types,
    /// Place among [`Literals::shares`].
    Share(u32),
}

/// At least one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) lower: Option<Bound>,
    pub(crate) upper: Option<Bound>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) literal: Literal,
    pub(crate) inclusive: bool,
}

/// A value that was written in a condition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Literal {
    Text(Text),
    /// Place among [`Literals::decimals`].
    Number(u32),
    Boolean(bool),
    Null,
}

/// A set of types of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Types(pub(crate) u8);

impl Types {
    pub(crate) const NULL: Types = Types(1);
    pub(crate) const BOOLEAN: Types = Types(2);
    pub(crate) const NUMBER: Types = Types(4);
    pub(crate) const TEXT: Types = Types(8);
    pub(crate) const OBJECT: Types = Types(16);
    pub(crate) const ARRAY: Types = Types(32);
    pub(crate) const ALL: Types = Types(63);

    pub(crate) fn with(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    pub(crate) fn has(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }
}

impl Literal {
    pub(crate) fn types(self) -> Types {
        match self {
            Literal::Text(_) => Types::TEXT,
            Literal::Number(_) => Types::NUMBER,
            Literal::Boolean(_) => Types::BOOLEAN,
            Literal::Null => Types::NULL,
        }
    }
}

/// A value that an event has, as tests see it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Datum<'e> {
    Null,
    Boolean(bool),
    Number(Number<'e>),
    /// Not always UTF-8.
    Text(&'e [u8]),
    Object,
    Array,
}

impl Datum<'_> {
    pub(crate) fn types(&self) -> Types {
        match self {
            Datum::Null => Types::NULL,
            Datum::Boolean(_) => Types::BOOLEAN,
            Datum::Number(_) => Types::NUMBER,
            Datum::Text(_) => Types::TEXT,
            Datum::Object => Types::OBJECT,
            Datum::Array => Types::ARRAY,
        }
    }
}

/// What the tests of a table compare with.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    /// The values of `in`, sorted within each predicate by [`Literals::order`].
    pub(crate) lists: Vec<Literal>,
    pub(crate) decimals: Vec<Decimal>,
    pub(crate) bounds: Vec<Bounds>,
    pub(crate) wildcards: Vec<Wildcard>,
    /// What stands between the stars of the wildcards.
    pub(crate) needles: Vec<Needle>,
    pub(crate) cidrs: Vec<CidrSet>,
    pub(crate) cidr_ranges: CidrRanges,
    pub(crate) shares: Vec<Share>,
}

impl Literals {
    pub(crate) fn clear(&mut self) {
        self.lists.clear();
        self.decimals.clear();
        self.bounds.clear();
        self.wildcards.clear();
        self.needles.clear();
        self.cidrs.clear();
        self.cidr_ranges.clear();
        self.shares.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.lists.capacity() * size_of::<Literal>()
            + self.decimals.capacity() * size_of::<Decimal>()
            + self.bounds.capacity() * size_of::<Bounds>()
            + self.wildcards.capacity() * size_of::<Wildcard>()
            + self.needles.capacity() * size_of::<Needle>()
            + self.cidrs.capacity() * size_of::<CidrSet>()
            + self.cidr_ranges.memory_bytes()
            + self.shares.capacity() * size_of::<Share>()
    }

    pub(crate) fn list(&self, first: u32, count: u32) -> &[Literal] {
        self.lists.get(range(first, count)).unwrap_or_default()
    }

    /// The order of an `in`'s values: by type, then by value.
    pub(crate) fn order(&self, texts: &str, a: &Literal, b: &Literal) -> Ordering {
        match (a, b) {
            (Literal::Text(a), Literal::Text(b)) => a.bytes_of(texts).cmp(b.bytes_of(texts)),
            (Literal::Number(a), Literal::Number(b)) => match self.decimals.get(*a as usize) {
                Some(a) => self.compare(texts, &a.number(texts), *b),
                None => Ordering::Equal,
            },
            (Literal::Boolean(a), Literal::Boolean(b)) => a.cmp(b),
            (a, b) => a.types().0.cmp(&b.types().0),
        }
    }

    /// How a number lies to a literal.
    fn compare(&self, texts: &str, number: &Number<'_>, literal: u32) -> Ordering {
        self.decimals.get(literal as usize).map_or(Ordering::Equal, |literal| number.cmp_decimal(literal, texts))
    }

    /// What a predicate says of a value that is there. `folded` is room for a text in lower case.
    #[inline]
    pub(crate) fn test(&self, texts: &str, predicate: &Predicate, value: &Datum<'_>, folded: &mut Vec<u8>) -> Truth {
        if predicate.text_as_number
            && let Datum::Text(text) = value
            && let Some(number) = Number::parse(text)
        {
            return self.test_typed(texts, predicate, &Datum::Number(number), folded);
        }
        self.test_typed(texts, predicate, value, folded)
    }

    #[inline]
    fn test_typed(&self, texts: &str, predicate: &Predicate, value: &Datum<'_>, folded: &mut Vec<u8>) -> Truth {
        let is_about = predicate.about.has(value.types());
        match predicate.test {
            Test::Exists(expected) => return Truth::from(expected),
            Test::Types => return Truth::from(is_about),
            _ if !is_about => return predicate.on_other_type,
            _ => {}
        }
        Truth::from(match value {
            Datum::Text(text) if predicate.ignore_case => {
                self.is_text_ignoring_case(texts, predicate.test, text, folded)
            }
            Datum::Text(text) => self.is_text(texts, predicate.test, text),
            Datum::Number(number) => self.is_number(texts, predicate.test, number),
            Datum::Boolean(value) => {
                self.is_any(predicate.test, |literal| matches!(literal, Literal::Boolean(literal) if literal == value))
            }
            Datum::Null => self.is_any(predicate.test, |literal| matches!(literal, Literal::Null)),
            Datum::Object | Datum::Array => false,
        })
    }

    fn is_text(&self, texts: &str, test: Test, text: &[u8]) -> bool {
        match test {
            Test::Equals(Literal::Text(literal)) => literal.bytes_of(texts) == text,
            Test::In { first, count } => self.is_listed(first, count, |literal| match literal {
                Literal::Text(literal) => literal.bytes_of(texts).cmp(text),
                other => other.types().0.cmp(&Types::TEXT.0),
            }),
            Test::Prefix(literal) => text.starts_with(literal.bytes_of(texts)),
            Test::Suffix(literal) => text.ends_with(literal.bytes_of(texts)),
            Test::Contains(literal) => memchr::memmem::find(text, literal.bytes_of(texts)).is_some(),
            Test::Wildcard(wildcard) => self.is_of_shape(texts, wildcard, text),
            Test::Range(bounds) => self.is_within(bounds, |literal| match literal {
                Literal::Text(literal) => Some(text.cmp(literal.bytes_of(texts))),
                _ => None,
            }),
            Test::Cidr(set) => {
                let set = self.cidrs.get(set as usize);
                set.is_some_and(|set| set.contains(text, &self.cidr_ranges) == Some(true))
            }
            Test::Share(share) => self.shares.get(share as usize).is_some_and(|share| share.has_text(text)),
            Test::Equals(_) | Test::Exists(_) | Test::Types => false,
        }
    }

    fn is_text_ignoring_case(&self, texts: &str, test: Test, text: &[u8], folded: &mut Vec<u8>) -> bool {
        match test {
            Test::Equals(Literal::Text(literal)) => fold::equals(text, literal.bytes_of(texts)),
            Test::In { first, count } => self.list(first, count).iter().any(|literal| match literal {
                Literal::Text(literal) => fold::equals(text, literal.bytes_of(texts)),
                _ => false,
            }),
            Test::Prefix(literal) => fold::starts_with(text, literal.bytes_of(texts)),
            Test::Suffix(literal) => fold::ends_with(text, literal.bytes_of(texts)),
            Test::Contains(literal) => fold::contains(text, literal.bytes_of(texts), folded),
            Test::Wildcard(wildcard) => self.is_of_shape(texts, wildcard, fold::fold(text, folded)),
            _ => false,
        }
    }

    fn is_number(&self, texts: &str, test: Test, number: &Number<'_>) -> bool {
        match test {
            Test::Equals(Literal::Number(literal)) => self.compare(texts, number, literal) == Ordering::Equal,
            Test::In { first, count } => self.is_listed(first, count, |literal| match literal {
                Literal::Number(literal) => self.compare(texts, number, *literal).reverse(),
                other => other.types().0.cmp(&Types::NUMBER.0),
            }),
            Test::Range(bounds) => self.is_within(bounds, |literal| match literal {
                Literal::Number(literal) => Some(self.compare(texts, number, literal)),
                _ => None,
            }),
            Test::Share(share) => self.shares.get(share as usize).is_some_and(|share| share.has_number(number)),
            _ => false,
        }
    }

    fn is_of_shape(&self, texts: &str, wildcard: u32, text: &[u8]) -> bool {
        let wildcard = self.wildcards.get(wildcard as usize);
        wildcard.is_some_and(|wildcard| wildcard.matches(&Excerpt::of(text), texts, &self.needles))
    }

    /// Whether a value is within bounds; `order` says how it lies to one.
    fn is_within(&self, bounds: u32, order: impl Fn(Literal) -> Option<Ordering>) -> bool {
        let Some(Bounds { lower, upper }) = self.bounds.get(bounds as usize) else { return false };
        let admits = |bound: &Option<Bound>, outside: Ordering| {
            bound.is_none_or(|bound| order(bound.literal).is_some_and(|order| bound.admits(order, outside)))
        };
        admits(lower, Ordering::Less) && admits(upper, Ordering::Greater)
    }

    fn is_listed(&self, first: u32, count: u32, order: impl Fn(&Literal) -> Ordering) -> bool {
        self.list(first, count).binary_search_by(order).is_ok()
    }

    /// For values of which there are few.
    fn is_any(&self, test: Test, is_it: impl Fn(&Literal) -> bool) -> bool {
        match test {
            Test::Equals(literal) => is_it(&literal),
            Test::In { first, count } => self.list(first, count).iter().any(is_it),
            _ => false,
        }
    }
}

impl Bound {
    /// Whether a value that stands so to the bound is within it; `outside` is the side that is not.
    fn admits(self, order: Ordering, outside: Ordering) -> bool {
        order == outside.reverse() || (self.inclusive && order == Ordering::Equal)
    }
}
