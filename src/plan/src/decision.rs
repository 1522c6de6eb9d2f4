//! The log of what was decided about a model: the entries that are missing, and whether those that are there are whole.
//!
//! An entry is made of a promotion's status alone, at a moment from which that part changes no more; so the same entry is
//! made again after a crash. Only the Model's controller writes, so that one entry follows the other.
use std::collections::BTreeMap;

use api::approval::Vote;
use api::decision_record::{Decision, RecordedCheck};
use api::meta::ConditionType;
use api::model::{DecisionLog, LoggedPromotion};
use api::model_promotion::{CountedVote, PromotionPhase, StageStatus};
use api::{DecisionRecord, DecisionRecordSpec, Model, ModelPromotion};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::digest::sha256;
use crate::step::Step;

/// The most entries that one plan adds: a status keeps up with them.
const AT_ONCE: usize = 32;
/// The longest reason, in bytes.
const WHY: usize = 1024;
/// The most letters of a Model's name in the name of an entry.
const NAME: usize = 230;

/// What stands before the first entry.
pub fn beginning() -> String {
    format!("sha256:{}", "0".repeat(64))
}

/// The digest of an entry, without the one that it bears.
pub fn digest(spec: &DecisionRecordSpec) -> String {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.remove("digest");
    }
    format!("sha256:{}", sha256(value.to_string().as_bytes()))
}

/// The name of an entry.
pub fn name(model: &str, chain: &str, number: i64) -> String {
    let model = model.get(..model.floor_char_boundary(NAME)).unwrap_or_default();
    let chain = chain.get(..chain.floor_char_boundary(8)).unwrap_or_default();
    format!("{model}-{chain}-{number:06}")
}

/// Adds the entries that are missing in the log of a Model.
pub fn missing(model: &Model, promotions: &[ModelPromotion]) -> Vec<Step> {
    let log = model.status.as_ref().and_then(|it| it.decisions.clone()).unwrap_or_default();
    let logged: BTreeMap<&str, i32> = log.promotions.iter().map(|it| (it.uid.as_str(), it.count)).collect();
    let mut new: Vec<DecisionRecordSpec> = Vec::new();
    for promotion in promotions {
        let uid = promotion.metadata.uid.as_deref().unwrap_or_default();
        let count = logged.get(uid).copied().unwrap_or_default();
        new.extend(decided(promotion).into_iter().skip(usize::try_from(count).unwrap_or_default()));
    }
    // Those of one promotion stay in their order.
    new.sort_by(|one, other| (one.at.0, &one.promotion_uid).cmp(&(other.at.0, &other.promotion_uid)));
    new.truncate(AT_ONCE);
    let (mut number, mut previous) =
        (log.count, if log.head.is_empty() { beginning() } else { log.head.clone() });
    let steps = new.into_iter().map(|mut spec| {
        number += 1;
        spec.model = model.metadata.name.clone().unwrap_or_default();
        spec.chain = model.metadata.uid.clone().unwrap_or_default();
        spec.number = number;
        spec.previous = std::mem::take(&mut previous);
        spec.digest = digest(&spec);
        previous.clone_from(&spec.digest);
        let mut record = DecisionRecord::new(&name(&spec.model, &spec.chain, number), spec);
        record.metadata.namespace.clone_from(&model.metadata.namespace);
        Step::Record(Box::new(record))
    });
    steps.collect()
}

/// The log after one more entry.
pub fn advanced(log: Option<DecisionLog>, entry: &DecisionRecordSpec) -> DecisionLog {
    let mut log = log.unwrap_or_default();
    log.count = entry.number;
    log.head.clone_from(&entry.digest);
    match log.promotions.iter_mut().find(|it| it.uid == entry.promotion_uid) {
        Some(logged) => logged.count += 1,
        None => log.promotions.push(LoggedPromotion { uid: entry.promotion_uid.clone(), count: 1 }),
    }
    log
}

/// The log without what it need not know any more: promotions that are gone.
pub fn pruned(log: Option<DecisionLog>, promotions: &[ModelPromotion]) -> Option<DecisionLog> {
    let mut log = log?;
    log.promotions.retain(|it| {
        promotions.iter().any(|promotion| promotion.metadata.uid.as_deref() == Some(it.uid.as_str()))
    });
    Some(log)
}

/// Whether an entry that somebody has written follows as the wanted one would: then this operator wrote it before it was
/// stopped, and could not put it into the status.
pub fn follows(found: &DecisionRecordSpec, wanted: &DecisionRecordSpec) -> bool {
    found.chain == wanted.chain
        && found.number == wanted.number
        && found.previous == wanted.previous
        && found.digest == digest(found)
}

