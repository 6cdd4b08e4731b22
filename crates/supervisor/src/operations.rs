//! What was asked for, and is under way.
//!
//! Operations do not wait for each other. A newer one takes an instance over; the older one goes on
//! waiting where both want the same of it, and otherwise hears which command came in between.

mod faults;
mod renewals;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::Supervisor;
use super::instance::{self, Outcome};
use super::slot::Slot;
use config::App;
use faults::{and, ended, fault, is_broken, seconds};
use home::Exit;
use home::control::{Answer, Refusal, Reply, Snapshot};
use telemetry::events::Event;
use telemetry::ids::Instance;

/// What is wanted of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Up,
    Stopped,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Operation {
    /// The command's name.
    name: &'static str,
    goal: Goal,
    /// Where the answer goes, if anybody has asked.
    answer: Option<Answer>,
    /// Instances of which it is not known yet what comes of them.
    waiting: Vec<Instance>,
    /// Instances whose turn is still to come.
    queue: VecDeque<Instance>,
    /// Instances that it has replaced.
    replaced: Vec<Instance>,
    /// What they run from then on.
    app: Option<Rc<App>>,
    faults: Vec<String>,
    /// How many instances were to be up, and how many of them are broken instead.
    meant: usize,
    broken: usize,
    /// When it began.
    begun: Duration,
    /// It is over only when the supervisor is.
    to_the_end: bool,
    /// It does not wait for a successor that another reload has started already.
    urgent: bool,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Operations {
    pub(super) all: Vec<Operation>,
    /// Hears when the first start of all instances is over.
    pub(super) awaits_start: Option<Answer>,
}

impl Operation {
    pub(super) fn new(name: &'static str, goal: Goal, answer: Answer) -> Self {
        Self::of(name, goal, Some(answer))
    }

    fn of(name: &'static str, goal: Goal, answer: Option<Answer>) -> Self {
        Self {
            name,
            goal,
            answer,
            waiting: Vec::new(),
            queue: VecDeque::new(),
            replaced: Vec::new(),
            app: None,
            faults: Vec::new(),
            meant: 0,
            broken: 0,
            begun: Duration::ZERO,
            to_the_end: false,
            urgent: false,
        }
    }

    /// A reload that somebody has asked for.
    fn is_reload(&self) -> bool {
        self.name == "reload" && self.answer.is_some()
    }

    /// One after the other, with another configuration if there is one.
    pub(super) fn in_turn(mut self, instances: Vec<Instance>, app: Option<Rc<App>>) -> Self {
        self.queue = instances.into();
        self.app = app;
        self
    }

    /// It is answered when the supervisor ends.
    pub(super) fn until_the_end(mut self) -> Self {
        self.to_the_end = true;
        self
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
            let all_broken = self.meant > 0 && self.broken == self.meant;
            Reply::Failed(Refusal::of_start(self.faults.join("\n"), all_broken))
        });
    }

    fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.queue.is_empty() && !self.to_the_end
    }
}

impl Operations {
    /// Tells those who wait what has happened.
    pub(super) fn progress(&self, event: &Event) {
        for operation in &self.all {
            operation.progress(event);
        }
    }

    /// What has gone wrong for all of them.
    pub(super) fn fault(&mut self, fault: &str) {
        for operation in &mut self.all {
            operation.fault(fault.to_owned());
        }
    }

    /// Answers all of them.
    pub(super) fn finish(&mut self, snapshot: &Snapshot) {
        for operation in self.all.drain(..) {
            operation.finish(snapshot);
        }
    }

    /// The operation at an index takes an instance over: older ones that want something else of it
    /// hear which command came in between. Those that want the same hear what comes of this one.
    fn take_over(&mut self, instance: Instance, index: usize, app: &App) {
        let (older, newer) = self.all.split_at_mut(index);
        let Some(newer) = newer.first() else {
            return;
        };
        for operation in older {
            let waited = operation.waiting.contains(&instance);
            // One that tries a configuration must not hear of a process that runs another one.
            let same = operation.goal == newer.goal && operation.app.is_none();
            if same || !waited && !operation.queue.contains(&instance) {
                continue;
            }
            operation.waiting.retain(|waiting| *waiting != instance);
            operation.queue.clear();
            operation.fault(format!(
                "{}-{instance}: another command (`{}`) came in between",
                app.name, newer.name
            ));
        }
    }

