//! Who is in office, by address. L1 has a hash of it; the genesis file names the founders, and the own node whoever followed them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use alloy::primitives::Address;
use ordering_types::Digest;
use ordering_types::chain_spec::Committee;
use ordering_types::handover::committee_hash;
use rollup::client::Nodes;
use rollup::verify::Network;

use super::MembershipError;
use super::desk::Desk;
use crate::l1::At;

/// The members' addresses, in the order in which the contract hashes them.
pub(super) async fn in_office(desk: &Desk) -> Result<Vec<Address>, MembershipError> {
    let hash = desk.contract.inbox(&desk.spec).committee_hash(At::Latest).await?;
    let founders = desk.spec.committee();
    let committee =
        if committee_hash(&founders) == hash { founders } else { told_by_node(desk, hash).await? };
    Ok(committee.iter().map(|(_, key)| Address::from(*key.address().as_bytes())).collect())
}

async fn told_by_node(desk: &Desk, hash: Digest) -> Result<Committee, MembershipError> {
    let epoch = desk.contract.inbox(&desk.spec).epoch(At::Latest).await?;
    let node = reachable(desk.config.ingress.listen).to_string();
    let unknown = |why: String| MembershipError::UnknownCommittee { node: node.clone(), why };
    let nodes = Nodes::new(Network::new(Arc::new(desk.spec.clone())), std::slice::from_ref(&node));
    let nodes = nodes.map_err(|error| unknown(error.to_string()))?;
    let members = nodes.members(epoch, hash).await.map_err(|error| unknown(error.to_string()))?;
    members.ok_or_else(|| unknown(format!("it does not know epoch {epoch} yet")))
}

/// Where a node that listens at an address can be reached on its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
