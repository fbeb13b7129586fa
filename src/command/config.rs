//! `pelton config`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::target::ApiArgs;
use super::{print, print_error, print_line};
use crate::contexts::{self, Config, Places};
use crate::exit::Failure;
use crate::table::{Table, or_dash};

/// What `pelton config` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "A context is a server, who you are there, and a namespace. Pelton has a kubeconfig of its own for them, \
                        ~/.config/pelton/config or the files of PELTON_KUBECONFIG. Contexts of kubectl's files (KUBECONFIG, \
                        ~/.kube/config) are listed as well, and are used when they are named: by --context, or by use-context \
                        once and for all. What is current to kubectl is never followed by itself.\n\n\
                        --api decides before --context and --kubeconfig, these before PELTON_API, and that before what is current \
                        here; without any of them it is http://127.0.0.1:8001.\n\n\
                        Examples:\n  pelton config get-contexts\n  \
                        pelton config set-context test --server https://10.0.0.7:8001 --certificate-authority ca.pem --token-file token\n  \
                        pelton config use-context test\n  pelton get brokers --context other"
)]
pub struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the contexts that there are
    GetContexts,
    /// Print the name of the context that is current
    CurrentContext,
    /// Have commands talk to the server of that context from now on
    UseContext {
        /// The context
        name: String,
    },
    /// Make a context, or change one
    SetContext(SetArgs),
    /// Forget a context, with its server and its user when no other context names them
    DeleteContext {
        /// The context
        name: String,
    },
}

