//! Messages between members: `tag (1) ‖ epoch (8) ‖ body`. The channel authenticates the sender.

use super::commitment::{Offer, Supply};
use super::config::MAX_POOL;
use super::item::{BootId, ItemId};
use super::package::{MAX_PACKAGE_LEN, Package, PackageHash};
use super::voucher::Voucher;
use crate::keys::SignatureBytes;
use crate::wire::{Reader, WireError, count_of};

const HEADER_LEN: usize = 1 + 8;

/// Longest message between signing members, in bytes.
pub const MAX_MESSAGE: usize = HEADER_LEN + MAX_PACKAGE_LEN;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// `boot (16) ‖ known (1) ‖ known × (boot (16) ‖ floor (8))`: "I am in this boot; of your boot I will use no index
    /// below the floor again; give me commitments."
    Want { boot: BootId, known: Option<(BootId, u64)> },
    /// `boot (16) ‖ count (2) ‖ count × (index (8) ‖ commitment (66))`: commitments for the receiver's use only.
    Supply(Supply),
    /// A signing package.
    Package(Package),
    /// `item (9) ‖ package hash (32) ‖ share (32) ‖ voucher (65) ‖ supply`: a share, and fresh commitments in place of the used ones.
    Share(Share),
    /// `item (9) ‖ signature (65)`.
    Signature { item: ItemId, signature: SignatureBytes },
    /// `item (9)`: "send me its signature if you have it."
    Request(ItemId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) item: ItemId,
    pub(super) package: PackageHash,
    pub(super) share: [u8; 32],
    pub(super) voucher: Voucher,
    pub(super) supply: Supply,
}

impl Message {
    pub(super) fn to_bytes(&self, epoch: u64) -> Vec<u8> {
        let mut out = vec![self.tag()];
        out.extend(epoch.to_be_bytes());
        match self {
            Self::Want { boot, known } => {
                out.extend(boot.0);
                out.push(u8::from(known.is_some()));
                if let Some((boot, floor)) = known {
                    out.extend(boot.0);
                    out.extend(floor.to_be_bytes());
                }
            }
            Self::Supply(supply) => write_supply(supply, &mut out),
            Self::Package(package) => out.extend(package.to_bytes()),
            Self::Share(share) => {
                share.item.write(&mut out);
                out.extend(share.package);
                out.extend(share.share);
                out.extend(share.voucher);
                write_supply(&share.supply, &mut out);
            }
            Self::Signature { item, signature } => {
                item.write(&mut out);
                out.extend(signature);
            }
            Self::Request(item) => item.write(&mut out),
        }
        out
    }

    fn tag(&self) -> u8 {
        match self {
            Self::Want { .. } => 1,
            Self::Supply(_) => 2,
            Self::Package(_) => 3,
            Self::Share(_) => 4,
            Self::Signature { .. } => 5,
            Self::Request(_) => 6,
        }
    }

    /// `None` for a well-begun message of another epoch.
    pub(super) fn parse(bytes: &[u8], epoch: u64) -> Result<Option<Self>, WireError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(WireError::Length { got: bytes.len(), limit: MAX_MESSAGE });
        }
        let mut reader = Reader::new(bytes);
        let tag = reader.u8()?;
        if reader.u64()? != epoch {
            return Ok(None);
        }
        let message = match tag {
            1 => Self::Want { boot: BootId(reader.array()?), known: read_known(&mut reader)? },
            2 => Self::Supply(read_supply(&mut reader)?),
            3 => Self::Package(Package::parse(reader.bytes(reader.remaining())?)?),
            4 => Self::Share(Share {
                item: ItemId::read(&mut reader)?,
                package: reader.array()?,
                share: reader.array()?,
                voucher: reader.array()?,
                supply: read_supply(&mut reader)?,
            }),
            5 => Self::Signature { item: ItemId::read(&mut reader)?, signature: reader.array()? },
            6 => Self::Request(ItemId::read(&mut reader)?),
            other => return Err(WireError::Tag(other)),
        };
        reader.finish()?;
        Ok(Some(message))
    }
}

/// The epoch of the key that a member's message is about; `None` for bytes too short to say.
#[must_use]
pub fn epoch_of(bytes: &[u8]) -> Option<u64> {
    let (_, rest) = bytes.split_first()?;
    rest.first_chunk::<8>().map(|epoch| u64::from_be_bytes(*epoch))
}

/// The finished signature in a member's message, for who holds no share and takes no other part; `None` for other messages and
/// other epochs. It is not verified yet.
pub fn broadcast_signature(bytes: &[u8], epoch: u64) -> Result<Option<(ItemId, SignatureBytes)>, WireError> {
    Ok(match Message::parse(bytes, epoch)? {
        Some(Message::Signature { item, signature }) => Some((item, signature)),
        _ => None,
    })
}

fn read_known(reader: &mut Reader<'_>) -> Result<Option<(BootId, u64)>, WireError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some((BootId(reader.array()?), reader.u64()?))),
        other => Err(WireError::Tag(other)),
    }
}

fn write_supply(supply: &Supply, out: &mut Vec<u8>) {
    out.extend(supply.boot.0);
    out.extend(count_of(supply.offers.len()));
    supply.offers.iter().for_each(|offer| offer.write(out));
}

fn read_supply(reader: &mut Reader<'_>) -> Result<Supply, WireError> {
    let boot = BootId(reader.array()?);
    let count = reader.count(MAX_POOL)?;
    let offers = (0..count).map(|_| Offer::read(reader)).collect::<Result<_, _>>()?;
    Ok(Supply { boot, offers })
}
