//! What `import` reads of Azure: a workspace or registry, and everything in it.
use arm::ResourceId;
use futures::{StreamExt as _, stream};
use plan::azure::Sight;
use plan::import::{self, Bodies};
use serde_json::Value;

use crate::azure::Reads;
use crate::failure::Failure;

/// How many reads run at once.
const READS: usize = 8;

/// What stands directly in a workspace.
const PARTS: [&str; 8] = [
    "outboundRules",
    "datastores",
    "connections",
    "computes",
    "models",
    "data",
    "onlineEndpoints",
    "batchEndpoints",
];

/// What stands in each of those, and whether there may be very many.
const PARTS_OF_PARTS: [(&str, &str, bool); 4] = [
    ("models", "versions", true),
    ("data", "versions", true),
    ("onlineEndpoints", "deployments", false),
    ("batchEndpoints", "deployments", false),
];

/// A workspace and everything in it.
pub(super) async fn workspace(reads: &Reads, id: &ResourceId, versions: usize) -> Result<Bodies, Failure> {
    let mut bodies = main(reads, id).await?;
    for part in PARTS {
        bodies.extend(reads.list(id, part).await?);
    }
    for setting in reads.list(id, "providers/Microsoft.Insights/diagnosticSettings").await? {
        bodies.insert(setting.0, setting.1);
    }
    children(reads, id, versions, &mut bodies).await?;
    code(reads, &mut bodies).await?;
    Ok(bodies)
}

/// A registry and its models.
pub(super) async fn registry(reads: &Reads, id: &ResourceId, versions: usize) -> Result<Bodies, Failure> {
    let mut bodies = main(reads, id).await?;
    bodies.extend(reads.list(id, "models").await?);
    children(reads, id, versions, &mut bodies).await?;
    code(reads, &mut bodies).await?;
    Ok(bodies)
}

async fn main(reads: &Reads, id: &ResourceId) -> Result<Bodies, Failure> {
    match reads.get(id).await? {
        Sight::Present(body) => Ok([(id.clone(), body)].into()),
        Sight::Absent => Err(Failure::Error(format!(
            "there is no {id}: correct the id, or use an identity that may read it"
        ))),
    }
}

async fn children(
    reads: &Reads,
    main: &ResourceId,
    versions: usize,
    bodies: &mut Bodies,
) -> Result<(), Failure> {
    let mut lists = Vec::new();
    for (part, type_, is_bounded) in PARTS_OF_PARTS {
        let part = format!("{}/{part}", main.type_());
        let parents = bodies.keys().filter(|id| id.is_a(&part));
        lists.extend(parents.map(|id| (id.clone(), type_, is_bounded)));
    }
    let lists = lists.into_iter().map(|(id, type_, is_bounded)| async move {
        reads.list(&id, type_).await.map(|found| if is_bounded { newest(found, versions) } else { found })
    });
    let found: Vec<_> = stream::iter(lists).buffered(READS).collect().await;
    for found in found {
        bodies.extend(found?);
    }
    Ok(())
}

/// The newest of many, by their numbers or else by when they were made.
fn newest(mut found: Vec<(ResourceId, Value)>, most: usize) -> Vec<(ResourceId, Value)> {
    found.sort_by_cached_key(|(id, body)| {
        let made = body.pointer("/systemData/createdAt").and_then(Value::as_str).unwrap_or_default();
        std::cmp::Reverse((id.name().parse::<u64>().unwrap_or_default(), made.to_owned()))
    });
    found.truncate(most);
    found
}

/// The code that versions of models name.
async fn code(reads: &Reads, bodies: &mut Bodies) -> Result<(), Failure> {
    let needed: Vec<ResourceId> = bodies.iter().filter_map(|(id, body)| import::code_of(id, body)).collect();
    add(reads, needed, bodies).await
}

/// Reads further resources; those that do not exist are left out.
pub(super) async fn add(reads: &Reads, ids: Vec<ResourceId>, bodies: &mut Bodies) -> Result<(), Failure> {
    let gets = ids.into_iter().map(|id| async move { (reads.get(&id).await, id) });
    let found: Vec<_> = stream::iter(gets).buffered(READS).collect().await;
    for (sight, id) in found {
        if let Sight::Present(body) = sight? {
            bodies.insert(id, body);
        }
    }
    Ok(())
}
