//! Random text that comes close to requests on the control socket and to config files.

use fastrand::Rng;

const PARTS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "'",
    "\n",
    "  ",
    "- ",
    "= ",
    "#",
    "//",
    "/*",
    "*/",
    "&a ",
    "*a",
    "<<: ",
    "|\n",
    "!!",
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1e999",
    "\\u0000",
    "\\ud800",
    "é",
    "apps",
    "name",
    "script",
    "args",
    "instances",
    "\"max\"",
    "env",
    "env_production",
    "cwd",
    "watch",
    "cron_restart",
    "max_memory_restart",
    "\"200M\"",
    "exec_mode",
    "per",
    "request",
    "balance",
    "\"protocol\":1",
    "\"do\":\"stop\"",
    "\"do\":\"restart\"",
    "\"ids\":[0,1]",
    "\"app\":",
    "\"do\":\"scale\"",
    "\"instances\":4",
    "\"do\":\"send\"",
    "\"line\":\"x\"",
    "\"failed\":",
    "\"reason\":\"x\"",
    "[[apps]]\n",
    "name = \"a\"\n",
    "apps:\n",
    "1979-05-27",
    "inf",
    "nan",
];

/// Some bytes; the first chooses the format of a config file.
pub fn soup(random: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![random.u8(..)];
    for _ in 0..random.u64(..40) {
        match random.u64(..12) {
            0 => bytes.push(random.u8(..)),
            _ => bytes.extend(PARTS[random.usize(..PARTS.len())].bytes()),
        }
    }
    // A line on the control socket has no format before it.
    if random.bool() {
        bytes.remove(0);
    }
    bytes
}
