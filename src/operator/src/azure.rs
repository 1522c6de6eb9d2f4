//! How the operator talks to Azure: one client, and for each object the identity that it names.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::Reason;
use arm::{Cloud, ErrorClass};
use arm_client::{CredentialSource, Session};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::ApiResource;
use plan::failure::{Class, Failure};
use tokio::sync::OnceCell;

use crate::arguments::Options;
use crate::execute::Executor;
use crate::metrics::Metrics;

/// What every object with resources in Azure shares.
pub(crate) struct Azure {
    client: arm_client::Client,
    identity: Option<CredentialSource>,
    environment: BTreeMap<String, String>,
    cloud: Cloud,
    cluster: OnceCell<String>,
    /// The subscription of objects that name none.
    pub(crate) subscription: Option<String>,
    /// How often everything is read again.
    pub(crate) sync: Duration,
    /// The address of the portal.
    pub(crate) portal: String,
}

impl Azure {
    /// Reads the environment that Azure's own tools read. It makes no call to Azure.
    pub(crate) fn new(options: &Options, metrics: &Metrics) -> anyhow::Result<Self> {
        let environment: BTreeMap<String, String> = std::env::vars().collect();
        let cloud = arm_client::cloud_from_environment(&environment)?;
        let identity = arm_client::credential_from_environment(&environment)?;
        let ca = options.azure_ca_file.as_ref().map(std::fs::read).transpose();
        let config = arm_client::Config {
            cloud: cloud.clone(),
            ca: ca.context("failed to read the file that --azure-ca-file names")?,
            limits: limits(options),
            observer: Some(Arc::new(metrics.clone())),
            ..arm_client::Config::default()
        };
        Ok(Self {
            client: arm_client::Client::new(config)?,
            identity,
            subscription: arm_client::subscription(&environment),
            environment,
            portal: cloud.endpoints().portal,
            cloud,
            cluster: OnceCell::new_with(options.cluster_id.clone()),
            sync: Duration::from_secs(options.azure_sync_seconds),
        })
    }

    /// The identity of this cluster, in the tag of every resource that is owned: what was configured, or the uid of the
    /// namespace `kube-system`, read when it is first needed.
    pub(crate) async fn cluster(&self, executor: &Executor) -> Result<&str, Failure> {
        let read = async || {
            let api: Api<Namespace> = Api::all(executor.client.clone());
            let what = "read the namespace kube-system for the identity of the cluster (--cluster-id sets it instead)";
            let found = executor.call(what, api.get_metadata("kube-system")).await?;
            found.metadata.uid.ok_or_else(|| Failure {
                class: Class::Invalid,
                message: "the namespace kube-system has no uid: set --cluster-id".to_owned(),
            })
        };
        self.cluster.get_or_try_init(read).await.map(String::as_str)
    }

    /// The session of an object: in the name of the identity in its Secret, or of the operator itself. The Secret is
    /// read each time, so that a rotated one needs no restart.
    pub(crate) async fn session(
        &self,
        executor: &Executor,
        namespace: &str,
        secret: Option<&str>,
    ) -> Result<Session, Failure> {
        let failed = |message| Failure { class: Class::Refused(Reason::AuthenticationFailed), message };
        let Some(secret) = secret else {
            let identity = self.identity.as_ref().ok_or_else(|| {
                failed("the operator has no identity in Azure: set spec.azure.credentialsRef to a Secret with AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or give the operator one by the chart's value azure.identity".to_owned())
            })?;
            return Ok(self.client.with(identity));
        };
        let found = self::secret(executor, namespace, secret).await?.ok_or_else(|| Failure {
            class: Class::Refused(Reason::SecretNotFound),
            message: format!(
                "spec.azure.credentialsRef names the Secret {secret}, which does not exist in {namespace}"
            ),
        })?;
        let source = arm_client::credential_from_secret(&values(found), &self.environment, &self.cloud)
            .map_err(|error| failed(format!("the Secret {secret} holds no identity: {error}")))?;
        Ok(self.client.with(&source))
    }
}

