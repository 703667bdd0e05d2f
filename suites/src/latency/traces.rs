//! A Jaeger as declared, with traces of the played services in it, and what of them a search has to find.
//!
//! The Jaeger is a clone on the shared Elasticsearch, in indices of a prefix of its own: what other cases store
//! neither is read nor changes how much is there.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use harness::case::{CaseError, Context};
use harness::component::jaeger::{Jaeger, Trace, TraceQuery};
use harness::emit::otlp::{Endpoint, Prepared, Protocol, Sending, Source, drive};
use harness::emit::traces::Requests;
use harness::emit::traces::plan::{Amount, Plan, Wanted};
use harness::emit::traces::topology::Topology;
use harness::finding::{Finding, Findings};
use harness::queries::{TraceSearch, Traces};
use harness::stack::{JaegerClone, Running, TraceStore};
use harness::units::Span;
use harness::wait::{Look, Wait};
use harness::wire::otlp::traces::{self as wire, ExportTraces, StatusCode};
use harness::wire::otlp::{KeyValue, Signal, TraceId, Value, batch, text_of};
use prost::Message;
use url::Url;

/// The object that declares Jaeger, for mutants.
pub(super) const JAEGER: &str = "OpenTelemetryCollector/jaeger";
/// Its store, for mutants.
pub(super) const BACKEND: &str =
    "/spec/config/extensions/jaeger_storage/backends/elasticsearch/elasticsearch";
/// Spans of a request: as many as a Collector sends at once, of some forty traces.
const BATCH: u64 = 500;
/// Requests without an answer at a time.
const IN_FLIGHT: usize = 4;
/// Longest until what was taken is found.
const STORED: Duration = Duration::from_secs(40);

/// A Jaeger that is asked.
pub(super) struct Loaded {
    jaeger: Running<Jaeger>,
    /// Whose indices go when it has been asked.
    index_prefix: String,
    /// The spans that were sent, by their trace.
    sent: BTreeMap<TraceId, Vec<Sent>>,
    /// The ends of what is looked at, in unix microseconds; nothing is sent later, so that answers do not change.
    between: (u64, u64),
}

/// A span that was sent.
struct Sent {
    service: String,
    span: wire::Span,
}

/// Loads a Jaeger and says what is loaded.
pub(super) async fn load(
    context: &Context,
    queries: &Traces,
    findings: &mut Findings,
) -> Result<Loaded, CaseError> {
    let over = queries.search.lookback;
    let end = harness::clock::unix_nanoseconds() / 1000 * 1000;
    let start = end.saturating_sub(u64::try_from(over.0.as_nanos()).unwrap_or(u64::MAX));
    let plan = plan(context, queries.loaded, over)?;
    let sent = sent(&plan, start)?;
    let spans: u64 = sent.values().map(|spans| spans.len() as u64).sum();

    let index_prefix = format!("latency-{}", end / 1_000_000);
    let store = TraceStore::Elasticsearch {
        url: context.stack.elasticsearch()?.base().clone(),
        index_prefix: index_prefix.clone(),
    };
    let clone = JaegerClone::named("latency", store);
    let jaeger = context.stack.workshop.jaeger(clone).await?;
    context
        .progress
        .step("", format!("sending {} traces of {spans} spans", sent.len()));
    let url = format!("http://{}", jaeger.client().endpoints().otlp_grpc);
    let endpoint = Endpoint {
        url: Url::parse(&url).map_err(|error| CaseError::Environment(error.to_string()))?,
        protocol: Protocol::Grpc,
        signal: Signal::Traces,
        headers: Vec::new(),
    };
    let sending = Sending {
        connections: 1,
        in_flight: IN_FLIGHT,
    };
    let mut requests = Earlier {
        requests: Requests::new(&plan),
        start,
    };
    let tally = drive(&endpoint, &mut requests, sending, &context.cancel)
        .await
        .map_err(|error| CaseError::Environment(error.to_string()))?;
    context.progress.step("", "waiting until all of them are stored");
    let stored = stored(context, &index_prefix, spans).await?;
    let whole = tally.clean() && stored == Ok(spans);
    findings.push(
        Finding::of("data that is asked for")
            .declared(format!("{} traces over {over}: {spans} spans", sent.len()))
            .effective(format!("{} spans taken", tally.acknowledged))
            .observed(match &stored {
                Ok(count) => format!("{count} spans stored"),
                Err(why) => why.clone(),
            })
            .bound("all of it stored")
            .judge(whole, || match (tally.failures.first(), stored) {
                (Some(failure), _) => format!("spans were not taken: {}", failure.words),
                (None, Err(why)) => why,
                (None, Ok(count)) => format!("{count} spans are stored of {spans}"),
            }),
    );
    Ok(Loaded {
        jaeger,
        index_prefix,
        sent,
        between: (start / 1000, end / 1000),
    })
}

