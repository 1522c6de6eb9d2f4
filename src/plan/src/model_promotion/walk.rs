//! From where a promotion stood to where it stands now.
use std::time::Duration;

use api::approval::Vote;
use api::endpoint::CheckMode;
use api::meta::PROMOTION_ACTION_ANNOTATION;
use api::model::ModelVersion;
use api::model_promotion::{PromotionCheckOutcome, PromotionPhase, PromotionStage, StageStatus};
use api::{ModelPromotionStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::bundle::{bundle, evidence};
use super::check::{self, Checked, checked};
use super::endpoints::{Following, following};
use super::freeze::frozen_until;
use super::votes::{Tally, beyond_rules, tally, votes};
use super::{World, second};
use crate::endpoint::rollout::hold;
use crate::step::{Event, EventType, Next, Step};

/// How often what has no watch of its own is looked at: other promotions, and Endpoints that roll out.
const PERIOD: Duration = Duration::from_secs(3);
/// How long the Endpoints of a stage may take when it does not say.
const TIMEOUT: Duration = Duration::from_hours(24);
/// The longest word of a person, and the longest message of a stage, in bytes.
const WORD_LIMIT: usize = 128;
const MESSAGE_LIMIT: usize = 1024;

/// A promotion on its way.
pub(super) struct Walk<'a> {
    world: &'a World,
    pub(super) status: ModelPromotionStatus,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) events: Vec<Event>,
    pub(super) steps: Vec<Step>,
    pub(super) next: Next,
    /// Whether a person has asked that checks run again.
    retry: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(world: &'a World, status: ModelPromotionStatus) -> Self {
        let (reason, message) = (Reason::Queued, String::new());
        Self {
            world,
            status,
            reason,
            message,
            events: Vec::new(),
            steps: Vec::new(),
            next: Next::OnChange,
            retry: false,
        }
    }

    /// Goes as far as possible.
    pub(super) fn go(&mut self) {
        if self.obeys() {
            return self.end(PromotionPhase::Aborted, Reason::Aborted, "somebody ended it".to_owned());
        }
        if let Some(successor) = self.world.successor() {
            let name = successor.metadata.name.as_deref().unwrap_or_default();
            let message =
                format!("ModelPromotion {name} of version {} takes its place", successor.spec.model.version);
            return self.end(PromotionPhase::Superseded, Reason::Superseded, message);
        }
        if let Some(predecessor) = self.world.predecessor() {
            let name = predecessor.metadata.name.as_deref().unwrap_or_default();
            return self
                .wait(Reason::Queued, format!("it waits for ModelPromotion {name} of the same model"));
        }
        let invalid = self.world.promotion.spec.stages.iter().find_map(|stage| {
            let why = frozen_until(stage, self.world.now).err()?;
            Some(format!("stage {}: {why}", stage.name))
        });
        if let Some(message) = invalid {
            return self.fail(Reason::Invalid, message);
        }
        let Some(version) = self.version() else { return };
        let parts = bundle(version);
        match &self.status.bundle {
            Some(begun) if begun.fingerprint != parts.fingerprint => {
                let message = format!(
                    "version {} was {} when the promotion began, and is {} now: a part of it has changed",
                    version.version, begun.fingerprint, parts.fingerprint
                );
                return self.fail(Reason::BundleChanged, message);
            }
            Some(_) => {}
            None => self.status.bundle = Some(parts),
        }
        for wanted in &self.world.promotion.spec.stages {
            if !self.is_done(wanted) {
                return;
            }
        }
        self.status.phase = PromotionPhase::Succeeded;
        self.reason = Reason::Succeeded;
        self.message = format!("version {} runs in every stage", self.world.promotion.spec.model.version);
    }

    /// Whether a person's word ends it.
    fn obeys(&mut self) -> bool {
        let annotations = self.world.promotion.metadata.annotations.as_ref();
        let Some(word) = annotations.and_then(|it| it.get(PROMOTION_ACTION_ANNOTATION)) else { return false };
        let word = word.get(..word.floor_char_boundary(WORD_LIMIT)).unwrap_or_default();
        if self.status.handled_action.as_deref() == Some(word) {
            return false;
        }
        self.status.handled_action = Some(word.to_owned());
        match word.split('@').next() {
            Some("abort") => return true,
            Some("retry") => self.retry = true,
            _ => {
                let note = format!("{word}: the words for a promotion are abort and retry");
                self.tell(EventType::Warning, Reason::ActionRefused, note);
            }
        }
        false
    }

    fn tell(&mut self, type_: EventType, reason: Reason, note: String) {
        self.events.push(Event { type_, reason, action: "Promotion", note });
    }

    fn version(&mut self) -> Option<&'a ModelVersion> {
        let wanted = &self.world.promotion.spec.model;
        let Some(model) = &self.world.model else {
            self.wait(
                Reason::DependencyNotReady,
                format!("there is no Model {} in this namespace", wanted.name),
            );
            return None;
        };
        let found = model.spec.versions.iter().find(|it| it.version == wanted.version);
        if found.is_none() {
            let message = format!(
                "Model {} lists no version {}: add it to its spec.versions",
                wanted.name, wanted.version
            );
            self.wait(Reason::DependencyNotReady, message);
        }
        found
    }

    /// Whether a stage is done; if not, the status says what it waits for.
    fn is_done(&mut self, wanted: &PromotionStage) -> bool {
        self.status.stage = Some(wanted.name.clone());
        let mut stage =
            self.status.stages.iter().find(|it| it.name == wanted.name).cloned().unwrap_or_else(|| {
                StageStatus { name: wanted.name.clone(), since: Some(self.now()), ..StageStatus::default() }
            });
        if stage.done_at.is_some() {
            return true;
        }
        let done = (stage.released_at.is_some() || self.is_approved(wanted, &mut stage))
            && self.is_served(wanted, &mut stage);
        let message = self.message.get(..self.message.floor_char_boundary(MESSAGE_LIMIT));
        message.unwrap_or_default().clone_into(&mut stage.message);
        if done {
            stage.done_at = Some(self.now());
            stage.message.clear();
        }
        match self.status.stages.iter_mut().find(|it| it.name == stage.name) {
            Some(old) => *old = stage,
            None => self.status.stages.push(stage),
        }
        done
    }

    /// Whether a stage may get the version; then it has it from now on.
    fn is_approved(&mut self, wanted: &PromotionStage, stage: &mut StageStatus) -> bool {
        let checked = self.check(wanted, stage);
        let evidence = evidence(&self.world.promotion, &self.status, wanted, stage);
        stage.evidence = Some(evidence.clone());
        if let Some(by) = beyond_rules(self.world, wanted, &evidence, Vote::Override, None) {
            let note = format!("stage {} gets the version in spite of its rules, by {by}", wanted.name);
            self.tell(EventType::Warning, Reason::Overridden, note);
            stage.overridden = Some(by);
        } else if !self.is_allowed(wanted, stage, checked, &evidence) {
            return false;
        }
        stage.released_at = Some(self.now());
        let (version, name) = (&self.world.promotion.spec.model.version, &wanted.name);
        let note = format!("stage {name} gets version {version}");
        self.tell(EventType::Normal, Reason::Releasing, note);
        true
    }

    /// Brings the checks of a stage up to date.
    fn check(&mut self, wanted: &PromotionStage, stage: &mut StageStatus) -> Checked {
        let former = self.pointer(&wanted.name).map(str::to_owned);
        if former != stage.former_version {
            check::former_changed(wanted, stage);
            stage.former_version = former;
        }
        if self.retry {
            let count = check::again(stage);
            self.tell(
                EventType::Normal,
                Reason::Checking,
                format!("{count} checks of stage {} run again", wanted.name),
            );
        }
        let before = stage.checks.clone();
        let steps = check::look(self.world, wanted, self.status.bundle.as_ref(), stage, &self.now());
        self.steps.extend(steps);
        let digest = evidence(&self.world.promotion, &self.status, wanted, stage);
        for check in &mut stage.checks {
            let skipped = beyond_rules(self.world, wanted, &digest, Vote::Skip, Some(&check.name));
            if let Some(by) = skipped.as_ref().filter(|_| check.skipped.is_none()) {
                let note = format!("stage {} goes on without check {}, by {by}", wanted.name, check.name);
                self.tell(EventType::Warning, Reason::Overridden, note);
            }
            check.skipped = skipped;
            let is_news = before.iter().any(|it| it.name == check.name && it.outcome != check.outcome);
            let passed = check.outcome == Some(PromotionCheckOutcome::Passed);
            let mode = wanted.checks.iter().find(|it| it.name == check.name).map(|it| it.mode);
            if is_news && check.outcome.is_some() && !passed && mode != Some(CheckMode::DryRun) {
                let note = format!("check {} of stage {}: {}", check.name, wanted.name, check.message);
                let reason = match check.outcome {
                    Some(PromotionCheckOutcome::Failed) => Reason::StageCheckFailed,
                    _ => Reason::StageCheckInconclusive,
                };
                self.tell(
                    EventType::Warning,
                    reason,
                    note.get(..note.floor_char_boundary(MESSAGE_LIMIT - 64)).unwrap_or_default().to_owned(),
                );
            }
        }
        checked(wanted, stage)
    }

    /// Whether checks, votes and freezes let a stage have the version.
    fn is_allowed(
        &mut self,
        wanted: &PromotionStage,
        stage: &mut StageStatus,
        checked: Checked,
        evidence: &str,
    ) -> bool {
        match checked {
            Checked::Passed => {}
            Checked::Running(message) => {
                self.status.phase = PromotionPhase::Checking;
                self.reason = Reason::Checking;
                self.message = format!("stage {}: {message}", wanted.name);
                self.next = Next::After(PERIOD);
                return false;
            }
            Checked::Held(reason, message) => {
                self.status.phase = PromotionPhase::Held;
                self.reason = reason;
                self.message = format!("stage {}: {message}", wanted.name);
                return false;
            }
        }
        if let Some(policy) = &wanted.approval {
            stage.votes = votes(self.world, wanted, policy, evidence);
            match tally(&stage.votes, policy) {
                Tally::Approved => {}
                Tally::Rejected(who, why) => {
                    let message = format!("{who} voted against stage {}: {why}", wanted.name);
                    self.end(PromotionPhase::Rejected, Reason::VoteRejected, message);
                    return false;
                }
                Tally::Missing(missing) => {
                    self.await_votes(wanted, policy.expires_after.as_deref(), stage, &missing);
                    return false;
                }
            }
        }
        match frozen_until(wanted, self.world.now) {
            Ok(None) => true,
            Ok(Some(end)) => {
                self.status.phase = PromotionPhase::Frozen;
                self.reason = Reason::Frozen;
                self.message = format!(
                    "stage {} does not get version {} before {end}, when its freeze ends",
                    wanted.name, self.world.promotion.spec.model.version
                );
                let left = Duration::try_from(end.duration_since(self.world.now)).unwrap_or_default();
                self.next = Next::After(left.max(Duration::from_secs(1)));
                false
            }
            Err(message) => {
                self.fail(Reason::Invalid, format!("stage {}: {message}", wanted.name));
                false
            }
        }
    }

    fn await_votes(
        &mut self,
        wanted: &PromotionStage,
        expires_after: Option<&str>,
        stage: &StageStatus,
        missing: &str,
    ) {
        // Nobody could vote before the checks had ended.
        let ended = stage.checks.iter().filter_map(|it| it.finished_at.as_ref());
        let waited = self.since(stage.since.iter().chain(ended).max_by_key(|it| it.0));
        if let Some(limit) = expires_after.map(hold) {
            if waited >= limit {
                let message = format!(
                    "stage {} had {missing} within {}",
                    wanted.name,
                    expires_after.unwrap_or_default()
                );
                return self.end(PromotionPhase::Expired, Reason::VoteExpired, message);
            }
            self.next = Next::After(limit.saturating_sub(waited));
        }
        self.status.phase = PromotionPhase::AwaitingApproval;
        self.reason = Reason::ApprovalRequired;
        let from = stage
            .former_version
            .as_deref()
            .map_or_else(|| "no version".to_owned(), |it| format!("version {it}"));
        self.message = format!(
            "stage {} waits to go from {from} to version {}: {missing}",
            wanted.name, self.world.promotion.spec.model.version
        );
    }

    /// Whether the version has run in a stage for as long as it must.
    fn is_served(&mut self, wanted: &PromotionStage, stage: &mut StageStatus) -> bool {
        let version = &self.world.promotion.spec.model.version;
        self.status.phase = PromotionPhase::Releasing;
        self.reason = Reason::Releasing;
        self.next = Next::After(PERIOD);
        if self.pointer(&wanted.name) != Some(version) {
            self.message = format!("stage {} gets version {version}", wanted.name);
            return false;
        }
        match following(self.world, wanted) {
            Following::Failed(why) => {
                self.revert(wanted, stage, &why);
                return false;
            }
            Following::Waiting(why) => {
                stage.serving_since = None;
                let limit = wanted.timeout.as_deref().map_or(TIMEOUT, hold);
                if self.since(stage.released_at.as_ref()) >= limit {
                    self.revert(wanted, stage, &format!("not within {limit:?}: {why}"));
                } else {
                    self.message = format!("stage {} rolls version {version} out: {why}", wanted.name);
                }
                return false;
            }
            Following::Serving => {}
        }
        let since = stage.serving_since.get_or_insert(Time(self.world.now)).clone();
        let soak = wanted.soak.as_deref().map(hold).unwrap_or_default();
        let left = soak.saturating_sub(self.since(Some(&since)));
        if left.is_zero() {
            self.message.clear();
            return true;
        }
        self.status.phase = PromotionPhase::Soaking;
        self.reason = Reason::Soaking;
        self.message = format!(
            "stage {} runs version {version} since {}, and must for {}",
            wanted.name,
            since.0,
            wanted.soak.as_deref().unwrap_or_default()
        );
        self.next = Next::After(left.min(PERIOD));
        false
    }

    /// A stage goes back to the version from before, and the promotion ends.
    fn revert(&mut self, wanted: &PromotionStage, stage: &mut StageStatus, why: &str) {
        stage.reverted_at = Some(self.now());
        let back = stage
            .former_version
            .as_deref()
            .map_or_else(|| "no version".to_owned(), |it| format!("version {it}"));
        self.fail(Reason::StageFailed, format!("stage {} went back to {back}: {why}", wanted.name));
    }

    fn fail(&mut self, reason: Reason, message: String) {
        self.end(PromotionPhase::Failed, reason, message);
    }

    fn end(&mut self, phase: PromotionPhase, reason: Reason, message: String) {
        self.status.phase = phase;
        self.reason = reason;
        self.message = message;
        self.next = Next::OnChange;
    }

    /// It waits for something that is not its own.
    fn wait(&mut self, reason: Reason, message: String) {
        self.reason = reason;
        self.message = message;
        self.next = Next::After(PERIOD);
    }

    /// The version that a stage of the Model runs.
    fn pointer(&self, stage: &str) -> Option<&'a str> {
        let stages = &self.world.model.as_ref()?.status.as_ref()?.stages;
        stages.iter().find(|it| it.name == stage)?.version.as_deref()
    }

    fn since(&self, time: Option<&Time>) -> Duration {
        let since = time.map_or(self.world.now, |it| it.0);
        Duration::try_from(self.world.now.duration_since(since)).unwrap_or_default()
    }

    fn now(&self) -> Time {
        Time(second(self.world.now))
    }
}
