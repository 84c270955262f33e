//! Events of a web shop, and rules as a router has them: by type, region and tenant, by amount, by user, by path.
//!
//! An event has about 450 bytes. Which rules there are is a [`Kind`]; those with "type first" are the same rules with the field
//! `type` renamed to `atype`, which is all the same to a reader, but not to a matcher that goes through fields by their names.

use super::rng::Rng;
use std::io::{self, Write};

const TYPES: u64 = 1_800;
const REGIONS: u64 = 20;

/// Which rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One nested field, exactly; half the events match one rule.
    Exact,
    /// Type, some of the regions, and prefixes of the tenant.
    Router,
    RouterTypeFirst,
    /// Type, two regions, and a range of the amount.
    Numeric,
    NumericTypeFirst,
    /// `*word*` in the path; half the events match.
    Wild,
    /// Some of everything, as in a company with many teams.
    Mix,
}

/// Writes its rules, then events for them.
pub(crate) struct Shop {
    kind: Kind,
    rules: u64,
    types: u64,
    rng: Rng,
    /// What the rules look for, so that events can have it.
    words: Vec<String>,
}

impl Kind {
    fn type_field(self) -> &'static str {
        if matches!(self, Kind::RouterTypeFirst | Kind::NumericTypeFirst) { "atype" } else { "type" }
    }

    /// A rule as the others are, which no event matches: for changes that must not change an answer.
    pub(crate) fn rule_for_nothing(self) -> String {
        let field = self.type_field();
        let pattern = match self {
            Kind::Exact => r#"{"user":{"id":["nobody"]}}"#.to_owned(),
            Kind::Wild => r#"{"path":[{"wildcard":"*NOWHERE*"}]}"#.to_owned(),
            Kind::Numeric | Kind::NumericTypeFirst => format!(
                r#"{{"{field}":["shop.nothing.evt-none.v0"],"region":["r01","r02"],"amount":[{{"numeric":[">=",10,"<",5000]}}]}}"#
            ),
            Kind::Router | Kind::RouterTypeFirst | Kind::Mix => format!(
                r#"{{"{field}":["shop.nothing.evt-none.v0"],"region":["r01","r02"],"tenant":[{{"prefix":"t-"}}]}}"#
            ),
        };
        format!(r#"{{"id":"for-nothing","pattern":{pattern}}}"#)
    }
}

impl Shop {
    /// A shop with so many rules; both are the seed.
    pub(crate) fn new(kind: Kind, rules: u64) -> Self {
        // In a mix there are about as many rules for one type, however many there are.
        let types = if kind == Kind::Mix { (rules / 50).clamp(10, 20_000) } else { TYPES };
        Shop { kind, rules, types, rng: Rng::new(42 + rules), words: Vec::new() }
    }

