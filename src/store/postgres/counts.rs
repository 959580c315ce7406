//! What batches do to the counts: one row each, folded into the counters later.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use postgres::{GenericClient, Row, Transaction};

use crate::domain::{Band, Change, ChangeKind, StatusKind, Summary, TimeMs};
use crate::store::tally::{Sort, Tally};
use crate::store::{Bucket, StoreError};

/// A count: its sort, and the day of the end; nought for live tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Counted {
    pub(super) status: i16,
    pub(super) band: i16,
    pub(super) type_id: i32,
    pub(super) day: i32,
}

impl Counted {
    /// A live task's.
    pub(super) fn live(sort: Sort) -> Counted {
        let Sort { status, band, type_id } = sort;
        let (status, band) = (i16::from(status.code()), band.rank() as i16);
        Counted { status, band, type_id: type_id.cast_signed(), day: 0 }
    }

    /// The sort, if it is one.
    pub(super) fn sort(self) -> Option<Sort> {
        let status = StatusKind::from_code(u8::try_from(self.status).ok()?)?;
        let band = Band::from_rank(usize::try_from(self.band).ok()?)?;
        Some(Sort { status, band, type_id: self.type_id.cast_unsigned() })
    }
}

/// By how much each count moves.
pub(super) type Moves = HashMap<Counted, i64, RandomState>;

/// The sums of one batch.
#[derive(Debug, Default)]
pub(super) struct Delta {
    moves: Moves,
    minutes: Tally,
}

impl Delta {
    /// Counts a change that was written; `ended` is the day of the end that it makes or undoes.
    pub(super) fn note(&mut self, change: &Change, type_id: i32, now: TimeMs, ended: i32) {
        let (to, band) = (change.task.state.status.kind(), change.task.spec.band);
        // The tally knows no days, so only its minutes are used.
        self.minutes.note(change, type_id.cast_unsigned(), now);
        let from = match change.kind {
            ChangeKind::Insert(_) => None,
            ChangeKind::Update(before, _)
            | ChangeKind::Finish(before)
            | ChangeKind::Revive(before, _) => Some(before.status),
        };
        for (status, by) in from.map(|from| (from, -1)).into_iter().chain([(to, 1)]) {
            let live = Counted::live(Sort { status, band, type_id: type_id.cast_unsigned() });
            let day = if status.is_terminal() { ended } else { 0 };
            self.add(Counted { day, ..live }, by);
        }
    }

    /// Moves one count.
    pub(super) fn add(&mut self, counted: Counted, by: i64) {
        *self.moves.entry(counted).or_insert(0) += by;
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.minutes.minutes.is_empty()
    }

    /// The counts as a literal of the column `counts`.
    pub(super) fn counts_literal(&self) -> String {
        use std::fmt::Write;
        let mut text = String::from("{");
        for (counted, by) in self.moves.iter().filter(|(_, by)| **by != 0) {
            let comma = if text.len() > 1 { "," } else { "" };
            let Counted { status, band, type_id, day } = counted;
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{status},{band},{type_id},{day},{by}");
        }
        text.push('}');
        text
    }

    /// The minutes as the column `minutes` holds them.
    pub(super) fn minutes(&self) -> Vec<u8> {
        self.minutes.minutes.iter().flat_map(pack).collect()
    }
}

/// A bucket as bytes: numbers of eight bytes and two summaries.
fn pack(bucket: &Bucket) -> Vec<u8> {
    let Bucket { minute, submitted, completed, failed, cancelled, retried, .. } = *bucket;
    let mut bytes = Vec::with_capacity(160);
    bytes.extend(minute.to_be_bytes());
    for number in [submitted, completed, failed, cancelled, retried] {
        bytes.extend(number.to_be_bytes());
    }
    for summary in [&bucket.run, &bucket.wait] {
        let Summary { count, sum_us, min_us, max_us, .. } = *summary;
        for number in [count, sum_us, min_us, max_us] {
            bytes.extend(number.to_be_bytes());
        }
        let bars = summary.pack();
        bytes.extend((bars.len() as u16).to_be_bytes());
        bytes.extend(bars);
    }
    bytes
}

/// The buckets in some bytes; what no [`pack`] wrote ends the list.
fn unpack(mut bytes: &[u8]) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    while let Some(bucket) = unpack_one(&mut bytes) {
        buckets.push(bucket);
    }
    buckets
}

