//! An Azure in memory: it takes the steps of plans as Azure Resource Manager does, and answers what is seen.
//!
//! ```text
//! let mut azure = FakeAzure::new();
//! let trace = azure.converge(&mut object, 20);
//! ```

mod arm_rules;
mod both;
mod fill;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use api::azure::{AzureStatus, DeletionPolicy, FINALIZER, Management, PROTECT_ANNOTATION};
use arm::{ArmError, OperationShape, ResourceId};
use jiff::{SignedDuration, Timestamp};
use plan::azure::{
    AzureKind, Compiled, Facts, Outcome, Owner, Polled, Read, Refusal, SecretFacts, Sight, Subject, World,
};
use plan::failure::{Class, Failure};
use plan::{ExportStep, Next, Step};
use serde_json::{Value, json};

use self::arm_rules::Running;
pub use self::both::Both;

/// The subscription of objects that name none.
pub const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
/// The identity of the cluster.
pub const CLUSTER: &str = "cluster-1";
/// How often everything is read again.
const SYNC: Duration = Duration::from_mins(10);
/// How often a kind may ask for more.
const READS: usize = 8;

/// What goes wrong with one write.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// It is refused, and nothing is done.
    Refuse(u16, ArmError),
    /// It is done, and the answer is lost.
    Lose,
    /// It is accepted, and its operation fails.
    FailOperation(ArmError),
}

/// An Azure in memory.
#[derive(Clone, Debug)]
pub struct FakeAzure {
    /// The time. Each round takes as long as the plan asks to wait.
    pub now: Timestamp,
    /// How many rounds a long-running operation takes; with 0, it ends before it is answered.
    pub ticks: u32,
    /// How operations are told.
    pub shape: OperationShape,
    /// What goes wrong with the next writes, in order.
    pub faults: VecDeque<Option<Fault>>,
    /// The writes that were tried, each as one line.
    pub calls: Vec<String>,
    kinds: Vec<AzureKind>,
    objects: BTreeMap<(String, String), Value>,
    secrets: BTreeMap<String, SecretFacts>,
    exported: BTreeMap<String, ExportStep>,
    pub(crate) resources: BTreeMap<ResourceId, Value>,
    pub(crate) operations: BTreeMap<String, Running>,
    pub(crate) soft_deleted: BTreeSet<ResourceId>,
    pub(crate) given: BTreeMap<ResourceId, BTreeMap<String, String>>,
    pub(crate) counter: u32,
}

/// One look at an object: what was seen and decided, and what came of it.
#[derive(Clone, Debug)]
pub struct Round {
    /// What the plan was made from.
    pub world: World,
    /// What was decided.
    pub outcome: Outcome,
    /// How many of the steps were done.
    pub done: usize,
    /// Why the next was not.
    pub failure: Option<Failure>,
}

/// Everything that happened until nothing was left to do.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The rounds.
    pub rounds: Vec<Round>,
    /// Whether all is as wanted, or the deleted object is gone.
    pub converged: bool,
}

impl Default for FakeAzure {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeAzure {
    /// An Azure without resources, whose operations end at once.
    pub fn new() -> Self {
        Self {
            now: crate::fixture::now(),
            ticks: 0,
            shape: OperationShape::AzureAsyncOperation,
            faults: VecDeque::new(),
            calls: Vec::new(),
            kinds: plan::azure::KINDS.to_vec(),
            objects: BTreeMap::new(),
            secrets: BTreeMap::new(),
            exported: BTreeMap::new(),
            resources: BTreeMap::new(),
            operations: BTreeMap::new(),
            soft_deleted: BTreeSet::new(),
            given: BTreeMap::new(),
            counter: 0,
        }
    }

    /// A kind of the tests' own.
    pub fn add_kind(&mut self, kind: AzureKind) {
        self.kinds.push(kind);
    }

    /// Another object of the namespace.
    pub fn add_object(&mut self, object: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
        self.objects.insert(key, object.clone());
    }

    /// A Secret of the namespace, or a new version of it.
    pub fn add_secret(&mut self, name: &str, version: &str, keys: &[&str]) {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self.secrets.insert(name.to_owned(), SecretFacts { version: version.to_owned(), keys });
    }

    /// What was exported under a name.
    pub fn exported(&self, name: &str) -> Option<&ExportStep> {
        self.exported.get(name)
    }

