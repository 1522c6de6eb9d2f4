//! What holds from any world: plans end, write nothing that is somebody else's, and are silent once all is as wanted.
use arm::{ArmError, OperationShape, ResourceId};
use plan::Step;
use plan::azure::{OWNER_TAG, Outcome, Sight, World};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use testkit::azure::{FakeAzure, Fault};

use crate::engine::{azure, change, delete, id, menu, object};

/// What is there before the object.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Ours,
    OursDiffers,
    OursFailed,
    OursInProgress(&'static str),
    Nobodys,
    Somebodys,
    Terraforms,
}

#[derive(Clone, Debug)]
struct Start {
    before: Vec<Before>,
    first: Vec<bool>,
    second: Vec<bool>,
    adoption: &'static str,
    deletion: &'static str,
    ticks: u32,
    shape: OperationShape,
    faults: Vec<Option<Fault>>,
    /// After how many rounds the spec becomes the second one.
    changes_after: usize,
    /// After how many more rounds the object is deleted.
    deleted_after: usize,
}

fn before() -> impl Strategy<Value = Before> {
    prop_oneof![
        6 => Just(Before::Nothing),
        2 => Just(Before::Ours),
        1 => Just(Before::OursDiffers),
        1 => Just(Before::OursFailed),
        1 => prop::sample::select(&["Creating", "Updating", "Deleting"][..]).prop_map(Before::OursInProgress),
        1 => Just(Before::Nobodys),
        1 => Just(Before::Somebodys),
        1 => Just(Before::Terraforms),
    ]
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    let error =
        |code: &str| ArmError { code: code.to_owned(), message: "no".to_owned(), ..ArmError::default() };
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Fault::Refuse(500, error("InternalServerError")))),
        1 => Just(Some(Fault::Refuse(409, error("AnotherOperationInProgress")))),
        1 => Just(Some(Fault::Refuse(403, error("AuthorizationFailed")))),
        2 => Just(Some(Fault::Lose)),
        2 => Just(Some(Fault::FailOperation(error("InternalServerError")))),
    ]
}

fn starts() -> impl Strategy<Value = Start> {
    let count = menu().len();
    let some = || prop::collection::vec(any::<bool>(), count);
    let shapes = [OperationShape::AzureAsyncOperation, OperationShape::Location, OperationShape::Body];
    let world = (prop::collection::vec(before(), count), 0..4_u32, prop::sample::select(shapes.to_vec()));
    let policy = (
        prop::sample::select(&["Never", "IfUnowned", "Force"][..]),
        prop::sample::select(&["Delete", "Delete", "Orphan"][..]),
    );
    (world, policy, some(), some(), prop::collection::vec(fault(), 0..6), (0..30_usize, 0..60_usize))
        .prop_map(
            |(
                (before, ticks, shape),
                (adoption, deletion),
                first,
                second,
                faults,
                (changes_after, deleted_after),
            )| {
                Start {
                    before,
                    first,
                    second,
                    adoption,
                    deletion,
                    ticks,
                    shape,
                    faults,
                    changes_after,
                    deleted_after,
                }
            },
        )
}

/// What was chosen, and what it is a part of.
fn names(chosen: &[bool]) -> Value {
    let menu = menu();
    let chosen: Vec<&ResourceId> =
        menu.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(row, _)| &row.1).collect();
    let is_wanted = |id: &ResourceId| chosen.iter().any(|it| it.as_str().starts_with(id.as_str()));
    json!(menu.iter().filter(|row| is_wanted(&row.1)).map(|row| row.0).collect::<Vec<_>>())
}

/// Where a resource of the menu says whose it is, by its type.
fn tags(id: &ResourceId) -> Option<&'static str> {
    arm::resource_type(&id.type_()).unwrap().owner.pointer()
}

fn with_tag(id: &ResourceId, mut body: Value, tag: &str, value: &str) -> Value {
    match tags(id) {
        Some("/tags") => body["tags"][tag] = json!(value),
        Some("/properties/tags") => body["properties"]["tags"][tag] = json!(value),
        Some(_) => body["properties"]["metadata"][tag] = json!(value),
        None => {}
    }
    body
}

