//! ResponsibleAI: how good predictions are, how far groups are apart, and where the errors are.
use std::collections::BTreeMap;

use anyhow::Context as _;
use api::model_promotion::{CheckTask, PromotionCheck};
use drift::bootstrap::Bootstrap;
use drift::fairness::{Aggregate, Comparison, Criterion, Disparity, Form, Frame, Groups, Method};
use drift::interval::Level;
use drift::outcome::{Outcome, Scored};
use drift::performance;
use drift::slices::analyze;
use drift::table::{Class, Classes, Column, Table};
use serde_json::{Value, json};

use crate::model::{Model, Predictions, is_regression};
use crate::report::{Found, Measured};
use crate::rows::{features, read};

/// The fewest rows of a group or slice that is compared, when the check does not say.
const MINIMUM: usize = 30;
/// How often rows are drawn for an interval. The seed is fixed: the same rows give the same interval.
const RESAMPLES: usize = 200;

/// Measures the version's predictions.
pub(crate) async fn measure(task: &CheckTask) -> anyhow::Result<Found> {
    let check = &task.check;
    let label = check.label.as_deref().context("the check names no label")?;
    let rows = read(task.data.as_deref())?;
    // A row without a label says nothing of a prediction.
    let table = rows.table.complete(&[label])?;
    let model = Model::at(task.candidate.as_ref()).await?;
    let features = features(check, &table, rows.is_ordered)?;
    let predictions = model.predict(&table, &features).await?;
    let scene = Scene { check, table: &table, label, features: &features };
    let mut found = match (&check.positive, is_regression(&model)) {
        (Some(positive), _) => scene.binary(&predictions, positive)?,
        (None, true) => scene.regression(&predictions)?,
        (None, false) => scene.classes(&predictions)?,
    };
    found.facts["dataDigest"] = json!(rows.digest);
    found.facts["rowsWithoutLabel"] = json!(rows.table.rows() - table.rows());
    Ok(found)
}

/// A metric of outcomes.
type Metric<T> = fn(&[Outcome<T>]) -> Option<f64>;

struct Scene<'a> {
    check: &'a PromotionCheck,
    table: &'a Table,
    label: &'a str,
    features: &'a [&'a str],
}

