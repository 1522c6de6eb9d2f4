//! Sweep jobs: trials of one command with values from a search space, each a job of its own, and the best of them.
use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::jobs::Job;
use super::metrics;
use super::substitute::Values;
use crate::state::text;

/// The most trials.
const TRIALS: usize = 50;
/// Trials where the job says no number.
const USUAL: usize = 10;

/// Runs the trials; what is to be said of the sweep when it is over.
pub(super) async fn run(job: &Job) -> anyhow::Result<Value> {
    let limits = &job.properties["limits"];
    let number = |name: &str, usual: usize| limits[name].as_u64().map_or(usual, |number| number as usize);
    let total = number("maxTotalTrials", USUAL).clamp(1, TRIALS);
    let at_once = number("maxConcurrentTrials", 4).clamp(1, TRIALS);
    let sampling = &job.properties["samplingAlgorithm"];
    let space = job.properties["searchSpace"].as_object().context("the search space is missing")?;
    let seed = sampling["seed"].as_u64().unwrap_or(job.shared.options.seed);
    let is_grid = text(sampling, "/samplingAlgorithmType").eq_ignore_ascii_case("Grid");
    let points = if is_grid { grid(space, total)? } else { random(space, total, seed)? };
    job.status("Running");
    let mut running = JoinSet::new();
    let mut points = points.into_iter().enumerate();
    let mut ended = Vec::new();
    loop {
        while running.len() < at_once
            && let Some((at, point)) = points.next()
        {
            let (name, properties) = (format!("{}_{at}", job.name), trial(job, &point)?);
            job.run.log.push(&format!("The trial {at} starts with {}.", json!(point)));
            let job = job.clone();
            running.spawn(async move { job.child(&name, properties).await });
        }
        match running.join_next().await {
            Some(child) => ended.push(child??),
            None => break,
        }
    }
    best(job, &ended)
}

/// The properties of one trial's job.
fn trial(job: &Job, point: &Values) -> anyhow::Result<Value> {
    let trial = &job.properties["trial"];
    let mut command = text(trial, "/command").to_owned();
    for (name, value) in point {
        // What else is in the command is for the trial itself to replace.
        for form in [format!("${{{{{name}}}}}"), format!("${{{{ {name} }}}}")] {
            command = command.replace(&form, value);
        }
    }
    ensure!(
        !command.contains("${{search_space."),
        "the trial's command names a parameter that is not in the search space"
    );
    let mut made = json!({
        "jobType": "Command", "command": command, "environmentId": trial["environmentId"], "codeId": trial["codeId"],
        "inputs": job.properties["inputs"], "properties": {},
    });
    if trial["environmentVariables"].is_object() {
        made["environmentVariables"] = trial["environmentVariables"].clone();
    }
    let outputs: Map<String, Value> = job.properties["outputs"]
        .as_object()
        .into_iter()
        .flatten()
        // Each trial writes to a place of its own.
        .map(|(name, output)| (name.clone(), json!({"jobOutputType": output["jobOutputType"]})))
        .collect();
    made["outputs"] = Value::Object(outputs);
    if let Some(timeout) = job.properties["limits"]["trialTimeout"].as_str() {
        made["limits"] = json!({"jobLimitsType": "Command", "timeout": timeout});
    }
    Ok(made)
}

/// The trial with the best primary metric.
fn best(job: &Job, ended: &[Value]) -> anyhow::Result<Value> {
    let metric = text(&job.properties, "/objective/primaryMetric");
    let sign =
        if text(&job.properties, "/objective/goal").eq_ignore_ascii_case("Minimize") { -1.0 } else { 1.0 };
    let score = |child: &&Value| metrics::of_job(child, metric).map(|value| value * sign);
    let found = ended.iter().filter(|child| text(child, "/properties/status") == "Completed");
    let found = found.filter(|child| score(child).is_some());
    let best = found
        .max_by(|left, right| score(left).partial_cmp(&score(right)).unwrap_or(std::cmp::Ordering::Equal));
    let Some(best) = best else {
        bail!("No trial has completed with the primary metric '{metric}'. See the trials' logs.")
    };
    let name = text(best, "/id").rsplit('/').next().unwrap_or_default();
    let value = metrics::of_job(best, metric).unwrap_or_default().to_string();
    let outputs = best["properties"]["outputs"].clone();
    Ok(json!({
        "outputs": outputs,
        "properties": {"best_child_run_id": name, "score": value, format!("metrics.{metric}"): value},
    }))
}

