//! Where a peer is: as the directory says, and as its connections show.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;

use super::address::{self, AddressError};

/// Where one peer is.
#[derive(Debug, Default)]
pub(super) struct Place(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// What the directory said last.
    written: Option<String>,
    /// The same, if it can be dialled.
    listed: Option<SocketAddr>,
    /// Where its newest connection comes from or goes to.
    seen: Option<IpAddr>,
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the directory says. An error once, when that is new and of no use for dialling.
    pub(super) fn list(&self, address: &str, peer: &PeerId) -> Result<(), AddressError> {
        let mut known = self.lock();
        if known.written.as_deref() == Some(address) {
            return Ok(());
        }
        known.written = Some(address.to_owned());
        let listed = address::dialable(address, peer);
        known.listed = listed.ok();
        listed.map(drop)
    }

    /// Notes where an authenticated connection leads.
    pub(super) fn see(&self, ip: IpAddr) {
        self.lock().seen = Some(ip);
    }

    /// Where to dial it.
    pub(super) fn listed(&self) -> Option<SocketAddr> {
        self.lock().listed
    }

    /// Where its other ports are.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        let known = self.lock();
        known.listed.map(|socket| socket.ip()).or(known.seen)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_useless_address_is_told_once_and_a_connection_stands_in_for_it() {
        let (place, peer) = (Place::default(), PeerId::random());
        assert!(place.list("nowhere", &peer).is_err());
        assert!(place.list("nowhere", &peer).is_ok());
        assert_eq!((place.listed(), place.ip()), (None, None));
        let seen: IpAddr = "127.0.0.2".parse().unwrap();
        place.see(seen);
        assert_eq!((place.listed(), place.ip()), (None, Some(seen)));
        place.list("/ip4/127.0.0.3/udp/7/quic-v1", &peer).unwrap();
        let listed: SocketAddr = "127.0.0.3:7".parse().unwrap();
        assert_eq!((place.listed(), place.ip()), (Some(listed), Some(listed.ip())));
        assert!(place.list("nowhere again", &peer).is_err());
        assert_eq!((place.listed(), place.ip()), (None, Some(seen)));
    }
}
