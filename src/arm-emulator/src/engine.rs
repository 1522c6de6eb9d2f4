//! The engine: reads the table, and answers any call on any resource by it.
use serde_json::Value;

use crate::address::{Address, covers};
use crate::answer::{Answer, Failure, Outcome};
use crate::call::Call;
use crate::clock::Milliseconds;
use crate::core::Core;
use crate::data_plane::{Change as Happening, Event};
use crate::fault::Action as Directive;
use crate::operation::{self, Effect, Ended, Fate, Operation, Status, Verb};
use crate::settings::Settings;
use crate::stale::Shown;
use crate::state::{Record, State};
use crate::table::{self, Exclusive, Parent, Reply, Row, Shape};
use crate::{locations, subscriptions, view};

mod delete;
mod list;
mod post;
mod put;

pub(crate) use put::set;

/// One call on one resource, as the rules of the table see it.
pub(crate) struct Change<'a> {
    pub(crate) core: &'a Core,
    pub(crate) state: &'a mut State,
    pub(crate) call: &'a Call,
    pub(crate) row: &'static Row,
    pub(crate) address: Address,
    pub(crate) now: Milliseconds,
    /// What is stored, before the call.
    pub(crate) old: Option<Record>,
    /// The body of the call; for a write, what will be stored.
    pub(crate) body: Value,
    /// What the operation will do besides.
    pub(crate) effects: Vec<Effect>,
    /// How the operation ends, where a rule already knows.
    pub(crate) fate: Fate,
    /// How long the operation takes, where a rule already knows.
    pub(crate) duration: Option<Milliseconds>,
    /// What the data plane is told.
    pub(crate) events: Vec<Event>,
}

impl Change<'_> {
    pub(crate) fn settings(&self) -> &Settings {
        &self.core.settings
    }

    /// The region of the resource or of what it lies in.
    pub(crate) fn location(&self) -> String {
        if let Some(location) = self.body.get("location").and_then(Value::as_str) {
            return location.to_owned();
        }
        location(self.state, &self.address, &self.core.settings.region)
    }

    /// The GUID of the workspace that the resource lies in; the resource's own hash elsewhere.
    pub(crate) fn workspace_guid(&self) -> String {
        self.address
            .ancestor(1)
            .and_then(|workspace| self.state.get(&workspace.key()))
            .map_or_else(String::new, |record| record.text("/properties/workspaceId").to_owned())
    }

    /// What the operation in the end changes in the resource's body.
    pub(crate) fn then(&mut self, patch: Value) {
        self.effects.push(Effect::Merge(self.address.key(), patch));
    }
}

/// The region of a resource, or of the nearest one above it that has one.
pub(crate) fn location(state: &State, address: &Address, fallback: &str) -> String {
    let mut at = Some(address.clone());
    while let Some(address) = at {
        if let Some(location) =
            state.get(&address.key()).map(|record| record.text("/location")).filter(|l| !l.is_empty())
        {
            return location.to_owned();
        }
        at = address.parent();
    }
    fallback.to_owned()
}

/// Answers a call whose caller is known and not throttled.
pub(crate) fn serve(core: &Core, call: &Call) -> (Answer, Vec<Event>) {
    let now = core.clock.now();
    let mut state = core.state();
    let mut events: Vec<Event> = operation::settle(&mut state, now).into_iter().filter_map(ended).collect();
    if let Some(answer) = lagging(core, call) {
        return (answer, events);
    }
    let key = call.path.to_ascii_lowercase();
    let before = state.get(&key).cloned();
    let answer = route(core, &mut state, call, now, &mut events).unwrap_or_else(Answer::from);
    lag(core, call, &key, before.as_ref(), state.get(&key).is_some());
    if call.method != "GET" && call.method != "HEAD" {
        core.touched();
    }
    (answer, events)
}

/// A read of a resource whose newest write is not to be seen yet.
fn lagging(core: &Core, call: &Call) -> Option<Answer> {
    if call.method != "GET" {
        return None;
    }
    match core.reads.take(&call.path.to_ascii_lowercase())? {
        Shown::Nothing => Address::parse(&call.path).map(|address| Answer::from(not_found(&address))),
        Shown::Old(body) => Some(Answer::json(200, body)),
    }
}

/// Makes the next reads lag behind this write, where a fault asks for it.
fn lag(core: &Core, call: &Call, key: &str, before: Option<&Record>, exists: bool) {
    for directive in &call.directives {
        match (directive, before) {
            (Directive::HideAfterCreate { reads }, None) if exists => {
                core.reads.lag(key.to_owned(), *reads, Shown::Nothing);
            }
            (Directive::StaleReads { reads }, Some(before)) => {
                core.reads.lag(key.to_owned(), *reads, Shown::Old(view::render(before, call)));
            }
            _ => {}
        }
    }
}

