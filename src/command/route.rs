//! `pelton route`

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use pelton_env::UnixMillis;
use pelton_resource::Kind;
use pelton_resource::serving::Route;

use super::get::columns::age_of;
use super::service::describe::{address, conditions, indented, now, traffic};
use super::service::{DescribeArgs, show};
use super::target::ApiArgs;
use super::verbs::{self, ListArgs};
use crate::exit::Failure;
use crate::kube::{kinds, object};
use crate::table::or_dash;
use crate::terminal::escape;

/// What `pelton route` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton route list -o wide\n  pelton route describe hello")]
pub struct RouteArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List Routes
    List(ListArgs),
    /// Show one: where it is, and who gets which share of its traffic
    Describe(DescribeArgs),
}

/// Lists or shows Routes.
pub async fn run(args: RouteArgs) -> Result<(), Failure> {
    let target = args.api.target()?;
    match args.verb {
        Verb::List(list) => verbs::list(&target, Kind::Route, &list).await,
        Verb::Describe(described) => {
            let (namespace, name) = described.which.within(&target);
            let route = target.kube().get(kinds::row(Kind::Route), &namespace, &name).await?;
            let route: Route = object::typed(route)?;
            show(&route, described.output, || text(&route, now()))
        }
    }
}

fn text(route: &Route, now: UnixMillis) -> String {
    let meta = &route.metadata;
    let mut out = format!("Route {}/{}\n", escape(&meta.namespace), escape(&meta.name));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<15} {}", escape(value));
    };
    line("URL", &or_dash(route.status.url.as_deref()));
    line("Address", &address(route.status.address.as_ref()));
    line("Age", &age_of(meta, now));
    let _ = write!(out, "\nTraffic\n{}", indented(&traffic(&route.status.traffic)));
    let _ = write!(out, "\nConditions\n{}", indented(&conditions(&route.status.conditions, now)));
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_route_is_shown_with_its_shares() {
        let route = json!({
            "metadata": {"name": "hello", "namespace": "shop"},
            "status": {
                "url": "http://hello.shop.localhost",
                "traffic": [{"revisionName": "hello-00001", "percent": 100, "latestRevision": true}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        let route: Route = serde_json::from_value(route).unwrap();
        let shown = text(&route, UnixMillis(0));
        for want in ["Route shop/hello", "http://hello.shop.localhost", "hello-00001   100%      -     yes", "True"] {
            assert!(shown.contains(want), "{want:?} is not in\n{shown}");
        }
        assert!(text(&Route::default(), UnixMillis(0)).contains("none is assigned yet"));
    }
}
