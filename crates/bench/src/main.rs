//! Measures maitred beside the usual ways to run several copies of a server:
//! throughput, tail latency, what one connection costs its supervisor, what a
//! reload loses, what the library costs a worker, what the metrics cost, and what
//! the process manager costs beside pm2.

#![forbid(unsafe_code)]

mod arrivals;
mod child;
mod command;
mod contender;
mod goal;
mod haproxy;
mod ideal;
mod load;
mod machine;
mod memory;
mod nginx;
mod scratch;
mod stats;
mod stepping;
mod strace;
mod svg;
mod table;
mod tools;
mod tree;

use clap::{Parser, Subcommand};

use command::{
    cost, exec, library, manager, metrics, reload, requests, slow, tail, throughput, worker,
};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Requests per second beside SO_REUSEPORT, Node's cluster and nginx
    Throughput(throughput::Arguments),
    /// Latency under Poisson arrivals of mixed blocking work
    Tail(tail::Arguments),
    /// CPU time and system calls of maitred for each new connection
    Cost(cost::Arguments),
    /// Requests over kept-alive connections, beside nginx and HAProxy
    Requests(requests::Arguments),
    /// What slow clients do to others, beside nginx and HAProxy
    Slow(slow::Arguments),
    /// What a process manager costs: memory, CPU and commands, beside pm2
    Manager(manager::Arguments),
    /// What a reload loses, beside pm2 and nginx
    Reload(reload::Arguments),
    /// What the preloaded library costs a worker for each request
    Library(library::Arguments),
    /// What the metrics cost: the endpoint, and counting for it
    Metrics(metrics::Arguments),
    /// Counts when a client connects, for `metrics`
    #[command(hide = true)]
    Count(metrics::CountArguments),
    /// The light server that `cost` runs many of
    #[command(hide = true)]
    Worker,
    /// Runs a program that ends when this one's parent does
    #[command(hide = true)]
    Exec(exec::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Throughput(arguments) => throughput::run(&arguments),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Cost(arguments) => cost::run(&arguments),
        Command::Requests(arguments) => requests::run(&arguments),
        Command::Slow(arguments) => slow::run(&arguments),
        Command::Manager(arguments) => manager::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Library(arguments) => library::run(&arguments),
        Command::Metrics(arguments) => metrics::run(&arguments),
        Command::Count(arguments) => metrics::count(&arguments),
        Command::Worker => worker::run(),
        Command::Exec(arguments) => exec::run(&arguments),
    }
}
