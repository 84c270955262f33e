//! Records in the shape of San Francisco's city lots, the events of the published matcher benchmarks.
//!
//! All values are made up by a seeded generator. What is reproduced, exactly, is the shape of a record, the number of records, and
//! how many of them match each rule of the published benchmarks (`rules/citylots-*.jsonl`), so that figures can be compared.
//! Start at [`write`].

mod columns;
mod geometry;
mod lots;
mod streets;

use super::rng::Rng;
use columns::Columns;
use geometry::Geometry;
use lots::block_and_lot;
use std::fmt::Write as _;
use std::io;

/// As many as the published file has.
pub(crate) const RECORDS: usize = 213_068;

/// Writes the first `limit` records, one JSON object per line.
pub(crate) fn write(out: &mut dyn io::Write, limit: usize) -> io::Result<()> {
    let mut rng = Rng::new(20_241_107);
    let columns = Columns::lay_out(&mut rng);
    let mut geometry = Geometry::lay_out(&mut rng, &columns);
    let (mut points, mut line) = (Vec::new(), String::new());
    for record in 0..limit.min(RECORDS) {
        geometry.points(&mut rng, record, &mut points);
        line.clear();
        // Writing to a String can't fail.
        let _ = describe(&mut line, &columns, record, geometry.several[record], &points);
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

fn describe(
    line: &mut String,
    columns: &Columns,
    record: usize,
    several: bool,
    points: &[(f64, f64)],
) -> std::fmt::Result {
    let lot = &columns.lot[record];
    let (block, lot_number) = block_and_lot(lot);
    let from = &columns.from[record];
    write!(
        line,
        r#"{{"type":"Feature","properties":{{"MAPBLKLOT":"{lot}","BLKLOT":"{lot}","BLOCK_NUM":"{block}","LOT_NUM":"{lot_number}","FROM_ST":"{from}","TO_ST":"{from}","STREET":"{}","ST_TYPE":{},"ODD_EVEN":"{}"}}"#,
        columns.street[record], columns.street_type[record], columns.parity[record],
    )?;
    let (kind, open, close) = if several { ("MultiPolygon", "[[", "]]") } else { ("Polygon", "[", "]") };
    write!(line, r#","geometry":{{"type":"{kind}","coordinates":{open}["#)?;
    for (place, (x, y)) in points.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        write!(line, r#"{comma}{{"x":{x},"y":{y},"z":0.0}}"#)?;
    }
    let (x, y) = points[0];
    writeln!(line, r#"]{close},"firstCoordinates":{{"x":{x},"y":{y},"z":0.0}}}}}}"#)
}
