//! What holds for all ids, operations and errors, whatever a server says.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test by a panic")]
use arm::{
    Answer, ArmError, Operation, OperationShape, Progress, ResourceId, Verb, classify, polled, started,
};
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

fn id() -> impl Strategy<Value = String> {
    let name = "[A-Za-z0-9][A-Za-z0-9._()-]{0,20}";
    let pair = ("[A-Za-z]{1,12}", name).prop_map(|(type_, name)| format!("/{type_}/{name}"));
    let provider = ("[A-Z][a-z]{1,9}\\.[A-Z][a-z]{1,9}", prop::collection::vec(pair, 1..4))
        .prop_filter("no type is called providers", |(_, pairs)| {
            !pairs.iter().any(|pair| pair.to_ascii_lowercase().contains("/providers"))
        })
        .prop_map(|(namespace, pairs)| format!("/providers/{namespace}{}", pairs.concat()));
    let group = prop::option::of(name.prop_map(|name| format!("/resourceGroups/{name}")));
    (name, group, prop::collection::vec(provider, 0..3)).prop_map(|(subscription, group, providers)| {
        format!("/subscriptions/{subscription}{}{}", group.unwrap_or_default(), providers.concat())
    })
}

fn body() -> impl Strategy<Value = Option<Value>> {
    let word = prop::sample::select(vec!["Succeeded", "failed", "Canceled", "Creating", "", "InProgress"]);
    let error = prop::option::of(("[A-Za-z]{0,20}", ".{0,40}"));
    prop::option::of((prop::option::of(word.clone()), prop::option::of(word), error).prop_map(
        |(status, state, error)| {
            json!({
                "status": status,
                "properties": {"provisioningState": state},
                "error": error.map(|(code, message)| json!({"code": code, "message": message})),
            })
        },
    ))
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop::sample::select(vec![
        "azure-asyncoperation",
        "location",
        "retry-after",
        "retry-after-ms",
        "x-ms-async-operation-timeout",
    ]);
    let value =
        prop_oneof!["[ -~]{0,40}", "[0-9]{1,20}", "PT[0-9]{1,4}[HMS]", "https://[a-z]{1,9}/[a-z]{1,9}"];
    prop::collection::vec((name, value), 0..5).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    })
}

fn verb() -> impl Strategy<Value = Verb> {
    prop::sample::select(vec![Verb::Put, Verb::Patch, Verb::Delete, Verb::Post])
}

fn shape() -> impl Strategy<Value = OperationShape> {
    use OperationShape::{AzureAsyncOperation, Body, Location};
    prop::sample::select(vec![AzureAsyncOperation, Location, Body])
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_260_101),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_id_survives_being_written_and_read(text in id()) {
        let id = ResourceId::parse(&text).unwrap();
        prop_assert_eq!(id.as_str(), &text);
        let kept = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(serde_json::from_str::<ResourceId>(&kept).unwrap(), id);
    }

    #[test]
    fn an_id_is_the_same_in_any_case(text in id()) {
        let id = ResourceId::parse(&text).unwrap();
        let upper = ResourceId::parse(&text.to_ascii_uppercase()).unwrap();
        prop_assert_eq!(&id, &upper);
        prop_assert!(id.is_a(&upper.type_()));
        let set: std::collections::HashSet<ResourceId> = [id, upper].into();
        prop_assert_eq!(set.len(), 1);
    }

    #[test]
    fn a_child_has_its_parent(text in id(), name in "[a-z]{1,9}") {
        let id = ResourceId::parse(&text).unwrap();
        let extension = id.with_provider("Contoso.Things/things", &name).unwrap();
        prop_assert_eq!(extension.parent(), Some(id));
        let child = extension.child("parts", &name).unwrap();
        prop_assert_eq!(child.parent(), Some(extension));
        prop_assert_eq!(child.name(), name);
    }

    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,80}") {
        if let Ok(id) = ResourceId::parse(&text) {
            prop_assert!(id.as_str().starts_with('/') && !id.as_str().contains(".."));
            let _ = (id.type_(), id.parent(), id.ancestor("workspaces"));
        }
    }

    #[test]
    fn no_answer_breaks_an_operation(
        verb in verb(), shape in shape(), status in 200_u16..600, headers in headers(), body in body()
    ) {
        let id = ResourceId::parse("/subscriptions/s/resourceGroups/g").unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let answer = Answer { status, headers: &headers, body: body.as_ref() };
        let _ = started(verb, &id, &answer, now);
        let operation =
            Operation { verb, shape, url: id.to_string(), started: now, deadline: None, poll_at: now };
        if let Progress::Running(next) = polled(&operation, &answer, now) {
            prop_assert!(next.poll_at > now && next.poll_at.duration_since(now).as_secs() <= 3600);
            prop_assert_eq!((next.verb, next.shape, next.started), (verb, shape, now));
        }
    }

    #[test]
    fn trouble_of_the_service_never_ends_an_operation(
        verb in verb(), shape in shape(), status in prop::sample::select(vec![401_u16, 403, 408, 429, 500, 502, 503]),
        headers in headers(), body in body()
    ) {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let operation =
            Operation { verb, shape, url: "/x".to_owned(), started: now, deadline: None, poll_at: now };
        let answer = Answer { status, headers: &headers, body: body.as_ref() };
        prop_assert!(matches!(polled(&operation, &answer, now), Progress::Running(_)));
    }

    #[test]
    fn every_error_has_a_class(status in 0_u16..1000, code in ".{0,30}", message in ".{0,60}") {
        let _ = classify(status, &ArmError { code, message, ..ArmError::default() });
    }
}
