//! An event as people read it. Nothing of it can act on the terminal.

use std::fmt::Write as _;

use pelton_event::{DataKind, Event};

use crate::terminal::{Paint, Tone, escape, escape_block};

/// How much of the data is shown.
const MAX_SHOWN_BYTES: usize = 64 * 1024;

/// How many bytes of data that is no text are shown.
const MAX_HEX_BYTES: usize = 64;

/// The event's attributes one a line, and its data: JSON with line breaks, other text as it is, other bytes in
/// hexadecimal.
#[must_use]
pub fn describe(event: &Event, paint: Paint) -> String {
    let mut out = format!("{}\n", paint.tone(Tone::Strong, escape(event.ty())));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {}{}", paint.tone(Tone::Faint, format!("{name:<19} ")), escape(value));
    };
    line("id", event.id());
    line("source", event.source());
    for name in ["subject", "time", "datacontenttype", "dataschema"] {
        if let Some(value) = event.attribute(name) {
            line(name, &value.to_canonical());
        }
    }
    for (name, value) in event.extensions() {
        line(name, &value.to_canonical());
    }
    if event.data_kind() != DataKind::None {
        line("data", &format!("{} bytes", event.data().len()));
        out.push_str(&data(event));
    }
    out
}

fn data(event: &Event) -> String {
    let data = event.data();
    let is_json = event.data_kind() == DataKind::Json
        || event.datacontenttype().is_some_and(|t| t.split(';').next().is_some_and(|t| t.trim().ends_with("json")));
    match std::str::from_utf8(data) {
        Ok(text) if is_json && text.len() <= MAX_SHOWN_BYTES => format!("{}\n", indent_json(text, "    ")),
        Ok(text) => {
            let end = text.floor_char_boundary(MAX_SHOWN_BYTES.min(text.len()));
            let more =
                if end < text.len() { format!("\n    ... {} more bytes", text.len() - end) } else { String::new() };
            format!("    {}{more}\n", escape_block(&text[..end]).replace('\n', "\n    "))
        }
        Err(_) => {
            let shown = &data[..data.len().min(MAX_HEX_BYTES)];
            let hex: Vec<String> =
                shown.chunks(16).map(|row| row.iter().map(|b| format!("{b:02x} ")).collect()).collect();
            let more = if shown.len() < data.len() { "\n    ..." } else { "" };
            format!("    {}{more}\n", hex.join("\n    "))
        }
    }
}

/// JSON text with a line for each member and element, and `margin` before each line. Only white space outside strings
/// changes: numbers and the order of members stay as they are. Text that is no JSON comes out as some text.
#[must_use]
pub fn indent_json(text: &str, margin: &str) -> String {
    let mut out = margin.to_owned();
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(margin);
        out.push_str(&"  ".repeat(depth.min(40)));
    };
    let mut chars = text.chars().filter(|c| *c != '\0').peekable();
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(end) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    escape_block(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_of_json_changes() {
        let text = r#"{"a" : [1.10, 12345678901234567890,{}, []],"b":"x,{\"y\"}: z\\","c":null}"#;
        let want = "{\n  \"a\": [\n    1.10,\n    12345678901234567890,\n    {},\n    []\n  ],\n  \
                    \"b\": \"x,{\\\"y\\\"}: z\\\\\",\n  \"c\": null\n}";
        assert_eq!(indent_json(text, ""), want);
    }

    #[test]
    fn an_event_cannot_act_on_the_terminal() {
        let event = Event::builder()
            .id("1\u{202e}")
            .source("/x")
            .ty("t")
            .datacontenttype("text/plain")
            .data(DataKind::Bytes, b"a\x1b[2Jb\nc")
            .build()
            .unwrap();
        let text = describe(&event, Paint::plain());
        assert!(text.contains("    a\\u{1b}[2Jb\n    c\n"), "{text}");
        assert!(!text.contains('\u{202e}') && !text.contains('\x1b'), "{text:?}");
    }
}
