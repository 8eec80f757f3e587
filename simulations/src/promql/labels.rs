//! Label sets: what identifies a series.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The label that holds a metric's name.
pub const NAME: &str = "__name__";
/// The label that holds the upper bound of a bucket of a classic histogram.
pub const BUCKET: &str = "le";
/// What describes the metric itself, not where a sample comes from: lost as soon as a value is computed.
const DESCRIBING: [&str; 3] = [NAME, "__type__", "__unit__"];

/// Label names and values in the order of the names. A label with an empty value is the same as none. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Arc<BTreeMap<Arc<str>, Arc<str>>>);

impl Labels {
    /// No labels but the name of a metric.
    pub fn of_metric(name: &str) -> Labels {
        Labels::default().with(NAME, name)
    }

    /// The same with a label set; an empty value removes it.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Labels {
        self.set(name, value);
        self
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        let labels = Arc::make_mut(&mut self.0);
        if value.is_empty() {
            labels.remove(name);
        } else {
            labels.insert(name.into(), value.into());
        }
    }

    /// The value of a label, empty where there is none.
    pub fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value)
    }

    /// Names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Only the labels that a condition on the name lets through.
    pub(super) fn filtered(&self, keep: impl Fn(&str) -> bool) -> Labels {
        if self.0.keys().all(|name| keep(name)) {
            return self.clone();
        }
        let kept = self.0.iter().filter(|(name, _)| keep(name));
        Labels(Arc::new(
            kept.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ))
    }

    /// Without what describes the metric.
    pub(super) fn without_name(&self) -> Labels {
        self.filtered(|name| !DESCRIBING.contains(&name))
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Labels {
        let mut labels = Labels::default();
        for (name, value) in pairs {
            labels.set(name.as_ref(), value.as_ref());
        }
        labels
    }
}

/// As in a query: `name{label="value"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value(NAME))?;
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().filter(|(name, _)| *name != NAME).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_is_no_label() {
        let labels = Labels::of_metric("up").with("job", "a").with("job", "");
        assert_eq!(labels, Labels::of_metric("up"));
        assert_eq!(labels.value("job"), "");
    }

    #[test]
    fn labels_read_as_in_a_query() {
        let labels = Labels::of_metric("up").with("job", "a\"b").with("instance", "x");
        assert_eq!(labels.to_string(), r#"up{instance="x", job="a\"b"}"#);
        assert_eq!(labels.without_name().to_string(), r#"{instance="x", job="a\"b"}"#);
    }
}
