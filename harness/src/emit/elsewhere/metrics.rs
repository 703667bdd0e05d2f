//! Metrics from elsewhere: by remote write alone.

use std::time::Duration;

use super::{Elsewhere, ElsewhereError, Share, option, shareable};
use crate::emit::metrics::{Label, MetricsOptions};
use crate::seed::Seed;

impl Elsewhere for MetricsOptions {
    const COMMAND: &'static str = "metrics";
    const ACKNOWLEDGED: &'static str = "/ledger/samples";
    const THINGS: &'static str = "samples";

    fn check(&self, pods: u16) -> Result<(), ElsewhereError> {
        if self.listen.is_some() {
            return Err(ElsewhereError::Here("listen"));
        }
        if self.backfill.is_some() {
            return Err(ElsewhereError::Here("backfill"));
        }
        shareable(pods, self.series, "series")
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = self
            .remote_write
            .iter()
            .map(|url| option("remote-write", url))
            .collect();
        arguments.extend([
            option("rate", self.rate),
            option("series", self.series),
            option("churn", self.churn),
            option("duration", self.duration),
            option("metric", &self.metric),
            option("connections", self.connections),
            option("batch", self.batch),
        ]);
        let labels = self.labels.iter();
        arguments.extend(labels.map(|label| option("label", format!("{}={}", label.name, label.value))));
        arguments
    }

    fn seed(&self) -> Option<Seed> {
        self.seed
    }

    fn planned(&self) -> Duration {
        self.duration.0
    }

    fn shared(mut self, share: Share, seed: Seed) -> Self {
        self.seed = Some(share.seed(seed));
        self.rate = share.rate(self.rate);
        self.series = share.count(self.series);
        // The series of two generators have to be different ones.
        self.labels.push(Label {
            name: "generator".to_owned(),
            value: share.number.to_string(),
        });
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
        options: MetricsOptions,
    }

    fn options(arguments: &[String]) -> MetricsOptions {
        let line = std::iter::once("emit".to_owned()).chain(arguments.iter().cloned());
        Line::try_parse_from(line).unwrap().options
    }

    #[rstest]
    #[case(&["--remote-write=http://prometheus:9090/api/v1/write"])]
    #[case(&["--remote-write=http://prometheus/api?a=b", "--rate=12345.5", "--series=77", "--churn=12.5%",
        "--duration=1h30m", "--metric=a_total", "--label=zone=a=b", "--label=x=-1", "--connections=3", "--batch=9"])]
    fn arguments_give_the_same_options_again(#[case] line: &[&str]) {
        let given = options(&line.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(options(&given.arguments()), given);
    }

    #[rstest]
    #[case("--listen=127.0.0.1:0", 1, "--listen names something of this machine")]
    #[case("--backfill=x", 1, "--backfill names something of this machine")]
    #[case("--remote-write=http://x/", 1001, "1001 pods cannot share 1000 series")]
    fn what_no_pod_can_do_is_refused(#[case] option: &str, #[case] pods: u16, #[case] words: &str) {
        let error = options(&[option.to_owned()]).check(pods).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    }

    #[test]
    fn shares_are_of_different_series() {
        let whole = options(&["--remote-write=http://x/".to_owned(), "--series=3".to_owned()]);
        let share = |text: &str| whole.clone().shared(text.parse().unwrap(), Seed(1));
        let (one, two) = (share("0/2"), share("1/2"));
        assert_eq!((one.series, two.series), (2, 1));
        assert_ne!(one.labels, two.labels);
        assert_ne!(one.seed, two.seed);
        assert!((one.rate + two.rate - whole.rate).abs() < 1e-9);
    }
}
