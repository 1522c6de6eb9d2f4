//! The log of decisions: what is in it, and that nothing of it can be changed or removed unseen.
use api::decision_record::Decision;
use api::model_promotion::PromotionPhase;
use api::{DecisionRecord, ModelPromotion};
use plan::Step;
use plan::decision::{advanced, beginning, digest, follows, missing};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::json;

use crate::support::{Scene, scene};

/// Version 1 comes to production, version 2 is taken back, version 3 is voted down.
fn story() -> Scene {
    let mut scene = scene();
    scene.follow("churn", "production");
    let stages = json!([
        {"name": "staging"},
        {"name": "production", "endpointRefs": [{"name": "churn"}], "approval": {"required": 2}},
    ]);
    for (version, votes) in
        [("1", ["Approve", "Approve"]), ("2", ["Approve", "Approve"]), ("3", ["Reject", "Approve"])]
    {
        let name = format!("churn-v{version}");
        scene.promote(&name, version, &stages);
        scene.settle();
        for (voter, vote) in ["olga", "paul"].into_iter().zip(votes) {
            scene.pass(1);
            scene.vote(voter, &[], vote, &name, "production");
        }
        scene.settle();
        let more = if version == "2" {
            json!({"rollout": {"stable": "churn-1a2b", "phase": "RolledBack"}})
        } else {
            json!({})
        };
        scene.says("churn", version, "True", &more);
        scene.settle();
        scene.pass(10);
    }
    assert_eq!(scene.phase("churn-v1"), PromotionPhase::Succeeded);
    assert_eq!(scene.phase("churn-v2"), PromotionPhase::Failed);
    assert_eq!(scene.phase("churn-v3"), PromotionPhase::Rejected);
    scene
}

#[test]
fn everything_that_was_decided_is_on_record_with_who_and_why() {
    use Decision::{Ended, Kept, Released, Requested, Reverted};
    let scene = story();
    let told: Vec<_> = scene
        .records
        .iter()
        .map(|it| (it.spec.decision, it.spec.version.as_str(), it.spec.stage.as_deref()))
        .collect();
    let (staging, production) = (Some("staging"), Some("production"));
    let expected = [
        (Requested, "1", None),
        (Released, "1", staging),
        (Kept, "1", staging),
        (Released, "1", production),
        (Kept, "1", production),
        (Ended, "1", None),
        (Requested, "2", None),
        (Released, "2", staging),
        (Kept, "2", staging),
        (Released, "2", production),
        (Reverted, "2", production),
        (Ended, "2", None),
        (Requested, "3", None),
        (Released, "3", staging),
        (Kept, "3", staging),
        (Ended, "3", production),
    ];
    assert_eq!(told, expected);
    let names: Vec<_> = scene.records.iter().filter_map(|it| it.metadata.name.as_deref()).collect();
    assert_eq!((names[0], names[15]), ("churn-uid-of-c-000001", "churn-uid-of-c-000016"));
    let spec = |place: usize| &scene.records[place].spec;
    assert_eq!((spec(0).who.as_str(), spec(0).previous.clone()), ("rita", beginning()));
    let released = spec(3);
    assert_eq!((released.who.as_str(), released.why.as_str()), ("olga, paul", "2 votes for it"));
    assert_eq!(released.votes.len(), 2);
    assert!(released.evidence.is_some() && released.bundle.is_some());
    let reverted = spec(10);
    assert!(
        reverted.why.starts_with("stage production went back to version 1: Endpoint churn: "),
        "{}",
        reverted.why
    );
    assert_eq!(reverted.former_version.as_deref(), Some("1"));
    let rejected = spec(15);
    assert_eq!(rejected.who, "olga");
    assert!(
        rejected.why.starts_with("VoteRejected: olga voted against stage production"),
        "{}",
        rejected.why
    );
}

