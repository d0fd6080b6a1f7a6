//! The part of RLP that transactions need, in its canonical form only: what is read here is written back to the same bytes.
//! <https://ethereum.org/en/developers/docs/data-structures-and-encoding/rlp/>

/// Longest string or list of the short form.
const SHORT: usize = 55;
const STRING: u8 = 0x80;
const LIST: u8 = 0xc0;

/// What is left to read of a list. Readers return `None` for anything that is not canonical.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rlp<'a>(&'a [u8]);

impl<'a> Rlp<'a> {
    /// The items of one list that is all of `bytes`.
    pub(crate) fn whole_list(bytes: &'a [u8]) -> Option<Self> {
        let mut rlp = Self(bytes);
        let list = rlp.list()?;
        rlp.is_empty().then_some(list)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn list(&mut self) -> Option<Self> {
        let (first, rest) = self.0.split_first()?;
        let short = first.checked_sub(LIST)?;
        self.0 = rest;
        self.payload(short).map(Self)
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_first()?;
        if *first < STRING {
            let (byte, rest) = self.0.split_at_checked(1)?;
            self.0 = rest;
            return Some(byte);
        }
        if *first >= LIST {
            return None;
        }
        self.0 = rest;
        let string = self.payload(first - STRING)?;
        // A single small byte stands for itself.
        if let [byte] = string
            && *byte < STRING
        {
            None
        } else {
            Some(string)
        }
    }

    fn payload(&mut self, short: u8) -> Option<&'a [u8]> {
        let length = match usize::from(short) {
            short if short <= SHORT => short,
            long => {
                let digits = self.take(long - SHORT)?;
                let length = digits
                    .iter()
                    .try_fold(0_usize, |sum, digit| sum.checked_mul(256)?.checked_add(usize::from(*digit)))?;
                if digits.first() == Some(&0) || length <= SHORT {
                    return None;
                }
                length
            }
        };
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of at most `N` bytes.
    pub(crate) fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let digits = self.string()?;
        if digits.first() == Some(&0) {
            return None;
        }
        let mut number = [0; N];
        number.get_mut(N.checked_sub(digits.len())?..)?.copy_from_slice(digits);
        Some(number)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.number().map(u64::from_be_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.number().map(u128::from_be_bytes)
    }

    /// Exactly `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.string()?.try_into().ok()
    }
}

pub(crate) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    match string {
        [byte] if *byte < STRING => {}
        _ => put_header(out, STRING, string.len()),
    }
    out.extend_from_slice(string);
}

/// A big-endian number without its leading zeros.
pub(crate) fn put_number(out: &mut Vec<u8>, digits: &[u8]) {
    put_string(out, trimmed(digits));
}

pub(crate) fn put_list(out: &mut Vec<u8>, payload: &[u8]) {
    put_header(out, LIST, payload.len());
    out.extend_from_slice(payload);
}

fn put_header(out: &mut Vec<u8>, kind: u8, length: usize) {
    if length <= SHORT {
        out.push(kind + length as u8);
    } else {
        let digits = length.to_be_bytes();
        let digits = trimmed(&digits);
        out.push(kind + (SHORT + digits.len()) as u8);
        out.extend_from_slice(digits);
    }
}

/// Without leading zeros.
pub(crate) fn trimmed(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    digits.get(zeros..).unwrap_or_default()
}