#[derive(Debug, Args)]
struct SetArgs {
    /// How it is called; --server names its server
    name: String,
    /// What --server says.
    #[arg(skip)]
    server: Option<String>,
    /// The namespace that is meant when none is said
    #[arg(short, long)]
    namespace: Option<String>,
    /// A file with the certificates of the authorities that the server is trusted by
    #[arg(long, value_name = "FILE")]
    certificate_authority: Option<PathBuf>,
    /// A file with your bearer token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with your certificate
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// A file with its key
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

/// Shows or changes contexts.
pub fn run(args: ConfigArgs) -> Result<(), Failure> {
    let places = args.api.places();
    match args.verb {
        Verb::GetContexts => list(&places),
        Verb::CurrentContext => match Config::read_all(&places.own)?.current() {
            Some(name) => print_line(&name),
            None => Err(Failure::Failed("no context is current: commands go to PELTON_API, or to this machine".into())),
        },
        Verb::UseContext { name } => {
            find(&places, &name)?;
            contexts::change(own(&places)?, |config| {
                drop(config.insert("current-context".into(), name.as_str().into()))
            })?;
            print_line(&format!("Switched to context {name:?}."))
        }
        Verb::SetContext(set) => {
            let server = args.api.wanted().api.map(|server| contexts::server(&set.name, &server)).transpose()?;
            let server = server.map(|url| url.to_string());
            let file = own(&places)?;
            if server.is_none() && Config::read_all(std::slice::from_ref(file))?.context(&set.name).is_none() {
                return Err(Failure::Usage(format!("{:?} is new: name its server with --server", set.name)));
            }
            let entries = entries(SetArgs { server, ..set })?;
            contexts::change(file, |config| entries.write(config))?;
            print_line(&format!("Context {:?} set in {}.", entries.name, file.display()))
        }
        Verb::DeleteContext { name } => {
            let file = own(&places)?;
            if Config::read_all(std::slice::from_ref(file))?.context(&name).is_none() {
                return Err(Failure::Failed(format!("there is no context {name:?} in {}", file.display())));
            }
            let current = || Ok::<_, Failure>(Config::read_all(&places.own)?.current());
            let was_current = current()?.as_ref() == Some(&name);
            contexts::change(file, |config| forget(config, &name))?;
            print_line(&format!("Context {name:?} deleted from {}.", file.display()))?;
            if was_current && current()?.is_none() {
                print_error("Warning: no context is current now: commands go to PELTON_API, or to this machine.");
            }
            Ok(())
        }
    }
}

/// The file that is written to.
fn own(places: &Places) -> Result<&PathBuf, Failure> {
    places
        .own
        .first()
        .ok_or_else(|| Failure::Usage("there is no home for a configuration: set PELTON_KUBECONFIG".to_owned()))
}

fn find(places: &Places, name: &str) -> Result<(), Failure> {
    let all = Config::read_all(&[places.own.as_slice(), places.kubectl.as_slice()].concat())?;
    match all.context(name) {
        Some(_) => Ok(()),
        None => Err(Failure::Failed(format!(
            "there is no context {name:?}: pelton config get-contexts lists those that there are"
        ))),
    }
}

fn list(places: &Places) -> Result<(), Failure> {
    let (own, kubectl) = (Config::read_all(&places.own)?, Config::read_all(&places.kubectl)?);
    let current = own.current();
    let mut table = Table::new(&["CURRENT", "NAME", "SERVER", "USER", "NAMESPACE", "OF"]);
    for (config, of) in [(&own, "pelton"), (&kubectl, "kubectl")] {
        for context in config.contexts() {
            // One of the same name in a file of Pelton's own is the one that is found.
            if of == "kubectl" && own.context(&context.name).is_some() {
                continue;
            }
            let server = config.cluster(&context.value.cluster).map(|cluster| cluster.server.as_str());
            table.row([
                if current.as_ref() == Some(&context.name) { "*" } else { "" }.to_owned(),
                context.name.clone(),
                or_dash(server),
                or_dash(Some(&context.value.user)),
                or_dash(Some(&context.value.namespace)),
                of.to_owned(),
            ]);
        }
    }
    if !table.has_rows() {
        print_error("There is no context.");
        return Ok(());
    }
    print(&table.to_string())
}

/// What is written of a context. Its server and its user are called as it is, unless it names others.
struct Entries {
    name: String,
    context: Map<String, Value>,
    cluster: Map<String, Value>,
    user: Map<String, Value>,
}

fn entries(set: SetArgs) -> Result<Entries, Failure> {
    let file = |path: &Option<PathBuf>| -> Result<Option<String>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let whole = std::path::absolute(path).map_err(|error| Failure::failed("the folder is not known", &error))?;
        Ok(Some(whole.display().to_string()))
    };
    let fields = |all: Vec<(&str, Option<String>)>| -> Map<String, Value> {
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect()
    };
    let (name, authority) = (set.name, file(&set.certificate_authority)?);
    let context = fields(vec![("namespace", set.namespace)]);
    let cluster = fields(vec![("server", set.server), ("certificate-authority", authority)]);
    let user = fields(vec![
        ("tokenFile", file(&set.token_file)?),
        ("client-certificate", file(&set.client_certificate)?),
        ("client-key", file(&set.client_key)?),
    ]);
    Ok(Entries { name, context, cluster, user })
}

impl Entries {
    fn write(&self, config: &mut Map<String, Value>) {
        let known = entries_of(config, "contexts").into_iter().find(|entry| entry["name"] == self.name.as_str());
        let known = known.unwrap_or_default();
        let mut context = self.context.clone();
        for (list, what, fields) in [("clusters", "cluster", &self.cluster), ("users", "user", &self.user)] {
            if fields.is_empty() {
                continue;
            }
            let named = known["context"][what].as_str().filter(|named| !named.is_empty()).unwrap_or(&self.name);
            write_entry(config, list, what, named, fields);
            context.insert(what.to_owned(), named.into());
        }
        write_entry(config, "contexts", "context", &self.name, &context);
    }
}

