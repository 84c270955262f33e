//! The streets of the city and how many lots each has.
//!
//! Counts that a published benchmark asserts are quotas of their own; the other streets of a letter share the rest, the first ones
//! getting more. None of those may match one of the benchmarks' rules, which [`is_ordinary`] holds.

use super::RECORDS;

/// The streets that begin with one letter.
struct Letter {
    lots: usize,
    quotas: &'static [(&'static str, usize)],
    others: &'static [&'static str],
}

const fn letter(lots: usize, quotas: &'static [(&'static str, usize)], others: &'static [&'static str]) -> Letter {
    Letter { lots, quotas, others }
}

#[rustfmt::skip]
const LETTERS: [Letter; 25] = [
    letter(5883, &[("ACACIA", 20), ("ACORN", 4)],
        &["ALABAMA", "ANZA", "ARGUELLO", "ARKANSAS", "ASHBURY", "ALEMANY", "ATHENS", "ANDOVER", "ARLETA", "ALVARADO", "ARCH", "ALPINE"]),
    letter(12765, &[("BELVEDERE", 412), ("BLAKE", 35), ("BLANKEN", 200), ("BLYTHDALE", 207), ("BEACH", 211), ("BIRCH", 9)],
        &["BUSH", "BRYANT", "BRODERICK", "BALBOA", "BAKER", "BUCHANAN", "BAY", "BROADWAY", "BEALE", "BERNAL HEIGHTS", "BRUSSELS", "BOSWORTH", "BOWDOIN", "BURNETT"]),
    letter(14824, &[("CHESTNUT", 825), ("CLAYTON", 700), ("CRANLEIGH", 20)],
        &["CALIFORNIA", "CLAY", "CHURCH", "CASTRO", "CABRILLO", "CLEMENT", "CAPP", "CORTLAND", "COLE", "CORBETT", "CAYUGA", "CRESCENT", "CLIPPER", "CHENERY", "CHATTANOOGA"]),
    letter(6124, &[("DRUMM", 13), ("DRAKE", 25)],
        &["DOLORES", "DIAMOND", "DIVISADERO", "DUBOCE", "DELANO", "DWIGHT", "DUNCAN", "DAY"]),
    letter(3402, &[],
        &["EDDY", "ELLIS", "EUREKA", "EDINBURGH", "ELIZABETH", "EXCELSIOR", "EUCLID", "EMBARCADERO"]),
    letter(7999, &[("FULTON", 1910), ("FUNSTON", 477), ("FOLSOM", 1390), ("FOERSTER", 120)],
        &["FRANCISCO", "FILBERT", "FELL", "FRANKLIN", "FRANCE", "FILLMORE", "FREDERICK", "FLORIDA"]),
    letter(8555, &[],
        &["GEARY", "GREEN", "GREENWICH", "GROVE", "GUERRERO", "GOLDEN GATE", "GOUGH", "GIRARD", "GENEVA", "GAVEN", "GOETTINGEN"]),
    letter(7829, &[("HYDE", 1758), ("HARRISON", 1100)],
        &["HAIGHT", "HAYES", "HOWARD", "HERMANN", "HOLLOWAY", "HENRY", "HARTFORD", "HEARST", "HOLLY PARK"]),
    letter(1330, &[("IRVING", 1250)],
        &["INDIANA", "IOWA"]),
    letter(3853, &[("JACKSON", 1600), ("JEFFERSON", 131)],
        &["JUDAH", "JONES", "JENNINGS", "JOOST"]),
    letter(2595, &[],
        &["KIRKHAM", "KANSAS", "KEARNY", "KEY", "KEITH", "KISKA"]),
    letter(8168, &[("LAWTON", 824), ("LAKE", 811), ("LANSING", 300)],
        &["LAGUNA", "LARKIN", "LOMBARD", "LINCOLN", "LEAVENWORTH", "LAUREL", "LIBERTY", "LINDA", "LEE"]),
    letter(14368, &[("MASON", 2657), ("MASONIC", 293), ("MOULTON", 22), ("MISSION", 3500)],
        &["MARKET", "MONTGOMERY", "MOSCOW", "MONTEREY", "MOULTRIE", "MADRID", "MORAGA", "MINNA", "MUNICH"]),
    letter(3710, &[("NORTH POINT", 927)],
        &["NORIEGA", "NATOMA", "NOE", "NEWHALL", "NEY", "NIAGARA", "NEVADA"]),
    letter(3413, &[],
        &["OAK", "OFARRELL", "ORTEGA", "OCTAVIA", "OCEAN", "ORDWAY"]),
    letter(11250, &[],
        &["PACIFIC", "PAGE", "PINE", "POST", "PACHECO", "PIERCE", "PRECITA", "PARIS", "PENNSYLVANIA", "POTRERO", "PERU", "PERALTA", "POLK", "PORTOLA"]),
    letter(719, &[],
        &["QUINTARA", "QUESADA", "QUINCY"]),
    letter(4354, &[("RHODE ISLAND", 328), ("REVERE", 300)],
        &["RIVERA", "RUSSIA", "ROOSEVELT", "RAYMOND", "RANDOLPH", "RIPLEY", "REY", "ROLPH"]),
    letter(13255, &[("STOCKTON", 900), ("SANTIAGO", 682), ("STERLING", 200)],
        &["SACRAMENTO", "SANCHEZ", "SUTTER", "SHOTWELL", "STEINER", "SCOTT", "SAN BRUNO", "SAN JOSE", "SHRADER", "SILVER", "SAN CARLOS", "SPEAR", "STANYAN", "SOUTH VAN NESS"]),
    letter(4209, &[("TENNESSEE", 500)],
        &["TARAVAL", "TURK", "TAYLOR", "TOWNSEND", "TEXAS", "TOLEDO", "TINGLEY"]),
    letter(4636, &[("UNION", 2200)],
        &["ULLOA", "UNKNOWN", "UTAH", "UPLAND"]),
    letter(4322, &[],
        &["VALLEJO", "VICENTE", "VAN NESS", "VALENCIA", "VIENNA", "VERMONT", "VIRGINIA", "VALLEY"]),
    letter(4162, &[("WASHINGTON", 1900), ("WHITING", 213)],
        &["WEBSTER", "WAWONA", "WALLER", "WISCONSIN", "WILLARD", "WINFIELD", "WOOL", "WAYLAND"]),
    letter(721, &[],
        &["YORK", "YOUNG", "YERBA BUENA"]),
    letter(25, &[],
        &["ZOE", "ZENO"]),
];

