//! Who asks whom: the metadata of every request.

use pelton_peer::Versions;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::NodeId;

const CLUSTER: &str = "pelton-cluster";
const RECIPIENT: &str = "pelton-recipient";

/// What a caller says.
#[derive(Debug, Clone)]
pub(super) struct Addressed {
    cluster: MetadataValue<Ascii>,
    recipient: Option<MetadataValue<Ascii>>,
    speaks: Versions,
}

impl Addressed {
    pub(super) fn new(cluster: u128, recipient: Option<NodeId>, speaks: Versions) -> Self {
        let cluster = format!("{cluster:032x}").parse().expect("hexadecimal digits are ASCII");
        Self { cluster, recipient: recipient.map(|node| MetadataValue::from(node.0)), speaks }
    }
}

impl Interceptor for Addressed {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        self.speaks.tell(metadata);
        metadata.insert(CLUSTER, self.cluster.clone());
        if let Some(recipient) = &self.recipient {
            metadata.insert(RECIPIENT, recipient.clone());
        }
        Ok(request)
    }
}

/// Turns away who means another, and who speaks no version of the protocol that is spoken here.
pub(super) fn check(metadata: &MetadataMap, cluster: u128, this: NodeId, speaks: Versions) -> Result<(), Status> {
    let text = |key| metadata.get(key).map(|value| value.to_str().unwrap_or("?"));
    match text(CLUSTER) {
        Some(asked) if asked == format!("{cluster:032x}") => {}
        Some(asked) => {
            let why = format!("this node is in cluster {cluster:032x}, not in {asked}");
            return Err(Status::failed_precondition(why));
        }
        None => return Err(Status::failed_precondition("the request does not say which cluster it is for")),
    }
    match text(RECIPIENT) {
        Some(asked) if asked != this.to_string() => {
            Err(Status::failed_precondition(format!("this is node {this}, not node {asked}")))
        }
        Some(_) | None => speaks.check(metadata),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_means_this_node_is_heard() {
        let said = |cluster, recipient| {
            let mut addressed = Addressed::new(cluster, recipient, Versions { min: 1, max: 2 });
            addressed.call(Request::new(())).unwrap().metadata().clone()
        };
        let by = |metadata: &MetadataMap, min, max| {
            check(metadata, 7, NodeId(3), Versions { min, max }).map_err(|status| status.message().to_owned())
        };
        let check = |metadata: &MetadataMap| by(metadata, 1, 1);
        assert_eq!(check(&said(7, None)), Ok(()));
        assert_eq!(check(&said(7, Some(NodeId(3)))), Ok(()));
        assert_eq!(check(&said(7, Some(NodeId(2)))), Err("this is node 3, not node 2".to_owned()));
        assert!(check(&said(8, Some(NodeId(3)))).unwrap_err().contains("is in cluster"));
        assert!(check(&MetadataMap::new()).is_err());
        assert_eq!(by(&said(7, None), 2, 3), Ok(()));
        let apart = by(&said(7, None), 3, 4).unwrap_err();
        assert!(apart.contains("speaks 3 to 4") && apart.contains("1 to 2"), "{apart}");
    }
}
