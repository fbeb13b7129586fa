//! Whom a client certificate names: its subject's common name is the user, its organizations are the groups.

use crate::identity::Identity;

/// Tags of DER (X.690) that a subject is made of.
const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;

/// X.520: 2.5.4.3 and 2.5.4.10.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// Who the holder of a certificate is. `subject` is what is inside the outer sequence of the subject's name.
///
/// `None` when it has no common name, several, or one that nobody outside gives: what cannot be read without doubt names
/// nobody.
#[must_use]
pub fn identity(subject: &[u8]) -> Option<Identity> {
    let (mut user, mut groups) = (None, Vec::new());
    let mut names = Der(subject);
    while !names.0.is_empty() {
        // Several attributes may stand in one set.
        let mut set = Der(names.take(SET)?);
        while !set.0.is_empty() {
            let mut attribute = Der(set.take(SEQUENCE)?);
            match attribute.take(OBJECT_IDENTIFIER)? {
                COMMON_NAME => {
                    let name = attribute.text()?;
                    if user.is_some() {
                        return None;
                    }
                    user = Some(name);
                }
                ORGANIZATION => groups.push(attribute.text()?),
                _ => {}
            }
        }
    }
    Identity::of_outside(user?, groups, true).ok()
}

/// DER that is read from the front.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next value, if it has that tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (is, content) = self.next()?;
        (is == tag).then_some(content)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => {
                let (&length, rest) = rest.split_first()?;
                (usize::from(length), rest)
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next value as text.
    fn text(&mut self) -> Option<String> {
        let (tag, content) = self.next()?;
        let is_text = matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING);
        is_text.then(|| std::str::from_utf8(content).ok().map(str::to_owned)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(oid: &[u8], tag: u8, text: &str) -> Vec<u8> {
        let value = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            if length < 0x80 { [&[tag, length], content].concat() } else { [&[tag, 0x81, length], content].concat() }
        };
        value(SET, &value(SEQUENCE, &[value(OBJECT_IDENTIFIER, oid), value(tag, text.as_bytes())].concat()))
    }

    fn cn(text: &str) -> Vec<u8> {
        attribute(COMMON_NAME, UTF8_STRING, text)
    }

    fn o(text: &str) -> Vec<u8> {
        attribute(ORGANIZATION, PRINTABLE_STRING, text)
    }

    /// Each row is a subject, and the user and groups that it names.
    #[test]
    fn a_subject_names_a_user_and_his_groups() {
        let long = "x".repeat(130);
        let country = attribute(&[0x55, 0x04, 0x06], PRINTABLE_STRING, "CH");
        for (parts, want) in [
            (vec![cn("ada")], Some(("ada", vec![]))),
            (vec![country, o("ops"), cn("ada"), o("dev")], Some(("ada", vec!["ops", "dev"]))),
            (vec![o("system:masters"), cn("ada")], Some(("ada", vec!["system:masters"]))),
            (vec![o("system:serviceaccounts"), cn("ada")], Some(("ada", vec![]))),
            (vec![cn(&long)], Some((long.as_str(), vec![]))),
            (vec![cn("system:admin")], None),
            (vec![cn("")], None),
            (vec![cn("ada"), cn("bob")], None),
            (vec![o("ops")], None),
            (vec![attribute(COMMON_NAME, 0x1e, "\0a")], None),
            (vec![cn("ada"), vec![SET, 5, 1]], None),
            (vec![], None),
        ] {
            let got = identity(&parts.concat());
            let want = want.map(|(user, groups)| {
                let groups: Vec<&str> = groups.into_iter().chain(["system:authenticated"]).collect();
                (user.to_owned(), groups.into_iter().map(str::to_owned).collect::<Vec<_>>())
            });
            assert_eq!(got.map(|it| (it.user, it.groups)), want, "{parts:?}");
        }
    }

    proptest! {
        /// Whatever the bytes are: an answer, and no panic.
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = identity(&bytes);
        }
    }
}
