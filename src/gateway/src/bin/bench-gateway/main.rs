//! The gateway side by side with haproxy and nginx: the same split, the same check of a key, in turn, in one run.
//!
//! The proxies have one processor, the callers and the model servers the other. Prints JSON, and a table for people.
mod load;
mod many;
mod proxies;
mod upstream;

use std::time::Duration;

use serde_json::{Value, json};

use load::{Taken, Target};
use proxies::{Proxy, Scene};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Connections of callers that ask as fast as they are answered.
const CONNECTIONS: usize = 32;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or("run it by cargo xtask bench gateway");
    let (rounds, seconds, brief) = (argument()?.parse()?, argument()?.parse()?, argument()?.parse()?);
    proxies::check()?;
    let folder = std::env::temp_dir().join(format!("bench-gateway-{}", std::process::id()));
    let scene = Scene { stable: upstream::start().await?, canary: upstream::start().await?, folder };
    let result = measure(&scene, rounds, Duration::from_secs_f64(seconds), brief).await;
    let figures =
        result.map_err(|error| format!("{error}; the proxies' logs are in {}", scene.folder.display()))?;
    std::fs::remove_dir_all(&scene.folder)?;
    println!("{}", figures.json());
    eprint!("{}", figures.table());
    Ok(())
}

/// What was measured of one proxy, a value for each round.
#[derive(Default)]
struct Figures {
    rows: Vec<Row>,
    rate: f64,
    many: Option<many::Found>,
}

/// One proxy, or ours with something more to do.
struct Row {
    name: &'static str,
    /// Answers a second as fast as it can.
    per_second: Vec<f64>,
    /// Microseconds of the processor for an answer, as fast as it can.
    cpu: Vec<f64>,
    /// The same at half load.
    cpu_at_half: Vec<f64>,
    /// Microseconds at half load.
    p50: Vec<f64>,
    p99: Vec<f64>,
    memory: f64,
    lost: u64,
}

impl Row {
    fn new(name: &'static str) -> Self {
        let none = Vec::new;
        let (per_second, cpu, cpu_at_half, p50, p99) = (none(), none(), none(), none(), none());
        Self { name, per_second, cpu, cpu_at_half, p50, p99, memory: 0.0, lost: 0 }
    }

    async fn fast(&mut self, proxy: &Proxy, time: Duration) -> Result<(), Failure> {
        let before = proxy.cpu()?;
        let taken = load::closed(&proxy.target, CONNECTIONS, time).await?;
        self.per_second.push(taken.per_second());
        self.cpu.push((proxy.cpu()? - before) / taken.answers as f64);
        Ok(())
    }

    async fn at(&mut self, proxy: &Proxy, rate: f64, time: Duration) -> Result<(), Failure> {
        let before = proxy.cpu()?;
        let taken = load::open(&proxy.target, rate, time).await?;
        self.cpu_at_half.push((proxy.cpu()? - before) / taken.answers as f64);
        self.times(taken);
        self.memory = proxy.memory()?;
        Ok(())
    }

    fn times(&mut self, mut taken: Taken) {
        self.p50.push(taken.quantile(0.5));
        self.p99.push(taken.quantile(0.99));
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "perSecond": median(&self.per_second).round(), "cpuMicros": rounded(median(&self.cpu)),
            "cpuMicrosAtHalfLoad": rounded(median(&self.cpu_at_half)), "p50Micros": median(&self.p50),
            "p99Micros": median(&self.p99), "memoryMebibytes": rounded(self.memory), "lost": self.lost,
        })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn measure(scene: &Scene, rounds: usize, time: Duration, brief: bool) -> Result<Figures, Failure> {
    let shadow = upstream::start().await?;
    let revisions = json!([
        {"name": "stable", "address": scene.stable.to_string(), "weight": 90},
        {"name": "canary", "address": scene.canary.to_string(), "weight": 10},
        {"name": "shadow", "address": shadow.to_string()},
    ]);
    let mirror = json!({"revisions": revisions, "mirror": {"revision": "shadow", "percent": 20}});
    let capture = json!({"capture": {"percent": 100, "store": {"folder": scene.below("captures")?}}});
    let mut proxies = vec![
        scene.haproxy().await?,
        scene.nginx().await?,
        scene.gateway("gateway", &json!({}), "warn").await?,
        scene.gateway("gateway, mirror 20 %", &mirror, "warn").await?,
        scene.gateway("gateway, capture 100 %", &capture, "warn").await?,
        scene.gateway("gateway, access log", &json!({}), "info").await?,
    ];
    if brief {
        proxies.truncate(3);
    }
    let mut rows: Vec<Row> = proxies.iter().map(|proxy| Row::new(proxy.name)).collect();
    let mut direct = Row::new("direct");
    for (row, proxy) in rows.iter_mut().zip(&proxies) {
        row.fast(proxy, time / 4).await?;
        row.per_second.clear();
        row.cpu.clear();
    }
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for (row, proxy) in in_turn(round, &mut rows, &proxies) {
            row.fast(proxy, time).await?;
            eprintln!(
                "  {}: {:.0} answers a second, {:.1} µs each",
                row.name,
                last(&row.per_second),
                last(&row.cpu)
            );
        }
    }
    let rate = rows.iter().find(|row| row.name == "gateway").map_or(0.0, |row| median(&row.per_second) / 2.0);
    if brief {
        return Ok(Figures { rows, rate, many: None });
    }
    let nobody = Target::new(scene.stable, "/score");
    for round in 0..rounds {
        eprintln!("half load, round {} of {rounds}", round + 1);
        direct.times(load::open(&nobody, rate, time).await?);
        for (row, proxy) in in_turn(round, &mut rows, &proxies) {
            row.at(proxy, rate, time).await?;
            eprintln!("  {}: p99 {:.0} µs, {:.1} µs each", row.name, last(&row.p99), last(&row.cpu_at_half));
        }
    }
    for (row, proxy) in rows.iter_mut().zip(&proxies) {
        row.lost = lost(proxy).await?;
    }
    drop(proxies);
    rows.insert(0, direct);
    let many = Some(many::measure(scene).await?);
    Ok(Figures { rows, rate, many })
}

