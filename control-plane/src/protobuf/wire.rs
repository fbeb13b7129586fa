//! The wire format of protobuf: one field after another, each a tag (number and wire type) and what it holds.

use super::Fault;

/// The largest number that a field can have (Protocol Buffers, "Assigning Field Numbers").
const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;
/// Seven bits a byte: 64 bits are in the tenth byte at the latest, which has one of them.
const MAX_VARINT_BYTES: usize = 10;

/// What a field holds, before its message says what that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoded<'a> {
    /// Wire type 0: a whole number, true or false.
    Varint(u64),
    /// Wire type 2: text, bytes, or a message.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5, eight and four bytes. No message here has such a field, so that it can only be skipped.
    Fixed,
}

impl<'a> Encoded<'a> {
    pub(super) fn varint(self) -> Result<u64, Fault> {
        match self {
            Self::Varint(number) => Ok(number),
            Self::Bytes(_) | Self::Fixed => Err(Fault::WrongWireType),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], Fault> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed => Err(Fault::WrongWireType),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Fault::NotUtf8)
    }
}

/// The fields of a message, in the order of its bytes. It borrows from them, and ends after the first fault.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn field(&mut self) -> Result<(u32, Encoded<'a>), Fault> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if !(1..=MAX_FIELD_NUMBER).contains(&number) {
            return Err(Fault::FieldNumber);
        }
        let encoded = match (tag & 7) as u8 {
            0 => Encoded::Varint(self.varint()?),
            1 => self.take(8).map(|_| Encoded::Fixed)?,
            2 => {
                let length = self.varint()?;
                Encoded::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Encoded::Fixed)?,
            other => return Err(Fault::ForbiddenWireType(other)),
        };
        Ok((number as u32, encoded))
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut number = 0;
        for at in 0..MAX_VARINT_BYTES {
            let byte = *self.rest.get(at).ok_or(Fault::Truncated)?;
            if at == MAX_VARINT_BYTES - 1 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(number);
            }
        }
        Err(Fault::VarintTooLong)
    }

    /// The length is the sender's word: it is compared with what is there before anything is done with it.
    fn take(&mut self, length: u64) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(length).map_err(|_| Fault::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Encoded<'a>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protocol Buffers, "Encoding".
    #[test]
    fn fields_are_told_apart() {
        use Encoded::{Bytes, Fixed, Varint};
        type Row = (&'static [u8], &'static [(u32, Encoded<'static>)]);
        let rows: [Row; 8] = [
            (b"", &[]),
            (b"\x08\x96\x01", &[(1, Varint(150))]),
            (b"\x12\x07testing", &[(2, Bytes(b"testing"))]),
            (b"\x09abcdefgh\x15abcd\x18\x01", &[(1, Fixed), (2, Fixed), (3, Varint(1))]),
            (b"\x0a\x00\x0a\x00", &[(1, Bytes(b"")), (1, Bytes(b""))]),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &[(1, Varint(u64::MAX))]),
            // More bytes than are needed are still that number.
            (b"\x08\x81\x80\x00", &[(1, Varint(1))]),
            (b"\xf8\xff\xff\xff\x0f\x01", &[((1 << 29) - 1, Varint(1))]),
        ];
        for (bytes, want) in rows {
            let found: Result<Vec<_>, _> = Fields::new(bytes).collect();
            assert_eq!(found.as_deref(), Ok(want), "{bytes:02x?}");
        }
    }

    #[test]
    fn wrong_bytes_are_told_by_their_fault() {
        let rows: [(&[u8], Fault); 15] = [
            (b"\x08", Fault::Truncated),
            (b"\x08\x80", Fault::Truncated),
            (b"\x88", Fault::Truncated),
            (b"\x12", Fault::Truncated),
            (b"\x12\x02a", Fault::Truncated),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a", Fault::Truncated),
            (b"\x09abcdefg", Fault::Truncated),
            (b"\x0dabc", Fault::Truncated),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", Fault::VarintTooLong),
            (b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", Fault::VarintTooLong),
            (b"\x00\x01", Fault::FieldNumber),
            (b"\x80\x80\x80\x80\x10\x01", Fault::FieldNumber),
            (b"\x0b\x0c", Fault::ForbiddenWireType(3)),
            (b"\x0c", Fault::ForbiddenWireType(4)),
            (b"\x0f", Fault::ForbiddenWireType(7)),
        ];
        for (bytes, want) in rows {
            let mut fields = Fields::new(bytes);
            assert_eq!(fields.next(), Some(Err(want)), "{bytes:02x?}");
            assert_eq!(fields.next(), None, "{bytes:02x?}");
        }
    }
}
