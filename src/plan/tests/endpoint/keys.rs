//! The keys of an Endpoint: made, kept, replaced once for each word, and told to nobody but their Secret.
use api::Reason;
use api::azure::ManagementMode;
use api::endpoint::KeysStatus;
use api::meta::KEYS_ACTION_ANNOTATION;
use plan::child::Controller;
use plan::endpoint::keys::{Both, SecretSeen};
use plan::{Event, Step, WriteKeys};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use testkit::{EndpointFixture, World, endpoint};

use crate::{check, settle};

fn keyed() -> EndpointFixture {
    endpoint("churn").auth(&json!({"mode": "Key"}))
}

fn say(world: &mut World, word: &str) {
    let annotations = world.endpoint.metadata.annotations.get_or_insert_default();
    annotations.insert(KEYS_ACTION_ANNOTATION.to_owned(), word.to_owned());
}

/// The digests that the gateway knows.
fn told(world: &World) -> Vec<String> {
    let Some(route) = world.routes().next() else { return Vec::new() };
    let document: Value = serde_json::from_str(route["data"]["route.json"].as_str().unwrap()).unwrap();
    serde_json::from_value(document["auth"]["digests"].clone()).unwrap()
}

/// The digests of what the Secret holds.
fn stored(world: &World) -> Vec<String> {
    let Both { primary, secondary } = world.secret.clone().unwrap_or_default().digests;
    [primary, secondary].into_iter().flatten().collect()
}

fn status(world: &World) -> KeysStatus {
    world.endpoint.status.clone().unwrap().keys.unwrap()
}

/// The next write of keys, and what is planned beside it.
fn write(world: &World) -> (Option<WriteKeys>, Vec<Event>) {
    let plan = plan::endpoint::plan(&world.observe());
    let writes = plan.steps.into_iter().filter_map(|step| match step {
        Step::WriteKeys(write) => Some(write),
        _ => None,
    });
    let writes: Vec<WriteKeys> = writes.collect();
    assert!(writes.len() <= 1, "{writes:?}");
    (writes.into_iter().next(), plan.events)
}

#[test]
fn two_keys_are_made_before_anybody_is_told_of_them() {
    let mut world = World::new(keyed().build());
    check(&mut world, "keys_made");
    assert_eq!(stored(&world).len(), 2);
    assert_eq!(told(&world), stored(&world));
    settle(&mut world);
    assert_eq!(status(&world).secret_name.as_deref(), Some("churn-keys"));
    let (write, events) = write(&world);
    assert!(write.is_none() && events.is_empty(), "nothing else happens");
}

#[test]
fn the_secret_is_owned_by_the_endpoint_and_holds_no_key_but_its_own() {
    let write = write(&World::new(keyed().build())).0.unwrap();
    insta::assert_snapshot!("keys_secret", serde_json::to_string_pretty(&write.body).unwrap());
    assert_eq!(write.keys.keys().copied().collect::<Vec<_>>(), ["primaryKey", "secondaryKey"]);
}

#[test]
fn a_key_that_is_gone_comes_back_and_the_other_stays() {
    let mut world = World::new(keyed().build());
    settle(&mut world);
    let before = stored(&world);
    world.secret.as_mut().unwrap().digests.secondary = None;
    check(&mut world, "keys_restored");
    assert_eq!(stored(&world)[0], before[0]);
    assert_ne!(stored(&world)[1], before[1]);
    assert_eq!(told(&world), stored(&world));
    world.secret = None;
    settle(&mut world);
    assert!(stored(&world).len() == 2 && !stored(&world).contains(&before[0]));
    assert_eq!(told(&world), stored(&world));
}

#[test]
fn a_key_that_a_person_puts_into_the_secret_is_taken() {
    let mut world = World::new(keyed().build());
    settle(&mut world);
    let own = plan::digest::sha256(b"open-sesame");
    world.secret.as_mut().unwrap().digests.primary = Some(own.clone());
    settle(&mut world);
    assert_eq!(told(&world)[0], own);
    assert_eq!(stored(&world)[0], own, "it is not replaced");
}

