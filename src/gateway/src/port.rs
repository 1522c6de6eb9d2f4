//! A port of a revision: how it is spoken to, its connections, and whether it may be asked.
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Request, Response};

use crate::body::Lent;
use crate::circuit::Circuit;
use crate::config::Protocol;
use crate::pool::{self, Pool, Received};
use crate::shared::{Flow, Shared};

/// A port of a revision.
pub struct Port {
    address: String,
    protocol: Protocol,
    settings: Settings,
    /// Whether it may be asked.
    pub circuit: Circuit,
    // They are made at the first request: most of ten thousand endpoints are idle.
    connections: OnceLock<Connections>,
}

/// What an endpoint says about the ports of its revisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The time for a connection.
    pub connect: Duration,
    /// The most requests in progress.
    pub in_flight: usize,
    /// When a port is left alone.
    pub circuit: crate::config::Circuit,
}

enum Connections {
    Single(Arc<Pool>),
    Shared(Shared),
}

/// A connection for one request, or a share of one.
pub enum Lease {
    /// A connection of HTTP/1.1.
    Single(pool::Lease),
    /// A share of one of HTTP/2.
    Shared(Flow),
}

/// Why a request has no answer.
pub enum NotAnswered {
    /// The connection was about to be closed and took nothing of the request, which may go to another.
    Unsent(Box<Request<Lent>>),
    /// The connection ended.
    Broken(hyper::Error),
}

impl Port {
    /// A port that was never asked.
    pub fn new(address: &str, protocol: Protocol, settings: Settings) -> Self {
        let open = Duration::from_millis(settings.circuit.open_milliseconds);
        let circuit = Circuit::new(settings.circuit.failures, open);
        Self { address: address.to_owned(), protocol, settings, circuit, connections: OnceLock::new() }
    }

    /// Whether another is reached in the same way.
    pub fn is_like(&self, other: &Self) -> bool {
        self.address == other.address && self.protocol == other.protocol && self.settings == other.settings
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it answers gRPC.
    pub fn is_http_2(&self) -> bool {
        self.protocol == Protocol::H2c
    }

    fn connections(&self) -> &Connections {
        self.connections.get_or_init(|| match self.protocol {
            Protocol::Http1 => {
                let Settings { connect, in_flight, .. } = self.settings;
                Connections::Single(Pool::new(&self.address, connect, in_flight))
            }
            Protocol::H2c => Connections::Shared(Shared::new(&self.address, self.settings.connect)),
        })
    }

    /// A connection, or a share of one.
    pub async fn lease(&self) -> Result<Lease, String> {
        match self.connections() {
            Connections::Single(pool) => pool.lease().await.map(Lease::Single),
            Connections::Shared(shared) => shared.lease().await.map(Lease::Shared),
        }
    }

    /// Closes connections that have been idle for long.
    pub fn sweep(&self) {
        match self.connections.get() {
            Some(Connections::Single(pool)) => pool.sweep(),
            Some(Connections::Shared(shared)) => shared.sweep(),
            None => {}
        }
    }
}

impl Lease {
    /// Sends a request, whose address is a path, and waits for the head of its answer.
    pub async fn send(self, request: Request<Lent>) -> Result<Response<Received>, NotAnswered> {
        match self {
            Self::Single(lease) => lease.send(request).await.map_err(NotAnswered::Broken),
            Self::Shared(flow) => flow.send(request).await,
        }
    }
}
