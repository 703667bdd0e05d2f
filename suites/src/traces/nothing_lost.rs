//! What is kept is stored: every kept trace is in Elasticsearch, whole and as it was sent, and nothing else.
//!
//! Method: traces as the platform's services make them, of which the sampler's hash says beforehand
//! whether they are kept, over both protocols through the shared Collector and Jaeger into Elasticsearch.
//! The Collector's counters, the number of stored spans and each trace as Jaeger gives it are held
//! against what was sent.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};
use std::time::Duration;

use harness::case::{Case, CaseError, Context};
use harness::component::jaeger::Jaeger;
use harness::component::trace::{self, Attribute, SpanEvent, differences};
use harness::drawing::{Drawing, Hop};
use harness::emit::otlp::Protocol;
use harness::emit::traces::plan::{Amount, Plan, Wanted};
use harness::emit::traces::topology::Topology;
use harness::finding::{Finding, Findings};
use harness::judge::sampling::{HashSeed, kept_buckets};
use harness::mutant::{Edit, Mutant};
use harness::stack::Capability;
use harness::verdict::Level;
use harness::wait::{Look, Wait};
use harness::wire::otlp::traces::{ExportTraces, Span, StatusCode};
use harness::wire::otlp::{KeyValue, TraceId, Value, batch};
use prost::Message;
use serde_json::json;

use super::declared::{SAMPLERS, config, hash, promised};
use super::sampled_set::{Account, account_for};
use super::split::{Load, send_over};
use super::{COLLECTOR, JAEGER};

/// Traces to be kept and to be dropped, of each kind.
const KEPT: usize = 30;
const DROPPED: usize = 70;
/// Spans a second of the plan; its instants do not matter here.
const RATE: f64 = 1e6;
/// Longest until what was exported is found.
const STORED: Duration = Duration::from_secs(30);
/// Attributes that Jaeger adds or makes of what OTLP has members of its own for.
const ADDED: [&str; 5] = [
    "otel.scope.name",
    "otel.scope.version",
    "otel.status_description",
    "w3c.tracestate",
    "internal.span.format",
];

/// The case.
pub(super) fn case() -> Case {
    Case {
        id: "traces/nothing-lost",
        claim: "every trace that is kept is found in Jaeger span by span as it was sent, and what is dropped is not",
        level: Level::Must,
        promises: &[
            "traces-end-to-end",
            "traces-integrity",
            "traces-collector",
            "traces-storage-backend",
            "traces-latency-breakdown",
            "integration-traces-sdk",
        ],
        needs: &[
            Capability::Collector,
            Capability::Jaeger,
            Capability::Elasticsearch,
        ],
        profiles: &["core"],
        excludes: &[],
        disturbs: Some("sends traces, which stay as long as their retention says"),
        bound: Duration::from_mins(2),
        run: |context| Box::pin(run(context)),
        mutants,
    }
}

fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "stored-in-memory",
            "Jaeger keeps traces in its own memory",
            Edit::set(
                JAEGER,
                "/spec/config/extensions/jaeger_storage/backends/elasticsearch",
                json!({"memory": {"max_traces": 100_000}}),
            ),
        ),
        Mutant::new(
            "sampled-twice",
            "a second sampler drops half of what the first keeps",
            Edit::set(
                COLLECTOR,
                "/spec/config/processors/probabilistic_sampler~1again",
                json!({"mode": "hash_seed", "hash_seed": 7, "sampling_percentage": 50}),
            ),
        )
        .and(Edit::set(
            COLLECTOR,
            "/spec/config/service/pipelines/traces~1default/processors",
            json!([
                "probabilistic_sampler/default",
                "probabilistic_sampler/again",
                "batch"
            ]),
        )),
        Mutant::new(
            "collector-refuses",
            "the Collector's memory limit is too low for anything to be taken",
            Edit::set(COLLECTOR, "/spec/config/processors/memory_limiter/limit_mib", 2),
        )
        .and(Edit::set(
            COLLECTOR,
            "/spec/config/processors/memory_limiter/spike_limit_mib",
            1,
        )),
        Mutant::new(
            "other-port",
            "the Collector listens on a port that no SDK sends to",
            Edit::set(
                COLLECTOR,
                "/spec/config/receivers/otlp/protocols/grpc/endpoint",
                "0.0.0.0:14317",
            ),
        ),
    ]
}

