//! Where the frames of a WebSocket end (RFC 6455, section 5.2): what it takes to say goodbye between two of them.

/// `Close` with 1001, "going away", as a server sends it.
pub const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// The same as a client sends it: masked, with a key of zeros, which hides nothing and is allowed.
pub const GOING_AWAY_MASKED: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// Follows one direction of a WebSocket.
#[derive(Debug, Default)]
pub struct Frames {
    /// The header of a frame, as far as it is known.
    header: [u8; 14],
    known: usize,
    /// Bytes of the frame that are still to come, once its header is known.
    left: u64,
}

impl Frames {
    /// Whether the last byte seen was the last of a frame.
    #[must_use]
    pub const fn is_between(&self) -> bool {
        self.known == 0 && self.left == 0
    }

    /// Sees bytes. Gives how many of them belong to frames that end within them.
    pub fn see(&mut self, mut bytes: &[u8]) -> usize {
        let all = bytes.len();
        let mut ended_at = if self.is_between() { Some(0) } else { None };
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len() as u64);
                self.left -= taken;
                bytes = &bytes[taken as usize..];
            } else {
                self.header[self.known] = bytes[0];
                self.known += 1;
                bytes = &bytes[1..];
                if self.known < self.header_len() {
                    continue;
                }
                self.left = self.payload_len();
                self.known = 0;
            }
            if self.is_between() {
                ended_at = Some(all - bytes.len());
            }
        }
        ended_at.unwrap_or(0)
    }

    /// The length of the header, as far as its first two bytes tell.
    const fn header_len(&self) -> usize {
        if self.known < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 != 0 { 4 } else { 0 };
        2 + length + mask
    }

    fn payload_len(&self) -> u64 {
        let bytes = &self.header[2..];
        match self.header[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([bytes[0], bytes[1]])),
            127 => bytes[..8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
            short => u64::from(short),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut out = vec![0x82];
        match payload {
            0..126 => out.push(mask | payload as u8),
            126..65_536 => {
                out.push(mask | 126);
                out.extend_from_slice(&(payload as u16).to_be_bytes());
            }
            _ => {
                out.push(mask | 127);
                out.extend_from_slice(&(payload as u64).to_be_bytes());
            }
        }
        if masked {
            out.extend_from_slice(&[1, 2, 3, 4]);
        }
        out.resize(out.len() + payload, 0xff);
        out
    }

    #[test]
    fn our_own_frames_are_whole() {
        for bytes in [&GOING_AWAY[..], &GOING_AWAY_MASKED] {
            let mut frames = Frames::default();
            assert_eq!(frames.see(bytes), bytes.len());
            assert!(frames.is_between());
        }
    }

    proptest! {
        /// However the bytes are cut, the place between two frames is found, and nowhere else.
        #[test]
        fn ends_of_frames_are_found(
            payloads in prop::collection::vec((prop_oneof![0..4usize, 120..130usize, 65_530..65_540usize], any::<bool>()), 1..5),
            pieces in prop::collection::vec(1..40_000usize, 1..50),
        ) {
            let all: Vec<Vec<u8>> = payloads.iter().map(|(payload, masked)| frame(*payload, *masked)).collect();
            let ends: Vec<usize> = all.iter().scan(0, |at, frame| { *at += frame.len(); Some(*at) }).collect();
            let bytes = all.concat();
            let (mut frames, mut at) = (Frames::default(), 0);
            for piece in pieces.iter().cycle() {
                if at == bytes.len() {
                    break;
                }
                let upto = (at + piece).min(bytes.len());
                let whole = at + frames.see(&bytes[at..upto]);
                let want = ends.iter().copied().filter(|end| (at + 1..=upto).contains(end)).max();
                let began_between = at == 0 || ends.contains(&at);
                prop_assert_eq!(whole, want.unwrap_or(at), "from {} to {}, between: {}", at, upto, began_between);
                prop_assert_eq!(frames.is_between(), ends.contains(&upto));
                at = upto;
            }
        }
    }
}
