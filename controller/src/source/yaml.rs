//! YAML to JSON values that remember their lines.

use policy::api::{FieldPath, Step};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::budget::{Budget, BudgetBreach};
use serde_saphyr::{Error, Options, Spanned};

/// One YAML node and the line it begins on.
pub(super) struct Node {
    line: u64,
    tree: Tree,
}

enum Tree {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Field>),
}

struct Field {
    line: u64,
    name: String,
    node: Node,
}

/// Why a file is no YAML. Holds no text of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: Option<u64>,
    pub(super) message: String,
}

/// The documents of a file. Empty ones are left out.
pub(super) fn documents(bytes: &[u8]) -> Result<Vec<Node>, Malformed> {
    let nodes: Vec<Spanned<Tree>> = serde_saphyr::from_slice_multiple_with_options(bytes, options())
        .map_err(|error| malformed(&error))?;
    Ok(nodes.into_iter().map(Node::from).collect())
}

/// How deep a file may nest: twice what any object here does. Without optimization a level takes some 40 KB of stack.
const DEPTH: usize = 24;

fn options() -> Options {
    let mut options = Options::default();
    options.budget = Some(budget());
    // A snippet would show the values around an error.
    options.with_snippet = false;
    options
}

/// The operator's own files: as many objects as they like. Nesting is bounded, because whoever reads it recurses;
/// replayed aliases have limits of their own.
fn budget() -> Budget {
    let mut budget = Budget::default();
    budget.max_depth = DEPTH;
    for unlimited in [
        &mut budget.max_events,
        &mut budget.max_aliases,
        &mut budget.max_anchors,
        &mut budget.max_documents,
        &mut budget.max_nodes,
        &mut budget.max_total_scalar_bytes,
        &mut budget.max_merge_keys,
    ] {
        *unlimited = usize::MAX;
    }
    budget.enforce_alias_anchor_ratio = false;
    budget
}

/// The library's own text is used only where it cannot hold text of the file.
fn malformed(error: &Error) -> Malformed {
    let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
    let message = match error {
        Error::DuplicateMappingKey { .. } => "the same field stands twice in one object",
        Error::Eof { .. } => "the file ends in the middle of a value",
        Error::InvalidUtf8Input => "the file is not UTF-8 text",
        Error::UnknownAnchor { .. } => "an alias (*name) has no anchor (&name) before it",
        Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => {
            "aliases (*name) unfold to too much"
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => "it is nested too deeply",
        Error::NonFiniteFloat { .. } => "a number is infinite or not a number",
        _ => "not valid YAML",
    };
    Malformed { line, message: message.to_owned() }
}

impl Node {
    /// The line the node begins on.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The line of a field, or of the nearest thing around it that exists.
    pub(super) fn line_of(&self, path: &FieldPath) -> u64 {
        let (mut line, mut node) = (self.line, self);
        for step in &path.0 {
            let Some((inner_line, inner)) = node.step(step) else { break };
            (line, node) = (inner_line, inner);
        }
        line
    }

    /// Whether a field is there.
    pub(super) fn holds(&self, path: &FieldPath) -> bool {
        let mut node = Some(self);
        for step in &path.0 {
            node = node.and_then(|node| node.step(step)).map(|(_, inner)| inner);
        }
        node.is_some()
    }

    fn step(&self, step: &Step) -> Option<(u64, &Node)> {
        match (step, &self.tree) {
            (Step::Field(name), Tree::Map(fields)) => {
                fields.iter().find(|field| field.name == *name).map(|field| (field.line, &field.node))
            }
            (Step::Index(index), Tree::List(items)) => items.get(*index).map(|item| (item.line, item)),
            _ => None,
        }
    }

    /// The node as a JSON value.
    pub(super) fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Scalar(value) => value.clone(),
            Tree::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Tree::Map(fields) => Value::Object(
                fields.iter().map(|field| (field.name.clone(), field.node.to_value())).collect::<Map<_, _>>(),
            ),
        }
    }
}

