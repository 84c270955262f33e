//! What can be said of maps without a control plane: why an event goes where it goes, and what a change changes.

use crate::events;
use crate::maps;
use crate::print::{self, Failure};
use prost::Message as _;
use serde_json::{Value, json};
use std::path::Path;
use veltrix_proto::v1::{RouteMap, Source};
use veltrix_route_table::{
    Actual, Analysis, Because, Cause, Change, Compiler, EventDiff, Explanation, Finding, FindingKind, How, InGroup,
    Merge, Outcome, RouteCost, RouteExplanation, RouteTable, SharePlace, Sharing, Subject, TenantFound, Truth,
    Unmatched, UnplacedExplanation, ValueKind, Verdict, WhyMerged, Written, analyze, diff, diff_event_with, nearest,
};

/// Changed events that are told before they are only counted.
const EVENTS_TOLD: usize = 100;

/// Routes and tenants whose cost is shown to people.
const COSTS_TOLD: usize = 10;

/// Merged routes that are shown to people before they are only counted.
const MERGES_TOLD: usize = 100;

/// An answer for people and for programs.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) value: Value,
}

fn table_of(source: &maps::Source) -> Result<RouteTable, Failure> {
    Compiler::new().compile(&source.route_map).map_err(|refused| Failure::refused(&refused, source))
}

fn map_of(source: &maps::Source) -> Result<RouteMap, Failure> {
    RouteMap::decode(source.route_map.clone())
        .map_err(|fault| Failure::invalid(format!("this is no RouteMap: {fault}")))
}

/// Why the event in a file goes where it goes; of one route only, if it is named.
pub(crate) fn explain(source: &maps::Source, event: &Path, route: Option<&str>) -> Result<Answer, Failure> {
    let table = table_of(source)?;
    let event = events::read(event, &table)?;
    let mut explanation = table.explain_with(&event, &event.answers(&table));
    if let Some(id) = route {
        let all = || (0..).map_while(|place| table.route_index(place)).map(|route| table.route_id(route));
        if !all().any(|known| known == id) {
            let help = nearest(id, all()).map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
            return Err(Failure::usage(format!("the map has no route `{id}`{help}")));
        }
        explanation.routes.retain(|route| route.id == id);
        if explanation.routes.is_empty() && explanation.event_type.is_ok() {
            return Err(Failure::usage(format!(
                "route `{id}` is another tenant's than the event, which does not meet it"
            )));
        }
    }
    Ok(Answer { text: format!("{explanation}\n"), value: of_explanation(&explanation) })
}

fn of_explanation(explanation: &Explanation) -> Value {
    let (tenant, is_known) = match &explanation.tenant {
        TenantFound::None => (None, false),
        TenantFound::Unknown(tenant) => (Some(tenant), false),
        TenantFound::Known(tenant) => (Some(tenant), true),
    };
    let verdict = match explanation.verdict {
        Verdict::Routed => "routed",
        Verdict::Unmatched(Unmatched::Drop) => "dropped",
        Verdict::Unmatched(Unmatched::DeadLetter) => "dead_letter",
        Verdict::Unmatched(Unmatched::Destination(_)) => "unmatched_destination",
        Verdict::Unreadable(_) => "unreadable",
        Verdict::Waiting => "waiting",
    };
    let deliveries = explanation.deliveries.iter().map(
        |delivery| json!({ "destination": delivery.destination, "topic": delivery.topic, "route": delivery.route }),
    );
    json!({
        "eventType": explanation.event_type.as_ref().ok(),
        "unreadable": explanation.event_type.as_ref().err().map(ToString::to_string),
        "typeOrigin": explanation.type_origin,
        "tenant": tenant,
        "tenantHasRoutes": is_known,
        "payloadFault": explanation.payload.map(|fault| fault.to_string()),
        "verdict": verdict,
        "policyOfTenant": explanation.has_policy_of_tenant,
        "undecidedRoute": explanation.undecided,
        "needs": of_needs(&explanation.needs),
        "deliveries": deliveries.collect::<Vec<_>>(),
        "unplaced": explanation.unplaced.iter().map(of_unplaced).collect::<Vec<_>>(),
        "routes": explanation.routes.iter().map(of_route).collect::<Vec<_>>(),
    })
}

fn of_needs(needs: &[(String, String)]) -> Value {
    needs.iter().map(|(lookup, key)| json!({ "lookup": lookup, "key": key })).collect()
}

fn of_unplaced(unplaced: &UnplacedExplanation) -> Value {
    json!({
        "destination": unplaced.destination,
        "topic": unplaced.topic,
        "route": unplaced.route,
        "placeholder": unplaced.placeholder,
        "place": unplaced.place,
        "actual": of_actual(&unplaced.actual),
        "instead": unplaced.instead,
    })
}

