//! Reading and writing columns of numbers and bytes. Numbers are LEB128 varints in their shortest form.

/// Columns end inside a value, or hold one that no writer makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ColumnError {
    #[error("ends inside a value")]
    Truncated,
    #[error("a number that is too large or not in its shortest form")]
    Varint,
}

/// Most bytes of a varint: ⌈64 / 7⌉.
pub(crate) const MAX_VARINT_BYTES: usize = 10;

pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes that a varint takes.
pub(crate) const fn varint_length(number: u64) -> usize {
    let bits = 64 - number.leading_zeros() as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// What is left to read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Columns<'a>(pub &'a [u8]);

impl<'a> Columns<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ColumnError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ColumnError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ColumnError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(ColumnError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ColumnError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ColumnError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ColumnError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, ColumnError> {
        let mut number = 0_u64;
        for place in 0..MAX_VARINT_BYTES {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if place == MAX_VARINT_BYTES - 1 && bits > 1 {
                return Err(ColumnError::Varint);
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                return if byte == 0 && place > 0 { Err(ColumnError::Varint) } else { Ok(number) };
            }
        }
        Err(ColumnError::Varint)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn longer_forms_and_overflows_are_refused() {
        for bad in [
            &[0x80, 0x00][..],
            &[0xff; 10],
            &[0x80; 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert_eq!(Columns(bad).varint(), Err(ColumnError::Varint), "{bad:?}");
        }
        assert_eq!(Columns(&[0x80]).varint(), Err(ColumnError::Truncated));
    }

    proptest! {
        #[test]
        fn every_number_comes_back(number: u64, shift in 0..64_u32) {
            let number = number >> shift;
            let mut out = Vec::new();
            put_varint(&mut out, number);
            prop_assert_eq!(out.len(), varint_length(number));
            let mut columns = Columns(&out);
            prop_assert_eq!(columns.varint(), Ok(number));
            prop_assert!(columns.is_empty());
        }
    }
}
