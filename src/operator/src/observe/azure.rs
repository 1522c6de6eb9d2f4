//! The world of an object with resources in Azure.
//!
//! What a kind wants may depend on what exists. So it is asked again whenever more was read, until it asks for no more.
use std::collections::{BTreeMap, BTreeSet};

use api::azure::{
    AzureStatus, DeletionPolicy, FINALIZER, Management, ManagementMode, PROTECT_ANNOTATION, ResourceState,
};
use api::endpoint::ResolvedModel;
use arm::{ResourceId, Seen, Started, Verb};
use arm_client::Session;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use plan::azure::{
    AzureKind, Compiled, Facts, Lookup, Outcome, Owner, Polled, Read, Refusal, SecretFacts, Sight, Subject,
    World, missing, operation_of, with_log,
};
use plan::endpoint::model_uri;
use plan::failure::{Class, Failure};
use serde_json::{Value, json};

use crate::azure::{classify, export_metadata, secret, values};
use crate::context::{Context, Fresh};
use crate::decision::Decision;
use crate::kinds::Kind;
use crate::object::ObjectName;
use crate::resource::Object;
use crate::store::{Source, Store};

/// How often a kind is asked what it wants in one reconcile.
const ROUNDS: usize = 6;
/// How many reads of one object run at once.
const READS: usize = 8;

/// What was decided about the part of an object that is in Azure.
pub(crate) struct Observed {
    pub(crate) outcome: Outcome,
    pub(crate) session: Option<Session>,
}

/// An object as the plan sees it.
pub(crate) struct Target<'a> {
    pub(crate) kind: &'a AzureKind,
    /// The whole object.
    pub(crate) object: &'a Value,
    /// Where it lives.
    pub(crate) name: &'a ObjectName,
    /// The part of its status that is about Azure.
    pub(crate) status: AzureStatus,
    /// Whether what it has in Azure must go although the object stays.
    pub(crate) retired: bool,
}

/// Observes an object of a kind that lives in Azure alone, and decides what to do about it.
pub(crate) async fn decide(
    context: &Context,
    kind: &Kind,
    name: &ObjectName,
    fresh: &mut Fresh,
) -> anyhow::Result<Option<Decision>> {
    let Some(object) = context.store.object(Source::Primary(kind.primary), name)? else { return Ok(None) };
    let Some(azure_kind) = kind.azure_kind() else {
        anyhow::bail!("{} has no resources in Azure", kind.name)
    };
    let metadata = object.metadata.clone();
    let old_status = object.status.clone();
    if metadata.deletion_timestamp.is_some() && !has_finalizer(&object) {
        return Ok(None);
    }
    let status = if old_status.is_null() {
        AzureStatus::default()
    } else {
        serde_json::from_value(old_status.clone())?
    };
    let whole = whole(kind, object)?;
    let target = Target { kind: azure_kind, object: &whole, name, status, retired: false };
    Ok(Some(match observe(context, &target, fresh).await {
        Ok(observed) => {
            let mut decision = Decision::new(metadata, old_status, observed.outcome.plan)?;
            decision.session = observed.session;
            decision
        }
        Err(failure) => Decision::failed(metadata, old_status, failure),
    }))
}

/// An object as JSON, with its kind.
pub(crate) fn whole(kind: &Kind, object: Object) -> anyhow::Result<Value> {
    let resource = (kind.resource)();
    let mut whole = serde_json::to_value(object)?;
    whole["apiVersion"] = resource.api_version.into();
    whole["kind"] = resource.kind.into();
    Ok(whole)
}

