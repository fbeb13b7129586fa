//! Which logs are of no revision any more. Pure.

use std::collections::BTreeSet;

/// The namespace and the name of a revision.
pub type Name = (String, String);

/// What was found at the last look.
#[derive(Debug, Default)]
pub struct Sweep {
    absent: BTreeSet<Name>,
}

impl Sweep {
    /// Gives those of `stored` that no revision has now, nor had one at the look before: one that was deleted may be made
    /// again the next moment, and goes on with its log.
    pub fn look(&mut self, stored: Vec<Name>, exists: impl Fn(&Name) -> bool) -> Vec<Name> {
        let absent: BTreeSet<Name> = stored.into_iter().filter(|name| !exists(name)).collect();
        let before = std::mem::replace(&mut self.absent, absent);
        self.absent.intersection(&before).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_been_absent_twice_in_a_row_is_given() {
        let name = |name: &str| ("ns".to_owned(), name.to_owned());
        let mut sweep = Sweep::default();
        let all = || vec![name("a"), name("b"), name("c")];
        for (exist, want) in
            [(&["a", "b"][..], &[][..]), (&["a"], &["c"]), (&["b"], &["c"]), (&["a", "b", "c"], &[]), (&[], &[])]
        {
            let want: Vec<Name> = want.iter().copied().map(name).collect();
            assert_eq!(sweep.look(all(), |its| exist.contains(&&*its.1)), want, "{exist:?}");
        }
    }
}
