//! What a node does with the answers to its hellos. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use pelton_log::Identity;
use pelton_peer::{PeerAddress, Versions, VersionsApart};

use super::hello::{Hello, NoHello};
use crate::cluster::Nonce;

/// What each address of the list answered in one round.
pub(super) type Answers = BTreeMap<PeerAddress, Result<Hello, NoHello>>;

/// A node that wants to come in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applicant<'a> {
    /// Where others reach it.
    pub(super) own: &'a PeerAddress,
    pub(super) nonce: Nonce,
    pub(super) versions: Versions,
    /// Its list, in the order given.
    pub(super) join: &'a [PeerAddress],
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the cluster, with this node as its first, of so many in the list.
    Form { initial_nodes: u32 },
    /// Ask one of these to be let in.
    Join { at: Vec<PeerAddress> },
    /// Ask again. The text says for what it waits.
    Wait(String),
}

/// Why a node cannot come into the cluster, or not go on in it. Asking again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotEnter {
    /// The addresses of the list belong to two clusters.
    #[error(
        "the addresses to join belong to two clusters: {one} to {one_cluster:032x}, {other} to {other_cluster:032x}"
    )]
    TwoClusters {
        /// One of them.
        one: PeerAddress,
        /// The cluster of that.
        one_cluster: u128,
        /// Another one.
        other: PeerAddress,
        /// The cluster of that.
        other_cluster: u128,
    },
    /// Two nodes take different nodes for the one that forms the cluster: each would form one.
    #[error(
        "the node at {address} waits for {theirs} to form the cluster, and this one for {ours}: give all nodes the same \
         list of addresses to join, in the same order"
    )]
    ListsApart {
        /// Where.
        address: PeerAddress,
        /// The first of this node's list.
        ours: PeerAddress,
        /// The first of that node's list.
        theirs: String,
    },
    /// A node of the list speaks other versions of the protocol.
    #[error("the node at {address} cannot be spoken with")]
    Versions {
        /// Where.
        address: PeerAddress,
        /// Which versions.
        source: VersionsApart,
    },
    /// The data directory is of another cluster than the node at an address of the list.
    #[error(
        "this data directory belongs to cluster {ours:032x}, and the node at {address} to cluster {theirs:032x}: start \
         with the data directory of that cluster, or correct the addresses to join"
    )]
    WrongCluster {
        /// Where.
        address: PeerAddress,
        /// The data directory's cluster.
        ours: u128,
        /// That node's cluster.
        theirs: u128,
    },
    /// Another node runs under the data directory's id.
    #[error(
        "the node at {address} runs as node {node} of this cluster, and so would this one, from another data \
         directory: a data directory must not be copied; start with an empty one to join as a new node"
    )]
    IdTaken {
        /// Where.
        address: PeerAddress,
        /// The id.
        node: u64,
    },
    /// The cluster does not want the node.
    #[error("the cluster does not let the node in: {text}")]
    Refused {
        /// What it says.
        text: String,
    },
}

/// The addresses of the list, each once.
pub(super) fn distinct(join: &[PeerAddress]) -> Vec<&PeerAddress> {
    let mut seen = BTreeSet::new();
    join.iter().filter(|address| seen.insert(*address)).collect()
}

/// The next step of a node that has no identity.
///
/// # Errors
/// See [`CannotEnter`].
pub(super) fn decide(applicant: &Applicant<'_>, answers: &Answers) -> Result<Step, CannotEnter> {
    let listed = distinct(applicant.join);
    if listed.is_empty() {
        return Ok(Step::Form { initial_nodes: 1 });
    }
    // Under whatever address it reaches itself.
    let is_own = |address: &PeerAddress| match answers.get(address) {
        Some(Ok(hello)) if hello.nonce == applicant.nonce => true,
        Some(_) | None => address == applicant.own,
    };
    let others: Vec<_> = listed.iter().copied().filter(|address| !is_own(address)).collect();
    let heard = || others.iter().filter_map(|address| Some((*address, answers.get(address)?.as_ref().ok()?)));
    for (address, hello) in heard() {
        let apart = |source| CannotEnter::Versions { address: address.clone(), source };
        applicant.versions.negotiate(hello.versions).map_err(apart)?;
    }
    let members = heard().filter_map(|(address, hello)| Some((address, hello.member?.cluster)));
    let members: Vec<_> = members.collect();
    if let Some((one, one_cluster)) = members.first() {
        if let Some((other, other_cluster)) = members.iter().find(|(_, cluster)| cluster != one_cluster) {
            let (one, other) = ((*one).clone(), (*other).clone());
            return Err(CannotEnter::TwoClusters {
                one,
                one_cluster: *one_cluster,
                other,
                other_cluster: *other_cluster,
            });
        }
        return Ok(Step::Join { at: members.iter().map(|(address, _)| (*address).clone()).collect() });
    }
    let silent: Vec<_> =
        others.iter().copied().filter(|address| !matches!(answers.get(address), Some(Ok(_)))).collect();
    if !is_own(listed[0]) {
        return Ok(Step::Wait(waits_for_another(listed[0], &silent, answers)));
    }
    for (address, hello) in heard() {
        match &hello.forms {
            Some(theirs) if theirs != listed[0].as_str() => {
                let (address, ours, theirs) = (address.clone(), listed[0].clone(), theirs.clone());
                return Err(CannotEnter::ListsApart { address, ours, theirs });
            }
            Some(_) => {}
            None => return Ok(Step::Wait(format!("the node at {address} is only starting"))),
        }
    }
    if silent.is_empty() {
        return Ok(Step::Form { initial_nodes: u32::try_from(listed.len()).unwrap_or(u32::MAX) });
    }
    // Any of those that do not answer could belong to a cluster that exists.
    Ok(Step::Wait(format!("the cluster is formed once every node of the list answers{}", tell(&silent, answers))))
}

