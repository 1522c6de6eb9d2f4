//! The keys of an Endpoint of this cluster: the Secret with them, and a new key when a person asks for one.
//!
//! The Secret itself remembers which word of a person it has obeyed, so that a crash between two writes makes no second
//! key. Invariant: a key is written into the Secret and nowhere else; everybody else gets its digest.
use std::collections::BTreeMap;
use std::fmt;

use api::azure::ManagementMode;
use api::endpoint::{AuthMode, KeysStatus};
use api::meta::{ENDPOINT_LABEL, KEYS_ACTION_ANNOTATION, MANAGED_BY_LABEL, MANAGER};
use api::{Endpoint, EndpointStatus, Reason};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::rollout::action::said;
use super::{Refusal, World};
use crate::child::{Controller, Observed};
use crate::digest;
use crate::step::{Event, EventType, Plan, Step, WriteKeys};

/// The longest word of a person, in bytes; what is longer is cut.
const WORD_LIMIT: usize = 128;

/// A key. It is never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Key(String);

impl Key {
    /// A key, as callers send it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The key itself, for the one write that stores it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What others are told of it.
    pub fn digest(&self) -> String {
        digest::sha256(self.0.as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key")
    }
}

/// Which of the two keys.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum KeyName {
    /// The first.
    Primary,
    /// The second, with which callers go on while the first is replaced.
    Secondary,
}

impl KeyName {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    /// Its field in the Secret.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Primary => "primaryKey",
            Self::Secondary => "secondaryKey",
        }
    }

    /// Reads `regenerate=primary` or `regenerate=secondary`, and behind an `@` anything.
    pub fn parse(word: &str) -> Result<Self, String> {
        match word.split('@').next().unwrap_or_default().trim() {
            "regenerate=primary" => Ok(Self::Primary),
            "regenerate=secondary" => Ok(Self::Secondary),
            _ => Err("use regenerate=primary or regenerate=secondary".to_owned()),
        }
    }
}

/// Two of something, one for each key.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Both<T> {
    /// That of the first key.
    pub primary: T,
    /// That of the second.
    pub secondary: T,
}

impl<T> Both<T> {
    fn of(&self, name: KeyName) -> &T {
        match name {
            KeyName::Primary => &self.primary,
            KeyName::Secondary => &self.secondary,
        }
    }
}

/// What is seen of the keys, and what could be written in place of one that is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys {
    /// The Secret, if there is one.
    pub secret: Option<SecretSeen>,
    /// Keys that nobody has seen yet.
    pub fresh: Both<Key>,
}

/// What is seen of a Secret with keys.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SecretSeen {
    /// Its identity.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// The object that controls it, if any.
    pub controller: Option<Controller>,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// The last word that it has obeyed.
    pub action: Option<String>,
    /// The digests of its keys.
    pub digests: Both<Option<String>>,
}

impl SecretSeen {
    /// What matters of a Secret: digests in place of keys.
    pub fn of(secret: &Secret) -> Self {
        let metadata = &secret.metadata;
        let digest = |name: KeyName| {
            let value = secret.data.as_ref()?.get(name.field()).filter(|value| !value.0.is_empty())?;
            Some(digest::sha256(&value.0))
        };
        let seen = Observed::from_body(json!({"metadata": metadata}));
        Self {
            uid: seen.uid,
            version: metadata.resource_version.clone().unwrap_or_default(),
            controller: seen.controller,
            deleting: seen.deleting,
            action: metadata.annotations.as_ref().and_then(|it| it.get(KEYS_ACTION_ANNOTATION)).cloned(),
            digests: Both { primary: digest(KeyName::Primary), secondary: digest(KeyName::Secondary) },
        }
    }
}

/// The Secret with the keys of an Endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretName {
    /// Its name.
    pub name: String,
    /// Whether it is a person's, which `auth.secretRef` names; else the operator makes it.
    pub is_given: bool,
}

/// The Secret from which the keys of an Endpoint must be read, if any.
pub fn secret(endpoint: &Endpoint) -> Option<SecretName> {
    let spec = &endpoint.spec;
    let auth = spec.auth.as_ref().filter(|it| it.mode == AuthMode::Key && !spec.target.type_.is_azure())?;
    let own = || format!("{}-keys", endpoint.metadata.name.as_deref().unwrap_or_default());
    let given = auth.secret_ref.as_ref().map(|it| it.name.clone());
    Some(SecretName { is_given: given.is_some(), name: given.unwrap_or_else(own) })
}

