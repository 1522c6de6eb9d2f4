//! What the API server was asked, by whom, and what it answered: its audit log.
use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

/// One request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Who asked.
    pub user: String,
    /// What was asked for: `create`, `get`, `list`, `watch`, `patch`, `update`, `delete`, …
    pub verb: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The plural, with a subresource behind a slash.
    pub resource: String,
    /// The namespace, empty for all.
    pub namespace: String,
    /// The name, empty for lists and creates.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// When the answer was complete, in microseconds since the epoch as text that sorts by time.
    pub time: String,
}

impl Entry {
    /// Whether it could change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether it concerns a lease.
    pub fn is_lease(&self) -> bool {
        self.resource == "leases"
    }
}

/// How long the log is now, to read from there later.
pub fn position(log: &Path) -> u64 {
    std::fs::metadata(log).map_or(0, |metadata| metadata.len())
}

/// The requests of a user since a position in the log.
pub fn since(log: &Path, position: u64, user: &str) -> anyhow::Result<Vec<Entry>> {
    let entries = all_since(log, position, &format!("\"{user}\""))?;
    Ok(entries.into_iter().filter(|entry| entry.user == user).collect())
}

/// How often each user asked for what in a namespace, the most frequent first.
pub fn summary(log: &Path, position: u64, namespace: &str) -> anyhow::Result<Vec<String>> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in all_since(log, position, &format!("\"{namespace}\""))? {
        if entry.namespace == namespace && entry.is_write() {
            let request = format!("{} {} {} {}", entry.user, entry.verb, entry.resource, entry.code);
            *counts.entry(request).or_default() += 1;
        }
    }
    let mut counts: Vec<(usize, String)> = counts.into_iter().map(|(name, count)| (count, name)).collect();
    counts.sort_by(|left, right| right.cmp(left));
    Ok(counts.into_iter().map(|(count, name)| format!("{count} x {name}")).collect())
}

/// The requests whose lines hold a mark.
fn all_since(log: &Path, position: u64, mark: &str) -> anyhow::Result<Vec<Entry>> {
    let mut file = std::fs::File::open(log).with_context(|| format!("failed to open {}", log.display()))?;
    file.seek(SeekFrom::Start(position))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let lines = text.lines().filter(|line| line.contains(mark));
    // The last line may be half written.
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(events.map(|event| entry(&event)).collect())
}

fn entry(event: &Value) -> Entry {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let subresource = text(&object["subresource"]);
    let resource = text(&object["resource"]);
    Entry {
        user: text(&event["user"]["username"]),
        verb: text(&event["verb"]),
        group: text(&object["apiGroup"]),
        resource: if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") },
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        code: event["responseStatus"]["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or(0),
        time: text(&event["requestReceivedTimestamp"]),
    }
}
