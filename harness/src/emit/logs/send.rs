//! Sending log requests over HTTP, open-loop.

use bytes::Bytes;
use futures::future::join_all;
use reqwest::header::CONTENT_TYPE;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use prost::Message;

use super::model::{Kind, Shape, Stream};
use super::plan::{Form, Plan, Slot, templates};
use super::{LogsError, Tally};
use crate::emit::otlp::{self as otlp_client, Endpoint, OtlpError, Protocol};
use crate::emit::remote_write::{causes, client};
use crate::wait::until_scheduled;
use crate::wire::bulk::{self, Action, Fate};
use crate::wire::loki_push;
use crate::wire::otlp::batch::PREFIX;
use crate::wire::otlp::logs::{self as otlp, Emitter, Prepared};
use crate::wire::otlp::{self as otlp_common, ExportResponse, KeyValue, Resource, RpcStatus, Signal};
use crate::wire::stamped::{Stamped, Template};

/// So much of a server's words is kept.
const WORDS_KEPT: usize = 400;
/// Status of an item that was created before: with [`Action::Create`], a repetition.
const CONFLICT: u16 = 409;

/// How requests look, and how answers are read.
#[derive(Debug, Clone)]
pub(super) enum Exchange {
    Bulk {
        action: Action,
        suffix: String,
        repeats: u32,
    },
    Loki,
    Otlp(Protocol),
}

/// What an answer says.
enum Answer {
    /// Everything was taken.
    Taken,
    /// Of a bulk request: what became of each document.
    Fates(Vec<Fate>),
    /// So many records were not, nobody knows which.
    Partial { rejected: u64, words: String },
    /// Nothing was, as far as the server says.
    Refused { status: String, words: String },
    /// There was none.
    None { why: String },
}

impl Exchange {
    fn content_type(&self) -> &'static str {
        match self {
            Self::Bulk { .. } => bulk::CONTENT_TYPE,
            Self::Loki => loki_push::CONTENT_TYPE,
            Self::Otlp(_) => otlp_common::CONTENT_TYPE,
        }
    }

    pub(super) fn form(&self) -> Form {
        match self {
            Self::Bulk { .. } => Form::Document,
            Self::Loki | Self::Otlp(_) => Form::Line,
        }
    }

    fn repeats(&self) -> u32 {
        match self {
            Self::Bulk { repeats, .. } => *repeats,
            Self::Loki | Self::Otlp(_) => 0,
        }
    }

    /// Lays out a batch.
    pub(super) fn prepare(&self, plan: &Plan, slot: Slot) -> Stamped {
        let records = templates(plan, slot, self.form());
        match self {
            Self::Bulk { action, suffix, .. } => {
                let index = |kind: Kind| format!("{}-{suffix}", kind.prefix());
                let indices =
                    [Kind::Application, Kind::Access, Kind::Platform].map(|kind| (kind, index(kind)));
                let items = records.iter().filter_map(|(kind, _, document)| {
                    let (_, index) = indices.iter().find(|(other, _)| other == kind)?;
                    Some(bulk::Item { index, document })
                });
                bulk::lay_out(*action, items)
            }
            Self::Loki => {
                let labels: Vec<String> = plan.streams().iter().map(Stream::selector).collect();
                let mut streams: Vec<(usize, loki_push::Stream)> = Vec::new();
                for (_, number, line) in &records {
                    match streams.last_mut() {
                        Some((last, stream)) if last == number => stream.lines.push(line),
                        _ => streams.push((
                            *number,
                            loki_push::Stream {
                                labels: &labels[*number],
                                lines: vec![line],
                            },
                        )),
                    }
                }
                loki_push::lay_out(&streams.into_iter().map(|(_, stream)| stream).collect::<Vec<_>>())
            }
            Self::Otlp(protocol) => {
                let mut emitters: Vec<(usize, Emitter)> = Vec::new();
                let shapes = plan.shapes(slot);
                for ((_, number, body), (stream, shape)) in records.iter().zip(shapes) {
                    let prepared = prepared(shape, body);
                    match emitters.last_mut() {
                        Some((last, emitter)) if last == number => emitter.records.push(prepared),
                        _ => emitters.push((
                            *number,
                            Emitter {
                                resource: resource(stream),
                                records: vec![prepared],
                            },
                        )),
                    }
                }
                let emitters: Vec<Emitter> = emitters.into_iter().map(|(_, emitter)| emitter).collect();
                let batch = otlp::lay_out(&emitters);
                match protocol {
                    Protocol::Http => batch,
                    Protocol::Grpc => {
                        // Not compressed, and the length; servers refuse far shorter messages than 4 GiB.
                        let length = u32::try_from(batch.body().len()).unwrap_or(u32::MAX);
                        let mut prefix = [0; PREFIX];
                        prefix[1..].copy_from_slice(&length.to_be_bytes());
                        batch.prefixed(&prefix)
                    }
                }
            }
        }
    }

    fn read(&self, status: u16, body: &[u8], sent: usize) -> Answer {
        if !(200..300).contains(&status) {
            return Answer::Refused {
                status: status.to_string(),
                words: self.words(body),
            };
        }
        match self {
            Self::Bulk { .. } => match bulk::read_answer(body, sent) {
                Ok(fates) => Answer::Fates(fates),
                Err(error) => Answer::None {
                    why: error.to_string(),
                },
            },
            Self::Loki => Answer::Taken,
            Self::Otlp(_) => match ExportResponse::decode(body) {
                Ok(ExportResponse {
                    partial_success: Some(partial),
                }) if partial.rejected > 0 => Answer::Partial {
                    rejected: partial.rejected.unsigned_abs(),
                    words: partial.error_message.chars().take(WORDS_KEPT).collect(),
                },
                // Loki answers 204 and others may say nothing of use; the status counts.
                Ok(_) | Err(_) => Answer::Taken,
            },
        }
    }

    fn words(&self, body: &[u8]) -> String {
        let text = match self {
            // A refusal has the form of the request.
            Self::Otlp(_) => RpcStatus::decode(body)
                .ok()
                .map(|status| status.message)
                .filter(|message| !message.is_empty()),
            Self::Bulk { .. } => serde_json::from_slice::<serde_json::Value>(body)
                .ok()
                .and_then(|answer| {
                    // Most errors are objects; those about the path are plain text.
                    let error = answer.pointer("/error/reason").or_else(|| answer.get("error"))?;
                    Some(error.as_str()?.to_owned())
                }),
            Self::Loki => None,
        };
        let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
        text.trim().chars().take(WORDS_KEPT).collect()
    }
}

