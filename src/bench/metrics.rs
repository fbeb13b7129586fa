//! The one thing read from Prometheus text: the sum of a metric over its labels.

/// The sum of all samples of the metric `name`; `None` when it has none.
pub fn sum(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.as_bytes().first()? {
                b' ' => rest,
                // A label's value may hold anything, so the end of the labels is the last bracket.
                b'{' => rest.rsplit_once('}')?.1,
                _ => return None,
            };
            value.split_ascii_whitespace().next()?.parse::<f64>().ok()
        })
        .reduce(|sum, value| sum + value)
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
}
