//! What `check` says of installations, good and bad.
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::facts::{BeforeInstallation, DefaultRuntime, Installation, Operator, Right, Version};
use super::report::{self, Report};
use crate::connect::Problem;
use crate::fixtures::PLAIN;
use crate::output::{self, Format};

/// The text, which stays the same from one version of the plugin to the next.
fn text(report: &Report) -> String {
    super::render(report, PLAIN).replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

fn version(text: &str, minor: u32) -> Version {
    Version { text: text.to_owned(), number: Some((1, minor)) }
}

fn right(verb: &'static str, resource: &'static str) -> Right {
    Right { verb, group: api::GROUP, resource, namespace: Some("team".to_owned()) }
}

fn good() -> Installation {
    let definitions = api::crds().into_iter().map(|wanted| (wanted.clone(), Ok(wanted))).collect();
    Installation {
        server: "https://cluster.example:6443/".to_owned(),
        version: Ok(version("v1.36.2", 36)),
        definitions,
        operators: Ok(vec![Operator {
            namespace: "mlops-system".to_owned(),
            name: "mlops-operator".to_owned(),
            wanted: 1,
            available: 1,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }]),
        runtimes: Ok(vec![
            DefaultRuntime { name: "onnx".to_owned(), formats: vec!["ONNX"] },
            DefaultRuntime { name: "container".to_owned(), formats: vec!["MLflow", "Triton", "Custom"] },
        ]),
        namespace: "team".to_owned(),
        rights: vec![(right("create", "endpoints"), Ok(true)), (right("get", "endpoints"), Ok(true))],
    }
}

fn without_rollout(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let schema = definition.spec.versions[0].schema.as_mut().unwrap();
    let root = schema.open_api_v3_schema.as_mut().unwrap();
    let spec = root.properties.as_mut().unwrap().get_mut("spec").unwrap();
    spec.properties.as_mut().unwrap().remove("rollout");
    definition
}

fn bad() -> Installation {
    let mut facts = good();
    facts.version = Ok(version("v1.31.0", 31));
    facts.definitions[0].1 = Ok(without_rollout(facts.definitions[0].0.clone()));
    facts.definitions[1].1 = Err(Problem::NotFound("not found".to_owned()));
    if let Ok(operators) = &mut facts.operators {
        operators[0].available = 0;
        operators[0].version = Some("0.0.9".to_owned());
    }
    facts.runtimes =
        Ok(vec![DefaultRuntime { name: "container".to_owned(), formats: vec!["MLflow", "Custom"] }]);
    facts.rights[0].1 = Ok(false);
    facts
}

#[test]
fn a_good_installation_is_all_well() {
    let report = report::installation(&good());
    assert!(report.ok);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn each_failure_comes_with_a_hint() {
    let report = report::installation(&bad());
    assert!(!report.ok);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn an_unreachable_cluster_ends_the_check() {
    let mut facts = good();
    facts.version = Err(Problem::Other("failed to reach https://cluster.example:6443/: refused".to_owned()));
    let report = report::installation(&facts);
    assert!(!report.ok);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn what_the_user_may_not_see_is_a_warning() {
    let forbidden = || Problem::Forbidden("deployments.apps is forbidden".to_owned());
    let facts = Installation { operators: Err(forbidden()), runtimes: Err(forbidden()), ..good() };
    let report = report::installation(&facts);
    assert!(report.ok);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn a_missing_operator_says_how_to_install_it() {
    let facts = Installation { operators: Ok(Vec::new()), runtimes: Ok(Vec::new()), ..good() };
    insta::assert_snapshot!(text(&report::installation(&facts)));
}

fn before(grants: Vec<(Right, Result<bool, Problem>)>, may_escalate: bool) -> BeforeInstallation {
    let definitions = Right {
        verb: "create",
        group: "apiextensions.k8s.io",
        resource: "customresourcedefinitions",
        namespace: None,
    };
    BeforeInstallation {
        server: "https://cluster.example:6443/".to_owned(),
        version: Ok(version("v1.36.2", 36)),
        namespace: "mlops-system".to_owned(),
        rights: vec![(definitions, Ok(true))],
        grants,
        may_escalate: Ok(may_escalate),
    }
}

#[test]
fn an_installer_must_hold_what_the_operator_is_given() {
    let grants =
        || vec![(right("patch", "endpoints/status"), Ok(false)), (right("list", "endpoints"), Ok(true))];
    let refused = report::before_installation(&before(grants(), false));
    assert!(!refused.ok);
    insta::assert_snapshot!(text(&refused));
    assert!(report::before_installation(&before(grants(), true)).ok);
}

#[test]
fn the_shape_of_json_is_stable() {
    let report = report::before_installation(&before(Vec::new(), false));
    insta::assert_snapshot!(output::document(Format::Json, &report, |_| String::new()).unwrap());
}