fn of_route(route: &RouteExplanation) -> Value {
    let (outcome, types, cause, dead_letter) = match &route.outcome {
        Outcome::Matched => ("matched", None, None, false),
        Outcome::Deferred => ("waiting", None, None, false),
        Outcome::Excluded(cause) => ("excluded", None, cause.as_ref(), false),
        Outcome::Disabled => ("disabled", None, None, false),
        Outcome::OtherType(types) => {
            let types = json!({ "exact": types.exact, "prefixes": types.prefixes });
            ("other_type", Some(types), None, false)
        }
        Outcome::NoMatch(cause) => ("no_match", None, Some(cause), false),
        Outcome::Waiting(cause) => ("waiting", None, Some(cause), false),
        Outcome::Absent { cause, dead_letter } => ("absent", None, Some(cause), *dead_letter),
    };
    let exclusive = route.exclusive.as_ref().map(
        |InGroup { group, is_default, behind, unless, more }| json!({ "group": group, "default": is_default, "behind": behind, "unless": unless, "unlessMore": more }),
    );
    let written = match route.written {
        Written::Tree => "tree",
        Written::Cel => "cel",
        Written::EventPattern => "event_pattern",
    };
    json!({
        "id": route.id,
        "ofTenant": route.is_of_tenant,
        "written": written,
        "exclusive": exclusive,
        "outcome": outcome,
        "deadLetter": dead_letter,
        "types": types,
        "cause": cause.map(of_cause),
    })
}

/// Which of `actual`, `parts`, `opposite` and `elements` there is says what it rests on.
fn of_cause(cause: &Cause) -> Value {
    let truth = match cause.truth {
        Truth::False => "false",
        Truth::True => "true",
        Truth::Absent => "absent",
        Truth::Pending(_) => "pending",
    };
    let mut value = json!({ "words": cause.words, "truth": truth });
    match &cause.because {
        Because::Value { place, actual } => {
            value["place"] = json!(place);
            value["actual"] = of_actual(actual);
            value["more"] = json!(actual.more);
        }
        Because::Lookup { place, lookup, key } => {
            value["place"] = json!(place);
            value["lookup"] = json!({ "id": lookup, "key": key, "failed": key.is_none() });
        }
        Because::NoKey { place, lookup, key, actual } => {
            value["place"] = json!(place);
            let key = json!({ "place": key, "actual": of_actual(actual) });
            value["lookup"] = json!({ "id": lookup, "key": null, "failed": false, "noKey": key });
        }
        Because::Parts { parts, more } => {
            value["parts"] = parts.iter().map(of_cause).collect();
            value["more"] = json!(more);
        }
        Because::Opposite(inner) => value["opposite"] = of_cause(inner),
        Because::Elements { place, elements, more } => {
            value["place"] = json!(place);
            let element = |(index, cause): &(usize, Cause)| json!({ "index": index, "cause": of_cause(cause) });
            value["elements"] = elements.iter().map(element).collect();
            value["more"] = json!(more);
        }
    }
    value
}

fn of_actual(actual: &Actual) -> Value {
    let kind = |kind: ValueKind| match kind {
        ValueKind::Null => "null",
        ValueKind::Boolean => "boolean",
        ValueKind::Number => "number",
        ValueKind::Text => "text",
        ValueKind::Object => "object",
        ValueKind::Array => "array",
        ValueKind::Broken => "broken",
    };
    let share = |share: &SharePlace| json!({ "place": share.place, "from": share.from, "to": share.to });
    let values = actual.values.iter().map(|value| {
        json!({
            "text": value.text, "type": kind(value.kind), "otherType": value.is_of_other_type,
            "share": value.share.as_ref().map(share),
        })
    });
    values.collect()
}

/// What changes from one map to the other, and for the events of a file.
pub(crate) fn changes(old: &maps::Source, new: &maps::Source, events: Option<&Path>) -> Result<Answer, Failure> {
    let tables = (table_of(old)?, table_of(new)?);
    let changes = diff(&map_of(old)?, &map_of(new)?);
    let mut text: String = changes.iter().map(|change| format!("{change}\n")).collect();
    if changes.is_empty() {
        text.push_str("no change: both maps say the same\n");
    }
    let mut value = json!({ "changes": changes.iter().map(of_change).collect::<Vec<_>>() });
    if let Some(path) = events {
        let (said, of_events) = changes_of_events(&tables.0, &tables.1, path)?;
        text.push_str(&said);
        value["events"] = of_events;
    }
    Ok(Answer { text, value })
}