fn prepare(start: &Start, ours: &str) -> FakeAzure {
    let mut azure = azure();
    azure.ticks = start.ticks;
    azure.shape = start.shape;
    for ((_, id, body), before) in menu().into_iter().zip(&start.before) {
        // A part can't be there without the whole.
        let whole_is_there = id
            .parent()
            .is_none_or(|parent| parent.type_().ends_with("resourceGroups") || azure.get(&parent).is_some());
        if !whole_is_there {
            continue;
        }
        let mine = with_tag(&id, body.clone(), OWNER_TAG, ours);
        match before {
            Before::Nothing => {}
            Before::Ours => azure.put(&id, &mine),
            Before::OursDiffers | Before::OursFailed => {
                azure.put(&id, &mine);
                azure.edit(&id, |body| {
                    if *before == Before::OursFailed {
                        body["properties"]["provisioningState"] = json!("Failed");
                        return;
                    }
                    for field in ["description", "friendlyName", "accessTier", "target", "instanceType"] {
                        if body["properties"][field].is_string() {
                            body["properties"][field] = json!("changed by hand");
                        }
                    }
                });
            }
            Before::OursInProgress(state) => azure.put_in_progress(&id, &mine, state, 2),
            Before::Nobodys => azure.put(&id, &body),
            Before::Somebodys => {
                azure.put(&id, &with_tag(&id, body, OWNER_TAG, "cluster-2/Anything/team/it"));
            }
            Before::Terraforms => azure.put(&id, &with_tag(&id, body, "managed-by", "terraform")),
        }
    }
    azure.faults = start.faults.iter().cloned().collect();
    azure
}

/// Whose a resource was when a plan was made.
#[derive(Debug, PartialEq)]
enum Whose {
    Absent,
    Ours,
    Nobodys,
    Others,
}

fn whose(world: &World, id: &ResourceId) -> Whose {
    let Some(Sight::Present(body)) = world.seen.get(id) else { return Whose::Absent };
    let Some(pointer) = tags(id) else {
        let status = &world.subject.status.resources;
        let made = status.iter().any(|it| it.owned && it.id.eq_ignore_ascii_case(id.as_str()));
        let part = id.parent().filter(|parent| {
            tags(parent).is_some() && !id.is_a("Microsoft.KubernetesConfiguration/extensions")
        });
        return match part.map(|parent| whose(world, &parent)) {
            Some(whose) => whose,
            None if made => Whose::Ours,
            None => Whose::Nobodys,
        };
    };
    let tags = body.pointer(pointer).cloned().unwrap_or_default();
    match tags[OWNER_TAG].as_str() {
        Some(owner) if owner == world.subject.owner.tag() => Whose::Ours,
        None if tags["managed-by"].is_null() => Whose::Nobodys,
        _ => Whose::Others,
    }
}

/// No step touches what is somebody else's.
fn check_steps(world: &World, outcome: &Outcome, adoption: &str) -> Result<(), TestCaseError> {
    for step in &outcome.plan.steps {
        match step {
            Step::ArmPut(_) | Step::ArmPatch(_) => {
                let whose = whose(world, step.resource().unwrap());
                let may = match whose {
                    Whose::Absent | Whose::Ours => true,
                    Whose::Nobodys => adoption != "Never",
                    Whose::Others => adoption == "Force",
                };
                prop_assert!(may, "{step} although it is {whose:?} and adoption is {adoption}");
            }
            Step::ArmDelete(delete) => {
                prop_assert_eq!(whose(world, &delete.id), Whose::Ours, "{}", step);
            }
            _ => {}
        }
    }
    prop_assert_eq!(&plan::azure::plan(world), outcome, "the same world gives the same plan");
    Ok(())
}

fn is_stalled(object: &Value) -> bool {
    object["status"]["conditions"].as_array().into_iter().flatten().any(|it| it["type"] == "Stalled")
}

