//! The cause of a server's end, out of its log.
//!
//! Prometheus and Alertmanager log in logfmt (`level=ERROR msg="..." err="..."`), or the same pairs
//! in JSON; what they print before logging is set up (wrong flags) and what Go prints when it
//! panics are plain lines.

use serde_json::Value;

/// How many of the last lines stand for the cause where no line calls itself an error.
const LAST_LINES: usize = 3;

/// The cause: a panic, else the first error (later ones tend to follow from it), else the last lines.
pub(super) fn cause(log: &str) -> Option<String> {
    panic(log)
        .or_else(|| exception(log))
        .or_else(|| log.lines().find_map(logged_error))
        .or_else(|| log.lines().find(|line| plain_error(line)).map(clean))
        .or_else(|| last_lines(log))
}

/// The first line of a Go panic or fatal error.
pub(super) fn panic(log: &str) -> Option<String> {
    log.lines()
        .find(|line| line.starts_with("panic: ") || line.starts_with("fatal error: "))
        .map(clean)
}

/// What ended a JVM: the innermost cause of the exception that ended its main thread, then the
/// exception itself; or that its heap was full. Elasticsearch writes both into its log's lines.
fn exception(log: &str) -> Option<String> {
    const FULL: &str = "Terminating due to ";
    const BOOT: &str = "fatal exception while booting Elasticsearch";
    const MAIN: &str = "Exception in thread \"main\"";
    const CAUSE: &str = "Caused by: ";
    if let Some(at) = log.find(FULL) {
        return log[at + FULL.len()..].lines().next().map(clean);
    }
    let (start, skipped) = [BOOT, MAIN]
        .into_iter()
        .find_map(|words| Some((log.find(words)?, words.len())))?;
    let rest = &log[start + skipped..];
    let outer = rest.lines().map(clean).find(|line| !line.is_empty())?;
    let inner = rest
        .lines()
        .filter_map(|line| line.find(CAUSE).map(|at| clean(&line[at + CAUSE.len()..])))
        .next_back();
    Some(match inner {
        Some(inner) => format!("{inner}: {outer}"),
        None => outer,
    })
}

fn logged_error(line: &str) -> Option<String> {
    let pairs = if line.starts_with('{') {
        json(line)
    } else {
        logfmt(line)
    };
    let value = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| pairs.iter().find(|(key, _)| key == *name))
            .map(|(_, value)| clean(value))
    };
    let level = value(&["level", "lvl"])?.to_ascii_lowercase();
    if !["error", "fatal", "crit", "critical", "panic"].contains(&level.as_str()) {
        return None;
    }
    match (value(&["msg", "message"]), value(&["err", "error"])) {
        (Some(message), Some(error)) => Some(format!("{message}: {error}")),
        (Some(text), None) | (None, Some(text)) => Some(text),
        (None, None) => Some(clean(line)),
    }
}

fn plain_error(line: &str) -> bool {
    let line = line.trim_start().to_ascii_lowercase();
    !line.starts_with("time=")
        && (line.starts_with("error") || line.contains(": error:") || line.contains("fatal:"))
}

fn last_lines(log: &str) -> Option<String> {
    let lines: Vec<String> = log.lines().map(clean).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    (!last.is_empty()).then(|| last.join(" / "))
}