fn limits(options: &Options) -> arm_client::Limits {
    let mut limits = arm_client::Limits::default();
    if let Some(share) = options.azure_limits_percent {
        let share = f64::from(share) / 100.0;
        for limit in [&mut limits.reads, &mut limits.writes, &mut limits.deletes] {
            limit.burst = (f64::from(limit.burst) * share).max(1.0) as u32;
            limit.per_second *= share;
        }
    }
    limits
}

/// What to do when the right on the Secrets with the keys of Endpoints is missing.
pub(crate) const KEYS_HINT: &str = "set the chart's value endpointKeys.enabled to true, so that the operator may make and read the keys of Endpoints";

/// A Secret; `None` when there is none.
pub(crate) async fn secret(
    executor: &Executor,
    namespace: &str,
    name: &str,
) -> Result<Option<Secret>, Failure> {
    let hint = "set the chart's value azure.secrets to true, so that the operator may read Secrets";
    secret_or_hint(executor, namespace, name, hint).await
}

/// A Secret; `None` when there is none. Where it may not be read, the failure says what to do.
pub(crate) async fn secret_or_hint(
    executor: &Executor,
    namespace: &str,
    name: &str,
    hint: &str,
) -> Result<Option<Secret>, Failure> {
    let api: Api<Secret> = Api::namespaced(executor.client.clone(), namespace);
    let what = format!("read the Secret {namespace}/{name}");
    executor.call(&what, api.get_opt(name)).await.map_err(|failure| match failure.class {
        Class::Denied => Failure { message: format!("{}; {hint}", failure.message), ..failure },
        _ => failure,
    })
}

/// The values of a Secret as text.
pub(crate) fn values(secret: Secret) -> BTreeMap<String, String> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value.0))).collect()
}

/// The coordinates of what values are exported into.
pub(crate) fn export_resource(secret: bool) -> ApiResource {
    if secret { ApiResource::erase::<Secret>(&()) } else { ApiResource::erase::<ConfigMap>(&()) }
}

/// The metadata of what values are exported into, if it exists; never its content.
pub(crate) async fn export_metadata(
    executor: &Executor,
    namespace: &str,
    name: &str,
    secret: bool,
) -> Result<Option<ObjectMeta>, Failure> {
    let resource = export_resource(secret);
    let what = format!("look for {} {namespace}/{name}", resource.kind);
    let api = executor.api(namespace, &resource);
    Ok(executor.call(&what, api.get_metadata_opt(name)).await?.map(|found| found.metadata))
}

/// Sorts an error of Azure by what to do about it.
pub(crate) fn classify(error: &arm_client::Error) -> Failure {
    let refused = Class::Refused;
    let class = match error.class {
        ErrorClass::Throttled => Class::AzureThrottled(error.retry_after.unwrap_or(Duration::from_secs(5))),
        ErrorClass::Unreachable | ErrorClass::InvalidResponse => Class::Unreachable,
        ErrorClass::Unauthorized => refused(Reason::AuthenticationFailed),
        ErrorClass::WrongTenant => refused(Reason::WrongTenant),
        ErrorClass::Forbidden => refused(Reason::AzureDenied),
        ErrorClass::PolicyDenied => refused(Reason::PolicyDenied),
        ErrorClass::Locked => refused(Reason::Locked),
        ErrorClass::NotRegistered => refused(Reason::ProviderNotRegistered),
        ErrorClass::Quota => refused(Reason::QuotaExceeded),
        ErrorClass::NameTaken => refused(Reason::NameTaken),
        ErrorClass::SoftDeleted => refused(Reason::SoftDeleted),
        ErrorClass::Immutable => refused(Reason::Immutable),
        ErrorClass::Invalid => refused(Reason::AzureRejected),
        ErrorClass::Busy | ErrorClass::Conflict => Class::Passing(Reason::AzureBusy),
        ErrorClass::NotFound => Class::Passing(Reason::DependencyNotReady),
    };
    let message = match class {
        // The id of the request differs each time, and a status must not be written for that.
        Class::Unreachable | Class::AzureThrottled(_) => {
            arm_client::Error { request_id: None, correlation_id: None, ..error.clone() }.to_string()
        }
        _ => error.to_string(),
    };
    Failure { class, message }
}
