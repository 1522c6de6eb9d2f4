//! What a Compute wants in Azure: the compute itself and, for a Kubernetes cluster, the extension on it.
mod instance;
mod kubernetes;

use api::Compute;
use api::compute::{AmlCompute, ComputeSpec, PortAccess, VmPriority};
use arm::ResourceId;
use serde_json::{Value, json};

use crate::azure::reference::{id, read, workspace};
use crate::azure::{Compiled, Facts, Output, Refusal, Wanted, identity};

/// The one field of a compute that Azure changes by PATCH, and only for an AmlCompute.
const PATCHABLE: &[&str] = &["/properties/properties/scaleSettings"];

/// Says what a Compute wants in Azure.
pub(crate) fn compile(object: &Value, facts: &Facts) -> Result<Compiled, Refusal> {
    let compute: Compute = read(object)?;
    let spec = &compute.spec;
    let workspace = workspace(facts, &spec.workspace_ref.name)?;
    let name = spec.name.as_deref().or(compute.metadata.name.as_deref()).unwrap_or_default();
    let main = id(workspace.id.child("computes", name))?;
    let of = Of { spec, main, location: &workspace.location };
    if let Some(cluster) = &spec.aml_compute {
        return Ok(of.compiled("AmlCompute", &aml_compute(cluster), PATCHABLE, "Delete"));
    }
    if let Some(machine) = &spec.compute_instance {
        return Ok(of.compiled("ComputeInstance", &instance::properties(machine), &[], "Delete"));
    }
    match &spec.kubernetes {
        Some(cluster) => kubernetes::compile(&of, cluster),
        None => Err(Refusal {
            reason: api::Reason::Invalid,
            message: "set the section of the type: amlCompute, computeInstance or kubernetes".to_owned(),
        }),
    }
}

/// A compute, and where it is.
struct Of<'a> {
    spec: &'a ComputeSpec,
    main: ResourceId,
    location: &'a str,
}

impl Of<'_> {
    /// The compute alone. `action` says what becomes of its machines when it is deleted.
    fn compiled(
        &self,
        type_: &str,
        properties: &Value,
        patchable: &'static [&'static str],
        action: &str,
    ) -> Compiled {
        let spec = self.spec;
        let body = json!({
            "location": self.location,
            "tags": spec.tags,
            "identity": spec.identity.as_ref().map(identity),
            "properties": {
                "computeType": type_,
                "computeLocation": spec.location,
                "description": spec.description,
                "disableLocalAuth": spec.disable_local_auth,
                "resourceId": spec.kubernetes.as_ref().map(|cluster| &cluster.cluster_id),
                "properties": properties,
            },
        });
        let output = |(name, pointer)| Output { name, id: self.main.clone(), pointer };
        Compiled {
            wanted: vec![Wanted {
                patchable,
                delete_query: format!("underlyingResourceAction={action}"),
                ..Wanted::new(self.main.clone(), body)
            }],
            main: self.main.clone(),
            reads: Vec::new(),
            requires: Vec::new(),
            outputs: OUTPUTS.map(output).to_vec(),
            exports: Vec::new(),
            revision: None,
        }
    }
}

/// What Azure tells of a compute; each type has its own.
const OUTPUTS: [(&str, &str); 4] = [
    ("allocationState", "/properties/properties/allocationState"),
    ("currentNodeCount", "/properties/properties/currentNodeCount"),
    ("state", "/properties/properties/state"),
    ("createdOn", "/properties/createdOn"),
];

fn aml_compute(cluster: &AmlCompute) -> Value {
    let user = cluster.ssh_user.as_ref().map(|user| {
        json!({
            "adminUserName": user.admin_user_name,
            "adminUserSshPublicKey": user.admin_user_ssh_public_key,
        })
    });
    json!({
        "vmSize": cluster.vm_size,
        "vmPriority": match cluster.vm_priority {
            VmPriority::Dedicated => "Dedicated",
            VmPriority::LowPriority => "LowPriority",
        },
        "scaleSettings": {
            "minNodeCount": cluster.scale_settings.min_node_count,
            "maxNodeCount": cluster.scale_settings.max_node_count,
            "nodeIdleTimeBeforeScaleDown": cluster.scale_settings.node_idle_time_before_scale_down,
        },
        "subnet": subnet(cluster.subnet_id.as_deref()),
        "enableNodePublicIp": cluster.enable_node_public_ip,
        "remoteLoginPortPublicAccess": cluster.remote_login_port_public_access.map(|access| match access {
            PortAccess::Enabled => "Enabled",
            PortAccess::Disabled => "Disabled",
            PortAccess::NotSpecified => "NotSpecified",
        }),
        "isolatedNetwork": cluster.isolated_network,
        "userAccountCredentials": user,
    })
}

fn subnet(id: Option<&str>) -> Option<Value> {
    id.map(|id| json!({"id": id}))
}
