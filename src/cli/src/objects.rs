//! The kinds that the plugin shows: their names on the command line, and how they are looked up.
use std::fmt::Debug;

use api::azure::AzureStatus;
use kube::api::{ApiResource, ListParams, PostParams};
use kube::core::{GroupVersionKind, Object};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::connect::{Cluster, Problem};
use crate::failure::Failure;

/// A kind that the plugin shows.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Approval,
    Compute,
    DataAsset,
    DecisionRecord,
    Endpoint,
    MLWorkspace,
    Model,
    ModelPromotion,
    ModelRegistry,
    ServingRuntime,
}

/// An object of a kind without pods: all these tell how they are by their conditions.
pub(crate) type AzureObject = Object<Value, AzureStatus>;

/// What the user asked to see.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Selection {
    pub(crate) kind: Option<Kind>,
    pub(crate) name: Option<String>,
}

/// The table of kinds: the name, the plural, and the short names.
const TABLE: [(Kind, &str, &str, &[&str]); 10] = [
    (Kind::Approval, "Approval", "approvals", &["appr"]),
    (Kind::Compute, "Compute", "computes", &["mlc"]),
    (Kind::DataAsset, "DataAsset", "dataassets", &["mlda"]),
    (Kind::DecisionRecord, "DecisionRecord", "decisionrecords", &["decision"]),
    (Kind::Endpoint, "Endpoint", "endpoints", &["ep", "mlep"]),
    (Kind::MLWorkspace, "MLWorkspace", "mlworkspaces", &["mlw"]),
    (Kind::Model, "Model", "models", &["mlm"]),
    (Kind::ModelPromotion, "ModelPromotion", "modelpromotions", &["promo"]),
    (Kind::ModelRegistry, "ModelRegistry", "modelregistries", &["mlreg"]),
    (Kind::ServingRuntime, "ServingRuntime", "servingruntimes", &["srt"]),
];

impl Kind {
    /// The kinds without pods: those that live in Azure, and those that people decide by.
    pub(crate) const WITHOUT_PODS: [Self; 7] = [
        Self::Compute,
        Self::DataAsset,
        Self::MLWorkspace,
        Self::Model,
        Self::ModelRegistry,
        Self::ModelPromotion,
        Self::Approval,
    ];

    pub(crate) fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    pub(crate) fn plural(self) -> &'static str {
        TABLE[self as usize].2
    }

    fn is_called(self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        let bare = word.strip_suffix(&format!(".{}", api::GROUP)).unwrap_or(&word);
        let is_short = TABLE[self as usize].3.contains(&bare);
        is_short || bare == self.plural() || bare == self.name().to_ascii_lowercase()
    }

    fn parse(word: &str) -> Result<Self, Failure> {
        TABLE.into_iter().map(|row| row.0).find(|kind| kind.is_called(word)).ok_or_else(|| {
            let all =
                TABLE.map(|(_, name, _, short)| format!("{} ({})", name.to_ascii_lowercase(), short[0]));
            Failure::Usage(format!("'{word}' is no kind that is known here: use one of {}", all.join(", ")))
        })
    }

    /// How the API server has the kind.
    pub(crate) fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(api::GROUP, api::VERSION, self.name());
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }
}

impl Selection {
    /// Reads `KIND`, `KIND NAME` and `KIND/NAME`.
    pub(crate) fn parse(kind: Option<&str>, name: Option<&str>) -> Result<Self, Failure> {
        let Some(word) = kind else { return Ok(Self { kind: None, name: None }) };
        let (word, name) = match (word.split_once('/'), name) {
            (Some(_), Some(_)) => {
                return Err(Failure::Usage("give the name once: KIND/NAME or KIND NAME".to_owned()));
            }
            (Some((word, name)), None) => (word, Some(name)),
            (None, name) => (word, name),
        };
        Ok(Self { kind: Some(Kind::parse(word)?), name: name.map(ToOwned::to_owned) })
    }

    pub(crate) fn includes(&self, kind: Kind) -> bool {
        self.kind.is_none_or(|chosen| chosen == kind)
    }
}

/// The objects of a kind, of one namespace or of all.
pub(crate) async fn list<K>(cluster: &Cluster, kind: Kind, namespace: Option<&str>) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned,
{
    let api = scoped::<K>(cluster, namespace);
    let found = cluster.ask(api.list(&ListParams::default())).await;
    found.map(|list| list.items).map_err(|problem| refused(kind, &problem))
}

/// The objects of a kind that lives in Azure; none when the cluster does not know the kind.
pub(crate) async fn list_azure(
    cluster: &Cluster,
    kind: Kind,
    namespace: Option<&str>,
) -> Result<Option<Vec<AzureObject>>, Failure> {
    match cluster.ask(azure_api(cluster, kind, namespace).list(&ListParams::default())).await {
        Ok(found) => Ok(Some(found.items)),
        Err(Problem::NotFound(_)) => Ok(None),
        Err(problem) => Err(refused(kind, &problem)),
    }
}

/// A kind that lives in Azure, of one namespace or all.
pub(crate) fn azure_api(cluster: &Cluster, kind: Kind, namespace: Option<&str>) -> Api<AzureObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &kind.resource()),
        None => Api::all_with(cluster.client.clone(), &kind.resource()),
    }
}

/// What to say when the cluster does not know a kind.
pub(crate) fn unknown(kind: Kind) -> Failure {
    refused(kind, &Problem::NotFound(String::new()))
}

