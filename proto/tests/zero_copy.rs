//! What the build script promises of the generated code.

use bytes::Bytes;
use pelton_proto::consensus::v1::{AppendRequest, Entry};
use prost::Message as _;

#[test]
fn the_body_of_an_entry_is_a_slice_of_the_message() {
    let entry = Entry { index: 7, body: Bytes::from(vec![3; 1024]), ..Entry::default() };
    let request = AppendRequest { group: 1, entries: vec![entry], ..AppendRequest::default() };
    let message = Bytes::from(request.encode_to_vec());
    let decoded = AppendRequest::decode(message.clone()).unwrap();
    assert_eq!(decoded, request);
    let body = &decoded.entries[0].body;
    let (within, start) = (message.as_ptr_range(), body.as_ptr());
    assert!(within.contains(&start), "the body was copied");
}