fn run(
    azure: &mut FakeAzure,
    object: &mut Value,
    rounds: usize,
    adoption: &str,
) -> Result<bool, TestCaseError> {
    let mut quiet = 0;
    for _ in 0..rounds {
        let round = azure.reconcile(object);
        check_steps(&round.world, &round.outcome, adoption)?;
        let is_gone = !object["metadata"]["deletionTimestamp"].is_null()
            && object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        let is_quiet = round.outcome.plan.steps.is_empty() && (round.outcome.settled || is_stalled(object));
        quiet = if is_quiet { quiet + 1 } else { 0 };
        if is_gone || quiet > 12 {
            return Ok(true);
        }
    }
    Ok(false)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        rng_seed: RngSeed::Fixed(20_260_102),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn plans_end_and_keep_to_what_is_ours(start in starts()) {
        let mut object = object(&[]);
        object["spec"]["wants"] = names(&start.first);
        object["spec"]["management"] = json!({"adoption": start.adoption, "deletion": start.deletion});
        let ours = FakeAzure::owner(&object).tag();
        let mut azure = prepare(&start, &ours);
        let foreign: Vec<(ResourceId, Value)> = menu().into_iter().zip(&start.before)
            .filter(|(_, before)| matches!(before, Before::Nobodys | Before::Somebodys | Before::Terraforms))
            .filter(|((_, id, _), _)| tags(id).is_some())
            .filter_map(|((_, id, _), _)| Some((id.clone(), azure.get(&id)?.clone())))
            .collect();

        run(&mut azure, &mut object, start.changes_after, start.adoption)?;
        change(&mut object, |spec| spec["wants"] = names(&start.second));
        run(&mut azure, &mut object, start.deleted_after, start.adoption)?;
        prop_assert!(run(&mut azure, &mut object, 200, start.adoption)?, "no end: {:#?}", object["status"]);

        // What is settled is as wanted and stays silent.
        let outcome = azure.reconcile(&mut object).outcome;
        if outcome.settled {
            for (name, id, _) in menu() {
                let is_wanted = object["spec"]["wants"].as_array().unwrap().contains(&json!(name));
                let body = azure.get(&id);
                prop_assert!(!is_wanted || body.is_some(), "{name} is missing");
            }
            let calls = azure.calls.len();
            for _ in 0..3 {
                azure.reconcile(&mut object);
            }
            prop_assert_eq!(azure.calls.len(), calls);
        }

        delete(&mut object);
        prop_assert!(run(&mut azure, &mut object, 200, start.adoption)?, "not deleted: {:#?}", object["status"]);
        prop_assert!(object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty));
        if start.adoption == "Never" {
            for (id, body) in &foreign {
                let whole_was_ours = id.parent().is_some_and(|parent| azure.get(&parent).is_none() && tags_of(&parent));
                prop_assert!(whole_was_ours || azure.get(id) == Some(body), "{id} was touched");
            }
        }
        if start.deletion == "Delete" {
            for id in azure.ids().filter(|id| tags(id).is_some()) {
                let wanted = object["spec"]["wants"].as_array().unwrap().iter()
                    .any(|name| self::id(name.as_str().unwrap()) == *id);
                let body = azure.get(id).unwrap();
                let is_ours = body.pointer(tags(id).unwrap()).is_some_and(|tags| tags[OWNER_TAG] == ours);
                prop_assert!(!(wanted && is_ours), "{id} is left");
            }
        }
    }

    #[test]
    fn the_mode_plan_writes_nothing(start in starts(), paused in any::<bool>()) {
        let mut object = object(&[]);
        object["spec"]["wants"] = names(&start.first);
        let mode = if paused { "Paused" } else { "Plan" };
        object["spec"]["management"] = json!({"adoption": start.adoption, "mode": mode});
        let ours = FakeAzure::owner(&object).tag();
        let mut azure = prepare(&start, &ours);
        for _ in 0..6 {
            let round = azure.reconcile(&mut object);
            prop_assert_eq!(round.outcome.plan.steps, Vec::new());
        }
        prop_assert!(azure.calls.is_empty());
    }
}

fn tags_of(id: &ResourceId) -> bool {
    id.type_().starts_with("Microsoft.MachineLearningServices")
}
