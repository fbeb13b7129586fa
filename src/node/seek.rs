//! How a node that keeps nothing finds the cluster it works for: it asks the nodes it was told of.

use std::time::Duration;

use bytes::Bytes;
use pelton_env::Chance;
use pelton_peer::{PeerAddress, Pool, Versions};
use pelton_proto::consensus::v1 as wire;
use pelton_proto::consensus::v1::membership_client::MembershipClient;
use tokio::time::{Instant, sleep, timeout};

use crate::config::ClusterSettings;
use crate::telemetry::Health;

/// How long a node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The pause between two rounds of asking.
const PAUSE: Duration = Duration::from_millis(500);

/// How often the log says what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Largest answer that is read: a name, a version, a few numbers.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why asking on is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SeekError {
    /// A node speaks no version of the protocol that this one does.
    #[error("the node at {address} cannot be worked with: {why}")]
    Versions {
        /// Where it is.
        address: PeerAddress,
        /// Both ranges of versions.
        why: pelton_peer::VersionsApart,
    },
}

/// Asks until some node says which cluster it is in; waits for as long as it takes.
///
/// # Errors
/// [`SeekError`].
pub async fn cluster_id(
    settings: &ClusterSettings,
    pool: &Pool,
    chance: &dyn Chance,
    health: &Health,
) -> Result<u128, SeekError> {
    // It has no data directory, so nothing of it is to be recognised again.
    let nonce = [chance.bits().to_le_bytes(), chance.bits().to_le_bytes()].concat();
    let listed: Vec<String> = settings.join.iter().map(ToString::to_string).collect();
    health.set_waiting(format!("waiting for a node of a cluster at {}", listed.join(", ")));
    let mut said: Option<Instant> = None;
    loop {
        let mut why = Vec::new();
        for address in &settings.join {
            match ask(settings, pool, address, &nonce).await? {
                Ok(cluster) => return Ok(cluster),
                Err(reason) => why.push(format!("{address}: {reason}")),
            }
        }
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            tracing::info!(answers = why.join("; "), "waiting for a node that is in a cluster");
        }
        sleep(PAUSE).await;
    }
}

/// One question. The inner error is worth asking again.
async fn ask(
    settings: &ClusterSettings,
    pool: &Pool,
    address: &PeerAddress,
    nonce: &[u8],
) -> Result<Result<u128, String>, SeekError> {
    let ours = super::versions::spoken();
    let identity = wire::Identity {
        protocol_min: ours.min,
        protocol_max: ours.max,
        name: settings.name.clone(),
        nonce: Bytes::copy_from_slice(nonce),
        product_version: env!("CARGO_PKG_VERSION").to_owned(),
        // It is in no cluster, and forms none.
        ..wire::Identity::default()
    };
    let channels = pool.channels(address);
    let mut client = MembershipClient::new(channels.control()).max_decoding_message_size(MAX_ANSWER_BYTES);
    let answer = match timeout(ANSWER_WITHIN, client.hello(wire::HelloRequest { identity: Some(identity) })).await {
        Ok(Ok(answer)) => answer.into_inner().identity.unwrap_or_default(),
        Ok(Err(status)) => return Ok(Err(shortly(status.message(), &status))),
        Err(_) => return Ok(Err(format!("no answer within {ANSWER_WITHIN:?}"))),
    };
    let theirs = Versions { min: answer.protocol_min, max: answer.protocol_max };
    ours.negotiate(theirs).map_err(|why| SeekError::Versions { address: address.clone(), why })?;
    Ok(match <[u8; 16]>::try_from(answer.cluster.as_ref()) {
        Ok(cluster) => Ok(u128::from_be_bytes(cluster)),
        Err(_) => Err("it is in no cluster yet".to_owned()),
    })
}

/// What failed, and why at the bottom of it: what lies between says the same at more length.
fn shortly(message: &str, error: &dyn std::error::Error) -> String {
    let mut deepest = error.source();
    while let Some(deeper) = deepest.and_then(std::error::Error::source) {
        deepest = Some(deeper);
    }
    let cause = deepest.map(ToString::to_string).filter(|cause| !message.ends_with(cause));
    cause.map_or_else(|| message.to_owned(), |cause| format!("{message}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Level(&'static str, #[source] Option<Box<Level>>);

    #[test]
    fn an_answer_is_told_with_its_deepest_cause() {
        let error = |texts: &[&'static str]| {
            let levels = texts.iter().rev().fold(None, |inner, text| Some(Box::new(Level(text, inner))));
            Level("status", levels)
        };
        for (causes, want) in [
            (&[][..], "no handshake"),
            (&["transport error", "no handshake"], "no handshake"),
            (&["transport error", "no handshake", "bad certificate"], "no handshake: bad certificate"),
        ] {
            assert_eq!(shortly("no handshake", &error(causes)), want);
        }
    }
}