fn entries_of(config: &Map<String, Value>, list: &str) -> Vec<Value> {
    config.get(list).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Writes fields into the entry of that name. Those that it has besides stay.
fn write_entry(config: &mut Map<String, Value>, list: &str, what: &str, name: &str, fields: &Map<String, Value>) {
    let mut entries = entries_of(config, list);
    match entries.iter_mut().find(|entry| entry["name"] == name) {
        None => entries.push(json!({"name": name, what: fields})),
        Some(entry) => match &mut entry[what] {
            Value::Object(known) => known.extend(fields.clone()),
            none => *none = fields.clone().into(),
        },
    }
    config.insert(list.to_owned(), entries.into());
}

fn forget(config: &mut Map<String, Value>, name: &str) {
    let remove = |config: &mut Map<String, Value>, list: &str, gone: &str| {
        if let Some(Value::Array(entries)) = config.get_mut(list) {
            entries.retain(|entry| entry["name"] != gone);
        }
    };
    let it = entries_of(config, "contexts").into_iter().find(|entry| entry["name"] == name).unwrap_or_default();
    remove(config, "contexts", name);
    for (what, list) in [("cluster", "clusters"), ("user", "users")] {
        let named = &it["context"][what];
        let others = entries_of(config, "contexts");
        if let Some(gone) = named.as_str().filter(|_| others.iter().all(|entry| entry["context"][what] != *named)) {
            remove(config, list, gone);
        }
    }
    if config.get("current-context").and_then(Value::as_str) == Some(name) {
        config.remove("current-context");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_made_changed_and_forgotten() {
        let set = |name: &str, server: Option<&str>, namespace: Option<&str>, token: Option<&str>| {
            entries(SetArgs {
                name: name.to_owned(),
                server: server.map(str::to_owned),
                namespace: namespace.map(str::to_owned),
                certificate_authority: None,
                token_file: token.map(PathBuf::from),
                client_certificate: None,
                client_key: None,
            })
            .unwrap()
        };
        let mut config = json!({"clusters": null, "preferences": {}}).as_object().unwrap().clone();
        set("a", Some("http://a"), None, Some("/t")).write(&mut config);
        set("a", None, Some("shop"), None).write(&mut config);
        set("b", Some("http://b"), None, None).write(&mut config);
        config.insert("current-context".to_owned(), "a".into());
        assert_eq!(config["clusters"][0], json!({"name": "a", "cluster": {"server": "http://a"}}));
        assert_eq!(config["users"][0], json!({"name": "a", "user": {"tokenFile": "/t"}}));
        let context = json!({"name": "a", "context": {"cluster": "a", "user": "a", "namespace": "shop"}});
        assert_eq!(config["contexts"][0], context);
        forget(&mut config, "a");
        assert_eq!(config["clusters"], json!([{"name": "b", "cluster": {"server": "http://b"}}]));
        assert_eq!((config["contexts"].as_array().unwrap().len(), config.get("current-context")), (1, None));
        assert!(config.contains_key("preferences"));
        assert_eq!(config.get("users"), Some(&json!([])), "b has none");
    }

    /// As another program wrote it: its server and its user are called otherwise than the context.
    #[test]
    fn a_context_keeps_the_names_of_its_server_and_its_user() {
        let written = json!({
            "clusters": [{"name": "c", "cluster": {"server": "http://a", "tls-server-name": "a"}}],
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u"}],
        });
        let nothing = || SetArgs {
            name: "a".to_owned(),
            server: None,
            namespace: None,
            certificate_authority: None,
            token_file: None,
            client_certificate: None,
            client_key: None,
        };
        for (set, at, want) in [
            (
                SetArgs { namespace: Some("shop".to_owned()), ..nothing() },
                "/contexts/0/context",
                json!({"cluster": "c", "user": "u", "namespace": "shop"}),
            ),
            (
                SetArgs { server: Some("http://b".to_owned()), ..nothing() },
                "/clusters/0/cluster",
                json!({"server": "http://b", "tls-server-name": "a"}),
            ),
            (SetArgs { token_file: Some("/t".into()), ..nothing() }, "/users/0/user", json!({"tokenFile": "/t"})),
        ] {
            let mut want_all = written.clone();
            if at == "/users/0/user" {
                want_all["users"][0]["user"] = json!({});
            }
            *want_all.pointer_mut(at).unwrap() = want;
            let mut config = written.as_object().unwrap().clone();
            entries(set).unwrap().write(&mut config);
            assert_eq!(Value::Object(config), want_all, "{at}");
        }
    }
}
