//! What was measured, and what it says of the goals.
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{self, Taken};
use crate::proxies::Proxy;
use crate::{Failure, many};

/// Connections of callers that ask as fast as they are answered.
const CONNECTIONS: usize = 32;

/// What was measured.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) rows: Vec<Row>,
    /// Answers a second at half load.
    pub(crate) rate: f64,
    /// The share of its time that the machine is away when both processors are busy.
    pub(crate) away: f64,
    pub(crate) many: Option<many::Found>,
}

/// One proxy, or ours with something more to do: a value for each round.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Answers a second as fast as it can.
    pub(crate) per_second: Vec<f64>,
    /// Microseconds of the processor for an answer, as fast as it can.
    pub(crate) cpu: Vec<f64>,
    /// The same at half load.
    pub(crate) cpu_at_half: Vec<f64>,
    /// Microseconds at half load.
    p50: Vec<f64>,
    pub(crate) p99: Vec<f64>,
    /// The same in each tenth of a second, of all rounds.
    usual_p99: Vec<f64>,
    memory: f64,
    pub(crate) lost: u64,
}

impl Row {
    pub(crate) fn new(name: &'static str) -> Self {
        let none = Vec::new;
        let (per_second, cpu, cpu_at_half) = (none(), none(), none());
        let (p50, p99, usual_p99) = (none(), none(), none());
        Self { name, per_second, cpu, cpu_at_half, p50, p99, usual_p99, memory: 0.0, lost: 0 }
    }

    pub(crate) async fn fast(&mut self, proxy: &Proxy, time: Duration) -> Result<(), Failure> {
        let before = proxy.cpu()?;
        let taken = load::closed(&proxy.target, CONNECTIONS, time).await?;
        self.per_second.push(taken.per_second());
        self.cpu.push((proxy.cpu()? - before) / taken.answers as f64);
        Ok(())
    }

    pub(crate) async fn at(&mut self, proxy: &Proxy, rate: f64, time: Duration) -> Result<(), Failure> {
        let before = proxy.cpu()?;
        let taken = load::open(&proxy.target, rate, time).await?;
        self.cpu_at_half.push((proxy.cpu()? - before) / taken.answers as f64);
        self.times(&taken);
        self.memory = proxy.memory()?;
        Ok(())
    }

    pub(crate) fn times(&mut self, taken: &Taken) {
        self.p50.push(taken.quantile(0.5));
        self.p99.push(taken.quantile(0.99));
        self.usual_p99.extend(taken.quantiles(0.99));
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "perSecond": median(&self.per_second).round(), "cpuMicros": rounded(median(&self.cpu)),
            "cpuMicrosAtHalfLoad": rounded(median(&self.cpu_at_half)), "p50Micros": median(&self.p50),
            "p99Micros": median(&self.p99), "usualP99Micros": median(&self.usual_p99), "memoryMebibytes": rounded(self.memory), "lost": self.lost,
        })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

