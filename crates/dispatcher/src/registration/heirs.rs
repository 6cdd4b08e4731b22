//! Processes that accept from a channel which another one has opened ([`super::super::heirs`]).

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use wire::{Outcome, Reply};

use super::super::heirs::{self, Adopted, Use};
use super::listen::caller;
use super::{Answer, Gone, Question, Registrar};

impl Registrar {
    pub(super) fn adopt(&mut self, question: &Question) -> Result<Answer, Gone> {
        let native = (Reply::plain(Outcome::Native), None);
        let (Some(cookie), Ok(theirs)) = (question.cookie, question.socket.try_clone()) else {
            return Ok(native);
        };
        let what = self.wanted(question, cookie)?;
        let caller = caller(question);
        // It is closed by the dispatcher only where it is known to be a channel of its own.
        let adopted = self
            .dispatcher
            .run(move |cx| heirs::uses(cookie, caller, what, theirs, cx))?;
        Ok(match adopted {
            Ok(Adopted { id, sockaddr, end }) => {
                let reply = Reply {
                    channel: id.0,
                    address: sockaddr,
                    ..Reply::plain(Outcome::Channel)
                };
                (reply, end)
            }
            Err(theirs) => {
                self.closer.close([theirs]);
                native
            }
        })
    }

    fn wanted(&self, question: &Question, cookie: u64) -> Result<Use, Gone> {
        if question.request.arg2 == 0 {
            return Ok(Use::Names);
        }
        let pid = question.peer.pid;
        let holders = self
            .dispatcher
            .run(move |cx| heirs::holders_beside(cookie, pid, cx))?;
        let others = question.request.arg != 0;
        Ok(if holders.is_empty() || shares_epoll(question, &holders) {
            Use::Shares { others }
        } else {
            Use::Parts
        })
    }
}

/// Whether a process has an epoll that knows the channel, and that one of these has, too: it was
/// inherited as well. What is changed there for the one would be changed for the other. In doubt it is.
fn shares_epoll(question: &Question, holders: &[i32]) -> bool {
    let Ok(stat) = rustix::fs::fstat(question.socket.as_fd()) else {
        return true;
    };
    let pid = question.peer.pid;
    let own = match epolls_with(pid, stat.st_ino) {
        Ok(own) if own.is_empty() => return false,
        Ok(own) => own,
        Err(_) => return true,
    };
    let is_held = |holder: &i32| match epolls_with(*holder, stat.st_ino) {
        Ok(theirs) => theirs.iter().any(|other| {
            let mut own = own.iter();
            own.any(|one| sys::is_same_file((pid, *one), (*holder, *other)).unwrap_or(true))
        }),
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    holders.iter().any(is_held)
}

/// The descriptors of a process that are epolls which know the socket with this inode.
fn epolls_with(pid: i32, inode: u64) -> io::Result<Vec<i32>> {
    let is_epoll = |entry: &fs::DirEntry| {
        let target = fs::read_link(entry.path());
        target.is_ok_and(|target| target.as_os_str() == "anon_inode:[eventpoll]")
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        if let Some(number) = number.filter(|_| is_epoll(&entry))
            && knows(pid, number, inode)?
        {
            found.push(number);
        }
    }
    Ok(found)
}

/// Whether an epoll knows the socket with this inode.
fn knows(pid: i32, epoll: i32, inode: u64) -> io::Result<bool> {
    let text = match fs::read_to_string(format!("/proc/{pid}/fdinfo/{epoll}")) {
        // It was closed meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        text => text?,
    };
    let inode = format!("ino:{inode:x}");
    let mut registered = text.lines().filter(|line| line.starts_with("tfd:"));
    Ok(registered.any(|line| line.split_whitespace().any(|word| word == inode)))
}
