//! Which votes count, what is missing, and who can act.
use std::cmp::Reverse;
use std::collections::BTreeSet;

use api::approval::Vote;
use api::meta::ConditionType;
use api::model_promotion::{ApprovalPolicy, CountedVote, PromotionStage, StageStatus};
use api::{Approval, ApprovalStatus, ModelPromotion, Reason};
use jiff::Timestamp;

use super::{World, stage};
use crate::condition::{self, Statement};
use crate::step::{Next, Plan};

/// The most votes that a status lists; those that count come first.
const LISTED: usize = 64;

/// What the votes on a stage make of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tally {
    /// There are enough.
    Approved,
    /// Somebody is against it: who, and why.
    Rejected(String, String),
    /// Some are missing: which, in words.
    Missing(String),
}

/// Every vote on a stage, with why it does not count if it does not.
pub(super) fn votes(
    world: &World,
    wanted: &PromotionStage,
    policy: &ApprovalPolicy,
    evidence: &str,
) -> Vec<CountedVote> {
    let mut of_stage: Vec<&Approval> = world
        .approvals
        .iter()
        .filter(|it| it.spec.stage == wanted.name && it.metadata.deletion_timestamp.is_none())
        .filter(|it| matches!(it.spec.decision, Vote::Approve | Vote::Reject))
        .collect();
    // The last vote of a person is the one that counts; of two of one second, the one against.
    let against = |it: &Approval| it.spec.decision == Vote::Reject;
    of_stage.sort_by_key(|it| {
        let created = it.metadata.creation_timestamp.as_ref().map(|it| it.0);
        (Reverse((created, against(it))), it.metadata.name.clone())
    });
    let mut voted = BTreeSet::new();
    let mut votes: Vec<CountedVote> = of_stage
        .iter()
        .map(|approval| {
            let spec = &approval.spec;
            let void = void(world, approval, policy, evidence).or_else(|| {
                (!voted.insert(spec.approver.clone())).then(|| format!("{} has voted again", spec.approver))
            });
            CountedVote {
                approval: approval.metadata.name.clone().unwrap_or_default(),
                approver: spec.approver.clone(),
                decision: spec.decision,
                reason: spec.reason.clone(),
                void,
            }
        })
        .collect();
    votes.sort_by_key(|it| it.void.is_some());
    votes.truncate(LISTED);
    votes
}

/// Why a word of whatever kind does not count.
fn void_at_all(world: &World, approval: &Approval, evidence: &str) -> Option<String> {
    let spec = &approval.spec;
    if spec.approver == world.promotion.spec.requester {
        return Some("who asks for a promotion can't vote on it".to_owned());
    }
    if spec.evidence != evidence {
        return Some("it is about evidence that has changed since: look again, and vote again".to_owned());
    }
    None
}

/// The first word for a stage that goes beyond its rules: who lets it go on, and why. Admission has proven the right.
pub(super) fn beyond_rules(
    world: &World,
    wanted: &PromotionStage,
    evidence: &str,
    decision: Vote,
    check: Option<&str>,
) -> Option<String> {
    let fits = |it: &&Approval| {
        let spec = &it.spec;
        spec.stage == wanted.name
            && spec.decision == decision
            && spec.check.as_deref() == check
            && it.metadata.deletion_timestamp.is_none()
            && void_at_all(world, it, evidence).is_none()
    };
    let words = world.approvals.iter().filter(fits);
    let first = words.min_by_key(|it| {
        (it.metadata.creation_timestamp.as_ref().map(|it| it.0), it.metadata.name.clone())
    })?;
    Some(format!("{}: {}", first.spec.approver, first.spec.reason))
}

/// Why a vote does not count.
fn void(world: &World, approval: &Approval, policy: &ApprovalPolicy, evidence: &str) -> Option<String> {
    let spec = &approval.spec;
    if let Some(why) = void_at_all(world, approval, evidence) {
        return Some(why);
    }
    let is_named = policy.required_voters.contains(&spec.approver);
    if !policy.groups.is_empty() && !is_named && !policy.groups.iter().any(|it| spec.groups.contains(it)) {
        let mut groups = policy.groups.join(", ");
        groups.truncate(groups.floor_char_boundary(256));
        return Some(format!("it is in the name of none of the groups that may vote: {groups}"));
    }
    None
}