/// One line of any text: every run of white space becomes one space.
fn clean(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The texts of a JSON line by name.
fn json(line: &str) -> Vec<(String, String)> {
    let Ok(Value::Object(members)) = serde_json::from_str(line) else {
        return Vec::new();
    };
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
        .collect()
}

/// The pairs of a logfmt line, quoted values unescaped. What is no pair is left out.
fn logfmt(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let key = &rest[..end];
        if !rest[end..].starts_with('=') {
            rest = rest[end..].trim_start();
            continue;
        }
        let (value, after) = value(&rest[end + 1..]);
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    pairs
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(' ').unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => match characters.next() {
                Some((_, 'n' | 't' | 'r')) => value.push(' '),
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    // Prometheus 3.16.0.
    #[case::port(
        "time=2026-11-24T03:21:35.377Z level=INFO source=web.go:731 msg=\"Start listening for connections\" component=web address=127.0.0.1:29090\n\
         time=2026-11-24T03:21:35.378Z level=ERROR source=main.go:1280 msg=\"Unable to start web listener\" err=\"listen tcp 127.0.0.1:29090: bind: address already in use\"\n",
        "Unable to start web listener: listen tcp 127.0.0.1:29090: bind: address already in use"
    )]
    #[case::config(
        r#"time=2026-11-24T03:21:35.445Z level=ERROR source=main.go:774 msg="Error loading config (--config.file=bad.yml)" file=/tmp/bad.yml err="parsing YAML file bad.yml: yaml: unmarshal errors:\n  line 1: field gobal not found in type config.plain""#,
        "Error loading config (--config.file=bad.yml): parsing YAML file bad.yml: yaml: unmarshal errors: line 1: field gobal not found in type config.plain"
    )]
    #[case::rule(
        r#"time=2026-11-24T03:21:35.559Z level=ERROR source=main.go:794 msg="Error loading rule file patterns from config (--config.file=\"p2.yml\")" err="r2.yml: 8:11: group \"g\", rule 2, \"Down\": could not parse expression: 1:7: parse error: unexpected <op:==>""#,
        r#"Error loading rule file patterns from config (--config.file="p2.yml"): r2.yml: 8:11: group "g", rule 2, "Down": could not parse expression: 1:7: parse error: unexpected <op:==>"#
    )]
    #[case::flag(
        "Error parsing command line arguments: unknown long flag '--storage.tsdb.pah'\nprometheus: error: unknown long flag '--storage.tsdb.pah'\n",
        "Error parsing command line arguments: unknown long flag '--storage.tsdb.pah'"
    )]
    #[case::value(
        "Error parsing command line arguments: not a valid duration string: \"abc\"\nusage: prometheus [<flags>]\n\nThe Prometheus monitoring server\n  -h, --[no-]help                Show context-sensitive help\n",
        "Error parsing command line arguments: not a valid duration string: \"abc\""
    )]
    // Prometheus 3.16.0 with --log.format=json.
    #[case::json(
        r#"{"time":"2026-11-24T03:21:35.378Z","level":"ERROR","source":"main.go:1280","msg":"Unable to start web listener","err":"bind: address already in use"}"#,
        "Unable to start web listener: bind: address already in use"
    )]
    // Alertmanager 0.31.1.
    #[case::alertmanager_flag(
        "alertmanager: error: unknown long flag '--foo', try --help\n",
        "alertmanager: error: unknown long flag '--foo', try --help"
    )]
    // Elasticsearch 8.19.0, and a JVM 17 with -XX:+ExitOnOutOfMemoryError.
    #[case::setting(
        "[2026-11-24T06:44:32,613][INFO ][o.e.p.PluginsService     ] [one] loaded module [x-pack-core]\n\
         [2026-11-24T06:44:35,027][WARN ][stderr                   ] [one] Exception in thread \"main\" java.lang.IllegalArgumentException: unknown setting [cluster.nonsense] please check\n\
         [2026-11-24T06:44:35,028][WARN ][stderr                   ] [one] \tat org.elasticsearch.server@8.19.0/org.elasticsearch.common.settings.AbstractScopedSettings.validate(AbstractScopedSettings.java:564)\n",
        "java.lang.IllegalArgumentException: unknown setting [cluster.nonsense] please check"
    )]
    #[case::bind(
        "[2026-11-24T06:44:55,620][WARN ][stderr                   ] [one] Exception in thread \"main\" BindHttpException[Failed to bind to 127.0.0.1:29200]; nested: BindException[Address already in use];\n\
         [2026-11-24T06:44:55,620][WARN ][stderr                   ] [one] Caused by: java.net.BindException: Address already in use\n",
        "java.net.BindException: Address already in use: BindHttpException[Failed to bind to 127.0.0.1:29200]; nested: BindException[Address already in use];"
    )]
    #[case::heap(
        "Terminating due to java.lang.OutOfMemoryError: Java heap space\n",
        "java.lang.OutOfMemoryError: Java heap space"
    )]
    // Go.
    #[case::panic(
        "level=ERROR msg=earlier err=other\npanic: runtime error: index out of range\n\ngoroutine 1 [running]:\n",
        "panic: runtime error: index out of range"
    )]
    #[case::no_error("one\n\ntwo\nthree\nfour\n", "two / three / four")]
    fn the_cause_is_found(#[case] log: &str, #[case] expected: &str) {
        assert_eq!(cause(log).as_deref(), Some(expected));
    }

    #[test]
    fn silence_has_no_cause() {
        assert_eq!(cause("\n \n"), None);
    }

    proptest! {
        /// forall text: cause(text) comes back, on one line.
        #[test]
        fn any_log_is_read(log in "(level=(ERROR|INFO)|[a-z=\" \\\\\n]|é){0,80}") {
            prop_assert!(cause(&log).is_none_or(|cause| !cause.contains('\n')));
        }
    }
}
