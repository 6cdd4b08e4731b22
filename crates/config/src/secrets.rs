//! Which variables hold secrets, by their names.

use std::borrow::Cow;

/// What is shown in the place of a secret.
pub(crate) const MASK: &str = "********";

/// Words that make a name look like a secret's, wherever they stand in it.
const ANYWHERE: [&str; 10] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "PRIVATE",
    "APIKEY",
    "CONNECTIONSTRING",
    "BEARER",
];

/// Words that do so where they stand alone, between underscores or at a change of case.
const ALONE: [&str; 19] = [
    "KEY",
    "KEYS",
    "PASS",
    "PWD",
    "PW",
    "AUTH",
    "DSN",
    "SALT",
    "PEPPER",
    "CERT",
    "COOKIE",
    "SIGNATURE",
    "WEBHOOK",
    "CRED",
    "CREDS",
    "PAT",
    "SEED",
    "MNEMONIC",
    "JWT",
];

/// Names that look like it and are none.
const HARMLESS: [&str; 3] = ["PWD", "OLDPWD", "SSH_AUTH_SOCK"];

/// Whether a variable of this name may hold a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    if HARMLESS.contains(&name) {
        return false;
    }
    let whole: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect();
    ANYWHERE.iter().any(|word| whole.contains(word))
        || words(name)
            .iter()
            .any(|word| ALONE.contains(&word.as_str()))
}

/// The value as it may be shown: masked if the name looks like a secret's, and without the
/// password of a URL in any case.
pub fn shown<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if value.is_empty() {
        return Cow::Borrowed(value);
    }
    if is_secret(name) {
        return Cow::Borrowed(MASK);
    }
    match password_of_url(value) {
        Some((before, after)) => Cow::Owned(format!("{before}{MASK}{after}")),
        None => Cow::Borrowed(value),
    }
}

/// What stands before and after the password of `scheme://user:password@host`.
fn password_of_url(value: &str) -> Option<(&str, &str)> {
    let start = value.find("://")? + 3;
    let rest = value.get(start..)?;
    let authority = rest.get(..rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    let user = authority.get(..authority.rfind('@')?)?;
    let colon = user.find(':')? + 1;
    let (before, after) = (
        value.get(..start + colon)?,
        value.get(start + user.len()..)?,
    );
    Some((before, after))
}

/// The words of a name, in capitals: `dbPassKey` and `DB_PASS_KEY` have the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        let boundary = !c.is_alphanumeric() || (lower && c.is_uppercase());
        if boundary {
            words.push(String::new());
        }
        lower = c.is_lowercase() || c.is_ascii_digit();
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_uppercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "PASSWORD",
            "DB_PASSWORD",
            "PGPASSWORD",
            "dbPassword",
            "API_KEY",
            "apiKey",
            "APIKEY",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "NPM_TOKEN",
            "npm_config__authToken",
            "DB_PASS",
            "SENTRY_DSN",
            "JWT",
            "PRIVATE_KEY",
            "STRIPE_KEY",
            "SESSION_COOKIE",
            "MYSQL_PWD",
            "GOOGLE_CREDENTIALS",
            "auth",
            "PASSWORD_SALT",
            "KEY",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "PWD",
            "OLDPWD",
            "PORT",
            "NODE_ENV",
            "MONKEY",
            "KEYBOARD",
            "AUTHOR",
            "COMPASS",
            "BYPASS_CACHE",
            "SSH_AUTH_SOCK",
            "LANG",
            "",
            "PATTERN",
            "CERTAIN",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn values() {
        for (name, value, expected) in [
            ("TOKEN", "abc", MASK),
            ("TOKEN", "", ""),
            ("PORT", "80", "80"),
            ("URL", "http://host/a:b@c", "http://host/a:b@c"),
            (
                "URL",
                "postgres://me:pw@db/x",
                "postgres://me:********@db/x",
            ),
            ("URL", "postgres://me:p@w:x@db", "postgres://me:********@db"),
            ("URL", "postgres://me@db", "postgres://me@db"),
            ("URL", "redis://:pw@db", "redis://:********@db"),
            ("URL", "://", "://"),
        ] {
            assert_eq!(shown(name, value), expected, "{name}={value}");
        }
    }
}
