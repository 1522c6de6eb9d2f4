//! From documents to the table: each is taken in by itself, and one that is not valid leaves its predecessor in force.
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::Route;
use crate::state::State;
use crate::table::{Endpoint, Table};

/// A change of the documents.
#[derive(Clone, Debug)]
pub enum Change {
    /// These are all.
    All(Vec<(String, String)>),
    /// A document is new or another than before.
    Put(String, String),
    /// These are all whose names begin so.
    Under(String, Vec<(String, String)>),
}

/// The documents by their names.
pub struct Registry {
    state: Arc<State>,
    documents: BTreeMap<String, Document>,
    refused: BTreeSet<String>,
    has_put: bool,
}

struct Document {
    text: String,
    endpoint: Option<Arc<Endpoint>>,
}

impl Registry {
    /// A registry that has seen nothing.
    pub fn new(state: Arc<State>) -> Self {
        Self { state, documents: BTreeMap::new(), refused: BTreeSet::new(), has_put: false }
    }

    /// Takes changes in and puts a table into force if anything is another than before.
    pub fn apply(&mut self, changes: Vec<Change>) {
        // The first look at a source counts even when there is nothing in it.
        let mut changed = !self.has_put;
        for change in changes {
            changed |= match change {
                Change::Put(name, text) => self.put(name, text),
                Change::All(documents) => self.replace("", documents),
                Change::Under(prefix, documents) => self.replace(&prefix, documents),
            };
        }
        if changed {
            self.has_put = true;
            let table = self.table();
            self.state.put(table);
        }
    }

    /// Returns whether the table changes.
    fn replace(&mut self, prefix: &str, documents: Vec<(String, String)>) -> bool {
        let names: BTreeSet<&String> = documents.iter().map(|(name, _)| name).collect();
        let before = self.documents.len();
        self.documents.retain(|name, _| !name.starts_with(prefix) || names.contains(name));
        let gone = before != self.documents.len();
        documents.into_iter().fold(gone, |changed, (name, text)| self.put(name, text) || changed)
    }

    /// Returns whether the table changes.
    fn put(&mut self, name: String, text: String) -> bool {
        if self.documents.get(&name).is_some_and(|document| document.text == text) {
            return false;
        }
        let route = Route::parse(&text);
        let former = self.documents.remove(&name).and_then(|document| document.endpoint);
        let endpoint = match route {
            Ok(route) => {
                // A document that moves to another name inherits from the endpoint in force.
                let in_force = self.state.table().endpoints.get(&route.key()).map(Arc::clone);
                let former = former.filter(|former| *former.key == *route.key()).or(in_force);
                Some(Arc::new(Endpoint::new(route, former.as_deref())))
            }
            Err(error) => {
                tracing::error!(
                    document = name,
                    error,
                    "a routing document is refused; its predecessor stays"
                );
                self.state.metrics.config_error("route");
                self.documents.insert(name, Document { text, endpoint: former });
                return false;
            }
        };
        self.documents.insert(name, Document { text, endpoint });
        true
    }

    /// The table of all valid documents. What two claim belongs to the first by name.
    fn table(&mut self) -> Table {
        let mut claims: BTreeMap<&str, &str> = BTreeMap::new();
        let mut refused = BTreeSet::new();
        let mut table =
            Table { endpoints: HashMap::with_capacity(self.documents.len()), hosts: HashMap::new() };
        for (name, document) in &self.documents {
            let Some(endpoint) = &document.endpoint else { continue };
            match claims.entry(&endpoint.key) {
                Entry::Occupied(first) => {
                    refused.insert(format!("{name} describes {}, as {} does", endpoint.key, first.get()));
                    continue;
                }
                Entry::Vacant(place) => _ = place.insert(name),
            }
            table.endpoints.insert(endpoint.key.to_string(), Arc::clone(endpoint));
            for host in &endpoint.route.hosts {
                if let Some(other) = table.hosts.get(host) {
                    refused.insert(format!("{name} claims the host {host}, which is {}'s", other.key));
                } else {
                    table.hosts.insert(host.clone(), Arc::clone(endpoint));
                }
            }
        }
        for claim in refused.difference(&self.refused) {
            tracing::error!(claim, "a routing document claims what another has; remove one of the two");
            self.state.metrics.config_error("claim");
        }
        self.refused = refused;
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str, host: &str, address: &str) -> String {
        serde_json::json!({
            "namespace": "team", "name": name, "hosts": [host],
            "revisions": [{"name": "a", "address": address, "weight": 1}],
        })
        .to_string()
    }