/// What changes for the events of a file.
fn changes_of_events(old: &RouteTable, new: &RouteTable, path: &Path) -> Result<(String, Value), Failure> {
    let (mut count, mut changed, mut depending, mut open_only) = (0usize, 0usize, 0usize, 0usize);
    // Those that change for certain, and those of which no more is known than that they depend on lookups.
    let (mut told, mut open) = (Vec::new(), Vec::new());
    events::each(path, &[old, new], |line, event| {
        count += 1;
        let diff = diff_event_with((old, &event.answers(old)), (new, &event.answers(new)), event);
        depending += usize::from(diff.depends_on_lookups());
        let (number, list) = match (diff.is_empty(), diff.depends_on_lookups()) {
            (false, _) => (&mut changed, &mut told),
            (true, true) => (&mut open_only, &mut open),
            (true, false) => return,
        };
        *number += 1;
        if list.len() < EVENTS_TOLD {
            list.push((line, diff));
        }
    })?;
    let mut text = String::new();
    for (number, list) in [(changed, &told), (open_only, &open)] {
        for (line, diff) in list {
            text.push_str(&format!("event on line {line}\n    {}\n", diff.to_string().replace('\n', "\n    ")));
        }
        if number > list.len() {
            text.push_str(&format!("and {} more\n", number - list.len()));
        }
    }
    let certain = if depending > 0 { ", whatever lookups say" } else { "" };
    let (are, depend) = if count == 1 { ("event is", "event depends") } else { ("events are", "events depend") };
    text.push_str(&format!("{changed} of {count} {are} delivered otherwise{certain}\n"));
    if depending > 0 {
        text.push_str(&format!("{depending} of {count} {depend} on lookups; say in `lookups` what these find\n"));
    }
    let of_events =
        |list: &[(usize, EventDiff)]| list.iter().map(|(line, diff)| of_event(*line, diff)).collect::<Vec<_>>();
    let value = json!({
        "count": count,
        "changed": changed,
        "told": of_events(&told),
        "dependOnLookups": depending,
        "open": of_events(&open),
    });
    Ok((text, value))
}

/// What is needless or wrong in a map, and which routes cost most. `more_sources` are topics that engines read without being told by the map.
pub(crate) fn analysis(source: &maps::Source, more_sources: &[String]) -> Result<Answer, Failure> {
    let mut map = map_of(source)?;
    let declared = map.sources.len();
    // Like those that are declared, so that they change nothing but what comes back.
    let like = map.sources.first().cloned().unwrap_or_default();
    for topic in more_sources {
        if !map.sources.iter().any(|source| source.topic == *topic) {
            map.sources.push(Source { topic: topic.clone(), ..like.clone() });
        }
    }
    let analysis = analyze(&map).map_err(|refused| {
        let of_option =
            |path: &str| (declared..map.sources.len()).any(|place| path.starts_with(&format!("sources[{place}]")));
        match refused.reasons.iter().find(|reason| of_option(&reason.path)) {
            Some(reason) => Failure::usage(format!("--source: {}", reason.fault)),
            None => Failure::refused(&refused, source),
        }
    })?;
    let mut text = String::new();
    for Finding { path, id, kind } in &analysis.findings {
        let what = if path.starts_with("destinations") { "destination" } else { "route" };
        text.push_str(&format!("{path}: {what} `{id}` {kind}\n"));
    }
    text.push_str(match (analysis.findings.is_empty(), analysis.is_complete) {
        (true, true) => "nothing needless was found\n",
        (true, false) => "nothing needless was found, but the map is too large to compare all routes\n",
        (false, true) => "",
        (false, false) => "the map is too large to compare all routes; there may be more\n",
    });
    if map.sources.is_empty() {
        text.push_str("loops were not looked for: the map has no `sources`; say with --source what engines read\n");
    }
    let mut costs: Vec<&RouteCost> = analysis.costs.iter().collect();
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.steps()));
    text.push_str(&print::costs(costs.get(..COSTS_TOLD).unwrap_or(&costs)));
    text.push_str(&print::sharing(analysis.sharing.get(..COSTS_TOLD).unwrap_or(&analysis.sharing)));
    for Merge { path, id, into, why } in analysis.merged.iter().take(MERGES_TOLD) {
        text.push_str(&format!("{path}: route `{id}` is merged into `{into}`, {why}\n"));
    }
    if let Some(more @ 1..) = analysis.merged.len().checked_sub(MERGES_TOLD) {
        text.push_str(&format!("and {more} more {} merged\n", if more == 1 { "is" } else { "are" }));
    }
    text.push_str(&print::aggregation(&analysis.sharing, analysis.aggregation()));
    Ok(Answer { text, value: of_analysis(&analysis, &map) })
}

