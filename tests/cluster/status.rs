//! The cluster as `pelton status` shows it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Replicas of a group, where there are as many nodes.
const REPLICAS: usize = 3;

/// What `pelton status -o json` prints.
#[derive(Debug)]
pub struct Status(Value);

impl Status {
    #[track_caller]
    pub fn read(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap())
    }

    fn groups(&self) -> impl Iterator<Item = &Value> {
        self.0["groups"].as_array().expect("it lists the groups").iter()
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> String {
        self.0["problems"].to_string()
    }

    fn terms(&self) -> BTreeMap<String, u64> {
        let term =
            |group: &Value| (group["name"].as_str().unwrap_or("?").to_owned(), group["term"].as_u64().unwrap_or(0));
        self.groups().map(term).collect()
    }

    /// The most terms that any group has gone through since.
    pub fn terms_since(&self, before: &Self) -> u64 {
        let before = before.terms();
        let grown = |(name, term): (&String, &u64)| term - before.get(name).copied().unwrap_or(*term).min(*term);
        self.terms().iter().map(grown).max().unwrap_or(0)
    }

    /// The groups of events that a node leads, each with its term.
    pub fn led_by(&self, node: &str) -> BTreeMap<u64, u64> {
        let led = self.groups().filter(|group| group["leader"] == node);
        led.filter_map(|group| Some((group["name"].as_str()?.parse().ok()?, group["term"].as_u64()?))).collect()
    }

    /// Whether every group of events has as many replicas as it should, all on nodes that answer.
    ///
    /// # Errors
    /// The first group that has not.
    pub fn replicas_answer(&self) -> Result<(), String> {
        for group in self.groups().filter(|group| group["name"] != "registry") {
            let replicas = group["replicas"].as_array().expect("a group lists its replicas");
            let wanted: Vec<_> = replicas.iter().filter(|replica| replica["wanted"] == true).collect();
            let are_voters =
                wanted.iter().all(|replica| matches!(replica["role"].as_str(), Some("leader" | "follower")));
            if wanted.len() < REPLICAS || !are_voters {
                return Err(format!("{group}"));
            }
        }
        Ok(())
    }

    /// Whether every group has a leader and its replicas on `nodes` nodes, all of which have committed the same.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn caught_up(&self, nodes: usize) -> Result<(), String> {
        let problems = self.0["problems"].as_array().expect("it lists problems");
        if !problems.is_empty() {
            return Err(format!("{problems:?}"));
        }
        for group in self.groups() {
            let replicas = group["replicas"].as_array().expect("a group lists its replicas");
            let there = replicas.iter().all(|replica| replica["wanted"] == true && replica["role"].is_string());
            let index = |replica: &Value, member: &str| replica[member].as_u64();
            let same = replicas.windows(2).all(|pair| index(&pair[0], "commitIndex") == index(&pair[1], "commitIndex"));
            let applied = replicas.iter().all(|one| index(one, "commitIndex") == index(one, "appliedIndex"));
            let is_well = there && same && applied && group["leader"].is_string();
            if !is_well || replicas.len() < REPLICAS.min(nodes) {
                return Err(format!("{group}"));
            }
        }
        Ok(())
    }

    /// The last index of each group that any replica knew to be committed.
    pub fn commits(&self) -> BTreeMap<String, u64> {
        let last = |group: &Value| {
            let replicas = group["replicas"].as_array().expect("a group lists its replicas");
            replicas.iter().filter_map(|replica| replica["commitIndex"].as_u64()).max().unwrap_or(0)
        };
        self.groups().map(|group| (group["name"].to_string(), last(group))).collect()
    }

    /// Whether nothing is wrong, and every replica has applied what was committed `then`. Under load that is all that can
    /// be seen: the replicas are asked one after the other, and something is always committed meanwhile.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn has_applied(&self, nodes: usize, then: &BTreeMap<String, u64>) -> Result<(), String> {
        let problems = self.0["problems"].as_array().expect("it lists problems");
        if !problems.is_empty() {
            return Err(format!("{problems:?}"));
        }
        for group in self.groups() {
            let least = then.get(&group["name"].to_string()).copied().unwrap_or(0);
            let replicas = group["replicas"].as_array().expect("a group lists its replicas");
            let has = |replica: &Value| replica["appliedIndex"].as_u64().is_some_and(|index| index >= least);
            if replicas.len() < REPLICAS.min(nodes) || !replicas.iter().all(has) {
                return Err(format!("not all of {least}: {group}"));
            }
        }
        Ok(())
    }
}
