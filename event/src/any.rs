/// The two fields of a serialized `google.protobuf.Any`, borrowed from it.
///
/// Data of [`DataKind::ProtoAny`](crate::DataKind::ProtoAny) is the whole serialized message, so that its type URL is
/// not lost. In HTTP it travels as the value alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtoAny<'a> {
    /// Field 1, such as `type.googleapis.com/google.protobuf.Duration`.
    pub type_url: &'a str,
    /// Field 2, the serialized message.
    pub value: &'a [u8],
}

impl<'a> ProtoAny<'a> {
    /// The `datacontenttype` of the value where the event names none.
    pub(crate) const MEDIA_TYPE: &'static str = "application/protobuf";

    /// The type URL where it may stand as `dataschema`. The usual `type.googleapis.com/...` has no scheme and may not.
    pub(crate) fn uri(&self) -> Option<&'a str> {
        crate::rules::is_absolute_uri(self.type_url).then_some(self.type_url)
    }

    /// Reads a serialized `google.protobuf.Any`. `None` when the bytes are not such a message, or hold any other field.
    #[must_use]
    pub fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        // Wire type 2 (length-delimited) in the low three bits of the tag, the field number above.
        const TYPE_URL: u64 = (1 << 3) | 2;
        const VALUE: u64 = (2 << 3) | 2;
        let mut any = Self { type_url: "", value: &[] };
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let len = usize::try_from(varint(&mut bytes)?).ok()?;
            let (field, rest) = bytes.split_at_checked(len)?;
            bytes = rest;
            match tag {
                TYPE_URL => any.type_url = std::str::from_utf8(field).ok()?,
                VALUE => any.value = field,
                _ => return None,
            }
        }
        Some(any)
    }
}

/// A protobuf varint: seven bits a byte, low group first, at most ten bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_any_is_split_into_its_fields() {
        let bytes = b"\x0a\x03a/b\x12\x02\x08\x01";
        assert_eq!(ProtoAny::parse(bytes), Some(ProtoAny { type_url: "a/b", value: &[8, 1] }));
        assert_eq!(ProtoAny::parse(b""), Some(ProtoAny { type_url: "", value: &[] }));
    }

    #[test]
    fn what_is_no_any_is_refused() {
        for bytes in [&b"\x0a"[..], b"\x0a\x05ab", b"\x0a\x01\xff", b"\x08\x01", b"\x1a\x00", &[0xff; 11]] {
            assert_eq!(ProtoAny::parse(bytes), None, "{bytes:?}");
        }
    }
}
