//! What the fuzz targets share.
//!
//! A target is one function of any bytes that must not panic, in `targets`; most take a decoder's rule beyond that: what decodes has
//! no other encoding. The first byte chooses among several small decoders, so that one process serves them all.
//!
//! | module | holds |
//! |---|---|
//! | [`seeds`] | what real encoders write, to begin from |
//! | [`founded`] | a small network of whole cores, which gives those seeds |
//! | [`consensus`] | four ordering cores, one of which lies, driven by any bytes |
//! | [`disk`] | what those cores write |
//! | [`input`] | bytes as choices |

pub mod consensus;
pub mod disk;
pub mod founded;
pub mod input;
pub mod seeds;
