//! Room in the pipes that workers write to. Node and Bun lose what does not fit there when they end by
//! `process.exit`, for they do not wait for a pipe.

use std::io;
use std::os::fd::AsFd;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// What the kernel gives a pipe by itself.
const USUAL: usize = 64 * 1024;

/// What one pipe gets at most, as ordinary users may have it (`fs.pipe-max-size`).
const MOST: usize = 1024 * 1024;

/// What the pipes of one app get together: a quarter of what an ordinary user may have
/// (`fs.pipe-user-pages-soft`). The kernel takes memory for what lies in them, and 1 % of this for
/// the pipes themselves.
const OF_AN_APP: usize = 16 * 1024 * 1024;

/// How much each of an app's pipes gets, two for each instance.
fn room(instances: u32) -> usize {
    let pipes = usize::try_from(instances).unwrap_or(usize::MAX).max(1);
    let share = OF_AN_APP / pipes.saturating_mul(2);
    // The kernel knows powers of two.
    let power = (share + 1).next_power_of_two() / 2;
    power.clamp(USUAL, MOST)
}

/// So many pipes of the largest size must still fit beside ours: above the user's limit the kernel
/// makes new pipes of 8 KB, for all of the user's programs.
const LEFT: usize = 4;

/// Widens the pipes of a worker. One that the kernel does not widen, or that would leave the user's
/// other programs too little, has what the kernel gives it.
pub(super) fn widen(pipes: [&impl AsFd; 2], instances: u32) {
    let room = room(instances);
    if room <= USUAL {
        return;
    }
    for pipe in pipes {
        let widened = fcntl_setpipe_size(pipe, room);
        if widened.is_err() || leave_room().is_err() {
            let _ = fcntl_setpipe_size(pipe, USUAL);
        }
    }
}

/// Tries whether more pipes fit: how many the user has, the kernel does not tell.
fn leave_room() -> io::Result<()> {
    let mut more = Vec::with_capacity(LEFT);
    for _ in 0..LEFT {
        let (one, other) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&one, MOST)?;
        more.push((one, other));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::fcntl_getpipe_size;

    #[test]
    fn the_pipes_of_an_app_share_its_room() {
        for (instances, expected) in [
            (0, MOST),
            (1, MOST),
            (8, MOST),
            (9, MOST / 2),
            (16, MOST / 2),
            (17, MOST / 4),
            (64, USUAL * 2),
            (128, USUAL),
            (u32::MAX, USUAL),
        ] {
            assert_eq!(room(instances), expected, "{instances}");
        }
    }

    #[test]
    fn a_pipe_gets_its_room_or_keeps_what_it_has() {
        for instances in [1, 64, 128] {
            let pipes = [std::io::pipe().unwrap(), std::io::pipe().unwrap()];
            let before = fcntl_getpipe_size(&pipes[0].0).unwrap();
            widen([&pipes[0].0, &pipes[1].0], instances);
            let size = fcntl_getpipe_size(&pipes[0].0).unwrap();
            assert!([room(instances), before].contains(&size), "{size}");
        }
    }

    /// An ordinary user at its limit keeps its other pipes as wide as they would be.
    #[test]
    fn what_others_need_is_given_back() {
        let mut apps = Vec::new();
        // 100 MB, where 64 are allowed; root may have all.
        for _ in 0..50 {
            let pipes = [std::io::pipe().unwrap(), std::io::pipe().unwrap()];
            widen([&pipes[0].0, &pipes[1].0], 1);
            apps.push(pipes);
        }
        let new = std::io::pipe().unwrap();
        assert!(fcntl_getpipe_size(&new.0).unwrap() >= USUAL);
    }
}