/// Resource attributes of a container (semantic conventions, "Kubernetes").
fn resource(stream: &Stream) -> Resource {
    Resource {
        attributes: [
            ("service.name", &stream.service),
            ("k8s.namespace.name", &stream.namespace),
            ("k8s.pod.name", &stream.pod),
            ("k8s.pod.uid", &stream.uid),
            ("k8s.container.name", &stream.container),
            ("k8s.node.name", &stream.node),
        ]
        .into_iter()
        .map(|(key, value)| KeyValue::of(key, value.as_str()))
        .chain(
            stream
                .labels
                .iter()
                .map(|(name, value)| KeyValue::of(format!("k8s.pod.label.{name}"), value.as_str())),
        )
        .collect(),
    }
}

fn prepared<'a>(shape: &Shape, body: &'a Template) -> Prepared<'a> {
    Prepared {
        severity: shape.level.severity(),
        severity_text: shape.level.word(),
        traced: shape.traced,
        body,
    }
}

/// What requests travel by.
enum Client {
    Http(reqwest::Client),
    Grpc(otlp_client::Client),
}

/// One connection with the batches that it sends.
struct Connection {
    client: Client,
    endpoint: Url,
    exchange: Exchange,
    batches: Vec<(usize, Stamped)>,
}

/// Sends a plan; `start` is the unix nanosecond of the first record.
pub(super) async fn send(
    plan: &Plan,
    endpoint: &Url,
    exchange: &Exchange,
    begin: impl FnOnce() -> (Instant, i64),
    stop: &CancellationToken,
) -> Result<(Vec<Tally>, i64), LogsError> {
    let mut endpoint = endpoint.clone();
    if matches!(exchange, Exchange::Bulk { .. })
        && !endpoint.query_pairs().any(|(name, _)| name == "filter_path")
    {
        endpoint
            .query_pairs_mut()
            .append_pair("filter_path", bulk::FILTER_PATH);
    }
    let mut connections = Vec::new();
    for number in 0..plan.connections() {
        connections.push(Connection {
            client: match exchange {
                Exchange::Otlp(Protocol::Grpc) => Client::Grpc(otlp_client::Client::new(&Endpoint {
                    url: endpoint.clone(),
                    protocol: Protocol::Grpc,
                    signal: Signal::Logs,
                    headers: Vec::new(),
                })?),
                _ => Client::Http(client()?),
            },
            endpoint: endpoint.clone(),
            exchange: exchange.clone(),
            batches: (number..plan.groups())
                .step_by(plan.connections())
                .filter_map(|group| Some((group, exchange.prepare(plan, plan.slot(0, group)?))))
                .collect(),
        });
    }
    // The batches are laid out by now; the time starts here.
    let (start, unix) = begin();
    let tallies = join_all(
        connections
            .into_iter()
            .map(|connection| connection.run(plan, start, unix, stop)),
    )
    .await;
    Ok((tallies.into_iter().collect::<Result<_, _>>()?, unix))
}