pub(crate) fn has_finalizer(object: &Object) -> bool {
    object.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// Reads everything that the plan depends on, and makes the plan.
pub(crate) async fn observe(
    context: &Context,
    target: &Target<'_>,
    fresh: &mut Fresh,
) -> Result<Observed, Failure> {
    let subject = subject(context.azure.cluster(&context.executor).await?, target);
    let paused = subject.management.mode == ManagementMode::Paused;
    let mut reader = Reader { context, target, session: None, seen: sights(fresh), polled: BTreeMap::new() };
    let compiled = if paused && !subject.deleting {
        reader.compile()
    } else {
        let credentials = target.object["spec"]["azure"]["credentialsRef"]["name"].as_str();
        let session = context.azure.session(&context.executor, &target.name.namespace, credentials).await?;
        reader.session = Some(session);
        reader.poll(fresh).await?;
        let compiled = reader.read().await?;
        if let Ok(compiled) = &compiled {
            reader.explain(compiled).await;
        }
        compiled
    };
    // Only what is there: that something is absent is believed of an own delete alone, since a read may lag.
    fresh.extend(reader.seen.iter().filter_map(|(id, sight)| Some((id.clone(), seen(sight)?))));
    let secrets = secret_facts(context, &target.name.namespace, compiled.as_ref().ok()).await?;
    let exported = exported(context, &target.name.namespace, compiled.as_ref().ok()).await?;
    let world = World {
        now: Timestamp::now(),
        subject,
        compiled,
        seen: reader.seen,
        polled: reader.polled,
        secrets,
        exported,
        portal: context.azure.portal.clone(),
        sync: context.azure.sync,
    };
    Ok(Observed { outcome: plan::azure::plan(&world), session: reader.session })
}

fn subject(cluster: &str, target: &Target) -> Subject {
    let object = target.object;
    let metadata = &object["metadata"];
    let mut management: Management =
        serde_json::from_value(object["spec"]["management"].clone()).unwrap_or_default();
    let default: DeletionPolicy = (target.kind.deletion)(object);
    management.deletion = Some(management.deletion.unwrap_or(default));
    let finalizers = metadata["finalizers"].as_array().into_iter().flatten();
    Subject {
        owner: Owner {
            cluster: cluster.to_owned(),
            kind: target.kind.kind.to_owned(),
            namespace: target.name.namespace.to_string(),
            name: target.name.name.to_string(),
        },
        generation: metadata["generation"].as_i64(),
        deleting: !metadata["deletionTimestamp"].is_null() || target.retired,
        finalizer: finalizers.into_iter().any(|finalizer| finalizer == FINALIZER),
        protected: metadata["annotations"][PROTECT_ANNOTATION] == json!("true"),
        management,
        status: target.status.clone(),
    }
}

fn sights(fresh: &Fresh) -> BTreeMap<ResourceId, Sight> {
    fresh.iter().map(|(id, seen)| (id.clone(), sight(seen.clone()))).collect()
}

fn sight(seen: Seen) -> Sight {
    match seen {
        Seen::Absent => Sight::Absent,
        Seen::Present(body) => Sight::Present(body),
    }
}

fn seen(sight: &Sight) -> Option<Seen> {
    match sight {
        Sight::Absent => None,
        Sight::Present(body) => Some(Seen::Present(body.clone())),
    }
}

/// Other objects of the namespace, from the store.
struct Neighbours<'a> {
    store: &'a Store,
    namespace: &'a str,
}

impl Lookup for Neighbours<'_> {
    fn find(&self, kind: &str, name: &str) -> Option<Value> {
        let kind = Kind::named(kind)?;
        let name = ObjectName::new(self.namespace, name);
        let object = self.store.object(Source::Primary(kind.primary), &name).ok()??;
        whole(kind, object).ok()
    }
}

struct Reader<'a> {
    context: &'a Context,
    target: &'a Target<'a>,
    session: Option<Session>,
    seen: BTreeMap<ResourceId, Sight>,
    polled: BTreeMap<ResourceId, Polled>,
}

