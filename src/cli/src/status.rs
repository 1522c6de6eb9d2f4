//! `status`: endpoints with their revisions and pods, what is in Azure, and serving runtimes.

mod report;
mod tree;
mod watch;

#[cfg(test)]
mod tests;

use api::meta::ENDPOINT_LABEL;
use api::{Endpoint, ServingRuntime};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;

use self::report::{Report, Seen};
use crate::arguments::{Global, StatusOptions};
use crate::connect::{self, Cluster};
use crate::failure::{Failure, Outcome};
use crate::objects::{self, Kind, Selection};
use crate::output::{self, Format, Style};

/// What to show, and of which namespace.
struct Scope {
    selection: Selection,
    /// None for all namespaces.
    namespace: Option<String>,
}

impl Scope {
    fn pod_selector(&self) -> String {
        match &self.selection.name {
            Some(name) => format!("{ENDPOINT_LABEL}={name}"),
            None => ENDPOINT_LABEL.to_owned(),
        }
    }
}

/// Shows the status, once or until all is settled.
pub(crate) async fn run(global: &Global, options: &StatusOptions, style: Style) -> Result<Outcome, Failure> {
    let selection = Selection::parse(options.kind.as_deref(), options.name.as_deref())?;
    if options.all_namespaces && selection.name.is_some() {
        return Err(Failure::Usage("a name and --all-namespaces can't be used together".to_owned()));
    }
    let cluster = connect::connect(global).await?;
    let namespace = (!options.all_namespaces).then(|| cluster.namespace.clone());
    let scope = Scope { selection, namespace };
    let seen = gather(&cluster, &scope).await?;
    if options.watch {
        return watch::run(&cluster, &scope, &seen, &watch::Display::new(options, global.output, style))
            .await;
    }
    let report = Report::new(seen);
    output::print(&render(&report, &scope, global.output, style)?)?;
    Ok(Outcome::from_health(report.is_ready()))
}

/// Looks once at everything in the scope.
async fn gather(cluster: &Cluster, scope: &Scope) -> Result<Seen, Failure> {
    let namespace = scope.namespace.as_deref();
    let mut seen = Seen::default();
    if scope.selection.includes(Kind::Endpoint) {
        let found: Vec<Endpoint> = objects::list(cluster, Kind::Endpoint, namespace).await?;
        seen.endpoints = chosen(found, Kind::Endpoint, scope)?;
        let pods = objects::scoped::<Pod>(cluster, namespace);
        let parameters = ListParams::default().labels(&scope.pod_selector());
        match cluster.ask(pods.list(&parameters)).await {
            Ok(pods) => seen.pods = Some(pods.items),
            Err(problem) => output::progress(&format!("pods are not shown: {}", problem.message())),
        }
    }
    if scope.selection.includes(Kind::ServingRuntime) {
        let found: Vec<ServingRuntime> = objects::list(cluster, Kind::ServingRuntime, namespace).await?;
        seen.runtimes = chosen(found, Kind::ServingRuntime, scope)?;
    }
    for kind in Kind::WITHOUT_PODS.into_iter().filter(|kind| scope.selection.includes(*kind)) {
        match objects::list_azure(cluster, kind, namespace).await? {
            Some(found) => {
                seen.azure.insert(kind, chosen(found, kind, scope)?);
            }
            None if scope.selection.kind.is_some() => return Err(objects::unknown(kind)),
            // An operator of before has no such kind.
            None => {}
        }
    }
    Ok(seen)
}

fn chosen<K: kube::ResourceExt>(objects: Vec<K>, kind: Kind, scope: &Scope) -> Result<Vec<K>, Failure> {
    let Some(name) = &scope.selection.name else { return Ok(objects) };
    let namespace = scope.namespace.as_deref().unwrap_or_default();
    objects::find(objects, kind, name, namespace).map(|object| vec![object])
}

fn render(report: &Report, scope: &Scope, format: Format, style: Style) -> Result<String, Failure> {
    output::document(format, report, |report| {
        if report.is_empty() {
            let kind = scope.selection.kind.unwrap_or(Kind::Endpoint);
            return match &scope.namespace {
                Some(namespace) => objects::none(kind, namespace) + "\n",
                None => format!("no namespace has {}\n", kind.plural()),
            };
        }
        tree::render(report, style)
    })
}
