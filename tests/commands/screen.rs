//! `pelton top` on a terminal that quits it; `tests/events` has the rest.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::scene::Scene;
use crate::skip::{has, skipped};

/// Back from the other screen, with a cursor and with line wraps.
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";

#[test]
fn a_quit_gives_the_terminal_back_as_an_interrupt_does() {
    if let Err(why) = has("script") {
        return skipped("the screen of pelton top", &why);
    }
    let scene = Scene::start();
    // `exec`: a shell that stayed would get the terminal's signal too, and its end would be the exit code.
    let command = format!("stty rows 6 cols 30; exec {} top --interval 200ms", env!("CARGO_BIN_EXE_pelton"));
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-f", "-c", &command, "/dev/null"]).env("SHELL", "/bin/sh");
    script.env("PELTON_API", format!("http://{}", scene.up.address("api")));
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = script.stdout.take().unwrap();
    let (mut drawn, mut piece) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&drawn).contains("\u{1b}[H") {
        let read = output.read(&mut piece).unwrap();
        assert!(read > 0, "it ended: {:?}", String::from_utf8_lossy(&drawn));
        drawn.extend_from_slice(&piece[..read]);
    }
    // The terminal makes SIGQUIT of it.
    script.stdin.as_mut().unwrap().write_all(b"\x1c").unwrap();
    output.read_to_end(&mut drawn).unwrap();
    let drawn = String::from_utf8_lossy(&drawn);
    assert_eq!(script.wait().unwrap().code(), Some(0), "{drawn:?}");
    assert!(drawn.trim_end().ends_with(LEAVE), "{drawn:?}");
}
