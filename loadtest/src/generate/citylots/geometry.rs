//! The outlines of the lots: mostly small polygons, a long tail of large ones.
//!
//! A published benchmark asks whether some point, or the first one, lies west or east of three meridians, and for points with
//! exactly one longitude or latitude. A record's *band* says between which meridians its first point lies; some records *straddle*
//! one, with a second point beyond it.

use super::super::rng::Rng;
use super::RECORDS;
use super::columns::{Columns, ONE_POLYGON, in_runs};
use std::f64::consts::{PI, TAU};

const MERIDIANS: [f64; 3] = [-122.46471267081272, -122.41600944012424, -122.4063085128395];
const BANDS: [(f64, f64); 4] =
    [(-122.514, MERIDIANS[0]), (MERIDIANS[0], MERIDIANS[1]), (MERIDIANS[1], MERIDIANS[2]), (MERIDIANS[2], -122.364)];
/// How many records straddle a meridian, by band.
const STRADDLING: [usize; 4] = [216, 248, 498, 216];
const LONGITUDE: f64 = -122.42916360922355;
const LATITUDE: f64 = 37.729900216217324;
const LANDMARK_LATITUDE: f64 = 37.80780792169409;
/// Degrees from one side of a lot to the other.
const WIDTH: f64 = 0.0003;

pub(super) struct Geometry {
    band: Vec<u8>,
    straddles: Vec<bool>,
    /// Whether the record says MultiPolygon.
    pub(super) several: Vec<bool>,
    landmark: usize,
    /// Records that still have to get the longitude in their first point, in their third one, and the latitude.
    first_longitudes: u32,
    longitudes: u32,
    latitudes: u32,
}

impl Geometry {
    pub(super) fn lay_out(rng: &mut Rng, columns: &Columns) -> Self {
        let (west, east) = (148_948 - (127_053 - 25_000), 64_120 - 25_000);
        let band = in_runs(rng, &[(0u8, west), (1, RECORDS - west - 25_000 - east), (2, 25_000), (3, east)], 20);
        let mut order: Vec<usize> = (0..RECORDS).collect();
        rng.shuffle(&mut order);
        let mut straddles = vec![false; RECORDS];
        let mut left = STRADDLING;
        for &record in &order {
            let left = &mut left[usize::from(band[record])];
            if *left > 0 {
                straddles[record] = true;
                *left -= 1;
            }
        }
        let mut several = vec![false; RECORDS];
        let may = |record: &&usize| columns.from[**record] != ONE_POLYGON && **record != columns.landmark;
        order.iter().filter(may).take(120).for_each(|record| several[*record] = true);
        let landmark = columns.landmark;
        Geometry { band, straddles, several, landmark, first_longitudes: 2, longitudes: 216, latitudes: 1 }
    }

    /// The points of a record, the first one again at the end. Records must be asked for in their order.
    pub(super) fn points(&mut self, rng: &mut Rng, record: usize, points: &mut Vec<(f64, f64)>) {
        points.clear();
        let corners = corners(rng) - 1;
        let band = self.band[record];
        let (west, east) = BANDS[usize::from(band)];
        // The meridian that a straddling record straddles.
        let (edge, beyond) = if band <= 1 { (east, 1.0) } else { (west, -1.0) };
        let straddles = self.straddles[record];
        let x = if straddles {
            edge - beyond * (WIDTH * 0.4 * rng.unit() + 1e-9)
        } else {
            (west + WIDTH) + ((east - WIDTH) - (west + WIDTH)) * (0.000_001 + 0.999_998 * rng.unit())
        };
        let y = 37.708 + 0.1035 * rng.unit();
        points.push((x, y + WIDTH * 0.02 * rng.unit()));
        for corner in 1..corners {
            let angle = corner as f64 / corners as f64 * TAU;
            let px = x + WIDTH * 0.45 * (cosine(angle) - 1.0) * 0.5 + WIDTH * 0.05 * rng.unit();
            let py = y + WIDTH * 0.45 * sine(angle) + WIDTH * 0.02 * rng.unit();
            let px = if straddles && corner == 1 {
                edge + beyond * (WIDTH * 0.3 * rng.unit() + 1e-9)
            } else if px <= west || px >= east {
                x
            } else {
                px
            };
            points.push((px, py));
        }
        self.place_wanted(record, points);
        points.push(points[0]);
    }

    /// Gives the record a longitude or latitude that a benchmark looks for, if it is its turn.
    fn place_wanted(&mut self, record: usize, points: &mut [(f64, f64)]) {
        if record == self.landmark {
            points[1].1 = LANDMARK_LATITUDE;
        } else if self.several[record] {
            if take_one(&mut self.latitudes) {
                points[2].1 = LATITUDE;
            }
        } else if self.band[record] == 1 && !self.straddles[record] && record.is_multiple_of(7) {
            if take_one(&mut self.first_longitudes) {
                points[0].0 = LONGITUDE;
            } else if take_one(&mut self.longitudes) {
                points[2].0 = LONGITUDE;
            }
        }
    }
}

fn take_one(left: &mut u32) -> bool {
    let any = *left > 0;
    *left -= u32::from(any);
    any
}

/// How many points a record has, the repeated one included. Together with the digits this makes the published mean length.
fn corners(rng: &mut Rng) -> u64 {
    match rng.unit() {
        u if u < 0.46 => 5,
        u if u < 0.58 => 6,
        u if u < 0.70 => 7 + rng.below(3),
        u if u < 0.96 => 10 + rng.below(22),
        u if u < 0.998 => 32 + rng.below(60),
        _ => 92 + rng.below(210),
    }
}

/// Of 0 to one turn. Made of sums and products only: those of the C library differ in the last digit from machine to machine, and
/// these bytes must not.
fn sine(angle: f64) -> f64 {
    let x = PI - angle;
    let (mut term, mut sum) = (x, x);
    for n in 1..14 {
        term *= -x * x / f64::from((2 * n) * (2 * n + 1));
        sum += term;
    }
    sum
}

fn cosine(angle: f64) -> f64 {
    let quarter = angle + PI / 2.0;
    sine(if quarter > TAU { quarter - TAU } else { quarter })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_and_cosine_are_those_of_school() {
        for step in 0..=1_000 {
            let angle = f64::from(step) / 1_000.0 * TAU;
            assert!((sine(angle) - angle.sin()).abs() < 1e-12, "sine of {angle}");
            assert!((cosine(angle) - angle.cos()).abs() < 1e-12, "cosine of {angle}");
        }
    }
}
