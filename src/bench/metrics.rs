//! The one thing read from Prometheus text: the sum of a metric over its labels.

/// The sum of all samples of the metric `name`; `None` when it has none.
pub fn sum(text: &str, name: &str) -> Option<f64> {
    samples(text, name).map(|(_, value)| value).reduce(|sum, value| sum + value)
}

/// The sum of those samples whose `label` has exactly this value; `None` when there is none.
pub fn sum_where(text: &str, name: &str, label: &str, value: &str) -> Option<f64> {
    let wanted = format!("{label}=\"{value}\"");
    // Names and values of Knative's labels hold neither commas nor quotes.
    let has = |labels: &str| labels.split(',').any(|one| one == wanted);
    samples(text, name).filter(|(labels, _)| has(labels)).map(|(_, value)| value).reduce(|sum, value| sum + value)
}

/// Labels and value of each sample.
fn samples<'a>(text: &'a str, name: &str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.as_bytes().first()? {
            b' ' => ("", rest),
            // A label's value may hold anything, so the end of the labels is the last bracket.
            b'{' => rest[1..].rsplit_once('}')?,
            _ => return None,
        };
        Some((labels, value.split_ascii_whitespace().next()?.parse::<f64>().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_over_labels() {
        let text = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"1\"} 2\na_total{b=\"} 9\"} 3 1700000000\n\
                    a_total_more 50\nplain 4.5\n";
        assert_eq!(sum(text, "a_total"), Some(5.0));
        assert_eq!(sum(text, "plain"), Some(4.5));
        assert_eq!(sum(text, "absent"), None);
    }

    #[test]
    fn samples_are_chosen_by_a_label() {
        let text = "d{k=\"ab\",s=\"a\"} 2\nd{s=\"a\",t=\"x\"} 3\nd{s=\"ab\"} 7\nd 9\n";
        assert_eq!(sum_where(text, "d", "s", "a"), Some(5.0));
        assert_eq!(sum_where(text, "d", "s", "ab"), Some(7.0));
        assert_eq!(sum_where(text, "d", "s", "b"), None);
    }
}
