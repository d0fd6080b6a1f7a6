//! Batch ids, codecs and blobs.
