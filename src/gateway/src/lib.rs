//! The data plane of inference: authentication, traffic split, mirror, capture and metrics in front of model servers.
//!
//! It is built on hyper and hyper-util, which the workspace compiles anyway, with rustls over ring. Pingora 0.9.1 was
//! measured beside it, as the smallest proxy that checks a key and splits, built as for a release without TLS: 33 µs of
//! the processor for a request where this took 20, haproxy 17 and nginx 17 (`cargo xtask bench gateway --peer PROGRAM`,
//! medians of 11 rounds). It has some 160 crates, more than 50 of which have no other use here, among them two of C
//! code, and its filters would save little: the proxy proper is one short path of calls.
//!
//! What a request costs, with a key checked, a split, and a kilobyte answered, by `valgrind --tool=callgrind` over
//! 4,000 requests on 32 connections: 55,000 instructions outside the kernel, haproxy 35,400; 76,800 with the access
//! log. Both make four system calls for a request, beside a wait for each batch of them.
//!
//! `cargo xtask bench gateway`, on two virtual processors of an EPYC with nothing else running, found 0.81 to 0.85 of
//! haproxy's requests for a second of the processor in three runs (medians of 11 rounds), and as many of nginx's; at
//! half load, the 99th percentile of a tenth of a second was 0.2 to 0.3 ms above that without a proxy. A mirror of 20 %
//! took 13 to 16 % more of the processor, and a capture of everything 25 % more, a third of it the writing of files.
//! 10,000 endpoints took 58 MiB, and a change of one was live within 50 ms. The machine itself stalls for milliseconds
//! when both processors are busy, which is what the latest answers of every proxy there show.
//!
//! Invariant: nothing beside the caller's own request and its revision's answer is waited for: mirrors, captures and
//! logs are bounded, dropped when they must be, and counted.
//! Invariant: it reads routing documents alone; keys come as digests, and no Secret is ever read.

pub mod admin;
pub mod answer;
pub mod arguments;
pub mod auth;
pub mod body;
pub mod capture;
pub mod circuit;
pub mod compare;
pub mod config;
pub mod connections;
pub mod drain;
pub mod exchange;
pub mod forward;
pub mod grpc;
mod head_time;
pub mod limit;
pub mod metrics;
pub mod mirror;
pub mod patient;
pub mod pick;
pub mod pool;
pub mod port;
pub mod proxy;
pub mod quiet;
pub mod registry;
pub mod shared;
pub mod source;
pub mod start;
pub mod state;
pub mod statistics;
pub mod table;
mod tensor;
pub mod tls;
pub mod token;
pub mod traces;

pub use start::run;
