use crate::invalid::Rule;

/// The type String of CloudEvents 1.0: no control characters, no noncharacters. Surrogates cannot stand in a `str`.
pub(crate) fn check_text(text: &str) -> Result<(), Rule> {
    // Without a branch, so that the compiler can look at many bytes at once: nearly all values are printable ASCII.
    if text.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte)) {
        return Ok(());
    }
    for character in text.chars() {
        match u32::from(character) {
            0x00..=0x1f | 0x7f..=0x9f => return Err(Rule::ControlCharacter),
            0xfdd0..=0xfdef => return Err(Rule::Noncharacter),
            point if point & 0xfffe == 0xfffe => return Err(Rule::Noncharacter),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CloudEvents 1.0, "Type System", String.
    #[test]
    fn strings() {
        for (text, want) in [
            ("", Ok(())),
            ("plain text ~", Ok(())),
            ("Euro € 😀", Ok(())),
            ("\u{a0}", Ok(())),
            ("\u{fdcf}\u{fdf0}\u{fffd}\u{1fffd}", Ok(())),
            ("\0", Err(Rule::ControlCharacter)),
            ("a\nb", Err(Rule::ControlCharacter)),
            ("a\tb", Err(Rule::ControlCharacter)),
            ("\u{1f}", Err(Rule::ControlCharacter)),
            ("\u{7f}", Err(Rule::ControlCharacter)),
            ("\u{80}", Err(Rule::ControlCharacter)),
            ("\u{9f}", Err(Rule::ControlCharacter)),
            ("\u{fdd0}", Err(Rule::Noncharacter)),
            ("\u{fdef}", Err(Rule::Noncharacter)),
            ("\u{fffe}", Err(Rule::Noncharacter)),
            ("\u{ffff}", Err(Rule::Noncharacter)),
            ("\u{1fffe}", Err(Rule::Noncharacter)),
            ("\u{10ffff}", Err(Rule::Noncharacter)),
        ] {
            assert_eq!(check_text(text), want, "{text:?}");
        }
    }
}
