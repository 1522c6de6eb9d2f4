//! Whatever happens during changes of version, somebody answers all requests.
use arm::ArmError;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use testkit::azure::{Both, Fault};

use super::{main_id, only_deployment, served, traffic, version};

/// What happens beside reconciles.
#[derive(Clone, Debug)]
enum Happening {
    /// The user asks for a version.
    Version(u32),
    /// The next write goes wrong.
    Fault(u8),
    /// Reads of the endpoint are as of now, for a while.
    Stale,
    /// Reads are current again.
    Current,
    /// Azure forgets the operations that it told of.
    Forget,
}

fn happenings() -> impl Strategy<Value = Vec<(Happening, u8)>> {
    let happening = prop_oneof![
        4 => (1..4_u32).prop_map(Happening::Version),
        2 => (0..3_u8).prop_map(Happening::Fault),
        1 => Just(Happening::Stale),
        1 => Just(Happening::Current),
        1 => Just(Happening::Forget),
    ];
    prop::collection::vec((happening, 0..6_u8), 1..12)
}

fn happen(both: &mut Both, happening: &Happening) {
    let error = || ArmError {
        code: "InternalServerError".to_owned(),
        message: "it broke".to_owned(),
        ..ArmError::default()
    };
    match happening {
        Happening::Version(number) => both.cluster.change(|spec| spec.model.uri = version(*number)),
        Happening::Fault(kind) => both.azure.faults.push_back(Some(match kind {
            0 => Fault::Refuse(500, error()),
            1 => Fault::Lose,
            _ => Fault::FailOperation(error()),
        })),
        Happening::Stale => {
            both.stale.insert(main_id(), both.azure.get(&main_id()).unwrap().clone());
        }
        Happening::Current => both.stale.clear(),
        Happening::Forget => both.azure.forget_operations(),
    }
}

/// The deployment that answers all requests, if it is there and has been made.
fn serving(both: &Both) -> Option<String> {
    let shares = traffic(both);
    let (name, share) = shares.as_object()?.iter().find(|(_, share)| share.as_i64() == Some(100))?;
    let body = both.azure.get(&main_id().child("deployments", name).ok()?)?;
    (share == 100 && body["properties"]["provisioningState"] == "Succeeded").then(|| name.clone())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192,
        rng_seed: RngSeed::Fixed(20_260_102),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn some_deployment_that_stands_has_all_requests_at_every_moment(story in happenings()) {
        let mut both = served();
        for (happening, rounds) in &story {
            happen(&mut both, happening);
            for _ in 0..*rounds {
                both.reconcile().unwrap();
                prop_assert!(serving(&both).is_some(), "{:#?}", both.azure.calls);
            }
        }
        both.stale.clear();
        both.azure.faults.clear();
        both.settle(80).unwrap();
        prop_assert_eq!(serving(&both), Some(only_deployment(&both)));
        prop_assert_eq!(both.cluster.condition("Ready"), Some((true, api::Reason::Ready)));
        let endpoint = &both.cluster.endpoint;
        let deployment = main_id().child("deployments", &only_deployment(&both)).unwrap();
        let body = both.azure.get(&deployment).unwrap();
        prop_assert_eq!(body["properties"]["model"].as_str(), Some(endpoint.spec.model.uri.as_str()));
    }
}
