//! `$(NAME)` in commands, arguments and variables, as Kubernetes reads it
//! (k8s.io/kubernetes/third_party/forked/golang/expansion, and the documentation of `Container.command`).

use std::borrow::Cow;
use std::collections::HashMap;

use super::WorkloadSpec;

impl WorkloadSpec {
    /// The same, with `$(NAME)` in its command, arguments and variables replaced. A variable knows those before it; the
    /// command and its arguments know all, `PORT` and `K_*` included. `$$` means a `$`; a name that stands for nothing is
    /// left as it is written.
    ///
    /// For runtimes whose engine does not do it. `port` is what `PORT` will be.
    #[must_use]
    pub fn expanded(&self, port: u16) -> Cow<'_, Self> {
        let texts = self.command.iter().chain(&self.args).chain(self.env.iter().map(|(_, value)| value));
        if !texts.into_iter().any(|text| text.contains('$')) {
            return Cow::Borrowed(self);
        }
        let mut known: HashMap<&str, String> = HashMap::new();
        let mut env = Vec::with_capacity(self.env.len());
        for (name, value) in &self.env {
            let value = expand(value, |name| known.get(name).map(String::as_str));
            known.insert(name, value.clone());
            env.push((name.clone(), value));
        }
        for (name, value) in [
            ("PORT", port.to_string()),
            ("K_SERVICE", self.service.clone()),
            ("K_CONFIGURATION", self.configuration.clone()),
            ("K_REVISION", self.revision.clone()),
        ] {
            known.insert(name, value);
        }
        let words = |words: &[String]| {
            words.iter().map(|word| expand(word, |name| known.get(name).map(String::as_str))).collect()
        };
        Cow::Owned(Self { command: words(&self.command), args: words(&self.args), env, ..self.clone() })
    }
}

/// `text` with each `$(NAME)` replaced by what `value` knows it to be.
fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('$') {
        out.push_str(&rest[..place]);
        let behind = &rest[place + 1..];
        if let Some(escaped) = behind.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, after)) = behind.strip_prefix('(').and_then(|reference| reference.split_once(')')) {
            match value(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[place..rest.len() - after.len()]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::conformance::plain_spec;

    /// The rows of Kubernetes' own test, `TestMapping` of expand_test.go, as far as they differ.
    #[test]
    fn references_are_read_as_kubernetes_reads_them() {
        let value = |name: &str| match name {
            "VAR_A" => Some("A"),
            "VAR_B" => Some("B"),
            "VAR_REF" => Some("$(VAR_A)"),
            "VAR_EMPTY" => Some(""),
            _ => None,
        };
        for (text, want) in [
            ("$(VAR_A)", "A"),
            ("___$(VAR_B)___", "___B___"),
            ("$(VAR_A)$(VAR_B)", "AB"),
            ("$(VAR_EMPTY)", ""),
            ("foo_$(VAR_EMPTY)_bar", "foo__bar"),
            ("$(VAR_REF)", "$(VAR_A)"),
            ("f000-$$VAR_A", "f000-$VAR_A"),
            ("foo\\$(VAR_A)bar", "foo\\Abar"),
            ("$$(VAR_A)", "$(VAR_A)"),
            ("$$$(VAR_A)", "$A"),
            ("$$$$(VAR_A)", "$$(VAR_A)"),
            ("$$$$$(VAR_A)", "$$A"),
            ("$(VAR_DNE)", "$(VAR_DNE)"),
            ("foo$(VAR_DNE)bar$(VAR_A)", "foo$(VAR_DNE)barA"),
            ("$VAR_A", "$VAR_A"),
            ("${VAR_A}", "${VAR_A}"),
            ("$(VAR_A", "$(VAR_A"),
            ("$(VAR_A$(VAR_B)", "$(VAR_A$(VAR_B)"),
            ("$()", "$()"),
            ("$(", "$("),
            ("$)", "$)"),
            ("foo$", "foo$"),
            ("foo$$", "foo$"),
            ("$?_boo_$!", "$?_boo_$!"),
            ("$é$(VAR_A)", "$éA"),
            ("", ""),
        ] {
            assert_eq!(expand(text, value), want, "{text:?}");
        }
    }

    #[test]
    fn a_variable_knows_those_before_it_and_the_command_knows_all() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
        };
        let spec = WorkloadSpec {
            revision: "r-1".to_owned(),
            service: "s".to_owned(),
            command: texts(&["$(HOME_OF)/run", "plain"]),
            args: texts(&["--port=$(PORT)", "$(A)", "$(K_REVISION)/$(K_SERVICE)", "$$(A)", "$(NOBODY)"]),
            env: pairs(&[
                ("A", "1"),
                ("HOME_OF", "/$(A)$(LATER)"),
                ("LATER", "$(PORT)"),
                ("A", "$(A)2"),
                ("PORT", "x"),
            ]),
            ..plain_spec()
        };
        let expanded = spec.expanded(4321);
        assert_eq!(expanded.command, texts(&["/1$(LATER)/run", "plain"]));
        assert_eq!(expanded.args, texts(&["--port=4321", "12", "r-1/s", "$(A)", "$(NOBODY)"]));
        let env = pairs(&[("A", "1"), ("HOME_OF", "/1$(LATER)"), ("LATER", "$(PORT)"), ("A", "12"), ("PORT", "x")]);
        assert_eq!(expanded.env, env);
        let plain = WorkloadSpec { command: texts(&["run"]), ..plain_spec() };
        assert!(matches!(plain.expanded(1), Cow::Borrowed(_)));
    }
}
