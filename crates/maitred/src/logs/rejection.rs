//! What Node writes to standard error when a promise is rejected and nobody handles that: it
//! crashes then, where pm2's wrapper keeps the app running.

use memchr::memmem;

/// Node's own line that threw, which it shows before the error.
const LINE: &[u8] = b"triggerUncaughtException(err, true /* fromPromise */);";

/// Whether lines of standard error tell of a crash on an unhandled rejection.
pub(crate) fn tells_of_rejection(lines: &[u8]) -> bool {
    memmem::find(lines, LINE).is_some()
}
