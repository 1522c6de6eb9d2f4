//! DELETE: 204 for what is absent, else at once or by an operation.
use serde_json::json;

use super::{Change, admit, begin, not_allowed};
use crate::answer::{Answer, Outcome};
use crate::data_plane::{Change as Happening, Event};
use crate::operation::{Effect, Verb};
use crate::table::Reply;
use crate::view;

pub(super) fn serve(change: &mut Change<'_>) -> Outcome<Answer> {
    let how = change.row.delete.ok_or_else(|| not_allowed(change.call))?;
    if change.old.is_none() {
        change.body = json!(null);
        (change.row.remove)(change)?;
        return Ok(Answer::empty(204));
    }
    admit(change, true)?;
    change.effects.clear();
    (change.row.remove)(change)?;
    let key = change.address.key();
    match how {
        Reply::Now(status) => {
            let removed = change.state.remove(&key);
            let event = |record: &crate::state::Record| Event {
                id: record.id.clone(),
                kind: record.kind.clone(),
                change: Happening::Deleted,
                operation: None,
            };
            change.events.extend(removed.iter().map(event));
            Ok(match removed.last().filter(|_| change.row.delete_returns) {
                Some(record) => Answer::json(status, view::render(record, change.call)),
                None => Answer::empty(status),
            })
        }
        Reply::Later(status, shape) => {
            if !change.effects.iter().any(|effect| matches!(effect, Effect::Remove { .. })) {
                change.effects.push(Effect::Remove { key: key.clone(), soft: false });
            }
            if let Some(state) = change
                .state
                .get_mut(&key)
                .and_then(|record| record.body.pointer_mut("/properties/provisioningState"))
            {
                *state = json!("Deleting");
            }
            Ok(begin(change, Verb::Delete, (status, shape), None))
        }
    }
}