/// What the data plane hears of an operation that ended.
pub(crate) fn ended(ended: Ended) -> Option<Event> {
    let happening = match (ended.status, ended.verb) {
        (Status::Succeeded, Verb::Delete) => Happening::Deleted,
        (Status::Succeeded, _) => Happening::Succeeded,
        (Status::Failed | Status::Canceled, _) => Happening::Failed,
        (Status::InProgress, _) => return None,
    };
    let kind = ended.removed.first().map(|record| record.kind.clone()).unwrap_or_default();
    Some(Event { id: ended.key, kind, change: happening, operation: None })
}

fn route(
    core: &Core,
    state: &mut State,
    call: &Call,
    now: Milliseconds,
    events: &mut Vec<Event>,
) -> Outcome<Answer> {
    let Some(address) = Address::parse(&call.path) else {
        return subscriptions::serve(core, state, call, now);
    };
    if address.types[0].eq_ignore_ascii_case("locations") {
        return locations::serve(core, state, call, &address);
    }
    if crate::rules::metric::is_asked(&address) {
        return crate::rules::metric::serve(core, state, call, &address);
    }
    let action = table::find(&address.kind()).is_none().then(|| address.split_action()).flatten();
    let (address, action) = match action {
        Some((target, action)) => (target, Some(action)),
        None => (address, None),
    };
    let row = table::find(&address.kind()).ok_or_else(|| unknown_type(&address, call))?;
    crate::versions::check(row.namespace(), call, &address)?;
    let address = spelled(&address, row);
    let old = if address.is_resource() { state.get(&address.key()).cloned() } else { None };
    let body = call.body.clone().unwrap_or(Value::Null);
    let mut change = Change {
        core,
        state,
        call,
        row,
        address,
        now,
        old,
        body,
        effects: Vec::new(),
        fate: Fate::default(),
        duration: None,
        events: Vec::new(),
    };
    let answer = dispatch(&mut change, action.as_deref());
    events.append(&mut change.events);
    answer.map_err(|failure| annotate(&change, failure))
}

/// A call that a rule makes while it answers another, as a deployment does for each of its resources.
pub(crate) fn within(change: &mut Change<'_>, call: &Call) -> Outcome<Answer> {
    let mut events = Vec::new();
    let answer = route(change.core, change.state, call, change.now, &mut events);
    change.events.append(&mut events);
    answer
}

fn dispatch(change: &mut Change<'_>, action: Option<&str>) -> Outcome<Answer> {
    if let Some(action) = action {
        return post::serve(change, action);
    }
    if !change.address.is_resource() {
        return match change.call.method.as_str() {
            "GET" => Ok(list::serve(change)),
            _ => Err(not_allowed(change.call)),
        };
    }
    match change.call.method.as_str() {
        "GET" | "HEAD" => get(change),
        "PUT" => put::put(change),
        "PATCH" => put::patch(change),
        "DELETE" => delete::serve(change),
        "POST" => post::serve(change, ""),
        _ => Err(not_allowed(change.call)),
    }
}

fn get(change: &mut Change<'_>) -> Outcome<Answer> {
    if let Some(built_in) = crate::rules::authorization::built_in(&change.address) {
        return Ok(Answer::json(200, built_in));
    }
    let record = change.old.as_ref().ok_or_else(|| not_found(&change.address))?;
    Ok(Answer::json(200, view::render(record, change.call)))
}

/// The address with the types in ARM's spelling, and names as they were first written.
fn spelled(address: &Address, row: &Row) -> Address {
    let mut spelled = address.clone();
    row.namespace().clone_into(&mut spelled.namespace);
    for (kind, written) in row.types().zip(&mut spelled.types) {
        kind.clone_into(written);
    }
    spelled
}

/// Errors of the machine learning provider carry more than those of ARM itself.
fn annotate(change: &Change<'_>, failure: Box<Failure>) -> Box<Failure> {
    let machine_learning = change.row.namespace() == "Microsoft.MachineLearningServices";
    if !machine_learning || change.row.types().count() < 2 || !failure.additional.is_empty() {
        return failure;
    }
    let time = crate::clock::rfc3339(change.now);
    failure.machine_learning(&change.location(), &time, &change.call.request_id)
}

pub(crate) fn not_allowed(call: &Call) -> Box<Failure> {
    let message = format!("The requested resource does not support http method '{}'.", call.method);
    Failure::new(405, "MethodNotAllowed", message)
}

