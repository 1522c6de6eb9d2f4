//! Where a model comes from: a path, a folder with one model, or an address; and how an address is shown to people.
//!
//! Invariant: an address is shown without its query, which may hold a signature, and never has a user or a password.
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::azure::Blob;

/// The forms of a model's URI that this server takes.
const FORMS: &str = "a mounted path, file://, https://, http://, az:// or abfss://";

/// A model's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder that holds one model.
    Local(PathBuf),
    /// An `http` or `https` address.
    Remote(Url),
    /// A blob of Azure Storage, or a folder of them.
    Blob(Box<Blob>),
}

impl Source {
    /// Parses a URI or a path; an address below `endpoint` is that of a blob.
    pub fn parse(uri: &str, endpoint: Option<&Url>) -> Result<Self, String> {
        if uri.is_empty() {
            return Err(format!("the model URI is empty; give {FORMS}"));
        }
        let Some((scheme, _)) = uri.split_once("://") else {
            return Ok(Self::Local(PathBuf::from(uri)));
        };
        // The parser drops some of them without a word, and what is left may be another host.
        if uri.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(
                "the model URI holds a space or a control character; remove it, or write %20".to_owned()
            );
        }
        // The parser's own errors don't repeat the address.
        let url = Url::parse(uri).map_err(|error| format!("the model URI is not a URI: {error}"))?;
        match url.scheme() {
            "file" => url.to_file_path().map(Self::Local).map_err(|()| {
                "a file URI has no host and an absolute path, like file:///models/a.onnx".to_owned()
            }),
            "http" | "https" => {
                refuse_credentials(&url)?;
                let blob = endpoint.and_then(|endpoint| Blob::at_endpoint(&url, endpoint));
                match blob.or_else(|| Blob::of_address(&url)) {
                    Some(blob) => blob.map(|blob| Self::Blob(Box::new(blob))),
                    None => Ok(Self::Remote(url)),
                }
            }
            "az" | "abfss" => Blob::parse(&url).map(|blob| Self::Blob(Box::new(blob))),
            _ => Err(format!("the scheme `{scheme}` is not supported by this server; use {FORMS}")),
        }
    }

    /// How the source is shown in logs and messages.
    pub fn shown(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Remote(url) => shown(url),
            Self::Blob(blob) => blob.uri.clone(),
        }
    }

    /// A name for the artefact's file: the last segment of the path, if that is harmless.
    pub fn file_name(&self) -> String {
        let name = match self {
            Self::Local(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Self::Remote(url) => url.path().rsplit('/').next().map(str::to_owned),
            Self::Blob(blob) => blob.path.filename().map(str::to_owned),
        };
        let harmless = |name: &String| {
            let allowed = |character: char| character.is_ascii_alphanumeric() || "._-+@=".contains(character);
            !name.is_empty() && !name.starts_with('.') && name.len() <= 200 && name.chars().all(allowed)
        };
        name.filter(harmless).unwrap_or_else(|| "model.onnx".to_owned())
    }
}

/// Refuses an address with a user or a password: it would end in logs, status and metrics.
pub fn refuse_credentials(url: &Url) -> Result<(), String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(());
    }
    Err("the model URI holds a user or a password; remove it, and use a signed address or an init container"
        .to_owned())
}

/// An address without its query and fragment.
pub fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    if url.query().is_some() { format!("{shown}?<hidden>") } else { shown.to_string() }
}

/// The model file of a path: the file itself, or the one `.onnx` file of a folder.
pub fn model_file(path: &Path) -> Result<PathBuf, String> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        format!("{} can't be read: {error}; check the path and the volume's mount", path.display())
    })?;
    if !metadata.is_dir() {
        return Ok(path.to_owned());
    }
    let entries = std::fs::read_dir(path)
        .map_err(|error| format!("the folder {} can't be listed: {error}", path.display()))?;
    let mut models: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .collect();
    models.sort();
    match models.as_slice() {
        [model] => Ok(model.clone()),
        [] => {
            Err(format!("the folder {} has no .onnx file; give the path of the model file", path.display()))
        }
        [first, second, ..] => Err(format!(
            "the folder {} has more than one .onnx file ({} and {}); give the path of the model file",
            path.display(),
            first.display(),
            second.display()
        )),
    }
}