    pub(crate) fn write_rules(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for rule in 0..self.rules {
            let pattern = self.pattern(rule);
            writeln!(out, r#"{{"id":"r{rule}","pattern":{pattern}}}"#)?;
        }
        Ok(())
    }

    fn pattern(&mut self, rule: u64) -> String {
        match self.kind {
            Kind::Router | Kind::RouterTypeFirst => self.router_pattern(rule),
            Kind::Numeric | Kind::NumericTypeFirst => self.numeric_pattern(rule),
            Kind::Exact => format!(r#"{{"user":{{"id":["u{}"]}}}}"#, self.new_word(20)),
            Kind::Wild => format!(r#"{{"path":[{{"wildcard":"*{}*"}}]}}"#, self.new_word(5)),
            Kind::Mix => self.mixed_pattern(rule),
        }
    }

    fn new_word(&mut self, letters: usize) -> String {
        let word = self.rng.word(letters);
        self.words.push(word.clone());
        word
    }

    fn router_pattern(&mut self, rule: u64) -> String {
        // The more rules, the fewer events each one wants, so that an event has some ten matches at most.
        let (regions, prefixes) = match self.rules {
            ..=5_000 => (10, 16),
            5_001..=200_000 => (4, 4),
            _ => (2, 1),
        };
        let (region, digit) = (self.rng.below(REGIONS), self.rng.below(16));
        let regions = joined(regions, |i| format!(r#""r{:02}""#, (region + i * 3) % REGIONS));
        let tenants = if prefixes == 16 {
            r#"{"prefix":"t-"}"#.to_owned()
        } else {
            joined(prefixes, |i| format!(r#"{{"prefix":"t-{:x}"}}"#, (digit + i * 5) % 16))
        };
        format!(
            r#"{{"{}":["{}"],"region":[{regions}],"tenant":[{tenants}]}}"#,
            self.kind.type_field(),
            type_name(rule % self.types)
        )
    }

    fn numeric_pattern(&mut self, rule: u64) -> String {
        let least = self.rng.below(9_000);
        let below = least + if self.rules <= 5_000 { 5_000 } else { 1_000 };
        let (low, high) = (self.rng.below(10), 10 + self.rng.below(10));
        format!(
            r#"{{"{}":["{}"],"region":["r{low:02}","r{high:02}"],"amount":[{{"numeric":[">=",{least},"<",{below}]}}]}}"#,
            self.kind.type_field(),
            type_name(rule % self.types)
        )
    }

    /// One of ten kinds of rule. The stride spreads them evenly, also over ten rules.
    fn mixed_pattern(&mut self, rule: u64) -> String {
        let rng = &mut self.rng;
        let about = format!(r#""type":["{}"]"#, type_name(rng.below(self.types)));
        let region = rng.below(REGIONS);
        let digit = rng.below(16);
        match rule * 37 % 100 {
            0..40 => {
                let regions = joined(3, |i| format!(r#""r{:02}""#, (region + i * 7) % REGIONS));
                format!(r#"{{{about},"region":[{regions}]}}"#)
            }
            40..55 => format!(r#"{{{about},"tenant":[{{"prefix":"t-{digit:x}"}}]}}"#),
            55..65 => format!(
                r#"{{{about},"region":[{{"anything-but":["r{region:02}"]}}],"tenant":[{{"prefix":"t-{digit:x}"}}]}}"#
            ),
            65..70 => format!(r#"{{{about},"trace":[{{"exists":true}}],"user":{{"level":[{}]}}}}"#, rng.below(100)),
            70..85 => format!(r#"{{"user":{{"id":["u{}"]}}}}"#, self.new_word(20)),
            85..92 => {
                let least = rng.below(19) * 500;
                format!(r#"{{{about},"amount":[{{"numeric":[">=",{least},"<",{}]}}]}}"#, least + 500)
            }
            92..96 => format!(r#"{{{about},"items":{{"sku":[{{"prefix":"{}"}}]}}}}"#, rng.word(1)),
            96..98 => format!(r#"{{{about},"source":[{{"equals-ignore-case":"SVC-{:03}"}}]}}"#, rng.below(200)),
            98 => format!(r#"{{{about},"path":[{{"wildcard":"*/{}*/*"}}]}}"#, rng.word(1)),
            _ => format!(r#"{{"path":[{{"suffix":"{}"}}]}}"#, rng.word(3)),
        }
    }

    /// To be called once, after the rules.
    pub(crate) fn write_events(&mut self, out: &mut dyn Write, events: u64) -> io::Result<()> {
        for event in 0..events {
            self.write_event(out, event)?;
        }
        Ok(())
    }

    /// The order of the draws is what makes the bytes the same from version to version: fields stand in it.
    fn write_event(&mut self, out: &mut dyn Write, seq: u64) -> io::Result<()> {
        let looked_for = |shop: &mut Shop, kinds: &[Kind]| {
            kinds.contains(&shop.kind) && !shop.words.is_empty() && shop.rng.below(2) == 0
        };
        let user = if looked_for(self, &[Kind::Exact, Kind::Mix]) {
            self.rng.pick(&self.words).clone()
        } else {
            self.rng.word(20)
        };
        let wild = looked_for(self, &[Kind::Wild]);
        let rng = &mut self.rng;
        let first = rng.word(8);
        let middle = if wild { rng.pick(&self.words).clone() } else { rng.word(5) };
        let path = format!("/api/v2/{first}/{middle}/{}", rng.word(12));
        write!(out, r#"{{"id":"{:016x}{:016x}","#, rng.next(), rng.next())?;
        let (hour, minute, second, milli) = (rng.below(24), rng.below(60), rng.below(60), rng.below(1000));
        write!(out, r#""ts":"2025-11-21T{hour:02}:{minute:02}:{second:02}.{milli:03}Z","#)?;
        write!(out, r#""{}":"{}","#, self.kind.type_field(), type_name(rng.below(self.types)))?;
        write!(out, r#""source":"svc-{:03}","region":"r{:02}","#, rng.below(200), rng.below(REGIONS))?;
        write!(out, r#""tenant":"t-{:06x}","#, rng.below(1 << 24))?;
        write!(
            out,
            r#""user":{{"id":"u{user}","name":"{} {}","level":{}}},"#,
            rng.word(6),
            rng.word(9),
            rng.below(100)
        )?;
        write!(out, r#""path":"{path}","amount":{}.{:02},"currency":"EUR","#, rng.below(10_000), rng.below(100))?;
        write!(
            out,
            r#""items":[{{"sku":"{}","qty":{},"price":{}.5}},"#,
            rng.word(10),
            1 + rng.below(9),
            rng.below(500)
        )?;
        write!(out, r#"{{"sku":"{}","qty":1,"price":{}.25}}],"#, rng.word(10), rng.below(500))?;
        writeln!(out, r#""trace":"{:016x}","seq":{seq}}}"#, rng.next())
    }
}

fn joined(count: u64, item: impl Fn(u64) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// 24 bytes for the first 10,000 types.
fn type_name(number: u64) -> String {
    let service = ["ordersA", "paymntB", "cartsCC", "usersDD"][(number % 4) as usize];
    format!("shop.{service}.evt-{number:04}.v{}", number % 10)
}