async fn run(context: Context) -> Result<Findings, CaseError> {
    let collector = context.stack.collector()?;
    let hash = hash(&config(&context)?)?;
    let now = harness::clock::unix_nanoseconds();
    let mut findings = Findings::new();
    findings.push(ports(&context)?);
    let mut kept: Vec<(TraceId, Vec<trace::Span>)> = Vec::new();
    let mut ids = Vec::new();
    let mut hops: Vec<Hop> = Vec::new();
    let kinds = [Protocol::Grpc, Protocol::Http].into_iter().zip(SAMPLERS);
    for (ml, (protocol, (_, promise))) in kinds.enumerate() {
        let percentage = promised(&context, promise)?;
        let chosen = chosen(&context, hash, percentage, now, ml);
        let requests = requests(&context, &chosen, now, ml == 1)?;
        let words = match protocol {
            Protocol::Grpc => "over gRPC",
            Protocol::Http => "over HTTP",
        };
        context
            .progress
            .step("", format!("sending {} traces {words}", chosen.len()));
        let (before_kept, mut spans_sent) = (counted(&kept), 0);
        for (id, spans) in by_trace(&requests) {
            spans_sent += spans.len() as u64;
            if hash.keeps(percentage, id) {
                kept.push((id, spans));
            }
        }
        ids.extend(chosen);
        let before = Account::of(collector).await?;
        let endpoints = collector.endpoints();
        let to = match protocol {
            Protocol::Grpc => endpoints.otlp_grpc,
            Protocol::Http => endpoints.otlp_http,
        };
        let sent = send_over(protocol, to, Load::of(requests), &context.cancel).await?;
        let (account, open) = account_for(collector, &before, &sent).await?;
        findings.push(
            Finding::of(format!("the Collector accounts for every span sent {words}"))
                .declared(format!("{} spans sent", sent.tally.acknowledged))
                .effective(account.words())
                .bound("accepted = kept + dropped, exported = kept")
                .unit("spans")
                .judge(open.is_none() && sent.tally.clean(), || {
                    open.clone().unwrap_or_else(|| {
                        let why = sent.tally.failures.first();
                        format!(
                            "{} spans were refused, {} not answered: {}",
                            sent.tally.refused,
                            sent.tally.unanswered,
                            why.map_or("", |failure| &failure.words)
                        )
                    })
                }),
        );
        let spans = counted(&kept) - before_kept;
        hops.push(Hop::new(
            format!("acknowledged {words}"),
            sent.tally.acknowledged,
            spans_sent,
        ));
        hops.extend(account.hops(sent.tally.acknowledged, spans));
        if sent.tally.acknowledged == 0 || open.is_some() {
            draw(&mut findings, hops);
            return Ok(findings);
        }
    }
    let spans = counted(&kept);
    let (stored, there) = stored(&context, &ids, spans).await?;
    hops.push(Hop::new("stored in Elasticsearch", there, spans));
    let found = stored.verdict == harness::verdict::Verdict::Pass;
    findings.push(stored);
    if found {
        let (whole, back) = whole(context.stack.jaeger()?, &kept).await?;
        findings.push(whole);
        hops.push(Hop::new("given back by Jaeger", back, spans));
    }
    draw(&mut findings, hops);
    Ok(findings)
}

/// Traces that were sent over the shared Collector and found in Elasticsearch.
pub(crate) struct Kept(Vec<(TraceId, Vec<trace::Span>)>);

impl Kept {
    /// Sends traces that are kept, and some that are not, and waits until the kept ones are stored.
    pub(crate) async fn sent(context: &Context) -> Result<Self, CaseError> {
        let collector = context.stack.collector()?;
        let hash = hash(&config(context)?)?;
        let now = harness::clock::unix_nanoseconds();
        let (_, promise) = SAMPLERS[0];
        let percentage = promised(context, promise)?;
        let chosen = chosen(context, hash, percentage, now, 0);
        let requests = requests(context, &chosen, now, false)?;
        let kept: Vec<_> = by_trace(&requests)
            .into_iter()
            .filter(|(id, _)| hash.keeps(percentage, *id))
            .collect();
        let to = collector.endpoints().otlp_grpc;
        let sent = send_over(Protocol::Grpc, to, Load::of(requests), &context.cancel).await?;
        if !sent.tally.clean() {
            let why = sent.tally.failures.first();
            return Err(CaseError::Failed(format!(
                "the Collector does not take every span: {}",
                why.map_or("", |failure| &failure.words)
            )));
        }
        let (stored, _) = stored(context, &chosen, counted(&kept)).await?;
        match stored.reason {
            None => Ok(Self(kept)),
            Some(why) => Err(CaseError::Failed(why)),
        }
    }

    /// Whether Jaeger still gives each of them as it was sent.
    pub(crate) async fn again(&self, jaeger: &Jaeger) -> Result<Finding, CaseError> {
        Ok(whole(jaeger, &self.0).await?.0)
    }
}

