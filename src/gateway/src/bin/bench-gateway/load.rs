//! Callers: as fast as they are answered, or at a rate whatever the answers do.
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use crate::Failure;
use crate::upstream::Message;

/// Connections of callers that come when they come.
const OPEN_CONNECTIONS: usize = 64;

/// What callers ask.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    request: Rc<[u8]>,
}

impl Target {
    /// Ten rows of four numbers for a path.
    pub(crate) fn new(address: SocketAddr, path: &str) -> Self {
        let rows: Vec<f64> = (0..40).map(|place| f64::from(place) / 8.0).collect();
        let input = serde_json::json!({"name": "x", "datatype": "FP32", "shape": [10, 4], "data": rows});
        let body = serde_json::json!({"inputs": [input]}).to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: bench.example\r\nauthorization: Bearer secret\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { address, request: request.into_bytes().into() }
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, message: Message::default(), request: Rc::clone(&self.request) })
    }
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    message: Message,
    request: Rc<[u8]>,
}

impl Connection {
    /// Asks something else from now on.
    pub(crate) fn ask(&mut self, target: &Target) {
        self.request = Rc::clone(&target.request);
    }

    /// Asks once; everything but 200 is an error.
    pub(crate) async fn call(&mut self) -> Result<&[u8], Failure> {
        self.stream.write_all(&self.request).await?;
        if !self.message.read(&mut self.stream).await? {
            return Err("the connection was closed".into());
        }
        let head = self.message.head();
        if !head.starts_with(b"HTTP/1.1 200") {
            return Err(format!("answered {}", String::from_utf8_lossy(head)).into());
        }
        Ok(head)
    }
}

/// A tenth of a second: so short that a machine that is away for some milliseconds now and then is there in most.
const WINDOW: f64 = 0.1;

/// How many answers came in how long, and how long each took.
pub(crate) struct Taken {
    pub(crate) answers: usize,
    pub(crate) time: Duration,
    calls: Vec<Call>,
}

/// The window in which a request came, and the microseconds until its answer.
#[derive(Clone, Copy)]
struct Call {
    window: u32,
    micros: u32,
}

impl Taken {
    pub(crate) fn per_second(&self) -> f64 {
        self.answers as f64 / self.time.as_secs_f64()
    }

    /// The microseconds below which such a share of the answers came.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        quantile(self.calls.iter().map(|call| call.micros).collect(), share)
    }

    /// The same in each tenth of a second.
    pub(crate) fn quantiles(&self, share: f64) -> Vec<f64> {
        let windows = self.calls.iter().map(|call| call.window).max().map_or(0, |last| last + 1);
        let of = |window| self.calls.iter().filter(move |call| call.window == window).map(|call| call.micros);
        (0..windows).map(|window| quantile(of(window).collect(), share)).collect()
    }
}

fn quantile(mut micros: Vec<u32>, share: f64) -> f64 {
    micros.sort_unstable();
    let place = (micros.len() as f64 * share) as usize;
    micros.get(place.min(micros.len().saturating_sub(1))).map_or(0.0, |micros| f64::from(*micros))
}

/// Connections that each ask as soon as they are answered.
pub(crate) async fn closed(target: &Target, connections: usize, time: Duration) -> Result<Taken, Failure> {
    let local = LocalSet::new();
    let mut callers = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let target = target.clone();
        callers.spawn_local_on(
            async move {
                let mut connection = target.connect().await?;
                let mut answers = 0_usize;
                while begun.elapsed() < time {
                    connection.call().await?;
                    answers += 1;
                }
                Ok::<_, Failure>(answers)
            },
            &local,
        );
    }
    // A core that sleeps has to be woken by who sends to it, and a slower proxy would pay that more often.
    let awake = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    let all = async {
        let mut all = 0;
        while let Some(answers) = callers.join_next().await {
            all += answers??;
        }
        Ok::<_, Failure>(all)
    };
    let answers = local.run_until(async {
        tokio::select! {
            all = all => all,
            () = awake => Ok(0),
        }
    });
    let answers = answers.await?;
    Ok(Taken { answers, time: begun.elapsed(), calls: Vec::new() })
}

/// Requests at moments that do not depend on the answers; times count from those moments, so that a stall is seen by
/// everyone whom it would have hit.
pub(crate) async fn open(target: &Target, per_second: f64, time: Duration) -> Result<Taken, Failure> {
    let local = LocalSet::new();
    local.run_until(arrivals(target, per_second, time)).await
}

async fn arrivals(target: &Target, per_second: f64, time: Duration) -> Result<Taken, Failure> {
    let mut idle = Vec::new();
    for _ in 0..OPEN_CONNECTIONS {
        idle.push(target.connect().await?);
    }
    let free = Rc::new(Semaphore::new(idle.len()));
    let idle = Rc::new(RefCell::new(idle));
    let (mut random, mut calls) = (fastrand::Rng::with_seed(7), JoinSet::new());
    let (begun, mut due, mut taken) = (Instant::now(), 0.0, Vec::new());
    while due < time.as_secs_f64() {
        // Arrivals of independent callers: the times between them are exponential.
        due += -(1.0 - random.f64()).ln() / per_second;
        let moment = begun + Duration::from_secs_f64(due);
        while Instant::now() < moment {
            // A timer would be a millisecond late; this core has nothing else to do.
            tokio::task::yield_now().await;
            while let Some(call) = calls.try_join_next() {
                taken.push(call??);
            }
        }
        let (idle, free, window) = (Rc::clone(&idle), Rc::clone(&free), (due / WINDOW) as u32);
        calls.spawn_local(async move {
            // Who finds no free connection waits for one, and that counts.
            let _permit = free.acquire().await?;
            let mut connection = idle.borrow_mut().pop().ok_or("no idle connection")?;
            connection.call().await?;
            let micros = moment.elapsed().as_micros() as u32;
            idle.borrow_mut().push(connection);
            Ok::<_, Failure>(Call { window, micros })
        });
    }
    while let Some(call) = calls.join_next().await {
        taken.push(call??);
    }
    Ok(Taken { answers: taken.len(), time: begun.elapsed(), calls: taken })
}
