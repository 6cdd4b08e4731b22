//! The server: connections, of which only so many are open, and the time that they may take.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener as Listener;
use std::os::unix::net::UnixStream as Until;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;

use crate::stream::Connection;
use crate::{Access, Board, Hands};

mod answer;
mod respond;

use answer::Server;

/// How many connections may be open.
const CONNECTIONS: usize = 128;

/// How many clients may hear of changes.
const STREAMS: usize = 32;

/// How much may be asked of apps at a time, and how much be done with them.
const WORK: usize = 8;

/// So many threads wait for what is done; the runtime adds none beyond.
const THREADS: usize = 2 * WORK;

/// How long a request's head may take to come, and a connection be idle.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a connection may last: a page connects anew.
const LIFE: Duration = Duration::from_secs(3600);

/// How much of a request's head is read.
const HEAD: usize = 16 * 1024;

/// Without descriptors no connection can be accepted; they wait so long.
const AGAIN: Duration = Duration::from_millis(100);

/// What a dashboard is made of.
pub struct Settings {
    pub listener: Listener,
    pub access: Access,
    pub board: Arc<Board>,
    pub hands: Arc<dyn Hands>,
    /// It ends when something can be read here, or the other side is closed.
    pub until: Until,
}

/// Serves until it is to end.
///
/// # Errors
/// If the system refuses a runtime, or the listener.
pub fn run(settings: Settings) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .build()?;
    let result = runtime.block_on(async {
        settings.until.set_nonblocking(true)?;
        let mut until = UnixStream::from_std(settings.until.try_clone()?)?;
        tokio::select! {
            result = serve(settings) => result,
            _ = until.read_u8() => Ok(()),
        }
    });
    // What is being done is done by others, and need not be waited for.
    runtime.shutdown_background();
    result
}

async fn serve(settings: Settings) -> io::Result<()> {
    settings.listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(settings.listener)?;
    let server = Arc::new(Server {
        access: settings.access,
        board: settings.board,
        hands: settings.hands,
        streams: Arc::new(Semaphore::new(STREAMS)),
        questions: Arc::new(Semaphore::new(WORK)),
        orders: Arc::new(Semaphore::new(WORK)),
    });
    let mut open: Vec<(Arc<Connection>, tokio::task::JoinHandle<()>)> = Vec::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        open.retain(|(_, talk)| !talk.is_finished());
        if open.len() >= CONNECTIONS {
            // Who has shown no token keeps nobody out that has.
            let untrusted = open.iter().position(|(it, _)| !it.is_trusted());
            open.remove(untrusted.unwrap_or(0)).1.abort();
        }
        let connection = Arc::<Connection>::default();
        let talk = talk(stream, server.clone(), connection.clone());
        open.push((connection, tokio::spawn(talk)));
    }
}

async fn talk(stream: TcpStream, server: Arc<Server>, connection: Arc<Connection>) {
    let service = service_fn(|request| {
        let (server, connection) = (server.clone(), connection.clone());
        async move { Ok::<_, Infallible>(server.answer(&connection, request).await) }
    });
    // Each event is a small write of its own.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // How a connection ends tells nothing that anybody could mend.
        _ = tokio::time::timeout(LIFE, served) => {}
        () = connection.ended() => {}
    }
}
