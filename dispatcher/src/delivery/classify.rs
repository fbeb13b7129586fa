//! What an answer means for the delivery (Knative Eventing data plane, "Event Acknowledgement and Delivery Retry").

use super::{Attempted, Content, NoAnswer};

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered.
    Delivered,
    /// Delivered, and the answer had a body that is not used: a CloudEvent where none is looked for.
    DeliveredIgnored,
    /// Delivered, and the answer had a body that claims to be no CloudEvent. Its owner likely meant something by it.
    DeliveredForeign,
    /// Delivered once the event in the answer is stored.
    Reply,
    /// The answer says it is a CloudEvent and is none: the delivery failed, and is tried again.
    BadReply,
    /// Failed, worth another attempt.
    Retry,
    /// Failed, and would fail again.
    Reject,
    /// Failed: the subscriber says that it is gone for good (410).
    Gone,
    /// Could not be asked, and would not be another time.
    Impossible,
}

/// What an attempt came to.
#[must_use]
pub fn classify(attempted: &Attempted) -> Verdict {
    let answer = match attempted {
        Ok(answer) => answer,
        Err(NoAnswer::Impossible(_)) => return Verdict::Impossible,
        Err(
            NoAnswer::Connect(_) | NoAnswer::NotServed(_) | NoAnswer::Timeout | NoAnswer::Broken(_) | NoAnswer::NoRoom,
        ) => return Verdict::Retry,
    };
    match (answer.status, &answer.content) {
        (200..=299, Content::Empty) => Verdict::Delivered,
        (200..=299, Content::Other(_)) => Verdict::DeliveredForeign,
        (200 | 201, Content::Event(_)) => Verdict::Reply,
        (200 | 201, Content::Broken(_)) => Verdict::BadReply,
        (200..=299, Content::Event(_) | Content::Broken(_)) => Verdict::DeliveredIgnored,
        (404 | 408 | 409 | 429 | 500.., _) => Verdict::Retry,
        (410, _) => Verdict::Gone,
        // 1xx as a final answer, 3xx, every other 4xx.
        _ => Verdict::Reject,
    }
}

/// Whether the target itself seems to be in trouble, as opposed to having refused this one event.
#[must_use]
pub fn speaks_against_target(attempted: &Attempted) -> bool {
    match attempted {
        Ok(answer) => answer.status == 429 || answer.status >= 500,
        Err(NoAnswer::Impossible(_) | NoAnswer::NoRoom) => false,
        Err(NoAnswer::Connect(_) | NoAnswer::NotServed(_) | NoAnswer::Timeout | NoAnswer::Broken(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::Answer;
    use super::*;

    fn answer(status: u16, content: Content) -> Attempted {
        Ok(Answer { status, retry_after: None, content })
    }

    /// Every row of the table, the whole range of each.
    #[test]
    fn response_codes_follow_the_contract() {
        for status in 100..=999 {
            let want = match status {
                200..=299 => Verdict::Delivered,
                404 | 408 | 409 | 429 => Verdict::Retry,
                410 => Verdict::Gone,
                500..=999 => Verdict::Retry,
                _ => Verdict::Reject,
            };
            assert_eq!(classify(&answer(status, Content::Empty)), want, "status {status}");
        }
    }

    #[test]
    fn no_answer_is_retried_and_no_way_to_ask_is_not() {
        let rows = [
            (NoAnswer::Connect("refused".into()), Verdict::Retry),
            (NoAnswer::Broken("reset".into()), Verdict::Retry),
            (NoAnswer::Timeout, Verdict::Retry),
            (NoAnswer::NoRoom, Verdict::Retry),
            (NoAnswer::NotServed("no instance came up".into()), Verdict::Retry),
            (NoAnswer::Impossible("gopher".into()), Verdict::Impossible),
        ];
        for (no_answer, want) in rows {
            assert_eq!(classify(&Err(no_answer.clone())), want, "{no_answer}");
        }
    }

    #[test]
    fn a_body_counts_as_a_reply_in_200_and_201_only() {
        let other = || Content::Other(Bytes::from_static(b"ok"));
        let broken = || Content::Broken("no id".into());
        for status in 200..=299 {
            assert_eq!(classify(&answer(status, other())), Verdict::DeliveredForeign, "status {status}");
            let want = if status <= 201 { Verdict::BadReply } else { Verdict::DeliveredIgnored };
            assert_eq!(classify(&answer(status, broken())), want, "status {status}");
        }
        for status in [404, 500] {
            assert_eq!(classify(&answer(status, other())), Verdict::Retry, "status {status}");
        }
        assert_eq!(classify(&answer(422, broken())), Verdict::Reject);
    }

    #[test]
    fn only_silence_5xx_and_429_speak_against_a_target() {
        for status in 100..=999 {
            let want = status == 429 || status >= 500;
            assert_eq!(speaks_against_target(&answer(status, Content::Empty)), want, "status {status}");
        }
        assert!(speaks_against_target(&Err(NoAnswer::Timeout)));
        assert!(speaks_against_target(&Err(NoAnswer::NotServed(String::new()))));
        assert!(!speaks_against_target(&Err(NoAnswer::Impossible(String::new()))));
        assert!(!speaks_against_target(&Err(NoAnswer::NoRoom)));
    }
}
