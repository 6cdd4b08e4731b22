//! Values as JavaScript writes them: what pm2 puts into an environment went through it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Number, Value};

/// A number as `String(number)` gives it. Whole numbers that JavaScript could not hold keep all
/// their digits.
pub(super) fn number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => self::float(float),
        _ => number.to_string(),
    }
}

/// A value as `JSON.stringify` gives it.
pub(super) fn json(value: &Value) -> Option<String> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Stringify);
    value.serialize(&mut serializer).ok()?;
    String::from_utf8(text).ok()
}

/// The shortest digits that mean this number: with an exponent from 21 digits, or six zeros after
/// the point, on (ECMA-262, Number::toString).
fn float(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if (1e-6..1e21).contains(&size) {
        value.to_string()
    } else {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        }
    }
}

/// JSON without spaces, and with JavaScript's numbers.
struct Stringify;

impl Formatter for Stringify {
    fn write_f64<W: ?Sized + Write>(&mut self, to: &mut W, value: f64) -> io::Result<()> {
        to.write_all(float(value).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers() {
        for (value, expected) in [
            (1.0, "1"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1e20, "100000000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (-2e25, "-2e+25"),
            (0.000_001, "0.000001"),
            (0.000_000_15, "1.5e-7"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(float(value), expected);
        }
        assert_eq!(number(&u64::MAX.into()), "18446744073709551615");
        assert_eq!(number(&(-3).into()), "-3");
    }

    #[test]
    fn what_has_parts() {
        let value = json!({"a": [1.0, 2, "x\n", null, true], "b": {}});
        let expected = r#"{"a":[1,2,"x\n",null,true],"b":{}}"#;
        assert_eq!(json(&value).unwrap(), expected);
    }
}