/// Everything that was decided about a promotion so far. More comes behind, and nothing of it changes.
fn decided(promotion: &ModelPromotion) -> Vec<DecisionRecordSpec> {
    let mut decided = Vec::new();
    let spec = &promotion.spec;
    if let Some(at) = &promotion.metadata.creation_timestamp {
        let stages: Vec<&str> = spec.stages.iter().map(|it| it.name.as_str()).collect();
        let why = format!("version {} shall go through {}", spec.model.version, stages.join(", "));
        decided.push(DecisionRecordSpec {
            who: spec.requester.clone(),
            ..entry(promotion, at, Decision::Requested, &why)
        });
    }
    let Some(status) = &promotion.status else { return decided };
    // In the order of the spec, in which they are gone through.
    let begun = spec.stages.iter().filter_map(|it| status.stages.iter().find(|stage| stage.name == it.name));
    for stage in begun {
        if let Some(at) = &stage.released_at {
            let (who, why) = reasons(stage);
            let released = entry(promotion, at, Decision::Released, &why);
            decided.push(DecisionRecordSpec { who, ..of_stage(released, stage) });
        }
        if let Some(at) = &stage.done_at {
            let since =
                stage.serving_since.as_ref().map_or_else(String::new, |it| format!(" since {}", it.0));
            let kept = entry(promotion, at, Decision::Kept, &format!("its endpoints answer with it{since}"));
            decided.push(DecisionRecordSpec { stage: Some(stage.name.clone()), ..kept });
        }
        if let Some(at) = &stage.reverted_at {
            let reverted = entry(promotion, at, Decision::Reverted, &stage.message);
            decided.push(DecisionRecordSpec {
                stage: Some(stage.name.clone()),
                former_version: stage.former_version.clone(),
                ..reverted
            });
        }
    }
    if let Some(at) = status.ended_at.as_ref().filter(|_| status.phase.is_over()) {
        decided.push(ended(promotion, at));
    }
    decided
}

/// How it ended. Of a stage that never got the version, everything that was known of it.
fn ended(promotion: &ModelPromotion, at: &Time) -> DecisionRecordSpec {
    let status = promotion.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|it| it.type_ == ConditionType::Ready.name());
    let why = ready.map_or_else(String::new, |it| format!("{}: {}", it.reason, it.message));
    let ended = entry(promotion, at, Decision::Ended, &why);
    let stage = status.stages.iter().find(|it| Some(&it.name) == status.stage.as_ref());
    let Some(stage) = stage.filter(|it| it.released_at.is_none()) else { return ended };
    let against = stage.votes.iter().find(|it| it.void.is_none() && it.decision == Vote::Reject);
    let against = against.filter(|_| status.phase == PromotionPhase::Rejected);
    let who = against.map(|it| it.approver.clone()).unwrap_or_default();
    DecisionRecordSpec { who, ..of_stage(ended, stage) }
}

/// Who let a stage have the version, and why.
fn reasons(stage: &StageStatus) -> (String, String) {
    if let Some(by) = &stage.overridden {
        // Names may hold colons, but none with a space behind it: those of people and of service accounts don't.
        let who = by.split_once(": ").map_or(by.as_str(), |(who, _)| who);
        return (who.to_owned(), format!("in spite of the rules of the stage, by {by}"));
    }
    let counted: Vec<&CountedVote> = stage.votes.iter().filter(|it| it.void.is_none()).collect();
    let mut who: Vec<&str> = counted.iter().map(|it| it.approver.as_str()).collect();
    who.sort_unstable();
    who.dedup();
    let why = match (stage.checks.len(), counted.len()) {
        (0, 0) => "the stage asks for nothing".to_owned(),
        (checks, 0) => format!("{checks} checks let it pass"),
        (0, votes) => format!("{votes} votes for it"),
        (checks, votes) => format!("{checks} checks let it pass, {votes} votes for it"),
    };
    (who.join(", "), why)
}

fn of_stage(entry: DecisionRecordSpec, stage: &StageStatus) -> DecisionRecordSpec {
    let checks = stage.checks.iter().map(|it| RecordedCheck {
        name: it.name.clone(),
        outcome: it.outcome,
        artifact: it.artifact.clone(),
        skipped: it.skipped.clone(),
        message: it.message.clone(),
    });
    DecisionRecordSpec {
        stage: Some(stage.name.clone()),
        former_version: stage.former_version.clone(),
        evidence: stage.evidence.clone(),
        votes: stage.votes.clone(),
        checks: checks.collect(),
        ..entry
    }
}

