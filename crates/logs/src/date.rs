//! Dates in the format that users of pm2 write: the tokens of moment and dayjs
//! (<https://day.js.org/docs/en/display/format>), such as `YYYY-MM-DD HH:mm:ss.SSS Z`.

use std::io::Write;

use jiff::Zoned;

/// The tokens, the longer ones before those that they begin with.
const TOKENS: [(&str, Token); 37] = [
    ("YYYY", Token::Year),
    ("YY", Token::ShortYear),
    ("MMMM", Token::MonthName),
    ("MMM", Token::ShortMonthName),
    ("MM", Token::Month(2)),
    ("M", Token::Month(1)),
    ("DDDD", Token::DayOfYear(3)),
    ("DDD", Token::DayOfYear(1)),
    ("DD", Token::Day(2)),
    ("D", Token::Day(1)),
    ("dddd", Token::Weekday(9)),
    ("ddd", Token::Weekday(3)),
    ("dd", Token::Weekday(2)),
    ("d", Token::WeekdayNumber),
    ("HH", Token::Hour(2)),
    ("H", Token::Hour(1)),
    ("hh", Token::HalfDayHour(2)),
    ("h", Token::HalfDayHour(1)),
    ("A", Token::HalfDay { upper: true }),
    ("a", Token::HalfDay { upper: false }),
    ("mm", Token::Minute(2)),
    ("m", Token::Minute(1)),
    ("ss", Token::Second(2)),
    ("s", Token::Second(1)),
    ("SSSSSSSSS", Token::Fraction(9)),
    ("SSSSSSSS", Token::Fraction(8)),
    ("SSSSSSS", Token::Fraction(7)),
    ("SSSSSS", Token::Fraction(6)),
    ("SSSSS", Token::Fraction(5)),
    ("SSSS", Token::Fraction(4)),
    ("SSS", Token::Fraction(3)),
    ("SS", Token::Fraction(2)),
    ("S", Token::Fraction(1)),
    ("ZZ", Token::Offset { colon: false }),
    ("Z", Token::Offset { colon: true }),
    ("X", Token::Seconds),
    ("x", Token::Milliseconds),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A part of a date; numbers are the digits or letters that it has at least or at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Year,
    ShortYear,
    MonthName,
    ShortMonthName,
    Month(usize),
    DayOfYear(usize),
    Day(usize),
    Weekday(usize),
    WeekdayNumber,
    Hour(usize),
    HalfDayHour(usize),
    HalfDay { upper: bool },
    Minute(usize),
    Second(usize),
    Fraction(usize),
    Offset { colon: bool },
    Seconds,
    Milliseconds,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Token(Token),
    Text(String),
}

/// How a date is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateFormat {
    parts: Vec<Part>,
}

