//! Who gets an answer.
//!
//! Loopback is reached by every program and every user of this machine, and by every web page that a
//! browser of this machine shows. So a request has to name a host that no page can make up (else it may be
//! one of DNS rebinding), must not come from another site's page, and has to carry the token, or the
//! session that the token was exchanged for.

use std::hint::black_box;
use std::net::IpAddr;

use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri};

/// A shorter token could be guessed.
const SHORTEST: usize = 16;

/// The header of a request that orders something. A page of another site cannot send it.
const ORDER: &str = "x-maitred-order";

/// Whether a token is too long to be guessed.
pub fn is_long_enough(token: &str) -> bool {
    token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Who may ask, and order.
#[derive(Debug)]
pub struct Access {
    token: String,
    /// What the token is exchanged for. Cookies go to every port of a host, so it is not the token itself,
    /// which may be one that lasts.
    session: String,
    /// The cookie's name, which has the port in it: two dashboards do not disturb each other.
    cookie: String,
    /// Names that stand for this address, beside IP addresses and `localhost`.
    names: Vec<Authority>,
    is_read_only: bool,
}

/// Why a request gets no answer.
pub(crate) type Refusal = (StatusCode, &'static str);

/// How a client proves that it may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The token, in the `Authorization` header.
    Bearer,
    /// The session, in the cookie.
    Session,
    /// The token, in the address. The server exchanges it for the cookie.
    Address,
}

impl Access {
    /// Access with this token and this session, both of which nobody can guess.
    pub fn new(token: String, session: String, port: u16) -> Self {
        Self {
            token,
            session,
            cookie: format!("maitred_{port}"),
            names: Vec::new(),
            is_read_only: false,
        }
    }

    /// Also accepts these host names, with or without the port that browsers see.
    pub fn named(mut self, names: Vec<Authority>) -> Self {
        self.names = names;
        self
    }

    /// Refuses all orders.
    pub fn read_only(mut self, is_read_only: bool) -> Self {
        self.is_read_only = is_read_only;
        self
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// The `Set-Cookie` header for the session.
    pub(crate) fn set_cookie(&self) -> String {
        let Self {
            cookie, session, ..
        } = self;
        format!("{cookie}={session}; Path=/; HttpOnly; SameSite=Strict")
    }

    /// Refuses what another site's page may have sent, and what names another host.
    pub(crate) fn check_origin(&self, request: &Parts) -> Result<(), Refusal> {
        let hosts = request.headers.get_all(HOST).iter().collect::<Vec<_>>();
        let [host] = hosts[..] else {
            return Err((StatusCode::BAD_REQUEST, "a request names one host\n"));
        };
        let host = Authority::try_from(host.as_bytes()).ok();
        let host = host.filter(|host| !host.as_str().contains('@') && self.is_ours(host));
        let Some(host) = host else {
            let text = "the dashboard answers for IP addresses, localhost, and names given with --allow-host\n";
            return Err((StatusCode::FORBIDDEN, text));
        };
        let mut origins = request.headers.get_all(ORIGIN).iter();
        let is_same = |origin: &http::HeaderValue| {
            let uri = Uri::try_from(origin.as_bytes()).ok();
            uri.is_some_and(|uri| self.is_same(&uri, &host))
        };
        if !origins.all(is_same) {
            return Err((StatusCode::FORBIDDEN, "pages of other sites get nothing\n"));
        }
        let site = one(&request.headers, "sec-fetch-site");
        let is_page = request.uri.path() == "/";
        match site {
            // A link may lead to the page; the page alone asks for all the rest.
            Some("cross-site" | "same-site") if !is_page => {
                Err((StatusCode::FORBIDDEN, "pages of other sites get nothing\n"))
            }
            _ => Ok(()),
        }
    }

    /// How the client proves that it may ask; `None` if it does not.
    pub(crate) fn shown(&self, request: &Parts) -> Option<Shown> {
        let bearer = one(&request.headers, AUTHORIZATION.as_str());
        let bearer = bearer.and_then(|text| text.split_once(' '));
        if let Some((scheme, token)) = bearer
            && scheme.eq_ignore_ascii_case("bearer")
        {
            return is_equal(token.trim(), &self.token).then_some(Shown::Bearer);
        }
        if request.uri.path() == "/"
            && let Some(token) = parameter(&request.uri, "token")
        {
            return is_equal(token, &self.token).then_some(Shown::Address);
        }
        let cookies = request.headers.get_all(COOKIE).iter();
        let mut cookies = cookies
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='));
        let is_session =
            |(name, value): (&str, &str)| name == self.cookie && is_equal(value, &self.session);
        cookies.any(is_session).then_some(Shown::Session)
    }

    /// Refuses orders, where they are not taken or may be another page's.
    pub(crate) fn check_order(&self, request: &Parts, shown: Shown) -> Result<(), Refusal> {
        if self.is_read_only {
            let text = "this dashboard is read-only\n";
            return Err((StatusCode::FORBIDDEN, text));
        }
        // `check_origin` has refused foreign origins, so an origin here is our own.
        let from_page = request.headers.contains_key(ORDER) || request.headers.contains_key(ORIGIN);
        if shown == Shown::Session && !from_page {
            let text = "an order by a browser needs the field X-Maitred-Order\n";
            return Err((StatusCode::FORBIDDEN, text));
        }
        Ok(())
    }

    fn is_ours(&self, host: &Authority) -> bool {
        let name = host.host();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let is_named = |known: &Authority| known.host().eq_ignore_ascii_case(name);
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(is_named)
    }

    /// Whether a page of this origin is ours, as the host was named.
    fn is_same(&self, origin: &Uri, host: &Authority) -> bool {
        let Some(authority) = origin.authority() else {
            return false;
        };
        let usual = match origin.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return false,
        };
        let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
        let is_it = |other: &Authority| {
            other.host().eq_ignore_ascii_case(authority.host()) && port(other) == port(authority)
        };
        // A proxy in front may name its own host to us; the page has the name that was allowed.
        is_it(host) || self.names.iter().any(is_it)
    }
}

/// The value of a header; `None` if the request has it several times or not at all.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// A parameter of a query, not decoded.
pub(crate) fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri.query()?.split('&').filter_map(|it| it.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Compares secrets in constant time: how long it takes does not tell how much is right.
fn is_equal(guess: &str, secret: &str) -> bool {
    let (guess, secret) = (guess.as_bytes(), secret.as_bytes());
    let mut differs = u8::from(guess.len() != secret.len());
    for (at, byte) in secret.iter().enumerate() {
        let guessed = guess.get(at).copied().unwrap_or(!*byte);
        differs |= black_box(guessed ^ *byte);
    }
    black_box(differs) == 0
}

#[cfg(test)]
mod tests;
