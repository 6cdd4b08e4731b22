//! Addresses that somebody else has.

/// An instance cannot listen, for another process does; perhaps one of another app.
pub(super) fn in_use(which: &str, address: &str, by: Option<&str>, of_app: Option<&str>) -> String {
    let start = format!("{which} cannot listen on {address}: it is in use by");
    match (by, of_app) {
        (Some(by), Some(app)) => format!(
            "{start} {by} of the app {app}. `maitred stop {app}` frees it; or choose another port"
        ),
        (Some(by), None) => format!("{start} {by}. Stop it, or choose another port"),
        (None, _) => format!(
            "{start} a process that maitred cannot see. Find it with `ss -ltnp` as root, or choose \
             another port"
        ),
    }
}

/// An instance asks for a port that a socket has which was passed to maitred, elsewhere.
pub(super) fn passed_elsewhere(which: &str, address: &str, passed: &str) -> String {
    format!(
        "{which} asks for {address}, and the socket that was passed to maitred (LISTEN_FDS) has that port \
         at {passed}. An app that does not go on to ask for that one needs a socket for {address}"
    )
}