/// The kind of a parameter and its numbers or choices: `["choice", [[1, 2]]]`, `["uniform", [0, 1]]`.
fn expression(value: &Value) -> anyhow::Result<(&str, &[Value])> {
    let parts = value.as_array().context("a parameter is a list of its kind and its values")?;
    let kind = parts.first().and_then(Value::as_str).context("a parameter has no kind")?;
    Ok((kind, parts.get(1).and_then(Value::as_array).map_or(&[], Vec::as_slice)))
}

fn choices<'a>(kind: &str, values: &'a [Value]) -> anyhow::Result<&'a [Value]> {
    ensure!(kind.eq_ignore_ascii_case("choice"), "a parameter of the kind '{kind}' has no choices");
    let inner = values.first().and_then(Value::as_array).map_or(values, Vec::as_slice);
    ensure!(!inner.is_empty(), "a parameter has no choices");
    Ok(inner)
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn named(name: &str) -> String {
    format!("search_space.{name}")
}

/// All combinations, the first ones where there are more than wanted.
fn grid(space: &Map<String, Value>, most: usize) -> anyhow::Result<Vec<Values>> {
    let mut points = vec![Values::new()];
    for (name, value) in space {
        let (kind, values) = expression(value).with_context(|| format!("the parameter '{name}'"))?;
        let values = choices(kind, values).with_context(|| format!("the parameter '{name}'"))?;
        let with = |point: &Values, value: &Value| {
            let mut point = point.clone();
            point.insert(named(name), shown(value));
            point
        };
        points = points
            .iter()
            .flat_map(|point| values.iter().map(|value| with(point, value)))
            .take(most)
            .collect();
    }
    Ok(points)
}

fn random(space: &Map<String, Value>, count: usize, seed: u64) -> anyhow::Result<Vec<Values>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut points = Vec::new();
    for _ in 0..count {
        let mut point = Values::new();
        for (name, value) in space {
            let (kind, values) = expression(value).with_context(|| format!("the parameter '{name}'"))?;
            let drawn = draw(kind, values, &mut random).with_context(|| format!("the parameter '{name}'"))?;
            point.insert(named(name), drawn);
        }
        points.push(point);
    }
    Ok(points)
}

fn draw(kind: &str, values: &[Value], random: &mut fastrand::Rng) -> anyhow::Result<String> {
    let number = |at: usize| values.get(at).and_then(Value::as_f64).context("a number is missing");
    let within = |random: &mut fastrand::Rng| -> anyhow::Result<f64> {
        let (low, high) = (number(0)?, number(1)?);
        Ok(low + random.f64() * (high - low))
    };
    Ok(match kind.to_ascii_lowercase().as_str() {
        "choice" => {
            let values = choices(kind, values)?;
            shown(&values[random.usize(..values.len())])
        }
        "uniform" => within(random)?.to_string(),
        "loguniform" => within(random)?.exp().to_string(),
        "quniform" => {
            let step = number(2)?;
            ((within(random)? / step).round() * step).to_string()
        }
        "randint" => random.u64(..(number(0)?.max(1.0) as u64)).to_string(),
        _ => bail!(
            "parameters of the kind '{kind}' are not drawn; use choice, uniform, loguniform, quniform or randint"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_has_all_combinations() {
        let space = json!({"a": ["choice", [[1, 2]]], "b": ["choice", [["x", "y"]]]});
        let points = grid(space.as_object().unwrap(), 10).unwrap();
        let shown: Vec<String> = points.iter().map(|point| json!(point).to_string()).collect();
        assert_eq!(points.len(), 4);
        assert_eq!(shown[1], "{\"search_space.a\":\"1\",\"search_space.b\":\"y\"}");
        assert_eq!(grid(space.as_object().unwrap(), 3).unwrap().len(), 3);
        assert!(grid(json!({"a": ["uniform", [0, 1]]}).as_object().unwrap(), 1).is_err());
    }

    #[test]
    fn random_is_the_same_for_the_same_seed_and_within_its_bounds() {
        let space = json!({"a": ["uniform", [1, 2]], "b": ["quniform", [0, 10, 5]], "c": ["randint", [3]]});
        let points = random(space.as_object().unwrap(), 20, 7).unwrap();
        assert_eq!(points, random(space.as_object().unwrap(), 20, 7).unwrap());
        assert_ne!(points, random(space.as_object().unwrap(), 20, 8).unwrap());
        for point in points {
            assert!((1.0..=2.0).contains(&point["search_space.a"].parse::<f64>().unwrap()));
            assert!(["0", "5", "10"].contains(&point["search_space.b"].as_str()));
            assert!(point["search_space.c"].parse::<u8>().unwrap() < 3);
        }
    }
}
