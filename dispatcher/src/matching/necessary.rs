//! What a filter demands of one attribute, for the index.

use std::collections::BTreeSet;

use pelton_resource::Filter;

/// Most values by which one filter is indexed. Above it the filter is asked every time.
const MAX_VALUES: usize = 64;

/// The values that `attribute` must have for an event to pass: no event with another value, or without it, passes.
/// `None` when the filter sets no such bound, or a useless one.
#[must_use]
pub fn necessary_values<'f>(filter: &'f Filter, attribute: &str) -> Option<BTreeSet<&'f str>> {
    let values = match filter {
        Filter::Exact(pairs) => pairs
            .iter()
            .filter(|(name, _)| name == attribute)
            .map(|(_, value)| BTreeSet::from([value.as_str()]))
            .next()?,
        Filter::All(filters) => {
            filters.iter().filter_map(|filter| necessary_values(filter, attribute)).min_by_key(BTreeSet::len)?
        }
        Filter::Any(filters) => {
            let mut union = BTreeSet::new();
            for filter in filters {
                union.append(&mut necessary_values(filter, attribute)?);
            }
            union
        }
        Filter::Prefix(_) | Filter::Suffix(_) | Filter::Present(_) | Filter::Not(_) => return None,
    };
    (values.len() <= MAX_VALUES).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(pairs: &[(&str, &str)]) -> Filter {
        Filter::Exact(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn conjunctions_and_alternatives_bound_a_type() {
        let rows = [
            (exact(&[("type", "a"), ("source", "s")]), Some(vec!["a"])),
            (exact(&[("source", "s")]), None),
            (Filter::Any(vec![exact(&[("type", "a")]), exact(&[("type", "b")])]), Some(vec!["a", "b"])),
            (Filter::Any(vec![exact(&[("type", "a")]), exact(&[("source", "s")])]), None),
            (Filter::All(vec![exact(&[("source", "s")]), exact(&[("type", "b")])]), Some(vec!["b"])),
            (Filter::Not(Box::new(exact(&[("type", "a")]))), None),
            (Filter::everything(), None),
            (Filter::nothing(), Some(vec![])),
        ];
        for (filter, want) in rows {
            let want = want.map(BTreeSet::from_iter);
            assert_eq!(necessary_values(&filter, "type"), want, "{filter:?}");
        }
    }

    #[test]
    fn a_filter_over_many_values_is_not_indexed() {
        for (count, indexed) in [(MAX_VALUES, true), (MAX_VALUES + 1, false)] {
            let filter = Filter::Any((0..count).map(|n| exact(&[("type", &n.to_string())])).collect());
            assert_eq!(necessary_values(&filter, "type").is_some(), indexed, "{count}");
        }
    }
}