    /// The versions of the Secrets that a resource was given, by their places in its body.
    pub fn given(&self, id: &ResourceId) -> BTreeMap<String, String> {
        self.given.get(id).cloned().unwrap_or_default()
    }

    /// A resource, as a read gives it.
    pub fn get(&self, id: &ResourceId) -> Option<&Value> {
        self.resources.get(id)
    }

    /// The ids of everything that exists.
    pub fn ids(&self) -> impl Iterator<Item = &ResourceId> {
        self.resources.keys()
    }

    /// Whose an object's resources are.
    pub fn owner(object: &Value) -> Owner {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Owner {
            cluster: CLUSTER.to_owned(),
            kind: text(&object["kind"]),
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]),
        }
    }

    /// The line of an object's kind.
    fn kind(&self, object: &Value) -> Result<&AzureKind, Refusal> {
        self.kinds.iter().find(|kind| object["kind"] == kind.kind).ok_or_else(|| Refusal {
            reason: api::Reason::Invalid,
            message: format!("the kind {} has no resources in Azure", object["kind"]),
        })
    }

    /// Everything that the plan of an object depends on, read as the operator reads it.
    pub fn observe(&self, object: &Value) -> World {
        let subject = self.subject(object);
        let mut seen = BTreeMap::new();
        let polled = self.poll(&subject.status);
        let paused = subject.management.mode == api::azure::ManagementMode::Paused;
        let compiled = if paused && !subject.deleting {
            self.compile(object, &seen)
        } else {
            self.read(object, &subject.status, &polled, &mut seen)
        };
        let names: BTreeSet<&str> = compiled.iter().flat_map(Compiled::secrets).collect();
        let secrets = self.secrets.iter().filter(|(name, _)| names.contains(name.as_str()));
        let secrets = secrets.map(|(name, facts)| (name.clone(), facts.clone())).collect();
        let digest = |(name, export): (&String, &ExportStep)| (name.clone(), export.digest.clone());
        World {
            now: self.now,
            subject,
            compiled,
            seen,
            polled,
            secrets,
            exported: self.exported.iter().map(digest).collect(),
            portal: "https://portal.azure.com".to_owned(),
            sync: SYNC,
        }
    }

    fn subject(&self, object: &Value) -> Subject {
        let metadata = &object["metadata"];
        let mut management: Management =
            serde_json::from_value(object["spec"]["management"].clone()).unwrap_or_default();
        let default = self.kind(object).map_or(DeletionPolicy::Delete, |kind| (kind.deletion)(object));
        management.deletion = Some(management.deletion.unwrap_or(default));
        Subject {
            owner: Self::owner(object),
            generation: metadata["generation"].as_i64(),
            deleting: !metadata["deletionTimestamp"].is_null(),
            finalizer: metadata["finalizers"].as_array().into_iter().flatten().any(|it| it == FINALIZER),
            protected: metadata["annotations"][PROTECT_ANNOTATION] == "true",
            management,
            status: serde_json::from_value(status_of(object).clone()).unwrap_or_default(),
        }
    }

    fn compile(&self, object: &Value, seen: &BTreeMap<ResourceId, Sight>) -> Result<Compiled, Refusal> {
        let facts = Facts {
            now: self.now,
            objects: &self.objects,
            seen,
            subscription: Some(SUBSCRIPTION),
            assume_ready: false,
        };
        (self.kind(object)?.compile)(object, &facts)
    }

    fn read(
        &self,
        object: &Value,
        status: &AzureStatus,
        polled: &BTreeMap<ResourceId, Polled>,
        seen: &mut BTreeMap<ResourceId, Sight>,
    ) -> Result<Compiled, Refusal> {
        let mut compiled = self.compile(object, seen);
        for _ in 0..READS {
            let before = seen.len();
            let wanted = compiled.iter().flat_map(Compiled::ids).cloned();
            let mut ids: Vec<ResourceId> = plan::azure::tracked_ids(status);
            ids.extend(wanted);
            // What an operation runs on is not read: polling tells.
            ids.retain(|id| !matches!(polled.get(id), Some(Polled::Running(_))));
            for read in compiled.iter().flat_map(|compiled| &compiled.reads) {
                match read {
                    Read::Get(id) => ids.push(id.clone()),
                    Read::List(parent, type_) => ids.extend(self.children(parent, type_)),
                }
            }
            for id in ids {
                let sight =
                    self.resources.get(&id).map_or(Sight::Absent, |body| Sight::Present(body.clone()));
                seen.insert(id, sight);
            }
            if seen.len() == before {
                break;
            }
            compiled = self.compile(object, seen);
        }
        compiled
    }

    fn children(&self, parent: &ResourceId, type_: &str) -> Vec<ResourceId> {
        let type_ = format!("{}/{type_}", parent.type_());
        let ids = self.resources.keys().filter(|id| id.is_a(&type_) && id.parent().as_ref() == Some(parent));
        ids.cloned().collect()
    }

    /// Looks at an object once, takes the steps of its plan, and writes its status.
    pub fn reconcile(&mut self, object: &mut Value) -> Round {
        let world = self.observe(object);
        let outcome = plan::azure::plan(&world);
        let mut status = outcome.plan.status.clone();
        let (mut done, mut failure) = (0, None);
        for step in &outcome.plan.steps {
            match self.take(step, object) {
                Ok(operation) => plan::azure::performed(&mut status, step, operation.as_ref()),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
            done += 1;
        }
        if let Some(failure) = &failure {
            let old = &world.subject.status.conditions;
            status.conditions =
                failure.conditions(&status.conditions, old, world.subject.generation, self.now);
        }
        object["status"] = json!(status);
        self.add_object(object);
        let wait = match (&failure, outcome.plan.next) {
            (Some(failure), _) => failure.next(0, 0.0),
            (None, _) if done > 0 => Next::After(Duration::from_secs(1)),
            (None, next) => next,
        };
        if let Next::After(wait) = wait {
            let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_secs(1));
            self.now = self.now.saturating_add(wait).unwrap_or(self.now);
        }
        self.tick();
        Round { world, outcome, done, failure }
    }

    /// Reconciles until all is as wanted or the deleted object is gone, or the rounds are used up.
    pub fn converge(&mut self, object: &mut Value, rounds: usize) -> Trace {
        let mut trace = Trace { rounds: Vec::new(), converged: false };
        for _ in 0..rounds {
            let round = self.reconcile(object);
            let is_gone = !object["metadata"]["deletionTimestamp"].is_null() && !has_finalizer(object);
            trace.converged = is_gone || (round.outcome.settled && round.outcome.plan.steps.is_empty());
            trace.rounds.push(round);
            if trace.converged {
                break;
            }
        }
        trace
    }

    /// Takes one step.
    fn take(&mut self, step: &Step, object: &mut Value) -> Result<Option<arm::Operation>, Failure> {
        match step {
            Step::Finalizer(true) => object["metadata"]["finalizers"] = json!([FINALIZER]),
            Step::Finalizer(false) => object["metadata"]["finalizers"] = json!([]),
            Step::Export(export) => {
                self.exported.insert(export.name.clone(), export.clone());
            }
            _ => return self.write(step).map_err(|refused| failure(refused.0, &refused.1, step)),
        }
        Ok(None)
    }
}