    /// The app ends: what was to be up will not be.
    pub(super) fn give_up(&mut self, app: &App) {
        for operation in &mut self.all {
            let unfinished = !operation.waiting.is_empty() || !operation.queue.is_empty();
            if operation.goal == Goal::Up && unfinished {
                operation.waiting.clear();
                operation.queue.clear();
                operation.fault(format!("{} is being stopped", app.name));
            }
        }
    }

    /// An instance has ended that a reload has replaced already: the others are left as they are.
    pub(super) fn ends_by_itself(
        &mut self,
        instance: Instance,
        status: Exit,
        uptime: Duration,
        app: &App,
    ) {
        let name = &app.name;
        for operation in &mut self.all {
            let waits = operation.waiting.contains(&instance);
            if waits || operation.queue.is_empty() || !operation.replaced.contains(&instance) {
                continue;
            }
            let left: Vec<_> = operation.queue.drain(..).collect();
            let left: Vec<_> = left.iter().map(|it| format!("{name}-{it}")).collect();
            operation.faults.push(format!(
                "{name}-{instance} {} after {}; {} not reloaded{}",
                ended(status),
                seconds(uptime),
                match &left[..] {
                    [one] => format!("{one} is"),
                    several => format!("{} are", and(several)),
                },
                app.see_logs()
            ));
        }
    }

    /// Something has come of an instance. The configuration that has been seen to work thereby, if one has.
    fn hear(&mut self, slot: &Slot, outcome: Outcome, app: &App) -> Option<Rc<App>> {
        let fault = fault(slot, app, outcome);
        let mut changed = None;
        for operation in &mut self.all {
            if operation.waiting.contains(&slot.instance) {
                operation
                    .waiting
                    .retain(|waiting| *waiting != slot.instance);
                operation.faults.extend(fault.clone());
                operation.broken += usize::from(is_broken(slot, app, outcome));
                if let Some(tried) = &operation.app
                    && fault.is_none()
                {
                    // It is seen to work.
                    changed = Some(tried.clone());
                }
            }
        }
        changed
    }

    /// Whether a command stops an instance.
    pub(super) fn are_stopping(&self, instance: Instance) -> bool {
        let mut operations = self.all.iter();
        operations.any(|it| it.goal == Goal::Stopped && it.waiting.contains(&instance))
    }
}

impl Supervisor {
    /// Lets instances hear of a command, and waits for what comes of it.
    pub(super) fn begin(
        &mut self,
        mut operation: Operation,
        instances: Vec<Instance>,
        event: instance::Event,
    ) {
        // Those who waited for them hear first that they need not.
        operation.waiting = instances.clone();
        operation.meant = instances.len();
        operation.begun = self.now();
        let older = self.operations.all.len();
        self.operations.all.push(operation);
        for instance in &instances {
            // What an older command is told here must not be taken for the answer to this one.
            self.operations.take_over(*instance, older, &self.app);
            if let Some(slot) = self.instances.slot(*instance) {
                slot.outcome = None;
                slot.end_try(false);
            }
        }
        for instance in instances {
            self.step(instance, event);
        }
        self.write_record();
        self.close_operations();
    }

    /// An operation that works its queue off.
    pub(super) fn begin_in_turn(&mut self, mut operation: Operation) {
        operation.begun = self.now();
        let older = self.operations.all.len();
        let instances = operation.queue.clone();
        self.operations.all.push(operation);
        for instance in instances {
            self.operations.take_over(instance, older, &self.app);
        }
        self.close_operations();
    }

