//! The computations of FROST (RFC 9591 sections 5.2 to 5.4), with our types around frost-secp256k1.

use std::collections::BTreeMap;

use frost_core::verify_signature_share;
use frost_secp256k1::keys::KeyPackage;
use frost_secp256k1::round1::SigningCommitments;
use frost_secp256k1::round2::SignatureShare;
use frost_secp256k1::{CheaterDetection, Error, SigningPackage, aggregate_custom, round2};

use super::nonces::NoncePair;
use crate::keys::{GroupPublic, SignatureBytes};
use crate::member::MemberId;
use crate::wire::scalar;

/// One member's share of a signature. Uses up the nonces. `None` if the commitments do not contain those of the nonces, or
/// add up to the identity.
pub(super) fn sign(
    message: &[u8],
    commitments: &BTreeMap<MemberId, SigningCommitments>,
    nonces: NoncePair,
    key: &KeyPackage,
) -> Option<[u8; 32]> {
    let share = round2::sign(&signing_package(message, commitments), nonces.reveal(), key).ok()?;
    share.serialize().try_into().ok()
}

/// Why shares do not make a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AggregateError {
    /// These members' shares are wrong.
    Cheaters(Vec<MemberId>),
    /// The set of shares is not that of the commitments.
    Unusable,
}

/// Adds shares up and verifies the result; only if that fails, checks each share.
pub(super) fn aggregate(
    message: &[u8],
    commitments: &BTreeMap<MemberId, SigningCommitments>,
    shares: &BTreeMap<MemberId, [u8; 32]>,
    public: &GroupPublic,
) -> Result<SignatureBytes, AggregateError> {
    let mut parsed = BTreeMap::new();
    let mut malformed = Vec::new();
    for (member, bytes) in shares {
        match parse(bytes) {
            Some(share) => _ = parsed.insert(member.identifier(), share),
            None => malformed.push(*member),
        }
    }
    if !malformed.is_empty() {
        return Err(AggregateError::Cheaters(malformed));
    }
    let package = signing_package(message, commitments);
    let signature = aggregate_custom(&package, &parsed, public.package(), CheaterDetection::Disabled)
        .or_else(|_| aggregate_custom(&package, &parsed, public.package(), CheaterDetection::AllCheaters))
        .map_err(|error| match error {
            Error::InvalidSignatureShare { culprits } => {
                AggregateError::Cheaters(culprits.iter().filter_map(MemberId::from_identifier).collect())
            }
            _ => AggregateError::Unusable,
        })?;
    let bytes = signature.serialize().map_err(|_| AggregateError::Unusable)?;
    bytes.try_into().map_err(|_| AggregateError::Unusable)
}

/// Whether this is the member's share, given what all committed to.
pub(super) fn is_share(
    message: &[u8],
    commitments: &BTreeMap<MemberId, SigningCommitments>,
    member: MemberId,
    share: &[u8; 32],
    public: &GroupPublic,
) -> bool {
    let verifying = public.package().verifying_shares().get(&member.identifier());
    let (Some(share), Some(verifying)) = (parse(share), verifying) else { return false };
    let package = signing_package(message, commitments);
    let key = public.package().verifying_key();
    verify_signature_share(member.identifier(), verifying, &share, &package, key).is_ok()
}

/// A share has one encoding.
fn parse(bytes: &[u8; 32]) -> Option<SignatureShare> {
    scalar(bytes).ok().and_then(|_| SignatureShare::deserialize(bytes).ok())
}

fn signing_package(message: &[u8], commitments: &BTreeMap<MemberId, SigningCommitments>) -> SigningPackage {
    let commitments = commitments.iter().map(|(member, pair)| (member.identifier(), *pair)).collect();
    SigningPackage::new(commitments, message)
}
