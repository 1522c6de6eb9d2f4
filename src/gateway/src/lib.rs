//! The data plane of inference: authentication, traffic split, mirror, capture and metrics in front of model servers.
//!
//! It is built on hyper and hyper-util, which the workspace compiles anyway, with rustls over ring. Pingora 0.9.1 was
//! looked at by its size alone, not by the bench: its proxy without TLS has some 160 crates, more than 50 of which
//! have no other use here, among them two of C code (zlib and zstd), and its filters would save little: the proxy
//! proper is one short path of calls.
//!
//! What a request costs, with a key checked, a split, and a kilobyte answered, by `valgrind --tool=callgrind` over
//! 4,000 requests on 32 connections: 55,000 instructions outside the kernel, haproxy 35,400; 76,800 with the access
//! log. Both make four system calls for a request, beside a wait for each batch of them. A mirror of 20 % adds 30,400
//! instructions, a capture of everything as lines 122,000, most of them where nobody waits. `cargo xtask bench
//! gateway`, on two cores of an EPYC and before a request took an eighth less, found 0.81 to 0.84 times haproxy's
//! requests for a second of the processor in two runs beside moderate other work, and 0.66 to 0.76 in three where
//! other work took most of the machine; a mirror took 14 to 21 % more, a capture 23 to 29 %. 10,000 endpoints took 37
//! MiB, and a change of one was live after 25 ms.
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
