//! Azure as the plugin has it: with the identity of the environment, and for reading only.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use api::azure::AzureStatus;
use arm::{ResourceId, Seen, Verb};
use arm_client::Session;
use futures::{StreamExt as _, stream};
use plan::azure::{Compiled, Polled, Refusal, Sight, missing, operation_of};
use serde_json::Value;

use crate::failure::Failure;

/// How many reads run at once.
const READS: usize = 8;
/// How often a kind is asked what it wants.
const ROUNDS: usize = 8;

/// The environment of the process.
pub(crate) type Environment = BTreeMap<String, String>;

/// Reads of Azure. Nothing here writes, so nothing that holds it can.
#[derive(Clone)]
pub(crate) struct Reads {
    /// Without it, nothing exists.
    session: Option<Session>,
}

/// What is known of Azure.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) seen: BTreeMap<ResourceId, Sight>,
    pub(crate) polled: BTreeMap<ResourceId, Polled>,
    listed: BTreeSet<(ResourceId, &'static str)>,
}

impl Reads {
    /// Nothing exists, and nobody is asked.
    pub(crate) fn offline() -> Self {
        Self { session: None }
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.session.is_none()
    }

    /// Azure, with the identity of the environment.
    pub(crate) fn connect(environment: &Environment, ca: Option<&Path>) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Error(error.to_string());
        let cloud = arm_client::cloud_from_environment(environment).map_err(|error| failed(&error))?;
        let source =
            arm_client::credential_from_environment(environment).map_err(|error| failed(&error))?.ok_or_else(|| {
                Failure::Error(
                    "there is no identity for Azure: set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or log in with `az login` and set AZURE_TOKEN_CREDENTIALS=dev"
                        .to_owned(),
                )
            })?;
        let ca = ca.map(std::fs::read).transpose().map_err(|error| {
            Failure::Error(format!("failed to read the file of --azure-ca-file: {error}"))
        })?;
        let config = arm_client::Config { cloud, ca, ..arm_client::Config::default() };
        let client = arm_client::Client::new(config).map_err(|error| failed(&error))?;
        Ok(Self { session: Some(client.with(&source)) })
    }

    /// One resource.
    pub(crate) async fn get(&self, id: &ResourceId) -> Result<Sight, Failure> {
        let Some(session) = &self.session else { return Ok(Sight::Absent) };
        match session.get(id).await {
            Ok(Seen::Present(body)) => Ok(Sight::Present(body)),
            Ok(Seen::Absent) => Ok(Sight::Absent),
            Err(error) => Err(Failure::Error(error.to_string())),
        }
    }

    /// Every resource of a collection, by its id; none when there is no such collection.
    pub(crate) async fn list(
        &self,
        parent: &ResourceId,
        type_: &str,
    ) -> Result<Vec<(ResourceId, Value)>, Failure> {
        let Some(session) = &self.session else { return Ok(Vec::new()) };
        let items = match session.list(&format!("{parent}/{type_}")).await {
            Ok(items) => items,
            Err(error) if error.class == arm::ErrorClass::NotFound => Vec::new(),
            Err(error) => return Err(Failure::Error(error.to_string())),
        };
        let named = items.into_iter().filter_map(|item| {
            let id = parent.child(type_, item["name"].as_str()?).ok()?;
            Some((id, item))
        });
        Ok(named.collect())
    }

    async fn poll(&self, status: &AzureStatus, known: &mut Known) -> Result<(), Failure> {
        let Some(session) = &self.session else { return Ok(()) };
        for resource in &status.resources {
            let (Ok(id), Some(operation)) = (ResourceId::parse(&resource.id), &resource.operation) else {
                continue;
            };
            let Some(operation) = operation_of(operation, jiff::Timestamp::now()) else { continue };
            let progress =
                session.poll(&operation).await.map_err(|error| Failure::Error(error.to_string()))?;
            let polled = match progress {
                arm::Progress::Running(operation) => Polled::Running(operation),
                arm::Progress::Failed(error) | arm::Progress::Canceled(error) => Polled::Failed(error),
                arm::Progress::Lost => Polled::Lost,
                arm::Progress::Succeeded(_) if operation.verb == Verb::Delete => {
                    known.seen.insert(id.clone(), Sight::Absent);
                    Polled::Succeeded
                }
                arm::Progress::Succeeded(_) => Polled::Succeeded,
            };
            known.polled.insert(id, polled);
        }
        Ok(())
    }

    /// Reads until a kind asks for no more, as the operator does.
    pub(crate) async fn compile(
        &self,
        known: &mut Known,
        status: &AzureStatus,
        compile: impl Fn(&BTreeMap<ResourceId, Sight>) -> Result<Compiled, Refusal>,
    ) -> Result<Result<Compiled, Refusal>, Failure> {
        if known.seen.is_empty() {
            self.poll(status, known).await?;
        }
        let mut compiled = compile(&known.seen);
        for _ in 0..ROUNDS {
            let missing = missing(compiled.as_ref().ok(), status, &known.seen, &known.polled, &known.listed);
            if missing.is_empty() {
                break;
            }
            let reads = missing.ids.into_iter().map(|id| async move { (self.get(&id).await, id) });
            let answers: Vec<_> = stream::iter(reads).buffered(READS).collect().await;
            for (sight, id) in answers {
                known.seen.insert(id, sight?);
            }
            for (parent, type_) in missing.lists {
                if known.seen.get(&parent) != Some(&Sight::Absent) {
                    for (id, body) in self.list(&parent, type_).await? {
                        known.seen.entry(id).or_insert(Sight::Present(body));
                    }
                }
                known.listed.insert((parent, type_));
            }
            compiled = compile(&known.seen);
        }
        Ok(compiled)
    }
}
