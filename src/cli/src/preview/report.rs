//! The report of `plan`. Its shape is that of `-o json`.
use std::fmt::Write as _;

use arm::Difference;
use plan::azure::ExportValue;
use plan::{Step, digest};
use serde::Serialize;
use serde_json::{Value, json};

use super::{documents, simulate};
use crate::output::{Mark, Style, one_line};

/// The longest text of one side of a difference.
const VALUE_LIMIT: usize = 120;

/// Everything that would happen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Whether nothing was asked of anybody.
    offline: bool,
    /// The digest of all plans; none when nothing is to be done.
    hash: Option<String>,
    summary: Summary,
    objects: Vec<ObjectReport>,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    create: usize,
    update: usize,
    delete: usize,
}

/// What happens to one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectReport {
    source: String,
    kind: String,
    namespace: String,
    name: String,
    /// How far the operator may go.
    mode: String,
    /// The digest that `status.plan.hash` has in the mode `Plan`.
    pub(super) hash: Option<String>,
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
    /// What is taken for granted.
    assumes: Vec<String>,
    writes: Vec<Write>,
}

/// One write.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Write {
    /// 1 for what is done at once or as soon as what it needs is there; more for what follows from that.
    stage: usize,
    /// Where it goes.
    system: System,
    action: Action,
    method: &'static str,
    resource: String,
    why: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Difference>,
    /// What is sent, without values of Secrets.
    #[serde(skip_serializing_if = "Value::is_null")]
    body: Value,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
enum System {
    Azure,
    Kubernetes,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
enum Action {
    Create,
    Update,
    Delete,
}

impl Report {
    pub(super) fn new(offline: bool, objects: Vec<ObjectReport>) -> Self {
        let mut summary = Summary::default();
        for write in objects.iter().flat_map(|object| &object.writes) {
            match write.action {
                Action::Create => summary.create += 1,
                Action::Update => summary.update += 1,
                Action::Delete => summary.delete += 1,
            }
        }
        let hashes: Vec<&String> = objects.iter().filter_map(|object| object.hash.as_ref()).collect();
        let hash = (!hashes.is_empty()).then(|| format!("sha256:{}", digest::of(&json!(hashes), 64)));
        Self { offline, hash, summary, objects }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.objects.iter().any(|object| !object.problems.is_empty())
    }

    pub(super) fn has_changes(&self) -> bool {
        self.objects.iter().any(|object| !object.writes.is_empty())
    }

