//! What has to be read before a plan can be made.
use std::collections::{BTreeMap, BTreeSet};

use api::azure::AzureStatus;
use arm::ResourceId;

use super::wanted::{Compiled, Read};
use super::{Polled, Sight, tracked_ids};

/// What has to be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Missing {
    /// Resources.
    pub ids: BTreeSet<ResourceId>,
    /// Children of a type.
    pub lists: Vec<(ResourceId, &'static str)>,
}

impl Missing {
    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.lists.is_empty()
    }
}

/// What has to be read: what is wanted, what is asked for, what the status remembers. A resource on which an operation
/// runs is left alone, unless the kind asks for it.
pub fn missing(
    compiled: Option<&Compiled>,
    status: &AzureStatus,
    seen: &BTreeMap<ResourceId, Sight>,
    polled: &BTreeMap<ResourceId, Polled>,
    listed: &BTreeSet<(ResourceId, &'static str)>,
) -> Missing {
    let mut missing = Missing { ids: tracked_ids(status).into_iter().collect(), lists: Vec::new() };
    missing.ids.extend(compiled.into_iter().flat_map(Compiled::ids).cloned());
    missing.ids.retain(|id| !matches!(polled.get(id), Some(Polled::Running(_))));
    for read in compiled.map(|compiled| &compiled.reads[..]).unwrap_or_default() {
        match read {
            Read::Get(id) => {
                missing.ids.insert(id.clone());
            }
            Read::List(parent, type_) => {
                if !listed.contains(&(parent.clone(), *type_)) {
                    missing.lists.push((parent.clone(), *type_));
                }
            }
        }
    }
    missing.ids.retain(|id| !seen.contains_key(id));
    missing
}
