//! Event in the words of the core group (`k8s.io/api/core/v1`) and in its own (`k8s.io/api/events/v1`).

use super::METADATA;
use super::core::OBJECT_REFERENCE;
use crate::protobuf::message::Shape::{Int32, MicroTime, Object, Text, Time};
use crate::protobuf::message::{Field, field};

pub(super) const EVENT: &[Field] = &[
    field(1, "metadata", Object(METADATA)),
    field(2, "involvedObject", Object(OBJECT_REFERENCE)),
    field(3, "reason", Text),
    field(4, "message", Text),
    field(5, "source", Object(EVENT_SOURCE)),
    field(6, "firstTimestamp", Time),
    field(7, "lastTimestamp", Time),
    field(8, "count", Int32),
    field(9, "type", Text),
    field(10, "eventTime", MicroTime),
    field(11, "series", Object(SERIES)),
    field(12, "action", Text),
    field(13, "related", Object(OBJECT_REFERENCE)),
    field(14, "reportingComponent", Text),
    field(15, "reportingInstance", Text),
];

const EVENT_SOURCE: &[Field] = &[field(1, "component", Text), field(2, "host", Text)];

const SERIES: &[Field] = &[field(1, "count", Int32), field(2, "lastObservedTime", MicroTime)];

pub(super) const NEW_EVENT: &[Field] = &[
    field(1, "metadata", Object(METADATA)),
    field(2, "eventTime", MicroTime),
    field(3, "series", Object(SERIES)),
    field(4, "reportingController", Text),
    field(5, "reportingInstance", Text),
    field(6, "action", Text),
    field(7, "reason", Text),
    field(8, "regarding", Object(OBJECT_REFERENCE)),
    field(9, "related", Object(OBJECT_REFERENCE)),
    field(10, "note", Text),
    field(11, "type", Text),
    field(12, "deprecatedSource", Object(EVENT_SOURCE)),
    field(13, "deprecatedFirstTimestamp", Time),
    field(14, "deprecatedLastTimestamp", Time),
    field(15, "deprecatedCount", Int32),
];
