//! Starting a worker: its environment, its place in the process tree, its output.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sys::{ChannelPlace, ChildSetup};
use tokio::sync::mpsc;

use super::instance::Generation;
use crate::config::{App, ExecMode, RUN_VAR};
use crate::ipc::Channel;
use crate::runtime_folder::RuntimeFolder;

/// What every worker of an app is given.
#[derive(Debug)]
pub(super) struct Spawner {
    library: PathBuf,
    door: PathBuf,
    /// The soft limit of descriptors that we were started with: ours is raised, theirs stays.
    descriptors: Option<u64>,
    /// Workers get an open standard input, for lines that the user sends, and Node's channel.
    background: bool,
    /// Where in a worker Node's channel is.
    place: ChannelPlace,
    /// Where those are told of that say over it that they are ready.
    ready: mpsc::Sender<(u32, Generation)>,
}

/// A worker that was started.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) pid: i32,
    /// Its standard output and error, unless they are the caller's.
    pub(super) output: Option<(OwnedFd, OwnedFd)>,
    /// Its standard input, if we can write to it.
    pub(super) stdin: Option<OwnedFd>,
    /// Our end of Node's channel, if it has one.
    pub(super) channel: Option<Channel>,
}

/// The entry of the environment by which the processes of a run are known.
pub(super) fn mark(instance: u32, run: Generation) -> String {
    format!("{RUN_VAR}={instance}.{run}")
}

impl Spawner {
    /// Raises our own limit of descriptors as far as it goes: connections on their way need some.
    pub(super) fn new(
        folder: &RuntimeFolder,
        background: bool,
        place: ChannelPlace,
        ready: mpsc::Sender<(u32, Generation)>,
    ) -> Self {
        let limit = getrlimit(Resource::Nofile);
        // Where it may not be raised, the old one serves.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        );
        Self {
            library: folder.library(),
            door: folder.door(),
            descriptors: limit.current,
            background,
            place,
            ready,
        }
    }

    /// Starts one worker. It ends with the thread that calls this.
    ///
    /// # Errors
    /// If the program cannot be executed.
    pub(super) fn spawn(&self, app: &App, instance: u32, run: Generation) -> io::Result<Spawned> {
        let mut command = Command::new(app.program());
        command
            .args(app.program_args())
            .current_dir(&app.cwd)
            .env_clear()
            .envs(&app.env)
            .envs(app.instance_env(instance))
            .env(RUN_VAR, format!("{instance}.{run}"));
        if app.exec_mode == ExecMode::Cluster {
            command
                .env(wire::INSTANCE_VAR, instance.to_string())
                .env(wire::SUPERVISOR_VAR, std::process::id().to_string())
                .env(wire::DOOR_VAR, &self.door)
                .env("LD_PRELOAD", self.preloaded(app));
        }
        if !app.pass_through {
            command
                .stdin(if self.background {
                    Stdio::piped()
                } else {
                    Stdio::null()
                })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
        }
        sys::set_up_child(
            &mut command,
            ChildSetup {
                descriptors: self.descriptors,
                own_group: !app.pass_through,
                identity: app.identity.as_ref().map(|identity| sys::Identity {
                    uid: identity.uid,
                    gid: identity.gid,
                    groups: identity.groups.clone(),
                }),
            },
        );
        let mut channel = None;
        if self.wants_channel(app) {
            let (ours, theirs) = Channel::open((instance, run), self.ready.clone())?;
            theirs.give(&mut command, &self.place);
            channel = Some(ours);
        }
        let mut child = command.spawn()?;
        let output = child.stdout.take().zip(child.stderr.take());
        let stdin = child.stdin.take().map(OwnedFd::from);
        if let Some(stdin) = &stdin {
            // Who does not read must not hold us up.
            rustix::io::ioctl_fionbio(stdin, true)?;
        }
        Ok(Spawned {
            pid: i32::try_from(child.id()).map_err(io::Error::other)?,
            output: output.map(|(out, err)| (out.into(), err.into())),
            stdin,
            channel,
        })
    }

    /// Whether a worker gets Node's channel: Node and Bun do, as with pm2, and whatever is to use it.
    fn wants_channel(&self, app: &App) -> bool {
        let interpreter = app.interpreter.as_ref();
        let runtime = interpreter.and_then(|interpreter| interpreter.path.file_name()?.to_str());
        let knows = runtime.is_some_and(|it| it.starts_with("node") || it.starts_with("bun"));
        app.wait_ready || app.shutdown_with_message || self.background && knows
    }

    /// Our library, and after it what the user preloads.
    fn preloaded(&self, app: &App) -> OsString {
        let mut value = self.library.clone().into_os_string();
        let theirs = app.env.get(OsStr::new("LD_PRELOAD"));
        if let Some(theirs) = theirs.filter(|theirs| !theirs.is_empty()) {
            value.push(":");
            value.push(theirs);
        }
        value
    }
}