#[test]
fn whatever_is_changed_or_removed_is_found() {
    let scene = story();
    let count = scene.records.len();
    let config =
        Config { cases: 200, rng_seed: RngSeed::Fixed(16), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let forged = |records: &mut Vec<DecisionRecord>, place: usize, what: usize, is_digested: bool| {
        if what == 0 {
            records.remove(place);
            return;
        }
        let spec = &mut records[place].spec;
        match what {
            1 => spec.who.push('x'),
            2 => spec.why.push('x'),
            3 => spec.version = "7".to_owned(),
            4 => spec.at.0 = spec.at.0.checked_add(jiff::SignedDuration::from_secs(1)).unwrap(),
            5 => spec.model_digest = Some("sha256:0".to_owned()),
            6 => spec.evidence = Some("sha256:0".to_owned()),
            7 => {
                spec.decision =
                    if spec.decision == Decision::Kept { Decision::Reverted } else { Decision::Kept }
            }
            8 => spec.number += 1,
            9 => spec.previous = beginning().replace("00", "01"),
            _ => spec.stage = Some("elsewhere".to_owned()),
        }
        // Whoever forges an entry makes its digest fit.
        if is_digested {
            spec.digest = digest(spec);
        }
    };
    let test = |(place, what, is_digested, other): (usize, usize, bool, usize)| {
        let mut records = scene.records.clone();
        forged(&mut records, place, what, is_digested);
        // In whatever order they come.
        records.rotate_left(other);
        prop_assert!(!scene.audit(&records).is_empty(), "entry {place}, {what}");
        Ok(())
    };
    runner.run(&(0..count, 0..11_usize, any::<bool>(), 0..count - 1), test).unwrap();
}

/// A log that was made anew from some entry on fits together, and not with what was kept.
#[test]
fn a_log_that_was_made_anew_is_not_the_one_whose_end_was_kept() {
    let scene = story();
    for first in 0..scene.records.len() {
        let mut records = scene.records.clone();
        let mut previous = records[first].spec.previous.clone();
        records[first].spec.why = "because".to_owned();
        for record in &mut records[first..] {
            record.spec.previous = previous;
            record.spec.digest = digest(&record.spec);
            previous = record.spec.digest.clone();
        }
        let problems = scene.audit(&records);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with("entry 16 is another one than it was when its digest"),
            "{problems:?}"
        );
    }
}

#[test]
fn an_entry_that_was_written_before_a_crash_is_taken_up_even_if_another_would_come_first_now() {
    let mut scene = scene();
    scene.promote("later", "2", &json!([{"name": "staging"}]));
    let model = scene.model.clone().unwrap();
    let promotions = |scene: &Scene| -> Vec<ModelPromotion> { scene.promotions.values().cloned().collect() };
    let written = missing(&model, &promotions(&scene)).remove(0);
    // The status could not be written, and then somebody else's promotion is seen, which is older.
    scene.now = "2026-03-01T07:00:00Z".parse().unwrap();
    scene.promote("earlier", "1", &json!([{"name": "staging"}]));
    let wanted = missing(&model, &promotions(&scene)).remove(0);
    let (Step::Record(written), Step::Record(wanted)) = (written, wanted) else { unreachable!() };
    assert_eq!((written.spec.promotion.as_str(), wanted.spec.promotion.as_str()), ("later", "earlier"));
    assert_eq!(written.metadata.name, wanted.metadata.name);
    assert!(follows(&written.spec, &wanted.spec));
    let mut model = model;
    model.status.get_or_insert_default().decisions = Some(advanced(None, &written.spec));
    let Step::Record(next) = missing(&model, &promotions(&scene)).remove(0) else { unreachable!() };
    assert_eq!((next.spec.promotion.as_str(), next.spec.number), ("earlier", 2));
    assert_eq!(next.spec.previous, written.spec.digest);
    // What somebody else wrote is not taken up.
    let changes: [fn(&mut DecisionRecord); 3] = [
        |it| it.spec.why.push('x'),
        |it| it.spec.chain.push('x'),
        |it| it.spec.previous = beginning().replace("00", "01"),
    ];
    for change in changes {
        let mut forged = (*written).clone();
        change(&mut forged);
        assert!(!follows(&forged.spec, &wanted.spec));
    }
}
