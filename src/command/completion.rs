//! `pelton completion`

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::print;
use crate::cli::Cli;
use crate::exit::Failure;

/// What `pelton completion` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton completion bash > ~/.local/share/bash-completion/completions/pelton\n  \
                        pelton completion zsh > ~/.zfunc/_pelton\n  \
                        pelton completion fish > ~/.config/fish/completions/pelton.fish")]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script that a shell reads.
pub fn run(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "pelton", &mut script);
    print(&String::from_utf8_lossy(&script))
}