fn of_analysis(analysis: &Analysis, map: &RouteMap) -> Value {
    let finding = |Finding { path, id, kind }: &Finding| {
        let (name, other) = match kind {
            FindingKind::Duplicate { of } => ("duplicate", Some(of)),
            FindingKind::Shadowed { by } => ("shadowed", Some(by)),
            FindingKind::Excluded { by } => ("excluded", Some(by)),
            FindingKind::Unreachable => ("unreachable", None),
            FindingKind::UnusedDestination => ("unused_destination", None),
            FindingKind::Loop { topic } => ("loop", Some(topic)),
        };
        json!({ "path": path, "id": id, "kind": name, "other": other, "message": kind.to_string() })
    };
    let cost = |cost: &RouteCost| {
        json!({
            "path": cost.path, "id": cost.id, "steps": cost.steps(), "types": cost.types, "ownTests": cost.own_tests,
            "sharedTests": cost.shared_tests, "fields": cost.fields, "treeNodes": cost.tree_nodes,
            "anyElements": cost.any_elements,
        })
    };
    let sharing = |row: &Sharing| {
        json!({
            "tenant": row.tenant, "routes": row.routes, "disabledRoutes": row.disabled_routes,
            "neededRoutes": row.needed_routes, "mergedRoutes": row.merged_routes, "compiledRoutes": row.compiled_routes,
            "ratio": print::ratio(row.aggregation()), "alike": row.alike, "tests": row.tests,
            "differentTests": row.different_tests,
        })
    };
    let merge = |Merge { path, id, into, why }: &Merge| {
        let name = match why {
            WhyMerged::SameCondition => "same_condition",
            WhyMerged::NoCondition => "no_condition",
            WhyMerged::AsksForLess => "asks_for_less",
        };
        json!({ "path": path, "id": id, "into": into, "why": name, "message": why.to_string() })
    };
    let aggregation = analysis.aggregation();
    json!({
        "findings": analysis.findings.iter().map(finding).collect::<Vec<_>>(),
        "costs": analysis.costs.iter().map(cost).collect::<Vec<_>>(),
        "sharing": analysis.sharing.iter().map(sharing).collect::<Vec<_>>(),
        "merged": analysis.merged.iter().map(merge).collect::<Vec<_>>(),
        "aggregation": { "routes": aggregation.routes, "compiled": aggregation.compiled, "ratio": aggregation.ratio() },
        "complete": analysis.is_complete,
        // Loops are looked for where these are known.
        "sources": map.sources.iter().map(|source| &source.topic).collect::<Vec<_>>(),
    })
}

fn of_change(change: &Change) -> Value {
    let (kind, tenant) = match &change.subject {
        Subject::Map => ("map", None),
        Subject::Source(_) => ("source", None),
        Subject::Destination(_) => ("destination", None),
        Subject::Lookup(_) => ("lookup", None),
        Subject::Tenant(_) => ("tenant", None),
        Subject::Group { tenant, .. } => ("group", tenant.as_ref()),
        Subject::Route { tenant, .. } => ("route", tenant.as_ref()),
    };
    let (how, from) = match &change.how {
        How::Added => ("added", None),
        How::Removed => ("removed", None),
        How::Renamed(from) => ("renamed", Some(from)),
        How::MovedFrom(from) => ("moved", from.as_ref()),
        How::Changed => ("changed", None),
    };
    let details = change
        .details
        .iter()
        .map(|detail| json!({ "what": detail.what.to_string(), "before": detail.before, "after": detail.after }));
    json!({
        "kind": kind,
        "id": change.subject.name(),
        "tenant": tenant,
        "how": how,
        "from": from,
        "details": details.collect::<Vec<_>>(),
    })
}

fn of_event(line: usize, diff: &EventDiff) -> Value {
    let by_route = |deliveries: &[(String, Option<String>)]| -> Value {
        deliveries.iter().map(|(to, route)| json!({ "destination": to, "route": route })).collect()
    };
    let moved = diff.moved.iter().map(|(to, was, is)| json!({ "destination": to, "before": was, "after": is }));
    let readdressed =
        diff.readdressed.iter().map(|(to, was, is)| json!({ "destination": to, "before": was, "after": is }));
    json!({
        "line": line,
        "gained": by_route(&diff.gained),
        "lost": by_route(&diff.lost),
        "moved": moved.collect::<Vec<_>>(),
        "readdressed": readdressed.collect::<Vec<_>>(),
        "deadLetterBefore": diff.dead_letter.0,
        "deadLetterAfter": diff.dead_letter.1,
        "needsBefore": of_needs(&diff.needs[0]),
        "needsAfter": of_needs(&diff.needs[1]),
    })
}
