//! The one loop: takes objects from the queue, decides, executes, reports, and says when to look again.
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use plan::failure::{Class, Failure};
use plan::{Next, Step};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::context::{Context, Fresh};
use crate::decision::Decision;
use crate::execute::Done;
use crate::kinds::Kind;
use crate::metrics::Metrics;
use crate::object::{Item, Lane, ObjectName};
use crate::queue::{Attempts, Queue};
use crate::report::Reporter;
use crate::store::Source;

/// Everything that the loop works with. Cheap to share.
#[derive(Clone)]
pub(crate) struct Loop {
    pub(crate) kinds: Arc<[Kind]>,
    pub(crate) lane: Lane,
    pub(crate) context: Context,
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Metrics,
    pub(crate) work: Arc<Work>,
    /// Puts objects into the queue of the workers that they are for.
    pub(crate) wake: Arc<dyn Fn(Vec<Item>) + Send + Sync>,
}

/// How often one object is decided about in one turn.
const ROUNDS: u32 = 12;

/// What became of the steps of a decision.
#[derive(Default)]
struct Executed {
    steps: usize,
    /// Whether what was written can be decided upon at once.
    again: bool,
    /// Whether an operation has begun.
    started: bool,
    /// Whether the object itself may be gone.
    gone: bool,
    failure: Option<Failure>,
}

/// The queue, and who waits for it.
#[derive(Default)]
pub(crate) struct Work {
    queue: Mutex<Queue>,
    more: Notify,
}

impl Work {
    /// Asks for objects to be reconciled at a time.
    pub(crate) fn push(&self, items: Vec<Item>, at: Instant) {
        self.push_with(items, |queue, item| queue.push(item, at));
    }

    /// Asks for objects to be reconciled at a time, ahead of others.
    pub(crate) fn push_first(&self, items: Vec<Item>, at: Instant) {
        self.push_with(items, |queue, item| queue.push_first(item, at));
    }

    fn push_with(&self, items: Vec<Item>, push: impl Fn(&mut Queue, Item)) {
        if items.is_empty() {
            return;
        }
        let mut queue = self.queue();
        for item in items {
            push(&mut queue, item);
        }
        drop(queue);
        self.more.notify_waiters();
        self.more.notify_one();
    }