const SEVENTEENTH: (&str, usize) = ("17TH", 1_619);

/// Every street with its number of lots, [`RECORDS`] together.
pub(super) fn quotas() -> Vec<(String, usize)> {
    let mut quotas = Vec::new();
    for Letter { lots, quotas: fixed, others } in &LETTERS {
        quotas.extend(fixed.iter().map(|(name, lots)| (name.to_string(), *lots)));
        share_out(lots - fixed.iter().map(|(_, lots)| lots).sum::<usize>(), others, &mut quotas);
    }
    let named: usize = quotas.iter().map(|(_, lots)| lots).sum();
    number_streets(RECORDS - named, &mut quotas);
    quotas
}

fn share_out(lots: usize, names: &[&str], quotas: &mut Vec<(String, usize)>) {
    let weight = |place: usize| 1.0 / (place as f64 + 1.5);
    let sum: f64 = (0..names.len()).map(weight).sum();
    let mut left = lots;
    for (place, name) in names.iter().enumerate() {
        debug_assert!(is_ordinary(name), "{name} would change the count of a published benchmark");
        let last = place + 1 == names.len();
        let share = if last { left } else { (lots as f64 * weight(place) / sum) as usize };
        left -= share;
        quotas.push((name.to_string(), share));
    }
}

fn number_streets(lots: usize, quotas: &mut Vec<(String, usize)>) {
    quotas.push((SEVENTEENTH.0.into(), SEVENTEENTH.1));
    let numbers: Vec<u32> = (2..=48).filter(|number| *number != 17).collect();
    let each = (lots - SEVENTEENTH.1) / numbers.len();
    let first = lots - SEVENTEENTH.1 - each * (numbers.len() - 1);
    for (place, number) in numbers.into_iter().enumerate() {
        let ending = match number {
            2 | 22 | 32 | 42 => "ND",
            3 | 23 | 33 | 43 => "RD",
            21 | 31 | 41 => "ST",
            _ => "TH",
        };
        quotas.push((format!("{number:02}{ending}"), if place == 0 { first } else { each }));
    }
}

/// Whether no rule of the published benchmarks is about this name.
fn is_ordinary(name: &str) -> bool {
    let named = ["BEACH", "HYDE", "CHESTNUT", "JEFFERSON", "FOLSOM", "FOERSTER", "CRANLEIGH"];
    !(["AC", "BL", "DR", "FU", "RH", "MASO", "FULTO"].iter().any(|prefix| name.starts_with(prefix))
        || ["ON", "KE", "MM", "ING", "GO"].iter().any(|suffix| name.ends_with(suffix))
        || (name.starts_with('N') && name.contains('P'))
        || name.bytes().filter(|byte| *byte == b'E').count() >= 3
        || (name.len() == 5 && name.starts_with('B') && name.ends_with("CH"))
        || named.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lot_has_a_street_and_no_ordinary_street_is_in_a_benchmark() {
        assert_eq!(quotas().iter().map(|(_, lots)| lots).sum::<usize>(), RECORDS);
        assert!(LETTERS.iter().flat_map(|letter| letter.others).all(|name| is_ordinary(name)));
    }
}
