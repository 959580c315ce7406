//! Feeds a program, takes what it writes, and sees to its end, on one thread that waits for all of
//! it at once.
//!
//! No write and no read ever waits: a program that does not read, or that writes without end, is
//! only one of several things that are watched.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ChildStdin;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;

use super::group::{Group, Pipes};
use super::sink::{Output, Tail};
use super::{Ended, Leash};
use crate::clock::Mono;

/// One run of a program.
pub(super) struct Pump {
    group: Group,
    ended: Option<OwnedFd>,
    pipes: Pipes,
    input: Option<Arc<str>>,
    fed: usize,
    output: Output,
    errors: Tail,
    flooded: bool,
    end: Wanted,
    buffer: Box<[u8]>,
}

/// Whether the program is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It may go on.
    Nothing,
    /// It was asked to, and is made to at this time.
    By(Mono),
    /// It was made to.
    Now,
}

/// What woke the pump.
#[derive(Default)]
struct Woken {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    ended: bool,
}

impl Pump {
    /// What is read at a time.
    const BUFFER: usize = 32 * 1024;
    /// Once the program has ended, no more reads than this: a pipe holds less.
    const LAST_READS_MAX: usize = 64;
    /// How often is looked whether the program has ended where no descriptor tells.
    const LOOK: Duration = Duration::from_millis(10);

    pub fn new(mut group: Group, input: Option<Arc<str>>, output_max: usize) -> io::Result<Pump> {
        let pipes = group.take_pipes();
        pipes.stdin.as_ref().map(without_waiting).transpose()?;
        pipes.stdout.as_ref().map(without_waiting).transpose()?;
        pipes.stderr.as_ref().map(without_waiting).transpose()?;
        Ok(Pump {
            ended: group.ended_fd(),
            group,
            pipes,
            input,
            fed: 0,
            output: Output::new(output_max),
            errors: Tail::default(),
            flooded: false,
            end: Wanted::Nothing,
            buffer: vec![0; Self::BUFFER].into_boxed_slice(),
        })
    }

    /// Runs the program to its end.
    pub fn run(mut self, leash: &Leash<'_>) -> io::Result<Ended> {
        self.feed();
        loop {
            self.want_end(leash);
            let woken = self.wait(leash)?;
            if woken.stdin {
                self.feed();
            }
            if woken.stdout {
                self.read_output();
            }
            if woken.stderr {
                self.read_errors();
            }
            let has_ended = if self.ended.is_some() { woken.ended } else { self.group.has_ended() };
            if has_ended {
                return self.finish();
            }
        }
    }

    /// What was written before the end is still in the pipes; whoever holds their other ends now is
    /// not waited for.
    fn finish(mut self) -> io::Result<Ended> {
        self.group.signal(Signal::KILL);
        for _ in 0..Self::LAST_READS_MAX {
            let more = self.read_output() | self.read_errors();
            if !more {
                break;
            }
        }
        let stopped = self.end != Wanted::Nothing;
        let status = self.group.finish()?;
        let (output, errors, flooded) = (self.output, self.errors, self.flooded);
        Ok(Ended { status, output, errors, stopped, flooded })
    }

    /// Asks the group to end if it is to, and makes it if it does not.
    fn want_end(&mut self, leash: &Leash<'_>) {
        let now = leash.clock.mono();
        match self.end {
            Wanted::Nothing if self.flooded => {
                self.group.signal(Signal::KILL);
                self.end = Wanted::Now;
            }
            Wanted::Nothing => {
                let late = (leash.deadline <= now).then_some(leash.grace);
                if let Some(grace) = (leash.stop)().or(late) {
                    self.group.signal(Signal::TERM);
                    // What is stopped hears nothing before it goes on.
                    self.group.signal(Signal::CONT);
                    self.end = Wanted::By(now.plus(grace));
                }
            }
            Wanted::By(time) if time <= now => {
                self.group.signal(Signal::KILL);
                self.end = Wanted::Now;
            }
            Wanted::By(_) | Wanted::Now => {}
        }
    }

    fn wait(&self, leash: &Leash<'_>) -> io::Result<Woken> {
        let alarm = leash.alarm.filter(|_| self.end == Wanted::Nothing);
        let Pipes { stdin, stdout, stderr } = &self.pipes;
        let watched: [(Option<BorrowedFd<'_>>, PollFlags); 5] = [
            (stdin.as_ref().map(AsFd::as_fd), PollFlags::OUT),
            (stdout.as_ref().map(AsFd::as_fd), PollFlags::IN),
            (stderr.as_ref().map(AsFd::as_fd), PollFlags::IN),
            (self.ended.as_ref().map(AsFd::as_fd), PollFlags::IN),
            (alarm, PollFlags::IN),
        ];
        let mut fds = Vec::with_capacity(watched.len());
        let mut places = Vec::with_capacity(watched.len());
        for (place, (fd, flags)) in watched.into_iter().enumerate() {
            if let Some(fd) = fd {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
                places.push(place);
            }
        }
        let time = self.time_to_wait(leash.deadline, leash.clock.mono());
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut fds, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut woken = Woken::default();
        for (fd, place) in fds.iter().zip(places) {
            let is_ready = !fd.revents().is_empty();
            match place {
                0 => woken.stdin = is_ready,
                1 => woken.stdout = is_ready,
                2 => woken.stderr = is_ready,
                3 => woken.ended = is_ready,
                _ => {}
            }
        }
        Ok(woken)
    }

    fn time_to_wait(&self, deadline: Mono, now: Mono) -> Duration {
        let time = match self.end {
            // A little more, so that the time is up for sure.
            Wanted::Nothing => deadline.since(now) + Duration::from_millis(1),
            Wanted::By(time) => time.since(now) + Duration::from_millis(1),
            Wanted::Now => Duration::from_secs(1),
        };
        if self.ended.is_some() { time } else { time.min(Self::LOOK) }
    }

    /// Writes as much of the input as the program takes now.
    fn feed(&mut self) {
        let Some(stdin) = &mut self.pipes.stdin else { return };
        let bytes = self.input.as_deref().unwrap_or_default().as_bytes();
        while self.fed < bytes.len() {
            match stdin.write(&bytes[self.fed..]) {
                Ok(n) if n > 0 => self.fed += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It does not read; that is its own business.
                Ok(_) | Err(_) => break,
            }
        }
        self.pipes.stdin = None::<ChildStdin>;
    }

    /// Reads once. Whether there may be more.
    fn read_output(&mut self) -> bool {
        let Some(stdout) = &mut self.pipes.stdout else { return false };
        match read_once(stdout, &mut self.buffer) {
            Some(0) => self.pipes.stdout = None,
            Some(n) if !self.output.take(&self.buffer[..n]) => {
                self.flooded = true;
                self.pipes.stdout = None;
            }
            Some(_) => return true,
            None => {}
        }
        false
    }

    fn read_errors(&mut self) -> bool {
        let Some(stderr) = &mut self.pipes.stderr else { return false };
        match read_once(stderr, &mut self.buffer) {
            Some(0) => self.pipes.stderr = None,
            Some(n) => {
                self.errors.take(&self.buffer[..n]);
                return true;
            }
            None => {}
        }
        false
    }
}

/// Reads what there is; nought at the end, `None` if there is nothing now.
fn read_once(pipe: &mut impl Read, buffer: &mut [u8]) -> Option<usize> {
    match pipe.read(buffer) {
        Ok(n) => Some(n),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            None
        }
        Err(_) => Some(0),
    }
}

/// Our end of the pipe only: the other end is another description.
fn without_waiting(pipe: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&pipe)?;
    fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    Ok(())
}
