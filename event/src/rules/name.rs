use crate::attribute::Core;
use crate::invalid::Rule;
use crate::limits::MAX_ATTRIBUTE_NAME;

/// Whether the byte may stand in the name of an attribute.
pub(crate) const fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9')
}

/// CloudEvents 1.0, "Naming Conventions". The advised 20 characters are not enforced, nor is a letter at the front.
pub(crate) fn check_name(name: &str) -> Result<(), Rule> {
    if name.is_empty() {
        return Err(Rule::NameEmpty);
    }
    if !name.bytes().all(is_name_byte) {
        return Err(Rule::NameCharacter);
    }
    if name == "data" {
        return Err(Rule::NameReserved);
    }
    if name.len() > MAX_ATTRIBUTE_NAME {
        return Err(Rule::NameTooLong);
    }
    Ok(())
}

/// As [`check_name`], and not the name of a core attribute.
pub(crate) fn check_extension_name(name: &str) -> Result<(), Rule> {
    check_name(name)?;
    if name == "specversion" || Core::from_name(name).is_some() {
        return Err(Rule::CoreAsExtension);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CloudEvents 1.0, "Naming Conventions".
    #[test]
    fn names() {
        let longest = "a".repeat(MAX_ATTRIBUTE_NAME);
        let too_long = "a".repeat(MAX_ATTRIBUTE_NAME + 1);
        for (name, want) in [
            ("a", Ok(())),
            ("7", Ok(())),
            ("123", Ok(())),
            ("partitionkey", Ok(())),
            ("deprecationmigration", Ok(())),
            ("opcuametadatamajorversion", Ok(())),
            ("data1", Ok(())),
            (longest.as_str(), Ok(())),
            (too_long.as_str(), Err(Rule::NameTooLong)),
            ("", Err(Rule::NameEmpty)),
            ("data", Err(Rule::NameReserved)),
            ("data_base64", Err(Rule::NameCharacter)),
            ("Upper", Err(Rule::NameCharacter)),
            ("my-ext", Err(Rule::NameCharacter)),
            ("my.ext", Err(Rule::NameCharacter)),
            ("my ext", Err(Rule::NameCharacter)),
            ("été", Err(Rule::NameCharacter)),
        ] {
            assert_eq!(check_name(name), want, "name {name:?}");
        }
    }

    #[test]
    fn a_core_attribute_is_no_extension() {
        for core in Core::ALL {
            assert_eq!(check_extension_name(core.name()), Err(Rule::CoreAsExtension), "{}", core.name());
        }
        assert_eq!(check_extension_name("specversion"), Err(Rule::CoreAsExtension));
        assert_eq!(check_extension_name("ids"), Ok(()));
    }
}
