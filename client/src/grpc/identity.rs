//! Who asks whom: the metadata of every request.

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
}

impl Addressed {
    pub(super) fn new(cluster: u128, recipient: Option<NodeId>) -> Self {
        let cluster = format!("{cluster:032x}").parse().expect("hexadecimal digits are ASCII");
        Self { cluster, recipient: recipient.map(|node| MetadataValue::from(node.0)) }
    }
}

impl Interceptor for Addressed {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, self.cluster.clone());
        if let Some(recipient) = &self.recipient {
            metadata.insert(RECIPIENT, recipient.clone());
        }
        Ok(request)
    }
}

/// Turns away who means another.
pub(super) fn check(metadata: &MetadataMap, cluster: u128, this: NodeId) -> Result<(), Status> {
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
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_means_this_node_is_heard() {
        let said =
            |cluster, recipient| Addressed::new(cluster, recipient).call(Request::new(())).unwrap().metadata().clone();
        let check =
            |metadata: &MetadataMap| check(metadata, 7, NodeId(3)).map_err(|status| status.message().to_owned());
        assert_eq!(check(&said(7, None)), Ok(()));
        assert_eq!(check(&said(7, Some(NodeId(3)))), Ok(()));
        assert_eq!(check(&said(7, Some(NodeId(2)))), Err("this is node 3, not node 2".to_owned()));
        assert!(check(&said(8, Some(NodeId(3)))).unwrap_err().contains("is in cluster"));
        assert!(check(&MetadataMap::new()).is_err());
    }
}
