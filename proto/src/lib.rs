//! The wire contracts between nodes, generated from the `.proto` files beside this crate's `Cargo.toml`.
//!
//! The contracts are the text: read the `.proto` files. This crate is vocabulary and does no I/O. Every `bytes` field
//! is a [`bytes::Bytes`] into the buffer that the message arrived in.

/// `pelton.consensus.v1`: Raft between the replicas of a log group, and how a node joins a cluster.
pub mod consensus {
    /// Version 1 of the contract.
    #[expect(missing_docs, reason = "generated: what is documented is documented in the .proto file")]
    #[allow(clippy::all, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("pelton.consensus.v1");
    }
}

/// `pelton.cluster.v1`: what the leaders of log groups tell the leader of the registry.
pub mod cluster {
    /// Version 1 of the contract.
    #[expect(missing_docs, reason = "generated: what is documented is documented in the .proto file")]
    #[allow(clippy::all, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("pelton.cluster.v1");
    }
}

/// `pelton.broker.v1`: how a node reaches the leader of a log group on another node.
pub mod broker {
    /// Version 1 of the contract.
    #[expect(missing_docs, reason = "generated: what is documented is documented in the .proto file")]
    #[allow(clippy::all, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("pelton.broker.v1");
    }
}
