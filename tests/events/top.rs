//! `pelton top`.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use crate::scene::Scene;
use crate::support::skip::has;
use crate::support::{skipped, wait_until};

#[test]
fn one_table_has_brokers_triggers_and_what_waits() {
    let scene = Scene::start();
    for n in 0..3 {
        scene.send(&format!("r{n}"), "to-rests");
        scene.send(&format!("o{n}"), "to-ok");
    }
    scene.send("b", "to-wrong");
    scene.traced("b", "wrong", "dead-letter");
    wait_until("what was delivered to be counted", || {
        let top = scene.json(&["top", "--json"]);
        let triggers = top["triggers"].as_array().unwrap();
        let of = |name: &str, what: &str| {
            let trigger = triggers.iter().find(|it| it["name"] == format!("default/{name}")).unwrap();
            trigger[what].as_u64().unwrap()
        };
        // A paused Trigger has a place of its own, and what it has not looked at counts.
        of("ok", "delivered") == 3
            && of("ok", "matched") == 3
            && of("rests", "backlog") >= 3
            && of("wrong", "deadLetters") == 1
    });
    let text = scene.ok(&["top", "--once"]);
    for want in ["BROKER", "default/lonely", "TRIGGER", "default/rests", "paused", "dead letters 1", "events in 0/s"] {
        assert!(text.contains(want), "{want:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert_eq!(
        scene.ok(&["top"]).lines().next().map(|line| line.contains("events in")),
        Some(true),
        "no terminal, no screen"
    );
}

/// To the other screen, and back from it with a cursor and with line wraps.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";

/// `pelton top` on a terminal, with what is typed there and what is drawn.
struct Terminal {
    script: std::process::Child,
    drawn: std::sync::Arc<parking_lot::Mutex<Vec<u8>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Terminal {
    fn start(api: &str) -> Self {
        // `exec`: a shell that stayed would get the terminal's signal too, and its end would be the exit code.
        let command = format!("stty rows 6 cols 30; exec {} top --interval 200ms", env!("CARGO_BIN_EXE_pelton"));
        let mut script = std::process::Command::new("script");
        script.args(["-q", "-e", "-f", "-c", &command, "/dev/null"]).env("PELTON_API", api).env("SHELL", "/bin/sh");
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = script.stdout.take().unwrap();
        let drawn = std::sync::Arc::<parking_lot::Mutex<Vec<u8>>>::default();
        let into = drawn.clone();
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut piece) {
                into.lock().extend_from_slice(&piece[..read]);
            }
        });
        Self { script, drawn, reader }
    }

    fn drawn(&self) -> String {
        String::from_utf8_lossy(&self.drawn.lock()).into_owned()
    }

    fn wait_for_frames(&self, frames: usize) {
        wait_until("the screen to be drawn", || self.drawn().matches("\u{1b}[H").count() >= frames);
    }

    /// The exit code, and everything that was drawn.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.script.wait().unwrap();
        self.reader.join().unwrap();
        (status.code(), String::from_utf8_lossy(&self.drawn.lock()).into_owned())
    }
}

#[test]
fn a_terminal_is_given_back_as_it_was() {
    if let Err(why) = has("script") {
        return skipped("the screen of pelton top", &why);
    }
    let scene = Scene::start();
    let mut interrupted = Terminal::start(&scene.api());
    interrupted.wait_for_frames(3);
    // The terminal makes SIGINT of it.
    interrupted.script.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let (code, drawn) = interrupted.end();
    assert_eq!(code, Some(0), "{drawn:?}");
    assert!(drawn.contains(ENTER) && drawn.trim_end().ends_with(LEAVE), "{drawn:?}");
    let frame = drawn.rsplit("\u{1b}[H").next().unwrap();
    assert!(frame.lines().all(|line| line.chars().count() <= 30 + LEAVE.len() + 8), "cut to the screen: {frame:?}");
    assert!(frame.lines().count() <= 6, "{frame:?}");

    let abandoned = Terminal::start(&scene.api());
    abandoned.wait_for_frames(1);
    scene.node.process.stop();
    let (code, drawn) = abandoned.end();
    assert_eq!(code, Some(3), "{drawn:?}");
    let after = drawn.rsplit(LEAVE).next().unwrap();
    assert!(
        drawn.contains(LEAVE) && after.contains("cannot connect"),
        "it is said on the screen from before: {drawn:?}"
    );
}
