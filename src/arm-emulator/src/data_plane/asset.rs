//! From the names of assets to the places of their blobs.
use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Control;
use super::blobs::Place;
use crate::address::{Address, decode};
use crate::state::text;

/// An asset may name an asset, but not for ever.
const DEPTH: usize = 5;

/// Finds places for a workspace or a registry.
pub(crate) struct Finder<'a> {
    pub(crate) control: &'a Control,
    /// The id of the workspace or registry that short names belong to.
    pub(crate) home: &'a str,
    /// The address of the blob service, if there is one.
    pub(crate) endpoint: Option<&'a str>,
}

impl Finder<'_> {
    /// The place that a URI names; `collection` says what `azureml:NAME:VERSION` is: `models`, `data`, `codes`.
    pub(crate) fn find(&self, uri: &str, collection: &str) -> anyhow::Result<Place> {
        self.follow(uri, collection, 0)
    }

    fn follow(&self, uri: &str, collection: &str, depth: usize) -> anyhow::Result<Place> {
        if depth > DEPTH {
            bail!("'{uri}' leads from asset to asset without an end");
        }
        if let Some(rest) = strip(uri, "azureml://") {
            return self.azureml(rest, uri, depth);
        }
        let id = strip(uri, "azureml:").unwrap_or(uri);
        if id.starts_with("/subscriptions/") {
            return self.asset(id, uri, depth);
        }
        if let Some(rest) = strip(uri, "azureml:") {
            let (name, version) = rest
                .split_once(':')
                .or_else(|| rest.split_once('@'))
                .with_context(|| format!("'{uri}' names no version; write azureml:NAME:VERSION"))?;
            return self.asset(&format!("{}/{collection}/{name}/versions/{version}", self.home), uri, depth);
        }
        if let Some(rest) = strip(uri, "runs:/") {
            let (run, path) = rest.split_once('/').unwrap_or((rest, ""));
            return Ok(self.artifacts(run)?.child(path));
        }
        self.address(uri)
    }

    fn azureml(&self, rest: &str, uri: &str, depth: usize) -> anyhow::Result<Place> {
        let segments: Vec<&str> = rest.split('/').collect();
        let lower: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["datastores", _, "paths", ..] => {
                let store = format!("{}/datastores/{}", self.home, segments[1]);
                self.datastore(&store, &segments[3..].join("/"))
            }
            ["subscriptions", _, "resourcegroups", _, "workspaces", _, "datastores", _, "paths", ..] => {
                let store = format!(
                    "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}\
                     /datastores/{}",
                    segments[1], segments[3], segments[5], segments[7]
                );
                self.datastore(&store, &segments[9..].join("/"))
            }
            ["jobs", _, "outputs", "artifacts", "paths", ..] => {
                Ok(self.artifacts(segments[1])?.child(&segments[5..].join("/")))
            }
            ["jobs", _, "outputs", output, ..] => {
                let job = self.control.resource(&format!("{}/jobs/{}", self.home, segments[1]));
                let found =
                    job.map(|job| text(&job, &format!("/properties/outputs/{output}/uri")).to_owned());
                let found = found.filter(|found| !found.is_empty());
                let found = found.with_context(|| format!("'{uri}' names no output of a job"))?;
                let below = segments.get(5..).unwrap_or_default().join("/");
                Ok(self.follow(&found, "data", depth + 1)?.child(&below))
            }
            ["registries", ..] => {
                let found = {
                    let state = self.control.core.state();
                    crate::rules::registry::asset(&state, &segments[1..].join("/"))
                        .map(|record| record.id.clone())
                };
                self.asset(&found.with_context(|| format!("the asset '{uri}' was not found"))?, uri, depth)
            }
            ["locations", _, "workspaces", guid, ..] => {
                let workspaces = self.control.resources(crate::rules::workspace::KIND);
                let is = |one: &&Value| text(one, "/properties/workspaceId").eq_ignore_ascii_case(guid);
                let workspace = workspaces.iter().find(is);
                let workspace =
                    workspace.with_context(|| format!("the workspace of '{uri}' was not found"))?;
                let id = format!("{}/{}", text(workspace, "/id"), segments[4..].join("/"));
                self.asset(&id, uri, depth)
            }
            _ => bail!("the URI '{uri}' is not understood"),
        }
    }

    /// Where a version of an asset lies.
    fn asset(&self, id: &str, uri: &str, depth: usize) -> anyhow::Result<Place> {
        let asset = self.control.resource(id).with_context(|| format!("the asset '{uri}' was not found"))?;
        let pointers = ["/properties/modelUri", "/properties/dataUri", "/properties/codeUri"];
        let found = pointers.iter().map(|pointer| text(&asset, pointer)).find(|text| !text.is_empty());
        let found = found.with_context(|| format!("the asset '{uri}' has no URI"))?;
        let home = Address::parse(id).and_then(|address| address.ancestor(1));
        let home = home.map_or_else(|| self.home.to_owned(), |address| address.id());
        Finder { home: &home, ..*self }.follow(found, "data", depth + 1)
    }

    fn datastore(&self, id: &str, path: &str) -> anyhow::Result<Place> {
        let store = self.control.resource(id);
        let store = store.with_context(|| format!("the datastore '{id}' was not found"))?;
        let container = ["/properties/containerName", "/properties/filesystem"]
            .iter()
            .map(|pointer| text(&store, pointer))
            .find(|name| !name.is_empty());
        let container = container.with_context(|| {
            format!("the datastore '{id}' is not one of blobs; use AzureBlob or AzureDataLakeGen2")
        })?;
        Ok(Place {
            account: text(&store, "/properties/accountName").to_owned(),
            container: container.to_owned(),
            path: decode(path),
        })
    }

    /// Where a job leaves its logs and what it wrote to `./outputs`.
    pub(crate) fn artifacts(&self, job: &str) -> anyhow::Result<Place> {
        let store = format!("{}/datastores/workspaceartifactstore", self.home);
        self.datastore(&store, &format!("ExperimentRun/dcid.{job}"))
    }

    /// An address of a blob: below the service's endpoint, or at a host that names the account.
    fn address(&self, uri: &str) -> anyhow::Result<Place> {
        let plain = uri.split(['?', '#']).next().unwrap_or(uri);
        let place = |account: &str, rest: &str| {
            let (container, path) = rest.trim_start_matches('/').split_once('/').unwrap_or((rest, ""));
            let container = container.trim_matches('/').to_owned();
            Place { account: account.to_owned(), container, path: decode(path) }
        };
        let (scheme, rest) =
            plain.split_once("://").with_context(|| format!("'{uri}' is no URI of a blob"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if ["wasbs", "wasb", "abfss", "abfs"].contains(&scheme) {
            let (container, host) =
                host.split_once('@').context("write CONTAINER@ACCOUNT in front of the path")?;
            let account = host.split('.').next().unwrap_or_default();
            return Ok(place(account, &format!("{container}/{path}")));
        }
        if let Some(endpoint) = self.endpoint
            && let Some(rest) = plain.strip_prefix(endpoint).filter(|rest| rest.starts_with('/'))
        {
            return Ok(place(endpoint.rsplit('/').next().unwrap_or_default(), rest));
        }
        let labels: Vec<&str> = host.split('.').collect();
        if let [account, "blob" | "dfs", ..] = labels.as_slice() {
            return Ok(place(account, path));
        }
        if host.contains(':')
            && let Some((account, rest)) = path.split_once('/')
        {
            return Ok(place(account, rest));
        }
        bail!("'{plain}' is not the address of a blob that this emulator holds")
    }
}

fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}
