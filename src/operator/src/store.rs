//! What the watches have seen, kept small: objects as compact JSON, pods as facts.
//!
//! Invariant: an object never goes back to an older version, so that the answer to an own write is not undone by a
//! watch that lags behind it.
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plan::ChildKind;
use plan::child::Controller;
use plan::endpoint::PodFacts;
use plan::endpoint::autoscaler::Autoscaler;

pub(crate) use self::whose::is_own;
use self::whose::{endpoint_of, is_check, is_in_azure_alone, is_route, lane_of, promotion_of};
use crate::object::{Item, Lane, ObjectName, Primary, references};
use crate::resource::Object;

mod whose;

/// Where an object comes from: one watch of each.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Source {
    /// The objects that are reconciled.
    Primary(Primary),
    /// The objects that belong to them.
    Child(ChildKind),
    /// The pods of endpoints.
    Pods,
    /// The pods of promotions' checks.
    CheckPods,
    /// The autoscalers that are not the operator's.
    Autoscalers,
}

/// One sight of an object.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) name: ObjectName,
    version: u64,
    /// The Endpoint or, of the Jobs and pods of checks, the ModelPromotion that it belongs to.
    endpoint: Option<ObjectName>,
    /// The ModelPromotion that its labels name.
    promotion: Option<ObjectName>,
    /// The objects that its spec names.
    references: Box<[Item]>,
    lane: Lane,
    intent: Intent,
    content: Content,
}

/// What of an object only people and other controllers change, as a digest; and whether our finalizer is on it.
#[derive(Clone, Copy, Debug, Default)]
struct Intent {
    digest: u64,
    finalizer: bool,
}

impl Intent {
    fn of(metadata: &ObjectMeta) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        let (mut own, mut others) = (false, Vec::new());
        for finalizer in metadata.finalizers.iter().flatten() {
            if finalizer == api::azure::FINALIZER {
                own = true;
            } else {
                others.push(finalizer);
            }
        }
        let deleted = metadata.deletion_timestamp.is_some();
        (&metadata.uid, metadata.generation, deleted, others).hash(&mut hasher);
        (&metadata.labels, &metadata.annotations).hash(&mut hasher);
        Self { digest: hasher.finish(), finalizer: own }
    }

    /// Whether nothing happened since but what the operator itself writes: its finalizer and the status.
    fn is_kept_by(self, newer: Self) -> bool {
        self.digest == newer.digest && (newer.finalizer || !self.finalizer)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    Json(Box<[u8]>),
    Pod(Box<PodFacts>),
    Autoscaler(Box<Autoscaler>),
}

impl From<Object> for Sight {
    fn from(mut object: Object) -> Self {
        object.metadata.managed_fields = None;
        Self {
            name: ObjectName::of(&object.metadata),
            version: Object::version(&object.metadata),
            // Only the routing documents carry the label, and only those of the gateway's own namespace are watched.
            endpoint: endpoint_of(&object.metadata, is_route(&object.metadata)),
            promotion: promotion_of(&object.metadata),
            references: references(object.metadata.namespace.as_deref().unwrap_or_default(), &object.spec)
                .into_boxed_slice(),
            lane: lane_of(&object),
            intent: Intent::of(&object.metadata),
            content: Content::Json(serde_json::to_vec(&object).unwrap_or_default().into_boxed_slice()),
        }
    }
}

impl From<Pod> for Sight {
    fn from(pod: Pod) -> Self {
        Self {
            name: ObjectName::of(&pod.metadata),
            version: Object::version(&pod.metadata),
            endpoint: endpoint_of(&pod.metadata, false),
            promotion: None,
            references: Box::default(),
            lane: Lane::Cluster,
            intent: Intent::default(),
            content: Content::Pod(Box::new(PodFacts::from_pod(&pod))),
        }
    }
}

impl Sight {
    /// A sight of somebody else's autoscaler, of which only what it scales is kept.
    pub(crate) fn autoscaler(object: &Object) -> Self {
        let target = &object.spec["scaleTargetRef"];
        let text = |field: &str| target[field].as_str().unwrap_or_default().to_owned();
        let name = ObjectName::of(&object.metadata);
        let owners = object.metadata.owner_references.iter().flatten();
        let controller = owners.filter(|owner| owner.controller == Some(true)).map(|owner| Controller {
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
        });
        let facts = Autoscaler {
            name: name.name.to_string(),
            controller: controller.into_iter().next(),
            target_kind: text("kind"),
            target_name: text("name"),
        };
        Self {
            version: Object::version(&object.metadata),
            // Whose Deployment it is, is looked up when it is asked for.
            endpoint: Some(ObjectName::new(&name.namespace, &facts.target_name)),
            promotion: None,
            name,
            references: Box::default(),
            lane: Lane::Cluster,
            intent: Intent::default(),
            content: Content::Autoscaler(Box::new(facts)),
        }
    }
}