impl Connection {
    async fn run(
        mut self,
        plan: &Plan,
        start: Instant,
        unix: i64,
        stop: &CancellationToken,
    ) -> Result<Tally, LogsError> {
        let mut tally = Tally::default();
        let mut batches = std::mem::take(&mut self.batches);
        for round in 0.. {
            for (group, batch) in &mut batches {
                let Some(slot) = plan.slot(round, *group) else {
                    return Ok(tally);
                };
                if batch.len() != slot.count {
                    // The last one of all.
                    *batch = self.exchange.prepare(plan, slot);
                }
                batch.stamp(plan.stamps(slot, unix));
                let body = Bytes::copy_from_slice(batch.body());
                let instant = start + plan.instant(slot);
                if Instant::now() < instant {
                    tokio::select! {
                        () = until_scheduled(instant) => {}
                        () = stop.cancelled() => return Ok(tally),
                    }
                } else if stop.is_cancelled() {
                    return Ok(tally);
                }
                let answer = self.post(body.clone(), slot.count).await;
                match &answer {
                    // Where not even the first request gets through, nobody is there.
                    Answer::None { why } if tally.requests == 0 => {
                        return Err(LogsError::Unreachable {
                            endpoint: self.shown(),
                            why: why.clone(),
                        });
                    }
                    Answer::None { .. } => {}
                    _ => tally.late(instant),
                }
                tally.requests += 1;
                tally.bytes += body.len() as u64;
                enter(&mut tally, slot, answer);
                for _ in 0..self.exchange.repeats() {
                    tally.requests += 1;
                    tally.bytes += body.len() as u64;
                    let answer = self.post(body.clone(), slot.count).await;
                    enter_repeated(&mut tally, slot, answer);
                }
            }
            if batches.is_empty() {
                break;
            }
        }
        Ok(tally)
    }

    /// The endpoint as it was given.
    fn shown(&self) -> Url {
        let mut endpoint = self.endpoint.clone();
        if matches!(self.exchange, Exchange::Bulk { .. }) {
            endpoint.set_query(None);
        }
        endpoint
    }

    async fn post(&self, body: Bytes, sent: usize) -> Answer {
        match &self.client {
            Client::Http(client) => self.post_http(client, body, sent).await,
            Client::Grpc(client) => match client.export(body).await {
                Ok(taken) if taken.rejected > 0 => Answer::Partial {
                    rejected: taken.rejected,
                    words: taken.words,
                },
                Ok(_) => Answer::Taken,
                Err(OtlpError::Refused { status, words, .. }) => Answer::Refused { status, words },
                Err(OtlpError::Unreachable { why, .. }) => Answer::None { why },
                Err(error) => Answer::None {
                    why: error.to_string(),
                },
            },
        }
    }

    async fn post_http(&self, client: &reqwest::Client, body: Bytes, sent: usize) -> Answer {
        let request = client
            .post(self.endpoint.clone())
            .header(CONTENT_TYPE, self.exchange.content_type())
            .body(body);
        let none = |error: reqwest::Error| Answer::None {
            why: causes(&error.without_url()),
        };
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                match answer.bytes().await {
                    Ok(body) => self.exchange.read(status, &body, sent),
                    Err(error) => none(error),
                }
            }
            Err(error) => none(error),
        }
    }
}

/// Enters what became of a batch that was sent for the first time.
fn enter(tally: &mut Tally, slot: Slot, answer: Answer) {
    let all = slot.count as u64;
    match answer {
        Answer::Taken => {
            tally.acknowledged += all;
            tally.slots.push((slot, true));
        }
        Answer::Fates(fates) => {
            tally.slots.push((slot, true));
            for (number, fate) in (slot.first..).zip(fates) {
                match fate {
                    Fate::Created => tally.acknowledged += 1,
                    Fate::Replaced => {
                        tally.acknowledged += 1;
                        tally.replaced += 1;
                    }
                    Fate::Refused { status, kind, reason } => {
                        tally.refused += 1;
                        tally.refused_records.push(number);
                        tally.fail_item(status, kind, &reason);
                    }
                }
            }
        }
        Answer::Partial { rejected, words } => {
            let rejected = rejected.min(all);
            tally.refused += rejected;
            // Which ones were taken is not said, so none is taken for certain.
            tally.unanswered += all - rejected;
            tally.slots.push((slot, false));
            tally.fail(Some("partial success".into()), words, rejected);
        }
        Answer::Refused { status, words } => {
            tally.refused += all;
            tally.slots.push((slot, false));
            tally.fail(Some(status), words, all);
        }
        Answer::None { why } => {
            tally.unanswered += all;
            tally.slots.push((slot, false));
            tally.fail(None, why, all);
        }
    }
}

/// Enters what became of a repetition: documents that are there already are as it should be.
fn enter_repeated(tally: &mut Tally, slot: Slot, answer: Answer) {
    match answer {
        Answer::Taken | Answer::Partial { .. } => {}
        Answer::Fates(fates) => {
            for (number, fate) in (slot.first..).zip(fates) {
                match fate {
                    Fate::Replaced | Fate::Refused { status: CONFLICT, .. } => tally.replaced += 1,
                    Fate::Created => {
                        // What was refused at first is there now.
                        if let Some(at) = tally.refused_records.iter().rposition(|other| *other == number) {
                            tally.refused_records.swap_remove(at);
                            tally.refused -= 1;
                            tally.acknowledged += 1;
                        }
                    }
                    Fate::Refused { status, kind, reason } => tally.fail_item(status, kind, &reason),
                }
            }
        }
        Answer::Refused { status, words } => tally.fail(Some(status), words, slot.count as u64),
        Answer::None { why } => tally.fail(None, why, slot.count as u64),
    }
}
