//! `pelton apply`

use std::path::PathBuf;

use clap::Args;

use super::print;
use super::target::ApiArgs;
use crate::exit::Failure;
use crate::manifests;

/// What `pelton apply` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton apply -f triggers.yaml\n  pelton apply -f ./manifests -f extra.json\n  \
                        pelton get triggers -o yaml | sed s/old/new/ | pelton apply -f -")]
pub struct ApplyArgs {
    /// A manifest, a folder of manifests, or - for standard input; all of them are stored or none
    #[arg(short, long = "file", value_name = "FILE_OR_DIR", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
}

/// Reads the manifests and hands them in as one.
pub async fn run(args: ApplyArgs) -> Result<(), Failure> {
    let resources = manifests::read(&args.files)?;
    if resources.is_empty() {
        return Err(Failure::Usage("there is no resource in what was given".into()));
    }
    let stored = args.api.admin()?.apply(resources).await?;
    print(&stored.iter().map(|resource| format!("{} applied\n", resource.key())).collect::<String>())
}