struct Entry {
    sight: Sight,
    touched: u64,
}

#[derive(Default)]
struct Tables {
    /// Counts changes, to tell what a relist has not confirmed.
    clock: u64,
    relists: BTreeMap<(Source, Arc<str>), u64>,
    objects: BTreeMap<(Source, ObjectName), Entry>,
    pods: BTreeMap<ObjectName, BTreeSet<ObjectName>>,
    /// The autoscalers of others, by what they scale.
    autoscalers: BTreeMap<ObjectName, BTreeSet<ObjectName>>,
    /// The objects of endpoints that bear another name, or lie in another namespace.
    further: BTreeMap<ObjectName, BTreeSet<(ChildKind, ObjectName)>>,
    /// The Jobs and pods of promotions' checks.
    checks: BTreeMap<ObjectName, BTreeSet<(Source, ObjectName)>>,
    /// The objects that name an object in their spec.
    dependents: BTreeMap<Item, BTreeSet<Item>>,
    /// Whether the cluster knows HTTPRoutes.
    knows_http_routes: bool,
}

impl Tables {
    fn link(&mut self, source: Source, sight: &Sight) {
        let Source::Primary(primary) = source else { return };
        for reference in &sight.references {
            let dependent = Item { primary, object: sight.name.clone() };
            self.dependents.entry(reference.clone()).or_default().insert(dependent);
        }
    }

    /// Files an object that is new under what it belongs to.
    fn file(&mut self, source: Source, sight: &Sight) {
        match (source, &sight.endpoint) {
            (source, Some(promotion)) if is_check(source) => {
                self.checks.entry(promotion.clone()).or_default().insert((source, sight.name.clone()));
            }
            (Source::Pods, Some(endpoint)) => {
                self.pods.entry(endpoint.clone()).or_default().insert(sight.name.clone());
            }
            (Source::Autoscalers, Some(target)) => {
                self.autoscalers.entry(target.clone()).or_default().insert(sight.name.clone());
            }
            (Source::Child(kind), Some(endpoint)) if *endpoint != sight.name => {
                self.further.entry(endpoint.clone()).or_default().insert((kind, sight.name.clone()));
            }
            _ => {}
        }
    }

    /// The other promotions of the model of one: a new one may take the place of those before it.
    fn siblings(&self, source: Source, sight: &Sight) -> Vec<Item> {
        if source != Source::Primary(Primary::ModelPromotion) {
            return Vec::new();
        }
        let of_model =
            sight.references.iter().filter_map(|reference| self.dependents.get(reference)).flatten();
        of_model
            .filter(|it| it.primary == Primary::ModelPromotion && it.object != sight.name)
            .cloned()
            .collect()
    }

    fn unlink(&mut self, source: Source, sight: &Sight) {
        let Source::Primary(primary) = source else { return };
        for reference in &sight.references {
            if let Some(dependents) = self.dependents.get_mut(reference) {
                dependents.remove(&Item { primary, object: sight.name.clone() });
                if dependents.is_empty() {
                    self.dependents.remove(reference);
                }
            }
        }
    }
}

/// What the watches have seen. Cheap to share.
#[derive(Clone)]
pub(crate) struct Store {
    tables: Arc<Mutex<Tables>>,
    operator_namespace: Arc<str>,
}

impl Store {
    /// An empty store.
    pub(crate) fn new(operator_namespace: &str) -> Self {
        Self { tables: Arc::default(), operator_namespace: operator_namespace.into() }
    }

