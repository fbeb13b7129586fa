//! Columns of text, as the listing commands print them.

use crate::terminal::escape;

/// A table that is printed with its columns aligned. Cells are escaped.
#[derive(Debug, Clone)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// How wide the columns are at least.
    widths: Vec<usize>,
    shows_head: bool,
}

impl Table {
    /// A table with these column heads and no rows.
    #[must_use]
    pub fn new(head: &[&'static str]) -> Self {
        let widths = head.iter().map(|name| name.len()).collect();
        Self { head: head.to_vec(), rows: Vec::new(), widths, shows_head: true }
    }

    /// One more row, with a cell a column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| escape(&cell).into_owned()).collect();
        assert_eq!(cells.len(), self.head.len(), "a row has one cell a column");
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    /// Whether there are rows.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Forgets the rows: those that follow are printed below them, without a head and no narrower.
    pub fn go_on(&mut self) {
        self.rows.clear();
        self.shows_head = false;
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head: Vec<String> = self.head.iter().map(|&name| name.to_owned()).collect();
        let head = self.shows_head.then_some(&head);
        for row in head.into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&self.widths) {
                line.push_str(&format!("{cell:<width$}   "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// How long something has lasted, in at most two units: `45s`, `3m10s`, `5h2m`, `12d`.
#[must_use]
pub fn age(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text, or a dash in the place of none.
#[must_use]
pub fn or_dash(text: Option<impl AsRef<str>>) -> String {
    let text = text.as_ref().map(AsRef::as_ref);
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// A number of bytes with three digits at most: `0B`, `512B`, `1.5KiB`, `20MiB`, `300GiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    // The last unit takes whatever is left: more bytes than a disk has.
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1}{}", UNITS[unit]) } else { format!("{value:.0}{}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_are_escaped() {
        let mut table = Table::new(&["NAME", "READY"]);
        table.row(["a-long-name".into(), "True".into()]);
        table.row(["b\n".into(), "False".into()]);
        assert_eq!(table.to_string(), "NAME          READY\na-long-name   True\nb\\n           False\n");
    }

    #[test]
    fn a_table_goes_on_below_what_was_printed() {
        let mut table = Table::new(&["NAME", "READY"]);
        table.row(["a-long-name".into(), "True".into()]);
        table.go_on();
        assert_eq!(table.to_string(), "");
        table.row(["b".into(), "False".into()]);
        assert_eq!(table.to_string(), "b             False\n");
    }

    #[test]
    fn sizes_have_at_most_three_digits() {
        for (bytes, want) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (1536, "1.5KiB"),
            (20 << 20, "20MiB"),
            ((1 << 30) - 1, "1.0GiB"),
            (300 << 30, "300GiB"),
            (u64::MAX, "16384PiB"),
        ] {
            assert_eq!(size(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn ages_have_at_most_two_units() {
        for (seconds, want) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (190, "3m10s"), (3_600, "1h"), (18_120, "5h2m"), (1_036_800, "12d")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), want);
        }
    }
}
