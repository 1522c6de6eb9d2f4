//! What `check` asks the API server. An answer that does not come is a fact like any other.
use std::future::Future;

use api::ServingRuntime;
use api::meta::ENDPOINT_LABEL;
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};

use super::facts::{BeforeInstallation, DefaultRuntime, Installation, Operator, Right, Version};
use crate::arguments::CheckOptions;
use crate::connect::{Cluster, Problem};
use crate::objects;

/// How many rights are asked about at the same time.
const PARALLEL: usize = 8;
/// Where the operator is installed when nobody says otherwise.
const OPERATOR_NAMESPACE: &str = "mlops-system";

/// Looks at a cluster where the operator should run.
pub(super) async fn installation(cluster: &Cluster, options: &CheckOptions) -> Installation {
    let version = version(cluster).await;
    let operators = or_unreachable(&version, operators(cluster, options)).await;
    let mut definitions = Vec::new();
    for wanted in api::crds() {
        let found = or_unreachable(&version, definition(cluster, &wanted)).await;
        definitions.push((wanted, found));
    }
    let runtimes = match (&options.operator_namespace, &operators) {
        (Some(namespace), _) => or_unreachable(&version, default_runtimes(cluster, namespace)).await,
        (None, Ok(operators)) => match operators.first() {
            Some(operator) => default_runtimes(cluster, &operator.namespace).await,
            None => Ok(Vec::new()),
        },
        (None, Err(problem)) => Err(problem.clone()),
    };
    Installation {
        server: cluster.server.clone(),
        operators,
        definitions,
        runtimes,
        rights: rights(cluster, user_rights(&cluster.namespace), &version).await,
        namespace: cluster.namespace.clone(),
        version,
    }
}

/// Looks at a cluster where the operator is to be installed.
pub(super) async fn before_installation(cluster: &Cluster, options: &CheckOptions) -> BeforeInstallation {
    let namespace = options.operator_namespace.as_deref().unwrap_or(OPERATOR_NAMESPACE).to_owned();
    let version = version(cluster).await;
    let escalate = Right {
        verb: "escalate",
        group: "rbac.authorization.k8s.io",
        resource: "clusterroles",
        namespace: None,
    };
    BeforeInstallation {
        server: cluster.server.clone(),
        rights: rights(cluster, installer_rights(&namespace), &version).await,
        grants: rights(cluster, granted_rights(), &version).await,
        may_escalate: or_unreachable(&version, may(cluster, &escalate)).await,
        namespace,
        version,
    }
}

/// Asks only a server that answers: each further question would wait as long as the first.
async fn or_unreachable<T>(
    version: &Result<Version, Problem>,
    question: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    match version {
        Err(problem @ Problem::Other(_)) => Err(problem.clone()),
        _ => question.await,
    }
}

async fn version(cluster: &Cluster) -> Result<Version, Problem> {
    let info = cluster.ask(cluster.client.apiserver_version()).await?;
    // Some providers write "33+".
    let number = |text: &str| text.trim_end_matches(|letter: char| !letter.is_ascii_digit()).parse().ok();
    Ok(Version { number: number(&info.major).zip(number(&info.minor)), text: info.git_version })
}

async fn definition(
    cluster: &Cluster,
    wanted: &CustomResourceDefinition,
) -> Result<CustomResourceDefinition, Problem> {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    cluster.ask(api.get(&wanted.name_any())).await
}

async fn operators(cluster: &Cluster, options: &CheckOptions) -> Result<Vec<Operator>, Problem> {
    let api = objects::scoped::<Deployment>(cluster, options.operator_namespace.as_deref());
    // The Deployment of an Endpoint carries the Endpoint's name in the same label.
    let selector = format!("app.kubernetes.io/name={},!{ENDPOINT_LABEL}", api::meta::MANAGER);
    let found = cluster.ask(api.list(&ListParams::default().labels(&selector))).await?;
    Ok(found.items.iter().map(operator).collect())
}

fn operator(deployment: &Deployment) -> Operator {
    let status = deployment.status.clone().unwrap_or_default();
    Operator {
        namespace: deployment.namespace().unwrap_or_default(),
        name: deployment.name_any(),
        wanted: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        available: status.available_replicas.unwrap_or(0),
        version: deployment.labels().get("app.kubernetes.io/version").cloned(),
    }
}

async fn default_runtimes(cluster: &Cluster, namespace: &str) -> Result<Vec<DefaultRuntime>, Problem> {
    let api = objects::scoped::<ServingRuntime>(cluster, Some(namespace));
    let found = cluster.ask(api.list(&ListParams::default())).await?;
    let runtime = |runtime: &ServingRuntime| DefaultRuntime {
        name: runtime.name_any(),
        formats: runtime.spec.supported_formats.iter().map(|format| format.name()).collect(),
    };
    Ok(found.items.iter().map(runtime).collect())
}

/// What people do with endpoints.
fn user_rights(namespace: &str) -> Vec<Right> {
    let right =
        |verb, group, resource| Right { verb, group, resource, namespace: Some(namespace.to_owned()) };
    let endpoints = ["create", "get", "list", "watch", "patch", "delete"];
    let mut rights: Vec<Right> =
        endpoints.into_iter().map(|verb| right(verb, api::GROUP, "endpoints")).collect();
    rights.push(right("list", api::GROUP, "servingruntimes"));
    rights.push(right("list", "", "pods"));
    rights.push(right("watch", "", "pods"));
    rights
}

/// What an installation creates. Helm keeps its record in a Secret.
fn installer_rights(namespace: &str) -> Vec<Right> {
    let create = |group, resource, namespace| Right { verb: "create", group, resource, namespace };
    let everywhere = [
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("", "namespaces"),
    ];
    let inside = [
        ("", "serviceaccounts"),
        ("", "services"),
        ("", "secrets"),
        ("apps", "deployments"),
        ("rbac.authorization.k8s.io", "roles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        (api::GROUP, "servingruntimes"),
    ];
    let everywhere = everywhere.into_iter().map(|(group, resource)| create(group, resource, None));
    let inside =
        inside.into_iter().map(|(group, resource)| create(group, resource, Some(namespace.to_owned())));
    everywhere.chain(inside).collect()
}

/// What the operator is given.
fn granted_rights() -> Vec<Right> {
    let each = |rule: plan::rights::Right| {
        rule.verbs.iter().map(move |&verb| Right {
            verb,
            group: rule.group,
            resource: rule.resource,
            namespace: None,
        })
    };
    plan::rights::rights().into_iter().flat_map(each).collect()
}

async fn rights(
    cluster: &Cluster,
    asked: Vec<Right>,
    version: &Result<Version, Problem>,
) -> Vec<(Right, Result<bool, Problem>)> {
    let ask = |right: Right| async move {
        let answer = or_unreachable(version, may(cluster, &right)).await;
        (right, answer)
    };
    futures::stream::iter(asked).map(ask).buffered(PARALLEL).collect().await
}

async fn may(cluster: &Cluster, right: &Right) -> Result<bool, Problem> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    let attributes = ResourceAttributes {
        group: Some(right.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(right.verb.to_owned()),
        namespace: right.namespace.clone(),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let answer = cluster.ask(api.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
