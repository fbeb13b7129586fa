//! What is asked of the log, read from a query.

use pelton_client::{Client, Position, ReadError};
use pelton_dispatcher::matching::Predicate;
use pelton_env::UnixMillis;
use pelton_event::Event;
use pelton_resource::Filter;

use super::places::Places;
use super::scan::Scan;
use super::time::moment;
use super::{structured, view};
use crate::api::events_view::EventView;
use crate::api::problem::Problem;
use crate::api::router::{query_value, query_values};

/// Events a page, unless told otherwise.
const PAGE: usize = 100;

/// Most events a page.
pub const MAX_PAGE: usize = 1_000;

/// Attributes that have a name of their own in the query.
const SELECTORS: [&str; 4] = ["type", "source", "subject", "id"];

/// What any other attribute's name begins with in the query.
const ATTRIBUTE: &str = "attribute.";

/// Most attributes that one query may ask for.
const MAX_SELECTORS: usize = 16;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Only what was taken in then or later.
    pub since: Option<UnixMillis>,
    /// Only what was taken in then or earlier.
    pub until: Option<UnixMillis>,
    /// Events a page.
    pub limit: usize,
    with_data: bool,
    selects: Predicate,
    places: Option<Places>,
}

impl Asked {
    /// Reads a query at `now`.
    ///
    /// # Errors
    /// 400, with what cannot be used.
    pub fn read(query: &str, now: UnixMillis) -> Result<Self, Problem> {
        let wrong = |name: &str, why: String| Problem::bad_request(format!("{name}: {why}"));
        let time = |name: &str| {
            let text = query_value(query, name);
            text.map(|text| moment(&text, now).map_err(|why| wrong(name, why))).transpose()
        };
        let limit = match query_value(query, "limit") {
            None => PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_PAGE).contains(limit))
                .ok_or_else(|| wrong("limit", format!("expected a number from 1 to {MAX_PAGE}, got {text:?}")))?,
        };
        let with_data = match query_value(query, "data").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(wrong("data", format!("expected true or false, got {other:?}"))),
        };
        let places = query_value(query, "next").map(|text| text.parse::<Places>());
        let places = places.transpose().map_err(|why| wrong("next", why.to_string()))?;
        let selects = Predicate::compile(&Filter::Exact(selectors(query)?));
        Ok(Self { since: time("since")?, until: time("until")?, limit, with_data, selects, places })
    }

    /// Whether an event that was taken in then is asked for.
    #[must_use]
    pub fn is_wanted(&self, arrived: UnixMillis, event: &Event) -> bool {
        self.is_within(arrived) && self.selects.matches(event)
    }

    /// Whether what was taken in then may be asked for.
    #[must_use]
    pub fn is_within(&self, arrived: UnixMillis) -> bool {
        self.since.is_none_or(|since| arrived >= since) && self.until.is_none_or(|until| arrived <= until)
    }

    /// An event as it is told, with `data` if that is asked for.
    #[must_use]
    pub fn view(&self, position: Position, broker: &str, arrived: UnixMillis, event: &Event) -> EventView {
        let content = self.with_data.then(|| structured(event)).flatten();
        EventView { event: content, ..view(position, broker, arrived, event) }
    }

    /// A reader that begins where this says.
    ///
    /// # Errors
    /// A group cannot be read.
    pub async fn scan<'a, C: Client>(&self, client: &'a C) -> Result<Scan<'a, C>, ReadError> {
        match &self.places {
            Some(places) => Ok(Scan::at(client, places.clone())),
            None => Scan::begin(client, self.since).await,
        }
    }
}

fn selectors(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let named = SELECTORS.iter().filter_map(|name| Some(((*name).to_owned(), query_value(query, name)?)));
    let others = query_values(query, ATTRIBUTE);
    let all: Vec<_> = named.chain(others).collect();
    if all.len() > MAX_SELECTORS {
        return Err(Problem::bad_request(format!("at most {MAX_SELECTORS} attributes may be asked for")));
    }
    match all.iter().find(|(name, _)| !is_attribute_name(name)) {
        Some((name, _)) => {
            let detail = format!("{name:?} is no name of an attribute: they have lower-case letters and digits only");
            Err(Problem::bad_request(detail))
        }
        None => Ok(all),
    }
}

/// CloudEvents 1.0, section 3.1 "Attribute Naming Convention".
fn is_attribute_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(10_000_000);

    #[test]
    fn queries_are_read_or_refused() {
        for (query, want) in [
            ("", None),
            ("since=1h&until=2026-11-22T08:00:00Z&limit=1000&data=true&type=a&attribute.partitionkey=k", None),
            ("next=1:2:3", None),
            ("since=yesterday", Some("since")),
            ("until=-5m", Some("until")),
            ("limit=0", Some("limit")),
            ("limit=-1", Some("limit")),
            ("limit=1001", Some("limit")),
            ("data=yes", Some("data")),
            ("next=x", Some("next")),
            ("attribute.Bad=1", Some("\"Bad\"")),
            ("attribute.=1", Some("no name")),
        ] {
            let refused = Asked::read(query, NOW).err().map(|problem| problem.detail().to_owned());
            match (&refused, want) {
                (None, None) => {}
                (Some(said), Some(word)) => assert!(said.contains(word), "{query}: {said}"),
                _ => panic!("{query}: {refused:?}"),
            }
        }
        let many: Vec<_> = (0..=MAX_SELECTORS).map(|n| format!("attribute.a{n}=1")).collect();
        assert!(Asked::read(&many.join("&"), NOW).is_err());
        assert!(Asked::read(&many[1..].join("&"), NOW).is_ok());
    }

    #[test]
    fn every_selector_has_to_pass() {
        let event = Event::builder()
            .id("1")
            .source("/s")
            .ty("t")
            .subject("x")
            .extension("partitionkey", pelton_event::AttributeValue::String("k"))
            .build()
            .unwrap();
        for (query, want) in [
            ("", true),
            ("type=t&source=%2Fs&subject=x&id=1&attribute.partitionkey=k", true),
            ("attribute.specversion=1.0", true),
            ("type=t2", false),
            ("type=t&id=2", false),
            ("attribute.other=k", false),
            ("since=1s", true),
            ("since=0s", false),
            ("until=1s", false),
        ] {
            let asked = Asked::read(query, NOW).unwrap();
            assert_eq!(asked.is_wanted(UnixMillis(NOW.0 - 500), &event), want, "{query}");
        }
    }
}