#[test]
fn a_word_makes_one_new_key_and_the_other_goes_on() {
    let mut world = World::new(keyed().build());
    settle(&mut world);
    let before = stored(&world);
    say(&mut world, "regenerate=primary@1");
    check(&mut world, "keys_regenerated");
    let after = stored(&world);
    assert!(after[0] != before[0] && after[1] == before[1]);
    assert_eq!(told(&world), after, "the old value ends with the routing document");
    assert_eq!(status(&world).handled_action, None, "the Secret knows before the status does");
    check(&mut world, "keys_regenerated_told");
    assert_eq!(status(&world).handled_action.as_deref(), Some("regenerate=primary@1"));
    settle(&mut world);
    say(&mut world, "regenerate=secondary@2");
    settle(&mut world);
    assert_eq!(stored(&world)[0], after[0]);
    assert_ne!(stored(&world)[1], after[1]);
}

#[test]
fn a_crash_at_any_write_makes_no_second_key() {
    let mut world = World::new(keyed().build());
    settle(&mut world);
    say(&mut world, "regenerate=secondary@1");
    let steps = plan::endpoint::plan(&world.observe()).steps;
    for reached in 0..=steps.len() {
        let mut world = world.clone();
        for step in &steps[..reached] {
            world.take(step).unwrap();
        }
        // The status was not written; another operator looks at what is there.
        let after = stored(&world);
        settle(&mut world);
        if reached > 0 {
            assert_eq!(stored(&world), after, "after {reached} writes");
        }
        assert_eq!(told(&world), stored(&world));
        assert_eq!(status(&world).handled_action.as_deref(), Some("regenerate=secondary@1"));
    }
}

#[test]
fn a_status_that_was_lost_makes_no_second_key() {
    let mut world = World::new(keyed().build());
    say(&mut world, "regenerate=primary@1");
    settle(&mut world);
    settle(&mut world);
    let before = stored(&world);
    world.endpoint.status = None;
    settle(&mut world);
    assert_eq!(stored(&world), before);
}

#[test]
fn a_stranger_s_secret_is_a_conflict_and_stays() {
    let mut world = World::new(keyed().build());
    let digests = Both { primary: Some("a".repeat(64)), secondary: None };
    world.secret = Some(SecretSeen { uid: "theirs".to_owned(), digests, ..SecretSeen::default() });
    say(&mut world, "regenerate=primary@1");
    check(&mut world, "keys_of_a_stranger");
    assert_eq!(told(&world), Vec::<String>::new());
}

#[test]
fn the_secret_of_an_endpoint_before_is_waited_for() {
    let mut world = World::new(keyed().build());
    settle(&mut world);
    world.recreate_endpoint();
    let (write_now, _) = write(&world);
    assert!(write_now.is_none());
    world.secret = None;
    world.collect_garbage();
    settle(&mut world);
    let owner = world.secret.as_ref().and_then(|it| it.controller.clone()).unwrap();
    let uid = world.endpoint.metadata.uid.clone().unwrap();
    assert_eq!(owner, Controller { kind: "Endpoint".to_owned(), name: "churn".to_owned(), uid });
}

#[test]
fn a_person_s_secret_is_read_and_never_written() {
    let auth = json!({"mode": "Key", "secretRef": {"name": "mine"}});
    let mut world = World::new(endpoint("churn").auth(&auth).build());
    check(&mut world, "keys_given_missing");
    let digests = Both { primary: None, secondary: Some("b".repeat(64)) };
    world.secret = Some(SecretSeen { uid: "theirs".to_owned(), digests, ..SecretSeen::default() });
    settle(&mut world);
    assert_eq!(told(&world), ["b".repeat(64)]);
    say(&mut world, "regenerate=primary@1");
    let (write, events) = write(&world);
    assert!(write.is_none());
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0].reason == Reason::ActionRefused && events[0].note.contains("which is yours"),
        "{events:?}"
    );
    settle(&mut world);
    assert!(status(&world).action_refused.unwrap().contains("write a new primaryKey into it"));
}

#[test]
fn words_that_make_no_sense_are_refused_once() {
    let azure = json!({"mode": "None"});
    for (auth, word, why) in [
        (json!({"mode": "Key"}), "dance", "use regenerate=primary or regenerate=secondary"),
        (azure, "regenerate=primary", "the Endpoint has no keys: set auth.mode to Key"),
    ] {
        let mut world = World::new(endpoint("churn").auth(&auth).build());
        settle(&mut world);
        say(&mut world, word);
        let plan = world.reconcile().unwrap();
        assert!(plan.events.iter().any(|event| event.reason == Reason::ActionRefused), "{:?}", plan.events);
        assert_eq!(status(&world).action_refused.as_deref(), Some(why));
        assert!(world.reconcile().unwrap().events.is_empty());
    }
}

