use proptest::collection::vec;
use proptest::prelude::*;

use super::super::MAX_SELECTOR_BYTES;
use super::super::names::NameError;
use super::*;

fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Kubernetes, "Labels and Selectors".
#[test]
fn each_operator_takes_what_kubernetes_takes() {
    let rows: [(&str, &[&str], &[&str]); 21] = [
        ("", &["", "a=b"], &[]),
        (" \t\r\n", &["", "a=b"], &[]),
        ("a=b", &["a=b", "a=b,c=d"], &["", "a=c", "a=", "b=a"]),
        ("a==b", &["a=b"], &["", "a=c"]),
        ("a!=b", &["", "a=c", "a=", "c=b"], &["a=b"]),
        ("a", &["a=", "a=b"], &["", "b=a"]),
        ("!a", &["", "b=a"], &["a=", "a=b"]),
        ("a in (b,c)", &["a=b", "a=c"], &["", "a=d", "a="]),
        ("a notin (b,c)", &["", "a=d", "a="], &["a=b", "a=c"]),
        ("a=b,c=d", &["a=b,c=d"], &["a=b", "c=d", "a=b,c=e"]),
        ("a,!b,c!=d", &["a=x", "a=x,c=e"], &["", "a=x,b=y", "a=x,c=d"]),
        ("a=", &["a="], &["", "a=b"]),
        ("a=,b", &["a=,b=c"], &["a=c,b=c", "a="]),
        ("a!=", &["", "a=b"], &["a="]),
        ("a in ()", &["a="], &["", "a=b"]),
        ("a in (,b)", &["a=", "a=b"], &["", "a=c"]),
        ("a in (b,,c,)", &["a=", "a=b", "a=c"], &["", "a=d"]),
        ("a notin (,)", &["", "a=b"], &["a="]),
        ("\ta \n= b , ! c ,d  in(e , f )", &["a=b,d=e", "a=b,d=f"], &["a=b,c=x,d=e", "a=b"]),
        ("in in (in,notin),notin=in", &["in=in,notin=in", "in=notin,notin=in"], &["in=x,notin=in", "in=in"]),
        ("a.b/c=d,a=b,a=b", &["a.b/c=d,a=b"], &["a=b"]),
    ];
    for (text, taken, left) in rows {
        let selector = LabelSelector::parse(text).unwrap();
        assert_eq!(selector.is_empty(), text.trim().is_empty(), "{text}");
        for object in taken {
            assert!(selector.matches(&labels(object)), "{text:?} takes {object:?}");
        }
        for object in left {
            assert!(!selector.matches(&labels(object)), "{text:?} leaves {object:?}");
        }
    }
}

#[test]
fn what_does_not_follow_the_grammar_is_refused() {
    let rows = [
        (",", ",", "!, identifier"),
        ("a,", "", "!, identifier"),
        ("a,,b", ",", "!, identifier"),
        ("=b", "=", "!, identifier"),
        ("(a)", "(", "!, identifier"),
        ("!", "", "identifier"),
        ("!!a", "!", "identifier"),
        ("!=a", "!=", "!, identifier"),
        ("!a=b", "=", "',' or 'end of string'"),
        ("!a in (b)", "in", "',' or 'end of string'"),
        ("a b", "b", "in, notin, =, ==, !="),
        ("a IN (b)", "IN", "in, notin, =, ==, !="),
        ("a(b)", "(", "in, notin, =, ==, !="),
        ("a!b", "!", "in, notin, =, ==, !="),
        ("a>1", ">", "in, notin, =, ==, !="),
        ("a<1", "<", "in, notin, =, ==, !="),
        ("a=b c", "c", "',' or 'end of string'"),
        ("a=b=c", "=", "',' or 'end of string'"),
        ("a===b", "=", "',' or 'end of string'"),
        ("a=(b)", "(", "',' or 'end of string'"),
        ("a=!b", "!", "',' or 'end of string'"),
        ("a in", "", "'('"),
        ("a in b", "b", "'('"),
        ("a in (", "", "',' or ')'"),
        ("a in (b", "", "',' or ')'"),
        ("a in (b c)", "c", "',' or ')'"),
        ("a in (!b)", "!", "',' or ')'"),
        ("a in ((b))", "(", "',' or ')'"),
        ("a in (b))", ")", "',' or 'end of string'"),
        ("a in (b) c", "c", "',' or 'end of string'"),
    ];
    for (text, found, expected) in rows {
        let want = SelectorError::Unexpected { found: found.to_owned(), expected };
        assert_eq!(LabelSelector::parse(text), Err(want), "{text}");
    }
}

