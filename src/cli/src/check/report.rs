//! The report of `check`: a verdict on each fact, with a hint on what fails. Its shape is that of `-o json`.
use api::meta::ModelFormat;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use serde::Serialize;

use super::facts::{BeforeInstallation, Installation, Operator, Right, Version};
use super::schema::{self, Difference};
use crate::connect::Problem;

/// The oldest version of Kubernetes that is supported.
const OLDEST: (u32, u32) = (1, 33);
/// The version of this plugin, which is the operator's.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What to do when the operator or a part of it is missing.
const INSTALL: &str = "install the chart: helm upgrade --install mlops-operator charts/mlops-operator -n mlops-system --create-namespace";
/// What to do when the user may not look.
const ASK: &str = "ask the cluster's administrator for the right, or have them run this check";

/// All sections.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether nothing failed.
    pub(super) ok: bool,
    pub(super) sections: Vec<Section>,
}

/// Lines that belong together.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) checks: Vec<Line>,
}

/// One fact and what it means.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) result: Verdict,
    pub(super) text: String,
    pub(super) hint: Option<String>,
}

/// Good or bad.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) enum Verdict {
    Ok,
    Warning,
    Failed,
}

impl Line {
    fn ok(text: impl Into<String>) -> Self {
        Self { result: Verdict::Ok, text: text.into(), hint: None }
    }

    fn warning(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { result: Verdict::Warning, text: text.into(), hint: Some(hint.into()) }
    }

    fn failed(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { result: Verdict::Failed, text: text.into(), hint: Some(hint.into()) }
    }

    /// What could not be seen is no failure of the installation when the user may not look.
    fn unseen(what: &str, problem: &Problem) -> Self {
        match problem {
            Problem::Forbidden(message) => Self::warning(format!("{what} can't be seen: {message}"), ASK),
            Problem::NotFound(_) => {
                Self::failed(format!("{what}: the cluster does not know the kind"), INSTALL)
            }
            Problem::Other(message) => {
                Self { result: Verdict::Failed, text: format!("{what} can't be seen: {message}"), hint: None }
            }
        }
    }
}

impl Report {
    fn new(sections: Vec<Section>) -> Self {
        let mut report = Self { ok: true, sections };
        report.ok = report.verdict() != Verdict::Failed;
        report
    }

    /// The worst of all verdicts.
    pub(super) fn verdict(&self) -> Verdict {
        let lines = self.sections.iter().flat_map(|section| &section.checks);
        lines.map(|line| line.result).max().unwrap_or(Verdict::Ok)
    }
}

fn section(name: impl Into<String>, checks: Vec<Line>) -> Section {
    Section { name: name.into(), checks }
}

/// Judges a cluster where the operator should run.
pub(super) fn installation(facts: &Installation) -> Report {
    let cluster = section("cluster", cluster(&facts.server, &facts.version));
    if facts.version.is_err() {
        return Report::new(vec![cluster]);
    }
    Report::new(vec![
        cluster,
        section("custom resources", definitions(facts)),
        section("operator", operators(&facts.operators)),
        section("default serving runtimes", runtimes(facts)),
        section(format!("your rights in namespace {}", facts.namespace), rights(&facts.rights)),
    ])
}

/// Judges a cluster where the operator is to be installed.
pub(super) fn before_installation(facts: &BeforeInstallation) -> Report {
    let cluster = section("cluster", cluster(&facts.server, &facts.version));
    if facts.version.is_err() {
        return Report::new(vec![cluster]);
    }
    let name = format!("your rights to install, in namespace {} and in the cluster", facts.namespace);
    let mut lines = rights(&facts.rights);
    lines.push(grants(facts));
    Report::new(vec![cluster, section(name, lines)])
}

fn cluster(server: &str, version: &Result<Version, Problem>) -> Vec<Line> {
    let version = match version {
        Ok(version) => version,
        Err(problem) => {
            return vec![Line {
                result: Verdict::Failed,
                text: problem.message().to_owned(),
                hint: Some("start the cluster, or choose another with --context or --kubeconfig".to_owned()),
            }];
        }
    };
    let (major, minor) = OLDEST;
    let supported = match version.number {
        Some(number) if number >= OLDEST => Line::ok(format!("Kubernetes {} is supported", version.text)),
        Some(_) => Line::failed(
            format!("Kubernetes {} is too old", version.text),
            format!("upgrade the cluster to {major}.{minor} or newer"),
        ),
        None => Line::warning(
            format!("Kubernetes {} has a version that can't be read", version.text),
            format!("make sure that it is {major}.{minor} or newer"),
        ),
    };
    vec![Line::ok(format!("{server} answers")), supported]
}

fn definitions(facts: &Installation) -> Vec<Line> {
    let line = |(wanted, found): &(CustomResourceDefinition, Result<CustomResourceDefinition, Problem>)| {
        let name = wanted.name_any();
        match found {
            Ok(found) => definition(&name, schema::difference(wanted, found).as_ref()),
            Err(Problem::NotFound(_)) => Line::failed(format!("{name} is not installed"), INSTALL),
            Err(problem) => Line::unseen(&name, problem),
        }
    };
    facts.definitions.iter().map(line).collect()
}

