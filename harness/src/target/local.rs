//! The local target: real server binaries as child processes on loopback.

use super::{TargetError, UpRequest};
use crate::stack::Stack;

/// A running local stack. Taking it down (or dropping it) ends every process and removes its folder.
#[derive(Debug)]
pub struct LocalStack {}

impl LocalStack {
    /// Renders, starts and waits until every server is ready.
    pub async fn up(request: UpRequest) -> Result<Self, TargetError> {
        let _ = request;
        todo!()
    }

    /// The stack as cases see it.
    #[must_use]
    pub fn stack(&self) -> Stack {
        todo!()
    }

    /// x
    #[must_use]
    pub fn died(&self) -> Option<String> {
        todo!()
    }

    /// Ends every process and removes the folder.
    pub async fn down(self) {
        todo!()
    }
}