    pub(super) fn render(&self, style: Style) -> String {
        let mut text = String::new();
        for object in &self.objects {
            object.render(&mut text, style);
            text.push('\n');
        }
        let Summary { create, update, delete } = self.summary;
        let refused = self.objects.iter().filter(|object| !object.problems.is_empty()).count();
        // Writing to a string can't fail.
        if refused > 0 {
            let _ =
                writeln!(text, "{refused} of {} objects can't be as their manifests say", self.objects.len());
        }
        let _ = match &self.hash {
            _ if create + update + delete == 0 && refused > 0 => Ok(()),
            _ if create + update + delete == 0 => writeln!(text, "nothing is to be done"),
            Some(hash) => {
                writeln!(text, "{create} to create, {update} to change, {delete} to delete\nplan {hash}")
            }
            None => writeln!(text, "{create} to create, {update} to change, {delete} to delete"),
        };
        if self.offline {
            text.push_str("offline: nothing is taken to exist; --server compares with what does\n");
        }
        text
    }
}

impl ObjectReport {
    pub(super) fn new(source: &str, object: &Value) -> Self {
        let mode = object["spec"]["management"]["mode"].as_str().unwrap_or("Manage");
        Self {
            source: source.to_owned(),
            kind: documents::kind(object).to_owned(),
            namespace: documents::namespace(object).to_owned(),
            name: documents::name(object).to_owned(),
            mode: mode.to_owned(),
            hash: None,
            problems: Vec::new(),
            assumes: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// Something that is taken for granted, once.
    pub(super) fn assume(&mut self, what: String) {
        if !self.assumes.contains(&what) {
            self.assumes.push(what);
        }
    }

    /// A write.
    pub(super) fn add(&mut self, step: &Step, stage: usize) {
        let mut write = write(step, stage);
        if write.resource.is_empty() {
            write.resource = format!("{} {}/{}", self.kind, self.namespace, self.name);
        }
        self.writes.push(write);
    }

    fn render(&self, text: &mut String, style: Style) {
        let mark = if !self.problems.is_empty() {
            Mark::Bad
        } else if self.writes.is_empty() {
            Mark::Good
        } else {
            Mark::Busy
        };
        let title = style.bold(&format!("{} {}/{}", self.kind, self.namespace, self.name));
        let mode = match self.mode.as_str() {
            "Manage" => String::new(),
            "Paused" => ", Paused: nothing is read or written".to_owned(),
            mode => format!(", {mode}: shown, and not done"),
        };
        // Writing to a string can't fail.
        let _ = writeln!(text, "{} {title} ({}){mode}", style.mark(mark), self.source);
        for problem in &self.problems {
            let _ = writeln!(text, "   {} {}", style.mark(Mark::Bad), one_line(problem));
        }
        for assumed in &self.assumes {
            let _ = writeln!(text, "   assumed: {}", one_line(assumed));
        }
        let mut stage = 1;
        for write in &self.writes {
            if write.stage > stage && write.stage > 1 {
                text.push_str("   then\n");
            }
            stage = write.stage;
            write.render(text);
        }
        if self.writes.is_empty() && self.problems.is_empty() {
            text.push_str("   nothing is to be done\n");
        }
        if let Some(hash) = &self.hash {
            let _ = writeln!(text, "   plan {hash}");
        }
    }
}

impl Write {
    fn render(&self, text: &mut String) {
        let sign = match self.action {
            Action::Create => '+',
            Action::Update => '~',
            Action::Delete => '-',
        };
        let _ = writeln!(text, "   {sign} {:<6} {}: {}", self.method, self.resource, one_line(&self.why));
        for difference in &self.differences {
            let side = |value: &Value| {
                let text = one_line(&value.to_string());
                match text.char_indices().nth(VALUE_LIMIT) {
                    Some((end, _)) => format!("{}…", &text[..end]),
                    None => text,
                }
            };
            let (actual, wanted) = (side(&difference.actual), side(&difference.wanted));
            let _ = writeln!(text, "       {}: {actual} -> {wanted}", difference.field);
        }
    }
}

fn write(step: &Step, stage: usize) -> Write {
    let (system, action, method) = kind_of(step);
    let azure = |why: &str| (step.resource().map(ToString::to_string).unwrap_or_default(), why.to_owned());
    let place = |kind: &str, namespace: &str, name: &str| format!("{kind} {namespace}/{name}");
    let (resource, why) = match step {
        Step::ArmPut(put) => azure(&put.why),
        Step::ArmPatch(patch) => azure(&patch.why),
        Step::ArmDelete(delete) => azure(&delete.why),
        Step::Finalizer(_) => {
            (String::new(), "add the finalizer, so that what is in Azure goes first".to_owned())
        }
        Step::Apply(apply) => {
            (place(&apply.kind.to_string(), &apply.namespace, &apply.name), apply.why.to_owned())
        }
        Step::Delete(delete) => {
            (place(&delete.kind.to_string(), &delete.namespace, &delete.name), delete.why.to_owned())
        }
        Step::Export(export) => {
            let kind = if export.secret { "Secret" } else { "ConfigMap" };
            (place(kind, &export.namespace, &export.name), "it exports ids, addresses or keys".to_owned())
        }
        Step::WriteKeys(write) => (place("Secret", &write.namespace, &write.name), write.why.clone()),
        Step::Record(record) => (
            place("DecisionRecord", "", record.metadata.name.as_deref().unwrap_or_default()),
            step.to_string(),
        ),
    };
    let (differences, body) = match step {
        Step::ArmPut(put) => (put.differences.clone(), put.body.clone()),
        Step::ArmPatch(patch) => (patch.differences.clone(), patch.body.clone()),
        Step::Apply(apply) => (Vec::new(), apply.body.clone()),
        Step::Export(export) => (Vec::new(), json!({"keys": keys(&export.values)})),
        Step::WriteKeys(write) => (Vec::new(), json!({"keys": write.keys.keys().collect::<Vec<_>>()})),
        Step::ArmDelete(_) | Step::Delete(_) | Step::Finalizer(_) | Step::Record(_) => {
            (Vec::new(), Value::Null)
        }
    };
    let body = simulate::without_null(&body);
    Write { stage, system, action, method, resource, why, differences, body }
}

fn kind_of(step: &Step) -> (System, Action, &'static str) {
    match step {
        Step::ArmPut(put) if put.create => (System::Azure, Action::Create, "PUT"),
        Step::ArmPut(_) => (System::Azure, Action::Update, "PUT"),
        Step::ArmPatch(_) => (System::Azure, Action::Update, "PATCH"),
        Step::ArmDelete(_) => (System::Azure, Action::Delete, "DELETE"),
        Step::Apply(apply) if apply.create => (System::Kubernetes, Action::Create, "apply"),
        Step::Apply(_) => (System::Kubernetes, Action::Update, "apply"),
        Step::WriteKeys(write) if write.create => (System::Kubernetes, Action::Create, "create"),
        Step::Export(_) => (System::Kubernetes, Action::Create, "apply"),
        Step::Record(_) => (System::Kubernetes, Action::Create, "create"),
        Step::WriteKeys(_) | Step::Finalizer(_) => (System::Kubernetes, Action::Update, "patch"),
        Step::Delete(_) => (System::Kubernetes, Action::Delete, "delete"),
    }
}

fn keys(values: &std::collections::BTreeMap<String, ExportValue>) -> Vec<&String> {
    values.keys().collect()
}
