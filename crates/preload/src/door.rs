//! Asking the supervisor: one connection for each question, so that nothing is kept which a
//! program could close, inherit or block on.

use wire::{REPLY_LEN, Reply, Request};

use crate::host::DOOR;
use crate::kernel::{self, Beside};
use crate::table::Words;

/// How long an answer may take; then the call is made natively. The supervisor answers in
/// microseconds, unless another worker is between its `bind` and its `listen`: half a minute at most.
const PATIENCE: kernel::Timeout = kernel::seconds(40);

/// A supervisor that is killed before it has answered is followed by another one, which is asked again. So
/// often: whoever is not answered at all is none of its workers.
const TRIES: u32 = 4;

/// Asks, with a copy of `request.fd` beside the question. `None` where there is nobody to ask,
/// or the answer is not understood: then the program's call goes to the kernel.
pub(crate) fn ask(request: &Request) -> Option<(Reply, Option<i32>)> {
    for _ in 0..TRIES {
        if let Some(answer) = ask_once(say(request)?) {
            return answer;
        }
    }
    None
}

/// The answer that comes over this socket, which is closed then; `None` if the other side has closed it.
fn ask_once(socket: i32) -> Option<Option<(Reply, Option<i32>)>> {
    kernel::set_timeout(socket, kernel::SO_RCVTIMEO, &PATIENCE);
    let mut bytes = [0; REPLY_LEN];
    let (received, beside) = loop {
        let (received, beside) = kernel::receive(socket, &mut bytes, kernel::MSG_CMSG_CLOEXEC);
        if received != -(kernel::EINTR as isize) {
            break (received, beside);
        }
    };
    kernel::close(socket);
    let is_closed = received == 0 || received == -(kernel::ECONNRESET as isize);
    let reply = usize::try_from(received)
        .ok()
        .and_then(|len| bytes.get(..len))
        .and_then(Reply::decode);
    Some(match (reply, beside) {
        (Some(reply), Beside::Descriptor(fd)) => Some((reply, Some(fd))),
        (Some(reply), _) => Some((reply, None)),
        (None, Beside::Descriptor(fd)) => {
            kernel::close(fd);
            None
        }
        (None, _) if is_closed => return None,
        (None, _) => None,
    })
}

/// Says something that is not answered; whether there was anybody to hear it.
pub(crate) fn tell(request: &Request) -> bool {
    match say(request) {
        Some(socket) => {
            kernel::close(socket);
            true
        }
        None => false,
    }
}

fn say(request: &Request) -> Option<i32> {
    let mut address = [0; Words::SIZE];
    let len = DOOR.load(&mut address);
    let address = address.get(..len).filter(|address| !address.is_empty())?;
    let socket = kernel::socket(
        kernel::AF_UNIX,
        kernel::SOCK_SEQPACKET | kernel::SOCK_CLOEXEC,
    );
    let socket = i32::try_from(socket).ok().filter(|fd| *fd >= 0)?;
    // With a supervisor that is stopped, the queue before the door may be full.
    kernel::set_timeout(socket, kernel::SO_SNDTIMEO, &PATIENCE);
    let said = kernel::connect(socket, address) == 0
        && kernel::send(socket, &mut request.encode(), request.fd) > 0;
    if said {
        Some(socket)
    } else {
        kernel::close(socket);
        None
    }
}
