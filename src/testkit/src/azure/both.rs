//! A cluster and an Azure, between which an Endpoint can move.
use std::collections::BTreeMap;

use api::{Endpoint, EndpointStatus};
use arm::ResourceId;
use jiff::SignedDuration;
use plan::azure::{Facts, Lookup, Outcome, Read, Refusal, Sight};
use plan::endpoint::azure::{AzurePart, azure_part};
use plan::endpoint::model_uri;
use plan::{Plan, Step};
use serde_json::{Value, json};

use super::{FakeAzure, SUBSCRIPTION};
use crate::World;

/// A cluster and an Azure, with one Endpoint.
#[derive(Clone, Debug)]
pub struct Both {
    /// The cluster.
    pub cluster: World,
    /// Azure.
    pub azure: FakeAzure,
    /// Whether Azure answers.
    pub reachable: bool,
    /// Why Azure refused the last write, if it did.
    pub refused: Option<String>,
    /// What reads give instead of what is, because Azure answers from before.
    pub stale: BTreeMap<ResourceId, Value>,
    /// How long a round takes.
    pub round: SignedDuration,
}

impl Both {
    /// An Endpoint that nobody has looked at yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            cluster: World::new(endpoint),
            azure: FakeAzure::new(),
            reachable: true,
            refused: None,
            stale: BTreeMap::new(),
            // Long enough for whatever waits to be tried again.
            round: SignedDuration::from_mins(45),
        }
    }

    /// The Endpoint as the API server has it.
    pub fn object(&self) -> Value {
        json!(self.cluster.endpoint)
    }

    /// Observes as the operator does: the part in Azure, and where the model lies.
    pub fn observe(&self) -> plan::endpoint::World {
        let object = self.object();
        let part = azure_part(&object);
        let mut world = self.cluster.observe();
        world.azure = (part != AzurePart::Nothing && self.reachable).then(|| self.outcome(&object, part));
        world.model = (model_uri::is_registered(&world.endpoint.spec) && self.reachable)
            .then(|| self.resolve(&object))
            .and_then(Result::transpose);
        world
    }

    fn outcome(&self, object: &Value, part: AzurePart) -> Outcome {
        let mut azure = self.azure.clone();
        for (id, body) in &self.stale {
            azure.edit(id, |seen| seen.clone_from(body));
        }
        let mut world = azure.observe(object);
        world.subject.deleting |= part == AzurePart::Retired;
        plan::azure::plan(&world)
    }

    fn resolve(&self, object: &Value) -> Result<Option<api::endpoint::ResolvedModel>, Refusal> {
        let mut seen = BTreeMap::new();
        for _ in 0..4 {
            let objects: &dyn Lookup = &self.azure.objects;
            let facts = Facts {
                now: self.azure.now,
                objects,
                seen: &seen,
                subscription: Some(SUBSCRIPTION),
                assume_ready: false,
            };
            let resolution = model_uri::resolve(object, &facts)?;
            if resolution.model.is_some() {
                return Ok(resolution.model);
            }
            for read in resolution.reads {
                if let Read::Get(id) = read {
                    let sight =
                        self.azure.get(&id).map_or(Sight::Absent, |body| Sight::Present(body.clone()));
                    seen.insert(id, sight);
                }
            }
        }
        Ok(None)
    }

    /// Observes, plans, takes the steps until one is refused, and writes the status.
    pub fn reconcile(&mut self) -> Result<Plan<EndpointStatus>, String> {
        let plan = plan::endpoint::plan(&self.observe());
        let mut status = plan.status.clone();
        let mut object = self.object();
        self.refused = None;
        for step in &plan.steps {
            if matches!(step, Step::Apply(_) | Step::Delete(_)) {
                self.cluster.take(step)?;
                continue;
            }
            match self.azure.take(step, &mut object) {
                Ok(operation) => {
                    if let Some(azure) = &mut status.azure {
                        plan::azure::performed(azure, step, operation.as_ref());
                    }
                }
                Err(failure) => {
                    let old = self.cluster.endpoint.status.clone().unwrap_or_default().conditions;
                    let generation = self.cluster.endpoint.metadata.generation;
                    status.conditions =
                        failure.conditions(&status.conditions, &old, generation, self.azure.now);
                    self.refused = Some(failure.message);
                    break;
                }
            }
        }
        for revision in &plan.status.revisions {
            if !self.cluster.revisions.contains(&revision.name) {
                self.cluster.revisions.push(revision.name.clone());
            }
        }
        let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        let finalizers: Vec<String> = finalizers.filter_map(|it| it.as_str().map(str::to_owned)).collect();
        self.cluster.endpoint.metadata.finalizers = (!finalizers.is_empty()).then_some(finalizers);
        self.cluster.endpoint.status = Some(status);
        self.azure.now = self.azure.now.saturating_add(self.round).unwrap_or(self.azure.now);
        self.cluster.now = self.azure.now;
        self.azure.tick();
        Ok(plan)
    }

    /// Whether something runs in Azure, whether or not a status knows of it.
    fn is_busy(&self) -> bool {
        let runs = |body: &Value| {
            let state = body["properties"]["provisioningState"].as_str().unwrap_or("Succeeded");
            !["Succeeded", "Failed", "Canceled"].contains(&state)
        };
        let azure = self.cluster.endpoint.status.as_ref().and_then(|status| status.azure.as_ref());
        azure.is_some_and(|azure| azure.resources.iter().any(|it| it.operation.is_some()))
            || self.azure.ids().filter_map(|id| self.azure.get(id)).any(runs)
    }

    /// Reconciles until a plan has no steps and no operation runs.
    pub fn settle(&mut self, limit: usize) -> Result<usize, String> {
        let mut quiet = 0;
        for round in 0..limit {
            let plan = self.reconcile()?;
            // What has ended in this round is seen in the next.
            quiet = if plan.steps.is_empty() && !self.is_busy() { quiet + 1 } else { 0 };
            if quiet > 1 {
                return Ok(round);
            }
        }
        Err(format!("still busy after {limit} rounds: {:?}", self.azure.calls))
    }
}
