//! From a request to its response.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, SET_COOKIE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::respond::{self, Body, JSON, TEXT, fault};
use crate::access::{Shown, parameter};
use crate::board::Readiness;
use crate::routes::{Route, Verb, decoded};
use crate::stream::{self, Connection, Subscriber};
use crate::{Access, Board, Hands, Lines, Order, Refused};

/// How much of an order is read.
const ORDER: usize = 4096;

/// How long an order may take to come.
const ORDER_TIME: Duration = Duration::from_secs(10);

/// How often a client is told of new lines, and how many at a time.
const LINES_EVERY: Duration = Duration::from_millis(200);
const LINES_AT_ONCE: usize = 1000;

/// How many lines of each log there are where nobody says.
const LINES: usize = 100;

/// Seen for a moment by who opens the address with the token. That this page, and not the one with the link,
/// leads on makes the browser send the cookie.
const EXCHANGED: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <meta http-equiv=\"refresh\" content=\"0;url=/\"><title>maitred</title>\
    <p><a href=\"/\">To the dashboard</a></p></html>\n";

const TOKEN_WANTED: &str = "open the address that `maitred dashboard` has printed, which has a token in it; \
     programs send the token as Authorization: Bearer\n";

/// What all connections share.
pub(super) struct Server {
    pub(super) access: Access,
    pub(super) board: Arc<Board>,
    pub(super) hands: Arc<dyn Hands>,
    pub(super) streams: Arc<Semaphore>,
    pub(super) questions: Arc<Semaphore>,
    pub(super) orders: Arc<Semaphore>,
}

/// What an order says beside its path.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    /// The instance that is meant.
    instance: Option<u32>,
    /// How many instances there shall be.
    instances: Option<u32>,
}

#[derive(Serialize)]
struct Done {
    done: String,
}

#[derive(Serialize)]
struct Logs {
    lines: Vec<crate::LogLine>,
}

#[derive(Serialize)]
struct Hello<'a> {
    version: &'a str,
    read_only: bool,
}

impl Server {
    /// Answers a request, or says why not.
    pub(super) async fn answer(
        &self,
        connection: &Arc<Connection>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let (request, body) = request.into_parts();
        if let Err((status, text)) = self.access.check_origin(&request) {
            return fault(status, text);
        }
        let route = Route::of(request.uri.path());
        if let Some(route) = route.as_ref().filter(|route| route.is_open()) {
            return match route.takes(&request.method) {
                true => self.probe(route),
                false => respond::wrong_method(route.methods()),
            };
        }
        let Some(shown) = self.access.shown(&request) else {
            let mut refused = fault(StatusCode::UNAUTHORIZED, TOKEN_WANTED);
            let scheme = HeaderValue::from_static("Bearer");
            refused.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            return refused;
        };
        connection.trust();
        let Some(route) = route else {
            return fault(StatusCode::NOT_FOUND, "see /api/v1/openapi.json");
        };
        if !route.takes(&request.method) {
            return respond::wrong_method(route.methods());
        }
        match route {
            Route::Asset(_) if shown == Shown::Address => self.exchange(),
            Route::Asset(asset) => respond::asset(asset),
            Route::Livez | Route::Readyz => self.probe(&route),
            Route::Metrics => self.metrics(&request).await,
            Route::Apps => respond::json_of(StatusCode::OK, self.board.apps()),
            Route::App(app) => found(&app, self.board.app(&app)),
            Route::Instances(app) => {
                let instances = self.board.app(&app).map(|app| app.instances);
                found(&app, instances)
            }
            Route::Figures(app) => found(&app, self.board.columns(&app)),
            Route::Logs(app) => self.logs(app, &request).await,
            Route::Events => respond::json(StatusCode::OK, &self.board.events()),
            Route::Stream => self.stream(connection, &request).await,
            Route::Act(app, verb) => match self.access.check_order(&request, shown) {
                Ok(()) => self.order(app, verb, &request, body).await,
                Err((status, text)) => fault(status, text),
            },
        }
    }

    /// Takes the token for a cookie, and out of the address.
    fn exchange(&self) -> Response<Body> {
        let mut response = respond::whole(StatusCode::OK, "text/html; charset=utf-8", EXCHANGED);
        if let Ok(cookie) = HeaderValue::try_from(self.access.set_cookie()) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }

    fn probe(&self, route: &Route) -> Response<Body> {
        let unwell = |text: String| respond::whole(StatusCode::SERVICE_UNAVAILABLE, TEXT, text);
        let well = || respond::whole(StatusCode::OK, TEXT, "ok\n");
        let is_ready = matches!(route, Route::Readyz);
        match self.board.readiness() {
            _ if !self.board.is_live() => unwell("apps are not looked at\n".to_owned()),
            _ if !is_ready => well(),
            Readiness::Ready => well(),
            Readiness::Not(1) => unwell("1 app has no instance that is ready\n".to_owned()),
            Readiness::Not(count) => {
                unwell(format!("{count} apps have no instance that is ready\n"))
            }
            Readiness::Unknown => unwell("apps are not looked at\n".to_owned()),
        }
    }