fn unpack_one(bytes: &mut &[u8]) -> Option<Bucket> {
    let minute = i64::from_be_bytes(cut(bytes)?);
    let mut numbers = [0; 5];
    for number in &mut numbers {
        *number = u64::from_be_bytes(cut(bytes)?);
    }
    let [submitted, completed, failed, cancelled, retried] = numbers;
    let (run, wait) = (unpack_summary(bytes)?, unpack_summary(bytes)?);
    Some(Bucket { minute, submitted, completed, failed, cancelled, retried, run, wait })
}

fn unpack_summary(bytes: &mut &[u8]) -> Option<Summary> {
    let mut numbers = [0; 4];
    for number in &mut numbers {
        *number = u64::from_be_bytes(cut(bytes)?);
    }
    let length = usize::from(u16::from_be_bytes(cut(bytes)?));
    let (bars, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let [count, sum, min, max] = numbers;
    Some(Summary::unpack(count, sum, min, max, bars))
}

fn cut<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

/// Deltas that are not folded yet. A life's are folded in their order, so the fold's own row says
/// where to begin, and no dead entry before it is looked at. Those of enqueue() belong to life
/// nought, whose row says nought.
macro_rules! unfolded {
    () => {
        "FROM taskscheduler.folds f JOIN taskscheduler.count_deltas d
         ON d.incarnation = f.incarnation AND d.seq > f.seq"
    };
}

/// Everything counted, in one snapshot of the caller's.
pub(super) fn read_counts(client: &mut impl GenericClient) -> Result<Moves, postgres::Error> {
    let mut days: HashSet<(i16, i32), RandomState> = HashSet::default();
    for row in client.query("SELECT status, day FROM taskscheduler.history_days", &[])? {
        days.insert((row.get(0), row.get(1)));
    }
    let mut counts = Moves::default();
    let all = "SELECT status, band, type_id, day, tasks FROM taskscheduler.counters";
    for row in client.query(all, &[])? {
        *counts.entry(read_counted(&row)).or_insert(0) += row.get::<_, i64>(4);
    }
    for row in client.query(concat!("SELECT d.counts ", unfolded!()), &[])? {
        add_flat(&mut counts, &row.get::<_, Vec<i64>>(0));
    }
    // What belongs to a day whose partition is gone counts nothing.
    counts.retain(|counted, tasks| {
        *tasks != 0 && (counted.day == 0 || days.contains(&(counted.status, counted.day)))
    });
    Ok(counts)
}

fn read_counted(row: &Row) -> Counted {
    Counted { status: row.get(0), band: row.get(1), type_id: row.get(2), day: row.get(3) }
}

fn add_flat(moves: &mut Moves, flat: &[i64]) {
    for five in flat.chunks_exact(5) {
        let counted = Counted {
            status: five[0] as i16,
            band: five[1] as i16,
            type_id: five[2] as i32,
            day: five[3] as i32,
        };
        *moves.entry(counted).or_insert(0) += five[4];
    }
}

/// The buckets of these minutes, in one snapshot of the caller's.
pub(super) fn read_minutes(
    client: &mut impl GenericClient,
    minutes: std::ops::Range<i64>,
) -> Result<Vec<Bucket>, postgres::Error> {
    let mut found = std::collections::BTreeMap::<i64, Bucket>::new();
    let stored = "SELECT bucket FROM taskscheduler.minutes WHERE minute >= $1 AND minute < $2";
    let mut rows = client.query(stored, &[&minutes.start, &minutes.end])?;
    rows.extend(client.query(concat!("SELECT d.minutes ", unfolded!()), &[])?);
    for bucket in rows.iter().flat_map(|row| unpack(row.get(0))) {
        if minutes.contains(&bucket.minute) {
            let known = found.entry(bucket.minute);
            known.or_insert_with(|| Bucket::empty(bucket.minute)).merge(&bucket);
        }
    }
    Ok(found.into_values().collect())
}

/// Most deltas folded in one transaction.
const FOLD_MAX: i64 = 4000;

/// Folds deltas into the counters and minutes, and says whether there may be more. Only one node
/// does so at a time. The newest of each life stays: its answer may still be asked for.
pub(super) fn fold(client: &mut impl GenericClient) -> Result<bool, StoreError> {
    let mut transaction = client.transaction()?;
    let free: bool =
        transaction.query_one("SELECT pg_try_advisory_xact_lock(7308332, 2)", &[])?.get(0);
    if !free {
        return Ok(false);
    }
    let rows = transaction.query(
        "WITH oldest AS (
             SELECT d.incarnation, d.seq FROM taskscheduler.folds f
             CROSS JOIN LATERAL (
                 SELECT max(n.seq) AS seq FROM taskscheduler.count_deltas n
                 WHERE n.incarnation = f.incarnation) newest
             JOIN taskscheduler.count_deltas d
                 ON d.incarnation = f.incarnation AND d.seq > f.seq
                 AND (f.incarnation = 0 OR d.seq < newest.seq)
             ORDER BY d.incarnation, d.seq LIMIT $1)
         DELETE FROM taskscheduler.count_deltas d USING oldest o
         WHERE d.incarnation = o.incarnation AND d.seq = o.seq
         RETURNING d.incarnation, d.seq, d.counts, d.minutes",
        &[&FOLD_MAX],
    )?;
    if rows.is_empty() {
        return Ok(false);
    }
    let (mut moves, mut minutes) = (Moves::default(), HashMap::<i64, Bucket>::new());
    let mut folded = HashMap::<i64, i64>::new();
    for row in &rows {
        let (incarnation, seq): (i64, i64) = (row.get(0), row.get(1));
        let last = folded.entry(incarnation).or_insert(seq);
        *last = (*last).max(seq);
        add_flat(&mut moves, &row.get::<_, Vec<i64>>(2));
        for bucket in unpack(row.get(3)) {
            let sum = minutes.entry(bucket.minute);
            sum.or_insert_with(|| Bucket::empty(bucket.minute)).merge(&bucket);
        }
    }
    add_counters(&mut transaction, &moves)?;
    add_minutes(&mut transaction, minutes)?;
    let (lives, seqs): (Vec<i64>, Vec<i64>) =
        folded.into_iter().filter(|(life, _)| *life != 0).unzip();
    transaction.execute(
        "UPDATE taskscheduler.folds f SET seq = u.seq
         FROM unnest($1::bigint[], $2::bigint[]) AS u (incarnation, seq)
         WHERE f.incarnation = u.incarnation",
        &[&lives, &seqs],
    )?;
    transaction.commit()?;
    Ok(rows.len() as i64 == FOLD_MAX)
}