/// The digests of the keys that open an Endpoint, those that are about to be written included.
pub(super) fn digests(world: &World) -> Result<Vec<String>, Refusal> {
    let Some(secret) = secret(&world.endpoint) else { return Ok(Vec::new()) };
    let keys = seen(world)?;
    if !secret.is_given {
        let missing = missing(world, &secret, keys)?;
        let digest = |name: KeyName| match (missing.get(&name), &keys.secret) {
            // A plan that is only shown looks alike with any key.
            (Some(_), _) if !acts(world) => "0".repeat(64),
            (Some(_), _) | (None, None) => keys.fresh.of(name).digest(),
            (None, Some(seen)) => seen.digests.of(name).clone().unwrap_or_default(),
        };
        return Ok(KeyName::ALL.into_iter().map(digest).collect());
    }
    let all = keys.secret.iter().flat_map(|it| KeyName::ALL.map(|name| it.digests.of(name).clone()));
    let digests: Vec<String> = all.flatten().collect();
    if digests.is_empty() {
        let message = format!(
            "auth.secretRef names the Secret {}, which holds neither primaryKey nor secondaryKey: create it with a long random primaryKey, or remove auth.secretRef, so that the operator makes keys",
            secret.name
        );
        return Err(Refusal { reason: Reason::SecretNotFound, message });
    }
    Ok(digests)
}

/// A plan with what is to be done about keys, which comes first: nobody is told of a key that is not stored.
pub(super) fn keyed(world: &World, mut plan: Plan<EndpointStatus>) -> Plan<EndpointStatus> {
    plan.steps.splice(0..0, write(world));
    let old = world.endpoint.status.as_ref().and_then(|it| it.keys.clone()).unwrap_or_default();
    let secret = secret(&world.endpoint);
    let mut status = KeysStatus { secret_name: secret.map(|it| it.name), ..old.clone() };
    if let Some(word) = word(world).filter(|it| acts(world) && old.handled_action.as_deref() != Some(*it)) {
        let verdict = obeyed(world, word);
        if verdict != Ok(false) {
            status.handled_action = Some(word.to_owned());
            status.action_refused = verdict.clone().err();
            plan.events.push(event(world, word, verdict.err()));
        }
    }
    plan.status.keys = (status != KeysStatus::default()).then_some(status);
    plan
}

/// Whether the plan is carried out.
fn acts(world: &World) -> bool {
    world.endpoint.spec.management.mode == ManagementMode::Manage
}

fn seen(world: &World) -> Result<&Keys, Refusal> {
    let unread = || Refusal {
        reason: Reason::DependencyNotReady,
        message: "the Secret with the keys has not been read yet".to_owned(),
    };
    world.keys.as_ref().ok_or_else(unread)?.as_ref().map_err(Clone::clone)
}

/// What a person asks for.
fn word(world: &World) -> Option<&str> {
    said(&world.endpoint, KEYS_ACTION_ANNOTATION, WORD_LIMIT)
}

/// Whether a person's word has been obeyed; or why it can't be.
fn obeyed(world: &World, word: &str) -> Result<bool, String> {
    let name = KeyName::parse(word)?;
    let spec = &world.endpoint.spec;
    let Some(secret) = secret(&world.endpoint) else {
        return Err(if spec.target.type_.is_azure() {
            format!(
                "Azure holds the keys of this endpoint: az ml online-endpoint regenerate-keys --key-type {} makes a new one",
                if name == KeyName::Primary { "primary" } else { "secondary" }
            )
        } else {
            "the Endpoint has no keys: set auth.mode to Key".to_owned()
        });
    };
    if secret.is_given {
        return Err(format!(
            "auth.secretRef names the Secret {}, which is yours: write a new {} into it",
            secret.name,
            name.field()
        ));
    }
    let keys = world.keys.as_ref().and_then(|keys| keys.as_ref().ok());
    let seen = keys.and_then(|keys| keys.secret.as_ref());
    Ok(seen.is_some_and(|seen| is_ours(world, seen) && seen.action.as_deref() == Some(word)))
}

fn event(world: &World, word: &str, refused: Option<String>) -> Event {
    let name = secret(&world.endpoint).map(|it| it.name).unwrap_or_default();
    let (type_, reason, note) = if let Some(message) = refused {
        (EventType::Warning, Reason::ActionRefused, format!("{word}: {message}"))
    } else {
        let note = format!("a person asked for: {word}; the new key is in the Secret {name}");
        (EventType::Normal, Reason::ActionTaken, note)
    };
    Event { type_, reason, action: "Keys", note }
}

fn is_ours(world: &World, seen: &SecretSeen) -> bool {
    seen.controller.as_ref().is_some_and(|it| Some(&it.uid) == world.endpoint.metadata.uid.as_ref())
}

/// The word that is yet to be obeyed.
fn pending(world: &World, keys: &Keys) -> Option<(String, KeyName)> {
    let handled = world.endpoint.status.as_ref().and_then(|it| it.keys.as_ref()?.handled_action.as_deref());
    let done = keys.secret.as_ref().and_then(|it| it.action.as_deref());
    let word = word(world).filter(|it| handled != Some(*it) && done != Some(*it))?;
    Some((word.to_owned(), KeyName::parse(word).ok()?))
}

