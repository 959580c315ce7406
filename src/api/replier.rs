//! The replier: one thread that renders settled answers and sends them.
//!
//! The writer settles hundreds of receipts after one commit; it must not make a system call for
//! each, so its receipts only post a job here.
//!
//! Promise: an answer that a slow client could hold up is written on a thread of its own, so the
//! answers behind it do not wait. Absent on purpose: decisions; what an answer means is decided.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::Receiver;

use super::desk::{Job, Open};
use super::exchange::Exchange;
use super::pen::{Pen, SPARE_BYTES_MAX};
use super::render::{self, Next};
use super::reply::Reply;
use super::scribes::Scribes;
use crate::persistence::Answer;

/// The gate takes answers up to here whole; longer ones go at the client's pace.
const SHORT_BYTES_MAX: usize = 256 << 10;

/// Batches up to here are rendered at once; longer ones would hold up the answers behind them.
const SHORT_TASKS_MAX: usize = 64;

/// Of so many workers and types it is told what they lease.
const LEASES_TOLD_MAX: u32 = 10_000;

/// What a step of the replier did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It answered.
    Answered,
    /// Nobody is left who could send a job.
    Ended,
}

/// The state of the thread.
pub(crate) struct Replier {
    jobs: Receiver<Job>,
    scribes: Scribes,
    pen: Pen,
    spare: Vec<u8>,
}

impl Replier {
    /// A replier that takes its work from `jobs`, of which there are never more than this.
    pub(crate) fn new(jobs: Receiver<Job>, under_way_max: usize) -> Replier {
        Replier {
            jobs,
            scribes: Scribes::new(under_way_max),
            pen: Pen::default(),
            spare: Vec::new(),
        }
    }

    /// Waits for a job and does it.
    pub(crate) fn step(&mut self) -> Step {
        let Ok(job) = self.jobs.recv() else { return Step::Ended };
        // A panic here is a mistake of ours in one answer; the other clients get theirs.
        if catch_unwind(AssertUnwindSafe(|| self.work(job))).is_err() {
            log::error!("rendering an answer panicked");
        }
        Step::Answered
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Ready(open, reply) => self.send(open, reply),
            Job::Settled(open, Ok(Answer::Stored { tasks, created }), ask)
                if tasks.len() > SHORT_TASKS_MAX =>
            {
                self.scribes.post(Box::new(move || {
                    let answer = Ok(Answer::Stored { tasks, created });
                    if let Next::Reply(reply) = render::settled(&open, answer, ask, Vec::new()) {
                        Pen::default().write(*open, &reply);
                    }
                }));
            }
            Job::Settled(open, Ok(Answer::Leased { wait, tasks }), ask)
                if tasks.len() > SHORT_TASKS_MAX =>
            {
                self.scribes.post(Box::new(move || {
                    let answer = Ok(Answer::Leased { wait, tasks });
                    if let Next::Reply(reply) = render::settled(&open, answer, ask, Vec::new()) {
                        Pen::default().write(*open, &reply);
                    }
                }));
            }
            Job::Settled(open, answer, ask) => {
                let spare = std::mem::take(&mut self.spare);
                match render::settled(&open, answer, ask, spare) {
                    Next::Reply(reply) => self.send(open, reply),
                    Next::Find(id) => Exchange::resume(open).read(
                        move |reader| reader.find(id),
                        move |open, found| render::found(open, found, ask),
                    ),
                    Next::Workers(seen) => Exchange::resume(open).read(
                        |reader| reader.leases(LEASES_TOLD_MAX),
                        move |open, leased| render::workers(open, &seen, &leased),
                    ),
                    Next::FindAll { ids, created, met } => Exchange::resume(open).read(
                        move |reader| reader.find_all(&ids).map(|found| (ids, found)),
                        move |open, (ids, found)| {
                            render::known(open, &ids, &found, (created, met), ask)
                        },
                    ),
                }
            }
        }
    }

    fn send(&mut self, open: Box<Open>, reply: Reply) {
        if reply.body.len() > SHORT_BYTES_MAX {
            self.scribes.post(Box::new(move || Pen::default().write(*open, &reply)));
            return;
        }
        self.pen.write(*open, &reply);
        if reply.body.capacity() <= SPARE_BYTES_MAX {
            self.spare = reply.body;
        }
    }
}
