//! The manifests that are planned for: from files, folders and standard input.
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;

/// A manifest, and where it stands.
pub(super) struct Document {
    pub(super) source: String,
    pub(super) object: Value,
}

/// Reads the manifests of our kinds, in order. Others are left out, and told.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| failed(path, &error))?;
            documents.extend(parse("standard input", &text)?);
            continue;
        }
        for file in files(path)? {
            let text = std::fs::read_to_string(&file).map_err(|error| failed(&file, &error))?;
            documents.extend(parse(&file.display().to_string(), &text)?);
        }
    }
    if documents.is_empty() {
        return Err(Failure::Error(format!(
            "there is no manifest of the group {} in what was given",
            api::GROUP
        )));
    }
    Ok(documents)
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Error(format!("failed to read {}: {error}", path.display()))
}

/// A file, or the manifests of a folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| failed(path, &error))? {
        let file = entry.map_err(|error| failed(path, &error))?.path();
        let is_manifest = file
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|it| extension == *it));
        if is_manifest && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The objects of our kinds in a text.
pub(super) fn parse(source: &str, text: &str) -> Result<Vec<Document>, Failure> {
    let values: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| Failure::Error(format!("{source} is not YAML: {error}")))?;
    let lists = values.into_iter().flat_map(|value| match value["items"].as_array() {
        Some(items) if value["kind"] == "List" => items.clone(),
        _ => vec![value],
    });
    let mut documents = Vec::new();
    for object in lists.filter(|value| !value.is_null()) {
        let group = format!("{}/", api::GROUP);
        if object["apiVersion"].as_str().is_some_and(|version| version.starts_with(&group)) {
            documents.push(Document { source: source.to_owned(), object });
        } else {
            let kind = object["kind"].as_str().unwrap_or("a document without a kind");
            output::progress(&format!("{source}: {kind} is left out, because it is none of {}", api::GROUP));
        }
    }
    Ok(documents)
}

/// The object, in a namespace.
pub(super) fn in_namespace(mut object: Value, default: &str) -> Value {
    if object["metadata"].is_object() && object["metadata"]["namespace"].as_str().is_none() {
        object["metadata"]["namespace"] = json!(default);
    }
    object
}

pub(super) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub(super) fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// By what other objects of the namespace find it.
pub(super) fn key(object: &Value) -> (String, String) {
    (kind(object).to_owned(), name(object).to_owned())
}