fn add_counters(transaction: &mut Transaction<'_>, moves: &Moves) -> Result<(), postgres::Error> {
    let mut sorted: Vec<(&Counted, &i64)> = moves.iter().filter(|(_, by)| **by != 0).collect();
    sorted.sort_unstable();
    let column = |of: fn(&Counted) -> i32| sorted.iter().map(|(c, _)| of(c)).collect::<Vec<_>>();
    let statuses = column(|counted| counted.status.into());
    let bands = column(|counted| counted.band.into());
    let (types, days) = (column(|counted| counted.type_id), column(|counted| counted.day));
    let by: Vec<i64> = sorted.iter().map(|(_, by)| **by).collect();
    transaction.execute(
        "INSERT INTO taskscheduler.counters AS c (status, band, type_id, day, tasks)
         SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::integer[],
                              $5::bigint[])
         ON CONFLICT (status, band, type_id, day) DO UPDATE SET tasks = c.tasks + excluded.tasks",
        &[&statuses, &bands, &types, &days, &by],
    )?;
    transaction.execute("DELETE FROM taskscheduler.counters WHERE tasks = 0", &[])?;
    Ok(())
}

fn add_minutes(
    transaction: &mut Transaction<'_>,
    mut minutes: HashMap<i64, Bucket>,
) -> Result<(), postgres::Error> {
    let wanted: Vec<i64> = minutes.keys().copied().collect();
    let known = "SELECT bucket FROM taskscheduler.minutes WHERE minute = ANY($1)";
    for bucket in transaction.query(known, &[&wanted])?.iter().flat_map(|row| unpack(row.get(0))) {
        if let Some(sum) = minutes.get_mut(&bucket.minute) {
            sum.merge(&bucket);
        }
    }
    let (minutes, buckets): (Vec<i64>, Vec<Vec<u8>>) =
        minutes.into_values().map(|bucket| (bucket.minute, pack(&bucket))).unzip();
    transaction.execute(
        "INSERT INTO taskscheduler.minutes (minute, bucket)
         SELECT * FROM unnest($1::bigint[], $2::bytea[])
         ON CONFLICT (minute) DO UPDATE SET bucket = excluded.bucket",
        &[&minutes, &buckets],
    )?;
    Ok(())
}
