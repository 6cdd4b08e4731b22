//! What the user sees: the workers' lines and maitred's own sentences.
//!
//! In the foreground the lines go to the terminal, in the background into log files. Each stream
//! of ours has a thread that writes to it, so that a terminal which is stopped, or a pipe that
//! nobody reads, holds up the workers that write, as it would without us, but never the
//! supervisor.

mod crowd;
mod figures;
mod lines;
mod screen;
mod sentences;
#[cfg(test)]
mod snapshot;
mod stream;

use std::io::IsTerminal;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use tokio::sync::mpsc;

use config::{AccessFormat, App, LogFormat};
use logs::access;
use logs::{self, Capture, DateFormat, Files, Format, Source};
use screen::Screen;
pub use sentences::Sentences;
use stream::Stream;
use telemetry::events::{Event, EventFile};
use telemetry::ids::{Instance, InstanceId};
use telemetry::metrics::ByWord;

/// At the end, what the workers have written last is waited for so long: a process that they
/// detached may hold their output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// So much about logs may wait to be told.
const NOTICES: usize = 16;

/// Whether a stream is to have colours: a terminal that knows them, and nobody said no.
pub fn has_colours(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    stream.is_terminal() && !refused && !dumb
}

/// Everything that is shown or noted.
#[derive(Debug)]
pub struct Output {
    err: Stream,
    sentences: Sentences,
    events: Option<EventFile>,
    lines: Workers,
    /// Where each request gets its line.
    access: Option<access::Log>,
    volume: Arc<logs::Volume>,
    tell: mpsc::Sender<logs::Notice>,
    notices: mpsc::Receiver<logs::Notice>,
}

/// Where the workers' lines go.
#[derive(Debug)]
enum Workers {
    Shown(Screen),
    Kept(Capture),
}

/// A process whose output is to be shown or kept.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Its number within the app.
    pub(crate) instance: Instance,
    /// Its number among all of the home.
    pub(crate) id: InstanceId,
    pub(crate) out: OwnedFd,
    pub(crate) err: OwnedFd,
    /// Where it is kept, if it is.
    pub(crate) files: Files,
    /// The app as this process runs it.
    pub(crate) app: Rc<App>,
    /// The beginnings of lines of both streams that another supervisor has read.
    pub(crate) begun: [Vec<u8>; 2],
}

impl Output {
    /// Shows lines on the terminal, which other processes may write to as well (`shared`).
    ///
    /// # Errors
    /// If the system refuses threads.
    pub fn shown(app: &App, events: Option<EventFile>, shared: bool) -> anyhow::Result<Self> {
        let volume = Arc::new(logs::Volume::default());
        let screen = Screen::new(&app.name, Arc::clone(&volume), shared);
        let lines = Workers::Shown(screen.context("writing to stdout")?);
        Self::new(app, events, (lines, shared), volume, mpsc::channel(NOTICES))
    }

    /// Keeps lines in files.
    ///
    /// # Errors
    /// If the system refuses threads or descriptors.
    pub fn kept(app: &App) -> anyhow::Result<Self> {
        let volume = Arc::new(logs::Volume::default());
        let channel = mpsc::channel(NOTICES);
        let capture = Capture::start(settings(app), Arc::clone(&volume), channel.0.clone());
        let lines = Workers::Kept(capture.context("keeping logs")?);
        Self::new(app, None, (lines, false), volume, channel)
    }

    fn new(
        app: &App,
        events: Option<EventFile>,
        (lines, shared): (Workers, bool),
        volume: Arc<logs::Volume>,
        (tell, notices): (mpsc::Sender<logs::Notice>, mpsc::Receiver<logs::Notice>),
    ) -> anyhow::Result<Self> {
        let err = Stream::new("stderr", std::io::stderr(), shared).context("writing to stderr")?;
        Ok(Self {
            sentences: Sentences::new(app, err.colours()),
            err,
            events,
            lines,
            access: None,
            volume,
            tell,
            notices,
        })
    }

    /// The way to the app's access log, if it has one.
    ///
    /// # Errors
    /// If there is no standard output to write it to, or the system refuses a thread.
    pub(crate) fn access_log(&mut self, app: &App) -> anyhow::Result<Option<access::Queue>> {
        let wanted = app.requests.as_ref().and_then(|it| it.access_log.as_ref());
        let Some(wanted) = wanted else {
            return Ok(None);
        };
        let log = match self.access.take() {
            Some(log) => log,
            None => {
                let target = match &wanted.file {
                    Some(path) => access::Target::File(path.clone()),
                    None if matches!(self.lines, Workers::Kept(_)) => bail!(
                        "access_log: - is standard output, which only an app in the foreground \
                         has (maitred run); name a file"
                    ),
                    None => access::Target::StandardOutput,
                };
                let settings = access::Settings {
                    app: app.name.clone(),
                    target,
                    format: match wanted.format {
                        AccessFormat::Combined => access::Format::Combined,
                        AccessFormat::Json => access::Format::Json,
                    },
                    rotation: rotation(app),
                    rights: app.file_rights(),
                };
                access::Log::start(&settings, self.tell.clone())
                    .context("keeping the access log")?
            }
        };
        let queue = log.queue();
        self.access = Some(log);
        Ok(Some(queue))
    }

