//! Actions: POST and GET below a resource.
use super::{Change, begin, not_allowed, not_found};
use crate::answer::{Answer, Failure, Outcome};
use crate::operation::Verb;
use crate::table::Reply;

pub(super) fn serve(change: &mut Change<'_>, name: &str) -> Outcome<Answer> {
    let named = |action: &&crate::table::Action| action.name.eq_ignore_ascii_case(name);
    let Some(action) = change.row.actions.iter().find(named) else {
        if name.is_empty() {
            return Err(not_allowed(change.call));
        }
        let message = format!("The resource type '{}' has no action '{name}'.", change.row.kind);
        return Err(Failure::new(404, "InvalidResourceType", message));
    };
    if action.method != change.call.method {
        return Err(not_allowed(change.call));
    }
    if change.old.is_none() && !action.absent {
        return Err(not_found(&change.address));
    }
    let result = (action.perform)(change)?;
    Ok(match action.reply {
        Reply::Now(status) if result.is_null() => Answer::empty(status),
        Reply::Now(status) => Answer::json(status, result),
        Reply::Later(status, shape) => {
            let result = (!result.is_null()).then_some(result);
            begin(change, Verb::Act, (status, shape), result)
        }
    })
}
