//! What Node writes to standard error when a promise is rejected and nobody handles that: it
//! crashes then, where pm2's wrapper keeps the app running. Not every such crash can be told from
//! an exception: an error with a stack is shown with the line of the app that made it, and no more.

use memchr::memmem;

/// Node's own line that throws, which it shows before an error without a line of the app.
const THROWN: &[u8] = b"triggerUncaughtException(err, true /* fromPromise */);";

/// What it says of a rejection with something else than an error.
const SAID: &[u8] = b"by rejecting a promise which was not handled with .catch()";

/// Whether lines of standard error tell of a crash on an unhandled rejection.
pub fn tells_of_rejection(lines: &[u8]) -> bool {
    [THROWN, SAID]
        .iter()
        .any(|text| memmem::find(lines, text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_node_says_is_recognised() {
        for (text, expected) in [
            (
                "node:internal/process/promises:288\n            triggerUncaughtException(err, \
                 true /* fromPromise */);\n            ^\n",
                true,
            ),
            (
                "[UnhandledPromiseRejection: This error originated either by throwing inside of an \
                 async function without a catch block, or by rejecting a promise which was not \
                 handled with .catch(). The promise rejected with the reason \"no\".]",
                true,
            ),
            (
                "Error: no\n    at Object.<anonymous> (/job.js:1:16)\n",
                false,
            ),
        ] {
            assert_eq!(tells_of_rejection(text.as_bytes()), expected, "{text}");
        }
    }
}
