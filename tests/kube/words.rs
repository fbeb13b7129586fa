//! A command line as words.

/// The words of a line, as a shell has them: between blanks, but not within `'`.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    for character in line.chars() {
        match character {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            blank if blank.is_whitespace() && !is_quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    assert!(!is_quoted, "a quote is open at the end of {line}");
    words.extend(word);
    words
}

#[test]
fn lines_are_split_as_a_shell_does() {
    for (line, want) in [
        ("get  cm\n -o name", vec!["get", "cm", "-o", "name"]),
        ("patch -p '{\"a b\": 1}'", vec!["patch", "-p", "{\"a b\": 1}"]),
        ("-l 'a in (b, c)' ''", vec!["-l", "a in (b, c)", ""]),
        ("EDITOR='sed -i s/a/b/' edit", vec!["EDITOR=sed -i s/a/b/", "edit"]),
        ("", vec![]),
    ] {
        assert_eq!(words(line), want, "{line}");
    }
}
