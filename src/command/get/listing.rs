//! Objects in the form that was asked for.

use pelton_control_plane::kinds::{Row, Store};
use pelton_env::{Clock as _, SystemClock, UnixMillis};
use pelton_resource::{Kind, Resource};
use serde_json::{Value, json};

use super::columns;
use crate::command::output::{self, ListForm};
use crate::exit::Failure;
use crate::kube::object::{called, name, namespace, without_managed_fields};
use crate::table::{Table, or_dash};

/// How objects are printed.
#[derive(Debug, Clone)]
pub struct Style {
    /// The form.
    pub form: ListForm,
    /// Whether the table says in which namespace each is.
    pub shows_namespace: bool,
}

/// Objects of several kinds. With `several`, a table says of which each is.
pub fn text(
    found: Vec<(&'static Row, Vec<Value>)>,
    style: &Style,
    several: bool,
    now: UnixMillis,
) -> Result<String, Failure> {
    if matches!(style.form, ListForm::Json | ListForm::Yaml | ListForm::At(_)) {
        let items = found.into_iter().flat_map(|(_, items)| items).map(without_managed_fields);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items.collect::<Vec<_>>()});
        return whole(&list, &style.form);
    }
    let mut tables = Vec::new();
    for (row, items) in found {
        let mut listing = Listing::new(row, style.clone(), several);
        items.into_iter().for_each(|item| listing.add(item));
        tables.push(listing.take(now)?);
    }
    let between = if style.form == ListForm::Name { "" } else { "\n" };
    Ok(tables.join(between))
}

/// One object by itself.
pub fn one(row: &'static Row, item: &Value, style: &Style) -> Result<String, Failure> {
    match style.form {
        ListForm::Json | ListForm::Yaml | ListForm::At(_) => whole(&without_managed_fields(item.clone()), &style.form),
        ListForm::Table | ListForm::Wide | ListForm::Name => {
            text(vec![(row, vec![item.clone()])], style, false, SystemClock.now())
        }
    }
}

/// A value in one of the forms that are no tables.
fn whole(value: &Value, form: &ListForm) -> Result<String, Failure> {
    match form {
        ListForm::Yaml => output::yaml(value),
        // Nothing is printed when there is nothing, as by kubectl.
        ListForm::At(path) => Ok(path.look_up(value).map_or_else(String::new, |text| text + "\n")),
        ListForm::Json | ListForm::Table | ListForm::Wide | ListForm::Name => output::json(value),
    }
}

/// Objects of one kind that come little by little.
#[derive(Debug)]
pub struct Listing {
    row: &'static Row,
    style: Style,
    several: bool,
    table: Table,
    items: Vec<Value>,
    has_printed: bool,
}

impl Listing {
    /// An empty one. With `several`, names say their kind.
    pub fn new(row: &'static Row, style: Style, several: bool) -> Self {
        let mut head = Vec::new();
        if style.shows_namespace && row.is_namespaced {
            head.push("NAMESPACE");
        }
        head.push("NAME");
        match kind(row) {
            Some(kind) => head.extend(columns::head(kind, style.form == ListForm::Wide)),
            None => head.push("CREATED AT"),
        }
        Self { row, style, several, table: Table::new(&head), items: Vec::new(), has_printed: false }
    }

    /// One more object.
    pub fn add(&mut self, item: Value) {
        self.items.push(item);
    }

    /// What is to be printed of those that came since the last time.
    pub fn take(&mut self, now: UnixMillis) -> Result<String, Failure> {
        let items = std::mem::take(&mut self.items);
        let mut out = String::new();
        for item in items {
            match &self.style.form {
                ListForm::Table | ListForm::Wide => {
                    let cells = self.cells(&item, now);
                    self.table.row(cells);
                }
                ListForm::Name => out.push_str(&format!("{}\n", called(self.row, name(&item)))),
                form => {
                    if *form == ListForm::Yaml && self.has_printed {
                        out.push_str("---\n");
                    }
                    self.has_printed = true;
                    out.push_str(&whole(&without_managed_fields(item), form)?);
                }
            }
        }
        if self.table.has_rows() {
            out = self.table.to_string();
            self.table.go_on();
        }
        Ok(out)
    }

