//! Logs from elsewhere: to a server, not into files.

use std::time::Duration;

use super::{Elsewhere, ElsewhereError, Share, lasting, named, option, shareable};
use crate::emit::logs::options::LogsOptions;
use crate::seed::Seed;

impl Elsewhere for LogsOptions {
    const COMMAND: &'static str = "logs";
    const ACKNOWLEDGED: &'static str = "/ledger/total/records";
    const THINGS: &'static str = "records";

    fn check(&self, pods: u16) -> Result<(), ElsewhereError> {
        if self.files.is_some() {
            return Err(ElsewhereError::Here("files"));
        }
        self.count
            .map_or(Ok(()), |count| shareable(pods, count, "records"))
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = match (&self.bulk, &self.loki, &self.otlp) {
            (Some(url), ..) => {
                let mut bulk = vec![
                    option("bulk", url),
                    option("action", named(&self.action)),
                    option("repeat", self.repeat),
                ];
                bulk.extend(self.suffix.iter().map(|suffix| option("suffix", suffix)));
                bulk
            }
            (None, Some(url), _) => vec![option("loki", url)],
            (None, None, Some(url)) => vec![option("otlp", url), option("protocol", named(&self.protocol))],
            // Files are this machine's.
            (None, None, None) => Vec::new(),
        };
        arguments.extend([
            option("rate", self.rate),
            match self.count {
                Some(count) => option("count", count),
                None => option("duration", self.duration),
            },
            option("connections", self.connections),
            option("batch", self.batch),
        ]);
        arguments.extend(self.services.iter().map(|service| option("service", service)));
        arguments.extend(self.kinds.iter().map(|kind| option("kind", named(kind))));
        arguments.extend(self.history.iter().map(|history| option("history", history)));
        arguments
    }

    fn seed(&self) -> Option<Seed> {
        self.seed
    }

    fn planned(&self) -> Duration {
        match self.count {
            Some(count) => lasting(count, self.rate),
            None => self.duration.0,
        }
    }

    fn shared(mut self, share: Share, seed: Seed) -> Self {
        self.seed = Some(share.seed(seed));
        self.rate = share.rate(self.rate);
        self.count = self.count.map(|count| share.count(count));
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
        options: LogsOptions,
    }

    fn options(arguments: &[String]) -> LogsOptions {
        let line = std::iter::once("emit".to_owned()).chain(arguments.iter().cloned());
        Line::try_parse_from(line).unwrap().options
    }

    fn of(words: &[&str]) -> LogsOptions {
        options(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[rstest]
    #[case(&["--bulk=http://elasticsearch:9200/_bulk"])]
    #[case(&["--bulk=http://elasticsearch:9200", "--action=create", "--suffix=-x", "--repeat=2", "--count=77",
        "--kind=access", "--kind=platform", "--service=api-gateway", "--history=3h"])]
    #[case(&["--loki=http://loki:3100/", "--rate=0.25", "--duration=2m"])]
    #[case(&["--otlp=http://otel-collector:4317", "--protocol=grpc", "--connections=2", "--batch=10"])]
    fn arguments_give_the_same_options_again(#[case] words: &[&str]) {
        let given = of(words);
        assert_eq!(options(&given.arguments()), given);
    }

    #[rstest]
    #[case(&["--files=x"], "--files names something of this machine")]
    #[case(&["--loki=http://x/", "--count=2"], "3 pods cannot share 2 records")]
    fn what_no_pod_can_do_is_refused(#[case] words: &[&str], #[case] says: &str) {
        let error = of(words).check(3).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }

    #[test]
    fn shares_are_the_whole_load() {
        let whole = of(&["--loki=http://x/", "--count=5"]);
        let share = |text: &str| whole.clone().shared(text.parse().unwrap(), Seed(1));
        let (one, two) = (share("0/2"), share("1/2"));
        assert_eq!((one.count, two.count), (Some(3), Some(2)));
        assert_ne!(one.seed, two.seed);
    }
}
