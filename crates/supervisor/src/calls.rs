//! What the command line asks for.
//!
//! A request that takes time becomes an operation (`operations.rs`), which waits for what comes of
//! each instance that it touches.

use std::io;
use std::rc::Rc;

use rustix::process::{Signal, kill_process};

use super::Supervisor;
use super::instance;
use super::instances::Instances;
use super::operations::{Goal, Operation};
use super::shutdown::Afterwards;
use super::slot::Slot;
use config::App;
use home::control::{Answer, Call, Reply, Request, Server, Snapshot};
use telemetry::ids::{Instance, InstanceId};

impl Supervisor {
    /// Does what somebody asks for.
    pub(super) async fn called(&mut self, call: Call) {
        let Call { request, answer } = call;
        if let Some(refusal) = self.shutdown.refuses(&request) {
            return answer.send(Reply::Failed(refusal));
        }
        if !matches!(
            request,
            Request::Status | Request::Metrics | Request::Await | Request::Events { .. }
        ) {
            self.reports.tally.commanded();
        }
        match request {
            Request::Status => {
                self.dispatch.count().await;
                answer.send(Reply::Done(Box::new(self.snapshot())));
            }
            Request::Metrics => {
                let metrics = self.metrics().await;
                answer.send(Reply::Metrics(Box::new(metrics)));
            }
            Request::Events { since } => self.reports.followers.add(since, answer),
            Request::Await => self.wait_for_all(answer),
            Request::Start { ids } => {
                let operation = Operation::new("start", Goal::Up, answer);
                let instances = self.instances.meant_numbers(&ids);
                self.begin(operation, instances, instance::Event::Start);
            }
            Request::Stop { ids } => {
                let operation = Operation::new("stop", Goal::Stopped, answer);
                let instances = self.instances.meant_numbers(&ids);
                self.begin(operation, instances, instance::Event::Stop);
            }
            Request::Restart { ids, app } => self.restart(&ids, answer, app),
            Request::Reload { ids, app } => self.reload(&ids, answer, app),
            Request::Delete { ids } => self.delete(&ids, answer),
            Request::Scale { instances, ids } => self.scale(instances, &ids, answer),
            Request::Reset { ids } => {
                for slot in self.instances.meant(&ids) {
                    slot.lifecycle.reset();
                }
                self.write_record();
                answer.send(Reply::Done(Box::new(self.snapshot())));
            }
            Request::Update { program } => self.takeover.ask_for_update(program, answer),
            Request::ReopenLogs => {
                self.reports.output.reopen();
                answer.send(Reply::Done(Box::new(self.snapshot())));
            }
            Request::Signal { ids, signal } => {
                let sent = self.instances.signal_meant(&ids, signal);
                self.done_at_once(sent, &answer);
            }
            Request::Send { id, line } => {
                let sent = self.instances.send_line(id, &line);
                self.done_at_once(sent, &answer);
            }
            // Where there is no control socket, there is no folder either.
            Request::Reappear => answer.fail("it has no folder"),
            Request::Kill => {
                let operation = Operation::new("kill", Goal::Stopped, answer);
                self.operations.all.push(operation.until_the_end());
                self.end("kill", None);
            }
        }
    }

    /// Writes the app's folder again, and is to be found there.
    pub(super) fn reappear(&mut self, answer: &Answer, server: &mut Server) {
        if let Some(refusal) = self.shutdown.refuses(&Request::Reappear) {
            return answer.send(Reply::Failed(refusal));
        }
        let Some(claim) = &mut self.folders.claim else {
            return answer.fail("it has no folder");
        };
        let anew = claim.restore().and_then(|()| claim.folder().listen());
        let served = anew.and_then(|socket| Ok(server.serve_anew(socket)?));
        match served {
            Ok(()) => {
                self.write_record();
                answer.send(Reply::Done(Box::new(self.snapshot())));
            }
            Err(error) => answer.fail(format!("{error:#}")),
        }
    }

