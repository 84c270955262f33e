//! The ids of the routes that paths lead into: `routes[9].when` is a place, and people know the route by its name.
//!
//! Asked only when a map is refused, and once for all reasons: one walk over the map finds them, whatever else is wrong with it.

use crate::wire::{Field, Reader};
use std::collections::BTreeMap;

/// Fields of a `RouteMap`, of a `Tenant` and of a `Route`.
const ROUTES: u32 = 4;
const TENANTS: u32 = 5;
const ROUTES_OF_TENANT: u32 = 3;
const ID: u32 = 1;

/// How much of an id is told, in characters: one that is refused for its length can have megabytes.
const SHOWN: usize = 100;

/// A route's number and, of a tenant's, the tenant's.
type Place = (Option<u32>, u32);

/// The ids of the routes that `paths` lead into, one for each path: of `routes[9].when` that of the tenth route. As they can be shown:
/// without control characters, and not longer than a line. `None` for a path that leads into no route that has an id, and for that of
/// the id itself.
pub fn route_ids<'p>(map: &[u8], paths: impl IntoIterator<Item = &'p str>) -> Vec<Option<String>> {
    let places: Vec<Option<Place>> = paths.into_iter().map(place_of).collect();
    let mut ids: BTreeMap<Place, Option<String>> = places.iter().flatten().map(|place| (*place, None)).collect();
    if !ids.is_empty() {
        find(map, &mut ids);
    }
    places.iter().map(|place| ids.get(place.as_ref()?)?.clone()).collect()
}

fn place_of(path: &str) -> Option<Place> {
    let (tenant, route) = match path.strip_prefix("tenants[") {
        Some(tenant) => {
            let (tenant, route) = tenant.split_once("].")?;
            (Some(tenant.parse().ok()?), route)
        }
        None => (None, path),
    };
    let (route, field) = route.strip_prefix("routes[")?.split_once(']')?;
    (field != ".id").then_some((tenant, route.parse().ok()?))
}

fn find(map: &[u8], ids: &mut BTreeMap<Place, Option<String>>) {
    let (mut tenants, mut routes) = (0, 0);
    each(Reader::new(map), |field| match field.number {
        ROUTES => {
            note(ids, (None, routes), field);
            routes += 1;
        }
        TENANTS => {
            let tenant = Some(tenants);
            tenants += 1;
            if ids.range((tenant, 0)..=(tenant, u32::MAX)).next().is_none() {
                return;
            }
            let mut routes = 0;
            each(field.message().unwrap_or(Reader::new(&[])), |field| {
                if field.number == ROUTES_OF_TENANT {
                    note(ids, (tenant, routes), field);
                    routes += 1;
                }
            });
        }
        _ => {}
    });
}

fn note(ids: &mut BTreeMap<Place, Option<String>>, place: Place, route: Field<'_>) {
    let (Some(id), Ok(route)) = (ids.get_mut(&place), route.message()) else { return };
    each(route, |field| match field.text() {
        Ok(text) if field.number == ID && !text.is_empty() => *id = Some(shown(text)),
        _ => {}
    });
}

/// Every field that can be read.
fn each<'m>(mut message: Reader<'m>, mut read: impl FnMut(Field<'m>)) {
    while let Some(Ok(field)) = message.next() {
        read(field);
    }
}

fn shown(id: &str) -> String {
    let mut characters = id.chars();
    let begin = characters.by_ref().take(SHOWN).flat_map(char::escape_debug).collect();
    if characters.next().is_some() { begin + "…" } else { begin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use veltrix_proto::v1::{Route, RouteMap, Tenant};

    #[test]
    fn paths_lead_to_the_ids_of_routes_of_the_map_and_of_tenants() {
        let routes = |ids: &[&str]| ids.iter().map(|id| Route { id: (*id).into(), ..Route::default() }).collect();
        let tenant = |ids: &[&str]| Tenant { id: "live".into(), routes: routes(ids), ..Tenant::default() };
        let long = "ä".repeat(101);
        let map = RouteMap {
            routes: routes(&["rich", "", "\u{1b}[2J\n"]),
            tenants: vec![tenant(&["own"]), tenant(&[]), tenant(&["other", &long])],
            ..RouteMap::default()
        };
        let mut bytes = map.encode_to_vec();
        bytes.push(0xff); // What stands before it is found all the same.
        let cut = "ä".repeat(100) + "…";
        for (path, expected) in [
            ("routes[0].when.all.conditions[1]", Some("rich")),
            ("routes[0]", Some("rich")),
            ("routes[0].id", None),
            ("routes[1].to", None),
            ("routes[2].to[0]", Some("\\u{1b}[2J\\n")),
            ("routes[3].to[0]", None),
            ("routes", None),
            ("", None),
            ("destinations[0].id", None),
            ("tenants[0].routes[0].types", Some("own")),
            ("tenants[0].unmatched", None),
            ("tenants[1].routes[0].types", None),
            ("tenants[2].routes[0].types", Some("other")),
            ("tenants[2].routes[1].types", Some(&cut)),
            ("tenants[3].routes[0].types", None),
        ] {
            assert_eq!(route_ids(&bytes, [path]), [expected.map(str::to_owned)], "{path}");
        }
        let several = ["tenants[2].routes[0].to", "", "routes[0].to", "routes[0].types"];
        let found = route_ids(&bytes, several);
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, [Some("other"), None, Some("rich"), Some("rich")]);
    }
}