    /// Takes in a sight of an object; returns what must be reconciled because of it.
    pub(crate) fn apply(&self, source: Source, mut sight: Sight) -> Vec<Item> {
        if is_check(source) {
            sight.endpoint = sight.promotion.take();
        } else if source != Source::Child(ChildKind::ConfigMap) {
            // Whoever may label objects of a namespace has no word in another: routing documents alone name one.
            sight.endpoint = sight.endpoint.map(|it| ObjectName::new(&sight.name.namespace, &it.name));
        }
        let mut tables = self.tables();
        tables.clock += 1;
        let touched = tables.clock;
        let key = (source, sight.name.clone());
        let (version, name, endpoint) = (sight.version, sight.name.clone(), sight.endpoint.clone());
        let told = told(source, &sight);
        if let Some(entry) = tables.objects.get_mut(&key) {
            entry.touched = touched;
            if entry.sight.version >= version && version > 0 {
                return Vec::new();
            }
            let same_facts =
                !matches!(sight.content, Content::Json(_)) && entry.sight.content == sight.content;
            // The watch may be faster than the answer to an own write, and each look costs calls of Azure.
            let in_azure = is_in_azure_alone(source)
                || (source == Source::Primary(Primary::Endpoint)
                    && (entry.sight.lane, sight.lane) == (Lane::Azure, Lane::Azure));
            let own_news = in_azure && entry.sight.intent.is_kept_by(sight.intent);
            let before = std::mem::replace(&mut entry.sight, sight.clone());
            tables.unlink(source, &before);
            tables.link(source, &sight);
            if same_facts || own_news {
                return Vec::new();
            }
            if source == Source::Autoscalers
                && let Some(target) = &before.endpoint
            {
                drop_from(&mut tables.autoscalers, target, &name);
                let mut items = self.concerned(&tables, source, &name, before.endpoint.clone());
                let target = endpoint.clone().unwrap_or_else(|| target.clone());
                tables.autoscalers.entry(target).or_default().insert(name.clone());
                items.extend(self.concerned(&tables, source, &name, endpoint));
                return items;
            }
        } else {
            tables.file(source, &sight);
            tables.link(source, &sight);
            let siblings = tables.siblings(source, &sight);
            tables.objects.insert(key, Entry { sight, touched });
            let mut items = self.concerned(&tables, source, &name, endpoint);
            items.extend(told.into_iter().chain(siblings));
            return items;
        }
        let mut items = self.concerned(&tables, source, &name, endpoint);
        items.extend(told);
        items
    }

    /// Takes in what an own write of a status was answered; whether it tells of what somebody else did meanwhile. The
    /// watch, which comes later, does not tell it again.
    pub(crate) fn answered(&self, source: Source, sight: Sight) -> bool {
        let key = (source, sight.name.clone());
        let before = self.tables().objects.get(&key).map(|entry| (entry.sight.version, entry.sight.intent));
        let is_news = before
            .is_some_and(|(version, intent)| sight.version > version && !intent.is_kept_by(sight.intent));
        self.apply(source, sight);
        is_news
    }

    /// Forgets an object, unless a newer one of its name was seen; returns what must be reconciled because of it.
    pub(crate) fn delete(&self, source: Source, name: &ObjectName, version: u64) -> Vec<Item> {
        let mut tables = self.tables();
        let key = (source, name.clone());
        if tables.objects.get(&key).is_none_or(|entry| entry.sight.version > version) {
            return Vec::new();
        }
        self.forget(&mut tables, &key)
    }

    /// A list of all objects begins, of one namespace or, with an empty name, of all.
    pub(crate) fn begin_relist(&self, source: Source, namespace: &str) {
        let mut tables = self.tables();
        tables.clock += 1;
        let clock = tables.clock;
        tables.relists.insert((source, namespace.into()), clock);
    }

    /// A list of all objects has ended: what it did not name is gone.
    pub(crate) fn end_relist(&self, source: Source, namespace: &str) -> Vec<Item> {
        let mut tables = self.tables();
        let began = tables.relists.remove(&(source, namespace.into())).unwrap_or(0);
        let is_gone = |(key, entry): &(&(Source, ObjectName), &Entry)| {
            key.0 == source
                && entry.touched < began
                && (namespace.is_empty() || *key.1.namespace == *namespace)
        };
        let gone: Vec<(Source, ObjectName)> =
            tables.objects.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
        gone.iter().flat_map(|key| self.forget(&mut tables, key)).collect()
    }

    /// Notes whether the cluster knows HTTPRoutes; returns what must be reconciled because that has changed.
    pub(crate) fn set_knows_http_routes(&self, knows: bool) -> Vec<Item> {
        let mut tables = self.tables();
        let before = std::mem::replace(&mut tables.knows_http_routes, knows);
        if before == knows { Vec::new() } else { all(&tables, Primary::Endpoint, None) }
    }

    /// Whether the cluster knows HTTPRoutes, as far as they are watched.
    pub(crate) fn knows_http_routes(&self) -> bool {
        self.tables().knows_http_routes
    }

    /// Every object of a kind.
    pub(crate) fn items(&self, primary: Primary) -> Vec<Item> {
        all(&self.tables(), primary, None)
    }

