//! The Job of a check.
//!
//! The version is tested in the check's own pod: its server, and the server of the version that the stage runs, are
//! sidecars built like the pods of an Endpoint, and the program that checks them comes last. A container of the user's own
//! leaves its results in a folder; the sidecar that reads them speaks when that container has ended.
use std::collections::BTreeMap;

use api::endpoint::Resources;
use api::meta::ModelFormat;
use api::meta::{APPLIED_ANNOTATION, MANAGED_BY_LABEL, MANAGER, PROMOTION_LABEL};
use api::model::ModelVersion;
use api::model_promotion::{
    Bundle, CheckContainer, CheckTask, CheckType, DataSource, ModelAddress, PromotionCheck, PromotionStage,
};
use api::{Endpoint, Reason};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec, SecurityContext, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use super::super::World;
use super::{CHECKER, TESTS};
use crate::digest;
use crate::endpoint::Refusal;
use crate::endpoint::build::pod_template::{
    claim, empty, mount, pod_security_context, requirements, security_context, store_variables, variable,
};
use crate::endpoint::tested::{Tested, pods};
use crate::endpoint::valid::{ModelSource, amounts, source};

/// Where the program of a check lies in the image of the model server.
const PROGRAM: &str = "/usr/bin/mlops-checker";
/// Where rows lie.
const DATA_FOLDER: &str = "/mnt/data";
/// Where rows to compare with lie.
const BASELINE_FOLDER: &str = "/mnt/baseline";
/// Where a claim is mounted while a file of it is verified.
const CLAIM_FOLDER: &str = "/mnt/claim";
/// Where a container of the user's own leaves what it measured.
const RESULTS_FOLDER: &str = "/results";
/// The names by which the servers answer.
const CANDIDATE: &str = "candidate";
const PRODUCTION: &str = "production";
/// How long a check may take when it does not say, in seconds.
const TIMEOUT: i64 = 3600;
/// The shortest rest of a Job's name that names the check.
const NAME_LIMIT: usize = 40;

/// What a Job is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) world: &'a World,
    pub(super) stage: &'a PromotionStage,
    pub(super) check: &'a PromotionCheck,
    pub(super) bundle: &'a Bundle,
    /// The version that the stage runs.
    pub(super) former: Option<&'a ModelVersion>,
    pub(super) attempt: i32,
}

