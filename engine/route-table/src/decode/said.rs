//! Keeps each different predicate once, whatever routes say it and however they spell it.

use super::Decoder;
use crate::compile::hash_of;
use crate::limits;
use crate::predicate::{Bound, Literal, Literals, Predicate, Test};
use crate::table::{RouteTable, Text};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

impl Decoder<'_> {
    /// The number of a predicate; one that says the same as an earlier one gets that one's, and leaves no values behind.
    pub(super) fn intern_predicate(&mut self, predicate: Predicate, before: Kept) -> u32 {
        let RouteTable { conditions, texts, .. } = &mut *self.table;
        let literals = &conditions.literals;
        let key = |predicate: &Predicate| Said { predicate: *predicate, texts, literals };
        let hash = hash_of(|hasher| key(&predicate).hash(hasher));
        let known = |index: u32| conditions.predicates.get(index as usize);
        let same = |index: u32| known(index).is_some_and(|known| key(known).is(&key(&predicate)));
        match self.scratch.predicates.find_or_add(hash, conditions.predicates.len(), same) {
            Ok(known) => {
                before.restore(self.table);
                known
            }
            Err(new) => {
                if let Test::In { first, count } = predicate.test
                    && conditions.literals.lists.len() as u64 > limits::VALUES.max
                {
                    conditions.literals.lists.truncate(first as usize);
                    self.values_left_out += u64::from(count);
                }
                conditions.predicates.push(predicate);
                new
            }
        }
    }
}

/// How much a table kept before a predicate was read.
pub(super) struct Kept {
    texts: usize,
    lists: usize,
    decimals: usize,
    bounds: usize,
    shares: usize,
}

impl Kept {
    pub(super) fn by(RouteTable { texts, conditions, .. }: &RouteTable) -> Self {
        let Literals { lists, decimals, bounds, shares, .. } = &conditions.literals;
        Kept {
            texts: texts.len(),
            lists: lists.len(),
            decimals: decimals.len(),
            bounds: bounds.len(),
            shares: shares.len(),
        }
    }

    /// Drops what was kept since. That was for nothing but tests which say the same as earlier ones, of the same attributes.
    fn restore(self, RouteTable { texts, conditions, .. }: &mut RouteTable) {
        let literals = &mut conditions.literals;
        texts.truncate(self.texts);
        literals.lists.truncate(self.lists);
        literals.decimals.truncate(self.decimals);
        literals.bounds.truncate(self.bounds);
        literals.shares.truncate(self.shares);
    }
}

/// A predicate with what it compares with, so that two of them can be told apart by what they say.
struct Said<'a> {
    predicate: Predicate,
    texts: &'a str,
    literals: &'a Literals,
}

impl Said<'_> {
    fn is(&self, other: &Said<'_>) -> bool {
        let (a, b) = (&self.predicate, &other.predicate);
        let flags = |said: &Predicate| {
            (said.attribute, said.about, said.on_missing, said.on_other_type, said.ignore_case, said.text_as_number)
        };
        let text = |a: Text, b: Text| a.bytes_of(self.texts) == b.bytes_of(self.texts);
        let same = |a: &Literal, b: &Literal| self.literals.order(self.texts, a, b) == Ordering::Equal;
        let bound = |a: Option<Bound>, b: Option<Bound>| match (a, b) {
            (Some(a), Some(b)) => a.inclusive == b.inclusive && same(&a.literal, &b.literal),
            (None, None) => true,
            _ => false,
        };
        flags(a) == flags(b)
            && match (a.test, b.test) {
                (Test::Equals(a), Test::Equals(b)) => same(&a, &b),
                (Test::Prefix(a), Test::Prefix(b))
                | (Test::Suffix(a), Test::Suffix(b))
                | (Test::Contains(a), Test::Contains(b)) => text(a, b),
                (Test::Exists(a), Test::Exists(b)) => a == b,
                (Test::Types, Test::Types) => true,
                (Test::Range(a), Test::Range(b)) => {
                    let bounds = |index: u32| self.literals.bounds.get(index as usize);
                    bounds(a).zip(bounds(b)).is_some_and(|(a, b)| bound(a.lower, b.lower) && bound(a.upper, b.upper))
                }
                (Test::Share(a), Test::Share(b)) => {
                    let shares = |index: u32| self.literals.shares.get(index as usize);
                    shares(a)
                        .zip(shares(b))
                        .is_some_and(|(a, b)| text(a.salt, b.salt) && (a.from, a.to) == (b.from, b.to))
                }
                (Test::In { first: f1, count: c1 }, Test::In { first: f2, count: c2 }) => {
                    let (a, b) = (self.literals.list(f1, c1), self.literals.list(f2, c2));
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
                }
                // Compiled; those that are written alike were read once.
                (Test::Wildcard(_), _) | (Test::Cidr(_), _) => false,
                _ => false,
            }
    }
}

