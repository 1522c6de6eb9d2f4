//! Where a rollout goes next: a function of where it stands, of what was seen and measured, and of what a person said.
//!
//! Invariant: without a verdict, without pods that answer and without a person's word, no share ever grows.
use std::collections::BTreeMap;
use std::time::Duration;

use api::Reason;
use api::endpoint::{
    Check, CheckMode, CheckOutcome, OnFailure, PauseCause, Rejected, Rollout, RolloutPause, RolloutPhase,
    RolloutStatus, RolloutStep,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::action::{Action, WORD_LIMIT};
use super::evidence::Evidence;
use super::judge::{self, Measures, Verdict};
use crate::step::{Event, EventType, Next};

/// How many revisions that were stable are remembered.
const PROVEN: usize = 16;
/// How often a rollout is looked at while it is judged.
const PERIOD: Duration = Duration::from_secs(5);

/// Everything that decides where a rollout goes.
pub(in crate::endpoint) struct Facts<'a> {
    /// The time.
    pub(in crate::endpoint) now: Timestamp,
    /// What the spec says.
    pub(in crate::endpoint) rollout: &'a Rollout,
    /// The revision that the spec asks for.
    pub(in crate::endpoint) wanted: &'a str,
    /// The revisions that have a Deployment.
    pub(in crate::endpoint) revisions: &'a BTreeMap<String, RevisionFacts>,
    /// The revision that the Service selects.
    pub(in crate::endpoint) selected: Option<&'a str>,
    /// How many pods a revision with all requests needs.
    pub(in crate::endpoint) replicas: i32,
    /// What a person said last.
    pub(in crate::endpoint) action: Option<&'a str>,
    /// What was measured in this step.
    pub(in crate::endpoint) evidence: Option<&'a Evidence>,
    /// Which shares are in force.
    pub(in crate::endpoint) shares: Shares<'a>,
    /// What says for how long a revision from before can be gone back to.
    pub(in crate::endpoint) kept_by: &'static str,
    /// Where the rollout stood.
    pub(in crate::endpoint) old: &'a RolloutStatus,
}

/// Which shares are in force.
#[derive(Clone, Copy)]
pub(in crate::endpoint) enum Shares<'a> {
    /// Those that are decided, once what routes requests has taken them in. It tells when to look again; none once it has.
    Decided(&'a dyn Fn(&RolloutStatus) -> Option<Duration>),
    /// Those that are seen: what the candidate answers and what it gets copies of, in percent. None while that is not
    /// clear. One revision can't have both.
    Seen(Option<(i32, i32)>),
}

/// What is seen of a revision.
#[derive(Clone, Debug, Default)]
pub(in crate::endpoint) struct RevisionFacts {
    /// The name of its Deployment.
    pub(in crate::endpoint) deployment: String,
    /// When its Deployment was made, as the API server writes it.
    pub(in crate::endpoint) created: String,
    /// Pods that are wanted.
    pub(in crate::endpoint) wanted: i32,
    /// Pods that exist.
    pub(in crate::endpoint) replicas: i32,
    /// Pods that answer.
    pub(in crate::endpoint) available: i32,
    /// Why it will not answer without a person, if that is known.
    pub(in crate::endpoint) failed: Option<String>,
}

/// Where a rollout goes.
pub(in crate::endpoint) struct Advanced {
    /// Where it stands now.
    pub(in crate::endpoint) status: RolloutStatus,
    /// How many pods the candidate needs.
    pub(in crate::endpoint) candidate_replicas: i32,
    /// What changed.
    pub(in crate::endpoint) events: Vec<Event>,
    /// When to look again.
    pub(in crate::endpoint) next: Next,
}

