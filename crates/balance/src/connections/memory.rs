//! What is remembered of all members together: whose turn it was, how long connections waited, and
//! how long loops stand still.

use crate::Waits;
use crate::runs::Runs;
use crate::turns::Turns;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) turns: Turns,
    pub(crate) waits: Waits,
    pub(crate) runs: Runs,
}
