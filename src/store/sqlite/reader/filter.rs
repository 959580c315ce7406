//! How many tasks there are of each sort, which the counters know.

use rusqlite::Connection;

use crate::domain::{Band, StatusKind};
use crate::store::StoreError;
use crate::store::tally::Sort;

/// Every sort of task there is, and how many.
pub(super) fn counters(conn: &Connection) -> Result<Vec<(Sort, u64)>, StoreError> {
    let mut all =
        conn.prepare_cached("SELECT status, band, type_id, tasks FROM counters WHERE tasks > 0")?;
    let mut rows = all.query(())?;
    let mut counters = Vec::new();
    while let Some(row) = rows.next()? {
        let status = StatusKind::from_code(row.get(0)?);
        let band = Band::from_rank(row.get::<_, i64>(1)? as usize);
        let (Some(status), Some(band)) = (status, band) else {
            return Err(StoreError::Broken("a counter counts nothing known".into()));
        };
        let sort = Sort { status, band, type_id: row.get(2)? };
        counters.push((sort, row.get::<_, i64>(3)? as u64));
    }
    Ok(counters)
}