impl DateFormat {
    /// Reads a format. What is no token, or stands in `[]`, is written as it is.
    pub fn parse(format: &str) -> Self {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some(next) = rest.chars().next() {
            if let Some((escaped, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
                text.push_str(escaped);
                rest = after;
                continue;
            }
            let token = TOKENS
                .iter()
                .find_map(|(name, token)| Some((*token, rest.strip_prefix(name)?)));
            match token {
                Some((token, after)) => {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Token(token));
                    rest = after;
                }
                None => {
                    // A line end in a prefix would forge lines.
                    text.push(if next.is_control() { ' ' } else { next });
                    rest = rest.strip_prefix(next).unwrap_or("");
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Self { parts }
    }

    /// Appends the date.
    pub(crate) fn write(&self, at: &Zoned, out: &mut Vec<u8>) {
        for part in &self.parts {
            // Writing to memory does not fail.
            let _ = match part {
                Part::Text(text) => out.write_all(text.as_bytes()),
                Part::Token(token) => write_token(*token, at, out),
            };
        }
    }
}

fn write_token(token: Token, at: &Zoned, out: &mut Vec<u8>) -> std::io::Result<()> {
    let weekday = usize::try_from(at.weekday().to_sunday_zero_offset()).unwrap_or(0);
    let weekday_name = WEEKDAYS.get(weekday).copied().unwrap_or("");
    let month = usize::try_from(at.month()).unwrap_or(1);
    let month_name = MONTHS.get(month.wrapping_sub(1)).copied().unwrap_or("");
    match token {
        Token::Year => write!(out, "{:04}", at.year()),
        Token::ShortYear => write!(out, "{:02}", at.year().rem_euclid(100)),
        Token::MonthName => out.write_all(month_name.as_bytes()),
        Token::ShortMonthName => out.write_all(first(month_name, 3).as_bytes()),
        Token::Month(width) => write!(out, "{month:0width$}"),
        Token::DayOfYear(width) => write!(out, "{:0width$}", at.day_of_year()),
        Token::Day(width) => write!(out, "{:0width$}", at.day()),
        Token::Weekday(letters) => out.write_all(first(weekday_name, letters).as_bytes()),
        Token::WeekdayNumber => write!(out, "{weekday}"),
        Token::Hour(width) => write!(out, "{:0width$}", at.hour()),
        Token::HalfDayHour(width) => {
            let hour = match at.hour() % 12 {
                0 => 12,
                hour => hour,
            };
            write!(out, "{hour:0width$}")
        }
        Token::HalfDay { upper } => out.write_all(match (at.hour() < 12, upper) {
            (true, true) => b"AM",
            (true, false) => b"am",
            (false, true) => b"PM",
            (false, false) => b"pm",
        }),
        Token::Minute(width) => write!(out, "{:0width$}", at.minute()),
        Token::Second(width) => write!(out, "{:0width$}", at.second()),
        Token::Fraction(digits) => {
            let nanoseconds = format!("{:09}", at.subsec_nanosecond());
            out.write_all(first(&nanoseconds, digits).as_bytes())
        }
        Token::Offset { colon } => {
            let seconds = at.offset().seconds();
            let sign = if seconds < 0 { '-' } else { '+' };
            let minutes = seconds.unsigned_abs() / 60;
            let colon = if colon { ":" } else { "" };
            write!(out, "{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
        }
        Token::Seconds => write!(out, "{}", at.timestamp().as_second()),
        Token::Milliseconds => write!(out, "{}", at.timestamp().as_millisecond()),
    }
}

fn first(text: &str, letters: usize) -> &str {
    text.get(..letters).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: &str, at: &str) -> String {
        let mut out = Vec::new();
        DateFormat::parse(format).write(&at.parse().unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn formats_that_users_write() {
        let at = "2026-03-07T09:05:03.042123-03:30[America/St_Johns]";
        for (format, expected) in [
            (
                "YYYY-MM-DD HH:mm:ss.SSS Z",
                "2026-03-07 09:05:03.042 -03:30",
            ),
            ("YYYY-MM-DDTHH:mm:ss", "2026-03-07T09:05:03"),
            ("DD/MM/YY h:m:s A ZZ", "07/03/26 9:5:3 AM -0330"),
            ("dddd, MMMM D", "Saturday, March 7"),
            ("ddd MMM DD [of] YYYY", "Sat Mar 07 of 2026"),
            ("[YYYY] DDDD SSSSSS", "YYYY 066 042123"),
            ("X x", "1772886903 1772886903042"),
            ("HH:mm\n", "09:05 "),
            ("[", "["),
            ("", ""),
        ] {
            assert_eq!(shown(format, at), expected, "{format}");
        }
    }

    #[test]
    fn twelve_hours_have_no_zero() {
        assert_eq!(shown("hh a", "2026-03-07T00:05:00[UTC]"), "12 am");
        assert_eq!(shown("h a", "2026-03-07T12:05:00[UTC]"), "12 pm");
        assert_eq!(shown("H h", "2026-03-07T23:05:00[UTC]"), "23 11");
    }
}
