//! A supervisor of the test's own: it stands at the door and says what the test wants it to, so
//! that a program can be shown what no real supervisor says.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen};
use tempfile::TempDir;
use wire::{Handoff, Outcome, REQUEST_LEN, Reply, Request, Verb, channel_name};

use crate::victims::{PATIENCE, Victim, library};

/// What somebody is answered at the door.
pub(crate) enum Answer {
    Reply(Reply),
    /// Whatever bytes, and a descriptor beside them.
    Bytes(Vec<u8>, Option<OwnedFd>),
    /// Nothing: the caller is sent away.
    Nothing,
}

impl Answer {
    pub(crate) fn outcome(outcome: Outcome) -> Answer {
        Answer::Reply(Reply::plain(outcome))
    }
}

/// The answers that a real supervisor would give, where the test has none of its own.
type Script = Box<dyn FnMut(&Request) -> Option<Answer> + Send>;

/// One that plays the supervisor.
pub(crate) struct Scripted {
    folder: TempDir,
    library: PathBuf,
    /// All that was asked.
    pub(crate) requests: Receiver<Request>,
    /// Our ends of the channels that were given away.
    pub(crate) channels: Receiver<Channel>,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Opens a door.
    pub(crate) fn new(script: impl FnMut(&Request) -> Option<Answer> + Send + 'static) -> Scripted {
        let folder = tempfile::tempdir().unwrap();
        let library = library(folder.path());
        let door = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .unwrap();
        bind(
            &door,
            &SocketAddrUnix::new(folder.path().join("door")).unwrap(),
        )
        .unwrap();
        listen(&door, 64).unwrap();
        let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let (told, requests) = mpsc::channel();
        let (given, channels) = mpsc::channel();
        let doorman = Doorman {
            door,
            stop: stop.try_clone().unwrap(),
            script: Box::new(script),
            told,
            given,
        };
        Scripted {
            folder,
            library,
            requests,
            channels,
            stop,
            thread: Some(thread::spawn(move || doorman.stand())),
        }
    }

    /// One that does as a real supervisor would.
    pub(crate) fn honest() -> Scripted {
        Scripted::new(|_| None)
    }

    /// A program that is preloaded, and finds this door.
    pub(crate) fn start(&self, program: impl AsRef<OsStr>, words: &[&str], port: u16) -> Victim {
        Victim::start(
            Command::new(program)
                .args(words)
                .env("PORT", port.to_string())
                .env("LD_PRELOAD", &self.library)
                .env(wire::DOOR_VAR, self.folder.path().join("door"))
                .env(wire::INSTANCE_VAR, "7")
                .env(wire::SUPERVISOR_VAR, std::process::id().to_string()),
        )
    }

    /// The channel of the next one that listens.
    pub(crate) fn channel(&self) -> Channel {
        self.channels.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits until somebody has said something of this kind.
    pub(crate) fn request(&self, verb: Verb) -> Request {
        loop {
            let request = self.requests.recv_timeout(PATIENCE).unwrap();
            if request.verb == verb {
                return request;
            }
        }
    }

    /// Closes the door: whoever comes now finds nobody.
    pub(crate) fn close_door(&mut self) {
        rustix::io::write(&self.stop, &1u64.to_ne_bytes()).unwrap();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.close_door();
    }
}

/// The supervisor's end of a channel.
pub(crate) struct Channel {
    pub(crate) ours: OwnedFd,
    pub(crate) id: u64,
}

impl Channel {
    fn new() -> (Channel, OwnedFd) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = u64::from(std::process::id()) << 24 | NEXT.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        sys::bind(theirs.as_fd(), &channel_name(id, id)).unwrap();
        // As the real one does, so that the program's end is never writable.
        rustix::net::sockopt::set_socket_send_buffer_size(&theirs, 0).unwrap();
        while sys::send(theirs.as_fd(), &[0], None).is_ok() {}
        (Channel { ours, id }, theirs)
    }

    pub(crate) fn send(&self, bytes: &[u8], fd: Option<&OwnedFd>) {
        sys::send(self.ours.as_fd(), bytes, fd.map(AsFd::as_fd)).unwrap();
    }

    pub(crate) fn send_probe(&self) {
        let (bytes, len) = Handoff::Probe.encode();
        self.send(&bytes[..len], None);
    }

    /// Hands over a connection; the client's side comes back.
    pub(crate) fn send_connection(&self) -> TcpStream {
        let (client, server, peer) = connection();
        let (bytes, len) = Handoff::connection(&peer).encode();
        self.send(&bytes[..len], Some(&server));
        client
    }
}

/// Both sides of a connection, and the client's address as the kernel writes it.
pub(crate) fn connection() -> (TcpStream, OwnedFd, Vec<u8>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (server, peer) = sys::accept(listener.as_fd()).unwrap();
    (client, server, peer.as_bytes().to_vec())
}

struct Doorman {
    door: OwnedFd,
    stop: OwnedFd,
    script: Script,
    told: Sender<Request>,
    given: Sender<Channel>,
}

impl Doorman {
    fn stand(mut self) {
        loop {
            let mut fds = [
                PollFd::new(&self.door, PollFlags::IN),
                PollFd::new(&self.stop, PollFlags::IN),
            ];
            poll(&mut fds, None).unwrap();
            // Who has come before the door is closed is still heard.
            if fds[0].revents().is_empty() {
                return;
            }
            let (caller, _) = sys::accept(self.door.as_fd()).unwrap();
            poll(&mut [PollFd::new(&caller, PollFlags::IN)], None).unwrap();
            self.answer(&caller);
        }
    }

    fn answer(&mut self, caller: &OwnedFd) {
        let mut bytes = [0; REQUEST_LEN];
        let (len, socket) = sys::receive(caller.as_fd(), &mut bytes).unwrap();
        if len == 0 {
            // Killed before it could say anything.
            return;
        }
        let request = Request::decode(&bytes[..len]).unwrap();
        assert_eq!(request.instance, 7);
        // Those who are not interested have let go of the other end.
        let _ = self.told.send(request);
        let mut channel = None;
        let answer = (self.script)(&request).unwrap_or_else(|| match request.verb {
            Verb::Hello | Verb::Close => Answer::Nothing,
            Verb::Bind => Answer::Reply(Reply {
                address: request.address,
                ..Reply::plain(Outcome::Shared)
            }),
            Verb::Listen => {
                let (ours, theirs) = Channel::new();
                let reply = Reply {
                    outcome: Outcome::Channel,
                    channel: ours.id,
                    address: request.address,
                };
                channel = Some(ours);
                Answer::Bytes(reply.encode().to_vec(), Some(theirs))
            }
            Verb::Adopt => {
                let name = sys::local_address(socket.as_ref().unwrap().as_fd()).unwrap();
                Answer::Reply(Reply {
                    channel: wire::channel_id(name.as_bytes()).unwrap(),
                    ..Reply::plain(Outcome::Channel)
                })
            }
            Verb::SetOption
            | Verb::GetOption
            | Verb::ShareDatagrams
            | Verb::Remove
            | Verb::Name => Answer::outcome(Outcome::Native),
        });
        // Who has left does not hear it.
        let _ = match answer {
            Answer::Reply(reply) => sys::send(caller.as_fd(), &reply.encode(), None),
            Answer::Bytes(bytes, fd) => {
                sys::send(caller.as_fd(), &bytes, fd.as_ref().map(AsFd::as_fd))
            }
            Answer::Nothing => Ok(()),
        };
        if let Some(channel) = channel {
            let _ = self.given.send(channel);
        }
    }
}