/// One namespace or all.
pub(crate) fn scoped<K>(cluster: &Cluster, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(cluster.client.clone(), namespace),
        None => Api::all(cluster.client.clone()),
    }
}

/// Writes a new object. What admission says against it is told as it is.
pub(crate) async fn create<K>(cluster: &Cluster, kind: Kind, object: &K) -> Result<(), Failure>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let api = scoped::<K>(cluster, Some(&cluster.namespace));
    let made = cluster.ask(api.create(&PostParams::default(), object)).await;
    made.map(drop).map_err(|problem| {
        Failure::Error(match problem {
            Problem::Forbidden(message) | Problem::Other(message) => message,
            Problem::NotFound(_) => format!(
                "the cluster does not know {}s: install the chart mlops-operator, then run `kubectl mlops check`",
                kind.name()
            ),
        })
    })
}

fn refused(kind: Kind, problem: &Problem) -> Failure {
    Failure::Error(match problem {
        Problem::NotFound(_) => format!(
            "the cluster does not know the kind {}: install the chart mlops-operator, then run `kubectl mlops check`",
            kind.name()
        ),
        Problem::Forbidden(message) => {
            format!("{message}: ask the cluster's administrator for the right, or choose another namespace")
        }
        Problem::Other(message) => message.clone(),
    })
}

/// The object of a name among those of its namespace.
pub(crate) fn find<K: ResourceExt>(
    objects: Vec<K>,
    kind: Kind,
    name: &str,
    namespace: &str,
) -> Result<K, Failure> {
    let names: Vec<String> = objects.iter().map(ResourceExt::name_any).collect();
    let found = objects.into_iter().find(|object| object.name_any() == name);
    found.ok_or_else(|| Failure::Error(missing(kind, name, namespace, &names)))
}

/// What to say when an object does not exist.
fn missing(kind: Kind, name: &str, namespace: &str, existing: &[String]) -> String {
    if existing.is_empty() {
        return format!("{} {name} does not exist: {}", kind.name(), none(kind, namespace));
    }
    let mut existing = existing.to_vec();
    existing.sort();
    format!(
        "{} {name} does not exist in namespace {namespace}, which has {}; -n chooses another namespace",
        kind.name(),
        existing.join(", ")
    )
}

/// What to say when a namespace has no object of a kind.
pub(crate) fn none(kind: Kind, namespace: &str) -> String {
    let (plural, name) = (kind.plural(), kind.name().to_ascii_lowercase());
    format!(
        "namespace {namespace} has no {plural}: create one with `kubectl apply -n {namespace} -f FILE`; `kubectl explain {name}.spec` lists its fields"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_every_name_that_kubectl_knows() {
        for word in ["endpoint", "Endpoint", "endpoints", "ep", "endpoints.mlops-operator.dev"] {
            assert_eq!(Kind::parse(word), Ok(Kind::Endpoint), "{word}");
        }
        for word in ["servingruntime", "servingruntimes", "srt", "ServingRuntime"] {
            assert_eq!(Kind::parse(word), Ok(Kind::ServingRuntime), "{word}");
        }
        for (kind, words) in [
            (Kind::MLWorkspace, ["mlworkspace", "mlw", "mlworkspaces.mlops-operator.dev"]),
            (Kind::Model, ["model", "models", "Model"]),
            (Kind::ModelRegistry, ["modelregistry", "modelregistries", "ModelRegistry"]),
        ] {
            assert!(words.iter().all(|word| Kind::parse(word) == Ok(kind)), "{words:?}");
        }
        assert_eq!(Kind::parse("pod").unwrap_err().exit_code(), 2);
        assert_eq!(Kind::parse("").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn the_table_of_kinds_is_that_of_the_definitions() {
        let crds = api::crds();
        assert_eq!(crds.len(), TABLE.len());
        for (index, (kind, name, plural, short)) in TABLE.into_iter().enumerate() {
            let crd = crds.iter().find(|crd| crd.spec.names.kind == name).unwrap();
            assert_eq!((kind as usize, crd.spec.names.plural.as_str()), (index, plural));
            let known = crd.spec.names.short_names.clone().unwrap_or_default();
            assert!(known.iter().all(|it| short.contains(&it.as_str())), "{name}: {known:?}");
        }
    }

    #[test]
    fn a_name_comes_after_a_slash_or_a_blank_but_not_both() {
        let churn = Selection { kind: Some(Kind::Endpoint), name: Some("churn".into()) };
        assert_eq!(Selection::parse(Some("ep/churn"), None), Ok(churn.clone()));
        assert_eq!(Selection::parse(Some("ep"), Some("churn")), Ok(churn));
        assert_eq!(Selection::parse(Some("ep/churn"), Some("churn")).unwrap_err().exit_code(), 2);
        let all = Selection::parse(None, None).unwrap();
        assert!(all.includes(Kind::Endpoint) && all.includes(Kind::ServingRuntime));
    }

    #[test]
    fn a_missing_object_is_answered_with_those_that_exist() {
        let names = ["fraud".to_owned(), "churn".to_owned()];
        assert_eq!(
            missing(Kind::Endpoint, "chrun", "team", &names),
            "Endpoint chrun does not exist in namespace team, which has churn, fraud; -n chooses another namespace"
        );
        assert!(missing(Kind::Endpoint, "chrun", "team", &[]).contains("kubectl apply -n team -f FILE"));
    }
}
