//! Manifests of Computes.
use serde_json::{Value, json};

use super::{accepts, accepts_change, object, refuses, refuses_change, with};

const ARC: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Kubernetes/connectedClusters/factory";

fn cluster() -> Value {
    json!({
        "workspaceRef": {"name": "dev"},
        "type": "AmlCompute",
        "amlCompute": {"vmSize": "Standard_DS3_v2", "scaleSettings": {"maxNodeCount": 4}},
    })
}

fn instance() -> Value {
    json!({
        "workspaceRef": {"name": "dev"},
        "type": "ComputeInstance",
        "computeInstance": {"vmSize": "Standard_DS3_v2"},
    })
}

fn kubernetes() -> Value {
    json!({
        "workspaceRef": {"name": "dev"},
        "type": "Kubernetes",
        "kubernetes": {"clusterId": ARC, "extension": {"enableTraining": true}},
    })
}

fn compute(base: &Value, changes: &Value) -> Value {
    object("Compute", "cpu", &with(base, changes))
}

#[test]
fn sensible_computes_are_accepted() {
    let inference = json!({
        "enableInference": true, "inferenceRouterServiceType": "LoadBalancer",
        "internalLoadBalancerProvider": "Azure", "sslSecret": "certificate", "sslCname": "score.example",
    });
    for spec in [
        cluster(),
        with(&cluster(), &json!({"amlCompute.scaleSettings.nodeIdleTimeBeforeScaleDown": "PT5M"})),
        with(&cluster(), &json!({"identity": {"type": "SystemAssigned"}, "location": "northeurope"})),
        with(&cluster(), &json!({"amlCompute.scaleSettings.minNodeCount": 4})),
        instance(),
        with(
            &instance(),
            &json!({"computeInstance.schedules": [
                {"action": "Stop", "cron": {"expression": "0 18 * * MON-FRI"}},
                {"action": "Start", "recurrence": {"frequency": "Week", "interval": 1, "schedule": {"hours": [8], "minutes": [0]}}},
            ]}),
        ),
        kubernetes(),
        with(&kubernetes(), &json!({"kubernetes.extension": null})),
        with(&kubernetes(), &json!({"kubernetes.extension": {"install": false}})),
        with(&kubernetes(), &json!({"kubernetes.extension": inference})),
        with(
            &kubernetes(),
            &json!({"kubernetes.extension": {
                "enableInference": true, "inferenceRouterServiceType": "ClusterIP", "allowInsecureConnections": true,
                "settings": {"prometheus.prometheusSpec.replicas": "1"},
            }}),
        ),
        with(
            &kubernetes(),
            &json!({
                "kubernetes.instanceTypes": {"small": {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "nvidia.com/gpu": "1"}}}},
                "kubernetes.defaultInstanceType": "small",
            }),
        ),
        with(
            &kubernetes(),
            &json!({"kubernetes.clusterId": ARC.replace("Microsoft.Kubernetes/connectedClusters", "microsoft.containerservice/managedclusters")}),
        ),
    ] {
        accepts(&object("Compute", "cpu", &spec));
    }
}

#[test]
fn a_compute_has_exactly_the_section_of_its_type() {
    let words = "set exactly the section of the type";
    refuses(&compute(&cluster(), &json!({"amlCompute": null})), words);
    refuses(&compute(&cluster(), &json!({"computeInstance": {"vmSize": "a"}})), words);
    refuses(&compute(&cluster(), &json!({"type": "Kubernetes"})), words);
    refuses(&compute(&cluster(), &json!({"type": "HDInsight"})), "is none of");
    refuses(
        &compute(&kubernetes(), &json!({"location": "westeurope"})),
        "a Kubernetes cluster is where it is",
    );
}

#[test]
fn names_that_azure_would_refuse_are_refused() {
    refuses(&object("Compute", "2cpu", &cluster()), "metadata.name must start with a letter");
    refuses(&object("Compute", "c.p", &cluster()), "metadata.name must start with a letter");
    refuses(&object("Compute", &"c".repeat(33), &cluster()), "metadata.name must start with a letter");
    let longest = "c".repeat(25);
    accepts(&object("Compute", &longest, &cluster()));
    refuses(&object("Compute", &longest, &instance()), "must have 3 to 24 characters");
    refuses(&object("Compute", "ab", &instance()), "must have 3 to 24 characters");
    accepts(&object("Compute", &longest, &with(&instance(), &json!({"name": "anna"}))));
}

