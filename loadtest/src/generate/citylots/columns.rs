//! Every column of the city but the geometry: which lot, at which street, of which kind.
//!
//! A column is laid out by quotas in runs, since neighbouring lots share a street; what a published benchmark asserts about two
//! columns together is mended afterwards.

use super::super::rng::Rng;
use super::lots::{BLOCK_OF_EVENS, BLOCK_OF_STREETS, lots};
use super::{RECORDS, streets};

/// How long a run is on average, for columns of the street.
const STREET_RUN: u64 = 12;
const STREET: &str = "\"ST\"";
/// "FROM_ST" of lots that must not have several polygons, so that a benchmark's count holds.
pub(super) const ONE_POLYGON: &str = "2521";

/// As they stand in the JSON, but `street_type`, which has its quotes or is null.
pub(super) struct Columns {
    pub(super) lot: Vec<String>,
    pub(super) street: Vec<String>,
    pub(super) from: Vec<String>,
    pub(super) street_type: Vec<&'static str>,
    pub(super) parity: Vec<&'static str>,
    /// The lot whose second point a benchmark looks for.
    pub(super) landmark: usize,
}

impl Columns {
    pub(super) fn lay_out(rng: &mut Rng) -> Self {
        let street = in_runs(rng, &streets::quotas(), STREET_RUN);
        let mut street_type = in_runs(rng, &street_types(), STREET_RUN);
        let from = house_numbers(rng, &street);
        let mut lot = lots(rng);
        let landmark = lot.iter().position(|lot| lot.starts_with("0010") && !lot.ends_with('A')).unwrap_or_default();
        lot[landmark] = "0011008".into();
        move_streets_to_their_block(rng, &lot, &mut street_type);
        let parity = parities(rng, &lot, &street_type);
        Columns { lot, street, from, street_type, parity, landmark }
    }
}

/// Lays quotas out as shuffled runs of about `mean`.
pub(super) fn in_runs<T: Clone>(rng: &mut Rng, quotas: &[(T, usize)], mean: u64) -> Vec<T> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (which, (_, quota)) in quotas.iter().enumerate() {
        let mut left = *quota;
        while left > 0 {
            let length = (1 + rng.below(2 * mean - 1) as usize).min(left);
            runs.push((which, length));
            left -= length;
        }
    }
    rng.shuffle(&mut runs);
    runs.into_iter().flat_map(|(which, length)| std::iter::repeat_n(quotas[which].0.clone(), length)).collect()
}

/// A benchmark asserts how many are not "ST", do not start with S, or do not end with T.
fn street_types() -> Vec<(&'static str, usize)> {
    let mut quotas = vec![
        (STREET, 116_386),
        ("\"STWY\"", 15),
        ("\"CT\"", 1_774),
        ("\"AVE\"", 0),
        ("null", 20_000),
        ("\"DR\"", 6_000),
        ("\"WAY\"", 4_000),
        ("\"BLVD\"", 3_000),
        ("\"TER\"", 2_500),
        ("\"PL\"", 2_000),
        ("\"LN\"", 1_500),
        ("\"RD\"", 900),
    ];
    let given: usize = quotas.iter().map(|(_, lots)| lots).sum();
    quotas[3].1 = RECORDS - given;
    quotas
}

/// FROM_ST: how many are 441, start with 44 or end with 41 is asserted by a benchmark.
fn house_numbers(rng: &mut Rng, street: &[String]) -> Vec<String> {
    const START_WITH_44: [&str; 15] =
        ["44", "440", "442", "443", "444", "445", "446", "447", "448", "449", "4400", "4412", "4420", "4455", "4480"];
    const END_WITH_41: [&str; 15] =
        ["41", "141", "241", "341", "541", "641", "741", "841", "941", "1041", "1141", "1241", "1541", "2041", "3141"];
    let mut numbers = vec![String::new(); RECORDS];
    // One house is looked for by its street and number.
    let house = street.iter().position(|street| street == "FOERSTER").unwrap_or_default();
    let mut places: Vec<usize> = (0..RECORDS).filter(|place| *place != house).collect();
    rng.shuffle(&mut places);
    let mut places = places.into_iter();
    let mut give = |count: usize, number: &mut dyn FnMut() -> &'static str| {
        places.by_ref().take(count).for_each(|place| numbers[place] = number().into());
    };
    give(2_453, &mut || "441");
    give(1_524, &mut || *rng.pick(&START_WITH_44));
    give(1_560, &mut || *rng.pick(&END_WITH_41));
    give(19, &mut || ONE_POLYGON);
    numbers[house] = "755".into();
    for place in places {
        numbers[place] = ordinary_house_number(rng);
    }
    numbers
}

fn ordinary_house_number(rng: &mut Rng) -> String {
    loop {
        let number = match rng.below(10) {
            0 => 0,
            1..=3 => rng.below(400),
            4..=7 => rng.below(2_000),
            _ => rng.below(4_900),
        }
        .to_string();
        if !(number.starts_with("44") || number.ends_with("41") || number == ONE_POLYGON || number == "755") {
            return number;
        }
    }
}

/// All lots of one block lie at a "ST": they swap with others, so that the number of them stays.
fn move_streets_to_their_block(rng: &mut Rng, lot: &[String], street_type: &mut [&'static str]) {
    let in_block = |place: &usize| lot[*place].starts_with(BLOCK_OF_STREETS);
    let mut donors: Vec<usize> =
        (0..RECORDS).filter(|place| !in_block(place) && street_type[*place] == STREET).collect();
    rng.shuffle(&mut donors);
    let mut donors = donors.into_iter();
    for place in (0..RECORDS).filter(in_block) {
        if street_type[place] != STREET
            && let Some(donor) = donors.next()
        {
            street_type.swap(place, donor);
        }
    }
}

/// ODD_EVEN: asserted together with the street type, and for one block.
fn parities(rng: &mut Rng, lot: &[String], street_type: &[&'static str]) -> Vec<&'static str> {
    let free = |place: &usize| !lot[*place].starts_with(BLOCK_OF_EVENS);
    let mut parity = vec!["E"; RECORDS];
    let mut elsewhere: Vec<usize> = (0..RECORDS).filter(|place| street_type[*place] != STREET && free(place)).collect();
    rng.shuffle(&mut elsewhere);
    elsewhere.into_iter().take(52_527).for_each(|place| parity[place] = "O");
    for place in 0..RECORDS {
        if street_type[place] == STREET && free(&place) && rng.below(2) == 0 {
            parity[place] = "O";
        }
    }
    parity
}