#[test]
fn keys_and_values_are_checked() {
    let key = |key: &str, reason| SelectorError::Key { key: key.to_owned(), reason };
    let value = |value: &str, reason| SelectorError::Value { key: "a".to_owned(), value: value.to_owned(), reason };
    let rows = [
        ("a_/b/c", key("a_/b/c", NameError::Prefix)),
        ("!-a", key("-a", NameError::Characters)),
        ("a/=b", key("a/", NameError::Empty)),
        ("\u{a0}a", key("\u{a0}a", NameError::Characters)),
        ("a=b/c", value("b/c", NameError::Characters)),
        ("a!=-", value("-", NameError::Characters)),
        ("a in (b,c:d)", value("c:d", NameError::Characters)),
        ("a notin (b,ü)", value("ü", NameError::Characters)),
    ];
    for (text, want) in rows {
        assert_eq!(LabelSelector::parse(text), Err(want), "{text}");
    }
    let long = format!("a=b{}", " ".repeat(MAX_SELECTOR_BYTES - 3));
    assert!(LabelSelector::parse(&long).is_ok());
    let want = SelectorError::TooLong { size_bytes: MAX_SELECTOR_BYTES + 1, limit_bytes: MAX_SELECTOR_BYTES };
    assert_eq!(LabelSelector::parse(&format!("{long} ")), Err(want));
}

/// One term in the words of the documentation: operator, key, values.
fn any_term() -> impl Strategy<Value = (usize, String, Vec<String>)> {
    (0usize..7, "[a-c]", vec("[x-z]?", 1..4))
}

fn write((operator, key, values): &(usize, String, Vec<String>), space: &str) -> String {
    let (first, all) = (&values[0], values.join(&format!("{space},{space}")));
    match operator {
        0 => format!("{key}{space}={space}{first}"),
        1 => format!("{space}{key}=={first}{space}"),
        2 => format!("{key}{space}!={space}{first}"),
        3 => format!("{key} in{space}({space}{all})"),
        4 => format!("{key} notin {space}({all}{space})"),
        5 => format!("{space}{key}{space}"),
        _ => format!("!{space}{key}"),
    }
}

fn holds((operator, key, values): &(usize, String, Vec<String>), labels: &BTreeMap<String, String>) -> bool {
    let Some(label) = labels.get(key) else { return [2, 4, 6].contains(operator) };
    match operator {
        0 | 1 => *label == values[0],
        2 => *label != values[0],
        3 => values.contains(label),
        4 => !values.contains(label),
        operator => *operator == 5,
    }
}

proptest! {
    #[test]
    fn an_object_is_taken_when_every_term_holds(
        terms in vec(any_term(), 1..4),
        space in "[ \t\r\n]{0,2}",
        labels in prop::collection::btree_map("[a-c]", "[x-z]?", 0..4),
    ) {
        let text = terms.iter().map(|term| write(term, &space)).collect::<Vec<_>>().join(",");
        let selector = LabelSelector::parse(&text).unwrap();
        prop_assert_eq!(selector.matches(&labels), terms.iter().all(|term| holds(term, &labels)), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-c/in(),=!<> .é-]{0,24}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&format!(" {text}\n")), Ok(selector.clone()));
            prop_assert_eq!(selector.is_empty(), text.trim().is_empty());
        }
    }
}
