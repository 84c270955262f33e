//! What members want of an attribute, as far as they can be filed under it: texts, ends of texts, intervals, or any value.

use crate::access::{Affix, LENGTHS_MAX, Line, Tree};
use crate::compile::hash_of;
use crate::condition::{Truth, range};
use crate::interned::Interned;
use crate::predicate::{Literal, Predicate, Test, Types};
use crate::table::{RouteTable, Text};
use crate::value::number::Decimal;
use crate::zones::{literals, make_bounds, of_range};
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// A route is not filed under more than these.
pub(super) const VALUES_MAX: usize = 256;

/// One thing that a member wants of an attribute.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// A text, or an end of texts, whose bucket is not known yet.
    Text(Affix, Text),
    /// Place among the buckets.
    Bucket(u32),
    /// Place among the spans.
    Span(u32),
}

/// How the members of a clause are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By whole texts.
    Texts,
    /// By more than that.
    Search,
    /// By there being a value.
    Presence,
}

/// What a predicate says about where to file who asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It can hold of values that are not noted.
    Beyond,
    /// It holds of nothing but what was noted, and not always of that.
    Within,
    /// It holds of all that was noted, and of nothing else.
    All,
}

/// All members that want one text, or one end of texts, of one attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) attribute: u32,
    pub(super) affix: Affix,
    pub(super) text: Text,
    /// How many want it, whether or not they are filed under it.
    pub(super) wanted: u32,
    pub(super) first: u32,
    pub(super) placed: u32,
}

/// An interval that a member wants of an attribute.
#[derive(Clone, Copy, Debug)]
struct Span {
    attribute: u32,
    ends: Ends,
    /// Its zones, when the line was cut.
    from: u32,
    to: u32,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    /// Those of a test of numbers. An `in` has a span for each of its values.
    Equals(Literal),
    /// Place among the bounds of ranges.
    Range(u32),
    /// Places in the line of addresses, both included.
    Addresses(u128, u128),
}

impl Span {
    fn line(&self) -> (u32, Line) {
        let line = if let Ends::Addresses(..) = self.ends { Line::Addresses } else { Line::Numbers };
        (self.attribute, line)
    }
}

/// What it means to file a member in some way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    /// How many stand where it stands, on average.
    pub(super) crowd: u64,
    /// At how many places it stands, at most.
    pub(super) places: usize,
}

/// A line of numbers or addresses that the spans of one attribute cut into zones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) attribute: u32,
    pub(super) line: Line,
    first_bound: u32,
    bounds: u32,
    /// Where the sums over its zones begin.
    first_sum: u32,
}

/// What all members of a group want.
#[derive(Debug, Default)]
pub(super) struct AllWanted {
    pub(super) list: Vec<Wanted>,
    pub(super) buckets: Vec<Bucket>,
    buckets_by_text: Interned,
    /// The lengths of all ends of texts, and then of those that they are looked up by.
    lengths: Vec<(u32, Affix, u32)>,
    spans: Vec<Span>,
    /// The spans that cut lines, line by line.
    order: Vec<u32>,
    pub(super) cuts: Vec<Cut>,
    decimals: Vec<Decimal>,
    addresses: Vec<u128>,
    /// For each zone, how many spans the zones before it are in, all told; and so for the end of the line.
    sums: Vec<i64>,
}

