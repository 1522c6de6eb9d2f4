//! A real Kubernetes cluster on this machine.

/// What to do with the cluster.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Start it.
    Up,
}

/// Runs one cluster command.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up => anyhow::bail!("not built"),
    }
}