    pub(super) fn wait_for_all(&mut self, answer: Answer) {
        let mut operation = Operation::new("start", Goal::Up, answer);
        for slot in &self.instances.slots {
            match slot.outcome {
                None if slot.lifecycle.is_at_rest() => {}
                None => operation.waiting.push(slot.instance),
                Some(outcome) => {
                    operation.meant += 1;
                    operation.broken += usize::from(is_broken(slot, &self.app, outcome));
                    operation.faults.extend(fault(slot, &self.app, outcome));
                }
            }
        }
        operation.meant += operation.waiting.len();
        // Who starts a supervisor asks when that is ready: by then much may have happened.
        for event in self.reports.followers.recent() {
            operation.progress(event);
        }
        self.operations.all.push(operation);
        self.close_operations();
    }

    /// Lets the next one of a queue have its turn.
    fn next_turn(&mut self, index: usize) -> bool {
        let waits = |it: &Operation| {
            !it.waiting.is_empty() || self.operations.has_to_wait(it, &self.instances)
        };
        if self.operations.all.get(index).is_none_or(waits) {
            return false;
        }
        let Some(operation) = self.operations.all.get_mut(index) else {
            return false;
        };
        if !operation.faults.is_empty() {
            operation.queue.clear();
        }
        let Some(instance) = operation.queue.pop_front() else {
            return false;
        };
        let app = operation.app.clone();
        let slot = self.instances.slot(instance);
        let Some(slot) = slot.filter(|slot| !slot.removed) else {
            return true;
        };
        operation.waiting.push(instance);
        slot.outcome = None;
        slot.end_try(false);
        let runs = slot.lifecycle.current().is_some();
        match app {
            Some(app) if runs => slot.try_app(app),
            Some(app) => slot.set_app(app),
            None => {}
        }
        // All run the same: the first one shows whether it is any good.
        let is_first = operation.answer.is_some() && operation.replaced.is_empty();
        if !operation.replaced.contains(&instance) {
            operation.replaced.push(instance);
        }
        self.step(
            instance,
            match is_first {
                true => instance::Event::TryOut,
                false => instance::Event::Reload,
            },
        );
        true
    }

    /// Something has come of an instance.
    pub(super) fn operations_hear(&mut self, instance: Instance, outcome: Outcome) {
        if outcome == Outcome::Superseded {
            // Whoever came in between has told those who waited.
            return;
        }
        let Some(slot) = self.instances.get(instance) else {
            return;
        };
        if let Some(app) = self.operations.hear(slot, outcome, &self.app) {
            self.set_app(app);
            self.set_triggers();
        }
    }

    /// Goes on with those operations that can, and answers those that are over.
    pub(super) fn close_operations(&mut self) {
        let mut index = 0;
        while index < self.operations.all.len() {
            while self.next_turn(index) {}
            // When all has come to rest the supervisor ends, and answers then.
            if self
                .operations
                .all
                .get(index)
                .is_some_and(Operation::is_over)
                && self.goes_on()
            {
                let operation = self.operations.all.remove(index);
                if operation.is_reload() {
                    self.reports.tally.reloaded(operation.faults.is_empty());
                }
                if let Some(done) = self.done(&operation) {
                    self.event(done);
                }
                // What is kept while the app ends is how it was before.
                if !self.shutdown.has_begun() {
                    self.write_record();
                }
                operation.finish(&self.snapshot());
                continue;
            }
            index += 1;
        }
    }

    /// What there is to tell of an operation that is over: who follows the app has not asked for it. The
    /// runs of a job are told by their ends.
    fn done(&self, operation: &Operation) -> Option<Event> {
        if operation.answer.is_none() && self.app.job().is_some() {
            return None;
        }
        let instances = match operation.name {
            "scale" => self.instances.iter().filter(|slot| !slot.removed).count(),
            "restart" => operation.meant,
            "reload" => operation.replaced.len(),
            _ => return None,
        };
        let lasted = self.now().saturating_sub(operation.begun);
        (instances > 0 || !operation.faults.is_empty()).then(|| Event::Done {
            command: operation.name.to_owned(),
            instances,
            lasted: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            faults: operation.faults.clone(),
        })
    }

    /// Whether there is anything left to supervise.
    fn goes_on(&self) -> bool {
        self.outcome().is_none()
    }
}