    fn put(name: &str, text: String) -> Vec<Change> {
        vec![Change::Put(name.to_owned(), text)]
    }

    fn address(state: &State, key: &str) -> Option<String> {
        state.table().endpoints.get(key).map(|endpoint| endpoint.route.revisions[0].address.clone())
    }

    fn registry() -> (Arc<State>, Registry) {
        let state = Arc::new(State::for_tests());
        (Arc::clone(&state), Registry::new(state))
    }

    #[test]
    fn an_invalid_document_keeps_the_previous_one_and_is_counted() {
        let (state, mut registry) = registry();
        registry.apply(put("one.json", document("churn", "c.example", "a:1")));
        registry.apply(put("one.json", "{".to_owned()));
        registry.apply(put("two.json", "{}".to_owned()));
        assert_eq!(address(&state, "team/churn").as_deref(), Some("a:1"));
        assert!(
            state.metrics.text().unwrap().contains("mlops_gateway_config_errors_total{kind=\"route\"} 2")
        );
        registry.apply(put("one.json", document("churn", "c.example", "a:2")));
        assert_eq!(address(&state, "team/churn").as_deref(), Some("a:2"));
    }

    #[test]
    fn what_two_documents_claim_belongs_to_the_first_until_it_goes() {
        let (state, mut registry) = registry();
        let all = |documents: &[(&str, String)]| {
            vec![Change::All(
                documents.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect(),
            )]
        };
        let first = ("a.json", document("churn", "c.example", "a:1"));
        let second = ("b.json", document("churn", "c.example", "b:1"));
        let thief = ("c.json", document("thief", "c.example", "c:1"));
        registry.apply(all(&[first, second.clone(), thief.clone()]));
        assert_eq!(address(&state, "team/churn").as_deref(), Some("a:1"));
        assert_eq!(&*state.table().hosts["c.example"].key, "team/churn");
        assert!(
            state.metrics.text().unwrap().contains("mlops_gateway_config_errors_total{kind=\"claim\"} 2")
        );
        registry.apply(all(&[second, thief]));
        assert_eq!(address(&state, "team/churn").as_deref(), Some("b:1"));
    }

    #[test]
    fn what_did_not_change_is_taken_over_and_the_gone_is_gone() {
        let (state, mut registry) = registry();
        registry.apply(put("map/a.json", document("churn", "c.example", "a:1")));
        let before = Arc::clone(&state.table().endpoints["team/churn"].targets[0]);
        registry.apply(put("map/a.json", document("churn", "d.example", "a:1")));
        assert!(Arc::ptr_eq(&before, &state.table().endpoints["team/churn"].targets[0]));
        assert!(!state.table().hosts.contains_key("c.example"));
        registry.apply(vec![Change::Under("map/".to_owned(), Vec::new())]);
        assert!(state.table().endpoints.is_empty());
    }

    #[test]
    fn changes_of_one_moment_are_taken_in_their_order() {
        let (state, mut registry) = registry();
        let under = |documents: &[(&str, &str)]| {
            let documents = documents.iter().map(|(name, address)| {
                (format!("map/{name}"), document(name, &format!("{name}.example"), address))
            });
            Change::Under("map/".to_owned(), documents.collect())
        };
        let tables = state.metrics.tables.get();
        registry.apply(vec![under(&[("one", "a:1"), ("two", "a:1")]), under(&[("two", "a:2")])]);
        assert_eq!(address(&state, "team/one"), None);
        assert_eq!(address(&state, "team/two").as_deref(), Some("a:2"));
        assert_eq!(state.metrics.tables.get(), tables + 1, "they make one table");
    }
}
