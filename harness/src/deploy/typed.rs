//! Reading a part of an object into a strict type, with the path of what does not fit.

use std::cell::RefCell;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor, value::StrDeserializer,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Error, Map, Value};

use super::nearest::nearest;
use super::{DeployError, Object};

/// Reads `value`, which stands at the dotted `path` of `object`, into `T`.
pub(crate) fn read<T: DeserializeOwned>(
    object: &Object,
    path: &str,
    value: &Value,
) -> Result<T, DeployError> {
    let failed = RefCell::new(None);
    let node = Node {
        value,
        path: path.to_owned(),
        failed: &failed,
    };
    T::deserialize(node).map_err(|error| {
        let field = failed.borrow_mut().take().unwrap_or_else(|| path.to_owned());
        object.wrong(field, explain(&error.to_string()))
    })
}

/// Serde's message, with the remedy for a field that nothing here knows.
fn explain(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return message.to_owned();
    };
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<&str> = rest.split('`').skip(2).step_by(2).collect();
    let hint = nearest(unknown, known).map_or_else(String::new, |near| {
        format!(" (the nearest known one is `{near}`)")
    });
    format!(
        "unknown field: rendering does not know its meaning; correct its spelling{hint}, remove it, \
         or add its meaning to the typed view of this kind"
    )
}

struct Node<'v, 'f> {
    value: &'v Value,
    path: String,
    failed: &'f RefCell<Option<String>>,
}

impl Node<'_, '_> {
    /// The innermost place that failed is remembered; its callers fail after it.
    fn note(failed: &RefCell<Option<String>>, path: &str) {
        failed.borrow_mut().get_or_insert_with(|| path.to_owned());
    }
}

impl<'de> Deserializer<'de> for Node<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(map) => visitor.visit_map(Entries {
                rest: map.iter(),
                current: None,
                map,
                path: self.path,
                failed: self.failed,
            }),
            Value::Array(items) => visitor.visit_seq(Items {
                rest: items.iter().enumerate(),
                path: self.path,
                failed: self.failed,
            }),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.value.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Entries<'v, 'f> {
    rest: serde_json::map::Iter<'v>,
    current: Option<(&'v str, &'v Value)>,
    map: &'v Map<String, Value>,
    path: String,
    failed: &'f RefCell<Option<String>>,
}

impl Entries<'_, '_> {
    fn child(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else if key.contains('.') {
            format!("{}[{key}]", self.path)
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.current = Some((key, value));
        seed.deserialize(StrDeserializer::<Error>::new(key))
            .inspect_err(|_| Node::note(self.failed, &self.child(key)))
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (key, value) = self.current.take().unwrap_or(("", &Value::Null));
        let path = self.child(key);
        seed.deserialize(Node {
            value,
            path: path.clone(),
            failed: self.failed,
        })
        .inspect_err(|_| Node::note(self.failed, &path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.map.len())
    }
}

struct Items<'v, 'f> {
    rest: std::iter::Enumerate<std::slice::Iter<'v, Value>>,
    path: String,
    failed: &'f RefCell<Option<String>>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((index, value)) = self.rest.next() else {
            return Ok(None);
        };
        let path = format!("{}[{index}]", self.path);
        seed.deserialize(Node {
            value,
            path: path.clone(),
            failed: self.failed,
        })
        .inspect_err(|_| Node::note(self.failed, &path))
        .map(Some)
    }
}

/// A text that may be written as a whole number (Kubernetes' `IntOrString`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntOrString(pub(crate) String);

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = IntOrString;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }
            fn visit_str<E>(self, text: &str) -> Result<IntOrString, E> {
                Ok(IntOrString(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<IntOrString, E> {
                Ok(IntOrString(number.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<IntOrString, E> {
                Ok(IntOrString(number.to_string()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;
    use std::path::PathBuf;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Sample {
        ports: Vec<Port>,
        #[serde(default)]
        span: Option<crate::units::Span>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Port {
        number: u16,
        name: Option<IntOrString>,
    }

    fn object() -> Object {
        Object {
            file: PathBuf::from("a.yaml"),
            line: 7,
            value: json!({"kind": "Sample", "metadata": {"name": "one"}}),
        }
    }

    #[rstest]
    #[case(json!({"ports": [{"number": 1}, {"number": "x"}]}), "spec.ports[1].number", "invalid type")]
    #[case(json!({"ports": [{"number": 1, "nmae": "x"}]}), "spec.ports[0].nmae", "the nearest known one is `name`")]
    #[case(json!({"ports": [{"name": 5}]}), "spec.ports[0]", "missing field `number`")]
    #[case(json!({"ports": [], "span": "3 days"}), "spec.span", "is not a duration")]
    fn errors_name_the_innermost_place(#[case] value: Value, #[case] field: &str, #[case] says: &str) {
        let error = read::<Sample>(&object(), "spec", &value).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("a.yaml:7: Sample/one: {field}: ")),
            "{error}"
        );
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn what_fits_is_read() {
        let value =
            json!({"ports": [{"number": 9090, "name": "web"}, {"number": 1, "name": 5}], "span": "30d"});
        let sample = read::<Sample>(&object(), "spec", &value).unwrap();
        assert_eq!(sample.ports.len(), 2);
    }
}
