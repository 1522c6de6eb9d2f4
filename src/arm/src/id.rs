//! Resource ids: paths that name a resource, compared without regard to case.
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// The id of a subscription, resource group or resource, such as
/// `/subscriptions/S/resourceGroups/G/providers/Microsoft.MachineLearningServices/workspaces/W`.
///
/// Ids are equal when they differ in case only, as Azure Resource Manager compares them.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId(String);

/// A text that is not a resource id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not a resource id: {problem}")]
pub struct InvalidResourceId {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl ResourceId {
    /// Reads an id; a slash at its end is dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidResourceId> {
        let invalid = |problem| InvalidResourceId { text: text.to_owned(), problem };
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let path = trimmed.strip_prefix('/').ok_or_else(|| invalid("it must begin with /subscriptions/"))?;
        if path.chars().any(|it| it.is_whitespace() || it.is_control() || "?#%\\<>&".contains(it)) {
            return Err(invalid("it holds a character that no id has"));
        }
        let segments: Vec<&str> = path.split('/').collect();
        if segments.iter().any(|segment| segment.is_empty() || *segment == "." || *segment == "..") {
            return Err(invalid("it has an empty segment, `.` or `..`"));
        }
        let mut rest = &segments[..];
        rest =
            take_pair(rest, "subscriptions").ok_or_else(|| invalid("it must begin with /subscriptions/"))?;
        rest = take_pair(rest, "resourceGroups").unwrap_or(rest);
        while !rest.is_empty() {
            let after = take_pair(rest, "providers").ok_or_else(|| invalid("/providers/ is expected"))?;
            let end = after.iter().position(|it| it.eq_ignore_ascii_case("providers")).unwrap_or(after.len());
            if end == 0 || end % 2 != 0 {
                return Err(invalid("each type must be followed by a name"));
            }
            rest = &after[end..];
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The id of a resource group.
    pub fn resource_group_of(subscription: &str, resource_group: &str) -> Result<Self, InvalidResourceId> {
        Self::parse(&format!("/subscriptions/{subscription}/resourceGroups/{resource_group}"))
    }

    /// The id of a resource of this scope: `type_` is such as `Microsoft.Insights/diagnosticSettings`.
    pub fn with_provider(&self, type_: &str, name: &str) -> Result<Self, InvalidResourceId> {
        Self::parse(&format!("{self}/providers/{type_}/{name}"))
    }

    /// The id of a child: `type_` is such as `computes`.
    pub fn child(&self, type_: &str, name: &str) -> Result<Self, InvalidResourceId> {
        Self::parse(&format!("{self}/{type_}/{name}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.trim_start_matches('/').split('/')
    }

    /// The subscription's id.
    pub fn subscription(&self) -> &str {
        self.segments().nth(1).unwrap_or_default()
    }

    /// The name of the resource group, if it is in one.
    pub fn resource_group(&self) -> Option<&str> {
        let mut segments = self.segments().skip(2);
        let is_group = segments.next()?.eq_ignore_ascii_case("resourceGroups");
        if is_group { segments.next() } else { None }
    }

    /// The name of the resource itself.
    pub fn name(&self) -> &str {
        self.segments().next_back().unwrap_or_default()
    }

    /// The full type, such as `Microsoft.MachineLearningServices/workspaces/computes`.
    pub fn type_(&self) -> String {
        let segments: Vec<&str> = self.segments().collect();
        let provider = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"));
        match provider {
            Some(at) => {
                let types = segments[at + 2..].iter().step_by(2);
                std::iter::once(&segments[at + 1]).chain(types).copied().collect::<Vec<_>>().join("/")
            }
            None if segments.len() > 2 => "Microsoft.Resources/resourceGroups".to_owned(),
            None => "Microsoft.Resources/subscriptions".to_owned(),
        }
    }

    /// Whether it is of a type, without regard to case.
    pub fn is_a(&self, type_: &str) -> bool {
        self.type_().eq_ignore_ascii_case(type_)
    }

    /// The resource, resource group or subscription that it belongs to; `None` for a subscription.
    pub fn parent(&self) -> Option<Self> {
        let segments: Vec<&str> = self.segments().collect();
        let keep = segments.len().checked_sub(2)?;
        let end =
            if keep >= 2 && segments[keep - 2].eq_ignore_ascii_case("providers") { keep - 2 } else { keep };
        (end >= 2).then(|| Self(format!("/{}", segments[..end].join("/"))))
    }

    /// The name of the ancestor, or of itself, whose last type is `type_`, such as `workspaces`.
    pub fn ancestor(&self, type_: &str) -> Option<Self> {
        let last = self.type_();
        if last.rsplit('/').next().is_some_and(|it| it.eq_ignore_ascii_case(type_)) {
            return Some(self.clone());
        }
        self.parent()?.ancestor(type_)
    }
}

fn take_pair<'a>(segments: &'a [&'a str], keyword: &str) -> Option<&'a [&'a str]> {
    match segments {
        [first, _, rest @ ..] if first.eq_ignore_ascii_case(keyword) => Some(rest),
        _ => None,
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ResourceId {}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        let lower = |id: &'_ Self| id.0.to_ascii_lowercase();
        lower(self).cmp(&lower(other))
    }
}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl TryFrom<String> for ResourceId {
    type Error = InvalidResourceId;

    fn try_from(text: String) -> Result<Self, InvalidResourceId> {
        Self::parse(&text)
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPUTE: &str = "/subscriptions/s1/resourcegroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/computes/cpu";

    #[test]
    fn an_id_tells_its_parts() {
        let id = ResourceId::parse(COMPUTE).unwrap();
        assert_eq!((id.subscription(), id.resource_group(), id.name()), ("s1", Some("g"), "cpu"));
        assert!(id.is_a("microsoft.machinelearningservices/workspaces/computes"));
        let workspace = id.parent().unwrap();
        assert_eq!(workspace.name(), "w");
        assert_eq!(id.ancestor("workspaces"), Some(workspace.clone()));
        let group = workspace.parent().unwrap();
        assert!(group.is_a("Microsoft.Resources/resourceGroups"));
        assert_eq!(group.parent().unwrap().as_str(), "/subscriptions/s1");
        assert_eq!(group.parent().unwrap().parent(), None);
    }

    #[test]
    fn an_extension_of_a_resource_has_its_own_type() {
        let id = ResourceId::parse(COMPUTE).unwrap();
        let setting =
            id.parent().unwrap().with_provider("Microsoft.Insights/diagnosticSettings", "d").unwrap();
        assert!(setting.is_a("Microsoft.Insights/diagnosticSettings"));
        assert_eq!(setting.parent(), id.parent());
    }

    #[test]
    fn ids_that_differ_in_case_are_equal() {
        let upper = ResourceId::parse(&COMPUTE.replace("resourcegroups", "resourceGroups")).unwrap();
        assert_eq!(upper, ResourceId::parse(COMPUTE).unwrap());
        assert_eq!(upper.cmp(&ResourceId::parse(COMPUTE).unwrap()), Ordering::Equal);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let refused = [
            "",
            "/",
            "subscriptions/s",
            "/subscriptions",
            "/subscriptions/s/providers/P",
            "/subscriptions/s/x/y",
            "/subscriptions/s/providers/P/t",
            "/subscriptions/s/providers/P/t/n/c",
            "/subscriptions/s?x=1",
            "/subscriptions/../providers/P/t/n",
            "/subscriptions//resourceGroups/g",
            "/subscriptions/a b",
            "https://management.azure.com/subscriptions/s",
        ];
        for text in refused {
            assert!(ResourceId::parse(text).is_err(), "{text}");
        }
    }
}
