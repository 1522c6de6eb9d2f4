//! The address of a resource, a collection or an action, read from the path of a request.
//!
//! Invariant: comparing `key()`s compares addresses as ARM does, without regard to case.

/// A path read as ARM reads it: a scope, a provider's namespace, and pairs of a type and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// What stands before the last `/providers/`, without a slash at its end; empty for the tenant.
    pub(crate) scope: String,
    pub(crate) namespace: String,
    pub(crate) types: Vec<String>,
    pub(crate) names: Vec<String>,
}

impl Address {
    /// `None` where the path names no provider.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let at = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"))?;
        let (scope, rest) = segments.split_at(at);
        let namespace = decode(rest.get(1)?);
        let mut types = Vec::new();
        let mut names = Vec::new();
        for (index, segment) in rest.iter().skip(2).enumerate() {
            if index % 2 == 0 { &mut types } else { &mut names }.push(decode(segment));
        }
        if types.is_empty() {
            return None;
        }
        let scope = scope.iter().fold(String::new(), |path, segment| path + "/" + &decode(segment));
        Some(Self { scope: canonical_scope(&scope), namespace, types, names })
    }

    /// Whether a single resource is named, rather than a collection or an action.
    pub(crate) fn is_resource(&self) -> bool {
        self.types.len() == self.names.len()
    }

    /// The type as in the tables, in lower case: `microsoft.machinelearningservices/workspaces/jobs`.
    pub(crate) fn kind(&self) -> String {
        format!("{}/{}", self.namespace, self.types.join("/")).to_ascii_lowercase()
    }

    /// The id as it was written.
    pub(crate) fn id(&self) -> String {
        let mut id = format!("{}/providers/{}", self.scope, self.namespace);
        for (index, kind) in self.types.iter().enumerate() {
            id.push('/');
            id.push_str(kind);
            if let Some(name) = self.names.get(index) {
                id.push('/');
                id.push_str(name);
            }
        }
        id
    }

    pub(crate) fn key(&self) -> String {
        self.id().to_ascii_lowercase()
    }

    pub(crate) fn name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    /// The resource above: what is left without the last pair, or the resource that an extension is about.
    pub(crate) fn parent(&self) -> Option<Self> {
        if self.types.len() > 1 {
            let mut parent = self.clone();
            parent.types.pop();
            parent.names.truncate(parent.types.len());
            return Some(parent);
        }
        Self::parse(&self.scope).filter(Self::is_resource)
    }

    /// The resource that an action such as `listKeys` is asked of, and the action.
    pub(crate) fn split_action(&self) -> Option<(Self, String)> {
        if self.is_resource() || self.types.len() < 2 {
            return None;
        }
        let mut target = self.clone();
        let action = target.types.pop()?;
        Some((target, action))
    }

    /// The resource of the same chain that has `depth` names: the workspace of a deployment, say.
    pub(crate) fn ancestor(&self, depth: usize) -> Option<Self> {
        if self.names.len() < depth || depth == 0 {
            return None;
        }
        let mut found = self.clone();
        found.types.truncate(depth);
        found.names.truncate(depth);
        Some(found)
    }

    /// A resource below this one.
    pub(crate) fn child(&self, kind: &str, name: &str) -> Self {
        let mut child = self.clone();
        child.types.push(kind.to_owned());
        child.names.push(name.to_owned());
        child
    }

    pub(crate) fn subscription(&self) -> &str {
        part(&self.scope, "subscriptions")
    }

    pub(crate) fn resource_group(&self) -> &str {
        part(&self.scope, "resourceGroups")
    }
}

/// The segment after `name` in a scope; empty where there is none.
pub(crate) fn part<'a>(scope: &'a str, name: &str) -> &'a str {
    let mut segments = scope.split('/');
    segments.find(|segment| segment.eq_ignore_ascii_case(name));
    segments.next().unwrap_or("")
}

/// A segment of a path without its percent signs.
pub(crate) fn decode(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// Whether `scope` is `id` or lies above it. Both in lower case.
pub(crate) fn covers(scope: &str, id: &str) -> bool {
    let scope = scope.trim_end_matches('/');
    scope.is_empty() || id.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The two words that every id begins with, in ARM's own spelling.
fn canonical_scope(scope: &str) -> String {
    let words = ["subscriptions", "resourceGroups", "providers"];
    let spelled: Vec<String> = scope
        .split('/')
        .enumerate()
        .map(|(index, segment)| {
            let word = words.iter().find(|word| index % 2 == 1 && word.eq_ignore_ascii_case(segment));
            word.map_or_else(|| segment.to_owned(), |word| (*word).to_owned())
        })
        .collect();
    spelled.join("/")
}

#[cfg(test)]
mod tests;