impl Loaded {
    /// Its client.
    pub(super) fn client(&self) -> &Jaeger {
        self.jaeger.client()
    }

    /// A search as Jaeger takes it.
    pub(super) fn query(&self, search: &TraceSearch) -> TraceQuery {
        TraceQuery {
            service: search.service.clone(),
            operation: search.operation.clone(),
            tags: search.tags.clone(),
            start_micros: self.between.0,
            end_micros: self.between.1,
            at_least: search.min_duration.map(|span| span.to_string()),
            at_most: None,
            limit: usize::try_from(search.limit).unwrap_or(usize::MAX),
        }
    }

    /// How many traces a search has to find: those with a span that is all that it asks for, up to its limit.
    pub(super) fn expected(&self, search: &TraceSearch) -> usize {
        let found = self
            .sent
            .values()
            .filter(|spans| spans.iter().any(|sent| sent.matches(search, self.between)));
        found
            .take(usize::try_from(search.limit).unwrap_or(usize::MAX))
            .count()
    }

    /// IDs of so many traces, from all of the time.
    pub(super) fn some(&self, count: usize) -> Vec<TraceId> {
        let step = (self.sent.len() / count.max(1)).max(1);
        self.sent.keys().copied().step_by(step).take(count).collect()
    }

    /// What is wrong with a trace that was found: none of those sent, or not whole.
    pub(super) fn wrong(&self, found: &Trace) -> Option<String> {
        let id = TraceId(found.trace_id.to_be_bytes());
        let Some(sent) = self.sent.get(&id) else {
            return Some(format!("{id} was never sent"));
        };
        let distinct: HashSet<u64> = found.spans.iter().map(|span| span.span_id).collect();
        (distinct.len() != sent.len()).then(|| format!("{id} has {} of {} spans", distinct.len(), sent.len()))
    }

    /// Stops the Jaeger and removes what it stored. The machine is measured after that.
    pub(super) async fn end(mut self, context: &Context) -> Result<(), CaseError> {
        self.jaeger.stop().await?;
        let store = context.stack.elasticsearch()?;
        for index in store.indices(&format!("{}-*", self.index_prefix)).await? {
            store.delete_index(&index).await?;
        }
        Ok(())
    }
}

impl Sent {
    fn matches(&self, search: &TraceSearch, (start, end): (u64, u64)) -> bool {
        let Self { service, span } = self;
        let lasts = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        let has = |key: &str, wanted: &str| match key {
            // Jaeger's words for the status of a span.
            "error" => span
                .status
                .as_ref()
                .is_some_and(|status| (status.code == i32::from(StatusCode::Error)).to_string() == wanted),
            key => span
                .attributes
                .iter()
                .any(|pair| pair.key == key && text(pair).as_deref() == Some(wanted)),
        };
        *service == search.service
            && search.operation.as_ref().is_none_or(|name| span.name == *name)
            && search
                .min_duration
                .is_none_or(|Span(least)| u128::from(lasts) >= least.as_nanos())
            && search.tags.iter().all(|(key, wanted)| has(key, wanted))
            && (start..=end).contains(&(span.start_time_unix_nano / 1000))
    }
}

