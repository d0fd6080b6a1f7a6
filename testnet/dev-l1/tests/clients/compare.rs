//! Two documents, field by field, with exceptions that are named.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::Value;

/// How a field may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Another value of the same JSON type.
    Differs,
    /// A hash of 32 bytes that is another on each chain, but one and the same wherever it occurs on one of them.
    Renamed,
    /// Only anvil says it: here it is absent or null.
    Extra,
    /// Refused here, with this code and this beginning of a text, which are geth's; anvil takes it.
    Laxer(i64, &'static str),
}

/// Fields that may differ, and why.
pub(crate) struct Exception {
    /// Names from the document's root, with dots between. `*` is any one name, `**` any number of them.
    path: &'static str,
    rule: Rule,
    used: Cell<bool>,
}

impl Exception {
    pub(crate) fn new(rule: Rule, path: &'static str) -> Self {
        Self { path, rule, used: Cell::new(false) }
    }

    fn covers(&self, path: &[String]) -> bool {
        matches(&self.path.split('.').collect::<Vec<_>>(), path)
    }
}

/// The exceptions that no document needed: they would hide what comes later.
pub(crate) fn unused(exceptions: &[Exception]) -> Vec<&'static str> {
    exceptions.iter().filter(|exception| !exception.used.get()).map(|exception| exception.path).collect()
}

fn matches(pattern: &[&str], path: &[String]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=path.len()).any(|skipped| matches(rest, &path[skipped..])),
        (Some((first, rest)), Some((name, names))) => {
            (*first == "*" || first == name) && matches(rest, names)
        }
        _ => false,
    }
}

/// What differs between `ours` and `theirs` without an exception, a line each.
pub(crate) fn compare(exceptions: &[Exception], ours: &Value, theirs: &Value) -> Vec<String> {
    let mut walk = Walk { exceptions, there: HashMap::new(), here: HashMap::new(), found: Vec::new() };
    walk.field(&mut Vec::new(), Some(ours), Some(theirs));
    walk.found
}

struct Walk<'a> {
    exceptions: &'a [Exception],
    /// Our hashes and what they are there, and the other way round.
    there: HashMap<String, String>,
    here: HashMap<String, String>,
    found: Vec<String>,
}

impl Walk<'_> {
    fn field(&mut self, path: &mut Vec<String>, ours: Option<&Value>, theirs: Option<&Value>) {
        if ours == theirs {
            return;
        }
        let exceptions = self.exceptions;
        for exception in exceptions.iter().filter(|exception| exception.covers(path)) {
            if self.permits(exception.rule, ours, theirs) {
                exception.used.set(true);
                return;
            }
        }
        match (ours, theirs) {
            (Some(Value::Object(left)), Some(Value::Object(right))) => {
                let mut names: Vec<_> = left.keys().chain(right.keys()).cloned().collect();
                names.sort_unstable();
                names.dedup();
                for name in names {
                    self.inner(path, &name, left.get(&name), right.get(&name));
                }
            }
            (Some(Value::Array(left)), Some(Value::Array(right))) if left.len() == right.len() => {
                for (index, (left, right)) in left.iter().zip(right).enumerate() {
                    self.inner(path, &index.to_string(), Some(left), Some(right));
                }
            }
            _ => {
                self.found.push(format!("{}: {} here, {} there", path.join("."), shown(ours), shown(theirs)))
            }
        }
    }

    fn inner(&mut self, path: &mut Vec<String>, name: &str, ours: Option<&Value>, theirs: Option<&Value>) {
        path.push(name.to_owned());
        self.field(path, ours, theirs);
        path.pop();
    }

    fn permits(&mut self, rule: Rule, ours: Option<&Value>, theirs: Option<&Value>) -> bool {
        match rule {
            Rule::Differs => match (ours, theirs) {
                (Some(ours), Some(theirs)) => std::mem::discriminant(ours) == std::mem::discriminant(theirs),
                _ => false,
            },
            Rule::Renamed => match (hash(ours), hash(theirs)) {
                (Some(ours), Some(theirs)) => {
                    let there = self.there.entry(ours.clone()).or_insert_with(|| theirs.clone()) == &theirs;
                    let here = self.here.entry(theirs).or_insert_with(|| ours.clone()) == &ours;
                    there && here
                }
                _ => false,
            },
            Rule::Extra => ours.is_none_or(Value::is_null) && theirs.is_some(),
            Rule::Laxer(code, words) => {
                let told = |name| ours.and_then(|ours| ours.get(name));
                // cast's code is text.
                let coded = told("code").is_some_and(|told| told == code || told == &code.to_string());
                let worded =
                    told("message").and_then(Value::as_str).is_some_and(|told| told.starts_with(words));
                coded && worded && theirs.is_some_and(|theirs| theirs.get("unexpected").is_some())
            }
        }
    }
}

fn hash(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    (digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then(|| digits.to_owned())
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("nothing".into(), |value| value.to_string().chars().take(160).collect())
}

/// The comparison itself can fail.
#[test]
fn differences_are_told() {
    use serde_json::json;

    let (a, b, c) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    let exceptions = [
        Exception::new(Rule::Differs, "**.time"),
        Exception::new(Rule::Renamed, "blocks.*"),
        Exception::new(Rule::Extra, "more"),
        Exception::new(Rule::Laxer(-32000, "too low"), "refused.*"),
        Exception::new(Rule::Differs, "never"),
    ];
    let told = |ours: Value, theirs: Value| compare(&exceptions, &ours, &theirs);
    assert!(
        told(json!({ "x": { "time": 1 }, "y": [1] }), json!({ "x": { "time": 2 }, "y": [1] })).is_empty()
    );
    assert_eq!(told(json!({ "time": 1 }), json!({ "time": "1" })), ["time: 1 here, \"1\" there"]);
    assert_eq!(told(json!({ "y": [1, 2] }), json!({ "y": [1, 3] })), ["y.1: 2 here, 3 there"]);
    assert_eq!(told(json!({ "y": [1] }), json!({ "y": [1, 3] })).len(), 1);
    assert_eq!(told(json!({}), json!({ "z": null })).len(), 1);
    assert!(told(json!({ "blocks": [a, b, a] }), json!({ "blocks": [c, a, c] })).is_empty());
    assert_eq!(told(json!({ "blocks": [a, b, a] }), json!({ "blocks": [c, a, b] })).len(), 1);
    assert_eq!(told(json!({ "blocks": [a, b] }), json!({ "blocks": [c, c] })).len(), 1);
    assert_eq!(told(json!({ "blocks": [1] }), json!({ "blocks": [c] })).len(), 1);
    assert!(told(json!({ "more": null }), json!({ "more": 7 })).is_empty());
    assert_eq!(told(json!({ "more": 6 }), json!({ "more": 7 })).len(), 1);
    let refusal = |words: &str| json!({ "refused": { "x": { "code": "-32000", "message": words } } });
    let taken = json!({ "refused": { "x": { "unexpected": "0x1" } } });
    assert!(told(refusal("too low: 7"), taken.clone()).is_empty());
    assert!(!told(refusal("out of luck"), taken.clone()).is_empty());
    assert!(!told(taken, refusal("too low: 7")).is_empty());
    assert_eq!(unused(&exceptions), ["never"]);
}