/// The spans of traces.
fn counted(traces: &[(TraceId, Vec<trace::Span>)]) -> u64 {
    traces.iter().map(|(_, spans)| spans.len() as u64).sum()
}

fn draw(findings: &mut Findings, hops: Vec<Hop>) {
    findings.draw(Drawing::Hops {
        title: "Spans from the services to Jaeger's answers".to_owned(),
        unit: "spans".to_owned(),
        hops,
    });
}

/// IDs of traces of which the hash keeps some and drops some.
///
/// Drawn anew from the seed and the instant: a stack that is used again has those of the last run.
fn chosen(context: &Context, hash: HashSeed, percentage: f32, now: u64, kind: usize) -> Vec<TraceId> {
    let seed = context.seed.derive(&format!("traces {kind} at {now}"));
    let all = hash.one_for_each_bucket(seed);
    let edge = usize::try_from(kept_buckets(percentage)).unwrap_or(0);
    let (below, above) = all.split_at(edge.min(all.len()));
    let some = |ids: &[TraceId], count: usize| -> Vec<TraceId> {
        let step = (ids.len() / count).max(1);
        ids.iter().copied().step_by(step).take(count).collect()
    };
    [some(below, KEPT), some(above, DROPPED)].concat()
}

/// The requests of traces with these IDs, as services make them.
fn requests(context: &Context, ids: &[TraceId], now: u64, ml: bool) -> Result<Vec<ExportTraces>, CaseError> {
    let environment = |why: String| CaseError::Environment(why);
    let special = context.contract.texts("traces-sampling-ml", "services")?;
    let topology = Topology::new(&context.shapes).map_err(|error| environment(error.to_string()))?;
    let origins = topology
        .origins()
        .into_iter()
        .filter(|origin| special.iter().any(|special| special == origin) == ml)
        .map(str::to_owned)
        .collect();
    let wanted = Wanted {
        amount: Amount::Ids(Arc::from(ids)),
        rate: RATE,
        batch: 200,
        origins,
        root_attributes: Vec::new(),
        seed: context.seed.derive(&format!("spans {ml} at {now}")),
    };
    let plan = Plan::new(&topology, &wanted).map_err(|error| environment(error.to_string()))?;
    let mut identities = Vec::new();
    (0..)
        .map_while(|number| plan.slot(number))
        .map(|slot| {
            let mut body = slot.batch.body().to_vec();
            plan.stamp(&slot, now, &mut identities, &mut body);
            let message = body.get(batch::PREFIX..).unwrap_or_default();
            ExportTraces::decode(message).map_err(|error| environment(error.to_string()))
        })
        .collect()
}

/// The spans of requests by trace, as no protocol has them.
fn by_trace(requests: &[ExportTraces]) -> BTreeMap<TraceId, Vec<trace::Span>> {
    let mut traces: BTreeMap<TraceId, Vec<trace::Span>> = BTreeMap::new();
    for resource in requests.iter().flat_map(|request| &request.resource_spans) {
        let mut attributes = resource
            .resource
            .as_ref()
            .map(|resource| neutral(&resource.attributes))
            .unwrap_or_default();
        let service = match attributes.remove("service.name") {
            Some(Attribute::Text(name)) => name,
            _ => String::new(),
        };
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            if let Ok(id) = TraceId::try_from(span.trace_id.as_slice()) {
                let span = neutral_span(id, span, &service, &attributes);
                traces.entry(id).or_default().push(span);
            }
        }
    }
    traces
}

fn neutral_span(
    id: TraceId,
    span: &Span,
    service: &str,
    resource: &BTreeMap<String, Attribute>,
) -> trace::Span {
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    trace::Span {
        trace_id: u128::from_be_bytes(id.0),
        span_id: number(&span.span_id),
        parent: (!span.parent_span_id.is_empty()).then(|| number(&span.parent_span_id)),
        service: service.to_owned(),
        name: span.name.clone(),
        // The numbers of `Span.SpanKind` in OTLP.
        kind: match span.kind {
            1 => trace::SpanKind::Internal,
            2 => trace::SpanKind::Server,
            3 => trace::SpanKind::Client,
            4 => trace::SpanKind::Producer,
            5 => trace::SpanKind::Consumer,
            _ => trace::SpanKind::Unspecified,
        },
        start_micros: span.start_time_unix_nano / 1000,
        duration_micros: span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano) / 1000,
        error: span
            .status
            .as_ref()
            .is_some_and(|status| status.code == i32::from(StatusCode::Error)),
        attributes: neutral(&span.attributes),
        resource: resource.clone(),
        events: span
            .events
            .iter()
            .map(|event| SpanEvent {
                at_micros: event.time_unix_nano / 1000,
                name: event.name.clone(),
                attributes: neutral(&event.attributes),
            })
            .collect(),
    }
}

