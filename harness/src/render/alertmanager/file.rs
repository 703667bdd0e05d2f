//! Alertmanager's file inside its Secret.

use serde_json::Value;

use crate::deploy::kinds::View;
use crate::deploy::kinds::alertmanager::AlertmanagerSpec;
use crate::deploy::{DeployError, DeployTree, Object};

/// The file, parsed.
#[derive(Debug)]
pub(super) struct File<'t> {
    /// The Secret it stands in.
    pub(super) secret: &'t Object,
    /// Where in the Secret, as a dotted path.
    pub(super) place: &'static str,
    /// Its content.
    pub(super) content: Value,
}

/// The file of the Alertmanager object: key `alertmanager.yaml` of the Secret that `configSecret`
/// names, by default `alertmanager-<name>` (prometheus-operator v0.85, API reference).
pub(super) fn file<'t>(
    tree: &'t DeployTree,
    alertmanager: &View<'t, AlertmanagerSpec>,
) -> Result<File<'t>, DeployError> {
    let object = alertmanager.object;
    let name = alertmanager
        .spec
        .config_secret
        .clone()
        .unwrap_or_else(|| format!("alertmanager-{}", object.name()));
    let secret = tree
        .of_kind("Secret")
        .find(|s| s.name() == name && s.namespace() == object.namespace())
        .ok_or_else(|| {
            object.wrong(
                "spec.configSecret",
                format!(
                    "there is no Secret {}/{name}; declare it with the key `alertmanager.yaml`",
                    object.namespace()
                ),
            )
        })?;
    // As Kubernetes does it: `stringData` wins over `data`.
    let (place, text) = if let Some(text) = secret.value.pointer("/stringData/alertmanager.yaml") {
        ("stringData[alertmanager.yaml]", text.as_str().map(str::to_owned))
    } else {
        let encoded = secret.text("/data/alertmanager.yaml");
        let bytes = (!encoded.is_empty()).then(|| decode(encoded)).flatten();
        (
            "data[alertmanager.yaml]",
            bytes.and_then(|b| String::from_utf8(b).ok()),
        )
    };
    let text = text.ok_or_else(|| {
        secret.wrong(
            place,
            "missing or not a text; Alertmanager's file stands in `stringData`, or base64 encoded in `data`, under `alertmanager.yaml`",
        )
    })?;
    let content = serde_saphyr::from_str(&text).map_err(|error| {
        let bare = error.without_snippet().to_string();
        let first = bare.lines().next().unwrap_or_default().to_owned();
        secret.wrong(
            place,
            format!("Alertmanager's file does not parse: {first} (lines count from its own start)"),
        )
    })?;
    Ok(File {
        secret,
        place,
        content,
    })
}

/// Decodes standard base64 (RFC 4648, section 4); white space is skipped. None when it is not base64.
fn decode(text: &str) -> Option<Vec<u8>> {
    let symbols: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let body = symbols
        .iter()
        .rposition(|b| *b != b'=')
        .map_or(0, |last| last + 1);
    if !symbols.len().is_multiple_of(4) || symbols.len() - body > 2 {
        return None;
    }
    let (mut bytes, mut window, mut bits) = (Vec::new(), 0u32, 0u32);
    for symbol in &symbols[..body] {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        window = (window << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((window >> bits) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("", Some(""))]
    #[case("Zg==", Some("f"))]
    #[case("Zm8=", Some("fo"))]
    #[case("Zm9v", Some("foo"))]
    #[case("Zm9v\nYmFy", Some("foobar"))]
    #[case("Zm9", None)]
    #[case("Z===", None)]
    #[case("Zm9*", None)]
    #[case("Zg==Zg==", None)]
    fn base64_as_its_standard_says(#[case] text: &str, #[case] bytes: Option<&str>) {
        assert_eq!(decode(text), bytes.map(|b| b.as_bytes().to_vec()));
    }

    fn encode(bytes: &[u8]) -> String {
        const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        bytes
            .chunks(3)
            .map(|chunk| {
                let group =
                    chunk.iter().fold(0u32, |g, b| (g << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
                (0..4)
                    .map(|i| {
                        if i > chunk.len() {
                            '='
                        } else {
                            char::from(SYMBOLS[((group >> (18 - 6 * i)) & 63) as usize])
                        }
                    })
                    .collect::<String>()
            })
            .collect()
    }

    proptest! {
        /// forall bytes: decode(encode(bytes)) = bytes
        #[test]
        fn base64_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}