impl Reader<'_> {
    fn compile(&self) -> Result<Compiled, Refusal> {
        self.facts(|facts| (self.target.kind.compile)(self.target.object, facts))
    }

    /// Asks a question with the facts that are known so far.
    fn facts<T>(&self, ask: impl FnOnce(&Facts) -> T) -> T {
        let neighbours = Neighbours { store: &self.context.store, namespace: &self.target.name.namespace };
        let facts = Facts {
            now: Timestamp::now(),
            objects: &neighbours,
            seen: &self.seen,
            subscription: self.context.azure.subscription.as_deref(),
            assume_ready: false,
        };
        ask(&facts)
    }

    /// Adds to operations that have just failed what the resource itself logged.
    async fn explain(&mut self, compiled: &Compiled) {
        let Some(session) = &self.session else { return };
        for wanted in compiled.wanted.iter().filter(|wanted| !wanted.on_failure.is_empty()) {
            let Some(Polled::Failed(error)) = self.polled.get_mut(&wanted.id) else { continue };
            for log in &wanted.on_failure {
                // A log is a help; the failure is told without it too.
                let answer = session.post(&wanted.id, log.action, Some(&log.body)).await;
                if let Ok(Started::Done(Some(answer))) = answer
                    && let Some(text) = answer.pointer(log.pointer).and_then(Value::as_str)
                    && !text.trim().is_empty()
                {
                    *error = with_log(error.clone(), text);
                    break;
                }
            }
        }
    }

    /// Polls the operations that the status names, unless an own write has just answered.
    async fn poll(&mut self, fresh: &Fresh) -> Result<(), Failure> {
        let Some(session) = &self.session else { return Ok(()) };
        let deleted = fresh.iter().filter(|(_, seen)| **seen == Seen::Absent);
        self.polled.extend(deleted.map(|(id, _)| (id.clone(), Polled::Succeeded)));
        for resource in &self.target.status.resources {
            let (Ok(id), Some(operation)) = (ResourceId::parse(&resource.id), &resource.operation) else {
                continue;
            };
            let Some(operation) = operation_of(operation, Timestamp::now()) else { continue };
            if fresh.contains_key(&id) {
                continue;
            }
            let creates = operation.verb == Verb::Put && resource.state == ResourceState::Creating;
            let progress = if creates {
                session.poll_creation(&id, &operation).await
            } else {
                session.poll(&operation).await
            };
            let polled = match progress.map_err(|error| classify(&error))? {
                arm::Progress::Running(operation) => Polled::Running(operation),
                arm::Progress::Failed(error) | arm::Progress::Canceled(error) => Polled::Failed(error),
                arm::Progress::Lost => Polled::Lost,
                arm::Progress::Succeeded(body) => {
                    // What the operation's end tells need not be read once more.
                    match body.filter(|body| body["properties"].is_object() && body["id"].is_string()) {
                        Some(body) => self.seen.insert(id.clone(), Sight::Present(body)),
                        None if operation.verb == Verb::Delete => self.seen.insert(id.clone(), Sight::Absent),
                        None => None,
                    };
                    Polled::Succeeded
                }
            };
            self.polled.insert(id, polled);
        }
        Ok(())
    }

    /// Reads until the kind asks for no more.
    async fn read(&mut self) -> Result<Result<Compiled, Refusal>, Failure> {
        let mut listed = BTreeSet::new();
        let mut compiled = self.compile();
        for _ in 0..ROUNDS {
            let (asks, status) = (compiled.as_ref().ok(), &self.target.status);
            let missing = missing(asks, status, &self.seen, &self.polled, &listed);
            if missing.is_empty() {
                break;
            }
            self.get(missing.ids).await?;
            for (parent, type_) in missing.lists {
                self.list(&parent, type_).await?;
                listed.insert((parent, type_));
            }
            compiled = self.compile();
        }
        Ok(compiled)
    }

    /// Reads resources. What is a part of something that may not exist yet waits for the answer about that: of what is
    /// absent, no part exists.
    async fn get(&mut self, mut ids: BTreeSet<ResourceId>) -> Result<(), Failure> {
        while !ids.is_empty() {
            let known: Vec<&str> = self.target.status.resources.iter().map(|it| it.id.as_str()).collect();
            let is_new = |id: &ResourceId| !known.iter().any(|it| it.eq_ignore_ascii_case(id.as_str()));
            let waits = |id: &ResourceId| {
                let mut above = std::iter::successors(id.parent(), ResourceId::parent);
                above.any(|parent| ids.contains(&parent) && is_new(&parent))
            };
            let (later, now): (BTreeSet<_>, BTreeSet<_>) = ids.iter().cloned().partition(waits);
            self.get_at_once(now).await?;
            ids = later;
            ids.retain(|id| {
                let mut above = std::iter::successors(id.parent(), ResourceId::parent);
                let absent = above.any(|parent| self.seen.get(&parent) == Some(&Sight::Absent));
                if absent {
                    self.seen.insert(id.clone(), Sight::Absent);
                }
                !absent
            });
        }
        Ok(())
    }

    async fn get_at_once(&mut self, ids: BTreeSet<ResourceId>) -> Result<(), Failure> {
        let Some(session) = &self.session else { return Ok(()) };
        let reads = ids.into_iter().map(|id| async {
            let seen = session.get(&id).await;
            (id, seen)
        });
        let answers: Vec<_> = stream::iter(reads).buffered(READS).collect().await;
        for (id, seen) in answers {
            let seen = seen.map_err(|error| classify(&error))?;
            self.seen.insert(id, sight(seen));
        }
        Ok(())
    }

    async fn list(&mut self, parent: &ResourceId, type_: &str) -> Result<(), Failure> {
        let Some(session) = &self.session else { return Ok(()) };
        if matches!(self.seen.get(parent), Some(Sight::Absent)) {
            return Ok(());
        }
        let items = match session.list(&format!("{parent}/{type_}")).await {
            Ok(items) => items,
            Err(error) if error.class == arm::ErrorClass::NotFound => Vec::new(),
            Err(error) => return Err(classify(&error)),
        };
        for item in items {
            let name = item["name"].as_str().unwrap_or_default().to_owned();
            if let Ok(id) = parent.child(type_, &name) {
                self.seen.entry(id).or_insert(Sight::Present(item));
            }
        }
        Ok(())
    }
}

