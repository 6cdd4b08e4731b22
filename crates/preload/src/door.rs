//! Asking the supervisor: one connection for each question, so that nothing is kept which a
//! program could close, inherit or block on.

use wire::{REPLY_LEN, Reply, Request};

use crate::host::DOOR;
use crate::kernel;
use crate::table::Words;

/// How long an answer may take, in seconds; then the call is made natively. The supervisor
/// answers in microseconds, unless another worker is between its `bind` and its `listen`.
const PATIENCE: i64 = 10;

/// Asks, with a copy of `request.fd` beside the question. `None` where there is nobody to ask,
/// or the answer is not understood: then the program's call goes to the kernel.
pub(crate) fn ask(request: &Request) -> Option<(Reply, Option<i32>)> {
    let socket = say(request)?;
    kernel::set_receive_timeout(socket, PATIENCE);
    let mut bytes = [0; REPLY_LEN];
    let (received, fd) = loop {
        let (received, fd) = kernel::receive(socket, &mut bytes, kernel::MSG_CMSG_CLOEXEC);
        if received != -(kernel::EINTR as isize) {
            break (received, fd);
        }
    };
    kernel::close(socket);
    let reply = usize::try_from(received)
        .ok()
        .and_then(|len| bytes.get(..len))
        .and_then(Reply::decode);
    match (reply, fd) {
        (Some(reply), fd) => Some((reply, fd)),
        (None, Some(fd)) => {
            kernel::close(fd);
            None
        }
        (None, None) => None,
    }
}

/// Says something that is not answered.
pub(crate) fn tell(request: &Request) {
    if let Some(socket) = say(request) {
        kernel::close(socket);
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
    let said = kernel::connect(socket, address) == 0
        && kernel::send(socket, &mut request.encode(), request.fd) > 0;
    if said {
        Some(socket)
    } else {
        kernel::close(socket);
        None
    }
}
