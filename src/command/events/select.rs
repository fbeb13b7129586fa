//! Which events are meant.

use clap::Args;
use pelton_env::{Clock as _, SystemClock};

use crate::admin::encode;
use crate::api;

/// By what events are chosen: each must be exactly that.
#[derive(Debug, Default, Args)]
pub struct SelectArgs {
    /// Only those of this type
    #[arg(long = "type", value_name = "TYPE")]
    ty: Option<String>,
    /// Only those of this source
    #[arg(long)]
    source: Option<String>,
    /// Only those with this subject
    #[arg(long)]
    subject: Option<String>,
    /// Only those with this id
    #[arg(long)]
    id: Option<String>,
    /// Only those with this attribute, any number of times
    #[arg(short = 'x', long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
}

impl SelectArgs {
    /// As members of a query that has some already.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = String::new();
        let named = [("type", &self.ty), ("source", &self.source), ("subject", &self.subject), ("id", &self.id)];
        for (name, value) in named {
            if let Some(value) = value {
                add(&mut query, name, value);
            }
        }
        for (name, value) in &self.attributes {
            add(&mut query, &format!("attribute.{name}"), value);
        }
        query
    }

    /// As pairs of name and value.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        let named = [("type", &self.ty), ("source", &self.source), ("subject", &self.subject), ("id", &self.id)];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        named.chain(self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))).collect()
    }
}

/// One more member of a query.
pub fn add(query: &mut String, name: &str, value: &str) {
    query.push_str(&format!("&{name}={}", encode(value)));
}

/// A moment, which the server reads by its own clock.
pub fn moment(text: &str) -> Result<String, String> {
    api::moment(text, SystemClock.now()).map(|_| text.to_owned())
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