    /// How many bytes the workers have written, by the stream's name.
    pub(crate) fn volume(&self) -> ByWord {
        [logs::Stream::Out, logs::Stream::Err]
            .map(|stream| (stream.name().to_owned(), self.volume.bytes(stream)))
            .into()
    }

    /// Notes what has happened, and tells the user if it is worth a sentence.
    pub(crate) fn event(&mut self, event: &Event) {
        if let Some(events) = &mut self.events {
            events.write(event);
        }
        if let Some(sentence) = self.sentences.of(event) {
            self.err.say(match &self.lines {
                Workers::Shown(_) => sentence,
                Workers::Kept(_) => logs::stamped(&sentence, Timestamp::now()),
            });
        }
    }

    /// Shows or keeps what a worker writes, line by line, until it ends.
    pub(crate) fn capture(&mut self, worker: Worker) {
        match &mut self.lines {
            Workers::Shown(screen) => {
                screen.capture(worker, &self.err, &self.tell);
            }
            Workers::Kept(capture) => capture.add(Source {
                instance: worker.instance,
                id: worker.id,
                out: worker.out,
                err: worker.err,
                files: worker.files,
                format: format(&worker.app),
                begun: worker.begun,
            }),
        }
    }

    /// The app is described so from now on.
    pub(crate) fn set_app(&mut self, app: &App) {
        self.sentences.set_app(app);
        if let Workers::Kept(capture) = &self.lines {
            capture.change(settings(app));
        }
    }

    /// Keeps nothing more until [`Output::resume`]; the beginnings of lines that were read, by the descriptor of
    /// each pipe.
    pub(crate) fn pause(&self) -> Vec<(RawFd, Vec<u8>)> {
        match &self.lines {
            Workers::Shown(_) => Vec::new(),
            Workers::Kept(capture) => capture.pause(),
        }
    }

    /// Goes on.
    pub(crate) fn resume(&self) {
        if let Workers::Kept(capture) = &self.lines {
            capture.resume();
        }
    }

    /// Opens the log files again under their names.
    pub(crate) fn reopen(&self) {
        if let Workers::Kept(capture) = &self.lines {
            capture.reopen();
        }
        if let Some(access) = &self.access {
            access.reopen();
        }
    }

    /// Waits for something about the logs that should be known. Loses nothing when it is dropped.
    pub(crate) async fn notice(&mut self) -> Event {
        match self.notices.recv().await {
            Some(notice) => event_of(notice),
            None => std::future::pending().await,
        }
    }

    /// Waits until what is to be said of requests is written.
    pub(crate) fn finish_requests(&mut self) {
        if let Some(access) = &self.access {
            access.finish(LAST_WORDS);
        }
        self.err.finish();
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(&mut self) {
        match &mut self.lines {
            Workers::Shown(screen) => screen.finish().await,
            Workers::Kept(capture) => capture.finish(LAST_WORDS),
        }
        if let Some(access) = &self.access {
            access.finish(LAST_WORDS);
        }
        // What was found in the last lines is told too.
        while let Ok(notice) = self.notices.try_recv() {
            self.event(&event_of(notice));
        }
        self.err.finish();
    }
}

/// What lines of the app look like in its logs.
fn format(app: &App) -> Format {
    let date = Some(&app.logs.date_format).filter(|format| !format.is_empty());
    let date = date.map(|format| DateFormat::parse(format));
    match (app.logs.format, date) {
        (LogFormat::Json, date) => Format::Json(date),
        (LogFormat::Raw, Some(date)) => Format::Dated(date),
        (LogFormat::Raw, None) => Format::Plain,
    }
}

/// How the app's logs are kept.
fn settings(app: &App) -> logs::Settings {
    logs::Settings {
        app: app.name.clone(),
        format: format(app),
        rotation: rotation(app),
        rights: app.file_rights(),
    }
}

fn rotation(app: &App) -> Option<logs::Rotation> {
    app.logs.rotation.as_ref().map(|rotation| logs::Rotation {
        size: Some(rotation.size),
        interval: rotation.interval,
        keep: usize::try_from(rotation.count).unwrap_or(usize::MAX),
        gzip: rotation.gzip,
    })
}

fn event_of(notice: logs::Notice) -> Event {
    match notice {
        logs::Notice::Failing { path, reason } => Event::LogFailing {
            path: path.display().to_string(),
            reason,
        },
        logs::Notice::Lost { path, lines, bytes } => Event::LogLost {
            path: path.display().to_string(),
            lines,
            bytes,
        },
        logs::Notice::Overrun { path, lines } => Event::LogOverrun {
            path: path.display().to_string(),
            lines,
        },
        logs::Notice::NotRotated { path, reason } => Event::LogNotRotated {
            path: path.display().to_string(),
            reason,
        },
        logs::Notice::Rejection { instance } => Event::Rejection { instance },
        logs::Notice::Deaf { instance, reason } => Event::Deaf { instance, reason },
    }
}
