//! Free loopback ports, and who holds one.
//!
//! Ports are taken from below the range that the kernel gives to outgoing connections, so that no
//! connection takes a server's port while the server is being restarted.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use rand::Rng;

use crate::seed::Seed;

const LOWEST: u16 = 10_000;
/// Where the kernel's range for outgoing connections starts when it does not say (Linux' default).
const OUTGOING: u16 = 32_768;

/// The port that is tried next, so that one process does not hand out a port twice.
static NEXT: Mutex<Option<u16>> = Mutex::new(None);

/// A loopback address with a port that is free now.
pub(super) fn free() -> std::io::Result<SocketAddr> {
    let end = outgoing().max(LOWEST + 1);
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes that run side by side start in different places.
    let start = next.unwrap_or_else(|| {
        let span = u32::from(end - LOWEST);
        let offset = Seed::fresh().stream("ports").next_u32() % span;
        LOWEST + u16::try_from(offset).unwrap_or(0)
    });
    let candidates = (start..end).chain(LOWEST..start);
    for port in candidates {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            *next = Some(if port + 1 < end { port + 1 } else { LOWEST });
            return Ok(address);
        }
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::AddrInUse,
        format!("no loopback port from {LOWEST} to {end} is free"),
    ))
}

fn outgoing() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(OUTGOING)
}

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its id.
    pub(super) pid: u32,
    /// Its name.
    pub(super) name: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// Who listens on a TCP port; none where nobody does or the process is another user's.
pub(super) fn holder(port: u16) -> Option<Holder> {
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if let Ok(text) = fs::read_to_string(table) {
            sockets.extend(listening(&text, port));
        }
    }
    if sockets.is_empty() {
        return None;
    }
    let links: BTreeSet<String> = sockets.iter().map(|inode| format!("socket:[{inode}]")).collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let descriptors = fs::read_dir(entry.path().join("fd")).ok()?;
        descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|link| link.to_str().is_some_and(|link| links.contains(link)))
            .then(|| Holder {
                pid,
                name: fs::read_to_string(entry.path().join("comm"))
                    .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned()),
            })
    })
}

/// Inodes of the sockets that listen on `port`, out of the kernel's table (proc(5), `/proc/net/tcp`).
fn listening(table: &str, port: u16) -> impl Iterator<Item = u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        let (_, local_port) = local.rsplit_once(':')?;
        (state == LISTEN && u16::from_str_radix(local_port, 16) == Ok(port))
            .then(|| inode.parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_differ() {
        let first = free().unwrap();
        let second = free().unwrap();
        assert_ne!(first.port(), second.port());
        assert!(first.port() >= LOWEST && first.port() < outgoing().max(LOWEST + 1));
        TcpListener::bind(first).unwrap();
    }

    #[test]
    fn the_holder_of_a_port_is_this_process() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(holder(port).map(|holder| holder.pid), Some(std::process::id()));
        drop(listener);
        assert_eq!(holder(port), None);
    }

    #[test]
    fn the_kernels_table_is_read() {
        // Linux 6.18, /proc/net/tcp: one that listens on 29090, one connected from it.
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:71A2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0\n   \
             1: 0100007F:71A2 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4343 1 0000000000000000 20 4 30 10 -1\n";
        assert_eq!(listening(table, 29090).collect::<Vec<_>>(), [4242]);
        assert_eq!(listening(table, 1).count(), 0);
    }
}
