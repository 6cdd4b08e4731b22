//! The metrics endpoint: a small HTTP server in the supervisor, for Prometheus and for probes.
//!
//! `/metrics` answers with all that is measured, `/livez` while the supervisor does its work, and
//! `/readyz` with 200 while the app can be sent work, else with 503. Anybody who reaches the address
//! may ask, so what a connection costs is bounded, and nothing can be changed here. At a loopback address
//! that is this machine alone: a web page that a browser of this machine has open, and whose name has been
//! made to lead here, is refused for that name (DNS rebinding).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use telemetry::metrics::{self, AppMetrics};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};

/// How many connections may be open. One more ends the oldest: whoever holds them keeps no probe out.
const CONNECTIONS: usize = 16;

/// How many questions may wait for the supervisor.
const QUESTIONS: usize = 16;

/// How long a request's head may take to come, and a connection be idle.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a connection may last: Prometheus makes a new one then.
const LIFE: Duration = Duration::from_secs(300);

/// An address that cannot be had is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of a request's head is read.
const HEAD: usize = 16 * 1024;

/// Somebody asks how the app is.
#[derive(Debug)]
pub(super) enum Question {
    /// How the app is.
    How(oneshot::Sender<Answer>),
    /// The address cannot be had, for this reason; it is tried again.
    Unbound(SocketAddr, io::Error),
}

/// How it is.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) is_ready: bool,
    pub(super) metrics: AppMetrics,
}

/// The server, which can be moved to another address.
#[derive(Debug)]
pub(super) struct Endpoint {
    address: Option<SocketAddr>,
    task: Option<JoinHandle<()>>,
    sender: mpsc::Sender<Question>,
    questions: mpsc::Receiver<Question>,
}

impl Endpoint {
    /// One that serves nowhere yet.
    pub(super) fn new() -> Self {
        let (sender, questions) = mpsc::channel(QUESTIONS);
        Self {
            address: None,
            task: None,
            sender,
            questions,
        }
    }

    /// Serves at this address from now on, or nowhere; within a tokio runtime.
    pub(super) fn move_to(&mut self, address: Option<SocketAddr>) {
        if self.address == address {
            return;
        }
        self.address = address;
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.task = address.map(|address| {
            let serve = serve(address, self.sender.clone());
            tokio::spawn(serve)
        });
    }

    /// Serves nowhere any more. The port is free when this is over.
    pub(super) async fn close(&mut self) {
        self.address = None;
        if let Some(task) = self.task.take() {
            task.abort();
            // It has ended: by our wish, or by itself.
            let _ = task.await;
        }
    }

    /// The next question.
    pub(super) async fn next(&mut self) -> Option<Question> {
        self.questions.recv().await
    }
}

async fn serve(address: SocketAddr, questions: mpsc::Sender<Question>) {
    let mut told = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !told => {
                told = true;
                let unbound = Question::Unbound(address, error);
                let _ = questions.send(unbound).await;
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|talk| !talk.is_finished());
                if open.len() >= CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let talk = tokio::time::timeout(LIFE, talk(stream, address, questions.clone()));
                open.push_back(tokio::spawn(talk).abort_handle());
            }
            // Without descriptors none can be accepted; they wait.
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

async fn talk(stream: TcpStream, at: SocketAddr, questions: mpsc::Sender<Question>) {
    let service = service_fn(|request| {
        let questions = questions.clone();
        async move { Ok::<_, Infallible>(respond(&request, at, questions).await) }
    });
    // How a connection ends tells nothing that anybody could mend.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(
    request: &Request<Incoming>,
    at: SocketAddr,
    questions: mpsc::Sender<Question>,
) -> Response<Full<Bytes>> {
    let mut hosts = request.headers().get_all(HOST).iter();
    if at.ip().to_canonical().is_loopback() && !hosts.all(is_of_this_machine) {
        let refused = "a loopback address answers for an IP address or localhost in Host, and no other name\n";
        return text(StatusCode::FORBIDDEN, refused);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    let path = request.uri().path();
    if !["/metrics", "/livez", "/readyz"].contains(&path) {
        let known = "see /metrics, /livez or /readyz\n";
        return text(StatusCode::NOT_FOUND, known);
    }
    let (sender, answer) = oneshot::channel();
    let asked = questions.send(Question::How(sender)).await;
    let (Ok(()), Ok(answer)) = (asked, answer.await) else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the supervisor is ending\n",
        );
    };
    match path {
        "/metrics" => measurements(request, answer.metrics),
        "/readyz" if !answer.is_ready => {
            text(StatusCode::SERVICE_UNAVAILABLE, "no instance is ready\n")
        }
        _ => text(StatusCode::OK, "ok\n"),
    }
}

/// Whether a `Host` field is one that no name server can have made up.
fn is_of_this_machine(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

fn measurements(request: &Request<Incoming>, app: AppMetrics) -> Response<Full<Bytes>> {
    let accepted = request.headers().get_all(ACCEPT).iter();
    let open = accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("application/openmetrics-text"));
    let (kind, body) = if open {
        (metrics::OPEN_METRICS, metrics::open_metrics(vec![app]))
    } else {
        (metrics::PROMETHEUS, metrics::prometheus(vec![app]))
    };
    respond_with(StatusCode::OK, kind, body)
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    respond_with(status, "text/plain; charset=utf-8", body)
}

fn respond_with(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
