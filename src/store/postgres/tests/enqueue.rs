//! Tasks that applications make in transactions of their own.

use std::sync::Arc;

use test_servers::Cluster;

use super::Database;
use crate::domain::{Band, Form, Status, StatusKind, Task, TimeMs};
use crate::store::conformance::sample::{NOW, batch};
use crate::store::conformance::start;
use crate::store::{Bands, Batch, ClaimAsk, Store, Taker};

fn claim(store: &mut dyn Store) -> Vec<Task> {
    let ask = ClaimAsk {
        bands: Bands::All,
        limit: 100,
        bytes_max: usize::MAX,
        due_by: TimeMs::MAX,
        types: [Arc::from("ECHO"), Arc::from("OTHER")].into(),
        taker: Taker::Node,
    };
    let batch = Batch { claims: vec![ask], ..batch(Vec::new()) };
    store.commit(&batch).unwrap().claimed.remove(0).tasks
}

#[test]
fn a_task_comes_with_its_transaction_or_not_at_all() {
    let database = Database::new();
    let (mut store, _) = start(&database, NOW);
    let mut app = database.account.connect();
    let mut undone = app.transaction().unwrap();
    undone.execute("SELECT taskscheduler.enqueue('ECHO', 'gone')", &[]).unwrap();
    assert_eq!(claim(&mut *store), []);
    undone.rollback().unwrap();
    let mut done = app.transaction().unwrap();
    let text = "SELECT taskscheduler.enqueue('OTHER', 'text', '\"plain\"', 'low')";
    done.execute(text, &[]).unwrap();
    let later = "SELECT taskscheduler.enqueue('ECHO', 'json', '{\"n\": 1.0}', priority => 'HIGH',
                     run_at => now() + interval '1 hour', max_retries => 7)";
    done.execute(later, &[]).unwrap();
    // Whoever takes ids meanwhile does not wait for the application.
    let ids = store.take_ids(10).unwrap();
    done.commit().unwrap();
    let tasks = claim(&mut *store);
    let [json, text] = &tasks[..] else { panic!("two tasks: {tasks:?}") };
    assert_eq!(
        (&*json.spec.name, json.spec.band, json.spec.retry.retries_max),
        ("json", Band::High, 7)
    );
    assert!(matches!(json.state.status, Status::Scheduled { .. }));
    let payload = json.spec.payload.as_ref().unwrap();
    assert_eq!((payload.form, &*payload.bytes), (Form::Json, "{\"n\": 1.0}"));
    assert_eq!((&*text.spec.name, text.state.status), ("text", Status::Pending));
    assert_eq!(&*text.spec.payload.as_ref().unwrap().bytes, "plain");
    assert!(tasks.iter().all(|task| !ids.contains(&task.id.get())));
    let counts = store.reader().unwrap().counts().unwrap();
    let counted: Vec<_> = counts.iter().map(|c| (c.status, &*c.task_type, c.tasks)).collect();
    let (pending, scheduled) = (StatusKind::Pending, StatusKind::Scheduled);
    assert_eq!(counted, [(pending, "OTHER", 1), (scheduled, "ECHO", 1)]);
    let minute = text.spec.created_at.minute();
    let buckets = store.reader().unwrap().buckets(minute - 1..minute + 2).unwrap();
    assert_eq!(buckets.iter().map(|bucket| bucket.submitted).sum::<u64>(), 2);
}

#[test]
fn a_unique_key_leads_to_the_task_that_has_it() {
    let database = Database::new();
    let (_store, _) = start(&database, NOW);
    let mut app = database.account.connect();
    let sql = "SELECT taskscheduler.enqueue('ECHO', 'once', unique_key => 'k')";
    let id = |client: &mut postgres::Client| client.query_one(sql, &[]).unwrap().get::<_, i64>(0);
    assert_eq!(id(&mut app), id(&mut app));
    for wrong in
        ["'', 'n'", "'T', ''", "'T', 'n', priority => 'URGENT'", "'T', 'n', timeout_s => 0"]
    {
        let sql = format!("SELECT taskscheduler.enqueue({wrong})");
        let error = app.query(&sql, &[]).unwrap_err();
        assert_eq!(error.code().map(postgres::error::SqlState::code), Some("22023"), "{wrong}");
    }
}

#[test]
fn a_role_needs_two_rights_and_no_more() {
    let database = Database::new();
    let (mut store, _) = start(&database, NOW);
    let mut owner = database.account.connect();
    let other = Cluster::shared().account();
    let name = &database.account.database;
    let mut admin = Cluster::shared().admin("postgres");
    admin.batch_execute(&format!("GRANT CONNECT ON DATABASE {name} TO {}", other.user)).unwrap();
    let application = test_servers::Account { database: name.clone(), ..other };
    let mut app = application.connect();
    let enqueue = "SELECT taskscheduler.enqueue('ECHO', 'theirs')";
    assert!(app.execute(enqueue, &[]).is_err());
    owner
        .batch_execute(&format!(
            "GRANT USAGE ON SCHEMA taskscheduler TO {0};
             GRANT EXECUTE ON FUNCTION taskscheduler.enqueue TO {0}",
            application.user
        ))
        .unwrap();
    app.execute(enqueue, &[]).unwrap();
    assert!(app.execute("DELETE FROM taskscheduler.tasks", &[]).is_err());
    assert_eq!(claim(&mut *store).len(), 1);
}
