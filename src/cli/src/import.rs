//! `import`: manifests for what exists in Azure, each compared with what exists.

mod manifest;
mod reading;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use arm::ResourceId;
use plan::import::{self, Bodies, Imported};
use serde_json::Value;

use self::manifest::Manifest;
use crate::arguments::{Global, ImportOptions};
use crate::azure::{Environment, Reads};
use crate::failure::{Failure, Outcome};
use crate::output;

const WORKSPACE: &str = "Microsoft.MachineLearningServices/workspaces";
const REGISTRY: &str = "Microsoft.MachineLearningServices/registries";

/// What to give.
const USAGE: &str = "give the id of a workspace or registry: /subscriptions/S/resourceGroups/G/providers/Microsoft.MachineLearningServices/workspaces/NAME";

/// Whether there are manifests for a type.
fn is_importable(id: &ResourceId) -> bool {
    id.is_a(WORKSPACE) || id.is_a(REGISTRY)
}

/// Writes the manifests.
pub(crate) async fn run(global: &Global, options: &ImportOptions) -> Result<Outcome, Failure> {
    let id = ResourceId::parse(&options.id).map_err(|error| Failure::Usage(error.to_string()))?;
    if !is_importable(&id) {
        return Err(Failure::Usage(USAGE.to_owned()));
    }
    let environment: Environment = std::env::vars().collect();
    let reads = Reads::connect(&environment, options.azure_ca_file.as_deref())?;
    let namespace = global.namespace.as_deref().unwrap_or("default");
    let manifests = manifests(&reads, &id, options.versions, namespace).await?;
    if let Some(folder) = &options.output_dir {
        write(folder, &manifests)?;
    } else {
        let texts: Result<Vec<String>, Failure> = manifests.iter().map(Manifest::text).collect();
        output::print(&texts?.join("---\n"))?;
    }
    let exact = manifests.iter().filter(|manifest| manifest.is_exact()).count();
    output::progress(&format!(
        "{} objects, {exact} of them without any difference from what exists; they only observe until management.mode is Manage",
        manifests.len()
    ));
    Ok(Outcome::from_health(!options.strict || exact == manifests.len()))
}

fn write(folder: &Path, manifests: &[Manifest]) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::Error(format!("failed to write {}: {error}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for manifest in manifests {
        let path = folder.join(manifest.file_name());
        std::fs::write(&path, manifest.text()?).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// The manifests of a workspace or registry and of everything in it, in the order in which they are applied.
async fn manifests(
    reads: &Reads,
    id: &ResourceId,
    versions: usize,
    namespace: &str,
) -> Result<Vec<Manifest>, Failure> {
    let (mut bodies, imported) = if id.is_a(WORKSPACE) {
        let bodies = reading::workspace(reads, id, versions).await?;
        let imported = of_workspace(id, &bodies, namespace);
        (bodies, imported)
    } else {
        let bodies = reading::registry(reads, id, versions).await?;
        let imported = of_registry(id, &bodies, namespace);
        (bodies, imported)
    };
    let imported = unique(imported);
    let others: BTreeMap<(String, String), Value> =
        imported.iter().map(|it| ((it.kind().to_owned(), it.name().to_owned()), it.object.clone())).collect();
    let mut manifests = Vec::new();
    for imported in imported {
        // What is compared must have been read.
        if let Ok(compiled) = import::compile(&imported, &others, &bodies) {
            let needs: Vec<ResourceId> =
                import::needs(&compiled).filter(|id| !bodies.contains_key(*id)).cloned().collect();
            reading::add(reads, needs, &mut bodies).await?;
        }
        let compiled = import::compile(&imported, &others, &bodies);
        let proof = compiled.map(|compiled| import::proof(&compiled, &bodies));
        manifests.push(Manifest::new(imported, proof));
    }
    Ok(manifests)
}

/// Two resources may differ only in what names of objects can't hold.
fn unique(imported: Vec<Imported>) -> Vec<Imported> {
    let mut taken: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut all = Vec::new();
    for mut imported in imported {
        let count = taken.entry((imported.kind().to_owned(), imported.name().to_owned())).or_default();
        *count += 1;
        if *count > 1 {
            let name = format!("{}-{count}", imported.name());
            imported.object["metadata"]["name"] = name.into();
        }
        all.push(imported);
    }
    all
}

fn of_workspace(id: &ResourceId, bodies: &Bodies, namespace: &str) -> Vec<Imported> {
    let Some(body) = bodies.get(id) else { return Vec::new() };
    let workspace = import::workspace(id, body, bodies, namespace);
    let name = workspace.name().to_owned();
    let mut imported = vec![workspace];
    let of = |type_: &str| -> Vec<(&ResourceId, &Value)> {
        let type_ = format!("{}/{type_}", id.type_());
        bodies.iter().filter(|(it, _)| it.is_a(&type_)).collect()
    };
    let mut left_out = Vec::new();
    let mut keep = |id: &ResourceId, made: Option<Imported>, why: &str| match made {
        Some(made) => imported.push(made),
        None => left_out.push(format!("{id}: {why}")),
    };
    for (id, body) in of("computes") {
        keep(id, import::compute(id, body, &name, namespace), "a compute of a type that no manifest has");
    }
    for (id, body) in of("models") {
        let model = import::model(id, body, bodies, ("workspaceRef", &name), namespace);
        keep(id, model, "it is archived");
    }
    for (id, body) in of("data/versions") {
        let data = import::data_asset(id, body, &name, namespace);
        keep(id, data, "it is archived, or of a type that no manifest has");
    }
    for (id, body) in of("onlineEndpoints").into_iter().chain(of("batchEndpoints")) {
        let endpoint = import::endpoint(id, body, bodies, &name, namespace);
        keep(id, endpoint, "it has no deployment of a model");
    }
    imported[0].notes.extend(left_out);
    imported
}

fn of_registry(id: &ResourceId, bodies: &Bodies, namespace: &str) -> Vec<Imported> {
    let Some(body) = bodies.get(id) else { return Vec::new() };
    let registry = import::registry(id, body, namespace);
    let name = registry.name().to_owned();
    let mut imported = vec![registry];
    let type_ = format!("{}/models", id.type_());
    for (id, body) in bodies.iter().filter(|(it, _)| it.is_a(&type_)) {
        imported.extend(import::model(id, body, bodies, ("registryRef", &name), namespace));
    }
    imported
}