fn neutral(attributes: &[KeyValue]) -> BTreeMap<String, Attribute> {
    attributes
        .iter()
        .map(|pair| {
            let value = match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::Text(text)) => Attribute::Text(text.clone()),
                Some(Value::Bool(truth)) => Attribute::Boolean(*truth),
                Some(Value::Int(number)) => Attribute::Integer(*number),
                Some(Value::Double(number)) => Attribute::Float(*number),
                other => Attribute::Other(format!("{other:?}")),
            };
            (pair.key.clone(), value)
        })
        .collect()
}

/// The ports that SDKs send to.
fn ports(context: &Context) -> Result<Finding, CaseError> {
    let object = context.tree.object(COLLECTOR)?;
    let mut declared = Vec::new();
    let mut promised = Vec::new();
    for protocol in ["grpc", "http"] {
        let endpoint = object.text(&format!(
            "/spec/config/receivers/otlp/protocols/{protocol}/endpoint"
        ));
        let port = endpoint.rsplit(':').next().unwrap_or_default();
        declared.push(format!("{protocol} {port}"));
        let port = context
            .contract
            .port("traces-collector", &format!("{protocol}-port"))?;
        promised.push(format!("{protocol} {port}"));
    }
    let (declared, promised) = (declared.join(", "), promised.join(", "));
    Ok(Finding::of("ports of the Collector")
        .declared(&declared)
        .bound(&promised)
        .judge(declared == promised, || {
            format!("declared are {declared}, SDKs send to {promised}")
        }))
}

/// How many spans of these traces Elasticsearch has, once it is what it should be or the bound is over.
async fn stored(context: &Context, ids: &[TraceId], spans: u64) -> Result<(Finding, u64), CaseError> {
    let elasticsearch = context.stack.elasticsearch()?;
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let query = json!({"terms": {"traceID": names}});
    context
        .progress
        .step("", format!("waiting for {spans} spans in Elasticsearch"));
    let seen = AtomicU64::new(0);
    let waited = Wait::new("the kept spans in Elasticsearch", STORED)
        .every(Duration::from_millis(200))
        .until(async || {
            let count = match elasticsearch.count("jaeger-span-*", Some(&query)).await {
                Ok(count) => count,
                Err(error) => return Look::Missing(error.to_string()),
            };
            seen.store(count, atomic::Ordering::Relaxed);
            match count.cmp(&spans) {
                Ordering::Equal => Look::Ready(count),
                Ordering::Greater => Look::Hopeless(format!("{count} spans are stored of {spans} kept")),
                Ordering::Less => Look::Missing(format!("{count} spans of {spans} are stored")),
            }
        })
        .await;
    let finding = Finding::of("kept spans stored in Elasticsearch")
        .declared(spans)
        .bound("as many as were kept, of the kept and the dropped traces together")
        .unit("spans");
    let finding = match waited {
        Ok(count) => finding.observed(count),
        Err(error) => finding.judge(false, || error.to_string()),
    };
    Ok((finding, seen.into_inner()))
}

/// Each kept trace as Jaeger gives it against what was sent, and how many spans it gives.
async fn whole(jaeger: &Jaeger, kept: &[(TraceId, Vec<trace::Span>)]) -> Result<(Finding, u64), CaseError> {
    let mut wrong: Vec<String> = Vec::new();
    let (mut spans, mut services, mut back) = (0, 0, 0);
    for (id, sent) in kept {
        let stored = jaeger.trace(u128::from_be_bytes(id.0)).await?;
        let found = match &stored {
            Some(stored) => differences(sent, &stored.spans, &ADDED),
            None => vec!["it is not found".to_owned()],
        };
        if let Some(first) = found.first() {
            wrong.push(format!("{id}: {first} ({} differences)", found.len()));
        }
        spans += sent.len();
        back += stored.map_or(0, |stored| stored.spans.len() as u64);
        let mut names: Vec<&str> = sent.iter().map(|span| span.service.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        services = services.max(names.len());
    }
    let finding = Finding::of("kept traces as Jaeger gives them")
        .declared(format!(
            "{} traces of {spans} spans, over up to {services} services",
            kept.len()
        ))
        .observed(format!("{} differ", wrong.len()))
        .bound("0 differ: IDs, parents, services, names, kinds, times to the microsecond, attributes, events")
        .unit("traces")
        .judge(wrong.is_empty() && services > 1, || {
            wrong
                .first()
                .cloned()
                .unwrap_or_else(|| "no trace crosses services".to_owned())
        });
    Ok((finding, back))
}
