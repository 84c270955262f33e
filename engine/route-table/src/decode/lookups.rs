//! Reads what a map declares under `lookups`, and the places in answers that conditions ask for.

use super::Decoder;
use crate::compile::{Scratch, plan_for};
use crate::fault::{BadUrl, Fault};
use crate::fields::FieldIndex;
use crate::limits::{self, Limit};
use crate::lookups::{LookupCache, LookupIndex, LookupPlace, LookupRow, SourceRow};
use crate::predicate::Attribute;
use crate::table::Text;
use crate::wire::{Field, Reader};
use std::time::Duration;

/// Where the key stands in a URL.
const KEY: &str = "{key}";

impl Decoder<'_> {
    pub(super) fn lookup(&mut self, lookup: Reader<'_>) {
        let (mut id, mut key, mut source, mut cache) = (None, None, None, None);
        self.each_field(lookup, |this, field| match field.number {
            1 => this.text("id", &mut id, field),
            2 => this.message("key", &mut key, field),
            3 | 4 | 6 => {
                if source.replace(field).is_some() {
                    this.refuse_at("source", Fault::GivenTwice);
                }
            }
            5 => this.message("cache", &mut cache, field),
            number => this.refuse(Fault::UnknownField { message: "Lookup", number }),
        });
        let id_given = self.required("id", id);
        let id = id.unwrap_or_default();
        let key = match key {
            Some(key) => self.within("key", None, |this| this.lookup_key(key)),
            None => {
                self.refuse_at("key", Fault::Missing);
                None
            }
        };
        let is_table = source.is_some_and(|source| source.number == 3);
        let source = match source {
            Some(source) if is_table => self.within("table", None, |this| this.reference_table(source)),
            Some(source) if source.number == 6 => self.within("grpc", None, |this| this.grpc_call(source)),
            Some(source) => self.within("http", None, |this| this.http_call(source)),
            None => {
                self.refuse_at("source", Fault::Missing);
                None
            }
        };
        let cache = cache.and_then(|cache| {
            self.within("cache", None, |this| match is_table {
                true => this.refused(Fault::CacheOfTable),
                false => this.lookup_cache(cache),
            })
        });
        if id_given && self.lookup_of(id).is_some() {
            self.refuse_at("id", Fault::Taken { what: "lookup", id: id.to_owned() });
        }
        // One whose source is refused keeps its place, so that conditions can name it.
        let source = source.unwrap_or(SourceRow::File(Text::default()));
        let row = LookupRow { id: self.keep(id), key, source, cache, plan: None };
        self.table.lookups.rows.push(row);
    }

    /// The lookup of this id, among those that were read.
    fn lookup_of(&self, id: &str) -> Option<LookupIndex> {
        let rows = &self.table.lookups.rows;
        let at = rows.iter().position(|row| row.id.of(&self.table.texts) == id)?;
        u8::try_from(at).ok().map(LookupIndex)
    }

    fn lookup_key(&mut self, key: Reader<'_>) -> Option<Attribute> {
        let mut given: Option<Field<'_>> = None;
        self.each_field(key, |this, field| match field.number {
            1..=3 => this.once("attribute", &mut given, field),
            number => this.refuse(Fault::UnknownField { message: "LookupKey", number }),
        });
        let Some(given) = given else { return self.refused(Fault::Missing) };
        let attribute = self.attribute(given)?;
        match attribute {
            Attribute::Timestamp => {
                let instead = "a time is no key; name a header, a field or another part";
                self.refuse_at("part", Fault::PartNotAllowed { part: "the timestamp", instead });
            }
            Attribute::Field(field) if self.table.fields.is_through_arrays(field) => {
                self.refuse_at("field", Fault::KeyThroughArrays);
            }
            Attribute::Field(field) => self.within("field", None, |this| this.place_in_payload(field)),
            _ => {}
        }
        Some(attribute)
    }

    fn reference_table(&mut self, field: Field<'_>) -> Option<SourceRow> {
        let table = match field.message() {
            Ok(table) => table,
            Err(fault) => return self.refused(Fault::Wire(fault)),
        };
        let mut origin: Option<Field<'_>> = None;
        self.each_field(table, |this, field| match field.number {
            1 | 2 => this.once("origin", &mut origin, field),
            number => this.refuse(Fault::UnknownField { message: "ReferenceTable", number }),
        });
        let Some(origin) = origin else { return self.refused(Fault::Missing) };
        if origin.number == 1 {
            return self.within("kafka", None, |this| match origin.message() {
                Ok(kafka) => {
                    let topic = this.table_topic(kafka);
                    Some(SourceRow::Topic(this.keep(topic)))
                }
                Err(fault) => this.refused(Fault::Wire(fault)),
            });
        }
        let path = self.long_text("file", origin)?;
        Some(SourceRow::File(self.keep(path)))
    }

    /// Reads the name of a reference table's topic.
    fn table_topic<'a>(&mut self, kafka: Reader<'a>) -> &'a str {
        let mut topic = None;
        self.each_field(kafka, |this, field| match field.number {
            1 => this.text("topic", &mut topic, field),
            2 | 3 => this.refuse(Fault::TemplateAsTable),
            number => this.refuse(Fault::UnknownField { message: "KafkaTopic", number }),
        });
        let topic = topic.unwrap_or_default();
        self.within("topic", None, |this| this.topic_name(topic));
        topic
    }

    fn http_call(&mut self, field: Field<'_>) -> Option<SourceRow> {
        let call = match field.message() {
            Ok(call) => call,
            Err(fault) => return self.refused(Fault::Wire(fault)),
        };
        let (mut url, mut timeout_ms) = (None, None);
        self.each_field(call, |this, field| match field.number {
            1 => {
                this.once("url", &mut url, field);
            }
            2 => this.number("timeout_ms", &mut timeout_ms, field),
            number => this.refuse(Fault::UnknownField { message: "HttpCall", number }),
        });
        let timeout_ms = self.at_least_one("timeout_ms", timeout_ms, &limits::LOOKUP_TIMEOUT_MS);
        let Some(url) = url else {
            self.refuse_at("url", Fault::Missing);
            return None;
        };
        let url = self.long_text("url", url)?;
        match split_url(url) {
            Ok((before, after)) => {
                let (before, after) = (self.keep(before), self.keep(after));
                Some(SourceRow::Http { before, after, timeout_ms: timeout_ms? })
            }
            Err(why) => {
                self.refuse_at("url", Fault::InvalidUrl { url: url.to_owned(), why });
                None
            }
        }
    }

    fn grpc_call(&mut self, field: Field<'_>) -> Option<SourceRow> {
        let call = match field.message() {
            Ok(call) => call,
            Err(fault) => return self.refused(Fault::Wire(fault)),
        };
        let (mut endpoint, mut timeout_ms) = (None, None);
        self.each_field(call, |this, field| match field.number {
            1 => {
                this.once("endpoint", &mut endpoint, field);
            }
            2 => this.number("timeout_ms", &mut timeout_ms, field),
            number => this.refuse(Fault::UnknownField { message: "GrpcCall", number }),
        });
        let timeout_ms = self.at_least_one("timeout_ms", timeout_ms, &limits::LOOKUP_TIMEOUT_MS);
        let Some(endpoint) = endpoint else {
            self.refuse_at("endpoint", Fault::Missing);
            return None;
        };
        let endpoint = self.long_text("endpoint", endpoint)?;
        let is_alone = behind_host(endpoint).and_then(|behind| match behind {
            "" | "/" => Ok(()),
            _ => Err(BadUrl::Path),
        });
        if let Err(why) = is_alone {
            self.refuse_at("endpoint", Fault::InvalidUrl { url: endpoint.to_owned(), why });
            return None;
        }
        Some(SourceRow::Grpc { endpoint: self.keep(endpoint), timeout_ms: timeout_ms? })
    }

    fn lookup_cache(&mut self, cache: Reader<'_>) -> Option<LookupCache> {
        let (mut entries, mut ttl, mut negative_ttl) = (None, None, None);
        self.each_field(cache, |this, field| match field.number {
            1 => this.number("entries", &mut entries, field),
            2 => this.number("ttl_ms", &mut ttl, field),
            3 => this.number("negative_ttl_ms", &mut negative_ttl, field),
            number => this.refuse(Fault::UnknownField { message: "LookupCache", number }),
        });
        let entries = self.at_least_one("entries", entries, &limits::LOOKUP_CACHE_ENTRIES);
        let (ttl, negative_ttl) = (ttl.unwrap_or_default(), negative_ttl.unwrap_or_default());
        for (name, value) in [("ttl_ms", ttl), ("negative_ttl_ms", negative_ttl)] {
            self.within(name, None, |this| this.is_over(&limits::LOOKUP_CACHE_MS, value));
        }
        if ttl == 0 && negative_ttl == 0 {
            return self.refused(Fault::CacheOfNothing);
        }
        let (ttl, negative_ttl) = (Duration::from_millis(ttl), Duration::from_millis(negative_ttl));
        Some(LookupCache { entries: entries?, ttl, negative_ttl })
    }

    /// A number from 1 to a limit.
    fn at_least_one(&mut self, name: &'static str, value: Option<u64>, limit: &'static Limit) -> Option<u32> {
        match value {
            None | Some(0) => {
                self.refuse_at(name, Fault::Missing);
                None
            }
            Some(value) => {
                let is_over = self.within(name, None, |this| this.is_over(limit, value));
                u32::try_from(value).ok().filter(|_| !is_over)
            }
        }
    }

    /// A URL or a path.
    fn long_text<'a>(&mut self, name: &'static str, field: Field<'a>) -> Option<&'a str> {
        self.within(name, None, |this| match field.text() {
            Ok("") => this.refused(Fault::Missing),
            Ok(text) => (!this.is_over(&limits::LOOKUP_SOURCE_BYTES, text.len() as u64)).then_some(text),
            Err(fault) => this.refused(Fault::Wire(fault)),
        })
    }

    /// Reads a place in an answer.
    pub(super) fn looked_up(&mut self, field: Field<'_>) -> Option<Attribute> {
        self.within("lookup", None, |this| {
            let message = match field.message() {
                Ok(message) => message,
                Err(fault) => return this.refused(Fault::Wire(fault)),
            };
            let first_name = this.table.fields.names.len();
            let mut id = None;
            this.each_field(message, |this, field| match field.number {
                1 => this.text("lookup", &mut id, field),
                2 => this.field_name(field, first_name),
                number => this.refuse(Fault::UnknownField { message: "LookedUp", number }),
            });
            let field = match this.table.fields.names.len() > first_name {
                true => this.intern_field(first_name, None, None),
                false => FieldIndex::ITSELF,
            };
            let id = id.filter(|id| this.required("lookup", Some(id)));
            let Some(id) = id else {
                if id.is_none() {
                    this.refuse_at("lookup", Fault::Missing);
                }
                return None;
            };
            let Some(lookup) = this.lookup_of(id) else {
                let known = this.table.lookups.rows.iter().map(|row| row.id.of(&this.table.texts));
                let near = this.near(id, known);
                this.refuse_at("lookup", Fault::UnknownLookup { id: id.to_owned(), near });
                return None;
            };
            let place = LookupPlace { lookup, field };
            if field != FieldIndex::ITSELF {
                this.scratch.looked_up.push(place);
            }
            Some(Attribute::Lookup(place))
        })
    }

    /// Plans what is read of each lookup's answers, when all conditions are known.
    pub(super) fn plan_lookups(&mut self) {
        let Scratch { looked_up, wished, plans, .. } = &mut *self.scratch;
        looked_up.sort_unstable();
        looked_up.dedup();
        for of_one in looked_up.chunk_by(|a, b| a.lookup == b.lookup) {
            wished.clear();
            wished.extend(of_one.iter().map(|place| place.field));
            let plan = plan_for(self.table, plans, wished);
            let row = of_one.first().and_then(|place| self.table.lookups.rows.get_mut(place.lookup.get()));
            if let Some(row) = row {
                row.plan = Some(plan);
            }
        }
    }
}

/// What stands before and after the key in a URL that can be called.
fn split_url(url: &str) -> Result<(&str, &str), BadUrl> {
    behind_host(url)?;
    let (before, after) = url.split_once(KEY).ok_or(BadUrl::Key)?;
    if [before, after].iter().any(|part| part.contains(['{', '}'])) {
        return Err(BadUrl::Key);
    }
    Ok((before, after))
}

/// What stands behind host and port in a URL that begins as one that can be called.
fn behind_host(url: &str) -> Result<&str, BadUrl> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).ok_or(BadUrl::Scheme)?;
    if let Some(character) = url.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`|".contains(*c)) {
        return Err(BadUrl::Character(character));
    }
    if url.contains('#') {
        return Err(BadUrl::Fragment);
    }
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if host.contains('@') {
        return Err(BadUrl::Secret);
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_name = !name.is_empty() && !name.contains(['{', '}']);
    if !is_name || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(BadUrl::Host);
    }
    Ok(rest.get(host.len()..).unwrap_or_default())
}
