//! The engine whose containers are the nodes.

/// The engine whose containers are the nodes.
///
/// kind v0.33.0 takes it from `KIND_EXPERIMENTAL_PROVIDER`, and a value it does not know for none at all;
/// without one it looks for docker, podman and nerdctl, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Docker.
    Docker,
    /// Podman. `kind load docker-image` asks Docker for the image all the same: load an archive.
    Podman,
}

impl Provider {
    /// Its value of `KIND_EXPERIMENTAL_PROVIDER`, which is the name of its client too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
