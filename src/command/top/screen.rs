//! A terminal that is drawn over, and given back as it was.

use std::fmt::Write as _;
use std::io::Write as _;

use console::Term;

use crate::exit::Failure;

/// To the other screen that terminals have, without a cursor and without line wraps.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";

/// Back.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The other screen of the terminal. Dropped, whyever, it is left: what was there before is there again.
#[derive(Debug)]
pub struct Screen(Term);

impl Screen {
    /// Goes there.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn enter() -> Result<Self, Failure> {
        let screen = Self(Term::stdout());
        write(ENTER)?;
        Ok(screen)
    }

    /// Draws as many of the lines as there is room for.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn draw(&self, lines: &[String]) -> Result<(), Failure> {
        let (rows, columns) = self.0.size();
        write(&frame(lines, usize::from(rows), usize::from(columns)))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = write(LEAVE);
    }
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::failed("cannot write to the terminal", &error))
}

/// The lines from the top left on, each over what stood there; what stood below them goes.
fn frame(lines: &[String], rows: usize, columns: usize) -> String {
    let mut frame = "\x1b[H".to_owned();
    for (at, line) in lines.iter().take(rows.max(1)).enumerate() {
        let break_before = if at == 0 { "" } else { "\r\n" };
        let cut: String = line.chars().take(columns.max(1)).collect();
        let _ = write!(frame, "{break_before}{cut}\x1b[K");
    }
    frame.push_str("\x1b[J");
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_what_was_there_goes() {
        let lines: Vec<_> = ["abcdef", "g", "h"].map(str::to_owned).into();
        assert_eq!(frame(&lines, 2, 3), "\x1b[Habc\x1b[K\r\ng\x1b[K\x1b[J");
        assert_eq!(frame(&[], 2, 3), "\x1b[H\x1b[J");
    }
}
