//! Who signed a certificate, whatever the signers are called.
//!
//! A handover names its members by their keys' addresses, in ascending order of ids, and not by these ids: a node may tell them with
//! other ids in the same order. That must not make the certificates of honest nodes look wrong. So a signature counts as the next
//! member's whose key made it: both lists ascend, and one walk through the members finds every signer once.

use ordering_types::CommitCertificate;
use ordering_types::certificate::CertificateError;
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;

/// Checks that a quorum of `members` signed. At most two signatures are verified for each member.
pub(super) fn check(
    certificate: &CommitCertificate,
    domain: &Domain,
    members: &Committee,
) -> Result<(), CertificateError> {
    match certificate.verify(domain, members) {
        // Too few signatures are another error.
        Err(CertificateError::Stranger(_) | CertificateError::Signature(_))
            if signed_in_order(certificate, domain, members) =>
        {
            Ok(())
        }
        checked => checked,
    }
}

/// Of a certificate with as many signatures as a quorum has members.
fn signed_in_order(certificate: &CommitCertificate, domain: &Domain, members: &Committee) -> bool {
    let CommitCertificate { epoch, height, round, header, signatures } = certificate;
    let mut signatures = signatures.clone();
    signatures.sort_by_key(|(id, _)| *id);
    let digest = domain.vote(true, *epoch, *height, *round, Some(*header));
    let mut rest = members.iter();
    signatures.iter().all(|(_, signature)| rest.any(|(_, key)| key.verify(digest, signature)))
}