fn definition(name: &str, difference: Option<&Difference>) -> Line {
    match difference {
        None => Line::ok(format!("{name} is that of version {VERSION}")),
        Some(Difference::NotServed) => {
            Line::failed(format!("{name} does not serve {}", api::VERSION), INSTALL)
        }
        Some(Difference::Lacks(fields)) => Line::failed(
            format!("{name} is not that of version {VERSION}: it lacks {}", some_of(fields)),
            "upgrade the chart with crds.enabled=true, or use the plugin of the operator's version",
        ),
        Some(Difference::Adds(fields)) => Line::warning(
            format!("{name} is newer than this plugin: it adds {}", some_of(fields)),
            "use the plugin of the operator's version",
        ),
    }
}

fn operators(operators: &Result<Vec<Operator>, Problem>) -> Vec<Line> {
    match operators {
        Err(problem) => vec![Line::unseen("the operator's Deployment", problem)],
        Ok(operators) if operators.is_empty() => {
            vec![Line::failed("the operator is not installed", INSTALL)]
        }
        Ok(operators) => {
            let mut lines: Vec<Line> = operators.iter().flat_map(operator).collect();
            if operators.len() > 1 {
                lines.push(Line::warning(
                    "more than one operator is installed",
                    "two operators undo each other's work unless each watches its own namespaces",
                ));
            }
            lines
        }
    }
}

fn operator(operator: &Operator) -> Vec<Line> {
    let Operator { namespace, name, wanted, available, version } = operator;
    let mut lines = vec![match (*available, *wanted) {
        (0, 0) => Line::failed(
            format!("{namespace}/{name} is scaled to 0"),
            format!("kubectl scale deployment {name} -n {namespace} --replicas=1"),
        ),
        (0, _) => Line::failed(
            format!("{namespace}/{name} is not available"),
            format!("kubectl describe pods -n {namespace} -l app.kubernetes.io/name={}", api::meta::MANAGER),
        ),
        (available, wanted) if available < wanted => Line::warning(
            format!("{namespace}/{name}: {available} of {wanted} replicas are available"),
            format!("kubectl describe pods -n {namespace} -l app.kubernetes.io/name={}", api::meta::MANAGER),
        ),
        (available, wanted) => {
            Line::ok(format!("{namespace}/{name}: {available} of {wanted} replicas are available"))
        }
    }];
    if let Some(version) = version.as_deref().filter(|version| *version != VERSION) {
        lines.push(Line::warning(
            format!("{namespace}/{name} has version {version}, this plugin has {VERSION}"),
            "use the plugin of the operator's version",
        ));
    }
    lines
}

/// ONNX must work out of the box; the other formats can be served by runtimes of the teams' own.
fn runtimes(facts: &Installation) -> Vec<Line> {
    let runtimes = match &facts.runtimes {
        Ok(runtimes) => runtimes,
        Err(problem) => return vec![Line::unseen("serving runtimes", problem)],
    };
    if runtimes.is_empty() {
        return vec![Line::failed("there are no default runtimes", INSTALL)];
    }
    let formats = [ModelFormat::Onnx, ModelFormat::MLflow, ModelFormat::Triton, ModelFormat::Custom];
    let line = |format: ModelFormat| {
        let format = format.name();
        match runtimes.iter().find(|runtime| runtime.formats.contains(&format)) {
            Some(runtime) => Line::ok(format!("{format} is served by {}", runtime.name)),
            None if format == ModelFormat::Onnx.name() => {
                Line::failed(format!("{format} has no default runtime"), INSTALL)
            }
            None => Line::warning(
                format!("{format} has no default runtime"),
                "create a ServingRuntime where it is needed, or install the chart's",
            ),
        }
    };
    formats.into_iter().map(line).collect()
}

fn rights(rights: &[(Right, Result<bool, Problem>)]) -> Vec<Line> {
    let line = |(right, allowed): &(Right, Result<bool, Problem>)| match allowed {
        Ok(true) => Line::ok(format!("may {}", right.text())),
        Ok(false) => Line::failed(
            format!("may not {}", right.text()),
            "ask the cluster's administrator for a role that allows it",
        ),
        Err(problem) => Line::unseen(&right.text(), problem),
    };
    rights.iter().map(line).collect()
}

/// Nobody can give a right that they do not have, unless they may escalate.
fn grants(facts: &BeforeInstallation) -> Line {
    let missing: Vec<String> = facts
        .grants
        .iter()
        .filter(|(_, allowed)| *allowed != Ok(true))
        .map(|(right, _)| right.text())
        .collect();
    match missing.as_slice() {
        [] => Line::ok("may give the operator its rights"),
        _ if facts.may_escalate == Ok(true) => Line::ok("may give the operator its rights, by escalation"),
        missing => Line::failed(
            format!("may not give the operator its rights, for lack of {}", some_of(missing)),
            "install as a user with the role cluster-admin",
        ),
    }
}

/// The first few: a line is to be read, not searched.
fn some_of<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    let items: Vec<&str> = items.into_iter().map(String::as_str).collect();
    match items.split_at_checked(3) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => items.join(", "),
    }
}
