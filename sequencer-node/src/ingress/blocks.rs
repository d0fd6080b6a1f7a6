//! Blocks as clients get them.

use ordering_types::RollupId;
use rollup::wire::{Content, OrderedBlock, OrderedSection, RollupRoot};

use crate::core_api::Decided;

/// A block with the sections that `wanted` chooses, with whole transactions or ids only.
pub(crate) fn ordered_block(
    decided: &Decided,
    wanted: impl Fn(RollupId) -> bool,
    data: bool,
) -> OrderedBlock {
    let block = &decided.block;
    let rollups = block
        .sections
        .iter()
        .filter_map(|section| decided.tree.prove_section(section.rollup))
        .map(|proof| RollupRoot { rollup: proof.rollup, count: proof.count, root: proof.root })
        .collect();
    let sections = block
        .sections
        .iter()
        .filter(|section| wanted(section.rollup))
        .map(|section| {
            let content = if data {
                Content::Data(section.transactions.clone())
            } else {
                Content::Ids(decided.tree.leaves(section.rollup).unwrap_or_default().to_vec())
            };
            OrderedSection { rollup: section.rollup, content }
        })
        .collect();
    OrderedBlock { header: block.header.clone(), certificate: decided.certificate.clone(), rollups, sections }
}
