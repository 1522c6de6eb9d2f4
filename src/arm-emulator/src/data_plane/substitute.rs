//! Expressions in a job's command: `${{inputs.x}}`, `${{outputs.y}}`, `${{search_space.z}}`, and the parts in
//! `$[[ ]]` that are left out where an optional input is not given.
//!
//! Invariant: no IO.
use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

/// What expressions stand for: `inputs.x` and the text in its place.
pub(super) type Values = BTreeMap<String, String>;

/// The command with all expressions replaced.
pub(super) fn command(text: &str, values: &Values) -> anyhow::Result<String> {
    let mut made = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$[[") {
        let (optional, after) = after.split_once("]]").context("the command has a '$[[' without ']]'")?;
        made.push_str(&replaced(before, values)?);
        // An absent input is what makes the part optional.
        if let Ok(given) = replaced(optional, values) {
            made.push_str(&given);
        }
        rest = after;
    }
    made.push_str(&replaced(rest, values)?);
    Ok(made)
}

fn replaced(text: &str, values: &Values) -> anyhow::Result<String> {
    let mut made = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        let (name, after) = after.split_once("}}").context("the command has a '${{' without '}}'")?;
        let name = name.trim();
        let Some(value) = values.get(name).or_else(|| values.get(name.trim_end_matches(".path"))) else {
            bail!("the command names '${{{{{name}}}}}', which the job has not got");
        };
        made.push_str(before);
        made.push_str(value);
        rest = after;
    }
    made.push_str(rest);
    Ok(made)
}

/// The inside of a text that is one expression and nothing else.
pub(super) fn expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    (!inside.contains("${{")).then(|| inside.trim())
}

#[cfg(test)]
mod tests;
