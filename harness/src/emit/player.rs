//! Plays the services of the shapes: one scrape endpoint an instance and port.

use std::net::SocketAddr;

use indexmap::IndexMap;

use crate::seed::Seed;
use crate::shapes::Shapes;

/// Running players. Dropping them closes their ports.
#[derive(Debug)]
pub struct Players {
    endpoints: IndexMap<String, Vec<SocketAddr>>,
}

impl Players {
    /// Plays every service of the shapes on free loopback ports.
    pub async fn start(shapes: &Shapes, seed: Seed) -> Result<Self, std::io::Error> {
        let _ = (shapes, seed);
        todo!()
    }

    /// Addresses by `namespace/service/port name`, one an instance.
    #[must_use]
    pub fn endpoints(&self) -> &IndexMap<String, Vec<SocketAddr>> {
        &self.endpoints
    }
}