impl From<Spanned<Tree>> for Node {
    fn from(spanned: Spanned<Tree>) -> Self {
        Node { line: spanned.referenced.line(), tree: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Bool(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Tree, E> {
        let number =
            Number::from_f64(number).ok_or_else(|| E::custom("a number is infinite or not a number"))?;
        Ok(Tree::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::String(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::String(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Tree>>()? {
            nodes.push(Node::from(item));
        }
        Ok(Tree::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut fields: Vec<Field> = Vec::new();
        while let Some((name, node)) = entries.next_entry::<Spanned<String>, Spanned<Tree>>()? {
            if fields.iter().any(|field| field.name == name.value) {
                return Err(A::Error::custom("the same field stands twice in one object"));
            }
            fields.push(Field { line: name.referenced.line(), name: name.value, node: Node::from(node) });
        }
        Ok(Tree::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(steps: &[&str]) -> FieldPath {
        FieldPath(
            steps
                .iter()
                .map(|step| step.parse().map_or_else(|_| Step::Field((*step).to_owned()), Step::Index))
                .collect(),
        )
    }

    #[test]
    fn documents_become_values_and_remember_lines() {
        let text = b"# first\na: 1\nb:\n- {c: true}\n- d: x\n  e:\n    f: null\n---\n---\ng: |\n  h\n";
        let nodes = documents(text).unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[0].to_value(), json!({"a": 1, "b": [{"c": true}, {"d": "x", "e": {"f": null}}]}));
        assert_eq!(nodes[1].to_value(), json!({"g": "h\n"}));
        for (steps, line) in [
            (vec![], 2),
            (vec!["b"], 3),
            (vec!["b", "0", "c"], 4),
            (vec!["b", "1", "e"], 6),
            (vec!["b", "1", "e", "f"], 7),
            (vec!["b", "1", "missing"], 5),
        ] {
            assert_eq!(nodes[0].line_of(&path(&steps)), line, "{steps:?}");
        }
        assert_eq!(nodes[1].line(), 10);
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_line_and_without_its_text() {
        for (text, line, message) in [
            ("a: b\n  c: sk-ant-canary\n", Some(2), "not valid YAML"),
            ("a: 1\nb: \"sk-ant-canary\n", None, "not valid YAML"),
            (
                "a: 1\nsk-ant-canary: 2\nsk-ant-canary: 3\n",
                Some(3),
                "the same field stands twice in one object",
            ),
            ("a: *nowhere\n", Some(1), "an alias (*name) has no anchor (&name) before it"),
        ] {
            let found = documents(text.as_bytes()).err().unwrap();
            assert_eq!(found.message, message, "{text}");
            assert!(line.is_none() || found.line == line, "{text}: {:?}", found.line);
        }
        assert_eq!(documents(b"a: \xff").err().unwrap().message, "the file is not UTF-8 text");
    }

    #[test]
    fn nesting_without_end_is_refused_in_every_form() {
        let indented = (0..5_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>();
        for text in ["[".repeat(200_000), "{a: ".repeat(200_000), "- ".repeat(200_000), indented] {
            assert!(documents(text.as_bytes()).is_err(), "{}", &text[..20]);
        }
        let deep = |depth: usize| format!("{}x{}", "{a: ".repeat(depth), "}".repeat(depth));
        assert!(documents(deep(DEPTH - 1).as_bytes()).is_ok());
        let refused = documents(deep(DEPTH + 1).as_bytes()).err().unwrap();
        assert_eq!(refused.message, "it is nested too deeply");
    }

    #[test]
    fn many_objects_in_a_file_are_no_trouble() {
        let text = "a: {b: [c, d, e], f: g}\n---\n".repeat(3_000);
        assert_eq!(documents(text.as_bytes()).map(|nodes| nodes.len()), Ok(3_000));
    }
}