pub(crate) fn not_found(address: &Address) -> Box<Failure> {
    let kind = format!("{}/{}", address.namespace, address.types.join("/"));
    let message = format!(
        "The Resource '{kind}/{}' under resource group '{}' was not found. For more details please go to \
         https://aka.ms/ARMResourceNotFoundFix",
        address.names.join("/"),
        address.resource_group()
    );
    Failure::new(404, "ResourceNotFound", message)
}

fn unknown_type(address: &Address, call: &Call) -> Box<Failure> {
    let namespace = &address.namespace;
    if !table::knows_namespace(namespace) {
        let message = format!("The resource namespace '{namespace}' is invalid.");
        return Failure::new(404, "InvalidResourceNamespace", message);
    }
    let message = format!(
        "The resource type '{}' could not be found in the namespace '{namespace}' for api version '{}'.",
        address.types.join("/"),
        call.api_version()
    );
    Failure::new(404, "InvalidResourceType", message)
}

/// What is above must be there, and no lock and no other operation in the way.
fn admit(change: &Change<'_>, deleting: bool) -> Outcome<()> {
    parent(change)?;
    locked(change, deleting)?;
    busy(change)
}

fn parent(change: &Change<'_>) -> Outcome<()> {
    if change.row.parent == Parent::Free {
        return Ok(());
    }
    let Some(parent) = change.address.parent() else { return Ok(()) };
    let Some(row) = table::find(&parent.kind()) else { return Ok(()) };
    if change.state.get(&parent.key()).is_some() {
        return Ok(());
    }
    let container = change.row.parent == Parent::Created && row.parent == Parent::Required;
    let grand = parent.parent().is_some_and(|grand| change.state.get(&grand.key()).is_some());
    if container && grand {
        return Ok(());
    }
    let message = format!(
        "Can not perform requested operation on nested resource. Parent resource '{}' not found.",
        parent.names.join("/")
    );
    Err(Failure::new(404, "ParentResourceNotFound", message))
}

fn locked(change: &Change<'_>, deleting: bool) -> Outcome<()> {
    if change.row.kind == "Microsoft.Authorization/locks" {
        return Ok(());
    }
    let key = change.address.key();
    let scopes: Vec<String> = change
        .state
        .of_kind("Microsoft.Authorization/locks")
        .filter(|lock| deleting || lock.text("/properties/level").eq_ignore_ascii_case("ReadOnly"))
        .filter_map(|lock| Address::parse(&lock.id))
        .map(|lock| lock.scope)
        .filter(|scope| covers(&scope.to_ascii_lowercase(), &key))
        .collect();
    if scopes.is_empty() {
        return Ok(());
    }
    let message = format!(
        "The scope '{}' cannot perform {} operation because following scope(s) are locked: '{}'. Please remove \
         the lock and try again.",
        change.address.id(),
        if deleting { "delete" } else { "write" },
        scopes.join("','")
    );
    Err(Failure::new(409, "ScopeLocked", message))
}

/// What can have one operation at a time, in lower case.
fn exclusive(change: &Change<'_>) -> String {
    let holder = match change.row.exclusive {
        Exclusive::Itself => None,
        Exclusive::Ancestor(depth) => change.address.ancestor(depth),
    };
    holder.unwrap_or_else(|| change.address.clone()).key()
}

fn busy(change: &Change<'_>) -> Outcome<()> {
    let lock = exclusive(change);
    if !change.state.running().any(|one| one.lock == lock) {
        return Ok(());
    }
    let name = lock.rsplit('/').next().unwrap_or_default();
    let message = match change.row.exclusive {
        Exclusive::Ancestor(depth) if depth < change.address.names.len() => format!(
            "Cannot create a deployment in endpoint {name} because it is in Updating provisioning state. Another \
             operation is already in progress."
        ),
        _ => format!("There is already an operation in progress on '{name}'. Please try again later."),
    };
    Err(Failure::new(409, "Conflict", message))
}