/// Forth in one round and back in the next, so that a machine that becomes busier favours nobody.
fn in_turn<'r>(
    round: usize,
    rows: &'r mut [Row],
    proxies: &'r [Proxy],
) -> Box<dyn Iterator<Item = (&'r mut Row, &'r Proxy)> + 'r> {
    let both = rows.iter_mut().zip(proxies);
    if round.is_multiple_of(2) { Box::new(both) } else { Box::new(both.rev()) }
}

/// Copies and captures that the proxy did not make, by its own count.
async fn lost(proxy: &Proxy) -> Result<u64, Failure> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let Some(admin) = proxy.admin else { return Ok(0) };
    let mut stream = tokio::net::TcpStream::connect(admin).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let is_loss = |line: &&str| {
        ["\"dropped\"", "\"failed\"", "\"full\"", "\"unfit\"", "\"incomparable\""]
            .iter()
            .any(|result| line.contains(result))
    };
    let numbers =
        text.lines().filter(is_loss).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(numbers.sum::<f64>() as u64)
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
        let added = self.of_both(("gateway", "direct"), |row| &row.p99, |one, other| (one - other) / 1_000.0);
        let many = |value: fn(&many::Found) -> f64| self.many.iter().map(value).collect();
        let goals = [
            ("requests per processor second, to haproxy's", to("haproxy"), ">=", 0.8),
            ("requests per processor second, to nginx's", to("nginx"), ">=", 0.8),
            ("added p99 at half load, ms", added, "<=", 1.0),
            ("processor of mirror 20 %, more by", more("mirror 20 %"), "<=", 0.25),
            ("processor of capture 100 %, more by", more("capture 100 %"), "<=", 0.25),
            ("MiB with 10,000 endpoints configured", many(|many| many.configured), "<=", 200.0),
            ("a change among 10,000 live within, s", many(|many| many.change.as_secs_f64()), "<=", 1.0),
        ];
        goals.map(|(name, values, comparison, bound)| Goal { name, values, comparison, bound }).into()
    }

    fn json(&self) -> Value {
        let goals: Vec<Value> = self.goals().iter().map(Goal::json).collect();
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let many = self.many.as_ref();
        let (start, used) = (many.map(|many| many.start.as_secs_f64()), many.map(|many| rounded(many.used)));
        json!({"halfLoadPerSecond": self.rate.round(), "rows": rows, "goals": goals, "startWithAllSeconds": start, "mebibytesOnceAllAnswered": used})
    }

    fn table(&self) -> String {
        let mut text = format!(
            "\n{:<24} {:>8} {:>10} {:>12} {:>8} {:>8} {:>7} {:>6}\n",
            "", "answers/s", "CPU µs", "CPU µs half", "p50 µs", "p99 µs", "MiB", "lost"
        );
        for row in &self.rows {
            text += &format!(
                "{:<24} {:>8.0} {:>10.2} {:>12.2} {:>8.0} {:>8.0} {:>7.1} {:>6}\n",
                row.name,
                median(&row.per_second),
                median(&row.cpu),
                median(&row.cpu_at_half),
                median(&row.p50),
                median(&row.p99),
                row.memory,
                row.lost
            );
        }
        text += &format!("half load is {:.0} answers a second\n\n", self.rate);
        text += "the median of all rounds, and the least and the most of one\n";
        for goal in self.goals() {
            let shown = if goal.is_met() { "met" } else { "MISSED" };
            let (least, most) = goal.spread();
            let Goal { name, comparison, bound, .. } = &goal;
            let value = goal.value();
            text +=
                &format!("{name:<44} {value:>8.3} [{least:.3}, {most:.3}] {comparison} {bound:<6} {shown}\n");
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
