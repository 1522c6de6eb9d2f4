//! The table of resource types: one row says all that the engine must know about a type.
use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::answer::Outcome;
use crate::engine::Change;

mod authorization;
mod machine_learning;
mod neighbors;

/// How a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// At once, with this status.
    Now(u16),
    /// By an operation, with this status and these headers.
    Later(u16, Shape),
}

/// Which header leads to the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    AsyncOperation,
    Location,
    Both,
}

/// What must be there before a resource can be created below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// The parent resource, if the type has one.
    Required,
    /// It is created when absent, as a version creates its container.
    Created,
    /// Nothing: the scope may be anything.
    Free,
}

/// The two names under which a provider shows its operations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) status: &'static str,
    pub(crate) results: &'static str,
    /// What precedes the workspace's GUID in the name of an operation.
    pub(crate) prefix: &'static str,
}

/// What exactly one operation at a time is allowed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exclusive {
    Itself,
    /// The ancestor with this many names: an endpoint and its deployments are one.
    Ancestor(usize),
}

pub(crate) type Rule = fn(&mut Change<'_>) -> Outcome<()>;
pub(crate) type Perform = fn(&mut Change<'_>) -> Outcome<Value>;

/// A POST or GET below a resource.
#[derive(Clone, Copy)]
pub(crate) struct Action {
    /// Empty for a POST on the resource itself.
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) reply: Reply,
    pub(crate) perform: Perform,
    /// Whether the resource itself need not exist.
    pub(crate) absent: bool,
}

impl Action {
    pub(crate) const fn post(name: &'static str, perform: Perform) -> Self {
        Self { name, method: "POST", reply: Reply::Now(200), perform, absent: false }
    }

    pub(crate) const fn get(name: &'static str, perform: Perform) -> Self {
        Self { method: "GET", ..Self::post(name, perform) }
    }

    pub(crate) const fn later(name: &'static str, perform: Perform) -> Self {
        Self { reply: Reply::Later(202, Shape::Location), ..Self::post(name, perform) }
    }

    pub(crate) const fn absent(self) -> Self {
        Self { absent: true, ..self }
    }
}

/// One resource type.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Namespace and types, in ARM's spelling.
    pub(crate) kind: &'static str,
    pub(crate) family: Family,
    /// Create and update.
    pub(crate) put: Option<(Reply, Reply)>,
    pub(crate) patch: Option<Reply>,
    /// What PATCH may hold, by pointer; everything when empty.
    pub(crate) patchable: &'static [&'static str],
    pub(crate) delete: Option<Reply>,
    /// Whether a synchronous delete answers with what was deleted.
    pub(crate) delete_returns: bool,
    pub(crate) required: &'static [&'static str],
    /// Create-only fields.
    pub(crate) fixed: &'static [&'static str],
    /// Write-only fields.
    pub(crate) secret: &'static [&'static str],
    /// Fields that the service decides: kept from the stored body, never taken from a request.
    pub(crate) read_only: &'static [&'static str],
    /// Values for absent fields, as JSON.
    pub(crate) defaults: &'static [(&'static str, &'static str)],
    /// Whether the type has `properties.provisioningState`.
    pub(crate) provisioned: bool,
    pub(crate) parent: Parent,
    pub(crate) exclusive: Exclusive,
    /// The name's pattern; everything is allowed when empty.
    pub(crate) name: &'static str,
    pub(crate) actions: &'static [Action],
    /// Checks and fills in a PUT or PATCH, before anything is stored.
    pub(crate) write: Rule,
    pub(crate) remove: Rule,
    /// Whether lists also hold what scopes above have, as role assignments do.
    pub(crate) inherited: bool,
}

#[expect(clippy::unnecessary_wraps, reason = "it stands where rules stand that can refuse")]
pub(crate) fn nothing(_: &mut Change<'_>) -> Outcome<()> {
    Ok(())
}

/// What most rows have in common: a synchronous resource with 201, 200, 200.
pub(crate) const PLAIN: Row = Row {
    kind: "",
    family: Family { status: "operationStatuses", results: "operationResults", prefix: "" },
    put: Some((Reply::Now(201), Reply::Now(200))),
    patch: None,
    patchable: &[],
    delete: Some(Reply::Now(200)),
    delete_returns: false,
    required: &["/properties"],
    fixed: &[],
    secret: &[],
    read_only: &[],
    defaults: &[],
    provisioned: false,
    parent: Parent::Required,
    exclusive: Exclusive::Itself,
    name: "",
    actions: &[],
    write: nothing,
    remove: nothing,
    inherited: false,
};

static ROWS: LazyLock<HashMap<String, &'static Row>> =
    LazyLock::new(|| rows().map(|row| (row.kind.to_ascii_lowercase(), row)).collect());

/// Every row.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    machine_learning::ROWS.iter().chain(authorization::ROWS).chain(neighbors::ROWS)
}

/// The row of a type, given in lower case.
pub(crate) fn find(kind: &str) -> Option<&'static Row> {
    ROWS.get(kind).copied()
}

/// Whether the namespace is known at all.
pub(crate) fn knows_namespace(namespace: &str) -> bool {
    let prefix = format!("{}/", namespace.to_ascii_lowercase());
    ROWS.keys().any(|kind| kind.starts_with(&prefix))
}

impl Row {
    /// The types in ARM's spelling, for the id of a new resource.
    pub(crate) fn types(&self) -> impl Iterator<Item = &'static str> {
        self.kind.split('/').skip(1)
    }

    pub(crate) fn namespace(&self) -> &'static str {
        self.kind.split('/').next().unwrap_or("")
    }
}
