//! What stands in the log of blocks.
//!
//! ```text
//!   transactions by rollup │ 1                 body of a block, always followed by its head
//!   header, certificate, cut, snapshot, ids by rollup │ 2
//!   height, group signature │ 3
//!   sealed batch │ 4
//! ```
//!
//! The kind stands last, so that no second buffer is needed to write it.

use bytes::{BufMut, Bytes};
use ordering_types::block::TxTree;
use ordering_types::codec::{self, DecodeError};
use ordering_types::{
    Block, CommitCertificate, Cut, Digest, GroupSignature, Header, Height, RollupId, RollupSection, TxId,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::log::MAX_RECORD_BYTES;
use crate::core_api::{Covered, Decided};
use batcher_format::SealedBatch;

const BODY: u8 = 1;
const HEAD: u8 = 2;
const CERTIFIED: u8 = 3;
const SEALED: u8 = 4;

/// All of a block but its transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) header: Header,
    pub(super) certificate: CommitCertificate,
    pub(super) cut: Bytes,
    /// Digests of the chunks that the cut covers, in the block's order, each with the places left out.
    pub(super) covered: Vec<(Digest, Vec<u32>)>,
    pub(super) snapshot: Bytes,
    pub(super) ids: Vec<(RollupId, Vec<TxId>)>,
}

impl Head {
    pub(super) fn of(decided: &Decided) -> Self {
        let sections = &decided.block.sections;
        let ids = sections
            .iter()
            .map(|s| (s.rollup, decided.tree.leaves(s.rollup).unwrap_or_default().to_vec()))
            .collect();
        Self {
            header: decided.block.header.clone(),
            certificate: decided.certificate.clone(),
            cut: decided.cut_bytes.clone(),
            covered: decided.covered.iter().map(|c| (c.digest, c.left_out.clone())).collect(),
            snapshot: decided.snapshot.clone(),
            ids,
        }
    }

    pub(super) fn tree(&self) -> TxTree {
        TxTree::new(self.ids.clone())
    }

    /// Put together with its body again.
    pub(super) fn into_decided(self, sections: Vec<RollupSection>) -> Result<Decided, DecodeError> {
        let cut = Cut::decode(&self.cut)?;
        let tree = self.tree();
        let Self { header, certificate, cut: cut_bytes, covered, snapshot, .. } = self;
        let covered = covered.into_iter().map(|(digest, left_out)| Covered { digest, left_out }).collect();
        let block = Block { header, sections };
        Ok(Decided { block, tree, certificate, cut, cut_bytes, covered, snapshot })
    }
}

/// One record, decoded.
#[derive(Debug)]
pub(super) enum BlockRecord {
    Body(Vec<RollupSection>),
    Head(Box<Head>),
    Certified(Height, GroupSignature),
    Sealed(Box<SealedBatch>),
}

fn encode(kind: u8, value: &impl Serialize) -> Vec<u8> {
    let mut bytes = codec::encode(value);
    bytes.put_u8(kind);
    bytes
}

pub(super) fn encode_body(sections: &Vec<RollupSection>) -> Vec<u8> {
    encode(BODY, sections)
}

pub(super) fn encode_head(head: &Head) -> Vec<u8> {
    encode(HEAD, head)
}

pub(super) fn encode_certified(height: Height, signature: &GroupSignature) -> Vec<u8> {
    encode(CERTIFIED, &(height, signature))
}

pub(super) fn encode_sealed(batch: &SealedBatch) -> Vec<u8> {
    encode(SEALED, batch)
}

impl BlockRecord {
    pub(super) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let Some((kind, value)) = payload.split_last() else {
            return Err(DecodeError::Malformed("empty record".to_owned()));
        };
        Ok(match *kind {
            BODY => Self::Body(read(value)?),
            HEAD => Self::Head(Box::new(read(value)?)),
            CERTIFIED => {
                let (height, signature) = read(value)?;
                Self::Certified(height, signature)
            }
            SEALED => Self::Sealed(Box::new(read(value)?)),
            other => return Err(DecodeError::Malformed(format!("record of unknown kind {other}"))),
        })
    }
}

fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, DecodeError> {
    codec::decode(value, MAX_RECORD_BYTES as usize)
}