/// The keys that are to be written into the operator's own Secret, each with the reason.
fn missing(
    world: &World,
    secret: &SecretName,
    keys: &Keys,
) -> Result<BTreeMap<KeyName, &'static str>, Refusal> {
    let Some(seen) = &keys.secret else {
        return Ok(KeyName::ALL.map(|name| (name, "it does not exist")).into());
    };
    if !is_ours(world, seen) {
        return Err(stranger(world, secret, seen));
    }
    if seen.deleting {
        let message =
            format!("the Secret {} is on its way out, and is made anew when it is gone", secret.name);
        return Err(Refusal { reason: Reason::DependencyNotReady, message });
    }
    let lost = KeyName::ALL.into_iter().filter(|name| seen.digests.of(*name).is_none());
    let mut missing: BTreeMap<_, _> = lost.map(|name| (name, "a key is missing")).collect();
    missing.extend(pending(world, keys).map(|(_, name)| (name, "a person asked for a new key")));
    Ok(missing)
}

fn stranger(world: &World, secret: &SecretName, seen: &SecretSeen) -> Refusal {
    let name = &secret.name;
    let is_predecessor = seen
        .controller
        .as_ref()
        .is_some_and(|it| it.kind == "Endpoint" && Some(&it.name) == world.endpoint.metadata.name.as_ref());
    if is_predecessor {
        let message = format!(
            "the Secret {name} belongs to an Endpoint of this name that was deleted, and goes with it"
        );
        return Refusal { reason: Reason::DependencyNotReady, message };
    }
    let message = format!(
        "the Secret {name} exists and was not made for this Endpoint: name it in auth.secretRef to take its keys, or delete it, so that the operator makes its own"
    );
    Refusal { reason: Reason::Conflict, message }
}

/// The write that brings the operator's own Secret up to date, if any is needed.
fn write(world: &World) -> Option<Step> {
    let secret = secret(&world.endpoint).filter(|it| !it.is_given)?;
    let keys = seen(world).ok()?;
    let missing = missing(world, &secret, keys).ok()?;
    let why = missing.iter().map(|(name, why)| format!("{}: {why}", name.field())).collect::<Vec<_>>();
    let why = if keys.secret.is_none() { "it does not exist".to_owned() } else { why.join("; ") };
    let mut body = match &keys.secret {
        None => whole(&world.endpoint, &secret.name),
        // No other write in between is lost.
        Some(seen) => json!({"metadata": {"uid": seen.uid, "resourceVersion": seen.version}}),
    };
    let obeyed = match &keys.secret {
        // Two new keys are whatever was asked for.
        None => word(world).filter(|word| KeyName::parse(word).is_ok()).map(str::to_owned),
        Some(_) => pending(world, keys).map(|(word, _)| word),
    };
    if let Some(word) = obeyed {
        body["metadata"]["annotations"] = json!({KEYS_ACTION_ANNOTATION: word});
    }
    let of = |name: KeyName| (name.field(), keys.fresh.of(name).clone());
    (!missing.is_empty()).then(|| {
        Step::WriteKeys(WriteKeys {
            namespace: world.endpoint.metadata.namespace.clone().unwrap_or_default(),
            name: secret.name.clone(),
            body,
            keys: missing.into_keys().map(of).collect(),
            create: keys.secret.is_none(),
            why,
        })
    })
}

/// The Secret without its keys.
fn whole(endpoint: &Endpoint, name: &str) -> Value {
    let metadata = &endpoint.metadata;
    let own = metadata.name.as_deref().unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": name,
            "namespace": metadata.namespace,
            "labels": {"app.kubernetes.io/name": own, MANAGED_BY_LABEL: MANAGER, ENDPOINT_LABEL: own},
            "ownerReferences": [{
                "apiVersion": format!("{}/{}", api::GROUP, api::VERSION),
                "kind": "Endpoint",
                "name": own,
                "uid": metadata.uid,
                "controller": true,
                "blockOwnerDeletion": false,
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let key = Key::new("open-sesame".to_owned());
        assert_eq!(format!("{key:?} {:?}", Some(&key)), "Key Some(Key)");
        assert_eq!(key.digest(), digest::sha256(b"open-sesame"));
    }

    #[test]
    fn what_makes_a_word_differ_is_left_out() {
        assert_eq!(KeyName::parse("regenerate=primary@2026-01-01T00:00:00Z"), Ok(KeyName::Primary));
        assert_eq!(KeyName::parse("regenerate=secondary"), Ok(KeyName::Secondary));
        for text in ["", "regenerate", "regenerate=tertiary", "Regenerate=primary", "rotate=primary@1"] {
            assert!(KeyName::parse(text).is_err_and(|message| message.contains("regenerate=")), "{text}");
        }
    }
}
