//! Events that can be told from their number alone, so that a sink knows every byte an event must have.

use super::Dice;

/// Numbers from here on travel in batches, and their data is text.
pub const IN_BATCHES: u64 = 1 << 40;

/// Types, and who gets them in these tests: `A` goes to both Triggers, `B` to the second, `C` to none.
pub const TYPE_A: &str = "com.example.a";
pub const TYPE_B: &str = "com.example.b";
pub const TYPE_C: &str = "org.example.c";

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestEvent {
    pub number: u64,
    pub ty: &'static str,
    pub data: Vec<u8>,
}

impl TestEvent {
    /// The event of that number: always the same.
    pub fn numbered(number: u64) -> Self {
        let mut dice = dice_of(number);
        let ty = roll_type(&mut dice);
        let len = match dice.below(64) {
            0..8 => 0,
            8..40 => dice.below(512),
            40..60 => dice.below(16 * 1024),
            60..63 => dice.below(128 * 1024),
            _ => 512 * 1024,
        };
        Self { number, ty, data: data(&mut dice, number, len as usize) }
    }

    /// The type of the event of that number.
    pub fn numbered_type(number: u64) -> &'static str {
        roll_type(&mut dice_of(number))
    }

    /// An event of that number with a type and a size of the test's choice. A sink cannot check its data by number.
    pub fn sized(number: u64, ty: &'static str, len: usize) -> Self {
        Self { number, ty, data: data(&mut Dice::new(number), number, len) }
    }

    /// Binary content mode: the header lines of a request, without the length.
    pub fn headers(&self) -> String {
        format!(
            "ce-specversion: 1.0\r\nce-id: {}\r\nce-source: /tests/durable\r\nce-type: {}\r\nce-subject: {}\r\n\
             ce-number: {}\r\ncontent-type: {}\r\n",
            self.id(),
            self.ty,
            SUBJECT_IN_HEADER,
            self.number,
            self.content_type(),
        )
    }

    /// JSON event format, for a batch. The data must be text.
    pub fn json(&self) -> String {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{}\",\"source\":\"/tests/durable\",\"type\":\"{}\",\"subject\":\"{}\",\
             \"number\":\"{}\",\"datacontenttype\":\"{}\",\"data\":\"{}\"}}",
            self.id(),
            self.ty,
            SUBJECT,
            self.number,
            self.content_type(),
            std::str::from_utf8(&self.data).unwrap(),
        )
    }

    pub fn id(&self) -> String {
        format!("event-{}", self.number)
    }

    fn content_type(&self) -> &'static str {
        if self.number >= IN_BATCHES { "text/plain" } else { "application/octet-stream" }
    }

    /// The number in an `id`.
    pub fn number_of(id: &str) -> Option<u64> {
        id.strip_prefix("event-")?.parse().ok()
    }

    /// What is wrong with a delivery of this event in binary mode, if anything.
    pub fn difference(&self, header: impl Fn(&str) -> Option<String>, data: &[u8]) -> Option<String> {
        let want = [
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", self.id()),
            ("ce-source", "/tests/durable".to_owned()),
            ("ce-type", self.ty.to_owned()),
            ("ce-subject", SUBJECT_IN_HEADER.to_owned()),
            ("ce-number", self.number.to_string()),
            ("content-type", self.content_type().to_owned()),
        ];
        for (name, value) in want {
            let got = header(name);
            if got.as_deref() != Some(value.as_str()) {
                return Some(format!("{}: {name} is {got:?} and not {value:?}", self.id()));
            }
        }
        let first = self.data.iter().zip(data).position(|(a, b)| a != b);
        if data == self.data { None } else { Some(format!("{}: data differ, first at {first:?}", self.id())) }
    }
}

const SUBJECT: &str = "überall 100%";
/// CloudEvents HTTP binding 3.1.3.2.
const SUBJECT_IN_HEADER: &str = "%C3%BCberall%20100%25";

fn dice_of(number: u64) -> Dice {
    Dice::new(number.wrapping_mul(0x2545_f491_4f6c_dd1d))
}

fn roll_type(dice: &mut Dice) -> &'static str {
    [TYPE_A, TYPE_A, TYPE_B, TYPE_C][dice.below(4) as usize]
}

fn data(dice: &mut Dice, number: u64, len: usize) -> Vec<u8> {
    let mut data = dice.bytes(len);
    if number >= IN_BATCHES {
        for byte in &mut data {
            *byte = b'a' + *byte % 26;
        }
    }
    data
}