impl Subject<'_> {
    /// The Job's name: another one for each attempt, and for each promotion that ever bore the name.
    pub(super) fn name(&self) -> String {
        let uid = self.world.promotion.metadata.uid.as_deref().unwrap_or_default();
        let former = self.former.map(|it| it.version.as_str());
        let place = digest::of(&json!([uid, self.stage.name, self.check.name, former]), 8);
        let mut name = format!("{}-{}", self.promotion(), self.check.name);
        name.truncate(NAME_LIMIT);
        format!("{}-{place}-{}", name.trim_end_matches(['-', '.']).replace('.', "-"), self.attempt)
    }

    fn promotion(&self) -> &str {
        self.world.promotion.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.world.promotion.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The Job.
    pub(super) fn job(&self) -> Result<Value, Refusal> {
        let labels: BTreeMap<String, String> =
            [(MANAGED_BY_LABEL, MANAGER), (PROMOTION_LABEL, self.promotion())]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        let pod = self.pod()?;
        let timeout = self.check.timeout.as_deref().map_or(TIMEOUT, |it| {
            i64::try_from(crate::endpoint::rollout::hold(it).as_secs()).unwrap_or(TIMEOUT).max(1)
        });
        let job = Job {
            metadata: ObjectMeta {
                name: Some(self.name()),
                namespace: Some(self.namespace().to_owned()),
                labels: Some(labels.clone()),
                owner_references: Some(vec![self.owner()]),
                ..ObjectMeta::default()
            },
            spec: Some(JobSpec {
                active_deadline_seconds: Some(timeout),
                backoff_limit: Some(0),
                // A pod whose node goes is no word about the version.
                pod_failure_policy: Some(PodFailurePolicy {
                    rules: vec![PodFailurePolicyRule {
                        action: "Ignore".to_owned(),
                        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                            type_: "DisruptionTarget".to_owned(),
                            status: "True".to_owned(),
                        }]),
                        on_exit_codes: None,
                    }],
                }),
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
                    spec: Some(pod),
                },
                ..JobSpec::default()
            }),
            status: None,
        };
        let mut body = json!(job);
        body["metadata"]["annotations"][APPLIED_ANNOTATION] = json!(digest::of(&body, 24));
        Ok(body)
    }

    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: format!("{}/{}", api::GROUP, api::VERSION),
            kind: "ModelPromotion".to_owned(),
            name: self.promotion().to_owned(),
            uid: self.world.promotion.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(false),
        }
    }

    fn pod(&self) -> Result<PodSpec, Refusal> {
        let mut pod = PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            init_containers: Some(Vec::new()),
            restart_policy: Some("Never".to_owned()),
            security_context: Some(pod_security_context()),
            termination_grace_period_seconds: Some(30),
            volumes: Some(vec![empty("tmp")]),
            ..PodSpec::default()
        };
        let check = PromotionCheck { container: None, ..self.check.clone() };
        let mut task = CheckTask {
            check,
            data: None,
            baseline: None,
            candidate: None,
            production: None,
            results: None,
            subject: self.subject(),
        };
        let mut mounts = vec![mount("tmp", "/tmp", false)];
        for (name, folder, wanted, file) in [
            ("data", DATA_FOLDER, &self.check.data, &mut task.data),
            ("baseline", BASELINE_FOLDER, &self.check.baseline, &mut task.baseline),
        ] {
            if let Some(wanted) = wanted {
                *file = Some(self.fetch(&mut pod, name, folder, wanted)?);
                mounts.push(mount(name, folder, true));
            }
        }
        if needs_candidate(self.check.type_) {
            task.candidate = Some(self.serve(&mut pod, CANDIDATE, self.candidate(), 0)?);
        }
        if let Some(former) = self.former.filter(|_| compares(self.check.type_)) {
            let former = Tested {
                name: PRODUCTION,
                uri: &former.uri,
                digest: former.digest.as_deref(),
                format: former.format,
                port_offset: 1,
            };
            task.production = Some(self.serve(&mut pod, PRODUCTION, former, 1)?);
        }
        let container = if let Some(container) = &self.check.container {
            task.results = Some(RESULTS_FOLDER.to_owned());
            mounts.push(mount("results", RESULTS_FOLDER, true));
            pod.volumes.get_or_insert_default().push(empty("results"));
            let reader = self.checker(&task, mounts, Some("Always"));
            pod.init_containers.get_or_insert_default().push(reader);
            self.tests(container)?
        } else {
            self.checker(&task, mounts, None)
        };
        pod.containers = vec![container];
        Ok(pod)
    }

    /// What belongs to the artefact beside what the program sees.
    fn subject(&self) -> BTreeMap<String, String> {
        let facts = [
            ("bundle", Some(self.bundle.fingerprint.as_str())),
            ("version", Some(self.world.promotion.spec.model.version.as_str())),
            ("former", self.former.map(|it| it.version.as_str())),
            ("dataUri", self.check.data.as_ref().map(|it| it.uri.as_str())),
            ("baselineUri", self.check.baseline.as_ref().map(|it| it.uri.as_str())),
            ("image", self.check.container.as_ref().map(|it| it.image.as_str())),
        ];
        facts.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact?.to_owned()))).collect()
    }

    /// The version as it is tested.
    fn candidate(&self) -> Tested<'_> {
        Tested {
            name: CANDIDATE,
            uri: &self.bundle.uri,
            digest: self.bundle.digest.as_deref(),
            format: self.bundle.format.unwrap_or(ModelFormat::Custom),
            port_offset: 0,
        }
    }

    /// The program that checks.
    fn checker(
        &self,
        task: &CheckTask,
        volume_mounts: Vec<k8s_openapi::api::core::v1::VolumeMount>,
        restart_policy: Option<&str>,
    ) -> Container {
        let amounts = |cpu: Option<&str>, memory: &str| -> BTreeMap<String, String> {
            let named = [("cpu", cpu), ("memory", Some(memory))];
            named.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?.to_owned()))).collect()
        };
        Container {
            name: CHECKER.to_owned(),
            image: Some(self.world.settings.model_server_image.clone()),
            command: Some(vec![PROGRAM.to_owned()]),
            env: Some(vec![variable("MLOPS_CHECK", &json!(task).to_string())]),
            resources: Some(requirements(&amounts(Some("100m"), "128Mi"), &amounts(None, "1Gi"))),
            restart_policy: restart_policy.map(str::to_owned),
            security_context: Some(security_context()),
            volume_mounts: Some(volume_mounts),
            ..Container::default()
        }
    }

    /// A container of the user's own.
    fn tests(&self, container: &CheckContainer) -> Result<Container, Refusal> {
        let (requests, limits) = amounts(&container.resources)?;
        let own = [
            ("MODEL_NAME", self.world.promotion.spec.model.name.as_str()),
            ("MODEL_VERSION", self.world.promotion.spec.model.version.as_str()),
            ("MODEL_URI", self.bundle.uri.as_str()),
            ("MODEL_DIGEST", self.bundle.digest.as_deref().unwrap_or_default()),
            ("STAGE", self.stage.name.as_str()),
        ];
        let own: Vec<EnvVar> = own.iter().map(|(name, value)| variable(name, value)).collect();
        let others = container.env.iter().filter(|other| own.iter().all(|own| own.name != other.name));
        let others: Vec<EnvVar> = others.map(|other| variable(&other.name, &other.value)).collect();
        let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let mut volume_mounts = vec![mount("tmp", "/tmp", false), mount("results", RESULTS_FOLDER, false)];
        if self.check.data.is_some() {
            volume_mounts.push(mount("data", DATA_FOLDER, true));
        }
        Ok(Container {
            name: TESTS.to_owned(),
            image: Some(container.image.clone()),
            command: list(&container.command),
            args: list(&container.args),
            env: Some(own.into_iter().chain(others).collect()),
            resources: Some(requirements(&requests, &limits)),
            security_context: Some(SecurityContext {
                read_only_root_filesystem: Some(false),
                ..security_context()
            }),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            volume_mounts: Some(volume_mounts),
            ..Container::default()
        })
    }

    /// Fetches a file and verifies its digest; returns where it then lies.
    fn fetch(
        &self,
        pod: &mut PodSpec,
        name: &str,
        folder: &str,
        wanted: &DataSource,
    ) -> Result<String, Refusal> {
        let invalid = |refusal: Refusal| Refusal {
            message: refusal.message.replace("spec.model.uri", &format!("{name}.uri of the check")),
            ..refusal
        };
        let place = source(&wanted.uri).map_err(invalid)?;
        let (_, kind) = wanted.uri.rsplit_once('.').unwrap_or(("", "jsonl"));
        let file = format!("{name}.{kind}");
        let mut volume_mounts = vec![mount(name, folder, false), mount("tmp", "/tmp", false)];
        let volumes = pod.volumes.get_or_insert_default();
        volumes.push(empty(name));
        let uri = match place {
            ModelSource::Url { uri, .. } => uri.to_owned(),
            ModelSource::Claim { claim: of, path } => {
                let volume = format!("{name}-claim");
                volume_mounts.push(mount(&volume, CLAIM_FOLDER, true));
                volumes.push(claim(&volume, of));
                format!("file://{CLAIM_FOLDER}/{path}")
            }
        };
        let credentials = wanted.credentials_ref.as_ref().map(|it| it.name.as_str());
        let env = [
            variable("MLOPS_MODEL_URI", &uri),
            variable("MLOPS_MODEL_DIGEST", wanted.digest.as_deref().unwrap_or_default()),
        ];
        let (requests, limits) = amounts(&Resources::default())?;
        let args = ["fetch", "--to", folder, "--file-name", &file].map(str::to_owned);
        pod.init_containers.get_or_insert_default().push(Container {
            name: format!("fetch-{name}"),
            image: Some(self.world.settings.model_server_image.clone()),
            args: Some(args.into()),
            env: Some(
                env.into_iter().chain(store_variables(&self.world.settings, credentials, false)).collect(),
            ),
            resources: Some(requirements(&requests, &limits)),
            security_context: Some(security_context()),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            volume_mounts: Some(volume_mounts),
            ..Container::default()
        });
        Ok(format!("{folder}/{file}"))
    }

    /// Adds a server to the pod, like those of the Endpoint.
    fn serve(
        &self,
        pod: &mut PodSpec,
        name: &str,
        tested: Tested<'_>,
        port_offset: i32,
    ) -> Result<ModelAddress, Refusal> {
        let (like, is_endpoint) = self.like()?;
        let tested = Tested { port_offset, ..tested };
        let (template, port) = pods(&like, &tested, &self.world.runtimes, &self.world.settings)
            .map_err(|refusal| Refusal { message: format!("{name}: {}", refusal.message), ..refusal })?;
        let mut served = template.spec.unwrap_or_default();
        let own = |volume: &str| format!("{name}-{volume}");
        let named = |mut container: Container, called: &str| {
            called.clone_into(&mut container.name);
            for mount in container.volume_mounts.iter_mut().flatten() {
                mount.name = own(&mount.name);
            }
            container
        };
        let containers = pod.init_containers.get_or_insert_default();
        for fetch in served.init_containers.take().unwrap_or_default() {
            containers.push(named(fetch, &format!("fetch-{name}")));
        }
        for server in served.containers {
            let server = named(server, name);
            containers.push(Container {
                lifecycle: None,
                readiness_probe: None,
                liveness_probe: None,
                restart_policy: Some("Always".to_owned()),
                ..server
            });
        }
        let volumes = served.volumes.take().unwrap_or_default();
        let volumes = volumes.into_iter().map(|it| Volume { name: own(&it.name), ..it });
        pod.volumes.get_or_insert_default().extend(volumes);
        if is_endpoint && like.spec.model.workload_identity_client_id.is_some() {
            pod.service_account_name = like.metadata.name;
        }
        Ok(ModelAddress { url: format!("http://127.0.0.1:{port}"), model: name.to_owned() })
    }

    /// The Endpoint whose pods the test deployment is like, and whether it is one that exists.
    fn like(&self) -> Result<(Endpoint, bool), Refusal> {
        let named = self.check.endpoint_ref.as_ref().or(self.stage.endpoint_refs.first());
        if let Some(named) = named {
            return match self.world.endpoints.get(&named.name) {
                Some(endpoint) => Ok((endpoint.clone(), true)),
                None => Err(Refusal {
                    reason: Reason::DependencyNotReady,
                    message: format!(
                        "there is no Endpoint {} for the test deployment to be like",
                        named.name
                    ),
                }),
            };
        }
        let plain = json!({
            "metadata": {"name": CANDIDATE, "namespace": self.namespace(), "uid": "none"},
            "spec": {"model": {"uri": "", "format": "ONNX"}},
        });
        let plain = serde_json::from_value(plain).map(|plain| (plain, false));
        plain.map_err(|error| Refusal { reason: Reason::Invalid, message: error.to_string() })
    }
}

/// Whether a check asks the version itself.
fn needs_candidate(type_: CheckType) -> bool {
    match type_ {
        CheckType::DataQuality | CheckType::Job | CheckType::Retrain => false,
        CheckType::EndpointPerformance
        | CheckType::PredictionDiff
        | CheckType::ResponsibleAI
        | CheckType::Signature => true,
    }
}

/// Whether a check compares the version with the one that the stage runs.
pub(super) fn compares(type_: CheckType) -> bool {
    matches!(type_, CheckType::PredictionDiff | CheckType::Signature)
}