fn waits_for_another(first: &PeerAddress, silent: &[&PeerAddress], answers: &Answers) -> String {
    format!("waiting for the node at {first}, the first of the list, to form the cluster{}", tell(silent, answers))
}

fn tell(silent: &[&PeerAddress], answers: &Answers) -> String {
    let mut text = String::new();
    for address in silent {
        let why = match answers.get(*address) {
            Some(Err(why)) => why.to_string(),
            Some(Ok(_)) | None => "not asked yet".to_owned(),
        };
        let _ = write!(text, "; {address}: {why}");
    }
    text
}

/// Whether a node with an identity may go on as that, by what others say. Nobody has to answer: the cluster may be
/// starting as a whole.
///
/// # Errors
/// See [`CannotEnter`].
pub(super) fn check_known(applicant: &Applicant<'_>, identity: Identity, answers: &Answers) -> Result<(), CannotEnter> {
    let heard = answers.iter().filter_map(|(address, answer)| Some((address, answer.as_ref().ok()?)));
    for (address, hello) in heard.filter(|(_, hello)| hello.nonce != applicant.nonce) {
        let address = || address.clone();
        let apart = |source| CannotEnter::Versions { address: address(), source };
        applicant.versions.negotiate(hello.versions).map_err(apart)?;
        match hello.member {
            Some(theirs) if theirs.cluster != identity.cluster => {
                let (ours, theirs) = (identity.cluster, theirs.cluster);
                return Err(CannotEnter::WrongCluster { address: address(), ours, theirs });
            }
            Some(theirs) if theirs.node == identity.node => {
                return Err(CannotEnter::IdTaken { address: address(), node: identity.node });
            }
            // A newcomer that waits is no contradiction.
            Some(_) | None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::nonce;

    fn address(number: u64) -> PeerAddress {
        format!("n{number}:7400").parse().unwrap()
    }

    fn newcomer(number: u64) -> Result<Hello, NoHello> {
        waits_for(number, 1)
    }

    fn waits_for(number: u64, first: u64) -> Result<Hello, NoHello> {
        let forms = Some(address(first).to_string());
        Ok(Hello { versions: Versions::OURS, member: None, name: format!("n{number}"), nonce: nonce(number), forms })
    }

    fn member(number: u64, cluster: u128) -> Result<Hello, NoHello> {
        let identity = Identity { cluster, node: number };
        newcomer(number).map(|hello| Hello { member: Some(identity), ..hello })
    }

    fn no_answer() -> Result<Hello, NoHello> {
        Err(NoHello::Unreachable("refused".to_owned()))
    }

    fn garbage() -> Result<Hello, NoHello> {
        Err(NoHello::Garbage("a web server".to_owned()))
    }

    fn step(own: u64, list: &[u64], answers: &[(u64, Result<Hello, NoHello>)]) -> Result<Step, CannotEnter> {
        let join: Vec<_> = list.iter().map(|number| address(*number)).collect();
        let own_address = address(own);
        let applicant = Applicant { own: &own_address, nonce: nonce(own), versions: Versions::OURS, join: &join };
        let answers = answers.iter().map(|(number, answer)| (address(*number), answer.clone())).collect();
        decide(&applicant, &answers)
    }

    #[test]
    fn the_first_of_the_list_forms_the_cluster_once_everybody_answered() {
        let form = |initial_nodes| Some(Step::Form { initial_nodes });
        for (own, list, answers, want) in [
            (1, &[][..], vec![], form(1)),
            (1, &[1], vec![], form(1)),
            (1, &[1, 1], vec![], form(1)),
            (1, &[1, 2, 3], vec![(1, newcomer(1)), (2, newcomer(2)), (3, newcomer(3))], form(3)),
            (1, &[1, 2, 2], vec![(2, newcomer(2))], form(2)),
            (1, &[1, 2, 3], vec![(2, newcomer(2)), (3, no_answer())], None),
            (1, &[1, 2, 3], vec![(2, newcomer(2)), (3, garbage())], None),
            (1, &[1, 2, 3], vec![(2, newcomer(2))], None),
            (2, &[1, 2, 3], vec![(1, newcomer(1)), (3, newcomer(3))], None),
            (4, &[1, 2], vec![(1, newcomer(1)), (2, newcomer(2))], None),
            (4, &[1], vec![(1, newcomer(1))], None),
        ] {
            let got = step(own, list, &answers).unwrap();
            match want {
                Some(want) => assert_eq!(got, want, "{own} of {list:?}"),
                None => assert!(matches!(got, Step::Wait(_)), "{own} of {list:?}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_node_knows_itself_under_another_address() {
        // The first of the list is this node, by a name that it does not give itself.
        let answers = [(7, waits_for(1, 7)), (2, waits_for(2, 7))];
        assert_eq!(step(1, &[7, 2], &answers), Ok(Step::Form { initial_nodes: 2 }));
    }

    #[test]
    fn whoever_names_a_cluster_is_asked_to_let_it_in() {
        for (own, answers) in [
            (1, vec![(2, member(2, 5)), (3, no_answer())]),
            (3, vec![(1, no_answer()), (2, member(2, 5))]),
            (4, vec![(1, newcomer(1)), (2, member(2, 5)), (3, garbage())]),
        ] {
            assert_eq!(step(own, &[1, 2, 3], &answers), Ok(Step::Join { at: vec![address(2)] }), "{own}");
        }
    }

    #[test]
    fn it_says_what_it_waits_for() {
        let Ok(Step::Wait(text)) = step(1, &[1, 2, 3], &[(2, no_answer()), (3, garbage())]) else { panic!() };
        for says in ["every node of the list", "n2:7400: no answer: refused", "n3:7400: what answers there is no node"]
        {
            assert!(text.contains(says), "{text}");
        }
        let Ok(Step::Wait(text)) = step(2, &[1, 2], &[(1, newcomer(1))]) else { panic!() };
        assert!(text.contains("n1:7400, the first of the list"), "{text}");
    }

    /// Else each of them would form a cluster as soon as it hears the other.
    #[test]
    fn two_nodes_that_are_both_first_in_their_lists_form_nothing() {
        let error = step(1, &[1, 2], &[(2, waits_for(2, 2))]).unwrap_err().to_string();
        for says in ["n2:7400 waits for n2:7400", "this one for n1:7400", "the same list"] {
            assert!(error.contains(says), "{error}");
        }
        assert!(step(2, &[2, 1], &[(1, waits_for(1, 1))]).is_err(), "and neither does the other");
        let starting = newcomer(2).map(|hello| Hello { forms: None, ..hello });
        assert!(matches!(step(1, &[1, 2], &[(2, starting)]), Ok(Step::Wait(_))), "it may still be told");
        assert!(matches!(step(3, &[2], &[(2, waits_for(2, 1))]), Ok(Step::Wait(_))), "it forms nothing anyhow");
    }

    #[test]
    fn two_clusters_and_versions_apart_are_refused() {
        let error = step(1, &[1, 2, 3], &[(2, member(2, 5)), (3, member(3, 6))]).unwrap_err().to_string();
        assert!(error.contains("two clusters") && error.contains("n2:7400") && error.contains("n3:7400"), "{error}");
        let newer = newcomer(2).map(|hello| Hello { versions: Versions { min: 8, max: 9 }, ..hello });
        let error = step(1, &[1, 2], &[(2, newer)]).unwrap_err();
        let CannotEnter::Versions { source, .. } = &error else { panic!("{error:?}") };
        assert!(error.to_string().contains("n2:7400") && source.to_string().contains("8 to 9"), "{source}");
    }

    fn known(answers: &[(u64, Result<Hello, NoHello>)]) -> Result<(), CannotEnter> {
        let own = address(1);
        let applicant = Applicant { own: &own, nonce: nonce(1), versions: Versions::OURS, join: &[] };
        let answers = answers.iter().map(|(number, answer)| (address(*number), answer.clone())).collect();
        check_known(&applicant, Identity { cluster: 5, node: 1 }, &answers)
    }

    #[test]
    fn a_node_goes_on_unless_somebody_contradicts() {
        for answers in [
            vec![],
            vec![(2, no_answer()), (3, garbage())],
            vec![(1, member(1, 5)), (2, member(2, 5)), (3, newcomer(3))],
        ] {
            assert_eq!(known(&answers), Ok(()), "{answers:?}");
        }
        let error = known(&[(2, member(2, 6))]).unwrap_err().to_string();
        assert!(error.contains("belongs to cluster") && error.contains("n2:7400"), "{error}");
        let copy = member(1, 5).map(|hello| Hello { nonce: nonce(9), ..hello });
        let error = known(&[(3, copy)]).unwrap_err().to_string();
        assert!(error.contains("runs as node 1") && error.contains("must not be copied"), "{error}");
        let newer = member(2, 5).map(|hello| Hello { versions: Versions { min: 8, max: 9 }, ..hello });
        assert!(matches!(known(&[(2, newer)]), Err(CannotEnter::Versions { .. })));
    }
}