/// What the votes make of the stage.
pub(super) fn tally(votes: &[CountedVote], policy: &ApprovalPolicy) -> Tally {
    let counted = || votes.iter().filter(|it| it.void.is_none());
    if let Some(against) = counted().find(|it| it.decision == Vote::Reject) {
        return Tally::Rejected(against.approver.clone(), against.reason.clone());
    }
    let approvers: BTreeSet<&str> = counted().map(|it| it.approver.as_str()).collect();
    let required = usize::try_from(policy.required).unwrap_or(1);
    let absent: Vec<&str> =
        policy.required_voters.iter().map(String::as_str).filter(|it| !approvers.contains(it)).collect();
    if approvers.len() >= required && absent.is_empty() {
        return Tally::Approved;
    }
    let mut missing = format!("{} of {required} votes", approvers.len());
    if !absent.is_empty() {
        missing.push_str(&format!(", among them must be {}", absent.join(", ")));
    }
    let who = match policy.groups.as_slice() {
        [] => "whoever has the verb approve on modelpromotions".to_owned(),
        groups => format!("members of {} who have the verb approve on modelpromotions", groups.join(", ")),
    };
    Tally::Missing(format!("{missing}; {who} can vote: kubectl mlops approve"))
}

/// Decides what to say about an Approval: whether it counts, by the status of its promotion.
pub fn plan(now: Timestamp, approval: &Approval, promotion: Option<&ModelPromotion>) -> Plan<ApprovalStatus> {
    let old = approval.status.clone().unwrap_or_default();
    let name = approval.metadata.name.as_deref().unwrap_or_default();
    let (holds, reason, message) = match promotion {
        None => (false, Reason::Void, format!("there is no ModelPromotion {}", approval.spec.promotion)),
        Some(promotion) => said(name, approval, promotion),
    };
    let statements = [Statement::new(ConditionType::Ready, holds, reason, message)];
    let generation = approval.metadata.generation;
    let conditions = condition::merge(&old.conditions, &statements, generation, now);
    let status = ApprovalStatus { observed_generation: generation, conditions };
    Plan { steps: Vec::new(), status, events: Vec::new(), next: Next::OnChange }
}

fn said(name: &str, approval: &Approval, promotion: &ModelPromotion) -> (bool, Reason, String) {
    let wanted = &approval.spec.stage;
    if !promotion.spec.stages.iter().any(|it| it.name == *wanted) {
        return (false, Reason::Void, format!("the promotion has no stage {wanted}"));
    }
    let status = promotion.status.clone().unwrap_or_default();
    if let Some(said) = said_beyond_rules(approval, promotion, stage(&status, wanted)) {
        return said;
    }
    let vote = stage(&status, wanted).and_then(|it| it.votes.iter().find(|it| it.approval == name));
    match vote {
        Some(CountedVote { void: None, .. }) => (true, Reason::Counted, "it counts".to_owned()),
        Some(CountedVote { void: Some(why), .. }) => (false, Reason::Void, why.clone()),
        None => (false, Reason::Void, format!("stage {wanted} does not wait for votes now")),
    }
}

/// What is said of a word that goes beyond the rules of a stage.
fn said_beyond_rules(
    approval: &Approval,
    promotion: &ModelPromotion,
    stage: Option<&StageStatus>,
) -> Option<(bool, Reason, String)> {
    let spec = &approval.spec;
    let taken = match spec.decision {
        Vote::Approve | Vote::Reject => return None,
        Vote::Override => stage.and_then(|it| it.overridden.as_deref()),
        Vote::Skip => stage
            .and_then(|it| it.checks.iter().find(|it| Some(&it.name) == spec.check.as_ref()))
            .and_then(|it| it.skipped.as_deref()),
    };
    let own = format!("{}: {}", spec.approver, spec.reason);
    Some(if taken == Some(own.as_str()) {
        (true, Reason::Counted, "it counts".to_owned())
    } else if spec.approver == promotion.spec.requester {
        (false, Reason::Void, "who asks for a promotion can't vote on it".to_owned())
    } else {
        let message = "the stage does not wait, what it was about has changed, or somebody else's counts";
        (false, Reason::Void, message.to_owned())
    })
}
