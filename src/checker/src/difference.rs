//! PredictionDiff: how far two versions differ on the same rows.
use api::model_promotion::CheckTask;
use drift::interval::Level;
use drift::predictions::{Pair, class_difference, kolmogorov_smirnov, number_difference};
use drift::table::{Class, Classes, Column};
use serde_json::json;

use crate::model::Model;
use crate::report::{Found, Measured};
use crate::rows::{features, read};

/// Measures how far the version is from the one that the stage runs.
pub(crate) async fn measure(task: &CheckTask) -> anyhow::Result<Found> {
    let rows = read(task.data.as_deref())?;
    let features = features(&task.check, &rows.table, rows.is_ordered)?;
    let candidate = Model::at(task.candidate.as_ref()).await?.predict(&rows.table, &features).await?;
    let production = Model::at(task.production.as_ref()).await?.predict(&rows.table, &features).await?;
    let samples = rows.table.rows() as u64;
    let mut classes = Classes::default();
    let mut of = |column: &Column| -> Vec<Class> {
        column.texts().map(|text| classes.class(&text.unwrap_or_default())).collect()
    };
    let pairs = Pair::zip(of(&production.values), of(&candidate.values));
    let difference = class_difference(&pairs, &classes, Level::default());
    let changed: Vec<_> = difference.confusion.iter().filter(|it| it.production != it.candidate).collect();
    let most = changed.iter().max_by_key(|it| it.rows);
    let mut found = Found::default();
    found.measured.insert(
        "classDisagreement".to_owned(),
        Measured {
            value: difference.disagreement,
            interval: difference.interval.map(|it| (it.low, it.high)),
            samples,
            detail: most.map_or_else(String::new, |it| {
                format!("most often {} becomes {}, in {} rows", it.production, it.candidate, it.rows)
            }),
        },
    );
    let numbers = numbers(&production.values).zip(numbers(&candidate.values));
    let apart =
        numbers.as_ref().and_then(|(before, now)| number_difference(&Pair::zip(before.clone(), now.clone())));
    let test = numbers.as_ref().and_then(|(before, now)| kolmogorov_smirnov(before, now));
    let why = if numbers.is_none() { "predictions are no numbers" } else { "" };
    for (metric, value) in [
        ("meanAbsoluteDifference", apart.map(|it| it.mean_absolute)),
        ("largestAbsoluteDifference", apart.map(|it| it.maximum)),
        ("kolmogorovSmirnov", test.as_ref().map(|it| it.statistic)),
    ] {
        let measured = Measured { value, samples, detail: why.to_owned(), interval: None };
        found.measured.insert(metric.to_owned(), measured);
    }
    found.facts = json!({"dataDigest": rows.digest, "classes": difference, "numbers": apart});
    Ok(found)
}

fn numbers(column: &Column) -> Option<Vec<f64>> {
    match column {
        Column::Number(values) => values.iter().copied().collect(),
        Column::Text(_) | Column::Boolean(_) => None,
    }
}