    async fn pop(&self) -> Item {
        loop {
            let more = self.more.notified();
            let due = {
                let mut queue = self.queue();
                if let Some(item) = queue.pop(Instant::now()) {
                    // Another worker may have missed the word while this one took it.
                    self.more.notify_one();
                    return item;
                }
                queue.next_due()
            };
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! { () = more => {}, () = wait => {} }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is remembered of objects between reconciles.
#[derive(Default)]
pub(crate) struct Memory {
    attempts: Attempts<Item>,
    ready: BTreeMap<Item, bool>,
    /// Objects for which Azure has been away for a while.
    away: BTreeSet<Item>,
    /// When they were last woken.
    woken: Option<Instant>,
}

/// After how many tries without an answer Azure is held to be away: until then, back-off is short enough.
const AWAY_AFTER: u32 = 4;
/// The shortest time between two times at which those for which Azure is away are woken.
const WAKE_EVERY: Duration = Duration::from_secs(30);

impl Memory {
    /// Notes that Azure did not answer an object, which had failed so often before.
    fn unanswered(&mut self, item: &Item, before: u32) {
        if before + 1 >= AWAY_AFTER {
            self.away.insert(item.clone());
        }
    }

    /// Notes that an object could ask Azure again; gives those that have waited for that, and when to look at them.
    /// They need not wait for the end of their back-off: the buckets see to it that they don't all come at once.
    fn recovered(&mut self, item: &Item, now: Instant) -> (Vec<Item>, Instant) {
        self.away.remove(item);
        let at = self.woken.map_or(now, |woken| now.max(woken + WAKE_EVERY));
        if !self.away.is_empty() {
            self.woken = Some(at);
        }
        (std::mem::take(&mut self.away).into_iter().collect(), at)
    }
}

impl Loop {
    /// Works until told to stop; an object that is being worked on is finished first.
    pub(crate) async fn work(self, memory: Arc<Mutex<Memory>>, mut stop: watch::Receiver<bool>) {
        let mut leadership = self.reporter.executor.leadership.clone();
        loop {
            let item = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                item = async { leadership.acquired().await; self.work.pop().await } => item,
            };
            if self.context.store.lane(&item) != self.lane {
                // It has changed sides while it waited.
                self.work.queue().done(&item);
                (self.wake)(vec![item]);
            } else if let Some(kind) = self.kinds.iter().find(|kind| kind.primary == item.primary) {
                let (namespace, name) = (&*item.object.namespace, &*item.object.name);
                let span = tracing::info_span!("reconcile", controller = kind.name, namespace, name);
                let next = self.reconcile(kind, &item, &memory).instrument(span).await;
                self.work.queue().done(&item);
                if let Next::After(wait) = next {
                    self.work.push(vec![item], Instant::now() + wait);
                }
            } else {
                self.work.queue().done(&item);
            }
        }
    }

    /// Reconciles one object, whatever happens inside: a panic concerns this object only.
    async fn reconcile(&self, kind: &Kind, item: &Item, memory: &Mutex<Memory>) -> Next {
        let started = Instant::now();
        let caught = AssertUnwindSafe(self.attempt(kind, item)).catch_unwind().await;
        let outcome = match caught {
            Ok(outcome) => outcome,
            Err(panic) => {
                self.metrics.panicked(kind.name);
                Outcome::failed(self.report_panic(kind, item, &panic_message(&*panic)).await)
            }
        };
        self.metrics.reconciled(kind.name, outcome.name, started.elapsed().as_secs_f64());
        let mut memory = lock(memory);
        match outcome.ready {
            Some(ready) => memory.ready.insert(item.clone(), ready),
            None => memory.ready.remove(item),
        };
        self.count(kind, &memory);
        let Some(failure) = outcome.failure else {
            // Whoever never failed, or is gone, knows nothing of a return.
            if memory.attempts.clear(item) > 0 && outcome.name != "gone" {
                self.wake_waiting(&mut memory, item);
            }
            memory.away.remove(item);
            return outcome.next;
        };
        tracing::warn!(class = ?failure.class, message = %failure.message, "a reconcile failed");
        let before = memory.attempts.failed(item);
        match failure.class {
            Class::Unreachable => memory.unanswered(item, before),
            _ if memory.away.contains(item) => self.wake_waiting(&mut memory, item),
            _ => {}
        }
        drop(memory);
        let next = failure.next(before, jitter());
        let asked = matches!(failure.class, Class::Throttled(_) | Class::AzureThrottled(_));
        if let (true, Next::After(wait)) = (asked, next) {
            // News of its children would otherwise bring it back before the server's time.
            self.work.queue().hold(item, Instant::now() + wait);
        }
        next
    }

    fn wake_waiting(&self, memory: &mut Memory, item: &Item) {
        if self.lane == Lane::Azure {
            let (waiting, at) = memory.recovered(item, Instant::now());
            self.work.push(waiting, at);
        }
    }

    /// Decides and executes, and decides again when what was written in Azure answered at once: what it answered need
    /// not be read, and what waited for it need not wait for another turn.
    async fn attempt(&self, kind: &Kind, item: &Item) -> Outcome {
        let mut fresh = Fresh::new();
        let mut first_status = None;
        let mut events = Vec::new();
        let mut steps = 0;
        for round in 1.. {
            let mut decision = match (kind.decide)(&self.context, kind, &item.object, &mut fresh).await {
                Ok(Some(decision)) => decision,
                Ok(None) => {
                    return Outcome { name: "gone", ready: None, next: Next::OnChange, failure: None };
                }
                Err(error) => {
                    let message = format!("failed to read the object: {error:#}");
                    return Outcome::failed(Failure { class: Class::Invalid, message });
                }
            };
            let old_status = first_status.get_or_insert_with(|| decision.old_status.clone()).clone();
            let news = std::mem::take(&mut decision.events).into_iter();
            events.extend(news.filter(|event| !events.contains(event)).collect::<Vec<_>>());
            let executed = self.execute(kind, &mut decision, &mut fresh).await;
            steps += executed.steps;
            if executed.gone {
                return Outcome { name: "changed", ready: None, next: Next::OnChange, failure: None };
            }
            if executed.failure.is_none() && executed.again && round < ROUNDS {
                continue;
            }
            // Events of a decision that failed are put in place of those of the plan.
            if executed.failure.is_none() {
                decision.events = events;
            }
            let decision = decision.since(old_status);
            return self.conclude(kind, item, &decision, executed.failure, steps).await;
        }
        unreachable!("the rounds are counted without an end")
    }

    /// Takes the steps of a decision, until one fails.
    async fn execute(&self, kind: &Kind, decision: &mut Decision, fresh: &mut Fresh) -> Executed {
        let mut executed = Executed::default();
        if let Some(failure) = decision.failure.take() {
            decision.fail(&failure, Timestamp::now());
            executed.failure = Some(failure);
            return executed;
        }
        for step in &std::mem::take(&mut decision.steps) {
            let done = self.reporter.executor.execute(kind, decision, step).await;
            self.metrics.step(kind.name, step, done.is_ok());
            executed.steps += 1;
            match done {
                Ok(done) => {
                    tracing::info!(%step, "done");
                    decision.performed(step, done.operation());
                    match done {
                        Done::Written => {
                            executed.again |= step.is_seen_at_once();
                            // The answer did not say what is there now.
                            fresh.retain(|id, _| step.resource() != Some(id));
                        }
                        Done::Resource(id, seen) => {
                            executed.again = true;
                            fresh.insert(id, seen);
                        }
                        Done::Started(operation) => {
                            executed.started = true;
                            decision.started(&operation, Timestamp::now());
                        }
                        Done::Recorded(entry) => {
                            let is_wanted = matches!(step, Step::Record(wanted) if wanted.spec == *entry);
                            decision.recorded(&entry);
                            if !is_wanted {
                                // What comes behind it is to be decided anew.
                                break;
                            }
                        }
                        Done::Gone => executed.gone = true,
                    }
                }
                Err(failure) => {
                    decision.fail(&failure, Timestamp::now());
                    executed.failure = Some(failure);
                    break;
                }
            }
        }
        // An operation must be in the status before anything else happens, so that a restart resumes it.
        executed.again &= !executed.started;
        executed
    }

    /// Reports, and wakes what waited for this object.
    async fn conclude(
        &self,
        kind: &Kind,
        item: &Item,
        decision: &Decision,
        failure: Option<Failure>,
        steps: usize,
    ) -> Outcome {
        let reported = self.reporter.report(kind.primary, &(kind.resource)(), decision).await;
        if reported.is_ok() && decision.tells {
            (self.wake)(self.context.store.told_by(item));
        } else if reported.is_ok() && decision.is_ready() && !decision.was_ready() {
            (self.wake)(self.context.store.dependents(item));
        }
        // News that came with the answer is not told again by the watch.
        let next = if matches!(reported, Ok(true)) { Next::After(Duration::ZERO) } else { decision.next };
        let failure = failure.or(reported.err());
        let name = match (&failure, steps) {
            (Some(_), _) => "failed",
            (None, 0) => "unchanged",
            (None, _) => "changed",
        };
        Outcome { name, ready: Some(decision.is_ready() && failure.is_none()), next, failure }
    }

    /// Says in the status that the operator failed inside. The failure is the panic's, or that of the report.
    async fn report_panic(&self, kind: &Kind, item: &Item, message: &str) -> Failure {
        tracing::error!(message, "a reconcile panicked");
        let failure =
            Failure { class: Class::Panicked, message: format!("the operator failed inside: {message}") };
        let object = self.context.store.object(Source::Primary(item.primary), &item.object);
        if let Ok(Some(object)) = object {
            let mut decision = Decision::unplanned(object.metadata, object.status);
            decision.fail(&failure, Timestamp::now());
            if let Err(failure) = self.reporter.report(kind.primary, &(kind.resource)(), &decision).await {
                return failure;
            }
        }
        failure
    }

    fn count(&self, kind: &Kind, memory: &Memory) {
        let first = Item { primary: kind.primary, object: ObjectName::new("", "") };
        let of_kind = memory.ready.range(first..).take_while(|(item, _)| item.primary == kind.primary);
        let (mut ready, mut unready) = (0, 0);
        for (_, is_ready) in of_kind {
            *(if *is_ready { &mut ready } else { &mut unready }) += 1;
        }
        self.metrics.objects(kind.name, ready, unready);
    }

    /// Asks for every object to be reconciled.
    pub(crate) fn push_all(&self) {
        for kind in self.kinds.iter() {
            let items = self.context.store.items(kind.primary);
            let ours = items.into_iter().filter(|item| self.context.store.lane(item) == self.lane);
            self.work.push(ours.collect(), Instant::now());
        }
        if self.lane == Lane::Cluster {
            self.work.push(self.context.store.orphans(), Instant::now());
        }
    }
}

struct Outcome {
    name: &'static str,
    ready: Option<bool>,
    next: Next,
    failure: Option<Failure>,
}

impl Outcome {
    fn failed(failure: Failure) -> Self {
        let name = if failure.class == Class::Panicked { "panicked" } else { "failed" };
        Self { name, ready: Some(false), next: Next::OnChange, failure: Some(failure) }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// A number in `0.0..1.0` that differs from call to call, to spread retries.
fn jitter() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    f64::from(RandomState::new().hash_one(()) as u32) / f64::from(u32::MAX)
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
