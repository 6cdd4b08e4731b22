//! Random text that comes close to requests on the control socket and to config files.

use random::Random;

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
pub fn soup(random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![random.below(256) as u8];
    for _ in 0..random.below(40) {
        match random.below(12) {
            0 => bytes.push(random.below(256) as u8),
            _ => bytes.extend(PARTS[random.index(PARTS.len())].bytes()),
        }
    }
    // A line on the control socket has no format before it.
    if random.below(2) == 0 {
        bytes.remove(0);
    }
    bytes
}
