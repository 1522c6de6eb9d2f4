//! `plan`: every write in Azure and on the cluster before it happens.

mod cluster;
mod documents;
mod keys;
mod local;
mod report;
mod schema;
mod simulate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use plan::{Gateway, GatewayApi, Settings};
use serde_json::Value;

use self::documents::Document;
use self::report::{ObjectReport, Report};
use crate::arguments::{Global, PlanOptions};
use crate::azure::{Environment, Reads};
use crate::connect;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Style};

/// What stands for the identity of the cluster when none is asked.
const NO_CLUSTER: &str = "cluster";

/// Everything that plans depend on beside the objects themselves.
struct Scene {
    now: Timestamp,
    /// The identity of the cluster, in the tags of what it owns.
    owner: String,
    subscription: Option<String>,
    portal: String,
    settings: Settings,
    reads: Reads,
    cluster: Option<connect::Cluster>,
    /// Objects by namespace, and in it by kind and name.
    objects: BTreeMap<String, BTreeMap<(String, String), Value>>,
}

impl Scene {
    fn neighbours(&self, object: &Value) -> BTreeMap<(String, String), Value> {
        self.objects.get(documents::namespace(object)).cloned().unwrap_or_default()
    }
}

/// Shows what would be done.
pub(crate) async fn run(global: &Global, options: &PlanOptions, style: Style) -> Result<Outcome, Failure> {
    let outcome = plan(global, options, style).await;
    outcome.map_err(|failure| match failure {
        Failure::Error(message) => Failure::NoPlan(message),
        failure => failure,
    })
}

async fn plan(global: &Global, options: &PlanOptions, style: Style) -> Result<Outcome, Failure> {
    let environment: Environment = std::env::vars().collect();
    let read = documents::read(&options.filename)?;
    let mut scene = if options.server {
        let reads = Reads::connect(&environment, options.azure_ca_file.as_deref())?;
        cluster::scene(connect::connect(global).await?, reads, &environment).await?
    } else {
        offline(&environment)
    };
    if options.subscription.is_some() {
        scene.subscription.clone_from(&options.subscription);
    }
    let default = scene.cluster.as_ref().map(|cluster| cluster.namespace.clone());
    let namespace = global.namespace.clone().or(default).unwrap_or_else(|| "default".to_owned());
    let report = report(&mut scene, read, &namespace).await?;
    output::print(&output::document(global.output, &report, |report| report.render(style))?)?;
    Ok(match (report.is_refused(), report.has_changes() && options.exit_code) {
        (true, _) => Outcome::Unhealthy,
        (false, true) => Outcome::Changes,
        (false, false) => Outcome::Ok,
    })
}

/// A scene in which nothing exists.
fn offline(environment: &Environment) -> Scene {
    Scene {
        now: Timestamp::now(),
        owner: NO_CLUSTER.to_owned(),
        // A plan without a subscription shows ids all the same.
        subscription: arm_client::subscription(environment).or_else(|| Some("SUBSCRIPTION".to_owned())),
        portal: String::new(),
        settings: Settings {
            operator_namespace: "mlops-operator".to_owned(),
            model_server_image: "MODEL-SERVER-IMAGE".to_owned(),
            model_allowed_hosts: Vec::new(),
            // What a manifest says of requests is planned as on a cluster that has one.
            gateway: Some(Gateway {
                url: "http://GATEWAY".to_owned(),
                namespace: "mlops-operator".to_owned(),
                domain: None,
                capture_stores: Vec::new(),
            }),
            gateway_api: Some(GatewayApi::default()),
        },
        reads: Reads::offline(),
        cluster: None,
        objects: BTreeMap::new(),
    }
}

/// The plans of all documents, which may refer to each other.
async fn report(scene: &mut Scene, documents: Vec<Document>, namespace: &str) -> Result<Report, Failure> {
    let mut ready = Vec::new();
    for document in documents {
        let given = documents::in_namespace(document.object, namespace);
        let object = match &scene.cluster {
            Some(cluster) => cluster::with_live(cluster, &given).await?,
            None => given.clone(),
        };
        ready.push((document.source, given, object));
    }
    if let Some(cluster) = &scene.cluster {
        let namespaces = ready.iter().map(|(.., object)| documents::namespace(object).to_owned()).collect();
        scene.objects = cluster::neighbours(cluster, &namespaces).await?;
    }
    for (.., object) in &ready {
        let of_namespace = scene.objects.entry(documents::namespace(object).to_owned()).or_default();
        of_namespace.insert(documents::key(object), object.clone());
    }
    let mut objects = Vec::new();
    for (source, given, object) in ready {
        let problems = schema::problems(&given);
        let mut report = ObjectReport::new(&source, &object);
        if problems.is_empty() {
            simulate::object(scene, &object, &mut report).await?;
        } else {
            report.problems = problems;
        }
        objects.push(report);
    }
    Ok(Report::new(scene.reads.is_offline(), objects))
}

/// The plan of files against an Azure, without a cluster.
#[cfg(test)]
pub(crate) async fn planned_for(
    files: &[std::path::PathBuf],
    reads: &Reads,
) -> Result<impl serde::Serialize + use<>, Failure> {
    let mut scene = offline(&Environment::new());
    scene.reads = reads.clone();
    report(&mut scene, documents::read(files)?, "team").await
}
