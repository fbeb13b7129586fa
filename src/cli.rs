//! The command line.

use clap::{Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::command::{
    apply::ApplyArgs, broker::BrokerArgs, cert::CertArgs, cluster::ClusterArgs, completion::CompletionArgs,
    config::ConfigArgs, deadletters::DeadLettersArgs, delete::DeleteArgs, demo::DemoArgs, describe::DescribeArgs,
    display::DisplayArgs, edit::EditArgs, events::EventsArgs, get::GetArgs, group::GroupArgs,
    kubeconfig::KubeconfigArgs, label::LabelArgs, log::LogArgs, logs::LogsArgs, node::NodeArgs, ready::ReadyArgs,
    recover::RecoverArgs, revision::RevisionArgs, route::RouteArgs, send::SendArgs, server::ServerCommandArgs,
    service::ServiceArgs, status::StatusArgs, top::TopArgs, trace::TraceArgs, trigger::TriggerArgs, up::UpArgs,
    wait::WaitArgs,
};

/// Knative Eventing without Kubernetes: takes CloudEvents in, keeps them in a log, and delivers them.
#[derive(Debug, Parser)]
#[command(name = "pelton", version, max_term_width = 110, arg_required_else_help = true, after_help = crate::exit::HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine
    Up(UpArgs),
    /// Run a node of a cluster
    Server(ServerCommandArgs),
    /// Run a cluster of several processes on this machine, to develop against
    Cluster(ClusterArgs),
    /// Show in a few seconds what Pelton does, with real events in a temporary folder
    Demo(DemoArgs),
    /// Create or change resources from manifests
    Apply(ApplyArgs),
    /// List Brokers, Triggers, Services and other resources, or show some
    Get(GetArgs),
    /// Show resources with what happened to them
    Describe(DescribeArgs),
    /// Delete resources
    Delete(DeleteArgs),
    /// Wait until something is true of resources
    Wait(WaitArgs),
    /// Change a resource in an editor
    Edit(EditArgs),
    /// Change the labels of resources
    Label(LabelArgs),
    /// Change the annotations of resources
    Annotate(LabelArgs),
    /// Make, list, show, change or delete Brokers
    Broker(Box<BrokerArgs>),
    /// List Services, or show one with its Revisions and instances
    Service(ServiceArgs),
    /// List Revisions, or show one
    Revision(RevisionArgs),
    /// List Routes, or show one
    Route(RouteArgs),
    /// Print what the instances of a Service printed
    Logs(LogsArgs),
    /// Make, list, show, change, delete, pause, resume, rewind or test Triggers
    Trigger(Box<TriggerArgs>),
    /// List, show or follow the events of a Broker
    Events(Box<EventsArgs>),
    /// Tell what became of an event: attempts, replies, dead letters, what it waits for
    Trace(Box<TraceArgs>),
    /// Show what goes on: Brokers, Triggers with backlog and rates, Revisions
    Top(TopArgs),
    /// List, read, send again or discard events that could not be delivered
    #[command(name = "deadletters", visible_alias = "dead-letters")]
    DeadLetters(DeadLettersArgs),
    /// Send an event
    Send(Box<SendArgs>),
    /// Run a subscriber that prints the events it gets
    Display(DisplayArgs),
    /// Show the cluster on one screen: nodes, leaders, lag, backlog, and what is wrong since when
    Status(StatusArgs),
    /// List, drain or remove nodes of the cluster
    Node(NodeArgs),
    /// List log groups, move their replicas and their leaders
    Group(GroupArgs),
    /// Choose which server the commands talk to, and as whom
    Config(ConfigArgs),
    /// Print a kubeconfig, by which kubectl finds the API
    Kubeconfig(KubeconfigArgs),
    /// Ask a process whether it is ready, for health checks
    Ready(ReadyArgs),
    /// Make certificates for TLS between nodes
    Cert(CertArgs),
    /// Look after the log on disk
    Log(LogArgs),
    /// Make a cluster of one out of the only node that is left
    Recover(RecoverArgs),
    /// Measure this machine and Pelton on it
    Bench(BenchArgs),
    /// Print what completes commands in a shell
    Completion(CompletionArgs),
    /// Print the version
    Version,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Each row is what somebody types, and whether it is understood.
    #[test]
    fn commands_are_understood_or_refused() {
        let rows: &[(&str, bool)] = &[
            ("up", true),
            ("up -f a.yaml -f b --data /tmp/x --ingress-listen 127.0.0.1:0 --workers 2 --config c.yaml", true),
            ("up --gateway-listen 127.0.0.1:0", true),
            ("demo", true),
            ("demo --stay", true),
            ("apply -f a.yaml", true),
            ("apply -f -", true),
            ("apply", false),
            ("get brokers", true),
            ("get trigger -n shop -o wide", true),
            ("get brokers,triggers -A", true),
            ("get trigger orders -o yaml", true),
            ("get triggers -l a=b --field-selector metadata.name=x -w", true),
            ("get broker default -o jsonpath={.status.address.url}", true),
            ("get", false),
            ("get brokers -A -n shop", false),
            ("get brokers -o xml", false),
            ("get brokers -o jsonpath={.items[*]}", false),
            ("delete broker default", true),
            ("delete trigger shop/orders", true),
            ("delete triggers --all -n shop --wait=false", true),
            ("delete -f a.yaml --cascade=orphan --ignore-not-found -o name", true),
            ("delete", false),
            ("delete trigger a -f b.yaml", false),
            ("apply -f a.yaml -n shop --dry-run=server --force-conflicts -o json", true),
            ("apply -f a.yaml --dry-run=client", false),
            ("describe trigger orders", true),
            ("describe", false),
            ("wait --for=condition=Ready trigger/orders --timeout 5m", true),
            ("wait --for delete trigger orders", true),
            ("wait trigger orders", false),
            ("wait --for=ready trigger orders", false),
            ("wait --for=condition=Ready trigger orders --timeout soon", false),
            ("edit trigger orders -n shop", true),
            ("edit", false),
            ("label trigger orders a=b c-", true),
            ("annotate trigger orders a=b --overwrite", true),
            ("label trigger", false),
            ("broker create b --retry 3 --dl-sink ksvc:x", true),
            ("broker create", false),
            ("broker list -A -o name", true),
            ("broker describe shop/b", true),
            ("broker update b --backoff-policy linear", true),
            ("broker update b --backoff-policy none", false),
            ("broker delete a b", true),
            ("trigger create t --broker b --filter type=x --sink http://x", true),
            ("trigger create t --filter type=x", false),
            ("trigger update t --filter type-", true),
            ("trigger delete t --ignore-not-found", true),
            ("trigger list -l a=b", true),
            ("config get-contexts", true),
            ("config current-context", true),
            ("config use-context a", true),
            ("config use-context", false),
            ("config set-context a --server http://127.0.0.1:1 --token-file t", true),
            ("config set-context", false),
            ("config delete-context a", true),
            ("completion bash", true),
            ("completion", false),
            ("completion dos", false),
            ("get brokers --context a --kubeconfig k --server http://127.0.0.1:1", true),
            ("deadletters list", true),
            ("deadletters list --trigger default/t --all -o json", true),
            ("deadletters show --trigger default/t --position 0/1", true),
            ("deadletters show --trigger default/t", false),
            ("deadletters redrive", false),
            ("deadletters redrive --all", true),
            ("deadletters redrive --all --trigger default/t", false),
            ("deadletters redrive --position 0/1", false),
            ("deadletters discard --trigger default/t --position 0/1", true),
            ("deadletters discard --trigger default/t --position 1", false),
            ("trigger pause orders", true),
            ("trigger resume shop/orders", true),
            ("trigger rewind orders --to earliest", true),
            ("trigger rewind orders --to offset:5", true),
            ("trigger rewind orders --to 2026-01-01T00:00:00Z", true),
            ("trigger rewind orders --to yesterday", false),
            ("trigger rewind orders", false),
            ("trigger test orders --since 24h", true),
            ("trigger test -f t.yaml --limit 3", true),
            ("trigger test --type t -x k=v --broker shop/orders", true),
            ("trigger test orders -f t.yaml", false),
            ("trigger test orders --limit 0", false),
            ("trigger test orders --since yesterday", false),
            ("events list", true),
            ("events list shop/orders --since 10m --until 2026-11-22T08:00:00Z --type t -x k=v -o wide", true),
            ("events list --all --data -o yaml", true),
            ("events list --continue 1:2:3 --limit 5", true),
            ("events list --continue 1:2:3 --since 5m", false),
            ("events list --limit -1", false),
            ("events list --since yesterday", false),
            ("events list --all --limit 5", false),
            ("events list -x k", false),
            ("events show 1/2 1/3 --data -o json", true),
            ("events show", false),
            ("events show 1", false),
            ("events tail -n shop orders --since 5m -o name", true),
            ("events tail --until 5m", false),
            ("events", false),
            ("trace /s 1", true),
            ("trace /s 1 --broker b -n shop --since 1d --data -o wide", true),
            ("trace /s", false),
            ("trace /s 1 -o table", false),
            ("top", true),
            ("top --once --interval 5s --limit 10", true),
            ("top --interval 0s", false),
            ("top --limit 0", false),
            ("send --type a", true),
            ("send http://127.0.0.1:1/a/b --type a --data {} -x k=v --structured --count 5", true),
            ("send --type a --data {} --data-file x", false),
            ("send --type a -x novalue", false),
            ("send", false),
            ("display --listen 127.0.0.1:0 --status 503 --fail-first 2", true),
            ("display --status 99", false),
            ("up --join 127.0.0.1:1", true), // understood, and refused with the reason
            ("server", true),
            ("server --name a --join a:1,b:1 --role broker --peer-insecure --data d", true),
            ("server --peer-insecure=false", true),
            ("server --listen 127.0.0.1:7400", true),
            ("server --peer-insecure false", false),
            ("ready --metrics http://127.0.0.1:1", true),
            ("cert ca", true),
            ("cert ca --dir d --days 0", false),
            ("cert node a --dir d --host a.example --host 10.0.0.1 --days 90", true),
            ("cert node a", false),
            ("cluster dev", true),
            ("cluster dev --nodes 5 --data d -f a.yaml -f b --ready-file r", true),
            ("cluster dev --nodes 0", false),
            ("cluster dev --nodes 8", false),
            ("cluster dev --resume d --node b", true),
            ("cluster dev --resume d --node b --ready-file r", true),
            ("cluster dev --resume d", false),
            ("cluster dev --node b", false),
            ("cluster dev --resume d --node b --nodes 3", false),
            ("cluster", false),
            ("status", true),
            ("status -o json --api http://127.0.0.1:1", true),
            ("status -o yaml", false),
            ("node list -o wide", true),
            ("node list --api http://127.0.0.1:1", true),
            ("node --api http://127.0.0.1:1 list", true),
            ("node drain a", true),
            ("node drain a --wait 10m", true),
            ("node drain a --wait soon", false),
            ("node drain", false),
            ("node undrain a", true),
            ("node remove a --lost", true),
            ("group list", true),
            ("group move 2 --from a --to b", true),
            ("group move 2 --to b", false),
            ("group move orders --from a --to b", false),
            ("group lead 2 b", true),
            ("log verify dir", true),
            ("logs hello", true),
            ("logs -f --tail 10 --since 5m -n shop hello -o json", true),
            ("logs --revision shop/hello-00001", true),
            ("logs hello --revision hello-00001", false),
            ("logs", false),
            ("logs hello --tail -1", false),
            ("logs hello --since yesterday", false),
            ("service list -n shop -o wide", true),
            ("service list -A", true),
            ("revision describe hello-00001", true),
            ("service describe shop/hello -o yaml", true),
            ("service describe -n shop hello --api http://127.0.0.1:1", true),
            ("service describe", false),
            ("service describe hello -o wide", false),
            ("service", false),
            ("revision list --service hello -o json", true),
            ("revision list hello", false),
            ("route list", true),
            ("route describe hello -o json", true),
            ("recover --data d", true),
            ("recover --data d --yes-i-may-lose-events", true),
            ("recover", false),
            ("recover d", false),
            ("kubeconfig", true),
            ("kubeconfig --api http://127.0.0.1:1", true),
            ("version", true),
            ("", false),
        ];
        for (line, good) in rows {
            let words = std::iter::once("pelton").chain(line.split_whitespace());
            let parsed = Cli::try_parse_from(words);
            assert_eq!(parsed.is_ok(), *good, "pelton {line}: {parsed:?}");
        }
    }
}