/// Starts the operation of a write, and gives the answer that leads to it.
pub(crate) fn begin(
    change: &mut Change<'_>,
    verb: Verb,
    reply: (u16, Shape),
    result: Option<Value>,
) -> Answer {
    let guid = uuid::Uuid::new_v4().to_string();
    let id = match (change.row.family.prefix, change.workspace_guid()) {
        ("", _) => guid,
        (prefix, workspace) => format!("{prefix}:{workspace}:{guid}"),
    };
    let (fate, duration, gone) = directed(change);
    let key = change.address.key();
    let event = Event {
        id: change.address.id(),
        kind: change.row.kind.to_owned(),
        change: if verb == Verb::Delete { Happening::Deleting } else { Happening::Started },
        operation: Some(id.clone()),
    };
    let held = change.core.data_plane().is_some_and(|plane| plane.holds(&event, &change.body));
    let due = (fate != Fate::Never && !(held && fate == Fate::Succeeded)).then_some(change.now + duration);
    let operation = Operation {
        id: id.clone(),
        key,
        verb,
        lock: exclusive(change),
        started: change.now,
        due,
        ended: None,
        status: Status::InProgress,
        fate,
        error: None,
        effects: std::mem::take(&mut change.effects),
        returns_resource: verb != Verb::Act,
        result,
        gone,
    };
    change.state.begin(operation);
    change.events.push(event);
    change.core.woken();
    let answer = locations::lead(change, reply, &id);
    leave_address(change, verb, &answer);
    answer
}

/// Changes the resource later, by an operation that nobody is shown and nothing waits for.
pub(crate) fn background(change: &mut Change<'_>, delay: Milliseconds, patch: Value) {
    let key = change.address.key();
    let operation = Operation {
        id: uuid::Uuid::new_v4().to_string(),
        verb: Verb::Act,
        lock: work(&key),
        started: change.now,
        due: Some(change.now + delay),
        ended: None,
        status: Status::InProgress,
        fate: Fate::Succeeded,
        error: None,
        effects: vec![Effect::Merge(key.clone(), patch)],
        returns_resource: false,
        result: None,
        gone: true,
        key,
    };
    change.state.begin(operation);
    change.core.woken();
}

/// Ends what goes on in the background of a resource, without its effect.
pub(crate) fn abandon(state: &mut State, key: &str) {
    let lock = work(key);
    let ids: Vec<String> = state.running().filter(|one| one.lock == lock).map(|one| one.id.clone()).collect();
    for id in ids {
        if let Some(operation) = state.operation_mut(&id) {
            operation.fate = Fate::Canceled;
        }
        operation::end(state, &id, 0);
    }
}

fn work(key: &str) -> String {
    format!("{key}#work")
}

/// Endpoints and deployments carry the address of their newest operation.
fn leave_address(change: &mut Change<'_>, verb: Verb, answer: &Answer) {
    if change.row.family.prefix.is_empty() || !matches!(verb, Verb::Create | Verb::Update) {
        return;
    }
    let address = answer
        .headers
        .iter()
        .find(|(name, _)| name == "Azure-AsyncOperation")
        .map(|(_, value)| value.clone());
    let key = change.address.key();
    if let (Some(address), Some(record)) = (address, change.state.get_mut(&key)) {
        let path = address.replacen(&change.call.base, view::HERE, 1);
        set(&mut record.body, "/properties/properties/AzureAsyncOperationUri", Value::String(path));
    }
}

/// How the operation ends and how long it takes: as a fault says, else as the rule and the settings say.
fn directed(change: &Change<'_>) -> (Fate, Milliseconds, bool) {
    let mut fate = change.fate.clone();
    let mut duration = change.duration.unwrap_or_else(|| change.core.settings.duration(change.row.kind));
    let mut gone = false;
    for directive in &change.call.directives {
        match directive {
            Directive::OperationFails { code, message } => {
                fate = Fate::Failed { code: code.clone(), message: message.clone() };
            }
            Directive::OperationCanceled => fate = Fate::Canceled,
            Directive::OperationNeverEnds => fate = Fate::Never,
            Directive::OperationUrlGone => gone = true,
            Directive::OperationTakes { milliseconds } => duration = milliseconds.cast_signed(),
            _ => {}
        }
    }
    (fate, duration, gone)
}

/// Answers a write: at once, or by an operation.
pub(crate) fn reply(change: &mut Change<'_>, verb: Verb, reply: Reply, body: Option<Value>) -> Answer {
    let body_answer = |status: u16, body: Option<Value>| match body {
        Some(body) => Answer::json(status, body),
        None => Answer::empty(status),
    };
    match reply {
        Reply::Now(status) => body_answer(status, body),
        Reply::Later(status, shape) => {
            let mut answer = begin(change, verb, (status, shape), None);
            if let Some(body) = body.filter(|_| matches!(verb, Verb::Create | Verb::Update)) {
                answer.body = crate::answer::Body::Json(body);
            }
            answer
        }
    }
}

pub(crate) fn merged(target: &Value, patch: &Value) -> Value {
    let mut target = target.clone();
    operation::merge(&mut target, patch);
    target
}

/// One page of values that no row of the table lists.
pub(crate) fn paged(core: &Core, call: &Call, values: &[Value]) -> Answer {
    list::page(call, core.settings.page_size, values)
}
