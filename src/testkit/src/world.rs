//! A namespace with one Endpoint, an API server that takes steps, and the controllers around it.
use std::collections::BTreeMap;

use api::{Endpoint, EndpointSpec, EndpointStatus, Reason};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use plan::endpoint::autoscaler::Autoscaler;
use plan::endpoint::keys::{self, Both, Key, Keys, SecretSeen};
use plan::endpoint::load::Load;
use plan::endpoint::rollout::evidence::Evidence;
use plan::endpoint::{PodFacts, RuntimeFacts};
use plan::{Apply, ChildKind, Children, Delete, Observed, Plan, Settings, Step, WriteKeys};
use serde_json::{Value, json};

use crate::apply::Object;
use crate::{defaults, fixture};

/// A namespace with one Endpoint.
#[derive(Clone, Debug)]
pub struct World {
    /// The time; every reconcile takes a second.
    pub now: Timestamp,
    /// The Endpoint.
    pub endpoint: Endpoint,
    /// The ServingRuntimes.
    pub runtimes: Vec<RuntimeFacts>,
    /// What the operator was started with.
    pub settings: Settings,
    /// The pods.
    pub pods: Vec<Pod>,
    /// What was decided about its part in Azure.
    pub azure: Option<plan::azure::Outcome>,
    /// Where its model was found to lie.
    pub model: Option<Result<api::endpoint::ResolvedModel, plan::endpoint::Refusal>>,
    /// What the gateway measured in the present step of the rollout.
    pub evidence: Option<Evidence>,
    /// The Secret with its keys, whose digests are seen.
    pub secret: Option<SecretSeen>,
    /// How many keys were made.
    pub(crate) keys_made: u32,
    /// What callers do.
    pub load: Option<Load>,
    /// What Prometheus tells.
    pub metric: Option<Result<f64, String>>,
    /// The autoscalers of others.
    pub autoscalers: Vec<Autoscaler>,
    /// Whether the cluster knows HTTPRoutes.
    pub knows_http_routes: bool,
    pub(crate) objects: BTreeMap<ChildKind, Object>,
    /// The objects that bear another name than the Endpoint, or lie in another namespace.
    pub(crate) further: BTreeMap<(ChildKind, String), Object>,
    pub(crate) refused: Option<String>,
    pub(crate) late: bool,
    pub(crate) revisions: Vec<String>,
    /// The revision whose pods answer, by the name of the Deployment.
    pub(crate) answering: BTreeMap<String, String>,
    pub(crate) counter: u32,
}

