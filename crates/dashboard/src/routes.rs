//! What there is to ask for, by its path.

use http::Method;

use crate::Action;
use crate::assets::{self, Asset};

/// What a path stands for.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    Asset(&'static Asset),
    /// Whether the dashboard works.
    Livez,
    /// Whether all apps are ready.
    Readyz,
    Metrics,
    Apps,
    App(String),
    Instances(String),
    Figures(String),
    Logs(String),
    Events,
    Stream,
    Act(String, Verb),
}

/// What can be ordered of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    Scale,
}

impl Verb {
    /// The action; `instances` is how many there shall be, where that is said.
    pub(crate) fn action(self, instances: Option<u32>) -> Option<Action> {
        match (self, instances) {
            (Self::Scale, Some(count)) => Some(Action::Scale(count)),
            (Self::Scale, None) | (_, Some(_)) => None,
            (Self::Start, None) => Some(Action::Start),
            (Self::Stop, None) => Some(Action::Stop),
            (Self::Restart, None) => Some(Action::Restart),
            (Self::Reload, None) => Some(Action::Reload),
        }
    }
}

impl Route {
    /// What a path stands for.
    pub(crate) fn of(path: &str) -> Option<Self> {
        if let Some(asset) = assets::at(path) {
            return Some(Self::Asset(asset));
        }
        match path {
            "/livez" => return Some(Self::Livez),
            "/readyz" => return Some(Self::Readyz),
            "/metrics" => return Some(Self::Metrics),
            _ => {}
        }
        let mut parts = path.strip_prefix("/api/v1/")?.split('/');
        let route = match (parts.next()?, parts.next(), parts.next()) {
            ("events", None, None) => Self::Events,
            ("stream", None, None) => Self::Stream,
            ("apps", None, None) => Self::Apps,
            ("apps", Some(app), None) => Self::App(decoded(app)?),
            ("apps", Some(app), Some(what)) => Self::of_app(decoded(app)?, what)?,
            _ => return None,
        };
        parts.next().is_none().then_some(route)
    }

    fn of_app(app: String, what: &str) -> Option<Self> {
        let verb = match what {
            "instances" => return Some(Self::Instances(app)),
            "figures" => return Some(Self::Figures(app)),
            "logs" => return Some(Self::Logs(app)),
            "start" => Verb::Start,
            "stop" => Verb::Stop,
            "restart" => Verb::Restart,
            "reload" => Verb::Reload,
            "scale" => Verb::Scale,
            _ => return None,
        };
        Some(Self::Act(app, verb))
    }

    /// Whether it accepts this method.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        match self {
            Self::Act(..) => *method == Method::POST,
            _ => *method == Method::GET || *method == Method::HEAD,
        }
    }

    /// The methods that it accepts.
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Self::Act(..) => "POST",
            _ => "GET, HEAD",
        }
    }

    /// Whether anybody may ask, as probes do: the answer tells next to nothing.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Livez | Self::Readyz)
    }
}

/// A part of a path, or a value of a query, as it was meant.
pub(crate) fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let named = |path: &str| match Route::of(path) {
            Some(Route::App(app) | Route::Logs(app) | Route::Act(app, _)) => Some(app),
            _ => None,
        };
        assert_eq!(named("/api/v1/apps/a%20b").as_deref(), Some("a b"));
        assert_eq!(named("/api/v1/apps/%3cx%3E/logs").as_deref(), Some("<x>"));
        assert_eq!(named("/api/v1/apps/a%2Fb/stop").as_deref(), Some("a/b"));
        for unknown in [
            "",
            "/api",
            "/api/v1",
            "/api/v1/",
            "/api/v2/apps",
            "/api/v1/apps/",
            "/api/v1/apps/a/",
            "/api/v1/apps/a/fly",
            "/api/v1/apps/a/stop/x",
            "/api/v1/apps/%",
            "/api/v1/apps/%f",
            "/api/v1/apps/%ff",
            "/api/v1/apps/%+1",
            "/api/v1/events/x",
            "/../livez",
            "//",
        ] {
            assert!(Route::of(unknown).is_none(), "{unknown}");
        }
        for known in [
            "/",
            "/main.js",
            "/livez",
            "/api/v1/openapi.json",
            "/api/v1/stream",
        ] {
            assert!(Route::of(known).is_some(), "{known}");
        }
    }

    #[test]
    fn verbs_say_all_that_they_need() {
        assert_eq!(Verb::Scale.action(Some(3)), Some(Action::Scale(3)));
        assert_eq!(Verb::Stop.action(None), Some(Action::Stop));
        assert_eq!(Verb::Scale.action(None), None);
        assert_eq!(Verb::Stop.action(Some(3)), None);
    }
}
