//! The messages that are one value in JSON. Each is read whole: a later one takes the place of an earlier one.

use jiff::Timestamp;
use serde_json::Value;

use crate::protobuf::Fault;
use crate::protobuf::wire::Fields;

/// 0001-01-01T00:00:00Z, which is Go's zero time and the first moment that `Time` can be.
const YEAR_ONE: i64 = -62_135_596_800;

/// `Time{1 seconds, 2 nanos}`. Kubernetes reads no fraction of it.
pub(super) fn time(bytes: &[u8]) -> Result<Value, Fault> {
    Ok(timestamp(bytes)?.map_or(Value::Null, |time| format!("{time:.0}").into()))
}

/// `MicroTime{1 seconds, 2 nanos}`.
pub(super) fn micro_time(bytes: &[u8]) -> Result<Value, Fault> {
    Ok(timestamp(bytes)?.map_or(Value::Null, |time| format!("{time:.6}").into()))
}

/// None is the zero time, which Kubernetes writes as a message of no bytes.
fn timestamp(bytes: &[u8]) -> Result<Option<Timestamp>, Fault> {
    let (mut seconds, mut nanos) = (0, 0);
    for part in Fields::new(bytes) {
        match part? {
            (1, encoded) => seconds = encoded.varint()? as i64,
            (2, encoded) => nanos = encoded.varint()? as i32,
            _ => {}
        }
    }
    if seconds < YEAR_ONE || !(0..1_000_000_000).contains(&nanos) {
        return Err(Fault::TimeOutOfRange);
    }
    let time = Timestamp::new(seconds, nanos).map_err(|_| Fault::TimeOutOfRange)?;
    let is_zero = bytes.is_empty() || (seconds, nanos) == (YEAR_ONE, 0);
    Ok((!is_zero).then_some(time))
}

/// `IntOrString{1 type, 2 intVal, 3 strVal}`.
pub(super) fn int_or_text(bytes: &[u8]) -> Result<Value, Fault> {
    let (mut kind, mut number, mut text) = (0, 0, "");
    for part in Fields::new(bytes) {
        match part? {
            (1, encoded) => kind = encoded.varint()?,
            (2, encoded) => number = encoded.varint()? as i32,
            (3, encoded) => text = encoded.text()?,
            _ => {}
        }
    }
    match kind {
        0 => Ok(number.into()),
        1 => Ok(text.into()),
        _ => Err(Fault::IntOrStringType),
    }
}

/// `FieldsV1{1 Raw}`. No bytes are nothing.
pub(super) fn json(bytes: &[u8]) -> Result<Value, Fault> {
    let mut raw: &[u8] = &[];
    for part in Fields::new(bytes) {
        if let (1, encoded) = part? {
            raw = encoded.bytes()?;
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    // The parser has a bound of its own for nesting.
    match serde_json::from_slice(raw) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) | Err(_) => Err(Fault::NotJsonObject),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `varint(-1)` and the like: 64 bits, seven a byte.
    fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    fn stamp(seconds: i64, nanos: i64) -> Vec<u8> {
        [vec![0x08], varint(seconds as u64), vec![0x10], varint(nanos as u64)].concat()
    }

    #[test]
    fn times_are_rfc_3339() {
        let rows = [
            (vec![], Ok((Value::Null, Value::Null))),
            (stamp(YEAR_ONE, 0), Ok((Value::Null, Value::Null))),
            // Go tells this moment from its zero time, and so do we.
            (stamp(0, 0), Ok((json!("1970-01-01T00:00:00Z"), json!("1970-01-01T00:00:00.000000Z")))),
            (
                stamp(1_700_000_000, 123_456_789),
                Ok((json!("2023-11-14T22:13:20Z"), json!("2023-11-14T22:13:20.123456Z"))),
            ),
            (stamp(-1, 999_999_999), Ok((json!("1969-12-31T23:59:59Z"), json!("1969-12-31T23:59:59.999999Z")))),
            (stamp(YEAR_ONE + 1, 0), Ok((json!("0001-01-01T00:00:01Z"), json!("0001-01-01T00:00:01.000000Z")))),
            (vec![0x10, 5], Ok((json!("1970-01-01T00:00:00Z"), json!("1970-01-01T00:00:00.000000Z")))),
            (stamp(YEAR_ONE - 1, 0), Err(Fault::TimeOutOfRange)),
            (stamp(i64::MAX, 0), Err(Fault::TimeOutOfRange)),
            (stamp(i64::MIN, 0), Err(Fault::TimeOutOfRange)),
            (stamp(0, 1_000_000_000), Err(Fault::TimeOutOfRange)),
            (stamp(0, -1), Err(Fault::TimeOutOfRange)),
            (vec![0x0a, 0], Err(Fault::WrongWireType)),
            (vec![0x08], Err(Fault::Truncated)),
        ];
        for (bytes, want) in rows {
            let found = time(&bytes).and_then(|whole| Ok((whole, micro_time(&bytes)?)));
            assert_eq!(found, want, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_number_or_a_text_is_one_of_them() {
        let minus_one = [vec![0x10], varint(-1i64 as u64)].concat();
        let rows: [(&[u8], Result<Value, Fault>); 9] = [
            (b"", Ok(json!(0))),
            (b"\x10\x50", Ok(json!(80))),
            (&minus_one, Ok(json!(-1))),
            (b"\x08\x00\x10\x90\x3f\x1a\x00", Ok(json!(8080))),
            (b"\x08\x01\x10\x00\x1a\x04http", Ok(json!("http"))),
            (b"\x08\x01", Ok(json!(""))),
            (b"\x08\x02", Err(Fault::IntOrStringType)),
            (b"\x1a\x01\xff", Err(Fault::NotUtf8)),
            (b"\x0a\x00", Err(Fault::WrongWireType)),
        ];
        for (bytes, want) in rows {
            assert_eq!(int_or_text(bytes), want, "{bytes:02x?}");
        }
    }

    #[test]
    fn managed_fields_are_json_in_bytes() {
        let deep = |depth: usize| [r#"{"a":"#.repeat(depth), "1".to_owned(), "}".repeat(depth)].concat();
        let rows = [
            (String::new(), Ok(Value::Null)),
            (r#"{"f:data":{".":{}}}"#.to_owned(), Ok(json!({"f:data": {".": {}}}))),
            ("[]".to_owned(), Err(Fault::NotJsonObject)),
            ("null".to_owned(), Err(Fault::NotJsonObject)),
            ("{".to_owned(), Err(Fault::NotJsonObject)),
            ("{}x".to_owned(), Err(Fault::NotJsonObject)),
            (deep(10_000), Err(Fault::NotJsonObject)),
        ];
        for (raw, want) in rows {
            let bytes = [vec![0x0a], varint(raw.len() as u64), raw.clone().into_bytes()].concat();
            assert_eq!(json(&bytes), want, "{raw:.40}");
        }
        assert_eq!(json(b""), Ok(Value::Null));
        assert_eq!(json(b"\x08\x01"), Err(Fault::WrongWireType));
    }
}
