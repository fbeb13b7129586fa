//! How events are printed.

use clap::ValueEnum;
use serde::Serialize;

use crate::api::events_view::{EventView, TailRecord};
use crate::command::output::{json, yaml};
use crate::event_view::indent_json;
use crate::exit::Failure;
use crate::table::Table;
use crate::terminal::escape;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns
    Table,
    /// More columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Only where they stand
    Name,
}

/// How much of each event people are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// A row, unless there is data to show.
    Rows,
    /// Every attribute.
    All,
}

/// The attributes that have columns of their own.
const COLUMNS: [&str; 5] = ["specversion", "id", "source", "type", "subject"];

/// Events.
///
/// # Errors
/// They cannot be written in that form.
pub fn events(events: &[EventView], output: Output, detail: Detail) -> Result<String, Failure> {
    let has_data = events.iter().any(|event| event.event.is_some());
    match output {
        Output::Json => match events {
            [one] if detail == Detail::All => value(one, output),
            all => value(&all, output),
        },
        Output::Yaml => match events {
            [one] if detail == Detail::All => value(one, output),
            all => value(&all, output),
        },
        Output::Name => Ok(events.iter().map(|event| format!("{}\n", event.position)).collect()),
        Output::Table | Output::Wide if has_data || detail == Detail::All => {
            Ok(events.iter().map(block).collect::<Vec<_>>().join("\n"))
        }
        Output::Table | Output::Wide => Ok(table(events, output)),
    }
}

/// Anything, as JSON or YAML.
///
/// # Errors
/// It cannot be written in that form.
pub fn value<T: Serialize>(value: &T, output: Output) -> Result<String, Failure> {
    // What is JSON already within is read for this, or it would be written as a text.
    let whole = serde_json::to_value(value).map_err(|error| Failure::failed("cannot write JSON", &error))?;
    if output == Output::Yaml { yaml(&whole) } else { json(value) }
}

/// A row an event; with more columns for [`Output::Wide`].
#[must_use]
pub fn table(events: &[EventView], output: Output) -> String {
    let head: &[&'static str] = match output == Output::Wide {
        false => &["POSITION", "ARRIVED", "TYPE", "SOURCE", "ID"],
        true => &["POSITION", "ARRIVED", "TYPE", "SOURCE", "ID", "SUBJECT", "BYTES", "OTHER ATTRIBUTES"],
    };
    let mut table = Table::new(head);
    for event in events {
        table.row(cells(event, output));
    }
    table.to_string()
}

fn cells(event: &EventView, output: Output) -> Vec<String> {
    let of = |name: &str| event.attribute(name).to_owned();
    let mut cells = vec![event.position.to_string(), event.arrived.clone(), of("type"), of("source"), of("id")];
    if output == Output::Wide {
        let others = event.attributes.iter().filter(|(name, _)| !COLUMNS.contains(&name.as_str()));
        let others: Vec<_> = others.map(|(name, value)| format!("{name}={value}")).collect();
        cells.extend([of("subject"), event.data_bytes.to_string(), others.join(" ")]);
    }
    cells
}

/// Every attribute a line, and the data if it is there.
fn block(event: &EventView) -> String {
    let mut out = format!("{}  {}\n", event.position, escape(event.attribute("type")));
    let mut line = |name: &str, value: &str| out.push_str(&format!("  {name:<19} {}\n", escape(value)));
    line("broker", &event.broker);
    line("arrived", &event.arrived);
    for (name, value) in event.attributes.iter().filter(|(name, _)| !["specversion", "type"].contains(&name.as_str())) {
        line(name, value);
    }
    line("data", &format!("{} bytes", event.data_bytes));
    if let Some(json) = &event.event {
        out.push_str(&format!("{}\n", indent_json(json.get(), "    ")));
    }
    out
}

/// What is followed, one at a time. `None` when there is nothing to print of it in that form.
///
/// # Errors
/// It cannot be written in that form.
pub fn record(record: &TailRecord, output: Output) -> Result<Option<String>, Failure> {
    let event = match (record, output) {
        (_, Output::Json) => {
            let line = serde_json::to_string(record).map_err(|error| Failure::failed("cannot write JSON", &error))?;
            return Ok(Some(line + "\n"));
        }
        (TailRecord::Missing { .. }, _) => return Ok(None),
        (TailRecord::Event(event), _) => event,
    };
    Ok(Some(match output {
        Output::Yaml => format!("---\n{}", value(event, output)?),
        Output::Name => format!("{}\n", event.position),
        Output::Table | Output::Wide if event.event.is_some() => block(event),
        Output::Table | Output::Wide | Output::Json => {
            let cells = cells(event, output);
            let cells: Vec<_> = cells.iter().map(|cell| escape(cell).into_owned()).collect();
            cells.join("  ").trim_end().to_owned() + "\n"
        }
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> EventView {
        serde_json::from_value(json!({
            "position": "1/7", "broker": "default/b", "arrived": "2026-12-01T12:00:00.000Z", "dataBytes": 3,
            "attributes": {"specversion": "1.0", "id": "a\u{1b}[2J", "source": "/s", "type": "t", "k": "v"},
        }))
        .unwrap()
    }

    #[test]
    fn an_event_is_shown_in_every_form_and_cannot_act_on_the_terminal() {
        let whole = EventView { event: serde_json::from_str("{\"data\":{\"n\":1}}").unwrap(), ..event() };
        for (output, detail, want) in [
            (Output::Table, Detail::Rows, "1/7        2026-12-01T12:00:00.000Z   t      /s       a\\u{1b}[2J\n"),
            (Output::Wide, Detail::Rows, "   k=v\n"),
            (Output::Name, Detail::Rows, "1/7\n"),
            (Output::Json, Detail::Rows, "\"dataBytes\": 3"),
            (Output::Yaml, Detail::All, "dataBytes: 3"),
            (Output::Table, Detail::All, "  source              /s\n"),
        ] {
            let text = events(&[event()], output, detail).unwrap();
            assert!(text.contains(want) && !text.contains('\u{1b}'), "{output:?}: {text}");
        }
        // Data that is JSON is shown as such, not as a text with JSON in it.
        for (output, want) in [(Output::Table, "\"n\": 1"), (Output::Yaml, "n: 1"), (Output::Json, "\"n\":1")] {
            let text = events(std::slice::from_ref(&whole), output, Detail::Rows).unwrap();
            assert!(text.contains(want), "{output:?}: {text}");
        }
    }

    #[test]
    fn what_is_followed_is_a_line_a_record() {
        let followed = TailRecord::Event(Box::new(event()));
        let missing = TailRecord::Missing { group: 1, events: 4 };
        for (output, want) in
            [(Output::Table, "1/7  2026-12-01T12:00:00.000Z  t  /s  a\\u{1b}[2J\n"), (Output::Name, "1/7\n")]
        {
            assert_eq!(record(&followed, output).unwrap().as_deref(), Some(want));
            assert_eq!(record(&missing, output).unwrap(), None);
        }
        let line = record(&missing, Output::Json).unwrap().unwrap();
        assert_eq!(line, "{\"kind\":\"missing\",\"group\":1,\"events\":4}\n");
        assert!(record(&followed, Output::Yaml).unwrap().unwrap().starts_with("---\n"));
    }
}