    /// The Endpoints that are gone and of which something is left in another namespace.
    pub(crate) fn orphans(&self) -> Vec<Item> {
        let tables = self.tables();
        let is_gone = |name: &&ObjectName| {
            !tables.objects.contains_key(&(Source::Primary(Primary::Endpoint), (*name).clone()))
        };
        let gone = tables.further.keys().filter(is_gone);
        gone.map(|name| Item { primary: Primary::Endpoint, object: name.clone() }).collect()
    }

    /// The item of an object of a kind, if it exists.
    pub(crate) fn known(&self, primary: Primary, name: ObjectName) -> Option<Item> {
        let key = (Source::Primary(primary), name);
        let is_known = self.tables().objects.contains_key(&key);
        is_known.then_some(Item { primary, object: key.1 })
    }

    /// An object, if it was seen.
    pub(crate) fn object(&self, source: Source, name: &ObjectName) -> anyhow::Result<Option<Object>> {
        let tables = self.tables();
        match tables.objects.get(&(source, name.clone())).map(|entry| &entry.sight.content) {
            Some(Content::Json(json)) => Ok(Some(serde_json::from_slice(json)?)),
            Some(Content::Pod(_) | Content::Autoscaler(_)) | None => Ok(None),
        }
    }

    /// The objects of a kind in one namespace.
    pub(crate) fn objects_in(&self, primary: Primary, namespace: &str) -> anyhow::Result<Vec<Object>> {
        let names = all(&self.tables(), primary, Some(namespace));
        let objects = names.iter().map(|item| self.object(Source::Primary(primary), &item.object));
        objects.filter_map(Result::transpose).collect()
    }

    /// The objects that name an object in their spec.
    pub(crate) fn dependents(&self, item: &Item) -> Vec<Item> {
        self.tables().dependents.get(item).into_iter().flatten().cloned().collect()
    }

    /// The objects that must look again because an object has news: those that name it and, where its kind tells them,
    /// those that it names.
    pub(crate) fn told_by(&self, item: &Item) -> Vec<Item> {
        let mut items = self.dependents(item);
        let source = Source::Primary(item.primary);
        if let Some(entry) = self.tables().objects.get(&(source, item.object.clone())) {
            items.extend(told(source, &entry.sight));
        }
        items
    }

    /// The workers that an object is for.
    pub(crate) fn lane(&self, item: &Item) -> Lane {
        match item.primary {
            Primary::ServingRuntime | Primary::ModelPromotion | Primary::Approval => Lane::Cluster,
            Primary::Endpoint | Primary::Model => {
                let key = (Source::Primary(item.primary), item.object.clone());
                self.tables().objects.get(&key).map_or(Lane::Cluster, |entry| entry.sight.lane)
            }
            Primary::MlWorkspace | Primary::Compute | Primary::DataAsset | Primary::ModelRegistry => {
                Lane::Azure
            }
        }
    }

    /// The pods of an endpoint.
    pub(crate) fn pods_of(&self, endpoint: &ObjectName) -> Vec<PodFacts> {
        let tables = self.tables();
        let names = tables.pods.get(endpoint).into_iter().flatten();
        let entries = names.filter_map(|name| tables.objects.get(&(Source::Pods, name.clone())));
        let facts = entries.filter_map(|entry| match &entry.sight.content {
            Content::Pod(facts) => Some(facts.as_ref().clone()),
            Content::Json(_) | Content::Autoscaler(_) => None,
        });
        facts.collect()
    }

    /// The Jobs and pods of a promotion's checks.
    pub(crate) fn checks_of(&self, promotion: &ObjectName) -> anyhow::Result<Vec<(Source, Object)>> {
        let keys: Vec<_> = self.tables().checks.get(promotion).into_iter().flatten().cloned().collect();
        let found = keys
            .into_iter()
            .map(|(source, name)| Ok(self.object(source, &name)?.map(|object| (source, object))));
        found.filter_map(Result::transpose).collect()
    }

    /// The autoscalers of others that scale what bears a name, of whatever kind.
    pub(crate) fn autoscalers_of(&self, target: &ObjectName) -> Vec<Autoscaler> {
        let tables = self.tables();
        let names = tables.autoscalers.get(target).into_iter().flatten();
        let entries = names.filter_map(|name| tables.objects.get(&(Source::Autoscalers, name.clone())));
        let facts = entries.filter_map(|entry| match &entry.sight.content {
            Content::Autoscaler(facts) => Some(facts.as_ref().clone()),
            Content::Json(_) | Content::Pod(_) => None,
        });
        facts.collect()
    }

