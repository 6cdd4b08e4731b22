//! Where in the tree of control groups this process is, from what the kernel writes of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{OF_SYSTEMD, OURS};

/// The folder of this process's group; `None` where there is no cgroup v2, or not all of its tree
/// is seen. Takes `/proc/self/cgroup` and `/proc/self/mountinfo`.
pub(super) fn own(cgroup: &str, mountinfo: &str) -> Option<PathBuf> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // What is beyond the root of our namespace is not ours.
    if path.starts_with("..") {
        return None;
    }
    let mount = mountinfo.lines().find_map(mounted)?;
    Some(if path.is_empty() {
        mount.to_owned()
    } else {
        mount.join(path)
    })
}

/// Where a line of mountinfo says that the tree is mounted. See `proc_pid_mountinfo(5)`: root and
/// place are the fourth and the fifth field; the type follows a hyphen.
fn mounted(line: &str) -> Option<&Path> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(3);
    let (root, place) = (fields.next()?, fields.next()?);
    let kind = rest.split(' ').next()?;
    // One with spaces in it is written in another way, and does not occur.
    (kind == "cgroup2" && root == "/" && !place.contains('\\')).then_some(Path::new(place))
}

/// The root of the branch that a group belongs to, if it is made over to us: the group itself, or
/// the one above where it is one of ours, or systemd's for a unit's commands. Any other group may
/// be below one that is somebody else's: a user's systemd has one for all that the user runs.
pub(super) fn root(own: &Path, is_made_over: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    if is_made_over(own) {
        return Some(own.to_owned());
    }
    let above = own.parent()?;
    let is_ours = own.file_name().and_then(OsStr::to_str).is_some_and(|name| {
        let of_instance = |rest: &str| rest.is_empty() || rest.starts_with('-');
        name == OF_SYSTEMD || name.strip_prefix(OURS).is_some_and(of_instance)
    });
    (is_ours && is_made_over(above)).then(|| above.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 28 0:20 / /sys rw,nosuid - sysfs sysfs rw
25 22 0:23 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn the_own_group_is_found() {
        let cases = [
            (
                "0::/system.slice/maitred-me.service\n",
                MOUNTS,
                Some("/sys/fs/cgroup/system.slice/maitred-me.service"),
            ),
            (
                "4:memory:/a\n1:name=systemd:/b\n0::/c\n",
                MOUNTS,
                Some("/sys/fs/cgroup/c"),
            ),
            ("0::/\n", MOUNTS, Some("/sys/fs/cgroup")),
            ("0::/../other.scope\n", MOUNTS, None),
            ("4:memory:/a\n", MOUNTS, None),
            ("0::/a\n", "22 28 0:20 / /sys rw - sysfs sysfs rw\n", None),
            // A part of another tree.
            (
                "0::/a\n",
                "25 22 0:23 /x /sys/fs/cgroup rw - cgroup2 c rw\n",
                None,
            ),
            ("0::/a\n", "what is this\n25 22 - cgroup2\n", None),
        ];
        for (cgroup, mountinfo, expected) in cases {
            let found = own(cgroup, mountinfo);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{cgroup}");
        }
    }

    #[test]
    fn only_what_is_made_over_to_us_is_a_branch() {
        let made_over = |group: &Path| {
            ["/s/maitred-me.service", "/u/user@1.service"].contains(&group.to_str().unwrap())
        };
        let cases = [
            ("/s/maitred-me.service", Some("/s/maitred-me.service")),
            (
                "/s/maitred-me.service/maitred",
                Some("/s/maitred-me.service"),
            ),
            (
                "/s/maitred-me.service/maitred-0a.1.2",
                Some("/s/maitred-me.service"),
            ),
            (
                "/s/maitred-me.service/.control",
                Some("/s/maitred-me.service"),
            ),
            ("/s/maitred-me.service/maitredly", None),
            ("/s/maitred-me.service/maitred/other", None),
            ("/u/user@1.service/app.slice", None),
            ("/s/maitred-you.service", None),
            ("/", None),
        ];
        for (own, expected) in cases {
            let found = root(Path::new(own), made_over);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{own}");
        }
    }
}