/// Reads until it is known where a registered model lies.
pub(crate) async fn resolve(
    context: &Context,
    name: &ObjectName,
    whole: &Value,
    fresh: &mut Fresh,
) -> Result<Result<ResolvedModel, Refusal>, Failure> {
    let kind = plan::azure::kind("Endpoint").ok_or_else(|| Failure {
        class: Class::Panicked,
        message: "endpoints have no part in Azure".to_owned(),
    })?;
    let target = Target { kind, object: whole, name, status: AzureStatus::default(), retired: false };
    let mut reader =
        Reader { context, target: &target, session: None, seen: sights(fresh), polled: BTreeMap::new() };
    for _ in 0..ROUNDS {
        let resolution = match reader.facts(|facts| model_uri::resolve(whole, facts)) {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(resolution) => resolution,
        };
        if let Some(model) = resolution.model {
            return Ok(Ok(model));
        }
        if reader.session.is_none() {
            let credentials = whole["spec"]["azure"]["credentialsRef"]["name"].as_str();
            reader.session =
                Some(context.azure.session(&context.executor, &name.namespace, credentials).await?);
        }
        for read in resolution.reads {
            match read {
                Read::Get(id) => reader.get([id].into()).await?,
                Read::List(parent, type_) => reader.list(&parent, type_).await?,
            }
        }
        fresh.extend(reader.seen.iter().filter_map(|(id, sight)| Some((id.clone(), seen(sight)?))));
    }
    let message = "the place of the model is not known after many reads".to_owned();
    Err(Failure { class: Class::Unreachable, message })
}

/// What is known of the Secrets that a body needs: their versions and keys.
async fn secret_facts(
    context: &Context,
    namespace: &str,
    compiled: Option<&Compiled>,
) -> Result<BTreeMap<String, SecretFacts>, Failure> {
    let names: BTreeSet<&str> = compiled.into_iter().flat_map(Compiled::secrets).collect();
    let mut facts = BTreeMap::new();
    for name in names {
        if let Some(secret) = secret(&context.executor, namespace, name).await? {
            // Never a digest of the values, from which a weak one could be guessed.
            let version = secret.metadata.resource_version.clone().unwrap_or_default();
            facts
                .insert(name.to_owned(), SecretFacts { version, keys: values(secret).into_keys().collect() });
        }
    }
    Ok(facts)
}

/// The digests of what was exported before, by the name of the object.
async fn exported(
    context: &Context,
    namespace: &str,
    compiled: Option<&Compiled>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut digests = BTreeMap::new();
    for export in compiled.map(|compiled| &compiled.exports[..]).unwrap_or_default() {
        let metadata = export_metadata(&context.executor, namespace, &export.name, export.secret).await?;
        let annotations = metadata.and_then(|metadata| metadata.annotations).unwrap_or_default();
        if let Some(digest) = annotations.get(api::meta::APPLIED_ANNOTATION) {
            digests.insert(export.name.clone(), digest.clone());
        }
    }
    Ok(digests)
}