    /// The objects of an endpoint that bear another name, or lie in another namespace.
    pub(crate) fn further_of(&self, endpoint: &ObjectName) -> anyhow::Result<Vec<(ChildKind, Object)>> {
        let keys: Vec<_> = self.tables().further.get(endpoint).into_iter().flatten().cloned().collect();
        let found = keys
            .into_iter()
            .map(|(kind, name)| Ok(self.object(Source::Child(kind), &name)?.map(|object| (kind, object))));
        found.filter_map(Result::transpose).collect()
    }

    /// The namespace whose ServingRuntimes are the defaults.
    pub(crate) fn operator_namespace(&self) -> &str {
        &self.operator_namespace
    }

    fn forget(&self, tables: &mut Tables, key: &(Source, ObjectName)) -> Vec<Item> {
        let Some(entry) = tables.objects.remove(key) else { return Vec::new() };
        let (source, name) = key;
        tables.unlink(*source, &entry.sight);
        match (*source, &entry.sight.endpoint) {
            (source, Some(promotion)) if is_check(source) => {
                drop_from(&mut tables.checks, promotion, &(source, name.clone()));
            }
            (Source::Pods, Some(endpoint)) => drop_from(&mut tables.pods, endpoint, name),
            (Source::Autoscalers, Some(target)) => drop_from(&mut tables.autoscalers, target, name),
            (Source::Child(kind), Some(endpoint)) => {
                drop_from(&mut tables.further, endpoint, &(kind, name.clone()));
            }
            _ => {}
        }
        let told = told(*source, &entry.sight);
        let mut items = self.concerned(tables, *source, name, entry.sight.endpoint);
        items.extend(told);
        items
    }

    /// What must be reconciled because an object changed.
    fn concerned(
        &self,
        tables: &Tables,
        source: Source,
        name: &ObjectName,
        endpoint: Option<ObjectName>,
    ) -> Vec<Item> {
        match source {
            Source::Primary(Primary::ServingRuntime) => {
                let everywhere = *name.namespace == *self.operator_namespace;
                let mut items = all(tables, Primary::Endpoint, (!everywhere).then_some(&name.namespace));
                items.push(Item { primary: Primary::ServingRuntime, object: name.clone() });
                items
            }
            Source::Primary(primary) => vec![Item { primary, object: name.clone() }],
            Source::Child(ChildKind::Job) | Source::CheckPods => {
                let item = |object| Item { primary: Primary::ModelPromotion, object };
                endpoint.into_iter().map(item).collect()
            }
            Source::Child(_) | Source::Pods => {
                endpoint.into_iter().map(|object| Item { primary: Primary::Endpoint, object }).collect()
            }
            Source::Autoscalers => {
                let of_deployment = endpoint.as_ref().and_then(|target| {
                    let key = (Source::Child(ChildKind::Deployment), target.clone());
                    tables.objects.get(&key)?.sight.endpoint.clone()
                });
                let mut names: Vec<ObjectName> = of_deployment.into_iter().chain(endpoint).collect();
                names.dedup();
                let is_known = |name: &ObjectName| {
                    tables.objects.contains_key(&(Source::Primary(Primary::Endpoint), name.clone()))
                };
                names.retain(is_known);
                names.into_iter().map(|object| Item { primary: Primary::Endpoint, object }).collect()
            }
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The objects that an object names and that must look again when it changes.
fn told(source: Source, sight: &Sight) -> Vec<Item> {
    match source {
        Source::Primary(primary) if primary.tells() => sight.references.to_vec(),
        _ => Vec::new(),
    }
}

/// Takes a value out of the set of an endpoint, and the set away when it was the last.
fn drop_from<T: Ord>(sets: &mut BTreeMap<ObjectName, BTreeSet<T>>, endpoint: &ObjectName, value: &T) {
    if let Some(set) = sets.get_mut(endpoint) {
        set.remove(value);
        if set.is_empty() {
            sets.remove(endpoint);
        }
    }
}

/// The objects of a kind, of one namespace or of all, in order of their names.
fn all(tables: &Tables, primary: Primary, namespace: Option<&str>) -> Vec<Item> {
    let source = Source::Primary(primary);
    let first = (source, ObjectName::new(namespace.unwrap_or_default(), ""));
    let range = tables.objects.range(first..);
    let within = range.take_while(|((found, name), _)| {
        *found == source && namespace.is_none_or(|namespace| *name.namespace == *namespace)
    });
    within.map(|((_, name), _)| Item { primary, object: name.clone() }).collect()
}

#[cfg(test)]
mod tests;