#[test]
fn nonsense_in_a_cluster_is_refused_with_a_sentence() {
    let idle = "must be an ISO 8601 duration";
    for (changes, words) in [
        (
            json!({"amlCompute.scaleSettings.minNodeCount": 5}),
            "must not be greater than scaleSettings.maxNodeCount",
        ),
        (json!({"amlCompute.scaleSettings.maxNodeCount": 0}), "minimum"),
        (json!({"amlCompute.scaleSettings.nodeIdleTimeBeforeScaleDown": "300"}), idle),
        (json!({"amlCompute.scaleSettings.nodeIdleTimeBeforeScaleDown": "five minutes"}), idle),
        (json!({"amlCompute.vmPriority": "Spot"}), "is none of"),
        (json!({"identity": {"type": "UserAssigned"}}), "which need at least one"),
        (
            json!({"identity": {"type": "SystemAssigned", "userAssignedIdentities": ["/subscriptions/s/x"]}}),
            "which need at least one",
        ),
        (
            json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": ["/subscriptions/s/x"]}}),
            "must be an id of the form",
        ),
        (json!({"workspaceRef": null}), "workspaceRef: required"),
    ] {
        refuses(&compute(&cluster(), &changes), words);
    }
}

#[test]
fn nonsense_in_an_instance_is_refused_with_a_sentence() {
    let both = json!({"action": "Stop", "cron": {"expression": "0 18 * * *"}, "recurrence": {"frequency": "Day", "interval": 1}});
    for (changes, words) in [
        (
            json!({"computeInstance.schedules": [{"action": "Stop"}]}),
            "needs either cron or recurrence, not both",
        ),
        (json!({"computeInstance.schedules": [both]}), "needs either cron or recurrence, not both"),
        (
            json!({"computeInstance.schedules": [{"action": "Stop", "cron": {"expression": "every day"}}]}),
            "must have five fields",
        ),
        (json!({"computeInstance.idleTimeBeforeShutdown": "30m"}), "must be an ISO 8601 duration"),
        (json!({"computeInstance.setupScripts": {}}), "setupScripts needs creation, startup or both"),
        (json!({"computeInstance.assignedUser": {"objectId": "anna"}}), "minLength"),
    ] {
        refuses(&compute(&instance(), &changes), words);
    }
}

#[test]
fn nonsense_in_an_attached_cluster_is_refused_with_a_sentence() {
    let inference = |more: &Value| {
        let base = json!({"enableInference": true, "inferenceRouterServiceType": "NodePort"});
        json!({"kubernetes.extension": with(&base, more)})
    };
    let limits = |limits: Value| json!({"kubernetes.instanceTypes": {"small": {"resources": {"requests": {"cpu": "1"}, "limits": limits}}}});
    for (changes, words) in [
        (
            json!({"kubernetes.clusterId": "/subscriptions/s/resourceGroups/g"}),
            "must be the id of a connected cluster",
        ),
        (json!({"kubernetes.extension": {}}), "extension needs enableTraining, enableInference or both"),
        (json!({"kubernetes.extension": {"enableInference": true}}), "needs inferenceRouterServiceType"),
        (inference(&json!({})), "needs sslCname, the host name of the certificate"),
        (inference(&json!({"sslCname": "score.example"})), "set either sslSecret or sslCertificateRef"),
        (
            inference(&json!({"sslCname": "a", "sslSecret": "b", "sslCertificateRef": {"name": "c"}})),
            "set either sslSecret or sslCertificateRef",
        ),
        (
            inference(&json!({"internalLoadBalancerProvider": "Azure"})),
            "goes with inferenceRouterServiceType: LoadBalancer",
        ),
        (json!({"kubernetes.extension.version": "1.1.66"}), "needs autoUpgradeMinorVersion: false"),
        (json!({"kubernetes.extension.settings": {"enableTraining": "True"}}), "has no field of its own"),
        (json!({"kubernetes.extension.settings": {"nodeSelector.a": "b"}}), "has no field of its own"),
        (json!({"kubernetes.defaultInstanceType": "large"}), "must be one of kubernetes.instanceTypes"),
        (limits(json!({"cpu": "500m"})), "must be at least the request"),
        (limits(json!({"cpu": "many"})), "must be a positive quantity"),
    ] {
        refuses(&compute(&kubernetes(), &changes), words);
    }
}

#[test]
fn what_makes_another_compute_can_t_be_changed() {
    let user = json!({"adminUserName": "ops", "adminUserSshPublicKey": "ssh-ed25519 AAAA"});
    let scripts = json!({"startup": {"path": "Users/anna/start.sh"}});
    for (base, changes, words) in [
        (cluster(), json!({"workspaceRef.name": "other"}), "workspaceRef, name and type can't be changed"),
        (cluster(), json!({"name": "other"}), "workspaceRef, name and type can't be changed"),
        (cluster(), json!({"amlCompute.sshUser": user}), "amlCompute.sshUser can't be changed"),
        (
            instance(),
            json!({"computeInstance.setupScripts": scripts}),
            "computeInstance.setupScripts can't be changed",
        ),
    ] {
        refuses_change(&compute(&base, &json!({})), &compute(&base, &changes), words);
    }
    refuses_change(
        &object("Compute", "cpu", &cluster()),
        &object("Compute", "cpu", &instance()),
        "type can't be changed",
    );
    let more = compute(&cluster(), &json!({"amlCompute.scaleSettings.maxNodeCount": 8}));
    accepts_change(&compute(&cluster(), &json!({})), &more);
}