    async fn metrics(&self, request: &Parts) -> Response<Body> {
        let accepted = request.headers.get_all(ACCEPT).iter();
        let open = accepted
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("application/openmetrics-text"));
        match self.ask(move |hands| hands.metrics(open)).await {
            Ok(Ok((kind, text))) => respond::whole(StatusCode::OK, kind, text),
            Ok(Err(refused)) => fault(StatusCode::SERVICE_UNAVAILABLE, &refused.to_string()),
            Err(response) => response,
        }
    }

    async fn logs(&self, app: String, request: &Parts) -> Response<Body> {
        let wanted = parameter(&request.uri, "lines");
        let wanted = wanted.map_or(Ok(LINES), str::parse);
        let Some(lines) = wanted.ok().filter(|lines| *lines <= LINES_AT_ONCE) else {
            return fault(StatusCode::BAD_REQUEST, "lines is a number up to 1000");
        };
        match self.ask(move |hands| hands.logs(&app, lines)).await {
            Ok(Ok(lines)) => respond::json(StatusCode::OK, &Logs { lines }),
            Ok(Err(refused)) => respond::refused(&refused),
            Err(response) => response,
        }
    }

    /// What changes, and the lines of one app's logs if they are wanted.
    async fn stream(&self, connection: &Arc<Connection>, request: &Parts) -> Response<Body> {
        let Ok(permit) = self.streams.clone().try_acquire_owned() else {
            let text = "as many clients as there may be are connected";
            return fault(StatusCode::SERVICE_UNAVAILABLE, text);
        };
        let logs = match parameter(&request.uri, "logs").map(decoded) {
            None => None,
            Some(None) => return fault(StatusCode::BAD_REQUEST, "logs is the name of an app"),
            Some(Some(app)) => match self.ask(move |hands| hands.follow(&app, LINES)).await {
                Ok(Ok(lines)) => Some(lines),
                Ok(Err(refused)) => return respond::refused(&refused),
                Err(response) => return response,
            },
        };
        let (subscriber, events) = Subscriber::new(connection.clone(), permit);
        subscriber.tell(&stream::frame(
            "hello",
            &Hello {
                version: env!("CARGO_PKG_VERSION"),
                read_only: self.access.is_read_only(),
            },
        ));
        if let Some(lines) = logs {
            tokio::spawn(pass_on(lines, subscriber.clone()));
        }
        if request.method != Method::HEAD {
            self.board.subscribe(subscriber);
        }
        respond::events(events)
    }

    async fn order(
        &self,
        app: String,
        verb: Verb,
        request: &Parts,
        body: Incoming,
    ) -> Response<Body> {
        let body = timeout(ORDER_TIME, Limited::new(body, ORDER).collect()).await;
        let Ok(body) = body else {
            return fault(StatusCode::REQUEST_TIMEOUT, "the order did not come");
        };
        let Ok(body) = body else {
            return fault(StatusCode::PAYLOAD_TOO_LARGE, "an order has 4 KiB at most");
        };
        let body = body.to_bytes();
        let kind = request.headers.get(CONTENT_TYPE);
        let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(JSON.as_bytes()));
        if !body.is_empty() && !is_json {
            let text = "an order is application/json";
            return fault(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        }
        let details = match body.is_empty() {
            true => Ok(Details::default()),
            false => serde_json::from_slice::<Details>(&body),
        };
        let whole = verb != Verb::Scale;
        let details = details.ok().filter(|it| whole || it.instance.is_none());
        let action = details.as_ref().and_then(|it| verb.action(it.instances));
        let (Some(details), Some(action)) = (details, action) else {
            let text =
                "an order is an object: {\"instances\": 3} for scale, else {} or {\"instance\": 0}";
            return fault(StatusCode::BAD_REQUEST, text);
        };
        let order = Order {
            app,
            instance: details.instance,
            action,
        };
        match self
            .wait_for(&self.orders, move |hands| hands.act(&order))
            .await
        {
            Ok(Ok(done)) => respond::json(StatusCode::OK, &Done { done }),
            Ok(Err(refused)) => respond::refused(&refused),
            Err(response) => response,
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Hands) -> T + Send + 'static,
    ) -> Result<T, Response<Body>> {
        self.wait_for(&self.questions, work).await
    }

    /// Has a thread do what may take long. It is done to its end, whether or not the client waits for it.
    async fn wait_for<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        work: impl FnOnce(&dyn Hands) -> T + Send + 'static,
    ) -> Result<T, Response<Body>> {
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            let text = "as much is being done as can be at a time; try again";
            return Err(fault(StatusCode::TOO_MANY_REQUESTS, text));
        };
        let hands = self.hands.clone();
        let work = tokio::task::spawn_blocking(move || {
            let result = work(&*hands);
            drop(permit);
            result
        });
        let ended = "what was to be done has ended without a result";
        work.await
            .map_err(|_| fault(StatusCode::INTERNAL_SERVER_ERROR, ended))
    }
}

fn found<T: Serialize>(app: &str, found: Option<T>) -> Response<Body> {
    match found {
        Some(found) => respond::json(StatusCode::OK, &found),
        None => respond::refused(&Refused::Unknown(format!("no app is called {app}"))),
    }
}

/// Tells a client of new lines until it is gone.
async fn pass_on(mut lines: Box<dyn Lines>, subscriber: Subscriber) {
    let mut ticks = interval(LINES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = subscriber.gone() => return,
        }
        let new = lines.take(LINES_AT_ONCE);
        if !new.is_empty() && !subscriber.tell(&stream::frame("lines", &new)) {
            return;
        }
    }
}