impl Scene<'_> {
    fn minimum(&self) -> usize {
        self.check.minimum_group_size.and_then(|it| usize::try_from(it).ok()).unwrap_or(MINIMUM)
    }

    fn asks(&self, metric: &str) -> bool {
        self.check.expect.iter().any(|it| it.metric == metric)
    }

    /// The groups, if there are sensitive features.
    fn frame<T: Copy>(&self, outcomes: &[Outcome<T>]) -> anyhow::Result<Option<Frame<T>>> {
        if self.check.sensitive_features.is_empty() {
            return Ok(None);
        }
        let named: Vec<&str> = self.check.sensitive_features.iter().map(String::as_str).collect();
        Ok(Some(Frame::new(&Groups::by(self.table, &named)?, outcomes, self.minimum())?))
    }

    /// Two classes.
    fn binary(&self, predictions: &Predictions, positive: &str) -> anyhow::Result<Found> {
        let actual = self.table.equals(self.label, positive)?;
        self.meet(&actual, predictions, positive)?;
        let predicted = predictions.values.texts().map(|text| text.as_deref() == Some(positive)).collect();
        let outcomes = Outcome::zip(actual.clone(), predicted);
        let mut found = self.found(
            &outcomes,
            &[
                ("accuracy", performance::accuracy),
                ("precision", performance::precision),
                ("recall", performance::recall),
                ("f1", performance::f1),
            ],
        );
        let auc = positive_scores(predictions, &self.classes_of(Some(&predictions.values)), positive)
            .and_then(|scores| {
                let scored: Vec<Scored> = actual
                    .iter()
                    .zip(scores)
                    .map(|(actual, score)| Scored { actual: *actual, score })
                    .collect();
                performance::roc_auc(&scored)
            });
        let why = "it needs probabilities of two classes in the model's answer, and rows of both classes";
        found.put("rocAuc", auc, outcomes.len(), if auc.is_none() { why } else { "" });
        if let Some(frame) = self.frame(&outcomes)? {
            self.criteria(&frame, &mut found, outcomes.len());
            found.facts["groups"] = json!(frame.compared());
            self.group_error(&frame, performance::error_rate, &mut found, outcomes.len());
        }
        let errors: Vec<f64> = outcomes.iter().map(|it| f64::from(it.actual != it.predicted)).collect();
        self.slices(&errors, &mut found)?;
        Ok(found)
    }

    /// How far groups are from the criteria that are asked for.
    fn criteria(&self, frame: &Frame<bool>, found: &mut Found, samples: usize) {
        for (name, criterion) in [
            ("demographicParity", Criterion::DemographicParity),
            ("equalOpportunity", Criterion::EqualOpportunity),
            ("equalizedOdds", Criterion::EqualizedOdds(Aggregate::WorstCase)),
        ] {
            for (form, end) in [(Form::Difference, "Difference"), (Form::Ratio, "Ratio")] {
                let metric = format!("{name}{end}");
                if self.asks(&metric) {
                    let comparison = Comparison { form, method: Method::BetweenGroups };
                    // Where a group lacks rows, Fairlearn takes its rate for 0, which tells nothing of the model.
                    let lacking = frame.counts().into_iter().find(|group| group.lacks(criterion));
                    if let Some(group) = lacking {
                        let why = format!("{} has no row that the criterion is about", group.size.group);
                        found.put(&metric, None, samples, &why);
                        continue;
                    }
                    let disparity = frame.criterion(criterion, comparison, Some(&bootstrap()));
                    let rates = frame.counts().into_iter().map(|group| {
                        let rate = match criterion {
                            Criterion::DemographicParity => group.counts.selection_rate(),
                            Criterion::EqualOpportunity | Criterion::EqualizedOdds(_) => {
                                group.counts.true_positive_rate()
                            }
                        };
                        (group.size.group.to_string(), Some(rate))
                    });
                    found.disparity(&metric, disparity, samples, &rates.collect());
                }
            }
        }
    }

    /// Fails when the words of the check, of the label and of the model do not meet, so that nothing would be positive.
    fn meet(&self, actual: &[bool], predictions: &Predictions, positive: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            actual.contains(&true),
            "no row has {positive} in column {}, which has {}: positive must be one of its values",
            self.label,
            some(&self.classes_of(None))
        );
        let labels = self.classes_of(None);
        let is_known = |text: &str| labels.iter().any(|it| it == text);
        anyhow::ensure!(
            predictions.values.texts().flatten().any(|text| is_known(&text)),
            "the model predicts none of the values of column {}, which has {}: the label must be in the words of the model",
            self.label,
            some(&labels)
        );
        Ok(())
    }

    /// Many classes.
    fn classes(&self, predictions: &Predictions) -> anyhow::Result<Found> {
        let mut classes = Classes::default();
        let actual = self.table.classes(self.label, &mut classes)?;
        let predicted: Vec<Class> =
            predictions.values.texts().map(|text| classes.class(&text.unwrap_or_default())).collect();
        let outcomes = Outcome::zip(actual, predicted);
        let mut found = self.found(
            &outcomes,
            &[
                ("accuracy", performance::accuracy),
                ("precision", performance::macro_precision),
                ("recall", performance::macro_recall),
                ("f1", performance::macro_f1),
            ],
        );
        let why = "it needs positive, the value of label that counts as positive";
        found.put("rocAuc", None, outcomes.len(), why);
        if let Some(frame) = self.frame(&outcomes)? {
            self.group_error(&frame, performance::error_rate, &mut found, outcomes.len());
        }
        let errors: Vec<f64> = outcomes.iter().map(|it| f64::from(it.actual != it.predicted)).collect();
        self.slices(&errors, &mut found)?;
        Ok(found)
    }

    /// Numbers.
    fn regression(&self, predictions: &Predictions) -> anyhow::Result<Found> {
        let Column::Number(predicted) = &predictions.values else {
            anyhow::bail!("the model's predictions are no numbers")
        };
        let predicted: Option<Vec<f64>> = predicted.iter().copied().collect();
        let predicted = predicted.context("a prediction of the model is no number")?;
        let outcomes = Outcome::zip(self.table.numbers(self.label)?, predicted);
        let mut found = self.found(
            &outcomes,
            &[
                ("meanAbsoluteError", performance::mean_absolute_error),
                ("rootMeanSquaredError", performance::root_mean_squared_error),
                ("r2", performance::r2),
            ],
        );
        if let Some(frame) = self.frame(&outcomes)? {
            self.group_error(&frame, performance::mean_absolute_error, &mut found, outcomes.len());
        }
        let errors: Vec<f64> = outcomes.iter().map(|it| (it.actual - it.predicted).abs()).collect();
        self.slices(&errors, &mut found)?;
        Ok(found)
    }

    /// What is measured over all rows.
    fn found<T: Copy>(&self, outcomes: &[Outcome<T>], metrics: &[(&str, Metric<T>)]) -> Found {
        let mut found = Found { facts: json!({}), ..Found::default() };
        for (name, metric) in metrics.iter().filter(|(name, _)| self.asks(name)) {
            let interval = bootstrap().interval(outcomes, metric).map(|it| (it.low, it.high));
            let measured = Measured {
                value: metric(outcomes),
                interval,
                samples: outcomes.len() as u64,
                ..Measured::default()
            };
            found.measured.insert((*name).to_owned(), measured);
        }
        found
    }

    fn group_error<T: Copy>(&self, frame: &Frame<T>, error: Metric<T>, found: &mut Found, samples: usize) {
        let by_group = frame.disaggregate(error);
        if self.asks("groupErrorDifference") {
            let comparison = Comparison { form: Form::Difference, method: Method::BetweenGroups };
            let disparity = frame.disparity(error, comparison, Some(&bootstrap()));
            let groups = by_group.by_group.iter().map(|it| (it.size.group.to_string(), it.value)).collect();
            found.disparity("groupErrorDifference", disparity, samples, &groups);
        }
        found.facts["errorByGroup"] = json!(by_group);
        found.facts["groupsLeftOut"] = json!(frame.left_out());
    }

    /// In which rows the errors are.
    fn slices(&self, errors: &[f64], found: &mut Found) -> anyhow::Result<()> {
        if !self.asks("worstSliceErrorRate") {
            return Ok(());
        }
        let analysis = analyze(self.table, self.features, errors, self.minimum())?;
        let worst = analysis.slices.first();
        let detail = worst.map_or_else(
            || format!("no slice has {} rows", self.minimum()),
            |slice| {
                let terms = slice.terms.iter().map(|term| {
                    format!("{} {}", term.feature, term.value.as_deref().unwrap_or("without a value"))
                });
                format!("{}, {} rows", terms.collect::<Vec<_>>().join(" and "), slice.rows)
            },
        );
        found.put("worstSliceErrorRate", worst.map(|it| it.error), errors.len(), &detail);
        found.facts["slices"] = json!(analysis.slices.iter().take(20).collect::<Vec<_>>());
        Ok(())
    }

    /// The classes that are known, in the order of their texts.
    fn classes_of(&self, predicted: Option<&Column>) -> Vec<String> {
        let labels = self.table.column(self.label).into_iter().flat_map(Column::texts);
        let predicted = predicted.into_iter().flat_map(Column::texts);
        let texts = labels.chain(predicted).flatten().map(std::borrow::Cow::into_owned);
        let mut classes: Vec<String> = texts.collect();
        // Numbers come by their size, as scikit-learn sorts them.
        let number = |text: &str| text.parse::<f64>().ok();
        if classes.iter().all(|it| number(it).is_some()) {
            classes.sort_by(|one, other| {
                number(one).partial_cmp(&number(other)).unwrap_or(std::cmp::Ordering::Equal)
            });
        } else {
            classes.sort_unstable();
        }
        classes.dedup();
        classes
    }
}

