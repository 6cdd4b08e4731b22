//! How an app's values are written as JSON: durations in milliseconds, and the system's strings,
//! which need not be text, so that every byte survives.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A string of the system: text where it is text, and its bytes where it is not.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Encoded {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&OsStr> for Encoded {
    fn from(string: &OsStr) -> Self {
        match string.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(string.as_bytes().to_vec()),
        }
    }
}

impl From<Encoded> for OsString {
    fn from(encoded: Encoded) -> Self {
        match encoded {
            Encoded::Text(text) => text.into(),
            Encoded::Bytes(bytes) => OsString::from_vec(bytes),
        }
    }
}

/// One string or path.
pub(super) mod os {
    use super::*;

    pub(crate) fn serialize<T: AsRef<OsStr>, S: Serializer>(
        string: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        Encoded::from(string.as_ref()).serialize(to)
    }

    pub(crate) fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        Ok(T::from(Encoded::deserialize(from)?.into()))
    }
}

/// A string or path that may be missing.
pub(super) mod os_option {
    use super::*;

    pub(crate) fn serialize<T: AsRef<OsStr>, S: Serializer>(
        string: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let string = string.as_ref();
        string.map(|it| Encoded::from(it.as_ref())).serialize(to)
    }

    pub(crate) fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        let string = Option::<Encoded>::deserialize(from)?;
        Ok(string.map(|it| T::from(it.into())))
    }
}

/// A list of strings or paths.
pub(super) mod os_list {
    use super::*;

    pub(crate) fn serialize<T: AsRef<OsStr>, S: Serializer>(
        list: &[T],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(|string| Encoded::from(string.as_ref())))
    }

    pub(crate) fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<T>, D::Error> {
        let list = Vec::<Encoded>::deserialize(from)?;
        Ok(list.into_iter().map(|it| T::from(it.into())).collect())
    }
}

/// An environment: a list of pairs, since the keys of a JSON object have to be text.
pub(super) mod os_map {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        map: &BTreeMap<OsString, OsString>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let encoded = |string: &OsString| Encoded::from(string.as_os_str());
        to.collect_seq(
            map.iter()
                .map(|(name, value)| (encoded(name), encoded(value))),
        )
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<OsString, OsString>, D::Error> {
        let pairs = Vec::<(Encoded, Encoded)>::deserialize(from)?;
        let pairs = pairs.into_iter();
        Ok(pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect())
    }
}

/// A duration in whole milliseconds.
pub(super) mod millis {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(duration.as_millis())
            .unwrap_or(u64::MAX)
            .serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        #[serde(with = "os")]
        path: PathBuf,
        #[serde(default, with = "os_option")]
        script: Option<OsString>,
        #[serde(default, with = "os_option")]
        cwd: Option<PathBuf>,
        #[serde(with = "os_list")]
        args: Vec<OsString>,
        #[serde(with = "os_map")]
        env: BTreeMap<OsString, OsString>,
        #[serde(with = "millis")]
        delay: Duration,
    }

    #[test]
    fn every_byte_survives() {
        let odd = || OsString::from_vec(vec![b'a', 0xff, b'"']);
        let sample = Sample {
            path: odd().into(),
            script: Some(odd()),
            cwd: None,
            args: vec!["a b".into(), odd(), "".into()],
            env: BTreeMap::from([("A".into(), odd()), (odd(), "1".into())]),
            delay: Duration::from_millis(1500),
        };
        let text = serde_json::to_string(&sample).unwrap();
        assert!(text.contains(r#""args":["a b",[97,255,34],""]"#), "{text}");
        assert!(text.contains(r#""delay":1500"#), "{text}");
        assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
    }
}