/// The part of an object's status that is about Azure.
fn status_of(object: &Value) -> &Value {
    if object["kind"] == "Endpoint" { &object["status"]["azure"] } else { &object["status"] }
}

fn has_finalizer(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

/// Sorts an error as the operator does.
fn failure(status: u16, error: &ArmError, step: &Step) -> Failure {
    use api::Reason;
    use arm::ErrorClass;
    let class = match arm::classify(status, error) {
        ErrorClass::Unreachable => Class::Unreachable,
        ErrorClass::Throttled => Class::AzureThrottled(Duration::from_secs(5)),
        ErrorClass::Busy | ErrorClass::Conflict => Class::Passing(Reason::AzureBusy),
        ErrorClass::NotFound => Class::Passing(Reason::DependencyNotReady),
        ErrorClass::SoftDeleted => Class::Refused(Reason::SoftDeleted),
        ErrorClass::Immutable => Class::Refused(Reason::Immutable),
        _ => Class::Refused(Reason::AzureRejected),
    };
    Failure { class, message: format!("failed to {step}: {error}") }
}

impl Trace {
    /// The steps that were taken, each as one line, without why.
    pub fn lines(&self) -> Vec<String> {
        let steps = self.rounds.iter().flat_map(|round| &round.outcome.plan.steps[..round.done]);
        steps.map(|step| step.to_string().split(": ").next().unwrap_or_default().to_owned()).collect()
    }

    /// The last plan.
    pub fn last(&self) -> Option<&Outcome> {
        self.rounds.last().map(|round| &round.outcome)
    }
}
