//! Frames of a stream of chunks, from its bytes as they come. Pure.

use bytes::{Buf, Bytes, BytesMut};

use crate::core_api::Class;
use crate::network::frame::{HEAD_BYTES, StreamError, message_length};

/// Memory for a frame grows with the bytes that arrive; at first it is at most this.
const FIRST_BYTES: usize = 256 << 10;

/// What has come of the next frame.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: Vec<u8>,
    /// The message and its length, once the head is known.
    body: Option<(BytesMut, usize)>,
}

impl Frames {
    /// The next message, if its end is in `bytes`; takes from them what it needs.
    pub(super) fn next(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, StreamError> {
        let (mut body, length) = match self.body.take() {
            Some(begun) => begun,
            None => {
                let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
                self.head.extend_from_slice(&bytes.split_to(missing));
                let Ok(head) = <[u8; HEAD_BYTES]>::try_from(self.head.as_slice()) else { return Ok(None) };
                self.head.clear();
                let length = message_length(head, Class::Chunks)?;
                (BytesMut::with_capacity(length.min(FIRST_BYTES)), length)
            }
        };
        let missing = (length - body.len()).min(bytes.len());
        body.extend_from_slice(bytes.get(..missing).unwrap_or_default());
        bytes.advance(missing);
        if body.len() == length {
            return Ok(Some(body.freeze()));
        }
        self.body = Some((body, length));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::network::frame::Frame;

    fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
        let frame = |message: &Vec<u8>| {
            let (head, body) = Frame::Message(message.clone().into()).into_pieces();
            [head, body].concat()
        };
        messages.iter().flat_map(frame).collect()
    }

    #[test]
    fn however_the_stream_is_cut_the_messages_are_the_same() {
        let messages = [vec![1; 10], Vec::new(), vec![2; 300], vec![3]];
        let stream = stream(&messages);
        for piece in [1, 2, 3, 5, 7, 64, stream.len()] {
            let mut frames = Frames::default();
            let mut got = Vec::new();
            for bytes in stream.chunks(piece) {
                let mut bytes = Bytes::copy_from_slice(bytes);
                while let Some(message) = frames.next(&mut bytes).unwrap() {
                    got.push(message.to_vec());
                }
                assert!(bytes.is_empty());
            }
            assert_eq!(got, messages, "pieces of {piece}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_at_its_head() {
        let mut bytes = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0]);
        assert!(matches!(Frames::default().next(&mut bytes), Err(StreamError::TooLong { .. })));
        let mut bytes = Bytes::from_static(&[0, 0, 0, 0, 77]);
        assert!(matches!(Frames::default().next(&mut bytes), Err(StreamError::Kind(77))));
    }
}
