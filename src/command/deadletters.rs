//! `pelton deadletters`

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use pelton_client::Position;
use serde::Serialize;

use super::target::{ApiArgs, TriggerName};
use super::{print, print_error, print_line};
use crate::admin::Admin;
use crate::api::view::{DeadLetterView, SelectionBody};
use crate::event_view;
use crate::exit::Failure;
use crate::table::{Table, age};
use crate::terminal::{escape, escape_block};

/// Letters asked for at a time.
const PAGE: usize = 500;

/// What `pelton deadletters` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pelton deadletters list\n  pelton deadletters show --trigger orders --position 0/17\n  \
                        pelton deadletters redrive --trigger shop/orders\n  pelton deadletters discard --all"
)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    verb: Verb,
    /// The namespace of a Trigger whose name has none [default: that of the context, else default]
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them, oldest event first within a Trigger
    List {
        /// Only those of this Trigger: NAME, NAMESPACE/NAME, or the uid of one that is gone
        #[arg(long)]
        trigger: Option<TriggerName>,
        /// Not only the first ones
        #[arg(long, conflicts_with = "limit")]
        all: bool,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Print one with its event and the last answer
    Show {
        /// The Trigger
        #[arg(long)]
        trigger: TriggerName,
        /// Where the event stands, as the list shows it
        #[arg(long, value_name = "GROUP/OFFSET")]
        position: Position,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Send them again, with all their retries
    Redrive(Which),
    /// Drop them for good
    Discard(Which),
}

#[derive(Debug, Args)]
#[group(id = "which", required = true)]
struct Which {
    /// Those of this Trigger: NAME, NAMESPACE/NAME, or the uid of one that is gone
    #[arg(long)]
    trigger: Option<TriggerName>,
    /// Only the one of this event
    #[arg(long, value_name = "GROUP/OFFSET", requires = "trigger")]
    position: Option<Position>,
    /// All there are
    #[arg(long, conflicts_with_all = ["trigger", "position"])]
    all: bool,
}

impl Which {
    fn body(self, namespace: &str) -> SelectionBody {
        SelectionBody {
            trigger: self.trigger.map(|trigger| trigger.within(namespace)),
            position: self.position.map(|position| position.to_string()),
            all: self.all,
        }
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// JSON
    Json,
}

/// Does what is asked with dead letters.
pub async fn run(args: DeadLettersArgs) -> Result<(), Failure> {
    let target = args.api.target()?;
    let (mut admin, namespace) = (target.admin(), target.namespace(args.namespace.as_deref()));
    match args.verb {
        Verb::List { trigger, all, limit, output } => {
            let limit = if all { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
            let trigger = trigger.map(|trigger| trigger.within(&namespace));
            list(&mut admin, trigger.as_deref(), limit, output).await
        }
        Verb::Show { trigger, position, output } => {
            let letter = admin.dead_letter(&trigger.within(&namespace), &position.to_string()).await?;
            match output {
                Output::Table => print(&describe(&letter)),
                Output::Json => print_json(&letter),
            }
        }
        Verb::Redrive(which) => {
            let count = admin.redrive(&which.body(&namespace)).await?;
            print_line(&format!("{count} sent again"))
        }
        Verb::Discard(which) => {
            let count = admin.discard(&which.body(&namespace)).await?;
            print_line(&format!("{count} discarded"))
        }
    }
}

async fn list(admin: &mut Admin, trigger: Option<&str>, limit: usize, output: Output) -> Result<(), Failure> {
    let mut letters = Vec::new();
    let mut after: Option<String> = None;
    let more = loop {
        let wanted = PAGE.min(limit - letters.len());
        let page = admin.dead_letters(trigger, wanted, after.as_deref()).await?;
        letters.extend(page.items);
        after = page.next;
        if after.is_none() || letters.len() >= limit {
            break after.is_some();
        }
    };
    match output {
        Output::Json => print_json(&letters)?,
        Output::Table if letters.is_empty() => print_error("There are no dead letters."),
        Output::Table => print(&table(&letters))?,
    }
    if more {
        print_error("There may be more; --all lists them.");
    }
    Ok(())
}

fn table(letters: &[DeadLetterView]) -> String {
    let mut table = Table::new(&["TRIGGER", "POSITION", "ID", "SOURCE", "TYPE", "ATTEMPTS", "CODE", "CAUSE", "AGE"]);
    for letter in letters {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
        table.row([
            letter.trigger.clone(),
            letter.position.clone(),
            known(&letter.id),
            known(&letter.source),
            known(&letter.ty),
            letter.attempts.to_string(),
            letter.code.map_or_else(|| "-".into(), |code| code.to_string()),
            letter.cause.clone(),
            age(Duration::from_millis(letter.age_millis)),
        ]);
    }
    table.to_string()
}

fn describe(letter: &DeadLetterView) -> String {
    let answer = match letter.code {
        Some(code) => format!("{code}"),
        None => "none".into(),
    };
    let mut out = String::new();
    for (name, value) in [
        ("trigger", letter.trigger.as_str()),
        ("position", &letter.position),
        ("given up", &letter.at),
        ("cause", &letter.cause),
        ("attempts", &letter.attempts.to_string()),
        ("asked last", &letter.destination),
        ("answer", &answer),
    ] {
        out.push_str(&format!("{name:<12}{}\n", escape(value)));
    }
    if !letter.detail.is_empty() {
        let indented = escape_block(letter.detail.trim_end()).replace('\n', "\n    ");
        out.push_str(&format!("    {indented}\n"));
    }
    match (&letter.event, &letter.event_error) {
        (Some(event), _) => out.push_str(&format!("\nevent\n{}\n", event_view::indent_json(event.get(), "  "))),
        (None, Some(why)) => out.push_str(&format!("\nevent       cannot be read: {}\n", escape(why))),
        (None, None) => {}
    }
    out
}

fn print_json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed("cannot write JSON", &error))?;
    print_line(&text)
}
