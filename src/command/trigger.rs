//! `pelton trigger`

mod test;

use clap::{Args, Subcommand};
use pelton_resource::annotations::PAUSED;
use pelton_resource::{Kind, ResourceKey, StartPosition};

use super::print_line;
use super::target::{ApiArgs, Name};
use crate::admin::{Admin, AdminError};
use crate::exit::Failure;

/// How often a change is tried again when somebody else changed the Trigger meanwhile.
const CONFLICTS: usize = 5;

/// What `pelton trigger` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton trigger pause orders\n  pelton trigger resume orders\n  \
                        pelton trigger rewind orders --to earliest\n  \
                        pelton trigger rewind shop/orders --to 2026-11-22T08:00:00Z\n  \
                        pelton trigger test orders --since 24h")]
pub struct TriggerArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Deliver nothing; events wait and no attempt is spent
    Pause(Which),
    /// Deliver again, from where it stopped
    Resume(Which),
    /// Tell which of the last hour's events a filter would have let pass
    Test(Box<test::TestArgs>),
    /// Deliver again from another place in the log
    Rewind {
        #[command(flatten)]
        which: Which,
        /// latest, earliest, offset:N, or an RFC 3339 time
        #[arg(long, value_parser = place)]
        to: String,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// NAME or NAMESPACE/NAME
    name: Name,
    /// The namespace of a name that has none
    #[arg(short, long)]
    namespace: Option<String>,
}

impl Which {
    fn key(&self) -> ResourceKey {
        self.name.key(Kind::Trigger, self.namespace.as_deref())
    }
}

fn place(text: &str) -> Result<String, String> {
    match StartPosition::of(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected latest, earliest, offset:N or a time such as 2026-11-22T08:00:00Z".into()),
    }
}

/// Changes one Trigger.
pub async fn run(args: TriggerArgs) -> Result<(), Failure> {
    let mut admin = args.api.admin()?;
    match args.verb {
        Verb::Pause(which) => {
            set_paused(&mut admin, &which.key(), true).await?;
            print_line(&format!("{} paused", which.key()))
        }
        Verb::Resume(which) => {
            set_paused(&mut admin, &which.key(), false).await?;
            print_line(&format!("{} resumed", which.key()))
        }
        Verb::Test(args) => test::run(&mut admin, *args).await,
        Verb::Rewind { which, to } => {
            admin.rewind(&which.key(), &to).await?;
            print_line(&format!("{} rewound to {to}", which.key()))
        }
    }
}

/// Sets the annotation on the Trigger as it is now. The resourceVersion that was read goes along, so that a change
/// made in between is not undone but read and tried again.
async fn set_paused(admin: &mut Admin, key: &ResourceKey, paused: bool) -> Result<(), AdminError> {
    for attempt in 1.. {
        let mut resource = admin.show(key).await?;
        let annotations = &mut resource.meta_mut().annotations;
        if paused {
            annotations.insert(PAUSED.to_owned(), "true".to_owned());
        } else {
            annotations.remove(PAUSED);
        }
        match admin.apply(vec![resource]).await {
            Err(AdminError::Refused(problem)) if problem.status == 409 && attempt < CONFLICTS => {}
            outcome => return outcome.map(drop),
        }
    }
    Ok(())
}
