//! `pelton top`

mod render;
mod screen;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use self::screen::Screen;
use super::output::json;
use super::print;
use super::target::ApiArgs;
use crate::admin::Admin;
use crate::api::top_view::TopView;
use crate::config::parse_duration;
use crate::exit::Failure;
use crate::signals::Signals;

/// The shortest time between two looks: each reads all cursors.
const SHORTEST: Duration = Duration::from_millis(200);

/// For how long rates are counted when there is only one look.
const ONCE: Duration = Duration::from_secs(1);

/// What `pelton top` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "On a terminal the screen is drawn again until it is interrupted, and the terminal is as it was before. \
                        Elsewhere, and with --once, one table is printed; its rates are those of one second.\n\n\
                        BACKLOG is what waits for a Trigger at most. IN and OUT are events that matched and that were \
                        delivered, a second. Requests of Revisions are those of the node that is asked.\n\n\
                        Examples:\n  pelton top\n  pelton top --interval 500ms --limit 100\n  pelton top --once"
)]
pub struct TopArgs {
    /// Print one table and end
    #[arg(long)]
    once: bool,
    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// Triggers and Revisions at most, each: those with the most to do
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Print what the server said, as JSON, once
    #[arg(long, conflicts_with = "once")]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        interval if interval >= SHORTEST => Ok(interval),
        _ => Err(format!("at least {SHORTEST:?}")),
    }
}

/// Shows what goes on.
pub async fn run(args: TopArgs) -> Result<(), Failure> {
    let mut admin = args.api.admin()?;
    if args.json {
        return print(&json(&look(&mut admin, args.limit).await?)?);
    }
    if args.once || !std::io::stdout().is_terminal() {
        let before = look(&mut admin, args.limit).await?;
        tokio::time::sleep(ONCE).await;
        let now = look(&mut admin, args.limit).await?;
        return print(&(render::lines(&now, Some(&before)).join("\n") + "\n"));
    }
    live(&mut admin, &args).await
}

async fn look(admin: &mut Admin, limit: u64) -> Result<TopView, Failure> {
    Ok(admin.get(&format!("/v1/top?limit={limit}")).await?)
}

/// Draws until a signal, or until there is no answer. Whichever it is, the terminal is given back first.
async fn live(admin: &mut Admin, args: &TopArgs) -> Result<(), Failure> {
    let deaf = |error: std::io::Error| Failure::failed("cannot wait for signals", &error);
    let mut signals = Signals::new().map_err(deaf)?;
    // Ctrl-\, which would end the process on the other screen.
    let mut quit = signal(SignalKind::quit()).map_err(deaf)?;
    let first = look(admin, args.limit).await?;
    let screen = Screen::enter()?;
    let (mut before, mut now) = (None, first);
    loop {
        screen.draw(&render::lines(&now, before.as_ref()))?;
        let next = Instant::now() + args.interval;
        let looked = async {
            sleep_until(next).await;
            look(admin, args.limit).await
        };
        let looked = tokio::select! {
            looked = looked => looked?,
            () = signals.next() => return Ok(()),
            _ = quit.recv() => return Ok(()),
        };
        before = Some(std::mem::replace(&mut now, looked));
    }
}