/// The first of some classes, in words.
fn some(classes: &[String]) -> String {
    classes.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn bootstrap() -> Bootstrap {
    Bootstrap { resamples: RESAMPLES, level: Level::default(), seed: 7 }
}

/// The scores of the positive class: the probabilities come in the order of the classes, as scikit-learn sorts them.
fn positive_scores(predictions: &Predictions, classes: &[String], positive: &str) -> Option<Vec<f64>> {
    let place = classes.iter().position(|it| it == positive)?;
    let probabilities = predictions.probabilities.as_ref()?;
    let of_row = |row: &Vec<f64>| (row.len() == classes.len()).then(|| row.get(place).copied()).flatten();
    probabilities.iter().map(of_row).collect()
}

impl Found {
    fn put(&mut self, metric: &str, value: Option<f64>, samples: usize, detail: &str) {
        let measured =
            Measured { value, samples: samples as u64, detail: detail.to_owned(), ..Measured::default() };
        self.measured.insert(metric.to_owned(), measured);
    }

    fn disparity(
        &mut self,
        metric: &str,
        disparity: Disparity,
        samples: usize,
        groups: &BTreeMap<String, Option<f64>>,
    ) {
        let (value, interval, detail) = match disparity {
            Disparity::Measured { value, interval } => {
                (Some(value), interval.map(|it| (it.low, it.high)), extremes(groups))
            }
            Disparity::NotEnoughGroups { compared } => {
                (None, None, format!("{compared} groups are large enough, and two are needed"))
            }
            Disparity::Undefined => (None, None, "no group is ever predicted positive".to_owned()),
        };
        let measured = Measured { value, interval, samples: samples as u64, detail };
        self.measured.insert(metric.to_owned(), measured);
        if let Value::Object(facts) = &mut self.facts {
            facts.insert(metric.to_owned(), json!(groups));
        }
    }
}

/// The groups with the smallest and the largest value.
fn extremes(groups: &BTreeMap<String, Option<f64>>) -> String {
    let mut values: Vec<(&String, f64)> =
        groups.iter().filter_map(|(group, value)| Some((group, (*value)?))).collect();
    values.sort_by(|left, right| left.1.total_cmp(&right.1));
    match (values.first(), values.last()) {
        (Some(low), Some(high)) => format!("{} has {:.3}, {} has {:.3}", low.0, low.1, high.0, high.1),
        _ => String::new(),
    }
}
