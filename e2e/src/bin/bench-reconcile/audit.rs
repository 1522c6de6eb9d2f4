//! The operator's requests, from the API server's audit log.
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde_json::Value;

/// Requests, leases aside, in the order in which they were answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(Vec<Request>);

#[derive(Clone, Debug)]
struct Request {
    verb: String,
    resource: String,
    name: String,
}

impl Requests {
    /// Every request of the operator's so far.
    pub(crate) fn read(audit_log: &Path) -> anyhow::Result<Self> {
        let mut requests = Vec::new();
        for line in BufReader::new(std::fs::File::open(audit_log)?).lines() {
            // The last line may be half written.
            let Ok(event) = serde_json::from_str::<Value>(&line?) else { break };
            let text =
                |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let ended = text("/stage") == "ResponseComplete" && text("/user/username") == "mlops-operator";
            let resource = text("/objectRef/resource");
            if ended
                && resource != "leases"
                && !resource.is_empty()
                && !matches!(text("/verb").as_str(), "list" | "watch")
            {
                let subresource = text("/objectRef/subresource");
                let resource =
                    if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
                requests.push(Request { verb: text("/verb"), resource, name: text("/objectRef/name") });
            }
        }
        Ok(Self(requests))
    }

    /// Those after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self(self.0[earlier.0.len()..].to_vec())
    }

    /// Those about other objects than `name`.
    pub(crate) fn of_others(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|request| !request.name.starts_with(name)).cloned().collect())
    }

    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        self.0.len()
    }

    /// How many of them write.
    pub(crate) fn writes(&self) -> usize {
        self.0.iter().filter(|request| crate::is_write(&request.verb)).count()
    }

    /// How many there are, by verb and resource.
    pub(crate) fn by_verb(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.0 {
            *counts.entry(format!("{} {}", request.verb, request.resource)).or_default() += 1;
        }
        counts
    }
}
