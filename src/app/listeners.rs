//! Where the program listens: sockets, how many connections they may have, and certificates that change.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::Failure;
use crate::config::{self, tls};
use crate::metrics::Metrics;
use crate::server::connections::Connections;
use crate::server::{Listener, Role};

/// Connections of the control listener: people, Prometheus, health checks.
const CONTROL_CONNECTIONS: usize = 256;
/// Open files that are no senders' connections: the store, the log, deliveries, and room to look around.
const OTHER_FILES: usize = 64;
/// How often the files of `[server.tls]` are looked at: soon enough for who rotates them, and nothing to read.
const TLS_LOOK: Duration = Duration::from_secs(5);

pub(super) async fn bind(
    settings: &config::Server,
    metrics: &Metrics,
    tls: Option<&Arc<ArcSwap<ServerConfig>>>,
) -> Result<Vec<Listener>, Failure> {
    let listen = async |key, address, role, tls: Option<&Arc<_>>, most| {
        let socket = TcpListener::bind(address).await.map_err(|source| Failure::Bind { key, address, source })?;
        let connections = Connections::new(most, metrics.clone());
        Ok::<_, Failure>(Listener { socket, role, tls: tls.cloned(), connections })
    };
    let (most, control_most) = open_files(settings.max_connections);
    // Control is for people on this machine unless somebody has said otherwise.
    let alone = settings.control_listen.is_none() && settings.listen.ip().is_loopback();
    let role = if alone { Role::Both } else { Role::Ingest };
    let mut listeners = vec![listen("server.listen", settings.listen, role, tls, most).await?];
    if let Some(address) = settings.control_listen {
        // What stays on this machine needs no certificate.
        let tls = tls.filter(|_| !address.ip().to_canonical().is_loopback());
        listeners.push(listen("server.control_listen", address, Role::Control, tls, control_most).await?);
    }
    Ok(listeners)
}

/// Raises the limit on open files as far as we may; how many of `wanted` connections it leaves room for, and how
/// many control may have.
fn open_files(wanted: usize) -> (usize, usize) {
    let others = OTHER_FILES + CONTROL_CONNECTIONS;
    let limit = match rlimit::increase_nofile_limit((wanted + others) as u64) {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            tracing::warn!(%error, "the limit on open files cannot be looked at");
            return (wanted, CONTROL_CONNECTIONS);
        }
    };
    // Of very few, too, something is left for each.
    let control = CONTROL_CONNECTIONS.min(limit / 8);
    let room = limit.saturating_sub(OTHER_FILES + control).max(limit / 2);
    if room < wanted {
        tracing::warn!(
            max_connections = wanted,
            in_force = room,
            limit,
            "the limit on open files leaves room for fewer connections (ulimit -n, LimitNOFILE=)"
        );
    }
    (room.min(wanted), control)
}

/// Serves new connections with what the files hold since they changed. No good ones change nothing.
pub(super) async fn reload(
    files: tls::Files,
    mut inforce: tls::Loaded,
    serving_with: Arc<ArcSwap<ServerConfig>>,
    metrics: Metrics,
) {
    let mut told: Option<String> = None;
    let mut looks = tokio::time::interval(TLS_LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        looks.tick().await;
        let reading = files.clone();
        let Ok(loaded) = tokio::task::spawn_blocking(move || tls::load(&reading)).await else { continue };
        match loaded {
            Ok(loaded) if loaded.same_as(&inforce) => told = None,
            Ok(loaded) => {
                serving_with.store(loaded.config.clone());
                (inforce, told) = (loaded, None);
                metrics.tls_reloads.with_label_values(&["loaded"]).inc();
                tracing::info!("the files of [server.tls] have changed; new connections are served with them");
            }
            Err(wrong) => {
                let wrong = wrong.to_string();
                // Once for each fault, not every five seconds.
                if told.as_ref() != Some(&wrong) {
                    metrics.tls_reloads.with_label_values(&["refused"]).inc();
                    tracing::error!("server.tls.{wrong}; connections are served with what was there before");
                    told = Some(wrong);
                }
            }
        }
    }
}

/// What to do about a socket that cannot be had.
pub(super) fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => " (another process listens there: stop it, or choose another port)",
        std::io::ErrorKind::PermissionDenied => " (ports below 1024 need privileges: choose another port)",
        std::io::ErrorKind::AddrNotAvailable => " (this machine has no such address)",
        _ => "",
    }
}
