//! What the command line asks for.
//!
//! A request that takes time becomes an [`Operation`]: it waits for what comes of each instance
//! that it touches, and answers when it knows of all. Operations do not wait for each other; a
//! newer one takes an instance over, and the older one hears of that.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use rustix::process::{Pid, Signal, kill_process};

use super::instance::{self, Outcome, Status};
use super::slot::Slot;
use super::{Afterwards, Supervisor};
use crate::config::App;
use crate::control::{Answer, Call, Refusal, Reply, Request, Snapshot};
use crate::events::Event;
use crate::home::{Kept, Rest};

/// A request under way.
#[derive(Debug)]
pub(super) struct Operation {
    /// Where the answer goes, if anybody has asked.
    answer: Option<Answer>,
    /// Instances of which it is not known yet what comes of them.
    waiting: Vec<u32>,
    /// Instances whose turn is still to come.
    queue: VecDeque<u32>,
    /// What they run from then on.
    app: Option<Rc<App>>,
    faults: Vec<String>,
    /// It is over only when the supervisor is.
    to_the_end: bool,
}

impl Operation {
    fn new(answer: Answer) -> Self {
        Self {
            answer: Some(answer),
            ..Self::internal(VecDeque::new())
        }
    }

    /// A reload that nobody has asked for.
    pub(super) fn internal(queue: VecDeque<u32>) -> Self {
        Self {
            answer: None,
            waiting: Vec::new(),
            queue,
            app: None,
            faults: Vec::new(),
            to_the_end: false,
        }
    }

    pub(super) fn progress(&self, event: &Event) {
        if let Some(answer) = &self.answer {
            answer.send(Reply::Progress(event.clone()));
        }
    }

    pub(super) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    pub(super) fn finish(self, snapshot: &Snapshot) {
        let Some(answer) = self.answer else {
            return;
        };
        answer.send(if self.faults.is_empty() {
            Reply::Done(Box::new(snapshot.clone()))
        } else {
            Reply::Failed(Refusal::new(self.faults.join("\n")))
        });
    }

    fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.queue.is_empty() && !self.to_the_end
    }
}

impl Supervisor {
    /// Does what somebody asks for.
    pub(super) async fn called(&mut self, call: Call) {
        let Call { request, answer } = call;
        if self.ending.is_some() && !matches!(request, Request::Status | Request::Kill) {
            return answer.fail(format!("{} is being ended", self.app.name));
        }
        match request {
            Request::Status => {
                self.count().await;
                answer.send(Reply::Done(Box::new(self.snapshot())));
            }
            Request::Await => self.wait_for_all(answer),
            Request::Start { ids } => self.command(&ids, answer, None, instance::Event::Start),
            Request::Stop { ids } => self.command(&ids, answer, None, instance::Event::Stop),
            Request::Restart { ids, app } => {
                self.command(&ids, answer, app, instance::Event::Restart);
            }
            Request::Reload { ids, app } => self.reload(&ids, answer, app),
            Request::Delete { ids } => self.delete(&ids, answer),
            Request::Scale { instances, ids } => self.scale(instances, &ids, answer),
            Request::Reset { ids } => {
                for slot in self.meant(&ids) {
                    slot.instance.reset();
                }
                self.write_record();
                answer.send(Reply::Done(Box::new(self.snapshot())));
            }
            Request::ReopenLogs => {
                self.output.reopen();
                answer.send(Reply::Done(Box::new(self.snapshot())));
            }
            Request::Signal { ids, signal } => self.signal(&ids, signal, &answer),
            Request::Send { id, line } => self.send_line(id, &line, &answer),
            Request::Kill => {
                let mut operation = Operation::new(answer);
                operation.to_the_end = true;
                self.operations.push(operation);
                self.end("kill", None);
            }
        }
    }

