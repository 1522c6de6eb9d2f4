//! What holds whatever happens, in any order: requests go to deployments that answer, all of them, and it ends.
use api::endpoint::RolloutPhase;
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::json;
use testkit::azure::{Both, Fault};

use super::{canary, crash, deployments, new_version, out_of_quota, rollout_of, say, served, shares};
use crate::elsewhere::{inside, main_id};

/// What happens next.
#[derive(Clone, Debug)]
enum Happens {
    Rounds(usize),
    Minutes(i64),
    Version(u32),
    Word(&'static str),
    /// The next write goes wrong.
    Fault(Fault),
    /// Somebody moves all requests of one deployment to another one.
    Moved,
    /// Somebody deletes a deployment that gets nothing.
    Deleted,
    /// The status is lost.
    Forgotten,
    Replicas(i32),
}

fn happens() -> impl Strategy<Value = Happens> {
    let words = ["pause", "resume", "skip-step", "promote", "abort", "retry", "rollback", "nonsense"];
    let faults = [
        Fault::FailOperation(crash()),
        Fault::Refuse(400, out_of_quota()),
        Fault::Refuse(409, crash()),
        Fault::Lose,
    ];
    prop_oneof![
        6 => (1..12_usize).prop_map(Happens::Rounds),
        3 => (1..20_i64).prop_map(Happens::Minutes),
        3 => (1..4_u32).prop_map(Happens::Version),
        4 => prop::sample::select(words.to_vec()).prop_map(Happens::Word),
        2 => prop::sample::select(faults.to_vec()).prop_map(Happens::Fault),
        1 => Just(Happens::Moved),
        1 => Just(Happens::Deleted),
        1 => Just(Happens::Forgotten),
        1 => (1..4_i32).prop_map(Happens::Replicas),
    ]
}

/// One look, with what must hold of every write.
fn look(both: &mut Both) -> Result<(), TestCaseError> {
    let plan = plan::endpoint::plan(&both.observe());
    for step in &plan.steps {
        let plan::Step::ArmPut(put) = step else { continue };
        if put.id != main_id() {
            continue;
        }
        let traffic = put.body["properties"]["traffic"].as_object().cloned().unwrap_or_default();
        let sum: i64 = traffic.values().filter_map(serde_json::Value::as_i64).sum();
        prop_assert!(sum == 100 || sum == 0, "{step} {traffic:?}");
        let before = both.azure.get(&main_id()).cloned().unwrap_or_default();
        for (name, share) in &traffic {
            let had = before["properties"]["traffic"][name].as_i64().unwrap_or(0);
            let id = inside(&format!("onlineEndpoints/churn/deployments/{name}"));
            let state = both.azure.get(&id).map(|it| it["properties"]["provisioningState"].clone());
            let may = share.as_i64().unwrap_or(0) <= had || had > 0 || state == Some(json!("Succeeded"));
            prop_assert!(may, "{name} gets {share} % and is {state:?}");
        }
    }
    let calls = both.azure.calls.len();
    both.reconcile().map_err(TestCaseError::fail)?;
    if let Some(refused) = &both.refused {
        // Only what was to go wrong does: no write breaks a rule of Azure's.
        let is_ours =
            ["UserError", "gets traffic", "ParentResourceNotFound"].iter().any(|it| refused.contains(it));
        prop_assert!(!is_ours, "{refused} after {calls} calls: {:#?}", both.azure.calls);
    }
    Ok(())
}

fn happen(both: &mut Both, what: &Happens) -> Result<(), TestCaseError> {
    match what {
        Happens::Rounds(rounds) => {
            for _ in 0..*rounds {
                look(both)?;
            }
        }
        Happens::Minutes(minutes) => {
            let later = both.azure.now.checked_add(SignedDuration::from_mins(*minutes)).unwrap();
            (both.azure.now, both.cluster.now) = (later, later);
            look(both)?;
        }
        Happens::Version(number) => new_version(both, *number),
        Happens::Word(word) => say(both, word),
        Happens::Fault(fault) => both.azure.faults.push_back(Some(fault.clone())),
        Happens::Moved => {
            let all = deployments(both);
            let ready = all.iter().find(|name| {
                let id = inside(&format!("onlineEndpoints/churn/deployments/{name}"));
                both.azure.get(&id).unwrap()["properties"]["provisioningState"] == "Succeeded"
            });
            if let Some(name) = ready.cloned() {
                both.azure.edit(&main_id(), |body| {
                    body["properties"]["traffic"] = json!({name: 100});
                    body["properties"]["mirrorTraffic"] = json!({});
                });
            }
        }
        Happens::Deleted => {
            let body = both.azure.get(&main_id()).cloned().unwrap_or_default();
            let gets = |name: &String| {
                let share = |map: &str| body["properties"][map][name].as_i64().unwrap_or(0);
                share("traffic") + share("mirrorTraffic") > 0
            };
            if let Some(name) = deployments(both).into_iter().find(|name| !gets(name)) {
                both.azure.remove(&inside(&format!("onlineEndpoints/churn/deployments/{name}")));
            }
        }
        Happens::Forgotten => both.cluster.endpoint.status = None,
        Happens::Replicas(number) => both.cluster.change(|spec| spec.scaling.replicas = Some(*number)),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        rng_seed: RngSeed::Fixed(20_260_211),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn requests_are_answered_and_every_rollout_ends(
        all in prop::collection::vec(happens(), 1..24), ticks in 0..4_u32,
    ) {
        let mut both = served(&canary());
        both.azure.ticks = ticks;
        for what in &all {
            happen(&mut both, what)?;
        }
        // Whoever waits is told to go on, and everything ends.
        both.azure.faults.clear();
        both.round = SignedDuration::from_mins(45);
        for _ in 0..60 {
            if rollout_of_any(&both) == Some(RolloutPhase::Paused) {
                say(&mut both, "resume");
            }
            look(&mut both)?;
        }
        let rollout = rollout_of(&both);
        prop_assert_eq!(&rollout.candidate, &None, "{:#?}", both.cluster.endpoint.status);
        prop_assert!(shares(&both).ends_with(": 100"), "{}", shares(&both));
        prop_assert_eq!(deployments(&both), vec![rollout.stable], "{:#?}", both.azure.calls);
        let calls = both.azure.calls.len();
        for _ in 0..3 {
            look(&mut both)?;
        }
        prop_assert_eq!(both.azure.calls.len(), calls);
    }
}

fn rollout_of_any(both: &Both) -> Option<RolloutPhase> {
    Some(both.cluster.endpoint.status.as_ref()?.rollout.as_ref()?.phase)
}