pub(crate) fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Figures {
    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name.ends_with(name))
    }

    /// What two rows make of each other in every round: what else the machine did hit both alike.
    fn of_both(
        &self,
        (one, other): (&str, &str),
        values: fn(&Row) -> &[f64],
        make: impl Fn(f64, f64) -> f64,
    ) -> Vec<f64> {
        let values = |name: &str| self.row(name).map(values).unwrap_or_default();
        values(one).iter().zip(values(other)).map(|(one, other)| make(*one, *other)).collect()
    }

    /// Every goal.
    fn goals(&self) -> Vec<Goal> {
        let ratio = |one: f64, other: f64| one / other;
        let to = |name: &str| self.of_both((name, "gateway"), |row| &row.cpu, ratio);
        let more = |name: &str| {
            self.of_both((name, "gateway"), |row| &row.cpu_at_half, |one, other| one / other - 1.0)
        };
        let added =
            self.of_both(("gateway", "direct"), |row| &row.usual_p99, |one, other| (one - other) / 1_000.0);
        let many = |value: fn(&many::Found) -> f64| self.many.iter().map(value).collect();
        let goals = [
            ("requests per processor second, to haproxy's", to("haproxy"), ">=", 0.8),
            ("requests per processor second, to nginx's", to("nginx"), ">=", 0.8),
            ("added p99 at half load in a tenth of a second, ms", added, "<=", 1.0),
            ("processor of mirror 20 %, more by", more("mirror 20 %"), "<=", 0.25),
            ("processor of capture 100 %, more by", more("capture 100 %"), "<=", 0.25),
            ("MiB with 10,000 endpoints configured", many(|many| many.configured), "<=", 200.0),
            ("a change among 10,000 live within, s", many(|many| many.change.as_secs_f64()), "<=", 1.0),
        ];
        goals.map(|(name, values, comparison, bound)| Goal { name, values, comparison, bound }).into()
    }

    pub(crate) fn json(&self) -> Value {
        let goals: Vec<Value> = self.goals().iter().map(Goal::json).collect();
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let many = self.many.as_ref();
        let (start, used) = (many.map(|many| many.start.as_secs_f64()), many.map(|many| rounded(many.used)));
        json!({"halfLoadPerSecond": self.rate.round(), "machineAway": rounded(self.away), "rows": rows, "goals": goals, "startWithAllSeconds": start, "mebibytesOnceAllAnswered": used})
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "\n{:<24} {:>8} {:>10} {:>12} {:>8} {:>8} {:>12} {:>7} {:>6}\n",
            "", "answers/s", "CPU µs", "CPU µs half", "p50 µs", "p99 µs", "usual p99 µs", "MiB", "lost"
        );
        for row in &self.rows {
            text += &format!(
                "{:<24} {:>8.0} {:>10.2} {:>12.2} {:>8.0} {:>8.0} {:>12.0} {:>7.1} {:>6}\n",
                row.name,
                median(&row.per_second),
                median(&row.cpu),
                median(&row.cpu_at_half),
                median(&row.p50),
                median(&row.p99),
                median(&row.usual_p99),
                row.memory,
                row.lost
            );
        }
        text += &format!("half load is {:.0} answers a second; ", self.rate);
        text += "the usual p99 is the median of those of every tenth of a second\n";
        text += &format!(
            "the machine itself was away for {:.1} % of the time while both processors were busy\n\n",
            100.0 * self.away
        );
        text += "the median of all rounds, and the least and the most of one\n";
        for goal in self.goals() {
            let shown = if goal.is_met() { "met" } else { "MISSED" };
            let (least, most) = goal.spread();
            let Goal { name, comparison, bound, .. } = &goal;
            let value = goal.value();
            text +=
                &format!("{name:<50} {value:>8.3} [{least:.3}, {most:.3}] {comparison} {bound:<6} {shown}\n");
        }
        text
    }
}

/// What was wanted, and what each round found.
struct Goal {
    name: &'static str,
    values: Vec<f64>,
    comparison: &'static str,
    bound: f64,
}

impl Goal {
    fn value(&self) -> f64 {
        median(&self.values)
    }

    /// The least and the most of a round.
    fn spread(&self) -> (f64, f64) {
        let start = (f64::INFINITY, f64::NEG_INFINITY);
        self.values.iter().fold(start, |(least, most), value| (least.min(*value), most.max(*value)))
    }

    fn is_met(&self) -> bool {
        if self.comparison == ">=" { self.value() >= self.bound } else { self.value() <= self.bound }
    }

    fn json(&self) -> Value {
        let shown = |value: f64| (value * 1e4).round() / 1e4;
        let (least, most) = self.spread();
        json!({
            "goal": self.name, "value": shown(self.value()), "least": shown(least), "most": shown(most),
            "bound": format!("{} {}", self.comparison, self.bound), "isMet": self.is_met(),
        })
    }
}
