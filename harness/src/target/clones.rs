//! A clone of any server as a process that can be stopped, killed and started again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::failure::Failure;
use super::process::{End, Process};
use super::server::{Ready, Server};
use crate::component::elasticsearch::Elasticsearch;
use crate::stack::{Instance, WorkshopError};
use crate::units::format_duration;
use crate::wait::{Look, Wait};

/// Longest an orderly stop may take: queues and memory are written out.
const STOP_BOUND: Duration = Duration::from_secs(30);
/// What a JVM exits with after SIGTERM: 128 and the signal's number.
const TERMINATED: i32 = 143;
/// SIGTERM.
const TERM: i32 = 15;
/// Longest until a server's clock has followed its shift. The library looks at the file every second.
const CLOCK_BOUND: Duration = Duration::from_secs(30);
/// How far a server's clock may be from where it was put: the library's look at its file, and the answer's way.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_millis(1500);

/// A clone's server with its process, which can be ended and started again.
pub(super) struct Restartable {
    server: Server,
    process: Option<Process>,
    cancel: CancellationToken,
}

impl Restartable {
    pub(super) fn new(server: Server, process: Process, cancel: CancellationToken) -> Self {
        Self {
            server,
            process: Some(process),
            cancel,
        }
    }

    /// The server.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// The process that is to be ended; its own words if it has ended already.
    fn running(&mut self) -> Result<Process, WorkshopError> {
        let name = self.server.name();
        let process = self
            .process
            .take()
            .ok_or_else(|| WorkshopError::Environment(format!("the clone of {name} is stopped already")))?;
        match process.end() {
            Some(end) => Err(WorkshopError::Environment(process.obituary(end).to_string())),
            None => Ok(process),
        }
    }

    /// Ends it in an orderly way; `orderly` says which ends are.
    pub(super) async fn stop(&mut self, orderly: fn(&End) -> bool) -> Result<(), WorkshopError> {
        let process = self.running()?;
        match process.stop(STOP_BOUND).await {
            end if orderly(&end) => Ok(()),
            End::Signal(9) => Err(WorkshopError::Environment(format!(
                "{} did not stop within {} and was killed; log: {}",
                self.server.name(),
                format_duration(STOP_BOUND),
                process.log().display()
            ))),
            end => Err(WorkshopError::Environment(process.obituary(end).to_string())),
        }
    }

    /// Kills it.
    pub(super) async fn kill(&mut self) -> Result<(), WorkshopError> {
        self.running()?.kill().await;
        Ok(())
    }

    /// Starts it again and waits until it is ready.
    pub(super) async fn start(&mut self, client: &impl Ready) -> Result<(), WorkshopError> {
        if self
            .process
            .as_ref()
            .is_some_and(|process| process.end().is_none())
        {
            return Err(WorkshopError::Environment(format!(
                "the clone of {} runs already",
                self.server.name()
            )));
        }
        self.process = Some(self.server.start(client, &self.cancel).await?);
        Ok(())
    }
}

/// A clone's process.
pub(super) struct RunningClone<C> {
    process: Restartable,
    client: C,
    /// The clock it runs with, and the client that tells what the server makes of it.
    clock: Option<(Clock, Elasticsearch)>,
}

impl<C: Ready> RunningClone<C> {
    pub(super) fn new(server: Server, client: C, process: Process, cancel: CancellationToken) -> Self {
        Self {
            process: Restartable::new(server, process, cancel),
            client,
            clock: None,
        }
    }

    pub(super) fn with_clock(mut self, clock: Clock, client: Elasticsearch) -> Self {
        self.clock = Some((clock, client));
        self
    }
}

impl<C: Ready + Send> Instance for RunningClone<C> {
    fn stop(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>> {
        self.process
            .stop(|end| matches!(end, End::Code(0 | TERMINATED) | End::Signal(TERM)))
            .boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>> {
        self.process.kill().boxed()
    }

    fn start(&mut self) -> BoxFuture<'_, Result<(), WorkshopError>> {
        self.process.start(&self.client).boxed()
    }

    fn shift_clock(&mut self, shift: SignedDuration) -> BoxFuture<'_, Result<(), WorkshopError>> {
        async move {
            let Some((clock, client)) = &self.clock else {
                return Err(WorkshopError::Environment(format!(
                    "the clone of {} was started with the real clock, which cannot be shifted",
                    self.process.server().name()
                )));
            };
            clock.set(shift)?;
            Ok(agrees(client, shift).await?)
        }
        .boxed()
    }

    fn folder(&self) -> &Path {
        self.process.server().folder()
    }

    fn log(&self) -> PathBuf {
        self.process.server().log()
    }

    fn process_id(&self) -> Option<u32> {
        self.process
            .process
            .as_ref()
            .filter(|process| process.end().is_none())
            .map(Process::id)
    }
}

/// Waits until every node's own clock is where it was put.
pub(super) async fn agrees(client: &Elasticsearch, shift: SignedDuration) -> Result<(), Failure> {
    Wait::new("elasticsearch's clock where it was put", CLOCK_BOUND)
        .every(Duration::from_millis(50))
        // A node that still looks at the old shift in another thread would show it in between.
        .in_a_row(3)
        .until(|| async {
            let clocks = match client.clocks().await {
                Ok(clocks) => clocks,
                Err(error) => return Look::Missing(error.to_string()),
            };
            let wanted = i128::from(Timestamp::now().as_millisecond()) + shift.as_millis();
            let off = clocks.into_iter().find_map(|(node, clock)| {
                let off = i128::from(clock) - wanted;
                (off.abs() > CLOCK_TOLERANCE.as_millis())
                    .then(|| format!("the clock of {node} is {off} ms off"))
            });
            off.map_or(Look::Ready(()), Look::Missing)
        })
        .await
        .map_err(|error| Failure::Environment(error.to_string()))
}