    fn cells(&self, item: &Value, now: UnixMillis) -> Vec<String> {
        let mut cells = Vec::new();
        if self.style.shows_namespace && self.row.is_namespaced {
            cells.push(namespace(item).to_owned());
        }
        cells.push(if self.several { called(self.row, name(item)) } else { name(item).to_owned() });
        let wide = self.style.form == ListForm::Wide;
        let Some(kind) = kind(self.row) else {
            cells.push(or_dash(item.pointer("/metadata/creationTimestamp").and_then(Value::as_str)));
            return cells;
        };
        match serde_json::from_value::<Resource>(item.clone()) {
            Ok(resource) if resource.kind() == kind => cells.extend(columns::row(&resource, wide, now)),
            // Of another version than this program knows.
            _ => cells.extend(columns::head(kind, wide).iter().map(|_| "?".to_owned())),
        }
        cells
    }
}

/// The kind with columns of its own that a row is of.
fn kind(row: &Row) -> Option<Kind> {
    match row.store {
        Store::Stored(kind) => Some(kind),
        Store::NewEvents | Store::Definitions | Store::Review(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::kinds;

    fn style(form: &str) -> Style {
        Style { form: form.parse().unwrap(), shows_namespace: false }
    }

    fn broker(name: &str) -> Value {
        let row = kinds::row(Kind::Broker);
        json!({"apiVersion": row.api_version(), "kind": row.kind, "metadata": {"name": name, "namespace": "shop",
               "creationTimestamp": "1970-01-01T00:00:00Z", "managedFields": [{"manager": "x"}]},
               "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    }

    fn of(found: Vec<(&'static Row, Vec<Value>)>, style: &Style) -> String {
        let several = found.len() > 1;
        text(found, style, several, UnixMillis(5_000)).unwrap()
    }

    #[test]
    fn one_kind_is_a_table_and_several_say_what_each_is() {
        let (brokers, maps) = (kinds::row(Kind::Broker), kinds::row(Kind::ConfigMap));
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}});
        let one = of(vec![(brokers, vec![broker("a")])], &style("table"));
        assert_eq!(one, "NAME   READY   REASON   URL   AGE\na      True    -        -     5s\n");
        let everywhere = Style { shows_namespace: true, ..style("table") };
        let one = of(vec![(brokers, vec![broker("a")])], &everywhere);
        assert!(one.starts_with("NAMESPACE   NAME") && one.contains("\nshop        a"), "{one}");
        let both = of(vec![(brokers, vec![broker("a")]), (maps, vec![map])], &style("table"));
        assert!(both.contains("broker.eventing.knative.dev/a   True"), "{both}");
        assert!(both.contains("\n\nNAME          DATA   AGE\nconfigmap/m   1      -\n"), "{both}");
        let odd = json!({"metadata": {"name": "odd"}, "kind": "Broker", "apiVersion": "eventing.knative.dev/v9"});
        assert!(of(vec![(brokers, vec![odd])], &style("table")).contains("odd    ?"));
    }

    #[test]
    fn machines_get_lists_and_names() {
        let brokers = kinds::row(Kind::Broker);
        let found = || vec![(brokers, vec![broker("a"), broker("b")])];
        let names = of(found(), &style("name"));
        assert_eq!(names, "broker.eventing.knative.dev/a\nbroker.eventing.knative.dev/b\n");
        let list: Value = serde_json::from_str(&of(found(), &style("json"))).unwrap();
        assert_eq!((list["kind"].as_str(), list["items"][1]["metadata"]["name"].as_str()), (Some("List"), Some("b")));
        assert_eq!(list["items"][0]["metadata"].get("managedFields"), None);
        let yaml = of(found(), &style("yaml"));
        assert_eq!(pelton_resource::parse_documents(&yaml, "list").unwrap().len(), 2);
        assert_eq!(of(found(), &style("jsonpath={.items[1].metadata.name}")), "b\n");
        let whole = one(brokers, &broker("a"), &style("json")).unwrap();
        assert!(whole.starts_with("{\n") && whole.contains("\"kind\": \"Broker\""), "{whole}");
        assert_eq!(one(brokers, &broker("a"), &style("jsonpath={.spec.none}")).unwrap(), "");
    }

    #[test]
    fn what_comes_later_stands_below() {
        let mut listing = Listing::new(kinds::row(Kind::Broker), style("table"), false);
        assert_eq!(listing.take(UnixMillis(0)).unwrap(), "");
        listing.add(broker("first-broker"));
        assert!(listing.take(UnixMillis(0)).unwrap().starts_with("NAME           READY"));
        listing.add(broker("b"));
        assert!(listing.take(UnixMillis(0)).unwrap().starts_with("b              True"));
        let mut listing = Listing::new(kinds::row(Kind::Broker), style("yaml"), false);
        for name in ["a", "b"] {
            listing.add(broker(name));
        }
        assert_eq!(listing.take(UnixMillis(0)).unwrap().matches("---\n").count(), 1);
    }
}
