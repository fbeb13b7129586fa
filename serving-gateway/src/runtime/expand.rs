//! `$(NAME)` in commands, arguments and variables, as Kubernetes reads it
//! (k8s.io/kubernetes/third_party/forked/golang/expansion, and the documentation of `Container.command`).

use std::borrow::Cow;
use std::collections::HashMap;

use super::{RuntimeError, WorkloadSpec};

/// The most that the command, its arguments and the values of the environment may come to once they are expanded, in
/// bytes. Linux gives them a quarter of the limit of a stack together (`execve(2)`), which is 8 MiB unless somebody has
/// raised it. A variable that names one before it several times multiplies it, so a few lines can ask for more than any
/// machine has.
const MAX_EXPANDED_BYTES: usize = 2 * 1024 * 1024;

impl WorkloadSpec {
    /// The same, with `$(NAME)` in its command, arguments and variables replaced. A variable knows those before it; the
    /// command and its arguments know all, `PORT` and `K_*` included. `$$` means a `$`; a name that stands for nothing is
    /// left as it is written.
    ///
    /// For runtimes whose engine does not do it. `port` is what `PORT` will be.
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`]: something is replaced, and all together are more than 2 MiB then.
    pub fn expanded(&self, port: u16) -> Result<Cow<'_, Self>, RuntimeError> {
        let texts = self.command.iter().chain(&self.args).chain(self.env.iter().map(|(_, value)| value));
        if !texts.into_iter().any(|text| text.contains('$')) {
            return Ok(Cow::Borrowed(self));
        }
        let mut room = MAX_EXPANDED_BYTES;
        let mut known: HashMap<&str, String> = HashMap::new();
        let mut env = Vec::with_capacity(self.env.len());
        for (name, value) in &self.env {
            let value = expand(value, |name| known.get(name).map(String::as_str), &mut room);
            let value = value.ok_or_else(|| too_large("spec.containers[0].env"))?;
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
        let mut words = |words: &[String], field: &'static str| {
            let mut expanded = Vec::with_capacity(words.len());
            for word in words {
                let word = expand(word, |name| known.get(name).map(String::as_str), &mut room);
                expanded.push(word.ok_or_else(|| too_large(field))?);
            }
            Ok::<_, RuntimeError>(expanded)
        };
        let command = words(&self.command, "spec.containers[0].command")?;
        let args = words(&self.args, "spec.containers[0].args")?;
        Ok(Cow::Owned(Self { command, args, env, ..self.clone() }))
    }
}

fn too_large(field: &'static str) -> RuntimeError {
    let why = "with each $(NAME) replaced, the command, its arguments and its environment are more than 2 MiB, which \
               no process can be given";
    RuntimeError::Unsupported { field, why: why.to_owned() }
}

/// `text` with each `$(NAME)` replaced by what `value` knows it to be. Takes its bytes of `room` before it has them;
/// `None` when there are not so many.
fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>, room: &mut usize) -> Option<String> {
    let mut out = String::new();
    let mut push = |piece: &str| {
        *room = room.checked_sub(piece.len())?;
        out.push_str(piece);
        Some(())
    };
    let mut rest = text;
    while let Some(place) = rest.find('$') {
        push(&rest[..place])?;
        let behind = &rest[place + 1..];
        if let Some(escaped) = behind.strip_prefix('$') {
            push("$")?;
            rest = escaped;
        } else if let Some((name, after)) = behind.strip_prefix('(').and_then(|reference| reference.split_once(')')) {
            match value(name) {
                Some(value) => push(value)?,
                None => push(&rest[place..rest.len() - after.len()])?,
            }
            rest = after;
        } else {
            push("$")?;
            rest = behind;
        }
    }
    push(rest)?;
    Some(out)
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
            let mut room = 1024;
            assert_eq!(expand(text, value, &mut room).as_deref(), Some(want), "{text:?}");
            assert_eq!(room, 1024 - want.len(), "{text:?}");
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
        let expanded = spec.expanded(4321).unwrap();
        assert_eq!(expanded.command, texts(&["/1$(LATER)/run", "plain"]));
        assert_eq!(expanded.args, texts(&["--port=4321", "12", "r-1/s", "$(A)", "$(NOBODY)"]));
        let env = pairs(&[("A", "1"), ("HOME_OF", "/1$(LATER)"), ("LATER", "$(PORT)"), ("A", "12"), ("PORT", "x")]);
        assert_eq!(expanded.env, env);
        let plain = WorkloadSpec { command: texts(&["run"]), ..plain_spec() };
        assert!(matches!(plain.expanded(1), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn what_comes_out_has_a_bound() {
        let of = |value: String, args: &[&str]| WorkloadSpec {
            env: vec![("A".to_owned(), value)],
            args: args.iter().map(|word| (*word).to_owned()).collect(),
            ..plain_spec()
        };
        let half = "x".repeat(MAX_EXPANDED_BYTES / 2);
        let at_the_bound = of(half.clone(), &["$(A)", ""]);
        let expanded = at_the_bound.expanded(1).unwrap();
        assert_eq!(expanded.args, [half.as_str(), ""]);
        let refused_for = |spec: &WorkloadSpec| match spec.expanded(1) {
            Err(RuntimeError::Unsupported { field, .. }) => field,
            other => panic!("{:?}", other.map(|expanded| expanded.args.len())),
        };
        assert_eq!(refused_for(&of(half, &["$(A)", "y"])), "spec.containers[0].args");

        // Fifty bytes a line, and each ten times the one before: 100 GB at the end.
        let tenfold = |number: usize| (format!("A{number}"), format!("$(A{})", number - 1).repeat(10));
        let env = [("A0".to_owned(), "x".repeat(10))].into_iter().chain((1..=10).map(tenfold)).collect();
        assert_eq!(refused_for(&WorkloadSpec { env, ..plain_spec() }), "spec.containers[0].env");
        let env = vec![("A".to_owned(), "x".repeat(MAX_EXPANDED_BYTES / 4))];
        let command = vec!["$(A)".repeat(4)];
        assert_eq!(refused_for(&WorkloadSpec { env, command, ..plain_spec() }), "spec.containers[0].command");
    }
}