    /// How everything is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let now = self.now();
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            supervisor: i32::try_from(std::process::id()).unwrap_or(0),
            app: (*self.app).clone(),
            created_at: self.created_at,
            instances: self
                .slots
                .iter()
                .map(|slot| slot.view(now, &self.figures))
                .collect(),
            listeners: self.listeners.view(),
        }
    }

    fn meant(&mut self, ids: &Option<Vec<u32>>) -> impl Iterator<Item = &mut Slot> {
        let ids = ids.clone();
        self.slots
            .iter_mut()
            .filter(move |slot| ids.as_ref().is_none_or(|ids| ids.contains(&slot.id)))
    }

    fn numbers_of(&mut self, ids: &Option<Vec<u32>>) -> Vec<u32> {
        self.meant(ids).map(|slot| slot.number).collect()
    }

    /// Something that all instances meant do at once.
    fn command(
        &mut self,
        ids: &Option<Vec<u32>>,
        answer: Answer,
        app: Option<Box<App>>,
        event: instance::Event,
    ) {
        let numbers = self.numbers_of(ids);
        if let Some(app) = app {
            let app = Rc::new(*app);
            if let Some(fault) = self.cannot_become(&app) {
                return answer.fail(fault);
            }
            self.app = app.clone();
            for slot in &mut self.slots {
                slot.set_app(app.clone());
            }
            self.set_triggers();
        }
        self.begin(Operation::new(answer), numbers, event);
    }

    /// Lets instances hear of a command, and waits for what comes of it.
    fn begin(&mut self, mut operation: Operation, numbers: Vec<u32>, event: instance::Event) {
        // Those who waited for them hear first that they need not.
        operation.waiting = numbers.clone();
        for number in &numbers {
            if let Some(slot) = self.slot(*number) {
                slot.outcome = None;
                slot.end_try(false);
            }
        }
        let older = self.operations.len();
        self.operations.push(operation);
        for number in numbers {
            // What an older command is told here must not be taken for the answer to this one.
            self.take_over(number, older);
            self.step(number, event);
        }
        self.write_record();
        self.close_operations();
    }

    /// Those older operations that wait for an instance hear that another one has come.
    pub(super) fn take_over(&mut self, number: u32, older: usize) {
        let name = format!("{}-{number}", self.app.name);
        for operation in self.operations.iter_mut().take(older) {
            let waited = operation.waiting.contains(&number);
            if waited || operation.queue.contains(&number) {
                operation.waiting.retain(|waiting| *waiting != number);
                operation.queue.clear();
                operation.fault(format!("another command for {name} came in between"));
            }
        }
    }

    /// What a running supervisor cannot take over from a new configuration.
    fn cannot_become(&self, app: &App) -> Option<String> {
        let same = self.app.can_become(app);
        (!same).then(|| {
            format!(
                "{}: another exec_mode, balance, private port or user needs `maitred stop` and \
                 `maitred start`",
                app.name
            )
        })
    }

    fn wait_for_all(&mut self, answer: Answer) {
        let mut operation = Operation::new(answer);
        for slot in &self.slots {
            match slot.outcome {
                None if slot.instance.is_at_rest() => {}
                None => operation.waiting.push(slot.number),
                Some(outcome) => operation.faults.extend(fault(slot, &self.app, outcome)),
            }
        }
        self.operations.push(operation);
        self.close_operations();
    }

    fn reload(&mut self, ids: &Option<Vec<u32>>, answer: Answer, app: Option<Box<App>>) {
        let app = app.map(|app| Rc::new(*app));
        if let Some(app) = &app
            && let Some(fault) = self.cannot_become(app)
        {
            return answer.fail(fault);
        }
        let mut operation = Operation::new(answer);
        operation.app = app;
        operation.queue = self.numbers_of(ids).into();
        for number in operation.queue.clone() {
            self.take_over(number, self.operations.len());
        }
        self.operations.push(operation);
        self.close_operations();
    }

    /// Lets the next one of a queue have its turn.
    fn next_turn(&mut self, index: usize) -> bool {
        let Some(operation) = self.operations.get_mut(index) else {
            return false;
        };
        if !operation.waiting.is_empty() {
            return false;
        }
        if !operation.faults.is_empty() {
            operation.queue.clear();
        }
        let Some(number) = operation.queue.pop_front() else {
            return false;
        };
        operation.waiting.push(number);
        let app = operation.app.clone();
        if let Some(slot) = self.slot(number) {
            slot.outcome = None;
            slot.end_try(false);
            let runs = slot.instance.current().is_some();
            match app {
                Some(app) if runs => slot.try_app(app),
                Some(app) => slot.set_app(app),
                None => {}
            }
        }
        self.step(number, instance::Event::Reload);
        true
    }

    fn delete(&mut self, ids: &Option<Vec<u32>>, answer: Answer) {
        let numbers = self.numbers_of(ids);
        for slot in self.meant(ids) {
            slot.removed = true;
        }
        let mut operation = Operation::new(answer);
        if self.slots.iter().all(|slot| slot.removed) {
            operation.to_the_end = true;
            self.afterwards = Afterwards::Removed;
        }
        self.begin(operation, numbers, instance::Event::Stop);
    }

    fn scale(&mut self, instances: u32, ids: &[u32], answer: Answer) {
        let count = usize::try_from(instances).unwrap_or(usize::MAX);
        let mut app = (*self.app).clone();
        app.instances = instances;
        self.app = Rc::new(app);
        if count < self.slots.len() {
            let operation = Operation::new(answer);
            let gone: Vec<_> = self.slots.iter().skip(count).map(|it| it.number).collect();
            for slot in self.slots.iter_mut().skip(count) {
                slot.removed = true;
            }
            return self.begin(operation, gone, instance::Event::Stop);
        }
        let missing = count - self.slots.len();
        if ids.len() < missing {
            return answer.fail(format!(
                "{} was scaled by another command at the same time; try again",
                self.app.name
            ));
        }
        let numbers = self.numbers();
        let free = (0..).filter(|number| !numbers.contains(number));
        let added: Vec<_> = free.zip(ids).take(missing).collect();
        for (number, id) in &added {
            let kept = Kept::new(**id, *number, Rest::Runs);
            let mut slot = Slot::new(&kept, self.app.clone());
            let others = self.slots.first();
            slot.not_preloaded = others.and_then(|slot| slot.not_preloaded.clone());
            self.slots.push(slot);
        }
        self.slots.sort_by_key(|slot| slot.number);
        let added = added.into_iter().map(|(number, _)| number).collect();
        self.begin(Operation::new(answer), added, instance::Event::Start);
    }

    /// Forgets an instance that is to go, and is at rest.
    pub(super) fn remove_if_done(&mut self, number: u32) {
        let gone =
            |slot: &Slot| slot.number == number && slot.removed && slot.instance.is_at_rest();
        if self.slots.iter().any(gone) && self.afterwards != Afterwards::Removed {
            self.slots.retain(|slot| !gone(slot));
            self.write_record();
        }
    }

    fn signal(&mut self, ids: &Option<Vec<u32>>, signal: i32, answer: &Answer) {
        let Some(signal) = Signal::from_named_raw(signal) else {
            return answer.fail(format!("there is no signal {signal}"));
        };
        for slot in self.meant(ids) {
            if let Some(pid) = slot.pid().and_then(Pid::from_raw)
                && let Err(error) = kill_process(pid, signal)
            {
                return answer.fail(format!("sending the signal to {pid:?}: {error}"));
            }
        }
        answer.send(Reply::Done(Box::new(self.snapshot())));
    }

    fn send_line(&mut self, id: u32, line: &str, answer: &Answer) {
        let ids = Some(vec![id]);
        let current = |slot: &mut Slot| slot.instance.current().map(|run| run.generation);
        let stdin = self.meant(&ids).next().and_then(|slot| {
            let run = current(slot)?;
            slot.process(run)?.stdin.as_ref()
        });
        let Some(stdin) = stdin else {
            return answer.fail(format!("instance {id} does not run"));
        };
        let bytes = [line.as_bytes(), b"\n"].concat();
        match rustix::io::write(stdin, &bytes) {
            Ok(length) if length == bytes.len() => {
                answer.send(Reply::Done(Box::new(self.snapshot())));
            }
            Ok(_) => answer.fail("it took only a part of the line: it does not read its input"),
            Err(error) => answer.fail(format!(
                "it does not take the line: {}",
                io::Error::from(error)
            )),
        }
    }

    /// Something has come of an instance.
    pub(super) fn operations_hear(&mut self, number: u32, outcome: Outcome) {
        if outcome == Outcome::Superseded {
            // Whoever came in between has told those who waited.
            return;
        }
        let Some(slot) = self.slots.iter().find(|slot| slot.number == number) else {
            return;
        };
        let fault = fault(slot, &self.app, outcome);
        let mut changed = false;
        for operation in &mut self.operations {
            if operation.waiting.contains(&number) {
                operation.waiting.retain(|waiting| *waiting != number);
                operation.faults.extend(fault.clone());
                if let Some(app) = &operation.app
                    && fault.is_none()
                {
                    // It is seen to work.
                    self.app = app.clone();
                    changed = true;
                }
            }
        }
        if changed {
            self.set_triggers();
        }
    }

    /// Goes on with those operations that can, and answers those that are over.
    pub(super) fn close_operations(&mut self) {
        let mut index = 0;
        while index < self.operations.len() {
            while self.next_turn(index) {}
            // When all has come to rest the supervisor ends, and answers then.
            if self.operations.get(index).is_some_and(Operation::is_over) && self.goes_on() {
                let operation = self.operations.remove(index);
                self.write_record();
                operation.finish(&self.snapshot());
                continue;
            }
            index += 1;
        }
    }

    /// Whether there is anything left to supervise.
    fn goes_on(&self) -> bool {
        self.outcome().is_none()
    }
}

/// What is wrong with an outcome, if anything.
fn fault(slot: &Slot, app: &App, outcome: Outcome) -> Option<String> {
    let name = format!("{}-{}", app.name, slot.number);
    let still = match slot.instance.current() {
        Some(run) if run.up => "; the one before it goes on",
        _ => "",
    };
    match outcome {
        Outcome::Up { .. } | Outcome::Stopped | Outcome::Superseded => None,
        Outcome::Exited(Status::Code(0)) if !app.restart.auto => None,
        Outcome::Exited(Status::Code(code)) => Some(match &slot.not_started {
            Some(reason) => format!("{name} could not be started: {reason}{still}"),
            None => format!(
                "{name} has exited with code {code} before it was up{still}{}",
                app.see_logs()
            ),
        }),
        Outcome::Exited(Status::Signal(signal)) => Some(format!(
            "{name} was killed by signal {signal} before it was up{still}{}",
            app.see_logs()
        )),
        Outcome::NotUp => Some(format!(
            "{name} is not up after {} ms (listen_timeout){still}",
            app.listen_timeout.as_millis()
        )),
    }
}
