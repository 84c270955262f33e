//! Rules and events to measure with, made from a seed: the same bytes on every machine and on every day.

pub(crate) mod citylots;
mod rng;
pub(crate) mod shop;

#[cfg(test)]
mod tests {
    use super::shop::{Kind, Shop};
    use super::*;
    use crate::hash::{Fnv1a, Rolling};

    /// Of everything that is written to it.
    #[derive(Default)]
    struct Digest {
        hash: Rolling,
        bytes: usize,
    }

    impl std::io::Write for Digest {
        fn write(&mut self, some: &[u8]) -> std::io::Result<usize> {
            self.hash.add(some);
            self.bytes += some.len();
            Ok(some.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn shop(kind: Kind, rules: u64) -> (String, String) {
        let mut shop = Shop::new(kind, rules);
        let (mut some_rules, mut some_events) = (Vec::new(), Vec::new());
        shop.write_rules(&mut some_rules).unwrap();
        shop.write_events(&mut some_events, 50).unwrap();
        (String::from_utf8(some_rules).unwrap(), String::from_utf8(some_events).unwrap())
    }

    /// Figures can only be compared from day to day while these hold; who changes a generator on purpose measures anew.
    #[test]
    fn the_same_seed_gives_the_same_bytes_as_ever() {
        let mut city = Digest::default();
        citylots::write(&mut city, 2_000).unwrap();
        assert_eq!((city.bytes, city.hash.get()), (CITY.0, CITY.1), "city lots");
        let kinds = [
            Kind::Exact,
            Kind::Router,
            Kind::RouterTypeFirst,
            Kind::Numeric,
            Kind::NumericTypeFirst,
            Kind::Wild,
            Kind::Mix,
        ];
        let digests = kinds.map(|kind| {
            let (rules, events) = shop(kind, 100);
            (Fnv1a::of(rules.as_bytes()), Fnv1a::of(events.as_bytes()))
        });
        assert_eq!(digests, SHOP);
    }

    const CITY: (usize, u64) = (1_962_093, 8_527_684_076_720_205_617);
    const SHOP: [(u64, u64); 7] = [
        (0x2ff049cd3cc5ad43, 0x5f1bc236590c2602),
        (0xf959b8e762074d, 0xa5a3facea9f210db),
        (0x943cc31b78c8306d, 0x399410bbd67a457d),
        (0xee0124a679b0b0fe, 0x7b067fcdf0fe4163),
        (0x24ebccf191893ae6, 0x154e7c9e681bd167),
        (0x1d22e0d35240c5ff, 0x2068184a19eb8737),
        (0x6865b78d90c65f03, 0x7febaeff341f61aa),
    ];

    #[test]
    fn every_rule_and_event_is_json_and_every_rule_has_an_id_of_its_own() {
        for kind in [Kind::Router, Kind::Numeric, Kind::Exact, Kind::Wild, Kind::Mix] {
            let (rules, events) = shop(kind, 100);
            let mut ids: Vec<String> = rules
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
                .collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 100, "{kind:?}");
            for line in events.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
            serde_json::from_str::<serde_json::Value>(&kind.rule_for_nothing()).unwrap();
        }
    }

    #[test]
    fn the_city_holds_what_the_published_benchmarks_count() {
        let mut city = Vec::new();
        citylots::write(&mut city, usize::MAX).unwrap();
        let city = String::from_utf8(city).unwrap();
        let count = |text: &str| city.matches(text).count();
        assert_eq!(city.lines().count(), citylots::RECORDS);
        let exact = ["1430022", "2607117", "2607218", "3745012", "VACSTWIL"];
        assert_eq!(exact.map(|lot| count(&format!(r#""MAPBLKLOT":"{lot}""#))), [1, 101, 35, 655, 1]);
        let prefixes = ["AC", "BL", "DR", "FU", "RH"];
        assert_eq!(prefixes.map(|prefix| count(&format!(r#""STREET":"{prefix}"#))), [24, 442, 38, 2_387, 328]);
        let streets = ["JEFFERSON", "BEACH", "HYDE", "CHESTNUT"];
        assert_eq!(streets.map(|street| count(&format!(r#""STREET":"{street}""#))), [131, 211, 1_758, 825]);
        assert_eq!(count(r#""ST_TYPE":"ST""#), 116_386);
        assert_eq!(count(r#""type":"MultiPolygon""#), 120);
    }
}
