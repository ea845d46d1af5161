//! The program: arguments, and a word when the door is open.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use emberwatch_chaos::ship::Target;
use emberwatch_chaos::{Settings, start};

/// A small shop that breaks on demand: GET / says how.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Port 0: any that is free; it is printed.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Ships what it logs there itself, as Fluent Bit would: http://127.0.0.1:8080/ingest
    #[arg(long, value_name = "URL")]
    ingest: Option<Target>,
    /// A file with the token that the receiver asks for.
    #[arg(long, value_name = "FILE", requires = "ingest")]
    token_file: Option<std::path::PathBuf>,
    /// The family of its task definition.
    #[arg(long, default_value = "shop")]
    service: String,
    #[arg(long, default_value = "prod")]
    cluster: String,
    /// Between two batches that are shipped, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    flush_ms: u64,
    /// Customers a second that come by themselves.
    #[arg(long, default_value_t = 0)]
    visitors: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> io::Result<()> {
    let mut ingest = arguments.ingest;
    if let (Some(target), Some(file)) = (&mut ingest, &arguments.token_file) {
        target.token = Some(std::fs::read_to_string(file)?.trim().to_owned());
    }
    let running = start(Settings {
        listen: arguments.listen,
        ingest,
        service: arguments.service,
        cluster: arguments.cluster,
        flush: Duration::from_millis(arguments.flush_ms),
        visitors: arguments.visitors,
        prints: true,
    })
    .await?;
    writeln!(io::stderr(), "open at http://{}", running.address)?;
    tokio::signal::ctrl_c().await
}