impl World {
    /// A world in which only the Endpoint and the default runtimes exist.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            now: fixture::now(),
            endpoint,
            runtimes: fixture::runtimes(),
            settings: fixture::settings(),
            pods: Vec::new(),
            azure: None,
            model: None,
            evidence: None,
            secret: None,
            keys_made: 0,
            load: None,
            metric: None,
            autoscalers: Vec::new(),
            knows_http_routes: true,
            objects: BTreeMap::new(),
            further: BTreeMap::new(),
            refused: None,
            late: false,
            revisions: Vec::new(),
            answering: BTreeMap::new(),
            counter: 0,
        }
    }

    /// What the operator sees.
    pub fn observe(&self) -> plan::endpoint::World {
        plan::endpoint::World {
            now: self.now,
            endpoint: self.endpoint.clone(),
            runtimes: self.runtimes.clone(),
            children: self.children(),
            further: self.further(),
            route: self.routes().next().map(|body| Observed::from_body(body.clone())),
            knows_http_routes: self.knows_http_routes,
            evidence: self.evidence.clone(),
            keys: keys::secret(&self.endpoint).map(|_| Ok(self.keys())),
            load: self.load,
            metric: self.metric.clone(),
            autoscalers: self.autoscalers.clone(),
            pods: self.pods.iter().map(PodFacts::from_pod).collect(),
            settings: self.settings.clone(),
            azure: self.azure.clone(),
            model: self.model.clone(),
        }
    }

    /// What is seen of its Secret, and keys that nobody has seen.
    fn keys(&self) -> Keys {
        let fresh = |name: &str| Key::new(format!("{name}-{}", self.keys_made));
        let fresh = Both { primary: fresh("primary"), secondary: fresh("secondary") };
        Keys { secret: self.secret.clone(), fresh }
    }

    /// The next observation offers other keys.
    pub fn make_other_keys(&mut self) {
        self.keys_made += 1;
    }

    /// How many writes of keys there were.
    pub fn keys_made(&self) -> u32 {
        self.keys_made
    }

    /// Stores keys as the API server does.
    fn write_keys(&mut self, write: &WriteKeys) -> Result<(), String> {
        let metadata = &write.body["metadata"];
        let version = self.secret.as_ref().map(|it| (it.uid.clone(), it.version.clone()));
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        if version != (!write.create).then(|| (text("uid"), text("resourceVersion"))) {
            return Err(format!("the Secret {} is not the one that was seen", write.name));
        }
        self.counter += 1;
        self.keys_made += 1;
        let mut seen = self.secret.take().unwrap_or_else(|| SecretSeen {
            uid: format!("uid-{}", self.counter),
            controller: Observed::from_body(write.body.clone()).controller,
            ..SecretSeen::default()
        });
        seen.version = self.counter.to_string();
        let action = metadata["annotations"][api::meta::KEYS_ACTION_ANNOTATION].as_str();
        seen.action = action.map(str::to_owned).or(seen.action);
        for (field, key) in &write.keys {
            let place =
                if *field == "primaryKey" { &mut seen.digests.primary } else { &mut seen.digests.secondary };
            *place = Some(key.digest());
        }
        self.secret = Some(seen);
        Ok(())
    }

    /// The objects that bear the Endpoint's label and name.
    fn children(&self) -> Children {
        let name = self.endpoint.metadata.name.as_deref();
        let is_labelled =
            |body: &Value| body["metadata"]["labels"][api::meta::ENDPOINT_LABEL].as_str() == name;
        let seen = self.objects.iter().filter(|(_, object)| is_labelled(&object.body));
        seen.map(|(kind, object)| (*kind, Observed::from_body(object.body.clone()))).collect()
    }

    /// The Deployments and Services of its revisions.
    fn further(&self) -> Vec<(ChildKind, Observed)> {
        let seen = self.further.iter().filter(|((kind, _), _)| *kind != ChildKind::ConfigMap);
        seen.map(|((kind, _), object)| (*kind, Observed::from_body(object.body.clone()))).collect()
    }

    /// The routing documents as they are stored.
    pub fn routes(&self) -> impl Iterator<Item = &Value> {
        let routes = self.further.iter().filter(|((kind, _), _)| *kind == ChildKind::ConfigMap);
        routes.map(|(_, object)| &object.body)
    }

    /// The objects of a kind that bear another name than the Endpoint, by their names.
    pub fn others(&self, kind: ChildKind) -> BTreeMap<&str, &Value> {
        let found = self.further.iter().filter(|((it, _), _)| *it == kind);
        found.map(|((_, name), object)| (name.as_str(), &object.body)).collect()
    }

    /// The Deployments' controller and the nodes: every Deployment has the pods that it or its autoscaler wants, and they answer unless
    /// its revision is among the `broken`. A Deployment that had another revision before keeps that one's pods then.
    pub fn run_pods(&mut self, broken: &[&str]) {
        let autoscaler = self.object(ChildKind::HorizontalPodAutoscaler).map(|body| body["spec"].clone());
        let autoscaler = autoscaler.unwrap_or_default();
        let of_name = self.objects.iter_mut().filter(|(kind, _)| **kind == ChildKind::Deployment);
        let further = self.further.iter_mut().filter(|((kind, _), _)| *kind == ChildKind::Deployment);
        let all = of_name.map(|(_, object)| object).chain(further.map(|(_, object)| object));
        for object in all {
            let mut wanted = object.body["spec"]["replicas"].as_i64().unwrap_or(1);
            // An autoscaler keeps to its bounds, and leaves alone what has no pods.
            if autoscaler["scaleTargetRef"]["name"] == object.body["metadata"]["name"] && wanted > 0 {
                let bound = |field: &str| autoscaler[field].as_i64().unwrap_or(1);
                wanted = wanted.clamp(bound("minReplicas"), bound("maxReplicas"));
            }
            let labels = &object.body["spec"]["template"]["metadata"]["labels"];
            let revision = text(&labels[api::meta::REVISION_LABEL]);
            let name = text(&object.body["metadata"]["name"]);
            let is_broken = broken.contains(&revision.as_str());
            let is_rolling = object.body["spec"]["strategy"]["type"] != "Recreate";
            let has_former = self.answering.get(&name).is_some_and(|it| *it != revision) && is_rolling;
            let before = object.body["status"]["availableReplicas"].as_i64().unwrap_or(0);
            let (available, updated, replicas) = match (is_broken, has_former) {
                (false, _) => (wanted, wanted, wanted),
                (true, false) => (0, wanted, wanted),
                (true, true) => (before.min(wanted), wanted.min(1), wanted + 1),
            };
            if wanted == 0 {
                self.answering.remove(&name);
            } else if !is_broken {
                self.answering.insert(name, revision);
            }
            object.body["spec"]["replicas"] = json!(wanted);
            object.body["status"] = json!({
                "observedGeneration": object.body["metadata"]["generation"],
                "replicas": replicas, "updatedReplicas": updated,
                "readyReplicas": available, "availableReplicas": available,
            });
            if is_broken && self.late {
                object.body["status"]["conditions"] =
                    json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
            }
        }
    }

    /// The deadline passes for pods that do not start; Deployments say so when [`World::run_pods`] comes by.
    pub fn be_late(&mut self) {
        self.late = true;
    }

    /// The revisions whose pods answer behind a Service, and how many of them each has.
    pub fn behind(&self, service: &str) -> BTreeMap<String, i64> {
        let of_name = self.object(ChildKind::Service).filter(|body| body["metadata"]["name"] == *service);
        let service = of_name.or_else(|| self.others(ChildKind::Service).get(service).copied());
        let selector = service.and_then(|body| body["spec"]["selector"].as_object()).cloned();
        let mut behind = BTreeMap::new();
        let further = self.others(ChildKind::Deployment).into_values();
        for body in self.object(ChildKind::Deployment).into_iter().chain(further) {
            let Some(revision) = self.answering.get(&text(&body["metadata"]["name"])) else { continue };
            let mut labels = body["spec"]["template"]["metadata"]["labels"].clone();
            labels[api::meta::REVISION_LABEL] = json!(revision);
            let is_selected =
                selector.as_ref().is_some_and(|it| it.iter().all(|(key, value)| labels[key] == *value));
            let count = |pointer| body.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
            let answering = count("/spec/replicas").min(count("/status/availableReplicas"));
            if is_selected && answering > 0 {
                *behind.entry(revision.clone()).or_insert(0) += answering;
            }
        }
        behind
    }

    /// Observes, plans, takes every step and writes the status.
    pub fn reconcile(&mut self) -> Result<Plan<EndpointStatus>, String> {
        let plan = plan::endpoint::plan(&self.observe());
        self.now = self.now.saturating_add(SignedDuration::from_secs(1)).unwrap_or(self.now);
        for step in &plan.steps {
            self.take(step)?;
        }
        for revision in &plan.status.revisions {
            if !self.revisions.contains(&revision.name) {
                self.revisions.push(revision.name.clone());
            }
        }
        self.endpoint.status = Some(plan.status.clone());
        Ok(plan)
    }

    /// The names of all revisions, in the order in which they were first reported.
    pub fn revisions(&self) -> &[String] {
        &self.revisions
    }

    /// Reconciles until there is nothing left to do, and says how many rounds had steps.
    pub fn settle(&mut self, limit: usize) -> Result<usize, String> {
        for round in 0..=limit {
            let plan = self.reconcile()?;
            if plan.steps.is_empty() {
                return Ok(round);
            }
            if round == limit {
                let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
                return Err(format!("still busy after {limit} rounds: {}", steps.join("; ")));
            }
        }
        Ok(limit)
    }

    /// Takes one step as the API server does.
    pub fn take(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Apply(apply) => self.apply(apply),
            Step::Delete(delete) => self.delete(delete),
            Step::WriteKeys(write) => self.write_keys(write),
            other => unreachable!("{other} is not a step on a cluster"),
        }
    }

    /// Whether an object bears the Endpoint's name and lies in its namespace.
    fn is_of_name(&self, kind: ChildKind, name: &str) -> bool {
        kind != ChildKind::ConfigMap && self.endpoint.metadata.name.as_deref() == Some(name)
    }

    fn apply_further(&mut self, apply: &Apply) -> Result<(), String> {
        let key = (apply.kind, apply.name.clone());
        let mut object = self.further.get(&key).cloned().unwrap_or_default();
        let before = object.body.clone();
        object
            .apply(apply.manager.name(), &apply.body, !apply.create)
            .map_err(|why| format!("{apply:?}: {why}"))?;
        defaults::admit(apply.kind, &mut object.body);
        if before.is_null() {
            self.counter += 1;
            object.body["metadata"]["uid"] = json!(format!("uid-{}", self.counter));
            object.body["metadata"]["creationTimestamp"] = json!(self.now.to_string());
        } else if apply.kind == ChildKind::Deployment
            && before["spec"]["selector"] != object.body["spec"]["selector"]
        {
            return Err(format!("the selector of {} can't be changed", apply.name));
        }
        let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
        let changed = before["spec"] != object.body["spec"];
        object.body["metadata"]["generation"] = json!(generation + i64::from(changed));
        self.further.insert(key, object);
        Ok(())
    }

    fn apply(&mut self, apply: &Apply) -> Result<(), String> {
        if !self.is_of_name(apply.kind, &apply.name) {
            return self.apply_further(apply);
        }
        let mut object = self.objects.get(&apply.kind).cloned().unwrap_or_default();
        let before = object.body.clone();
        object
            .apply(apply.manager.name(), &apply.body, !apply.create)
            .map_err(|why| format!("{apply:?}: {why}"))?;
        defaults::admit(apply.kind, &mut object.body);
        if before.is_null() {
            self.counter += 1;
            object.body["metadata"]["uid"] = json!(format!("uid-{}", self.counter));
        } else if apply.kind == ChildKind::Deployment
            && before["spec"]["selector"] != object.body["spec"]["selector"]
        {
            return Err(format!("the selector of {} can't be changed", apply.kind));
        }
        self.admitted(apply.kind, &before, object);
        Ok(())
    }

    /// Stores an object with the generation that it gets.
    fn admitted(&mut self, kind: ChildKind, before: &Value, mut object: Object) {
        let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
        let changed = before["spec"] != object.body["spec"];
        object.body["metadata"]["generation"] = json!(generation + i64::from(changed));
        if kind == ChildKind::Deployment && before["spec"]["template"] != object.body["spec"]["template"] {
            self.late = false;
        }
        self.objects.insert(kind, object);
    }

    fn delete(&mut self, delete: &Delete) -> Result<(), String> {
        if !self.is_of_name(delete.kind, &delete.name) {
            self.further.remove(&(delete.kind, delete.name.clone()));
            if delete.kind == ChildKind::Deployment {
                self.answering.remove(&delete.name);
            }
            return Ok(());
        }
        match self.objects.get(&delete.kind) {
            Some(object) if object.body["metadata"]["uid"] == delete.uid.as_str() => self.remove(delete.kind),
            Some(_) => return Err(format!("{} has another uid", delete.kind)),
            None => {}
        }
        Ok(())
    }

    /// An object is deleted, and what it owns goes with it.
    pub fn remove(&mut self, kind: ChildKind) {
        self.objects.remove(&kind);
        if kind == ChildKind::Deployment {
            self.pods.clear();
            self.answering.remove(self.endpoint.metadata.name.as_deref().unwrap_or_default());
        }
    }

    /// An object as it is stored.
    pub fn object(&self, kind: ChildKind) -> Option<&Value> {
        Some(&self.objects.get(&kind)?.body)
    }

    /// Every object as it is stored.
    pub fn objects(&self) -> impl Iterator<Item = (ChildKind, &Value)> {
        self.objects.iter().map(|(kind, object)| (*kind, &object.body))
    }

    /// Puts an object there that the operator did not create.
    pub fn put(&mut self, kind: ChildKind, body: Value) {
        let mut object = Object::default();
        object.update("somebody", |stored| *stored = body);
        self.objects.insert(kind, object);
    }

    /// Somebody changes an object by hand.
    pub fn edit(&mut self, kind: ChildKind, manager: &str, change: impl FnOnce(&mut Value)) {
        let Some(mut object) = self.objects.get(&kind).cloned() else { return };
        let before = object.body.clone();
        object.update(manager, change);
        defaults::admit(kind, &mut object.body);
        self.admitted(kind, &before, object);
    }

    /// The user changes the Endpoint.
    pub fn change(&mut self, change: impl FnOnce(&mut EndpointSpec)) {
        let before = self.endpoint.spec.clone();
        change(&mut self.endpoint.spec);
        if before != self.endpoint.spec {
            self.endpoint.metadata.generation = self.endpoint.metadata.generation.map(|number| number + 1);
        }
    }

    /// The user replaces the Endpoint's spec.
    pub fn become_like(&mut self, other: &Endpoint) {
        self.change(|spec| *spec = other.spec.clone());
    }

    /// The Endpoint is deleted and created again, before the garbage collector has come to its objects.
    pub fn recreate_endpoint(&mut self) {
        self.endpoint.metadata.uid = self.endpoint.metadata.uid.as_ref().map(|uid| format!("{uid}-again"));
        self.endpoint.metadata.generation = Some(1);
        self.endpoint.status = None;
    }

    /// The garbage collector comes: what is on its way out, or belongs to an owner that is gone, goes.
    pub fn collect_garbage(&mut self) {
        let uid = self.endpoint.metadata.uid.clone().unwrap_or_default();
        let goes = |body: &Value| {
            let owners = body["metadata"]["ownerReferences"].as_array();
            let orphan = owners.is_some_and(|owners| {
                owners.iter().all(|owner| owner["kind"] == "Endpoint" && owner["uid"] != uid.as_str())
            });
            orphan || !body["metadata"]["deletionTimestamp"].is_null()
        };
        let gone: Vec<ChildKind> =
            self.objects.iter().filter(|(_, object)| goes(&object.body)).map(|(kind, _)| *kind).collect();
        for kind in gone {
            self.remove(kind);
        }
    }

    /// The status of a condition, and its reason.
    pub fn condition(&self, type_: &str) -> Option<(bool, Reason)> {
        let status = self.endpoint.status.as_ref()?;
        let condition = status.conditions.iter().find(|condition| condition.type_ == type_)?;
        let reason = Reason::ALL.iter().find(|reason| reason.name() == condition.reason)?;
        Some((condition.status == "True", *reason))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