impl AllWanted {
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.buckets.clear();
        self.buckets_by_text.clear();
        self.lengths.clear();
        self.spans.clear();
        self.order.clear();
        self.cuts.clear();
    }

    /// Notes what a clause wants, one of whose predicates must be true, and says how that is found; `None` if it wants too much.
    pub(super) fn note_values(
        &mut self,
        table: &RouteTable,
        attribute: u32,
        predicates: &[u32],
    ) -> Option<(By, Reach)> {
        let (first, first_span) = (self.list.len(), self.spans.len());
        let reaches = predicates.iter().map(|index| self.note(table, attribute, *index));
        let reach = reaches.fold(Reach::All, Reach::and);
        if reach == Reach::Beyond || self.list.len() - first > VALUES_MAX {
            self.list.truncate(first);
            self.spans.truncate(first_span);
            return None;
        }
        Some((if self.is_searched(first..self.list.len()) { By::Search } else { By::Texts }, reach))
    }

    /// Notes that a clause wants a value, if it is false when there is none.
    pub(super) fn note_presence(&mut self, table: &RouteTable, predicates: &[u32]) -> Option<(By, Reach)> {
        let mut predicates = predicates.iter().filter_map(|index| table.conditions.predicates.get(*index as usize));
        if predicates.clone().any(|predicate| predicate.of_missing() == Truth::True) {
            return None;
        }
        self.note_text(Affix::Any, Text::default());
        let is_all = predicates.any(|predicate| matches!(predicate.test, Test::Exists(true)));
        Some((By::Presence, if is_all { Reach::All } else { Reach::Within }))
    }

    /// Notes what a predicate wants.
    fn note(&mut self, table: &RouteTable, attribute: u32, predicate: u32) -> Reach {
        let Some(predicate) = table.conditions.predicates.get(predicate as usize) else { return Reach::Beyond };
        let is_plain = !predicate.ignore_case
            && !predicate.text_as_number
            // Absent is as good as false: who cares for the difference has no such clauses.
            && predicate.on_missing != Truth::True
            && predicate.on_other_type != Truth::True;
        if is_plain { self.note_test(table, attribute, predicate) } else { Reach::Beyond }
    }

    fn note_test(&mut self, table: &RouteTable, attribute: u32, predicate: &Predicate) -> Reach {
        let literals = &table.conditions.literals;
        match predicate.test {
            Test::Equals(literal) => self.note_value(attribute, literal),
            Test::In { first, count } if count as usize <= VALUES_MAX => {
                let values = literals.list(first, count).iter();
                values.map(|value| self.note_value(attribute, *value)).fold(Reach::All, Reach::and)
            }
            Test::Prefix(text) => self.note_text(Affix::Prefix, text),
            Test::Suffix(text) => self.note_text(Affix::Suffix, text),
            Test::Wildcard(place) => {
                let Some(wildcard) = literals.wildcards.get(place as usize) else { return Reach::Beyond };
                match wildcard.ends() {
                    (text, None) => self.note_text(Affix::Whole, text),
                    (Text { len: 0, .. }, Some(Text { len: 0, .. })) => Reach::Beyond,
                    (head, Some(tail)) => {
                        let is_all = wildcard.is_ends_only() && (head.len == 0 || tail.len == 0);
                        // The longer one tells more.
                        let (affix, text) =
                            if head.len < tail.len { (Affix::Suffix, tail) } else { (Affix::Prefix, head) };
                        self.note_text(affix, text).and(if is_all { Reach::All } else { Reach::Within })
                    }
                }
            }
            Test::Range(place) if predicate.about == Types::NUMBER => self.note_span(attribute, Ends::Range(place)),
            Test::Cidr(place) => match literals.cidrs.get(place as usize) {
                Some(set) if set.runs_max() <= VALUES_MAX => {
                    set.each_run(&literals.cidr_ranges, |first, last| {
                        self.note_span(attribute, Ends::Addresses(first, last));
                    });
                    Reach::All
                }
                _ => Reach::Beyond,
            },
            _ => Reach::Beyond,
        }
    }

    fn note_value(&mut self, attribute: u32, literal: Literal) -> Reach {
        match literal {
            Literal::Text(text) => self.note_text(Affix::Whole, text),
            Literal::Number(_) => self.note_span(attribute, Ends::Equals(literal)),
            Literal::Boolean(_) | Literal::Null => Reach::Beyond,
        }
    }

    fn note_text(&mut self, affix: Affix, text: Text) -> Reach {
        self.list.push(Wanted::Text(affix, text));
        Reach::All
    }

    fn note_span(&mut self, attribute: u32, ends: Ends) -> Reach {
        self.list.push(Wanted::Span(self.spans.len() as u32));
        self.spans.push(Span { attribute, ends, from: 0, to: 0 });
        Reach::All
    }

    /// Whether any of this is found in another way than by a whole text.
    fn is_searched(&self, wanted: Range<usize>) -> bool {
        let wanted = self.list.get(wanted).unwrap_or_default();
        wanted.iter().any(|wanted| !matches!(wanted, Wanted::Text(Affix::Whole, _) | Wanted::Bucket(_)))
    }

    /// Notes how long the ends of texts are that a member wants of an attribute.
    pub(super) fn note_lengths(&mut self, attribute: u32, wanted: Range<usize>) {
        let wanted = self.list.get(wanted).unwrap_or_default().iter();
        self.lengths.extend(wanted.filter_map(|wanted| match wanted {
            Wanted::Text(affix @ (Affix::Prefix | Affix::Suffix), text) => Some((attribute, *affix, text.len)),
            _ => None,
        }));
    }

    /// Chooses the lengths that texts are looked up by. Where ends are of too many, those that come at even distances when all are put in
    /// order: the shortest, so that each end has a length that is not longer, and all that many have.
    pub(super) fn choose_lengths(&mut self) {
        self.lengths.sort_unstable();
        let mut kept = 0;
        let mut at = 0;
        while let Some((attribute, affix, _)) = self.lengths.get(at).copied() {
            let rest = self.lengths.get(at..).unwrap_or_default();
            let ends = rest.partition_point(|(other, of, _)| (*other, *of) == (attribute, affix));
            let of_these = rest.get(..ends).unwrap_or_default();
            let different = of_these.chunk_by(|a, b| a == b).count();
            let mut chosen = [0; LENGTHS_MAX];
            let mut choose = |(place, length): (usize, Option<&(u32, Affix, u32)>)| {
                if let (Some(place), Some((.., length))) = (chosen.get_mut(place), length) {
                    *place = *length;
                }
            };
            match different {
                0..=LENGTHS_MAX => of_these.chunk_by(|a, b| a == b).map(<[_]>::first).enumerate().for_each(choose),
                _ => (0..LENGTHS_MAX).for_each(|part| choose((part, of_these.get(part * ends / LENGTHS_MAX)))),
            }
            // There are never more of them than there were.
            for same in chosen.chunk_by(|a, b| a == b) {
                if let (Some(length @ 1..), Some(place)) = (same.first().copied(), self.lengths.get_mut(kept)) {
                    *place = (attribute, affix, length);
                    kept += 1;
                }
            }
            at += ends;
        }
        self.lengths.truncate(kept);
    }

    /// Finds the buckets of the texts that a member wants of an attribute. Says whether some stand in buckets of shorter ends, where others
    /// are met that the member does not want.
    pub(super) fn find_buckets(&mut self, table: &RouteTable, attribute: u32, wanted: Range<usize>) -> bool {
        let mut is_cut = false;
        for at in wanted {
            let Some(Wanted::Text(affix, whole)) = self.list.get(at).copied() else { continue };
            let mut text = whole;
            if matches!(affix, Affix::Prefix | Affix::Suffix) {
                let not_longer = self.lengths.partition_point(|length| *length <= (attribute, affix, whole.len));
                let kept = not_longer.checked_sub(1).and_then(|last| self.lengths.get(last));
                let len = kept.map_or(0, |(.., len)| *len);
                is_cut |= len < whole.len;
                let at = if affix == Affix::Suffix { whole.at + (whole.len - len) } else { whole.at };
                text = Text { at, len };
            }
            let bucket = self.bucket(table, attribute, affix, text);
            if let Some(bucket) = self.buckets.get_mut(bucket as usize) {
                bucket.wanted += 1;
            }
            if let Some(place) = self.list.get_mut(at) {
                *place = Wanted::Bucket(bucket);
            }
        }
        is_cut
    }

    /// Leaves of the lengths those that somebody is filed under, when all are in their places.
    pub(super) fn keep_lengths_in_use(&mut self) {
        let ends = self
            .buckets
            .iter()
            .filter(|bucket| bucket.placed > 0 && matches!(bucket.affix, Affix::Prefix | Affix::Suffix));
        self.lengths.clear();
        self.lengths.extend(ends.map(|bucket| (bucket.attribute, bucket.affix, bucket.text.len)));
        self.lengths.sort_unstable();
        self.lengths.dedup();
    }

    /// The lengths of an attribute's ends of texts, ascending.
    pub(super) fn lengths_of(&self, attribute: u32, affix: Affix) -> impl Iterator<Item = u16> {
        let from = self.lengths.partition_point(|(other, of, _)| (*other, *of) < (attribute, affix));
        let lengths = self.lengths.iter().skip(from);
        let lengths = lengths.take_while(move |(other, of, _)| (*other, *of) == (attribute, affix));
        lengths.filter_map(|(.., length)| u16::try_from(*length).ok())
    }

    fn bucket(&mut self, table: &RouteTable, attribute: u32, affix: Affix, text: Text) -> u32 {
        let bytes = text.bytes_of(&table.texts);
        let hash = hash_of(|hasher| {
            hasher.write_u32(attribute);
            affix.hash(hasher);
            bytes.hash(hasher);
        });
        let buckets = &mut self.buckets;
        let same = |index: u32| {
            buckets.get(index as usize).is_some_and(|bucket| {
                (bucket.attribute, bucket.affix) == (attribute, affix) && bucket.text.bytes_of(&table.texts) == bytes
            })
        };
        let found = self.buckets_by_text.find_or_add(hash, buckets.len(), same);
        found.unwrap_or_else(|new| {
            buckets.push(Bucket { attribute, affix, text, wanted: 0, first: 0, placed: 0 });
            new
        })
    }

    /// Begins to cut the lines anew.
    pub(super) fn uncut(&mut self) {
        self.order.clear();
    }

    /// Lets the spans among what a member wants cut their lines.
    pub(super) fn cut_by(&mut self, wanted: Range<usize>) {
        let wanted = self.list.get(wanted).unwrap_or_default().iter();
        self.order.extend(wanted.filter_map(|wanted| if let Wanted::Span(span) = wanted { Some(*span) } else { None }));
    }

    /// Cuts all lines, and finds the zones of those spans that cut them.
    pub(super) fn cut(&mut self, table: &RouteTable) {
        self.cuts.clear();
        self.decimals.clear();
        self.addresses.clear();
        self.sums.clear();
        let mut order = std::mem::take(&mut self.order);
        let line = |spans: &[Span], place: &u32| spans.get(*place as usize).map(Span::line);
        order.sort_unstable_by_key(|place| (line(&self.spans, place), *place));
        let mut rest = order.as_slice();
        while let Some(Some((attribute, of))) = rest.first().map(|place| line(&self.spans, place)) {
            let ends = rest.partition_point(|place| line(&self.spans, place) <= Some((attribute, of)));
            let (places, others) = rest.split_at_checked(ends).unwrap_or((rest, &[]));
            self.cut_line(table, attribute, of, places);
            rest = others;
        }
        self.order = order;
    }

    fn cut_line(&mut self, table: &RouteTable, attribute: u32, line: Line, places: &[u32]) {
        let AllWanted { spans, decimals, addresses, sums, cuts, .. } = self;
        let (conditions, texts) = (&table.conditions, table.texts.as_str());
        let (first_decimal, first_address, first_sum) = (decimals.len(), addresses.len(), sums.len());
        for place in places {
            match spans.get(*place as usize).map(|span| span.ends) {
                Some(Ends::Equals(literal)) => {
                    literals(conditions, Test::Equals(literal), &mut |bound| decimals.push(bound))
                }
                Some(Ends::Range(range)) => literals(conditions, Test::Range(range), &mut |bound| decimals.push(bound)),
                Some(Ends::Addresses(first, last)) => {
                    addresses.extend([Some(first), last.checked_add(1)].into_iter().flatten())
                }
                None => {}
            }
        }
        make_bounds(decimals, first_decimal, |a, b| a.number(texts).cmp_decimal(b, texts));
        make_bounds(addresses, first_address, u128::cmp);
        let (decimals, addresses) =
            (decimals.get(first_decimal..).unwrap_or_default(), addresses.get(first_address..).unwrap_or_default());
        let (zones, first_bound, bounds) = match line {
            Line::Numbers => (decimals.len() * 2 + 1, first_decimal, decimals.len()),
            Line::Addresses => (addresses.len() + 1, first_address, addresses.len()),
        };
        sums.resize(first_sum + zones + 1, 0);
        let zone = |literal: Literal| match literal {
            Literal::Number(place) => {
                Some(conditions.literals.decimals.get(place as usize)?.number(texts).zone(decimals, texts))
            }
            _ => None,
        };
        for place in places {
            let Some(span) = spans.get_mut(*place as usize) else { continue };
            let among = match span.ends {
                Ends::Equals(literal) => zone(literal).map(|zone| zone..zone + 1),
                Ends::Range(range) => {
                    let range = conditions.literals.bounds.get(range as usize);
                    let among = range.and_then(|range| of_range(range, zones - 1, zone));
                    among.map(|among| *among.start()..*among.end() + 1)
                }
                Ends::Addresses(first, last) => {
                    let zone = |address: u128| addresses.partition_point(|bound| *bound <= address);
                    Some(zone(first)..zone(last) + 1)
                }
            };
            let among = among.filter(|among| among.start < among.end).unwrap_or_default();
            (span.from, span.to) = (among.start as u32, among.end as u32);
            for (zone, step) in [(among.start, 1), (among.end, -1)] {
                if let Some(sum) = sums.get_mut(first_sum + zone) {
                    *sum += step;
                }
            }
        }
        let (mut spans_here, mut total) = (0, 0);
        for sum in sums.get_mut(first_sum..).unwrap_or_default() {
            spans_here += *sum;
            *sum = total;
            total += spans_here;
        }
        let [first_bound, bounds, first_sum] = [first_bound, bounds, first_sum].map(|place| place as u32);
        cuts.push(Cut { attribute, line, first_bound, bounds, first_sum });
    }

    /// The numbers that a line is cut by.
    pub(super) fn decimals_of(&self, cut: &Cut) -> &[Decimal] {
        self.decimals.get(range(cut.first_bound, cut.bounds)).unwrap_or_default()
    }

    /// The same of addresses.
    pub(super) fn addresses_of(&self, cut: &Cut) -> &[u128] {
        self.addresses.get(range(cut.first_bound, cut.bounds)).unwrap_or_default()
    }

    /// The line and the zones of a span.
    pub(super) fn zones_of(&self, span: u32) -> Option<(Line, Range<u32>)> {
        let span = self.spans.get(span as usize)?;
        Some((span.line().1, span.from..span.to))
    }

    /// What it means to file a member under all this.
    pub(super) fn weigh(&self, wanted: Range<usize>) -> Weight {
        let wanted = self.list.get(wanted).unwrap_or_default();
        let mut weight = Weight::default();
        for one in wanted {
            match one {
                Wanted::Bucket(bucket) => {
                    weight.crowd += self.buckets.get(*bucket as usize).map_or(0, |bucket| u64::from(bucket.wanted));
                    weight.places += 1;
                }
                Wanted::Span(span) => {
                    let Some(span) = self.spans.get(*span as usize).filter(|span| span.from < span.to) else {
                        continue;
                    };
                    let nodes = Tree::nodes_max_of(span.to - span.from) as usize;
                    weight.crowd += self.average_over(span);
                    weight.places += nodes;
                }
                Wanted::Text(..) => {}
            }
        }
        weight.crowd /= wanted.len().max(1) as u64;
        weight
    }

    /// How many spans a zone of this one is in, on average.
    fn average_over(&self, span: &Span) -> u64 {
        let Ok(cut) = self.cuts.binary_search_by_key(&span.line(), |cut| (cut.attribute, cut.line)) else { return 0 };
        let first_sum = self.cuts.get(cut).map_or(0, |cut| cut.first_sum);
        let sum = |zone: u32| self.sums.get((first_sum + zone) as usize).copied().unwrap_or_default();
        ((sum(span.to) - sum(span.from)) / i64::from(span.to - span.from)) as u64
    }
}

impl Reach {
    /// That of two predicates of which one must hold.
    pub(super) fn and(self, other: Reach) -> Reach {
        match (self, other) {
            (Reach::Beyond, _) | (_, Reach::Beyond) => Reach::Beyond,
            (Reach::Within, _) | (_, Reach::Within) => Reach::Within,
            (Reach::All, Reach::All) => Reach::All,
        }
    }
}
