//! Starting a worker: its environment, its place in the process tree, its output.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sys::{ChannelPlace, ChildSetup, Tie};
use tokio::sync::mpsc;

use super::descriptors;
use super::instance::RunId;
use super::pipes;
use config::{App, Environment, ExecMode, RUN_VAR};
use home::runtime_folder::RuntimeFolder;
use process::cgroup::{self, Branch, Group};
use process::node_ipc::Channel;
use telemetry::ids::Instance;

/// Says who distributes connections in `node:cluster`, in Node and Bun: with "none" its workers listen
/// themselves, and are workers for us, too. Otherwise the primary accepts and passes connections on,
/// also to a worker that is blocked. What the app sets, here or in its code, stays.
const CLUSTER_POLICY: &str = "NODE_CLUSTER_SCHED_POLICY";

/// How many processes that say that they are ready may wait to be heard.
const READY: usize = 1024;

/// What every worker of an app is given.
#[derive(Debug)]
pub(super) struct Spawner {
    /// That of our folder, which no other supervisor has.
    name: String,
    library: PathBuf,
    door: PathBuf,
    /// Where instances can have bounds.
    branch: Option<Branch>,
    /// The soft limit of descriptors that we were started with: ours is raised, theirs stays.
    descriptors: Option<u64>,
    /// Whether it is managed by commands: workers get an open standard input, for lines that the
    /// user sends, and Node's channel if they can speak over it.
    managed: bool,
    /// Where workers find their end of that channel.
    place: ChannelPlace,
    /// Hears of those that have said over it that they are ready.
    ready_in: mpsc::Sender<Ready>,
    ready: mpsc::Receiver<Ready>,
    /// What workers end with that may outlive this supervisor.
    tie: Option<&'static Tie>,
}

/// A process of an instance has said that it is ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) instance: Instance,
    pub(super) run: RunId,
}

/// A worker that was started.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) pid: i32,
    /// Its standard output and error, unless they are the caller's.
    pub(super) output: Option<(OwnedFd, OwnedFd)>,
    /// Its standard input, if we can write to it.
    pub(super) stdin: Option<OwnedFd>,
    /// Node's channel to it, if it has one.
    pub(super) channel: Option<Channel>,
    /// Its control group, if it has one.
    pub(super) group: Option<Group>,
}

impl Spawner {
    /// # Errors
    /// If there is no descriptor left.
    pub(super) fn new(
        folder: &RuntimeFolder,
        branch: Option<Branch>,
        managed: bool,
        tie: Option<&'static Tie>,
    ) -> io::Result<Self> {
        let (ready_in, ready) = mpsc::channel(READY);
        Ok(Self {
            name: folder.name(),
            library: folder.library(),
            door: folder.door(),
            branch,
            descriptors: descriptors::raise_limit(),
            managed,
            place: ChannelPlace::hold()?,
            ready_in,
            ready,
            tie,
        })
    }

    /// Where those are heard of that say that they are ready.
    pub(super) fn ready(&self) -> mpsc::Sender<Ready> {
        self.ready_in.clone()
    }

    /// The next process that says that it is ready.
    pub(super) async fn next_ready(&mut self) -> Option<Ready> {
        self.ready.recv().await
    }

    /// What is preloaded into workers.
    pub(super) fn library(&self) -> &Path {
        &self.library
    }

    /// How many descriptors what we start may have open.
    pub(super) fn descriptors(&self) -> Option<u64> {
        self.descriptors
    }

    /// What the variable is set to by which the processes of a run are known, on the whole machine.
    fn mark(&self, instance: Instance, run: RunId) -> String {
        format!("{instance}.{run}.{}", self.name)
    }

    /// The entry of the environment by which the processes of a run are known.
    pub(super) fn entry(&self, instance: Instance, run: RunId) -> String {
        format!("{RUN_VAR}={}", self.mark(instance, run))
    }

