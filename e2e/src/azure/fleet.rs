//! Many objects of one kind: made together, looked at together.
use std::time::Duration;

use anyhow::ensure;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::context::{JSON, MERGE, Place, conditions, manifest};
use crate::wait::until;

/// How many calls to the API server run at once.
const AT_ONCE: usize = 16;

/// A kind, as manifests and as paths name it.
#[derive(Clone, Copy, Debug)]
pub struct KindName(pub &'static str, pub &'static str);

/// `MLWorkspace`.
pub const WORKSPACE: KindName = KindName("MLWorkspace", "mlworkspaces");
/// `DataAsset`.
pub const DATA: KindName = KindName("DataAsset", "dataassets");
/// `Model`.
pub const MODEL: KindName = KindName("Model", "models");
/// `Compute`.
pub const COMPUTE: KindName = KindName("Compute", "computes");

/// Objects of one kind in one namespace.
pub struct Fleet<'a> {
    place: &'a Place,
    kind: KindName,
    /// Their names.
    pub names: Vec<String>,
}

impl<'a> Fleet<'a> {
    /// Objects by these names; none is made.
    pub fn new(place: &'a Place, kind: KindName, names: &[String]) -> Self {
        Self { place, kind, names: names.to_vec() }
    }

    /// Makes them all; each gets the spec that its name gives.
    pub async fn make(
        place: &'a Place,
        kind: KindName,
        names: &[String],
        spec: impl Fn(&str) -> Value,
    ) -> anyhow::Result<Self> {
        let fleet = Self::new(place, kind, names);
        let collection = place.own(kind.1, "");
        fleet
            .each(async |name| {
                let body = manifest(kind.0, name, &spec(name));
                place.must("POST", &collection, JSON, &body).await.map(drop)
            })
            .await?;
        Ok(fleet)
    }

    /// Gives them all a merge patch.
    pub async fn merge(&self, patch: &Value) -> anyhow::Result<()> {
        self.each(async |name| {
            self.place.must("PATCH", &self.place.own(self.kind.1, name), MERGE, patch).await.map(drop)
        })
        .await
    }

    /// Deletes them all.
    pub async fn delete(&self) -> anyhow::Result<()> {
        self.each(async |name| self.place.delete(&self.place.own(self.kind.1, name)).await).await
    }

    async fn each(&self, act: impl AsyncFn(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let all = self.names.iter().map(|name| act(name));
        stream::iter(all).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
    }

    /// Those that exist, by one list.
    pub async fn objects(&self) -> anyhow::Result<Vec<Value>> {
        let path = self.place.own(self.kind.1, "");
        let (code, mut list) = self.place.ask("GET", &path, JSON, &Value::Null).await?;
        ensure!(code == 200, "GET {path}: {code}");
        let Value::Array(mut items) = list["items"].take() else { return Ok(Vec::new()) };
        let names: std::collections::HashSet<&str> = self.names.iter().map(String::as_str).collect();
        items.retain(|item| item["metadata"]["name"].as_str().is_some_and(|name| names.contains(name)));
        Ok(items)
    }

    /// Waits until the conditions of all say this of their present specs, and gives them.
    pub async fn all_say(&self, wanted: &str, limit: Duration) -> anyhow::Result<Vec<Value>> {
        until(&format!("{wanted} of {} {}", self.names.len(), self.kind.1), limit, async || {
            let objects = self.objects().await?;
            let mut missing = objects.iter().filter(|object| !says(object, wanted));
            let others = missing.clone().count() + self.names.len() - objects.len();
            let first = missing.next().map(|it| format!("{}: {}", it["metadata"]["name"], it["status"]));
            Ok(if others == 0 { Ok(objects) } else { Err(format!("{others} do not, {}", json!(first))) })
        })
        .await
    }

    /// Waits until none exists.
    pub async fn gone(&self, limit: Duration) -> anyhow::Result<()> {
        until(&format!("the end of {} {}", self.names.len(), self.kind.1), limit, async || {
            let left = self.objects().await?;
            let first = left.first().map(|it| format!("{}: {}", it["metadata"]["name"], it["status"]));
            Ok(first.map_or(Ok(()), |first| Err(format!("{} are left, {first}", left.len()))))
        })
        .await
    }
}

/// Whether the conditions of an object say this of its present spec.
pub fn says(object: &Value, wanted: &str) -> bool {
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    let of_spec = |condition: &&Value| condition["observedGeneration"] == object["metadata"]["generation"];
    let current = json!({"status": {"conditions": all.filter(of_spec).collect::<Vec<_>>()}});
    conditions(&current).iter().any(|it| it == wanted || it.split('/').next() == Some(wanted))
}
