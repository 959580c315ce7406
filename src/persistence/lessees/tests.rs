//! Which wish gets which claim, step by step.

use std::sync::Arc;

use super::*;

fn ask(types: &[&str], tasks_max: u32, wait_ms: u64) -> LeaseAsk {
    let names = types.iter().map(|name| Arc::from(*name)).collect();
    let types = if types.is_empty() { LeaseTypes::EveryRemote } else { LeaseTypes::These(names) };
    LeaseAsk { worker: "w".into(), types, tasks_max, lease_ms: 1000, wait_ms }
}

struct Table {
    lessees: Lessees,
    remote: Arc<[Arc<str>]>,
}

impl Table {
    fn new(remote: &[&str]) -> Table {
        let remote = remote.iter().map(|name| Arc::from(*name)).collect();
        Table { lessees: Lessees::default(), remote }
    }

    fn enter(&mut self, types: &[&str], tasks_max: u32) -> u64 {
        let receipt = Receipt::new(|_| ());
        let ask = ask(types, tasks_max, 9);
        self.lessees.enter(ask, Mono(0), receipt, &self.remote).unwrap().0
    }

    /// Who gets a claim now.
    fn claims(&mut self) -> Vec<u64> {
        let mut claims = Vec::new();
        while let Some((id, _)) = self.lessees.next_claim(&self.remote) {
            claims.push(id.0);
            assert!(claims.len() < 100, "claims without end");
        }
        claims
    }

    fn came_back(&mut self, id: u64, types: &[&str], has_more: Option<bool>, seq: u64) {
        let types: Vec<Arc<str>> = types.iter().map(|name| Arc::from(*name)).collect();
        self.lessees.came_back(WaitId(id), &types, has_more, seq);
    }

    fn note(&mut self, name: &str, seq: u64) {
        self.lessees.note(&name.into(), seq);
    }
}

#[test]
fn one_claim_finds_out_for_all_and_a_full_one_says_that_there_is_more() {
    let mut table = Table::new(&[]);
    let ids = [(); 4].map(|()| table.enter(&["A"], 1));
    assert_eq!(table.claims(), [ids[0]]);
    table.came_back(ids[0], &["A"], Some(false), 1);
    assert!(table.claims().is_empty());
    table.note("A", 2);
    assert_eq!(table.claims(), [ids[0]]);
    table.came_back(ids[0], &["A"], Some(true), 2);
    assert_eq!(table.claims(), ids);
}

#[test]
fn what_was_made_free_after_a_claim_was_sent_is_claimed_next() {
    let mut table = Table::new(&[]);
    let id = table.enter(&["A"], 5);
    assert_eq!(table.claims(), [id]);
    table.note("A", 2);
    table.came_back(id, &["A"], Some(false), 1);
    assert_eq!(table.claims(), [id]);
    table.came_back(id, &["A"], None, 2);
    assert_eq!(table.claims(), [id], "a claim that was not made found nothing out");
}

#[test]
fn those_that_take_everything_stand_in_the_same_line() {
    let mut table = Table::new(&["A", "B"]);
    let any = table.enter(&[], 1);
    let named = table.enter(&["A"], 1);
    assert_eq!(table.claims(), [any], "it looks at A for the other one too");
    table.came_back(any, &["A", "B"], Some(false), 1);
    table.note("NEW", 2);
    table.note("A", 2);
    assert_eq!(table.claims(), [any], "the one row of A is for who came first");
    table.note("A", 2);
    assert_eq!(table.claims(), [named]);
}

#[test]
fn names_of_workers_fill_no_memory() {
    let mut table = Table::new(&[]);
    for n in 0..10_000 {
        let name = format!("T{n}");
        let id = table.enter(&[&name], 1);
        table.claims();
        table.came_back(id, &[&name], Some(false), 1);
        table.lessees.remove(WaitId(id));
    }
    let Lessees { rows, idle, lively, ends, unanswered, .. } = &table.lessees;
    assert_eq!((rows.len(), idle.len(), lively.len()), (0, 0, 0));
    assert_eq!((ends.len(), unanswered.len()), (0, 0));
}
