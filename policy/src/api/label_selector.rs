//! Kubernetes' `LabelSelector`, and what it selects
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>).

use std::collections::BTreeMap;

use serde::Deserialize;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A `LabelSelector`: everything in it must hold; an empty one selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must be there with these values.
    #[serde(default)]
    pub match_labels: Labels,
    /// Further requirements.
    #[serde(default)]
    pub match_expressions: Vec<Requirement>,
}

/// A `LabelSelectorRequirement`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Name of the label.
    pub key: String,
    /// How it is held against the values.
    pub operator: Operator,
    /// At least one for `In` and `NotIn`, none otherwise.
    #[serde(default)]
    pub values: Vec<String>,
}

/// A `LabelSelectorOperator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Operator {
    /// It is there, with one of the values.
    In,
    /// It has none of the values, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether it selects an object with these labels.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }

    /// The labels that it asks for.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let required = self.match_expressions.iter().map(|requirement| &requirement.key);
        self.match_labels.keys().chain(required).map(String::as_str)
    }

    /// Checks what spans fields.
    ///
    /// # Errors
    /// The place of the first requirement that is wrong, and what to do about it.
    pub fn check(&self) -> Result<(), String> {
        for (index, requirement) in self.match_expressions.iter().enumerate() {
            let wrong = match (requirement.operator, requirement.values.is_empty()) {
                (Operator::In | Operator::NotIn, true) => "In and NotIn need at least one value",
                (Operator::Exists | Operator::DoesNotExist, false) => {
                    "Exists and DoesNotExist take no values"
                }
                _ => continue,
            };
            return Err(format!("matchExpressions[{index}].values: {wrong}"));
        }
        Ok(())
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn selector(value: Value) -> LabelSelector {
        serde_json::from_value(value).expect("a selector")
    }

    fn one(operator: &str, values: &[&str]) -> LabelSelector {
        selector(json!({"matchExpressions": [{"key": "env", "operator": operator, "values": values}]}))
    }

    #[test]
    fn it_selects_what_kubernetes_says_that_it_selects() {
        let labels = |env: Option<&str>| -> Labels {
            env.map(|env| ("env".to_owned(), env.to_owned())).into_iter().collect()
        };
        let (prod, dev, none) = (labels(Some("prod")), labels(Some("dev")), labels(None));
        for (selector, selected) in [
            (selector(json!({})), [true, true, true]),
            (selector(json!({"matchLabels": {"env": "prod"}})), [true, false, false]),
            (selector(json!({"matchLabels": {"env": "prod", "tier": "a"}})), [false, false, false]),
            (one("In", &["prod", "test"]), [true, false, false]),
            (one("NotIn", &["prod", "test"]), [false, true, true]),
            (one("Exists", &[]), [true, true, false]),
            (one("DoesNotExist", &[]), [false, false, true]),
        ] {
            assert_eq!([&prod, &dev, &none].map(|labels| selector.selects(labels)), selected, "{selector:?}");
            assert_eq!(selector.check(), Ok(()));
        }
        let both = json!({"matchLabels": {"env": "dev"}, "matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["dev"]}]});
        assert!(!selector(both).selects(&dev), "everything must hold");
    }

    #[test]
    fn values_that_do_not_go_with_the_operator_are_named() {
        for (operator, values) in
            [("In", &[][..]), ("NotIn", &[]), ("Exists", &["a"]), ("DoesNotExist", &["a"])]
        {
            let wrong = one(operator, values).check().expect_err(operator);
            assert!(wrong.starts_with("matchExpressions[0].values: "), "{wrong}");
        }
    }
}
