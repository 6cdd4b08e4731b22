//! In a process of its own: what it changes meanwhile holds for all of the process.

use std::path::Path;

use rustix::io::{FdFlags, fcntl_getfd};
use rustix::pipe::{PipeFlags, pipe_with};

#[test]
fn what_cannot_become_another_program_goes_on_as_it_was() {
    let pipe = pipe_with(PipeFlags::CLOEXEC).unwrap();
    for (program, reason) in [
        ("/does/not/exist", rustix::io::Errno::NOENT),
        ("/dev/null", rustix::io::Errno::ACCESS),
    ] {
        let error = sys::become_program(Path::new(program), &["word".to_owned()]);
        assert_eq!(rustix::io::Errno::from_io_error(&error), Some(reason));
        for end in [&pipe.0, &pipe.1] {
            let flags = fcntl_getfd(end).unwrap();
            assert!(flags.contains(FdFlags::CLOEXEC), "{program}");
        }
    }
    let error = sys::become_program(Path::new("a\0b"), &[]);
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
