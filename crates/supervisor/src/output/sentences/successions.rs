//! A supervisor that goes on with what another one has left, or has made way for.

pub(super) fn took_over(name: &str, processes: usize) -> String {
    let ending = if processes == 1 { "" } else { "es" };
    format!("another supervisor of {name} goes on with {processes} process{ending}")
}

pub(super) fn updated(name: &str, from: &str, to: &str) -> String {
    if from == to {
        return format!("{name} now runs under another build of maitred {to}");
    }
    format!("{name} now runs under maitred {to} (before: {from})")
}

pub(super) fn not_updated(name: &str, reason: &str) -> String {
    format!("could not update maitred under {name}: {reason}")
}
