//! What a person says about a rollout, from the annotation that holds it.

use api::Endpoint;

/// The most bytes of a word about a rollout that are read: so many the status keeps.
pub(in crate::endpoint) const WORD_LIMIT: usize = 512;

/// What a person says in an annotation, cut where the status that repeats it would have no room.
pub(in crate::endpoint) fn said<'e>(
    endpoint: &'e Endpoint,
    annotation: &str,
    limit: usize,
) -> Option<&'e str> {
    let word = endpoint.metadata.annotations.as_ref()?.get(annotation)?;
    word.get(..word.floor_char_boundary(limit))
}

/// What a person says about a rollout.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Stay where it is.
    Pause,
    /// Go on, whatever it waits for.
    Resume,
    /// Go on with the next step.
    SkipStep,
    /// Give the new revision all requests, without further steps.
    Promote,
    /// Give the new revision up.
    Abort,
    /// Try the revision that was rejected again.
    Retry,
    /// Go back to a revision, or to the one before.
    Rollback(Option<String>),
}

impl Action {
    /// Reads `VERB`, `VERB@ANYTHING` or `rollback=REVISION@ANYTHING`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let word = text.split('@').next().unwrap_or_default().trim();
        match word.split_once('=') {
            Some(("rollback", revision)) if !revision.is_empty() => {
                Ok(Self::Rollback(Some(revision.to_owned())))
            }
            None if word == "pause" => Ok(Self::Pause),
            None if word == "resume" => Ok(Self::Resume),
            None if word == "skip-step" => Ok(Self::SkipStep),
            None if word == "promote" => Ok(Self::Promote),
            None if word == "abort" => Ok(Self::Abort),
            None if word == "retry" => Ok(Self::Retry),
            None if word == "rollback" => Ok(Self::Rollback(None)),
            _ => {
                Err("use pause, resume, skip-step, promote, abort, retry, rollback or rollback=REVISION"
                    .into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_word_differ_is_left_out() {
        assert_eq!(Action::parse("resume@2026-01-01T00:00:00Z"), Ok(Action::Resume));
        assert_eq!(Action::parse("rollback=churn-1a2b@x"), Ok(Action::Rollback(Some("churn-1a2b".into()))));
        assert_eq!(Action::parse("rollback"), Ok(Action::Rollback(None)));
    }

    #[test]
    fn other_words_are_refused_with_those_that_are_known() {
        for text in ["", "go", "rollback=", "pause=now", "Resume"] {
            assert!(Action::parse(text).is_err_and(|message| message.contains("skip-step")), "{text}");
        }
    }
}
