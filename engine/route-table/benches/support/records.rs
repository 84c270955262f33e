//! Payloads that are like the records of a land register.

use std::fmt::Write as _;

/// Numbers that are the same in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From 0 up to `bound`, which is not among them.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((u128::from(bits) * u128::from(bound)) >> 64) as u64
    }
}

/// A line that is like those of a land register: nine short texts, then a polygon of about twelve points.
pub(crate) fn record(random: &mut Random) -> String {
    const STREETS: [&str; 8] =
        ["HYDE", "FULTON", "JEFFERSON", "08TH", "SOUTH VAN NESS", "BUSH", "CHESTNUT", "NORTH POINT"];
    const KINDS: [&str; 4] = ["\"ST\"", "\"AVE\"", "null", "\"BLVD\""];
    let (block, lot, from) = (random.below(9_000), random.below(300), random.below(4_900));
    let street = STREETS[random.below(8) as usize];
    let kind = KINDS[random.below(4) as usize];
    let mut text = format!(
        r#"{{"type":"Feature","properties":{{"MAPBLKLOT":"{block:04}{lot:03}","BLKLOT":"{block:04}{lot:03}","BLOCK_NUM":"{block:04}","LOT_NUM":"{lot:03}","FROM_ST":"{from}","TO_ST":"{from}","STREET":"{street}","ST_TYPE":{kind},"ODD_EVEN":"E"}},"geometry":{{"type":"Polygon","coordinates":[["#
    );
    let points = match random.below(100) {
        0..46 => 5,
        46..58 => 6,
        58..70 => 7 + random.below(3),
        70..96 => 10 + random.below(22),
        _ => 32 + random.below(60),
    };
    let mut point = || {
        let mut digits = || random.below(90_000_000_000_000) + 10_000_000_000_000;
        format!("{{\"x\":-122.{},\"y\":37.{},\"z\":0.0}}", digits(), digits())
    };
    let first = point();
    text.push_str(&first);
    for _ in 1..points {
        write!(text, ",{}", point()).expect("a string takes all");
    }
    writeln!(text, "]],\"firstCoordinates\":{first}}}}}").expect("a string takes all");
    text
}