impl Hash for Said<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let literal = |hasher: &mut H, literal: &Literal| match literal {
            Literal::Text(text) => text.bytes_of(self.texts).hash(hasher),
            Literal::Number(number) => {
                let number = self.literals.decimals.get(*number as usize);
                number.map(|number| number.number(self.texts).key()).hash(hasher);
            }
            Literal::Boolean(value) => value.hash(hasher),
            Literal::Null => {}
        };
        let Predicate { attribute, about, on_missing, .. } = self.predicate;
        (attribute, about, on_missing, std::mem::discriminant(&self.predicate.test)).hash(hasher);
        match self.predicate.test {
            Test::Equals(value) => literal(hasher, &value),
            Test::Prefix(text) | Test::Suffix(text) | Test::Contains(text) => text.bytes_of(self.texts).hash(hasher),
            Test::In { first, count } => {
                self.literals.list(first, count).iter().for_each(|value| literal(hasher, value));
            }
            Test::Range(bounds) => {
                let bounds = self.literals.bounds.get(bounds as usize);
                let bounds = bounds.into_iter().flat_map(|bounds| [bounds.lower, bounds.upper]).flatten();
                bounds.for_each(|bound| literal(hasher, &bound.literal));
            }
            Test::Share(share) => {
                let share = self.literals.shares.get(share as usize);
                share.map(|share| (share.salt.bytes_of(self.texts), share.from, share.to)).hash(hasher);
            }
            // None is the same as another.
            Test::Wildcard(place) | Test::Cidr(place) => place.hash(hasher),
            Test::Exists(_) | Test::Types => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::compile::compile;
    use crate::table::RouteTable;
    use veltrix_proto::v1::condition::Kind;
    use veltrix_proto::v1::destination::Kind as To;
    use veltrix_proto::v1::{Condition, Destination, EventTypes, KafkaTopic, Route, RouteMap};

    fn table_of(conditions: impl IntoIterator<Item = Kind>) -> RouteTable {
        let route = |(number, kind): (usize, Kind)| Route {
            id: number.to_string(),
            types: Some(EventTypes { any: true, ..EventTypes::default() }),
            when: Some(Condition { kind: Some(kind) }),
            to: vec!["d".to_owned()],
            ..Route::default()
        };
        let kafka = To::Kafka(KafkaTopic { topic: "t".to_owned(), ..KafkaTopic::default() });
        let map = RouteMap {
            name: "said".to_owned(),
            destinations: vec![Destination { id: "d".to_owned(), kind: Some(kafka) }],
            routes: conditions.into_iter().enumerate().map(route).collect(),
            ..RouteMap::default()
        };
        compile(&map).unwrap()
    }

    /// How many predicates, values and numbers a table has.
    fn counts(table: &RouteTable) -> [usize; 3] {
        let conditions = &table.conditions;
        [conditions.predicates.len(), conditions.literals.lists.len(), conditions.literals.decimals.len()]
    }

    #[test]
    fn what_many_texts_say_is_kept_once() {
        let numbers: Vec<String> = (0..300).map(|number| number.to_string()).collect();
        let texts = [
            Kind::Cel(format!("payload.n in [{}]", numbers.join(","))),
            Kind::Cel("payload.n >= 5 && payload.text.startsWith('a')".to_owned()),
            Kind::EventPattern(r#"{"a": {"b": [{"wildcard": "x*y*z"}]}}"#.to_owned()),
            Kind::EventPattern(r#"{"ip": [{"cidr": "10.0.0.0/8"}]}"#.to_owned()),
        ];
        for text in texts {
            let (one, many) = (table_of([text.clone()]), table_of(std::iter::repeat_n(text.clone(), 50)));
            assert_eq!(counts(&many), counts(&one), "{text:?}");
        }
    }

    #[test]
    fn numbers_that_are_spelled_differently_are_kept_once_and_leave_nothing_behind() {
        let spellings = ["1", "1.0", "1e0", "10e-1"];
        let cel = |number: &&str| Kind::Cel(format!("payload.n == {number} && payload.m in [{number}, 7]"));
        let once = table_of([cel(&"1")]);
        let table = table_of(spellings.iter().map(cel));
        assert_eq!(counts(&table), counts(&once));
        assert_eq!(table.texts.len(), once.texts.len() + "123".len(), "only the ids of three more routes");
    }
}
