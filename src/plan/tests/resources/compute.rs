//! Computes.
use serde_json::{Value, json};
use testkit::azure::FakeAzure;

use super::{
    azure, change, compiled, compiled_among, delete, id, inside, left, object, page, ready, settle, stuck,
};

const ARC: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/edge/providers/Microsoft.Kubernetes/connectedClusters/factory";
const EXTENSION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/edge/providers/Microsoft.Kubernetes/connectedClusters/factory/providers/Microsoft.KubernetesConfiguration/extensions/azureml";

fn compute(type_: &str, section: &str, value: &Value) -> Value {
    object("Compute", "cpu", &json!({"workspaceRef": {"name": "dev"}, "type": type_, section: value}))
}

fn cluster() -> Value {
    let scale = json!({"minNodeCount": 0, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT5M"});
    compute("AmlCompute", "amlCompute", &json!({"vmSize": "Standard_DS3_v2", "scaleSettings": scale}))
}

fn attached() -> Value {
    let extension = json!({"enableTraining": true});
    compute("Kubernetes", "kubernetes", &json!({"clusterId": ARC, "namespace": "ml", "extension": extension}))
}

/// An Azure with a cluster that has a connection.
fn with_cluster(status: &str) -> FakeAzure {
    let mut azure = azure();
    let body = json!({"location": "westeurope", "properties": {"connectivityStatus": status}});
    azure.put(&id(ARC), &body);
    azure
}

#[test]
fn a_cluster_of_machines_wants_one_compute() {
    insta::assert_snapshot!("aml_compute", page(&cluster()));
    let mut full = cluster();
    full["spec"]["amlCompute"] = json!({
        "vmSize": "Standard_NC6s_v3",
        "vmPriority": "LowPriority",
        "scaleSettings": {"minNodeCount": 1, "maxNodeCount": 8, "nodeIdleTimeBeforeScaleDown": "PT120S"},
        "subnetId": "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/ml",
        "enableNodePublicIp": false,
        "remoteLoginPortPublicAccess": "Disabled",
        "isolatedNetwork": true,
        "sshUser": {"adminUserName": "ops", "adminUserSshPublicKey": "ssh-ed25519 AAAA ops"},
    });
    let more = json!({
        "name": "gpu", "location": "northeurope", "description": "for training", "disableLocalAuth": true,
        "tags": {"cost-center": "42"},
        "identity": {
            "type": "SystemAssignedAndUserAssigned",
            "userAssignedIdentities": ["/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/train"],
        },
    });
    full["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    insta::assert_snapshot!("aml_compute_full", page(&full));
}

#[test]
fn a_person_s_machine_wants_one_compute() {
    let least = json!({"vmSize": "Standard_DS3_v2"});
    insta::assert_snapshot!("compute_instance", page(&compute("ComputeInstance", "computeInstance", &least)));
    let full = json!({
        "vmSize": "Standard_DS3_v2",
        "assignedUser": {
            "objectId": "00000000-0000-0000-0000-0000000000aa",
            "tenantId": "00000000-0000-0000-0000-00000000000f",
        },
        "schedules": [
            {"action": "Stop", "cron": {"expression": "0 18 * * *", "timeZone": "W. Europe Standard Time"}},
            {"action": "Start", "enabled": false, "recurrence": {
                "frequency": "Week", "interval": 1, "startTime": "2026-02-01T08:00:00",
                "schedule": {"hours": [8], "minutes": [30], "weekDays": ["Monday", "Friday"]},
            }},
        ],
        "idleTimeBeforeShutdown": "PT30M",
        "applicationSharingPolicy": "Personal",
        "sshPublicKey": "ssh-ed25519 AAAA anna",
        "subnetId": "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/ml",
        "enableNodePublicIp": false,
        "setupScripts": {
            "creation": {"path": "Users/anna/make.sh", "arguments": "--gpu", "timeoutMinutes": 30},
            "startup": {"path": "Users/anna/start.sh"},
        },
        "enableSso": true,
    });
    let full = compute("ComputeInstance", "computeInstance", &full);
    insta::assert_snapshot!("compute_instance_full", page(&full));
}

#[test]
fn an_attached_cluster_wants_its_extension_first() {
    insta::assert_snapshot!("kubernetes", page(&attached()));
    let full = json!({
        "clusterId": ARC,
        "namespace": "ml",
        "extension": {
            "name": "aml",
            "releaseTrain": "Preview",
            "autoUpgradeMinorVersion": false,
            "version": "1.1.66",
            "enableTraining": true,
            "enableInference": true,
            "inferenceRouterServiceType": "LoadBalancer",
            "internalLoadBalancerProvider": "Azure",
            "sslCertificateRef": {"name": "certificate"},
            "sslCname": "score.example",
            "inferenceRouterHA": false,
            "nodeSelector": {"pool": "system"},
            "installNvidiaDevicePlugin": true,
            "installPromOp": false,
            "installVolcano": false,
            "installDcgmExporter": true,
            "settings": {"prometheus.prometheusSpec.replicas": "1"},
        },
        "defaultInstanceType": "small",
        "instanceTypes": {
            "small": {
                "nodeSelector": {"pool": "ml"},
                "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
            },
            "gpu": {"resources": {"requests": {"cpu": "4"}, "limits": {"cpu": "4", "nvidia.com/gpu": "1"}}},
        },
    });
    insta::assert_snapshot!("kubernetes_full", page(&compute("Kubernetes", "kubernetes", &full)));
}

#[test]
fn a_managed_cluster_and_an_extension_that_is_there_are_only_looked_at() {
    let managed =
        ARC.replace("Microsoft.Kubernetes/connectedClusters", "Microsoft.ContainerService/managedClusters");
    let section = json!({"clusterId": managed, "extension": {"install": false}});
    insta::assert_snapshot!("kubernetes_managed", page(&compute("Kubernetes", "kubernetes", &section)));
}

#[test]
fn a_compute_waits_for_its_workspace() {
    let refusal = compiled_among(&cluster(), &std::collections::BTreeMap::new()).unwrap_err();
    assert_eq!(refusal.reason, api::Reason::DependencyNotReady);
    assert_eq!(refusal.message, "there is no MLWorkspace dev in this namespace");
    let mut nothing = cluster();
    nothing["spec"].as_object_mut().unwrap().remove("amlCompute");
    let refusal = compiled(&nothing).unwrap_err();
    assert_eq!(refusal.message, "set the section of the type: amlCompute, computeInstance or kubernetes");
}

#[test]
fn a_cluster_grows_by_a_patch_and_goes_with_its_machines() {
    let mut azure = azure();
    azure.ticks = 2;
    let mut cluster = cluster();
    assert_eq!(settle(&mut azure, &mut cluster), ["add the finalizer", "create W/computes/cpu"]);
    assert_eq!(cluster["status"]["outputs"]["allocationState"], "Steady");
    assert_eq!(cluster["status"]["outputs"]["currentNodeCount"], "0");

    change(&mut cluster, |spec| spec["amlCompute"]["scaleSettings"]["maxNodeCount"] = json!(8));
    assert_eq!(settle(&mut azure, &mut cluster), ["patch W/computes/cpu"]);
    let scale = "/properties/properties/scaleSettings";
    let settings = json!({"minNodeCount": 0, "maxNodeCount": 8, "nodeIdleTimeBeforeScaleDown": "PT5M"});
    assert_eq!(azure.get(&inside("computes/cpu")).unwrap().pointer(scale), Some(&settings));

    change(&mut cluster, |spec| spec["description"] = json!("for training"));
    assert_eq!(settle(&mut azure, &mut cluster), ["update W/computes/cpu"]);

    delete(&mut cluster);
    let gone = settle(&mut azure, &mut cluster);
    assert_eq!(gone, ["delete W/computes/cpu", "remove the finalizer"]);
    assert_eq!(left(&azure), Vec::<String>::new());
}

#[test]
fn another_size_of_machine_is_refused_with_both_sizes() {
    let mut azure = azure();
    let mut cluster = cluster();
    settle(&mut azure, &mut cluster);
    change(&mut cluster, |spec| spec["amlCompute"]["vmSize"] = json!("Standard_NC6s_v3"));
    let (reason, message) = stuck(&mut azure, &mut cluster);
    assert_eq!(reason, "Immutable");
    let words = "/properties/properties/vmSize is \"Standard_DS3_v2\" and can't become \"Standard_NC6s_v3\"";
    assert!(message.contains(words), "{message}");
}

#[test]
fn accounts_and_scripts_that_azure_never_shows_are_no_difference() {
    let mut azure = azure();
    let mut cluster = cluster();
    cluster["spec"]["amlCompute"]["sshUser"] =
        json!({"adminUserName": "ops", "adminUserSshPublicKey": "ssh-ed25519 AAAA"});
    settle(&mut azure, &mut cluster);
    let section = json!({"vmSize": "a", "setupScripts": {"startup": {"path": "Users/anna/start.sh"}}});
    let mut machine = compute("ComputeInstance", "computeInstance", &section);
    machine["metadata"]["name"] = json!("anna");
    settle(&mut azure, &mut machine);
    assert_eq!(machine["status"]["outputs"]["state"], "Running");
}

#[test]
fn a_cluster_is_detached_before_its_extension_goes() {
    let mut azure = with_cluster("Connected");
    azure.ticks = 2;
    let mut attached = attached();
    let made = settle(&mut azure, &mut attached);
    let extension = format!("create {EXTENSION}");
    assert_eq!(made, ["add the finalizer", extension.as_str(), "create W/computes/cpu"]);
    assert_eq!(attached["status"]["outputs"]["connectivityStatus"], "Connected");
    assert_eq!(attached["status"]["outputs"]["extensionVersion"], "1.1.66");

    delete(&mut attached);
    let gone = settle(&mut azure, &mut attached);
    let detach = "delete W/computes/cpu";
    let extension = format!("delete {EXTENSION}");
    assert_eq!(gone, [detach, extension.as_str(), "remove the finalizer"]);
    assert_eq!(left(&azure), [ARC]);
}

#[test]
fn an_extension_that_was_there_is_used_as_it_is_and_stays() {
    let mut azure = with_cluster("Connected");
    let settings = json!({"enableTraining": "True", "enableInference": "True"});
    azure.put(&id(EXTENSION), &json!({"properties": {"configurationSettings": settings}}));
    let mut attached = attached();
    assert_eq!(settle(&mut azure, &mut attached), ["add the finalizer", "create W/computes/cpu"]);
    delete(&mut attached);
    settle(&mut azure, &mut attached);
    assert_eq!(left(&azure), [ARC, EXTENSION]);
}

#[test]
fn a_cluster_without_a_connection_is_not_attached() {
    for (status, words) in [
        ("Offline", "the cluster factory must be Connected, and Azure says: Offline"),
        ("Expired", "the cluster factory must be Connected, and Azure says: Expired"),
    ] {
        let mut azure = with_cluster(status);
        let mut attached = attached();
        assert_eq!(stuck(&mut azure, &mut attached), ("ClusterNotConnected".to_owned(), words.to_owned()));
        assert_eq!(azure.calls, Vec::<String>::new());
        azure.edit(&id(ARC), |body| body["properties"]["connectivityStatus"] = json!("Connected"));
        settle(&mut azure, &mut attached);
    }
    let mut nowhere = azure();
    let (reason, message) = stuck(&mut nowhere, &mut attached());
    assert_eq!(reason, "ClusterNotConnected");
    assert!(message.ends_with("and Azure says: no such resource"), "{message}");
}

#[test]
fn an_extension_that_is_not_to_be_installed_is_waited_for() {
    let mut azure = with_cluster("Connected");
    let mut attached = attached();
    attached["spec"]["kubernetes"]["extension"] = json!({"install": false});
    let (reason, message) = stuck(&mut azure, &mut attached);
    assert_eq!(reason, "DependencyNotReady");
    assert!(
        message.starts_with("the extension azureml must be installed on the cluster factory"),
        "{message}"
    );
    azure.put(&id(EXTENSION), &json!({"properties": {}}));
    settle(&mut azure, &mut attached);
}

#[test]
fn the_certificate_of_the_router_comes_from_a_secret() {
    let mut azure = with_cluster("Connected");
    let mut attached = attached();
    attached["spec"]["kubernetes"]["extension"] = json!({
        "enableInference": true, "inferenceRouterServiceType": "NodePort", "sslCname": "score.example",
        "sslCertificateRef": {"name": "certificate"},
    });
    let (reason, message) = stuck(&mut azure, &mut attached);
    assert_eq!(reason, "SecretNotFound");
    assert_eq!(message, "the Secret certificate does not exist in this namespace");
    azure.add_secret("certificate", "1", &["tls.crt", "tls.key"]);
    settle(&mut azure, &mut attached);
    assert_eq!(azure.given(&id(EXTENSION)).len(), 2);
    assert_eq!(ready(&attached).0, "Ready");
}
