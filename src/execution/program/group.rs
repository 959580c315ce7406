//! A program's process group, from its start until nothing of it is left.
//!
//! A group and no session of its own: without `unsafe` a session needs either a fork of the whole
//! server (36 ms beside 400 MiB of memory, where a spawn takes 1 ms) or another program in between
//! (twice the time, and a moment in which a signal to the group meets nobody). What it would add is
//! the loss of the terminal, which a service has not.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};

use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process_group, pidfd_open, prlimit,
};

use super::ProcessLimits;

/// A process group whose leader is a child of ours that is not reaped yet, so that its number
/// surely names nobody else.
pub(super) struct Group {
    child: Child,
    pid: Option<Pid>,
    is_reaped: bool,
}

/// Our ends of a command's pipes.
pub(super) struct Pipes {
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    pub stderr: Option<ChildStderr>,
}

impl Group {
    /// Starts the command, which must make its own group.
    pub fn spawn(mut command: Command, limits: &ProcessLimits) -> io::Result<Group> {
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = Group { child, pid, is_reaped: false };
        group.restrict(limits)?;
        Ok(group)
    }

    /// Sets the limits. The command has begun, but what it can do before this is little.
    fn restrict(&self, limits: &ProcessLimits) -> io::Result<()> {
        let ProcessLimits { memory_bytes, cpu_s, descriptors, file_bytes, processes } = *limits;
        let limits = [
            (Resource::As, memory_bytes),
            (Resource::Cpu, cpu_s),
            (Resource::Nofile, descriptors),
            (Resource::Fsize, file_bytes),
            (Resource::Nproc, processes),
        ];
        for (resource, most) in limits {
            let Some(most) = most else { continue };
            match prlimit(self.pid, resource, Rlimit { current: Some(most), maximum: Some(most) }) {
                // It has ended already.
                Ok(_) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Our ends of the pipes; they can be taken once.
    pub fn take_pipes(&mut self) -> Pipes {
        let Child { stdin, stdout, stderr, .. } = &mut self.child;
        Pipes { stdin: stdin.take(), stdout: stdout.take(), stderr: stderr.take() }
    }

    /// Becomes readable when the leader has ended; `None` on a system that has no such thing.
    pub fn ended_fd(&self) -> Option<OwnedFd> {
        pidfd_open(self.pid?, PidfdFlags::empty()).ok()
    }

    /// Whether the leader has ended. It is not reaped by this.
    pub fn has_ended(&self) -> bool {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let Some(pid) = self.pid else { return true };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(pid), look), Ok(None))
    }

    /// Sends everybody in the group a signal.
    pub fn signal(&self, signal: Signal) {
        if let (Some(pid), false) = (self.pid, self.is_reaped) {
            // It fails when nobody is left, which is what is wanted.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Ends whatever is left of the group and reaps its leader. Waits for the leader's end.
    pub fn finish(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        let status = self.child.wait();
        self.is_reaped = true;
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
            self.is_reaped = true;
        }
    }
}
