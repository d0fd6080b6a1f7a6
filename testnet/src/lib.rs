//! Brings up, loads, breaks and judges a whole local network.