/// An entry that has no place in the log yet.
fn entry(promotion: &ModelPromotion, at: &Time, decision: Decision, why: &str) -> DecisionRecordSpec {
    let bundle = promotion.status.as_ref().and_then(|it| it.bundle.as_ref());
    // What is promoted is known only once the promotion has begun, and its first entry must not change.
    let bundle = bundle.filter(|_| decision != Decision::Requested);
    DecisionRecordSpec {
        model: promotion.spec.model.name.clone(),
        chain: String::new(),
        number: 0,
        previous: String::new(),
        at: at.clone(),
        decision,
        promotion: promotion.metadata.name.clone().unwrap_or_default(),
        promotion_uid: promotion.metadata.uid.clone().unwrap_or_default(),
        version: promotion.spec.model.version.clone(),
        stage: None,
        former_version: None,
        bundle: bundle.map(|it| it.fingerprint.clone()),
        model_digest: bundle.and_then(|it| it.digest.clone()),
        evidence: None,
        who: String::new(),
        why: why.get(..why.floor_char_boundary(WHY)).unwrap_or_default().to_owned(),
        votes: Vec::new(),
        checks: Vec::new(),
        digest: String::new(),
    }
}

/// Where a log must end, as somebody has kept it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Anchor {
    /// How many entries it had.
    pub count: i64,
    /// The digest of the last of them.
    pub head: String,
}

/// What is known of one log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Audit {
    /// The namespace of the Model.
    pub namespace: String,
    /// The Model.
    pub model: String,
    /// Its identity.
    pub chain: String,
    /// The number of the last entry.
    pub count: i64,
    /// The digest of the last entry.
    pub head: String,
    /// Whether somebody has kept where the log must end: without that, entries at its end may be missing.
    pub is_anchored: bool,
    /// What is wrong, each in a sentence. Nothing when the log is whole.
    pub problems: Vec<String>,
}

/// Holds logs against themselves, and against where they must end: by the identity of the Model.
pub fn audit(records: &[DecisionRecord], anchors: &BTreeMap<String, Vec<Anchor>>) -> Vec<Audit> {
    let mut chains: BTreeMap<&str, Vec<&DecisionRecord>> = BTreeMap::new();
    for record in records {
        chains.entry(&record.spec.chain).or_default().push(record);
    }
    for (chain, kept) in anchors {
        if kept.iter().any(|it| it.count > 0) {
            chains.entry(chain).or_default();
        }
    }
    let none = Vec::new();
    chains
        .into_iter()
        .map(|(chain, records)| of_chain(chain, records, anchors.get(chain).unwrap_or(&none)))
        .collect()
}

fn of_chain(chain: &str, mut records: Vec<&DecisionRecord>, anchors: &[Anchor]) -> Audit {
    records.sort_by_key(|it| it.spec.number);
    let (mut problems, mut number, mut previous) = (Vec::new(), 0, beginning());
    let mut heads = BTreeMap::new();
    for record in &records {
        let spec = &record.spec;
        let wanted = name(&spec.model, chain, spec.number);
        let is_called = record.metadata.name.as_deref().unwrap_or_default();
        if is_called != wanted {
            problems.push(format!("entry {} is called {is_called} and must be {wanted}", spec.number));
        }
        if spec.number == number {
            problems.push(format!("entry {number} is there twice"));
        } else if spec.number != number + 1 {
            let last = spec.number - 1;
            let first = number + 1;
            problems.push(if first == last {
                format!("entry {first} is missing")
            } else {
                format!("entries {first} to {last} are missing")
            });
        } else if spec.previous != previous {
            problems.push(format!(
                "entry {} does not follow entry {number}: one of them was changed",
                spec.number
            ));
        }
        if digest(spec) != spec.digest {
            problems.push(format!("entry {} was changed: its digest is that of something else", spec.number));
        }
        number = spec.number;
        previous = digest(spec);
        heads.insert(number, previous.clone());
    }
    for anchor in anchors.iter().filter(|it| it.count > 0) {
        match heads.get(&anchor.count) {
            Some(head) if *head == anchor.head => {}
            Some(_) => problems.push(format!(
                "entry {} is another one than it was when its digest {} was kept",
                anchor.count, anchor.head
            )),
            None if anchor.count > number => {
                problems.push(format!("entries behind {number} are missing: there were {}", anchor.count));
            }
            // It is told as missing already.
            None => {}
        }
    }
    let first = records.first();
    Audit {
        namespace: first.and_then(|it| it.metadata.namespace.clone()).unwrap_or_default(),
        model: first.map(|it| it.spec.model.clone()).unwrap_or_default(),
        chain: chain.to_owned(),
        count: number,
        head: previous,
        is_anchored: anchors.iter().any(|it| it.count >= number),
        problems,
    }
}
