//! Whether another run of the same program would listen on an address, too: what its name tells.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::listening::Kind;
use config::App;
use dispatcher::ListenAddress;

/// Where the kernel takes ports from that nobody has named, unless it is told otherwise.
const USUAL_RANGE: RangeInclusive<u16> = 32768..=60999;

/// The words of an app in which its user may have named addresses.
pub(super) fn words(app: &App) -> Vec<&OsStr> {
    let words = app.args.iter().chain(app.env.values());
    words.map(OsString::as_os_str).collect()
}

/// What an address is for a run whose processes have these pids, and whose user wrote these words.
/// The port was `chosen` by the kernel, or not.
pub(super) fn of(address: &ListenAddress, chosen: bool, pids: &[i32], words: &[&OsStr]) -> Kind {
    let name = match address {
        _ if chosen => return Kind::OneRun,
        ListenAddress::Tcp { socket, .. } => {
            let named = !kernels_range().contains(&socket.port()) || is_given(address, words);
            return if named { Kind::Named } else { Kind::Uncertain };
        }
        ListenAddress::Path(path) => path.as_os_str().as_bytes(),
        ListenAddress::Abstract(name) => name,
    };
    if numbers(name).any(|number| pids.iter().any(|pid| u64::try_from(*pid) == Ok(number))) {
        Kind::OneRun
    } else if is_given(address, words) {
        Kind::Named
    } else {
        Kind::Uncertain
    }
}

/// Whether one of these words names an address.
pub(super) fn is_given(address: &ListenAddress, words: &[&OsStr]) -> bool {
    let mut values = words.iter();
    match address {
        ListenAddress::Tcp { socket, .. } => {
            let port = u64::from(socket.port());
            values.any(|value| numbers(value.as_bytes()).any(|number| number == port))
        }
        ListenAddress::Path(path) => values.any(|value| names(value, path)),
        ListenAddress::Abstract(name) => values.any(|value| contains(value.as_bytes(), name)),
    }
}

/// Whether a value is this path, its end, or contains it.
fn names(value: &OsStr, path: &Path) -> bool {
    let end: std::path::PathBuf = Path::new(value)
        .components()
        .filter(|part| *part != Component::CurDir)
        .collect();
    let is_end = !end.as_os_str().is_empty() && path.ends_with(&end);
    is_end || contains(value.as_bytes(), path.as_os_str().as_bytes())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

/// The numbers in a text.
fn numbers(text: &[u8]) -> impl Iterator<Item = u64> {
    let digits = text.split(|byte| !byte.is_ascii_digit());
    digits.filter_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
}

fn kernels_range() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().map(str::parse);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) => first..=last,
        _ => USUAL_RANGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_in_what_the_user_wrote() {
        let found: Vec<_> = numbers(b"http://[::1]:3000/v2?a=007").collect();
        assert_eq!(found, [1, 3000, 2, 7]);
        let path = Path::new("/srv/app/run/a.sock");
        for (value, expected) in [
            ("/srv/app/run/a.sock", true),
            ("unix:/srv/app/run/a.sock", true),
            ("./run/a.sock", true),
            ("a.sock", true),
            ("b.sock", false),
            ("sock", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(names(OsStr::new(value), path), expected, "{value}");
        }
    }

    #[test]
    fn a_path_with_the_pid_is_of_one_run() {
        let unix = |path: &str| ListenAddress::Path(path.into());
        for (path, expected) in [
            ("/tmp/tsx-0/4711.pipe", Kind::OneRun),
            ("/tmp/x/47110.sock", Kind::Uncertain),
            ("/run/app.sock", Kind::Uncertain),
        ] {
            assert_eq!(of(&unix(path), false, &[12, 4711], &[]), expected, "{path}");
        }
        let tcp = |port: u16| ListenAddress::Tcp {
            socket: ([0, 0, 0, 0], port).into(),
            only_v6: false,
        };
        assert_eq!(of(&tcp(80), false, &[], &[]), Kind::Named);
        assert_eq!(of(&tcp(80), true, &[], &[]), Kind::OneRun);
        let random = *kernels_range().end();
        assert_eq!(of(&tcp(random), false, &[], &[]), Kind::Uncertain);
        let given = format!("--port={random}");
        let kind = of(&tcp(random), false, &[], &[OsStr::new(&given)]);
        assert_eq!(kind, Kind::Named);
    }
}
