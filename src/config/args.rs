//! The flags, made from the list of keys so that no flag can be missing in the file or the environment.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::{ConfigError, Flags, KEYS, Key, Layers, Mistake, Scope, Settings, Shape, Source};

/// Names the configuration file when the flag does not.
const CONFIG_VARIABLE: &str = "PELTON_CONFIG";

/// The flags of `pelton up`. Those of `pelton server` are read as well, so that it can be said whose they are.
#[derive(Debug, Clone, Default)]
pub struct SettingsArgs(Given);

/// The flags of `pelton server`.
#[derive(Debug, Clone, Default)]
pub struct ServerArgs(Given);

#[derive(Debug, Clone, Default)]
struct Given {
    config: Option<PathBuf>,
    flags: Flags,
}

impl SettingsArgs {
    /// Reads environment and file and checks everything.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        self.0.settings(Scope::All)
    }
}

impl ServerArgs {
    /// Reads environment and file and checks everything. The settings are those of a node of a cluster.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        self.0.settings(Scope::Server)
    }
}

impl Given {
    fn settings(&self, scope: Scope) -> Result<Settings, ConfigError> {
        let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let path = self.config.clone().or_else(|| variable(CONFIG_VARIABLE).map(PathBuf::from));
        let text = match &path {
            None => None,
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                let mistake = Mistake {
                    key: "config".into(),
                    source_of_value: Source::File(path.clone()),
                    message: format!("the file cannot be read: {error}"),
                };
                ConfigError(vec![mistake])
            })?),
        };
        let file = path.as_deref().zip(text.as_deref());
        let (layers, mistakes) = Layers::new(&self.flags, variable, file);
        Settings::read(&layers, mistakes, scope)
    }

    fn update(&mut self, matches: &ArgMatches) {
        self.config = matches.get_one::<PathBuf>("config").cloned();
        for key in KEYS {
            if let Some(values) = matches.get_many::<String>(key.name) {
                self.flags.insert(key.name, values.cloned().collect());
            }
        }
    }
}

/// The same for both commands; they differ in which flags the help text shows.
macro_rules! args {
    ($args:ty, $scope:expr) => {
        impl FromArgMatches for $args {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let mut args = Self::default();
                args.0.update(matches);
                Ok(args)
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0.update(matches);
                Ok(())
            }
        }

        impl Args for $args {
            fn augment_args(command: Command) -> Command {
                augment(command, $scope)
            }

            fn augment_args_for_update(command: Command) -> Command {
                augment(command, $scope)
            }
        }
    };
}

args!(SettingsArgs, Scope::All);
args!(ServerArgs, Scope::Server);

fn augment(command: Command, scope: Scope) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help(format!("A YAML file with any of these settings [env: {CONFIG_VARIABLE}]"));
    let shown = |key: &Key| key.scope == Scope::All || scope == Scope::Server;
    KEYS.iter().fold(command.arg(config), |command, key| command.arg(flag(key).hide(!shown(key))))
}

fn flag(key: &'static Key) -> Arg {
    let default = key.default.map_or(String::new(), |value| format!(" [default: {value}]"));
    let flag = Arg::new(key.name)
        .long(key.name)
        .value_name(key.value_name)
        .action(if key.is_list() { ArgAction::Append } else { ArgAction::Set })
        .help(format!("{}{default} [env: {}]", key.help, key.variable()));
    let flag = match key.shape {
        Shape::Switch => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Shape::One | Shape::List | Shape::Commas => flag,
    };
    let flag = match key.alias {
        Some(alias) => flag.visible_alias(alias),
        None => flag,
    };
    match key.short {
        Some(short) => flag.short(short),
        None => flag,
    }
}