/// Decides where a rollout goes.
pub(in crate::endpoint) fn advance(facts: &Facts) -> Advanced {
    let mut walk =
        Walk { facts, status: facts.old.clone(), events: Vec::new(), next: Next::OnChange, pods: 0 };
    walk.find_stable();
    walk.obey();
    walk.choose();
    if walk.status.candidate.is_some() {
        walk.go_on();
    }
    let pods = walk.pods;
    Advanced { status: walk.status, candidate_replicas: pods, events: walk.events, next: walk.next }
}

struct Walk<'a> {
    facts: &'a Facts<'a>,
    status: RolloutStatus,
    events: Vec<Event>,
    next: Next,
    pods: i32,
}

impl Walk<'_> {
    fn is_known(&self, revision: &str) -> bool {
        revision == self.facts.wanted || self.facts.revisions.contains_key(revision)
    }

    /// The proven revision, even when the status was lost or its Deployment deleted: the one that the Service selects,
    /// else the one with the most pods, else the wanted one.
    fn find_stable(&mut self) {
        if !self.status.stable.is_empty() && self.is_known(&self.status.stable) {
            return;
        }
        let selected = self.facts.selected.filter(|it| self.is_known(it)).map(str::to_owned);
        let most = || {
            let answering = self.facts.revisions.iter().filter(|(_, it)| it.available > 0);
            answering.max_by_key(|(_, it)| it.available).map(|(name, _)| name.clone())
        };
        let stable = selected.or_else(most).unwrap_or_else(|| self.facts.wanted.to_owned());
        let handled_action = self.status.handled_action.take();
        let rejected = self.status.rejected.take();
        let proven = std::mem::take(&mut self.status.proven);
        // Since now: what has pods beside the stable revision keeps them for a while, and not for ever.
        let since = Some(self.now());
        self.status =
            RolloutStatus { stable, since, handled_action, rejected, proven, ..RolloutStatus::default() };
    }

    fn pause(&self, cause: PauseCause, message: &str) -> RolloutPause {
        let message = message.get(..message.floor_char_boundary(2048)).unwrap_or_default().to_owned();
        RolloutPause { cause, since: self.now(), message }
    }

    fn now(&self) -> Time {
        Time(Timestamp::from_second(self.facts.now.as_second()).unwrap_or(self.facts.now))
    }

    fn tell(&mut self, type_: EventType, reason: Reason, note: String) {
        self.events.push(Event { type_, reason, action: "Rollout", note });
    }

    /// Obeys a person's word, once.
    fn obey(&mut self) {
        let Some(text) = self.facts.action.filter(|it| self.status.handled_action.as_deref() != Some(*it))
        else {
            return;
        };
        self.status.handled_action = Some(text.to_owned());
        let refused = match Action::parse(text) {
            Ok(action) => self.act(&action).err(),
            Err(message) => Some(message),
        };
        let kept = refused.as_deref().and_then(|it| it.get(..it.floor_char_boundary(WORD_LIMIT)));
        self.status.action_refused = kept.map(str::to_owned);
        match refused {
            None => self.tell(EventType::Normal, Reason::ActionTaken, format!("a person asked for: {text}")),
            Some(message) => {
                self.tell(EventType::Warning, Reason::ActionRefused, format!("{text}: {message}"));
            }
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), String> {
        let under_way = self.status.candidate.is_some();
        let nothing = || Err("no rollout is under way".to_owned());
        match action {
            Action::Pause if under_way && self.status.pause.is_none() => {
                self.status.pause = Some(self.pause(PauseCause::Person, ""));
            }
            Action::Resume => match self.status.pause.take() {
                Some(pause) if pause.cause == PauseCause::Person => {}
                Some(_) => self.next_step(),
                None => return Err("the rollout does not wait for a person".to_owned()),
            },
            Action::SkipStep if under_way => {
                self.status.pause = None;
                self.next_step();
            }
            Action::Promote if under_way => {
                self.status.pause = None;
                self.status.step = Some(self.count() + 1);
                self.status.step_since = None;
            }
            Action::Abort if under_way => self.reject("a person aborted the rollout".to_owned()),
            Action::Retry if self.status.rejected.is_some() => self.status.rejected = None,
            Action::Rollback(revision) => return self.roll_back(revision.as_deref()),
            Action::Pause | Action::SkipStep | Action::Promote | Action::Abort => return nothing(),
            Action::Retry => return Err("no revision was rejected".to_owned()),
        }
        Ok(())
    }

    /// Goes back to a revision from before, without steps: it was proven once.
    fn roll_back(&mut self, revision: Option<&str>) -> Result<(), String> {
        let wanted = self.facts.wanted.to_owned();
        if self.status.candidate.is_some() && revision.is_none_or(|it| it == self.status.stable) {
            self.reject("a person went back to the revision before".to_owned());
            return Ok(());
        }
        let is_there = |it: &&String| **it != self.status.stable && self.facts.revisions.contains_key(*it);
        let mut proven = self.status.proven.iter().filter(is_there);
        let found = match revision {
            Some(revision) => proven.clone().find(|it| it.as_str() == revision),
            None => proven.clone().find(|it| **it != wanted),
        };
        let Some(revision) = found.cloned() else {
            let names: Vec<&str> = proven.by_ref().map(String::as_str).collect();
            return Err(match names.as_slice() {
                [] => format!("no revision that was stable before is left; {}", self.facts.kept_by),
                names => format!("name one of the revisions that were stable before: {}", names.join(", ")),
            });
        };
        let message = format!("a person went back to revision {revision}");
        self.status.rejected =
            (revision != wanted).then(|| Rejected { revision: wanted, since: self.now(), message });
        self.status.candidate = None;
        self.start(revision, true);
        Ok(())
    }

    fn count(&self) -> i32 {
        if self.status.direct { 0 } else { i32::try_from(self.facts.rollout.steps.len()).unwrap_or(i32::MAX) }
    }

    fn next_step(&mut self) {
        let step = self.status.step.unwrap_or(1);
        self.status.step = Some(step.saturating_add(1).min(self.count() + 1));
        self.status.step_since = None;
    }

    /// Gives the candidate up: all requests go to the stable revision at once.
    fn reject(&mut self, message: String) {
        let Some(revision) = self.status.candidate.take() else { return };
        let since = self.now();
        self.tell(
            EventType::Warning,
            Reason::RolledBack,
            format!(
                "revision {revision} was given up, and {} answers all requests: {message}",
                self.status.stable
            ),
        );
        // Of a revision that a person went back to, the one that was rejected then stays rejected.
        if !self.status.direct {
            self.status.rejected = Some(Rejected { revision, since: since.clone(), message });
        }
        self.end(RolloutPhase::RolledBack);
    }

    fn end(&mut self, phase: RolloutPhase) {
        let old = std::mem::take(&mut self.status);
        self.status = RolloutStatus {
            phase,
            since: Some(self.now()),
            stable: old.stable,
            checks: old.checks,
            rejected: old.rejected,
            handled_action: old.handled_action,
            action_refused: old.action_refused,
            proven: old.proven,
            ..RolloutStatus::default()
        };
    }

    /// Which revision is to take over, if any.
    fn choose(&mut self) {
        let wanted = self.facts.wanted;
        let is_rejected = self.status.rejected.as_ref().is_some_and(|it| it.revision == wanted);
        if self.status.rejected.is_some() && !is_rejected {
            self.status.rejected = None;
            self.status.direct = false;
        }
        if is_rejected {
            let goes_back = self.status.direct
                && self.status.candidate.as_ref().is_some_and(|it| *it != self.status.stable);
            if !goes_back && self.status.phase != RolloutPhase::RolledBack {
                self.end(RolloutPhase::RolledBack);
            }
            return;
        }
        if self.status.stable == wanted {
            if self.status.candidate.is_some() || self.status.phase != RolloutPhase::Completed {
                if let Some(candidate) = self.status.candidate.take() {
                    let note = format!("the spec asks for {wanted} again: {candidate} is given up");
                    self.tell(EventType::Normal, Reason::RollingOut, note);
                }
                self.end(RolloutPhase::Completed);
            }
            return;
        }
        if self.status.candidate.as_deref() != Some(wanted) {
            self.start(wanted.to_owned(), false);
        }
    }

    fn start(&mut self, candidate: String, direct: bool) {
        let stable = self.status.stable.clone();
        self.tell(
            EventType::Normal,
            Reason::RollingOut,
            format!("revision {candidate} starts beside {stable}, which goes on answering"),
        );
        let old = std::mem::take(&mut self.status);
        self.status = RolloutStatus {
            phase: RolloutPhase::Progressing,
            since: Some(self.now()),
            stable,
            candidate: Some(candidate),
            step: Some(1),
            traffic: Some(0),
            mirror: Some(0),
            direct,
            rejected: old.rejected,
            handled_action: old.handled_action,
            action_refused: old.action_refused,
            proven: old.proven,
            ..RolloutStatus::default()
        };
    }

    fn candidate(&self) -> RevisionFacts {
        let name = self.status.candidate.as_deref().unwrap_or_default();
        self.facts.revisions.get(name).cloned().unwrap_or_default()
    }

    fn step(&self) -> Option<&RolloutStep> {
        let place = usize::try_from(self.status.step.unwrap_or(1)).ok()?.checked_sub(1)?;
        self.facts.rollout.steps.get(place).filter(|_| !self.status.direct)
    }

    /// Goes as far as it may: each turn of the loop ends a step.
    fn go_on(&mut self) {
        self.status.steps = Some(self.count());
        self.pods = self.pods_for(self.status.traffic.max(self.status.mirror).unwrap_or(0));
        loop {
            if self.status.pause.is_some() {
                self.set_phase(RolloutPhase::Paused);
                return;
            }
            self.set_phase(RolloutPhase::Progressing);
            if !(if self.status.step_since.is_some() { self.judge() } else { self.enter() }) {
                return;
            }
        }
    }

    fn set_phase(&mut self, phase: RolloutPhase) {
        if self.status.phase != phase {
            self.status.phase = phase;
            self.status.since = Some(self.now());
        }
    }

    /// How many pods a share of the requests takes.
    fn pods_for(&self, percent: i32) -> i32 {
        let (replicas, percent) = (i64::from(self.facts.replicas), i64::from(percent));
        let pods = (replicas * percent).div_euclid(100) + i64::from((replicas * percent) % 100 > 0);
        i32::try_from(pods).unwrap_or(i32::MAX).max(1)
    }

    /// Puts a step's shares into force once enough pods answer; whether to go on.
    fn enter(&mut self) -> bool {
        let step = self.step().cloned();
        let shares = match &step {
            Some(RolloutStep { traffic: Some(traffic), .. }) => (*traffic, 0),
            Some(RolloutStep { mirror: Some(mirror), .. }) => (self.beside_copies(), *mirror),
            Some(_) => (self.status.traffic.unwrap_or(0), self.status.mirror.unwrap_or(0)),
            None => (100, 0),
        };
        let needed = self.pods_for(shares.0.max(shares.1));
        self.pods = self.pods.max(needed);
        let candidate = self.candidate();
        if candidate.available < needed {
            if let Some(failed) = candidate.failed {
                return self.fail(failed);
            }
            return false;
        }
        (self.status.traffic, self.status.mirror) = (Some(shares.0), Some(shares.1));
        match self.facts.shares {
            Shares::Seen(seen) if seen != Some(shares) => return false,
            Shares::Decided(awaits) if step.is_some() => {
                if let Some(wait) = awaits(&self.status) {
                    // The step begins once the gateway has taken the shares in.
                    self.wait(wait);
                    return false;
                }
            }
            Shares::Seen(_) | Shares::Decided(_) => {}
        }
        let Some(step) = step else {
            self.promote();
            return false;
        };
        self.status.step_since = Some(self.now());
        let (number, count) = (self.status.step.unwrap_or(1), self.count());
        let revision = self.status.candidate.clone().unwrap_or_default();
        if step.pause == Some(true) {
            self.status.pause = Some(self.pause(PauseCause::Step, ""));
            let note = format!("step {number} of {count}: the rollout of {revision} waits for a person");
            self.tell(EventType::Normal, Reason::AwaitingPerson, note);
            return true;
        }
        let what = match (step.traffic, step.mirror) {
            (Some(traffic), _) => format!("{revision} answers {traffic} % of the requests"),
            (_, Some(mirror)) => format!("{revision} gets a copy of {mirror} % of the requests"),
            _ => format!("{revision} is held where it is"),
        };
        self.tell(EventType::Normal, Reason::RollingOut, format!("step {number} of {count}: {what}"));
        // What is measured begins now, and says nothing yet.
        self.wait(PERIOD.min(self.remaining(&step)));
        false
    }

    /// The share of requests that the candidate goes on answering while it gets copies.
    fn beside_copies(&self) -> i32 {
        match self.facts.shares {
            Shares::Decided(_) => self.status.traffic.unwrap_or(0),
            Shares::Seen(_) => 0,
        }
    }

    fn is_in_force(&self, shares: (i32, i32)) -> bool {
        match self.facts.shares {
            Shares::Decided(_) => true,
            Shares::Seen(seen) => seen == Some(shares),
        }
    }

    fn wait(&mut self, wait: Duration) {
        self.next = Next::After(wait.max(Duration::from_millis(200)));
    }

    /// How long the step's hold still takes.
    fn remaining(&self, step: &RolloutStep) -> Duration {
        let hold = step.hold.as_deref().map(super::hold).unwrap_or_default();
        hold.saturating_sub(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        let since = self.status.step_since.as_ref().map_or(self.facts.now, |since| since.0);
        Duration::try_from(self.facts.now.duration_since(since)).unwrap_or_default()
    }

    /// Judges the step that is in force; whether to go on.
    fn judge(&mut self) -> bool {
        let Some(step) = self.step().cloned() else {
            // The spec has fewer steps than before.
            self.next_step();
            return true;
        };
        let candidate = self.candidate();
        if candidate.available == 0
            && let Some(failed) = candidate.failed
        {
            return self.fail(failed);
        }
        if !self.is_in_force((self.status.traffic.unwrap_or(0), self.status.mirror.unwrap_or(0))) {
            // Somebody moved requests: the step begins anew once they are back.
            self.status.step_since = None;
            return true;
        }
        let remaining = self.remaining(&step);
        let over = remaining.is_zero();
        match self.verdict(over) {
            Verdict::Failed => {
                let failed =
                    self.status.checks.iter().find(|it| counts(it) && it.outcome == CheckOutcome::Failed);
                let message = failed.map(|check| format!("{}: {}", check.name, check.message));
                self.fail(message.unwrap_or_default())
            }
            Verdict::Passed if over => {
                self.tell_passed();
                self.warn();
                self.next_step();
                true
            }
            Verdict::Passed => {
                self.wait(if self.facts.rollout.analysis.is_some() {
                    PERIOD.min(remaining)
                } else {
                    remaining
                });
                false
            }
            Verdict::Inconclusive => self.undecided(over, remaining),
        }
    }

    fn verdict(&mut self, over: bool) -> Verdict {
        let shares = (self.status.traffic.unwrap_or(0), self.status.mirror.unwrap_or(0));
        let measures = match (shares, self.facts.shares) {
            ((_, 1..), Shares::Decided(_)) => Some(Measures::Mirror),
            ((_, 1..), Shares::Seen(_)) => Some(Measures::Copies),
            ((1.., _), _) => Some(Measures::Traffic),
            _ => None,
        };
        let (Some(analysis), Some(measures)) = (&self.facts.rollout.analysis, measures) else {
            self.status.checks.clear();
            return Verdict::Passed;
        };
        let candidate = self.status.candidate.clone().unwrap_or_default();
        let checks =
            judge::checks(analysis, measures, (&candidate, &self.status.stable), self.facts.evidence, over);
        let verdict = judge::verdict(&checks);
        self.status.checks = checks;
        verdict
    }

    fn undecided(&mut self, over: bool, remaining: Duration) -> bool {
        let limit = self.facts.rollout.analysis.as_ref().map_or(0, |it| it.inconclusive_after_seconds);
        let hold = self.step().and_then(|step| step.hold.as_deref().map(super::hold)).unwrap_or_default();
        let limit = hold + Duration::from_secs(u64::try_from(limit).unwrap_or_default());
        if over && self.elapsed() >= limit {
            let open = self.open_checks();
            let note = format!("step {} came to no verdict: {open}", self.status.step.unwrap_or(1));
            self.status.pause = Some(self.pause(PauseCause::Inconclusive, &open));
            self.tell(EventType::Warning, Reason::AwaitingPerson, note);
            return true;
        }
        self.wait(if over { PERIOD } else { PERIOD.min(remaining) });
        false
    }

    /// What the checks that came to no verdict say.
    fn open_checks(&self) -> String {
        let open =
            self.status.checks.iter().filter(|it| counts(it) && it.outcome == CheckOutcome::Inconclusive);
        open.map(|check| format!("{}: {}", check.name, check.message)).collect::<Vec<_>>().join("; ")
    }

    /// Tells by what a step has passed.
    fn tell_passed(&mut self) {
        let passed = self.status.checks.iter().filter(|it| it.outcome == CheckOutcome::Passed);
        let said: Vec<String> = passed.map(|check| format!("{}: {}", check.name, check.message)).collect();
        if !said.is_empty() {
            let (number, count) = (self.status.step.unwrap_or(1), self.count());
            let note = format!("step {number} of {count} has passed: {}", said.join("; "));
            self.tell(EventType::Normal, Reason::RollingOut, note);
        }
    }

    /// Tells of checks that failed and do not count.
    fn warn(&mut self) {
        let failed = |it: &&Check| it.mode == CheckMode::Warn && it.outcome == CheckOutcome::Failed;
        let notes: Vec<String> =
            self.status.checks.iter().filter(failed).map(|it| it.message.clone()).collect();
        for note in notes {
            self.tell(EventType::Warning, Reason::CheckFailed, note);
        }
    }

    /// The candidate is worse than wanted; whether to go on.
    fn fail(&mut self, message: String) -> bool {
        if self.facts.rollout.on_failure == OnFailure::Pause && !self.status.direct {
            self.status.pause = Some(self.pause(PauseCause::Failure, &message));
            self.tell(EventType::Warning, Reason::AwaitingPerson, format!("the rollout failed: {message}"));
            return true;
        }
        self.reject(message);
        false
    }

    /// The candidate is proven, and gets all requests.
    fn promote(&mut self) {
        let Some(candidate) = self.status.candidate.take() else { return };
        let before = std::mem::replace(&mut self.status.stable, candidate);
        let note = format!("revision {} answers all requests, in place of {before}", self.status.stable);
        self.status.proven.retain(|it| *it != before && *it != self.status.stable);
        self.status.proven.insert(0, before);
        self.status.proven.truncate(PROVEN);
        self.tell(EventType::Normal, Reason::Promoted, note);
        // A person's rollback keeps what the spec asks for rejected.
        let phase =
            if self.status.rejected.is_some() { RolloutPhase::RolledBack } else { RolloutPhase::Completed };
        self.end(phase);
    }
}

fn counts(check: &Check) -> bool {
    check.mode == CheckMode::Enforce
}
