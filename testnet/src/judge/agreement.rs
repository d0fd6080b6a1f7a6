//! Whether every live node tells the history that clients were told.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::future::join_all;
use ordering_types::{Digest, Height};
use rollup::client::{FollowEvent, Follower};
use rollup::verify::Network;
use rollup::wire::Rollups;

/// Follows each node alone from the first height to the last told one, and lists where one differs or stays silent.
pub(super) async fn differences(
    network: &Network,
    endpoints: &[String],
    told: &BTreeMap<u64, Digest>,
    deadline: Instant,
) -> Vec<String> {
    let each = endpoints.iter().map(|endpoint| one(network, endpoint, told, deadline));
    join_all(each).await.into_iter().flatten().collect()
}

async fn one(
    network: &Network,
    endpoint: &str,
    told: &BTreeMap<u64, Digest>,
    deadline: Instant,
) -> Option<String> {
    let (Some((&first, _)), Some((&last, _))) = (told.first_key_value(), told.last_key_value()) else {
        return None;
    };
    let none = Rollups::Some(Vec::new());
    let follower = Follower::new(network.clone(), vec![endpoint.to_owned()], none, Height::new(first), false);
    let mut follower = match follower {
        Ok(follower) => follower,
        Err(error) => return Some(format!("{endpoint}: {error}")),
    };
    let mut reached = 0;
    let mut trouble = String::new();
    while reached < last {
        let Ok(event) = tokio::time::timeout_at(deadline.into(), follower.next()).await else {
            return Some(format!("{endpoint} tells only heights up to {reached} of {last} {trouble}"));
        };
        match event {
            FollowEvent::Ordered(block) => {
                reached = block.header.height.get();
                if told.get(&reached).is_some_and(|known| *known != block.header.hash()) {
                    return Some(format!("{endpoint} has another block at height {reached}"));
                }
            }
            FollowEvent::Lost { error, .. } => trouble = format!("({error})"),
            FollowEvent::Stranded(stranded) => trouble = format!("({stranded})"),
            FollowEvent::Connected(_) | FollowEvent::Certified(_) | FollowEvent::Refused(_) => {}
        }
    }
    None
}
