//! A client's or backend's socket, TCP or Unix, and the few calls the gate makes on it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Listen;

/// A connected socket.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(into),
            Stream::Unix(stream) => stream.read(into),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => registry.register(stream, token, Interest::READABLE),
            Stream::Unix(stream) => registry.register(stream, token, Interest::READABLE),
        }
    }

    /// Asks for word of room to write, or stops asking. Only a full socket makes us ask: a
    /// standing wish would wake the gate for every message the other side takes.
    pub(super) fn want_room(
        &mut self,
        registry: &Registry,
        token: Token,
        wanted: bool,
    ) -> io::Result<()> {
        let interest =
            if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        match self {
            Stream::Tcp(stream) => registry.reregister(stream, token, interest),
            Stream::Unix(stream) => registry.reregister(stream, token, interest),
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn finish(&self) {
        // Fails only on a connection that is gone already, which is noticed when it is read.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Makes closing a reset: the other side must not take half an answer for a whole one.
    pub(super) fn reset_on_close(&self) {
        // Best effort; a socket that is gone needs no reset.
        let _ = match self {
            Stream::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            Stream::Unix(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
        };
    }
}

/// The socket on which clients arrive.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 1024;

impl Listener {
    pub(super) fn bind(listen: &Listen) -> io::Result<Listener> {
        match listen {
            Listen::Tcp(addr) => bind_tcp(*addr).map(Listener::Tcp),
            Listen::Unix(path) => {
                Ok(Listener::Unix { listener: bind_unix(path)?, path: path.clone() })
            }
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<Listen> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Listener::Unix { path, .. } => Ok(Listen::Unix(path.clone())),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Listener::Unix { listener, .. } => {
                registry.register(listener, token, Interest::READABLE)
            }
        }
    }

    /// Takes one client and says who it is; local clients have no name.
    pub(super) fn accept(&self) -> io::Result<(Stream, String)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                // Without it small answers wait for the client's delayed acknowledgement (40 ms).
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), peer.ip().to_string()))
            }
            Listener::Unix { listener, .. } => {
                let (stream, _) = listener.accept()?;
                Ok((Stream::Unix(stream), String::from("unix")))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix { path, .. } = self {
            // A left-over file is also removed at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Binds `path`, first removing a socket file that nobody listens on any more.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let bound = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }?;
    // The proxy in front runs as another user of the same group.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(bound)
}

fn is_stale(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Whether a call failed because the process or the system has no descriptors or memory left.
pub(super) fn is_starved(error: &io::Error) -> bool {
    let starved = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    starved.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
