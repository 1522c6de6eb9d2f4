//! What a DataAsset wants in Azure: one version of a data container.
use api::DataAsset;
use api::data_asset::DataType;
use serde_json::{Value, json};

use crate::azure::reference::{id, read, workspace};
use crate::azure::{Compiled, Facts, Refusal, Wanted};

/// Says what a DataAsset wants in Azure.
pub(crate) fn compile(object: &Value, facts: &Facts) -> Result<Compiled, Refusal> {
    let asset: DataAsset = read(object)?;
    let workspace = workspace(facts, &asset.spec.workspace_ref.name)?;
    let name = asset.spec.name.as_deref().or(asset.metadata.name.as_deref()).unwrap_or_default();
    let main =
        id(workspace.id.child("data", name).and_then(|data| data.child("versions", &asset.spec.version)))?;
    let data_type = match asset.spec.type_ {
        DataType::File => "uri_file",
        DataType::Folder => "uri_folder",
        DataType::MlTable => "mltable",
    };
    let body = json!({"properties": {
        "dataType": data_type,
        "dataUri": asset.spec.uri,
        "description": asset.spec.description,
        "tags": asset.spec.tags,
        // An archived version that is wanted again comes back.
        "isArchived": false,
    }});
    Ok(Compiled {
        wanted: vec![Wanted { archivable: true, ..Wanted::new(main.clone(), body) }],
        main,
        reads: Vec::new(),
        requires: Vec::new(),
        outputs: Vec::new(),
        exports: Vec::new(),
        revision: None,
    })
}
