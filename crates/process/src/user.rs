//! Whose a process is.

use std::fs;

use rustix::process::Pid;

/// A user, with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl User {
    /// Whether a process is this user's alone: neither its real, nor its effective, saved or file system
    /// user or group is another one. It is not where that cannot be read.
    pub fn has(self, pid: Pid) -> bool {
        let status = format!("/proc/{}/status", pid.as_raw_nonzero());
        fs::read_to_string(status).is_ok_and(|status| self.is_said_by(&status))
    }

    fn is_said_by(self, status: &str) -> bool {
        let all_are = |field, expected: u32| {
            let numbers = status.lines().find_map(|line| line.strip_prefix(field));
            let mut numbers = numbers
                .into_iter()
                .flat_map(str::split_whitespace)
                .peekable();
            numbers.peek().is_some() && numbers.all(|number| number.parse() == Ok(expected))
        };
        all_are("Uid:", self.uid) && all_are("Gid:", self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_of_a_user_if_it_is_of_no_other() {
        let user = User { uid: 7, gid: 8 };
        for (status, expected) in [
            ("Name:\ta\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\n", true),
            ("Uid:\t7\t0\t7\t7\nGid:\t8\t8\t8\t8\n", false),
            ("Uid:\t0\t7\t7\t7\nGid:\t8\t8\t8\t8\n", false),
            ("Uid:\t7\t7\t0\t7\nGid:\t8\t8\t8\t8\n", false),
            ("Uid:\t7\t7\t7\t7\nGid:\t8\t0\t8\t8\n", false),
            ("Uid:\nGid:\n", false),
            ("Uid:\t7\t7\t7\t7\n", false),
            ("", false),
        ] {
            assert_eq!(user.is_said_by(status), expected, "{status}");
        }
    }
}
