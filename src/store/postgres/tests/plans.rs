//! How the server goes about what is asked of it again and again.

use super::Database;
use crate::store::conformance::sample::NOW;
use crate::store::conformance::start;
use crate::store::postgres::target::WRITER_SETTINGS;
use crate::store::postgres::{claim, leases};

/// Statements are planned once for a connection, often while the store is empty. Claims planned
/// then once found their rows by a walk of the index of free rows for each of them: with a
/// thousand rows waiting the server stood still.
#[test]
fn no_statement_walks_a_whole_index_for_each_row_though_planned_on_an_empty_store() {
    let database = Database::new();
    let _store = start(&database, NOW);
    let mut client = database.account.connect();
    client.batch_execute(WRITER_SETTINGS).unwrap();
    for (name, sql, values) in [
        ("node", claim::TAKE_FOR_NODE, "'{2}', '{1}', 0, 200, 100, 1000, 1, '{0}'"),
        ("worker", claim::TAKE_FOR_WORKER, "'{2}', '{1}', 0, 200, 100, 1000, 1, '{0}', 1, 'w'"),
        ("named", claim::TAKE_NAMED, "'{2}', '{1}', 0, 200, 100, 1000, 1, '{5}'"),
        ("renew", leases::RENEW, "'{1}', '{1}', '{9}', '{50}', 1"),
    ] {
        client.batch_execute(&format!("PREPARE {name} AS {sql}")).unwrap();
        let rows = client.query(&format!("EXPLAIN EXECUTE {name} ({values})"), &[]).unwrap();
        let plan: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        for (at, line) in plan.iter().enumerate().filter(|(_, line)| line.contains(" Scan ")) {
            let next = plan.get(at + 1).copied().unwrap_or_default();
            let is_bound = next.contains("Cond:") || !line.contains(" on tasks");
            assert!(is_bound, "{name}: {line}: {next}\n{}", plan.join("\n"));
        }
    }
}