/// A value as a search asks for it.
fn text(pair: &KeyValue) -> Option<String> {
    match pair.value.as_ref()?.value.as_ref()? {
        Value::Text(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// How many spans an answer of Jaeger holds, without reading it as a whole: each has its operation once, and no
/// value can hold the same text unescaped.
pub(super) fn spans(answer: String) -> usize {
    let count = answer.matches("\"operationName\":").count();
    drop(answer);
    count
}

/// So many traces, spread evenly over the time.
fn plan(context: &Context, traces: u64, over: Span) -> Result<Plan, CaseError> {
    let topology =
        Topology::new(&context.shapes).map_err(|error| CaseError::Environment(error.to_string()))?;
    let at = |rate| {
        let wanted = Wanted {
            amount: Amount::Traces(traces),
            rate,
            batch: BATCH,
            origins: Vec::new(),
            root_attributes: Vec::new(),
            seed: context.seed,
        };
        Plan::new(&topology, &wanted).map_err(|error| CaseError::Environment(error.to_string()))
    };
    // Spans are what a rate counts, and how many the traces have is known once they are drawn.
    let drawn = at(1.0)?;
    let spans: u64 = (0..)
        .map_while(|number| drawn.slot(number))
        .map(|slot| slot.spans)
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "far fewer spans than 2^52")]
    let rate = spans as f64 / over.0.as_secs_f64();
    at(rate)
}

/// The spans of a plan that starts at these unix nanoseconds.
fn sent(plan: &Plan, start: u64) -> Result<BTreeMap<TraceId, Vec<Sent>>, CaseError> {
    let mut traces: BTreeMap<TraceId, Vec<Sent>> = BTreeMap::new();
    let mut identities = Vec::new();
    for slot in (0..).map_while(|number| plan.slot(number)) {
        let mut body = slot.batch.body().to_vec();
        plan.stamp(&slot, start, &mut identities, &mut body);
        let request = ExportTraces::decode(body.get(batch::PREFIX..).unwrap_or_default())
            .map_err(|error| CaseError::Environment(error.to_string()))?;
        for resource in request.resource_spans {
            let attributes = resource.resource.map(|all| all.attributes).unwrap_or_default();
            let service = text_of(&attributes, "service.name").unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                if let Ok(id) = TraceId::try_from(span.trace_id.as_slice()) {
                    traces.entry(id).or_default().push(Sent {
                        service: service.to_owned(),
                        span,
                    });
                }
            }
        }
    }
    Ok(traces)
}

/// Requests of a load that began earlier, all of them due by now.
struct Earlier<'a> {
    requests: Requests<'a>,
    /// When it began, in unix nanoseconds.
    start: u64,
}

impl Source for Earlier<'_> {
    fn next(&mut self, _start: u64) -> Option<Prepared> {
        let prepared = self.requests.next(self.start)?;
        Some(Prepared {
            instant: Duration::ZERO,
            ..prepared
        })
    }

    fn recycle(&mut self, key: u64, body: Bytes) {
        self.requests.recycle(key, body);
    }
}

/// How many spans Elasticsearch has, once it is what it should be; why not, when the bound is over.
async fn stored(context: &Context, index_prefix: &str, spans: u64) -> Result<Result<u64, String>, CaseError> {
    let elasticsearch = context.stack.elasticsearch()?;
    let pattern = format!("{index_prefix}-*span-*");
    Ok(Wait::new("the loaded spans in Elasticsearch", STORED)
        .every(Duration::from_millis(200))
        .until(async || match elasticsearch.count(&pattern, None).await {
            Ok(count) if count == spans => Look::Ready(count),
            Ok(count) if count > spans => Look::Hopeless(format!("{count} spans are stored of {spans} sent")),
            Ok(count) => Look::Missing(format!("{count} spans of {spans} are stored")),
            Err(error) => Look::Missing(error.to_string()),
        })
        .await
        .map_err(|error| error.to_string()))
}
