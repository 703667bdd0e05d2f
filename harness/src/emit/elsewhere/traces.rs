//! Traces from elsewhere.

use std::time::Duration;

use super::{Elsewhere, ElsewhereError, Share, lasting, named, option, shareable};
use crate::emit::traces::options::TracesOptions;
use crate::seed::Seed;

/// Spans a trace has at most on the mean, in what is emitted here; only a bound is made from it.
const SPANS: u64 = 100;

impl Elsewhere for TracesOptions {
    const COMMAND: &'static str = "traces";
    const ACKNOWLEDGED: &'static str = "/ledger/spans";
    const THINGS: &'static str = "spans";

    fn check(&self, pods: u16) -> Result<(), ElsewhereError> {
        if self.ids.is_some() {
            return Err(ElsewhereError::Here("ids"));
        }
        if self.ledger.is_some() {
            return Err(ElsewhereError::Here("ledger"));
        }
        self.traces
            .map_or(Ok(()), |count| shareable(pods, count, "traces"))
    }

    fn arguments(&self) -> Vec<String> {
        let amount = match self.traces {
            Some(count) => option("traces", count),
            None => option("duration", self.duration),
        };
        let mut arguments = vec![
            option("endpoint", &self.endpoint),
            option("protocol", named(&self.protocol)),
            option("rate", self.rate),
            amount,
            option("batch", self.batch),
            option("in-flight", self.in_flight),
            option("connections", self.connections),
        ];
        arguments.extend(self.services.iter().map(|service| option("service", service)));
        arguments
    }

    fn seed(&self) -> Option<Seed> {
        self.seed
    }

    fn planned(&self) -> Duration {
        match self.traces {
            Some(count) => lasting(count.saturating_mul(SPANS), self.rate),
            None => self.duration.0,
        }
    }

    fn shared(mut self, share: Share, seed: Seed) -> Self {
        self.seed = Some(share.seed(seed));
        self.rate = share.rate(self.rate);
        self.traces = self.traces.map(|count| share.count(count));
        self
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: TracesOptions,
    }

    fn options(arguments: &[String]) -> TracesOptions {
        let line = std::iter::once("emit".to_owned()).chain(arguments.iter().cloned());
        Line::try_parse_from(line).unwrap().options
    }

    fn of(words: &[&str]) -> TracesOptions {
        options(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[rstest]
    #[case(&["--endpoint=http://otel-collector:4317"])]
    #[case(&["--endpoint=http://otel-collector:4318/v1/traces", "--protocol=http", "--rate=0.5", "--traces=12",
        "--service=ml-service", "--service=api-gateway", "--batch=5", "--in-flight=2", "--connections=4"])]
    #[case(&["--endpoint=http://otel-collector:4317", "--duration=90s"])]
    fn arguments_give_the_same_options_again(#[case] words: &[&str]) {
        let given = of(words);
        assert_eq!(options(&given.arguments()), given);
    }

    #[rstest]
    #[case("--ids=x", "--ids names something of this machine")]
    #[case("--ledger=x", "--ledger names something of this machine")]
    #[case("--traces=2", "3 pods cannot share 2 traces")]
    fn what_no_pod_can_do_is_refused(#[case] option: &str, #[case] words: &str) {
        let error = of(&["--endpoint=http://x:1", option])
            .check(3)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(words), "{error}");
    }

    #[test]
    fn shares_are_the_whole_load() {
        let whole = of(&["--endpoint=http://x:1", "--traces=5"]);
        let share = |text: &str| whole.clone().shared(text.parse().unwrap(), Seed(1));
        let (one, two) = (share("0/2"), share("1/2"));
        assert_eq!((one.traces, two.traces), (Some(3), Some(2)));
        assert_ne!(one.seed, two.seed);
    }
}
