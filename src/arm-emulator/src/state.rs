//! Everything the emulator remembers: resources, operations, soft-deleted workspaces and limits.
//!
//! Invariant: the indexes agree with the maps; only the methods here change the maps.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Milliseconds;
use crate::operation::Operation;

/// More resources than any test needs; the next is refused rather than stored.
pub(crate) const RESOURCES: usize = 200_000;
/// Finished operations beyond this are forgotten, oldest first.
const OPERATIONS: usize = 20_000;

/// One resource as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The id in ARM's spelling of types and the creator's spelling of names.
    pub(crate) id: String,
    /// The type in ARM's spelling.
    pub(crate) kind: String,
    /// The body without `id`, `name`, `type` and `systemData`, and without what is write-only.
    pub(crate) body: Value,
    /// What is write-only, by JSON pointer.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, Value>,
    pub(crate) created: Milliseconds,
    pub(crate) modified: Milliseconds,
    pub(crate) created_by: String,
    /// Which resource was created first, where the clock can't tell.
    pub(crate) sequence: u64,
}

impl Record {
    pub(crate) fn key(&self) -> String {
        self.id.to_ascii_lowercase()
    }

    pub(crate) fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or("")
    }

    /// A string of the body by JSON pointer; empty where there is none.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        text(&self.body, pointer)
    }
}

/// A string in a JSON value by pointer; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// All that is kept in memory and in the state file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    records: BTreeMap<String, Record>,
    operations: BTreeMap<String, Operation>,
    /// Deleted workspaces that still hold their names.
    pub(crate) soft_deleted: BTreeMap<String, Record>,
    /// Limits that were set, by the name of the quota.
    pub(crate) limits: BTreeMap<String, i64>,
    /// Subscription and namespace of every provider that was registered by a call.
    pub(crate) registered: BTreeSet<String>,
    pub(crate) sequence: u64,
    /// The emulator's time when this was written.
    pub(crate) time: Milliseconds,
    #[serde(skip)]
    kinds: HashMap<String, BTreeSet<String>>,
    #[serde(skip)]
    running: BTreeSet<String>,
}

impl State {
    /// Rebuilds the indexes after the state was read from a file.
    pub(crate) fn reindex(&mut self) {
        self.kinds.clear();
        for (key, record) in &self.records {
            self.kinds.entry(record.kind.to_ascii_lowercase()).or_default().insert(key.clone());
        }
        self.running =
            self.operations.values().filter(|one| one.is_running()).map(|one| one.id.clone()).collect();
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Record> {
        self.records.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Record> {
        self.records.get_mut(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn put(&mut self, record: Record) {
        let key = record.key();
        self.kinds.entry(record.kind.to_ascii_lowercase()).or_default().insert(key.clone());
        self.records.insert(key, record);
    }

    /// A number that grows with every resource.
    pub(crate) fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Removes a resource and everything below it, extensions included.
    pub(crate) fn remove(&mut self, key: &str) -> Vec<Record> {
        let below: Vec<String> = self.below(key).map(Record::key).collect();
        let mut removed = Vec::new();
        for key in below.into_iter().chain([key.to_owned()]) {
            if let Some(record) = self.records.remove(&key) {
                if let Some(keys) = self.kinds.get_mut(&record.kind.to_ascii_lowercase()) {
                    keys.remove(&key);
                }
                removed.push(record);
            }
        }
        removed
    }

    /// Everything below a resource.
    pub(crate) fn below<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a Record> + use<'a> {
        let prefix = format!("{key}/");
        let end = format!("{key}0");
        self.records.range(prefix..end).map(|(_, record)| record)
    }

    /// All resources of a type.
    pub(crate) fn of_kind<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Record> + use<'a> {
        let keys = self.kinds.get(&kind.to_ascii_lowercase());
        keys.into_iter().flatten().filter_map(|key| self.records.get(key))
    }

    pub(crate) fn operation(&self, id: &str) -> Option<&Operation> {
        self.operations.get(id)
    }

    pub(crate) fn operation_mut(&mut self, id: &str) -> Option<&mut Operation> {
        self.operations.get_mut(id)
    }

    pub(crate) fn begin(&mut self, operation: Operation) {
        self.running.insert(operation.id.clone());
        self.operations.insert(operation.id.clone(), operation);
        if self.operations.len() > OPERATIONS {
            let oldest =
                self.operations.values().filter(|one| !one.is_running()).min_by_key(|one| one.started);
            if let Some(id) = oldest.map(|one| one.id.clone()) {
                self.operations.remove(&id);
            }
        }
    }

    pub(crate) fn ended(&mut self, id: &str) {
        self.running.remove(id);
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Operation> {
        self.running.iter().filter_map(|id| self.operations.get(id))
    }

    /// Forgets everything but limits.
    pub(crate) fn clear(&mut self) {
        *self = Self { limits: std::mem::take(&mut self.limits), sequence: self.sequence, ..Self::default() };
    }
}
