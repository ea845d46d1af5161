//! A small shop that breaks on demand.
//!
//! `GET /buy` sells something, until somebody asks it not to (`POST /chaos/trigger`). What is broken is really
//! broken: a leaked pool has no connection left, and a bad deploy panics in [`basket`]. It logs as services do, JSON
//! lines on standard output ([`log`]), and can ship them itself as Fluent Bit would ([`ship`]).
//!
//! [`serve`] is the edge, [`shop`] what is sold and how that fails, [`mode`] the ways to break it.

pub mod basket;
pub mod log;
pub mod mode;
pub mod serve;
pub mod ship;
pub mod shop;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use log::Log;
use shop::Shop;

/// What may be chosen.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// `http://127.0.0.1:8080/ingest`. `None`: what it logs goes to standard output only.
    pub ingest: Option<ship::Target>,
    /// As FireLens names it: the family of its task definition, and the cluster.
    pub service: String,
    pub cluster: String,
    /// Between two batches that are shipped.
    pub flush: Duration,
    /// Customers a second that come by themselves.
    pub visitors: u32,
    /// Whether lines go to standard output.
    pub prints: bool,
}

/// A shop that is open. It closes when this is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub shop: Arc<Shop>,
    tasks: Vec<JoinHandle<()>>,
}

/// Opens it. Must be called within a Tokio runtime.
pub async fn start(settings: Settings) -> io::Result<Running> {
    let listener = TcpListener::bind(settings.listen).await?;
    let address = listener.local_addr()?;
    let (log, lines) = Log::new(settings.prints);
    let shop = Arc::new(Shop::new(log));
    let mut tasks = vec![tokio::spawn(serve::run(listener, shop.clone()))];
    let shipping = ship::Shipping {
        target: settings.ingest,
        service: settings.service,
        cluster: settings.cluster,
        flush: settings.flush,
    };
    tasks.push(tokio::spawn(shipping.run(lines)));
    if settings.visitors > 0 {
        tasks.push(tokio::spawn(visit(shop.clone(), settings.visitors)));
    }
    Ok(Running { address, shop, tasks })
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn visit(shop: Arc<Shop>, a_second: u32) {
    let mut turns = tokio::time::interval(Duration::from_secs(1) / a_second);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let shop = shop.clone();
        // One who waits for a connection keeps nobody else waiting.
        drop(tokio::spawn(async move { shop.buy().await }));
    }
}
