//! A Kubernetes cluster: it must be there and connected, get its extension, and is then attached.
use api::Reason;
use api::compute::{Extension, InstanceType, KubernetesCompute, LoadBalancerProvider, RouterServiceType};
use arm::ResourceId;
use serde_json::{Map, Value, json};

use super::Of;
use crate::azure::reference::id;
use crate::azure::{Compiled, Output, Refusal, Requirement, SecretValue, Wanted};

const EXTENSIONS: &str = "Microsoft.KubernetesConfiguration/extensions";

/// Says what an attached cluster wants in Azure.
pub(super) fn compile(of: &Of, compute: &KubernetesCompute) -> Result<Compiled, Refusal> {
    let cluster = id(ResourceId::parse(&compute.cluster_id))?;
    let mut compiled = of.compiled("Kubernetes", &properties(compute), &[], "Detach");
    compiled.requires.push(connected(&cluster));
    let output = |name, pointer| Output { name, id: cluster.clone(), pointer };
    compiled.outputs.push(output("connectivityStatus", "/properties/connectivityStatus"));
    if let Some(extension) = &compute.extension {
        let extension_id = id(cluster.with_provider(EXTENSIONS, &extension.name))?;
        compiled.outputs.push(Output {
            name: "extensionVersion",
            id: extension_id.clone(),
            pointer: "/properties/currentVersion",
        });
        if extension.install {
            for wanted in &mut compiled.wanted {
                wanted.after.push(extension_id.clone());
            }
            compiled.wanted.insert(0, installed(extension_id, extension));
        } else {
            compiled.requires.push(present(extension_id, &extension.name, cluster.name()));
        }
    }
    Ok(compiled)
}

/// The cluster must be reachable, or Azure would take the compute and fail later.
fn connected(cluster: &ResourceId) -> Requirement {
    let (pointer, one_of): (_, &'static [&'static str]) =
        if cluster.is_a("Microsoft.ContainerService/managedClusters") {
            ("/properties/provisioningState", &["Succeeded"])
        } else {
            ("/properties/connectivityStatus", &["Connected"])
        };
    Requirement {
        id: cluster.clone(),
        pointer,
        one_of,
        reason: Reason::ClusterNotConnected,
        message: format!(
            "the cluster {} must be {}, and Azure says: {{actual}}",
            cluster.name(),
            one_of.join(" or ")
        ),
    }
}

/// An extension that is not to be installed must be there.
fn present(extension: ResourceId, name: &str, cluster: &str) -> Requirement {
    Requirement {
        id: extension,
        pointer: "/properties/provisioningState",
        one_of: &["Succeeded"],
        reason: Reason::DependencyNotReady,
        message: format!(
            "the extension {name} must be installed on the cluster {cluster}, and Azure says: {{actual}}; install it, or set kubernetes.extension.install to true"
        ),
    }
}

fn installed(extension_id: ResourceId, extension: &Extension) -> Wanted {
    let body = json!({
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "extensionType": "Microsoft.AzureML.Kubernetes",
            "releaseTrain": extension.release_train,
            "autoUpgradeMinorVersion": extension.auto_upgrade_minor_version,
            "version": extension.version,
            "scope": {"cluster": {"releaseNamespace": "azureml"}},
            "configurationSettings": settings(extension),
        },
    });
    let secrets = extension.ssl_certificate_ref.iter().flat_map(|secret| {
        [("sslCertPemFile", "tls.crt"), ("sslKeyPemFile", "tls.key")].map(|(setting, key)| SecretValue {
            pointer: format!("/properties/configurationProtectedSettings/{setting}"),
            secret: secret.name.clone(),
            key: key.to_owned(),
        })
    });
    Wanted { secrets: secrets.collect(), ..Wanted::new(extension_id, body) }
}

/// All settings are texts, and truth is `True` or `False`.
fn settings(extension: &Extension) -> Map<String, Value> {
    let truth = |value: bool| if value { "True" } else { "False" };
    let router = extension.inference_router_service_type.map(|type_| match type_ {
        RouterServiceType::LoadBalancer => "LoadBalancer",
        RouterServiceType::NodePort => "NodePort",
        RouterServiceType::ClusterIp => "ClusterIP",
    });
    let balancer = extension.internal_load_balancer_provider.map(|provider| match provider {
        LoadBalancerProvider::Azure => "azure",
    });
    let named = [
        ("enableTraining", Some(truth(extension.enable_training))),
        ("enableInference", Some(truth(extension.enable_inference))),
        (
            "allowInsecureConnections",
            extension.enable_inference.then(|| truth(extension.allow_insecure_connections)),
        ),
        ("inferenceRouterServiceType", router),
        ("internalLoadBalancerProvider", balancer),
        ("sslSecret", extension.ssl_secret.as_deref()),
        ("sslCname", extension.ssl_cname.as_deref()),
        ("inferenceRouterHA", extension.inference_router_ha.map(truth)),
        ("installNvidiaDevicePlugin", extension.install_nvidia_device_plugin.map(truth)),
        ("installPromOp", extension.install_prom_op.map(truth)),
        ("installVolcano", extension.install_volcano.map(truth)),
        ("installDcgmExporter", extension.install_dcgm_exporter.map(truth)),
    ];
    let named = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
    let nodes =
        extension.node_selector.iter().map(|(key, value)| (format!("nodeSelector.{key}"), json!(value)));
    let further = extension.settings.iter().map(|(key, value)| (key.clone(), json!(value)));
    named.chain(nodes).chain(further).collect()
}

fn properties(compute: &KubernetesCompute) -> Value {
    let instance_type = |type_: &InstanceType| {
        json!({
            "nodeSelector": type_.node_selector,
            "resources": {"requests": type_.resources.requests, "limits": type_.resources.limits},
        })
    };
    let types: Map<String, Value> =
        compute.instance_types.iter().map(|(name, type_)| (name.clone(), instance_type(type_))).collect();
    json!({
        "namespace": compute.namespace,
        "defaultInstanceType": compute.default_instance_type,
        "instanceTypes": (!types.is_empty()).then_some(types),
    })
}
