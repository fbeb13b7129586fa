//! `pelton logs`

use std::time::Duration;

use clap::{Args, ValueEnum};
use pelton_resource::{Kind, ResourceKey};

use super::target::{ApiArgs, Name};
use super::{print_error, print_while_read};
use crate::admin::{LogStream, LogsQuery};
use crate::api::serving_view::LogRecord;
use crate::config::parse_duration;
use crate::exit::Failure;
use crate::terminal::{Paint, Tone, escape, escape_block};

/// What `pelton logs` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The lines of all Revisions of a Service that the node has run, in the order of time, whether something \
                        runs now or not. In a cluster each node has its own.\n\n\
                        Examples:\n  pelton logs hello\n  pelton logs -f --tail 20 shop/orders\n  \
                        pelton logs --since 10m --revision hello-00002\n  pelton logs hello -o json | jq -r .text"
)]
pub struct LogsArgs {
    /// The Service: NAME or NAMESPACE/NAME
    #[arg(value_name = "SERVICE", required_unless_present = "revision")]
    name: Option<Name>,
    /// One Revision instead of a Service
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    revision: Option<Name>,
    /// The namespace of a name that has none
    #[arg(short, long)]
    namespace: Option<String>,
    /// Go on with what is printed from now on
    #[arg(short, long)]
    follow: bool,
    /// Of what there is only the last so many lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Of what there is only the lines of the last so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<Duration>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line a line: time, revision/instance, stream (+ where a long line was cut), text
    Text,
    /// An object a line
    Json,
}

impl LogsArgs {
    fn key(&self, namespace: &str) -> ResourceKey {
        let namespace = Some(namespace);
        match (&self.name, &self.revision) {
            (_, Some(revision)) => revision.key(Kind::Revision, namespace),
            (Some(service), None) => service.key(Kind::Service, namespace),
            (None, None) => unreachable!("one of the two is required"),
        }
    }
}

/// Prints what instances printed.
pub async fn run(args: LogsArgs) -> Result<(), Failure> {
    let target = args.api.target()?;
    let key = args.key(&target.namespace(args.namespace.as_deref()));
    let query = LogsQuery { follow: args.follow, tail: args.tail, since: args.since };
    let mut stream = target.admin().logs(&key, &query).await?;
    match print_all(&mut stream, args.output).await? {
        End::Deleted => print_error(&format!("{key} was deleted.")),
        End::NobodyReads => {}
        End::Over { .. } if args.follow => {
            return Err(Failure::NoAnswer(format!("{} ended what was followed: it is stopping", stream.authority())));
        }
        End::Over { is_empty: true } => print_error("Nothing was printed."),
        End::Over { is_empty: false } => {}
    }
    Ok(())
}

/// Why there is no more.
enum End {
    Over {
        is_empty: bool,
    },
    Deleted,
    /// As with `| head`.
    NobodyReads,
}

async fn print_all(stream: &mut LogStream, output: Output) -> Result<End, Failure> {
    let paint = Paint::stdout();
    let mut is_empty = true;
    while let Some(record) = stream.next().await? {
        if record == LogRecord::Deleted {
            return Ok(End::Deleted);
        }
        is_empty = false;
        let line = match output {
            Output::Text => text(&record, paint),
            Output::Json => {
                serde_json::to_string(&record).map_err(|error| Failure::failed("cannot write JSON", &error))?
            }
        };
        // Each by itself: whoever reads a pipe sees it at once.
        if !print_while_read(&format!("{line}\n"))? {
            return Ok(End::NobodyReads);
        }
    }
    Ok(End::Over { is_empty })
}

/// A record as one line. Nothing of it can act on the terminal.
fn text(record: &LogRecord, paint: Paint) -> String {
    match record {
        LogRecord::Line { at, revision, instance, stream, goes_on, text } => {
            // Where a runtime begins an instance's name with its revision's, that is said once.
            let rest = instance.strip_prefix(revision.as_str()).and_then(|rest| rest.strip_prefix('-'));
            let who = format!("{revision}/{}", rest.unwrap_or(instance));
            let cut = if *goes_on { "+" } else { " " };
            let tone = if stream == "stderr" { Tone::Notice } else { Tone::Faint };
            format!(
                "{} {} {}{cut} {}",
                paint.tone(Tone::Faint, escape(at)),
                paint.tone(Tone::Faint, escape(&who)),
                paint.tone(tone, escape(stream)),
                escape_block(text).replace('\n', "\\n"),
            )
        }
        LogRecord::Missing { revision, lines } => {
            let said = format!("{}: {lines} lines are missing here", escape(revision));
            paint.tone(Tone::Bad, said).to_string()
        }
        LogRecord::Deleted => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_harmless_line() {
        let line = |instance: &str, goes_on: bool, text: &str| LogRecord::Line {
            at: "2026-11-30T17:00:00.123Z".to_owned(),
            revision: "hello-00001".to_owned(),
            instance: instance.to_owned(),
            stream: "stdout".to_owned(),
            goes_on,
            text: text.to_owned(),
        };
        for (record, want) in [
            (line("hello-00001-5d", false, "a\tb"), "2026-11-30T17:00:00.123Z hello-00001/5d stdout  a\tb"),
            (line("0123abcd", true, "x"), "2026-11-30T17:00:00.123Z hello-00001/0123abcd stdout+ x"),
            (
                line("hello-00001-5d", false, "\x1b[2J\r\nx"),
                "2026-11-30T17:00:00.123Z hello-00001/5d stdout  \\u{1b}[2J\\r\\nx",
            ),
            (
                LogRecord::Missing { revision: "hello-00001".to_owned(), lines: 7 },
                "hello-00001: 7 lines are missing here",
            ),
        ] {
            assert_eq!(text(&record, Paint::plain()), want);
        }
    }
}
