//! Whether two JSON-RPC answers have the same shape.

use serde_json::{Value, json};

/// Compares types, not values, of everything that both have; fields that only one has are added to `one_sided`, once
/// each, with a `<` (left) or `>` (right). An `Err` says where they differ.
pub(crate) fn alike(left: &Value, right: &Value, one_sided: &mut Vec<String>) -> Result<(), String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                match right.get(name) {
                    Some(other) => alike(value, other, one_sided).map_err(|why| format!("{name}: {why}"))?,
                    None => note(one_sided, '<', name),
                }
            }
            right.keys().filter(|name| !left.contains_key(*name)).for_each(|name| note(one_sided, '>', name));
            Ok(())
        }
        (Value::Array(left), Value::Array(right)) => {
            left.iter().zip(right).try_for_each(|(left, right)| alike(left, right, one_sided))
        }
        (Value::String(left), Value::String(right)) => {
            if is_quantity(left) && is_quantity(right) || is_data(left) && is_data(right) || left == right {
                Ok(())
            } else {
                Err(format!("{left} and {right} are written in different ways"))
            }
        }
        (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => Ok(()),
        _ => Err(format!("{left} and {right} have different types")),
    }
}

fn note(one_sided: &mut Vec<String>, side: char, name: &str) {
    let named = format!("{side}{name}");
    if !one_sided.contains(&named) {
        one_sided.push(named);
    }
}

fn digits(text: &str) -> Option<&str> {
    text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// No leading zeros: the execution API's `uint`.
fn is_quantity(text: &str) -> bool {
    digits(text).is_some_and(|digits| digits == "0" || !digits.is_empty() && !digits.starts_with('0'))
}

/// Whole bytes.
fn is_data(text: &str) -> bool {
    digits(text).is_some_and(|digits| digits.len() % 2 == 0)
}

/// A comparison that cannot fail would be worth nothing.
pub(crate) fn check_itself() {
    let same = [(json!("0x0"), json!("0x1c")), (json!({ "a": ["0x00"] }), json!({ "a": ["0x01"] }))];
    for (left, right) in same {
        assert_eq!(alike(&left, &right, &mut Vec::new()), Ok(()));
    }
    let different = [
        (json!("0x0"), json!("0x00")),
        (json!("0x1"), json!(1)),
        (json!({ "a": [{ "b": null }] }), json!({ "a": [{ "b": false }] })),
        (json!("1"), json!("0x1")),
    ];
    for (left, right) in different {
        assert!(alike(&left, &right, &mut Vec::new()).is_err(), "{left} {right}");
    }
    let mut one_sided = Vec::new();
    let (left, right) = (json!([{ "a": 1, "b": 1 }]), json!([{ "a": 2, "c": 1 }]));
    assert_eq!(alike(&left, &right, &mut one_sided), Ok(()));
    assert_eq!(one_sided, ["<b", ">c"]);
}
