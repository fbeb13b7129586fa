//! Log lines: one event, one line, whatever is in it.
//!
//! Attributes of events come from outside and end up in log fields. Text lines escape what could forge a line or act
//! on a terminal; JSON lines are built by a serializer.

use std::fmt::{self, Write as _};

use pelton_env::{Clock as _, SystemClock};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogFormat, LogSettings};
use crate::terminal::{escape, is_dangerous};

/// Sends the log to standard error from now on. Done once; a second call changes nothing.
pub fn install(settings: &LogSettings) {
    let filter = EnvFilter::builder().parse_lossy(&settings.filter);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A disk that is full must not cost more than these lines: said on standard error, which is what fails, it would panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .event_format(OneLine(settings.format))
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// One event on one line.
struct OneLine(LogFormat);

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = i64::try_from(SystemClock.now().0).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        match self.0 {
            LogFormat::Text => {
                write!(writer, "{time:.3} {level:>5} {target}: {}", escape(&fields.message))?;
                for (name, value) in &fields.others {
                    write!(writer, " {name}={}", Quoted(value))?;
                }
                writeln!(writer)
            }
            LogFormat::Json => {
                let mut line = serde_json::Map::new();
                line.insert("time".into(), format!("{time:.3}").into());
                line.insert("level".into(), level.as_str().into());
                line.insert("target".into(), target.into());
                line.insert("message".into(), fields.message.into());
                for (name, value) in fields.others {
                    // A field of one of the names above must not hide it.
                    let name = if line.contains_key(name) { format!("field_{name}") } else { name.to_owned() };
                    line.insert(name, value.into());
                }
                writeln!(writer, "{}", json_line(&line))
            }
        }
    }
}

/// JSON with every dangerous character as an escape: a JSON text may hold bidirectional controls as they are, which
/// is harmless to a parser and not to a person who reads the line in a terminal.
fn json_line(line: &serde_json::Map<String, serde_json::Value>) -> String {
    let text = serde_json::to_string(line).unwrap_or_default();
    if !text.chars().any(is_dangerous) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 32);
    for c in text.chars() {
        if is_dangerous(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The fields of one event, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.others.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put(field, text);
    }
}

/// A value that stands alone when it is one plain word, and in quotes otherwise.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = !self.0.is_empty() && self.0.chars().all(|c| !c.is_whitespace() && c != '"' && !is_dangerous(c));
        if plain { f.write_str(self.0) } else { write!(f, "\"{}\"", escape(self.0).replace('"', "\\\"")) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).event_format(OneLine(format)).finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: [&str; 6] =
        ["a\nb", "a\r\nINFO forged: all is well", "\x1b[2J", "\0", "\u{202e}txt.exe", "\"},{\"level\":\"INFO"];

    #[test]
    fn a_hostile_attribute_makes_one_harmless_text_line() {
        for value in HOSTILE {
            let text = logged(LogFormat::Text, || tracing::info!(id = value, "an event {value} came"));
            assert_eq!(text.matches('\n').count(), 1, "{value:?}: {text:?}");
            assert!(!text.trim_end().chars().any(is_dangerous), "{value:?}: {text:?}");
        }
    }

    #[test]
    fn a_hostile_attribute_makes_one_json_object() {
        for value in HOSTILE {
            let text = logged(LogFormat::Json, || tracing::info!(id = value, level = "forged", "came"));
            assert_eq!(text.matches('\n').count(), 1, "{value:?}: {text:?}");
            assert!(!text.trim_end().chars().any(is_dangerous), "{value:?}: {text:?}");
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["id"], value);
            assert_eq!((line["level"].as_str(), line["field_level"].as_str()), (Some("INFO"), Some("forged")));
            assert_eq!(line["message"], "came");
        }
    }

    #[test]
    fn a_text_line_quotes_what_is_not_one_word() {
        let text = logged(LogFormat::Text, || tracing::warn!(a = 1, b = "two words", c = "", "hello"));
        assert!(text.ends_with(" WARN pelton::telemetry::log::tests: hello a=1 b=\"two words\" c=\"\"\n"), "{text}");
    }
}