    /// Starts one worker in this environment. It ends with the thread that calls this, or with the guard.
    ///
    /// # Errors
    /// If the program cannot be executed.
    pub(super) fn spawn(
        &self,
        app: &App,
        env: &Environment,
        instance: Instance,
        run: RunId,
    ) -> io::Result<Spawned> {
        let mut command = Command::new(app.program());
        command
            .args(app.program_args())
            .current_dir(&app.cwd)
            .env_clear()
            .envs(env)
            .env(RUN_VAR, self.mark(instance, run));
        if app.exec_mode == ExecMode::Cluster {
            command
                .env(wire::INSTANCE_VAR, instance.to_string())
                .env(wire::SUPERVISOR_VAR, std::process::id().to_string())
                .env(wire::DOOR_VAR, &self.door)
                .env("LD_PRELOAD", self.preloaded(app));
            if !env.contains_key(OsStr::new(CLUSTER_POLICY)) {
                command.env(CLUSTER_POLICY, "none");
            }
        }
        if !app.pass_through {
            command
                .stdin(if self.managed {
                    Stdio::piped()
                } else {
                    Stdio::null()
                })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
        }
        let group = self.group(app, instance, run)?;
        let entrance = group.as_ref().map(Group::entrance).transpose()?;
        sys::set_up_child(
            &mut command,
            ChildSetup {
                control_group: entrance.map(OwnedFd::from),
                descriptors: self.descriptors,
                own_group: !app.pass_through,
                identity: app.identity.as_ref().map(sys::Identity::from),
                tied_to: self.tie.map(Tie::path),
            },
        );
        let channel = self.open_channel(app, Ready { instance, run }, &mut command)?;
        let mut child = command.spawn()?;
        let output = child.stdout.take().zip(child.stderr.take());
        let output = output.map(|(out, err)| (OwnedFd::from(out), OwnedFd::from(err)));
        if let Some((out, err)) = &output {
            pipes::widen([out, err], app.instances);
        }
        let stdin = child.stdin.take().map(OwnedFd::from);
        if let Some(stdin) = &stdin {
            // Who does not read must not hold us up.
            rustix::io::ioctl_fionbio(stdin, true)?;
        }
        Ok(Spawned {
            pid: i32::try_from(child.id()).map_err(io::Error::other)?,
            output,
            stdin,
            channel,
            group,
        })
    }

    /// The control group that keeps a run within its bound, if it has one and that can be had.
    pub(super) fn group(
        &self,
        app: &App,
        instance: Instance,
        run: RunId,
    ) -> io::Result<Option<Group>> {
        let (Some(branch), Some(limit)) = (&self.branch, app.max_memory) else {
            return Ok(None);
        };
        let name = format!("{}.{instance}.{run}", self.name);
        branch.group(&name, cgroup::bound_of(limit)).map(Some)
    }

    /// Gives the worker Node's channel, if it needs one or would expect it.
    fn open_channel(
        &self,
        app: &App,
        ready: Ready,
        command: &mut Command,
    ) -> io::Result<Option<Channel>> {
        if app.pass_through {
            return Ok(None);
        }
        // One that was given to us is not for our workers.
        Channel::withhold(command);
        let wanted = app.wait_ready || app.shutdown_with_message;
        let expected = self.managed && speaks_ipc(app.program());
        if !wanted && !expected {
            return Ok(None);
        }
        let (channel, end) = Channel::open(ready, self.ready())?;
        end.give(command, &self.place);
        Ok(Some(channel))
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

/// Why a worker could not be started.
pub(super) fn reason(app: &App, error: &io::Error) -> String {
    let (program, folder) = (app.program(), &app.cwd);
    let missing = error.kind() == io::ErrorKind::NotFound;
    if missing && !folder.is_dir() {
        return format!("its folder {} is not there", folder.display());
    }
    let mut reason = format!("executing {}: {error}", program.display());
    if missing && program.is_file() {
        // The kernel says the same of what the program needs.
        reason.push_str(
            "; it is there, but the interpreter that its first line names, or its loader, is not",
        );
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        reason.push_str("; the program must be executable, and its folder open, to its user");
    }
    reason
}

/// Whether a runtime offers `process.send` to its programs.
fn speaks_ipc(program: &Path) -> bool {
    let name = program.file_name().and_then(OsStr::to_str);
    matches!(name, Some("node" | "nodejs" | "bun"))
}