#[test]
fn a_word_without_end_fits_into_the_status() {
    let mut world = World::new(keyed().build());
    settle(&mut world);
    say(&mut world, &format!("regenerate=primary@{}", "ü".repeat(500)));
    let before = stored(&world);
    settle(&mut world);
    settle(&mut world);
    assert_ne!(stored(&world)[0], before[0]);
    assert!(status(&world).handled_action.unwrap().len() <= 128);
    assert!(write(&world).0.is_none());
}

#[test]
fn a_plan_that_is_only_shown_makes_no_key_and_looks_alike_with_any() {
    let mut world = World::new(keyed().build());
    world.endpoint.spec.management.mode = ManagementMode::Plan;
    say(&mut world, "regenerate=primary@1");
    let hash = |world: &World| {
        let plan = plan::endpoint::plan(&world.observe());
        assert!(plan.steps.is_empty());
        assert!(plan.status.keys.as_ref().is_none_or(|it| it.handled_action.is_none()));
        let planned = plan.status.plan.unwrap();
        assert!(planned.steps[0].step.starts_with("create Secret team/churn-keys"), "{planned:?}");
        planned.hash
    };
    let first = hash(&world);
    world.make_other_keys();
    assert_eq!(hash(&world), first);
}

/// Something that happens to keys.
#[derive(Clone, Debug)]
enum Happening {
    Reconcile,
    Say(bool),
    Lose(bool),
    Put(bool),
    Remove,
    ForgetStatus,
    Crash(usize),
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => Just(Happening::Reconcile),
        3 => any::<bool>().prop_map(Happening::Say),
        1 => any::<bool>().prop_map(Happening::Lose),
        1 => any::<bool>().prop_map(Happening::Put),
        1 => Just(Happening::Remove),
        1 => Just(Happening::ForgetStatus),
        2 => (0..3_usize).prop_map(Happening::Crash),
    ]
}

/// What happens at a place of a story. No word is said twice.
fn happen(world: &mut World, at: usize, happening: &Happening) {
    let place = |world: &mut World, first: bool, value: Option<String>| {
        let Some(secret) = &mut world.secret else { return };
        secret.version.push('1');
        *(if first { &mut secret.digests.primary } else { &mut secret.digests.secondary }) = value;
    };
    match happening {
        Happening::Reconcile => drop(world.reconcile().unwrap()),
        Happening::Say(first) => {
            let which = if *first { "primary" } else { "secondary" };
            say(world, &format!("regenerate={which}@{at}"));
        }
        Happening::Lose(first) => place(world, *first, None),
        Happening::Put(first) => place(world, *first, Some("c".repeat(64))),
        Happening::Remove => world.secret = None,
        Happening::ForgetStatus => world.endpoint.status = None,
        Happening::Crash(reached) => {
            let steps = plan::endpoint::plan(&world.observe()).steps;
            steps.iter().take(*reached).for_each(|step| world.take(step).unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(20_261_130),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_story_ends_with_two_keys_that_the_gateway_knows(story in prop::collection::vec(happenings(), 0..16)) {
        let mut world = World::new(keyed().build());
        for (at, happening) in story.iter().enumerate() {
            let before = stored(&world);
            happen(&mut world, at, happening);
            let changed = before.len() == 2 && before.iter().all(|key| !stored(&world).contains(key));
            let lost = matches!(happening, Happening::Remove);
            prop_assert!(lost || !changed, "both keys changed at once by {happening:?}");
        }
        world.settle(4).unwrap();
        world.settle(4).unwrap();
        prop_assert_eq!(stored(&world).len(), 2);
        prop_assert_eq!(told(&world), stored(&world));
        let made = world.keys_made();
        world.endpoint.status = None;
        world.settle(4).unwrap();
        prop_assert_eq!(world.keys_made(), made, "what was done is not done again");
        let word = world.endpoint.metadata.annotations.as_ref().and_then(|it| it.get(KEYS_ACTION_ANNOTATION));
        let status = world.endpoint.status.clone().unwrap().keys.unwrap();
        prop_assert_eq!(status.handled_action.as_ref(), word);
    }
}