    /// How everything is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let now = self.now();
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            supervisor: i32::try_from(std::process::id()).unwrap_or(0),
            follows: self.takeover.follows(),
            app: (*self.app).clone(),
            leaves: self.shutdown.has_begun() || self.shutdown.removes(),
            created_at: self.folders.created_at,
            instances: self
                .instances
                .slots
                .iter()
                .map(|slot| slot.view(now, self.renewal.is_waiting(), &self.dispatch.figures))
                .collect(),
            listeners: self.dispatch.view(),
            descriptors: self.descriptors.lacking(&self.app, self.instances.len()),
        }
    }

    fn restart(&mut self, ids: &Option<Vec<InstanceId>>, answer: Answer, app: Option<Box<App>>) {
        let instances = self.instances.meant_numbers(ids);
        if let Some(app) = app {
            let app = Rc::new(*app);
            if let Some(fault) = self.cannot_become(&app) {
                return answer.fail(fault);
            }
            self.set_app(app.clone());
            for slot in &mut self.instances.slots {
                slot.set_app(app.clone());
            }
            self.set_triggers();
        }
        let operation = Operation::new("restart", Goal::Up, answer);
        self.begin(operation, instances, instance::Event::Restart);
    }

    /// The app is described so from now on; instances hear of it when their turn comes.
    pub(super) fn set_app(&mut self, app: Rc<App>) {
        self.reports.set_app(&app);
        self.app = app;
    }

    /// What a running supervisor cannot take over from a new configuration.
    fn cannot_become(&self, app: &App) -> Option<String> {
        let same = self.app.can_become(app);
        (!same).then(|| {
            format!(
                "{}: {} needs another supervisor: `maitred stop` the app and `maitred start` it",
                app.name,
                self.app.changed_for_good(app)
            )
        })
    }

    fn reload(&mut self, ids: &Option<Vec<InstanceId>>, answer: Answer, app: Option<Box<App>>) {
        let app = app.map(|app| Rc::new(*app));
        if let Some(app) = &app
            && let Some(fault) = self.cannot_become(app)
        {
            return answer.fail(fault);
        }
        if let Err(reason) = self
            .descriptors
            .suffice_for_reload(&self.app, &self.instances)
        {
            return answer.fail(format!("{} is not reloaded: {reason}", self.app.name));
        }
        let operation = Operation::new("reload", Goal::Up, answer);
        let instances = self.instances.meant_numbers(ids);
        self.begin_in_turn(operation.in_turn(instances, app));
    }

    fn delete(&mut self, ids: &Option<Vec<InstanceId>>, answer: Answer) {
        let mut operation = Operation::new("delete", Goal::Stopped, answer);
        let instances = self.instances.meant_numbers(ids);
        for slot in self.instances.meant(ids) {
            slot.removed = true;
        }
        if self.instances.iter().all(|slot| slot.removed) {
            operation = operation.until_the_end();
            self.shutdown.afterwards = Afterwards::Removed;
        }
        self.begin(operation, instances, instance::Event::Stop);
    }

    fn scale(&mut self, instances: u32, ids: &[InstanceId], answer: Answer) {
        let count = usize::try_from(instances).unwrap_or(usize::MAX);
        let staying = self.instances.meant_numbers(&None);
        let missing = count.saturating_sub(staying.len());
        if ids.len() < missing {
            return answer.fail(format!(
                "{} was scaled by another command at the same time; try again",
                self.app.name
            ));
        }
        if count > staying.len()
            && let Err(reason) = self.descriptors.suffice_for(&self.app, count)
        {
            return answer.fail(format!("{} is not scaled: {reason}", self.app.name));
        }
        let mut app = (*self.app).clone();
        app.instances = instances;
        self.set_app(Rc::new(app));
        let gone: Vec<_> = staying.into_iter().skip(count).collect();
        if !gone.is_empty() {
            for slot in &mut self.instances.slots {
                slot.removed |= gone.contains(&slot.instance);
            }
            let operation = Operation::new("scale", Goal::Stopped, answer);
            return self.begin(operation, gone, instance::Event::Remove);
        }
        // Those that are about to go have their numbers until they are gone.
        let taken = self.instances.numbers();
        let added: Vec<_> = Instance::free(&taken).zip(ids).take(missing).collect();
        self.instances.add(&added, &self.app);
        let added = added.into_iter().map(|(instance, _)| instance).collect();
        let operation = Operation::new("scale", Goal::Up, answer);
        self.begin(operation, added, instance::Event::Start);
    }

    /// Forgets an instance that is to go, and is at rest.
    pub(super) fn remove_if_done(&mut self, instance: Instance) {
        let gone =
            |slot: &Slot| slot.instance == instance && slot.removed && slot.lifecycle.is_at_rest();
        if self.instances.iter().any(gone) && !self.shutdown.removes() {
            self.instances.slots.retain(|slot| !gone(slot));
            self.write_record();
        }
    }

    /// Answers a request that is done at once, or could not be.
    fn done_at_once(&self, done: Result<(), String>, answer: &Answer) {
        match done {
            Ok(()) => answer.send(Reply::Done(Box::new(self.snapshot()))),
            Err(reason) => answer.fail(reason),
        }
    }
}

impl Instances {
    /// Sends a signal to the processes of those that are meant.
    fn signal_meant(&mut self, ids: &Option<Vec<InstanceId>>, signal: i32) -> Result<(), String> {
        let Some(signal) = Signal::from_named_raw(signal) else {
            return Err(format!("there is no signal {signal}"));
        };
        let mut pids = Vec::new();
        for slot in self.meant(ids) {
            pids.extend(slot.pids());
        }
        if pids.is_empty() {
            return Err("no process of it runs: nothing was sent".to_owned());
        }
        for pid in pids {
            kill_process(pid, signal)
                .map_err(|error| format!("sending the signal to {pid:?}: {error}"))?;
        }
        Ok(())
    }

    /// Sends a line to the standard input of an instance.
    fn send_line(&mut self, id: InstanceId, line: &str) -> Result<(), String> {
        let ids = Some(vec![id]);
        let current = |slot: &mut Slot| slot.lifecycle.current().map(|run| run.id);
        let stdin = self.meant(&ids).next().and_then(|slot| {
            let run = current(slot)?;
            slot.process(run)?.stdin.as_ref()
        });
        let Some(stdin) = stdin else {
            return Err(format!("instance {id} does not run"));
        };
        let bytes = [line.as_bytes(), b"\n"].concat();
        match rustix::io::write(stdin, &bytes) {
            Ok(length) if length == bytes.len() => Ok(()),
            Ok(_) => {
                Err("it took only a part of the line: the pipe to its input is full".to_owned())
            }
            Err(error) => Err(format!(
                "it does not take the line: {}",
                io::Error::from(error)
            )),
        }
    }
}
