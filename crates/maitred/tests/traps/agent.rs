//! A place in the app for the test: `victims/agent.c` connects to the registration socket, as only a
//! descendant of the supervisor can with success, and the test says over that connection what it
//! likes.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recv, sendmsg, socket_with,
};
use wire::{Address, REPLY_LEN, Reply, Request, Verb};

use crate::harness::Setup;
use crate::victims::{PATIENCE, compile};

/// Who connects for the test.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    path: PathBuf,
    /// Whoever has connected becomes a program that has capabilities.
    is_raised: bool,
}

impl Agent {
    /// An app of this victim, with an agent beside each instance; this is the first one's.
    pub(crate) fn beside(name: &str, arguments: &[&str]) -> (Setup, Agent) {
        let setup = Setup::script("");
        let folder = setup.folder().to_owned();
        (
            setup_in(setup, &folder, name, arguments),
            Agent::in_folder(&folder),
        )
    }

    /// The same, for an app of another user (if root runs it), with a folder of that user's.
    pub(crate) fn of_another_user(name: &str, arguments: &[&str]) -> (Setup, PathBuf) {
        let setup = Setup::script("");
        let theirs = setup.folder().join("theirs");
        fs::create_dir(&theirs).unwrap();
        fs::set_permissions(setup.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).unwrap();
        (setup_in(setup, &theirs, name, arguments), theirs)
    }

    /// The first instance's.
    pub(crate) fn in_folder(folder: &Path) -> Agent {
        Agent {
            path: folder.join("agent.0"),
            is_raised: false,
        }
    }

    /// That of another instance of the same app.
    pub(crate) fn of_instance(&self, number: u32) -> Agent {
        Agent {
            path: self.path.with_extension(number.to_string()),
            ..self.clone()
        }
    }

    /// A folder that the app may write to.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap()
    }

    /// Its connections are of processes that have more rights since (`AGENT_BECOMES` in `agent.c`).
    pub(crate) fn raised(self) -> Agent {
        Agent {
            is_raised: true,
            ..self
        }
    }

    /// A connection to the registration socket, of the agent's process.
    pub(crate) fn connect(&self) -> OwnedFd {
        let to_agent = connected(&self.path);
        let limit = Timespec::try_from(PATIENCE).unwrap();
        let ready = poll(&mut [PollFd::new(&to_agent, PollFlags::IN)], Some(&limit));
        assert_eq!(ready, Ok(1), "the agent does not answer");
        let mut pid = [0; 4];
        let (_, connection) = sys::receive(to_agent.as_fd(), &mut pid).unwrap();
        if self.is_raised {
            has_capabilities_soon(i32::from_ne_bytes(pid));
        }
        connection.unwrap()
    }

    /// Says something; what comes back, if anything does before the caller is sent away.
    pub(crate) fn call(&self, bytes: &[u8], fds: &[OwnedFd]) -> Option<Reply> {
        self.ask(bytes, fds).map(|(reply, _)| reply)
    }

    /// The same, with the descriptor that came along.
    pub(crate) fn ask(&self, bytes: &[u8], fds: &[OwnedFd]) -> Option<(Reply, Option<OwnedFd>)> {
        ask_over(&self.connect(), bytes, fds)
    }
}

fn setup_in(mut setup: Setup, folder: &Path, name: &str, arguments: &[&str]) -> Setup {
    let agent = compile("gcc", "agent", setup.folder());
    let victim = compile("gcc", name, setup.folder());
    setup.set_script(&agent);
    let setup = setup.argument(folder.join("agent")).argument(victim);
    arguments.iter().fold(setup, Setup::argument)
}

/// The capabilities that a process can use.
pub(crate) fn capabilities_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = status.lines();
    let digits = lines.find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(digits.trim(), 16).unwrap()
}

fn has_capabilities_soon(pid: i32) {
    let deadline = Instant::now() + PATIENCE;
    while capabilities_of(pid) == 0 {
        assert!(Instant::now() < deadline, "{pid} gets no capability");
        std::thread::yield_now();
    }
}

/// A socket that is connected to a Unix socket at a path.
pub(crate) fn connected(path: &Path) -> OwnedFd {
    let (unix, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let socket = socket_with(unix, kind, SocketFlags::CLOEXEC, None).unwrap();
    sys::connect_unix(socket.as_fd(), path).unwrap();
    socket
}

/// Says something over a connection; what comes back.
pub(crate) fn ask_over(
    caller: &OwnedFd,
    bytes: &[u8],
    fds: &[OwnedFd],
) -> Option<(Reply, Option<OwnedFd>)> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
    }
    let bytes = [std::io::IoSlice::new(bytes)];
    match sendmsg(caller, &bytes, &mut control, SendFlags::NOSIGNAL) {
        Ok(_) => {}
        Err(Errno::MSGSIZE) => return None,
        Err(error) => panic!("{error}"),
    }
    answer_to(caller)
}

/// What comes back over a connection, if anything does before the caller is sent away.
pub(crate) fn answer_to(caller: &OwnedFd) -> Option<(Reply, Option<OwnedFd>)> {
    let limit = Timespec::try_from(PATIENCE).unwrap();
    let ready = poll(&mut [PollFd::new(caller, PollFlags::IN)], Some(&limit));
    assert_eq!(ready, Ok(1), "the supervisor neither answers nor hangs up");
    let mut reply = [0; REPLY_LEN];
    match sys::receive(caller.as_fd(), &mut reply) {
        Ok((len, socket)) => Some((Reply::decode(reply.get(..len)?)?, socket)),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::CONNRESET) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The answer that lies in a connection.
pub(crate) fn answer_in(caller: &OwnedFd) -> Option<Reply> {
    let mut reply = [0; REPLY_LEN];
    let (_, len) = recv(caller, &mut reply[..], RecvFlags::empty()).unwrap();
    Reply::decode(&reply[..len])
}

pub(crate) fn request(verb: Verb) -> Request {
    Request {
        verb,
        cluster_worker: false,
        instance: 0,
        tid: 1,
        fd: 3,
        arg: 0,
        arg2: 0,
        channel: 0,
        address: Address::NONE,
    }
}
