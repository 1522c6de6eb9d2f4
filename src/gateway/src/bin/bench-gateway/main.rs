//! The gateway side by side with haproxy and nginx: the same split, the same check of a key, in turn, in one run.
//!
//! The proxies have one processor, the callers and the model servers the other. Prints JSON, and a table for people.
mod figures;
mod load;
mod many;
mod proxies;
mod stalls;
mod upstream;

use std::time::Duration;

use serde_json::json;

use figures::{Figures, Row, last, median};
use load::Target;
use proxies::{Proxy, Scene};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == stalls::WITNESS) {
        println!("{}", stalls::witness());
        return Ok(());
    }
    let mut argument = || arguments.next().ok_or("run it by cargo xtask bench gateway");
    let (rounds, seconds, brief) = (argument()?.parse()?, argument()?.parse()?, argument()?.parse()?);
    let peer = argument().ok();
    proxies::check()?;
    let folder = std::env::temp_dir().join(format!("bench-gateway-{}", std::process::id()));
    let scene = Scene { stable: upstream::start().await?, canary: upstream::start().await?, folder };
    let result = measure(&scene, rounds, Duration::from_secs_f64(seconds), brief, peer.as_deref()).await;
    let figures =
        result.map_err(|error| format!("{error}; the proxies' logs are in {}", scene.folder.display()))?;
    std::fs::remove_dir_all(&scene.folder)?;
    println!("{}", figures.json());
    eprint!("{}", figures.table());
    Ok(())
}

async fn measure(
    scene: &Scene,
    rounds: usize,
    time: Duration,
    brief: bool,
    peer: Option<&str>,
) -> Result<Figures, Failure> {
    let proxies = line_up(scene, brief, peer).await?;
    let mut rows: Vec<Row> = proxies.iter().map(|proxy| Row::new(proxy.name)).collect();
    let mut direct = Row::new("direct");
    for (row, proxy) in rows.iter_mut().zip(&proxies) {
        row.fast(proxy, time / 4).await?;
        row.per_second.clear();
        row.cpu.clear();
    }
    let away = stalls::measure()?;
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
        return Ok(Figures { rows, rate, away, many: None });
    }
    let nobody = Target::new(scene.stable, "/score");
    for round in 0..rounds {
        eprintln!("half load, round {} of {rounds}", round + 1);
        direct.times(&load::open(&nobody, rate, time).await?);
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
    Ok(Figures { rows, rate, away, many })
}

/// Everything that is compared.
async fn line_up(scene: &Scene, brief: bool, peer: Option<&str>) -> Result<Vec<Proxy>, Failure> {
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
    if let Some(peer) = peer {
        proxies.push(scene.peer(peer).await?);
    }
    Ok(proxies)
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
