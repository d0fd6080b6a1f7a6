//! Calldata of contracts: <https://docs.soliditylang.org/en/latest/abi-spec.html>.

use alloy::primitives::{Address, U256, keccak256};

/// One argument.
#[derive(Clone)]
pub(super) enum Value {
    Word([u8; 32]),
    Bytes(Vec<u8>),
    Array(Vec<Self>),
    /// Of words only: stands in the head.
    Tuple(Vec<Self>),
}

impl From<U256> for Value {
    fn from(number: U256) -> Self {
        Self::Word(number.to_be_bytes())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        U256::from(number).into()
    }
}

impl From<Address> for Value {
    fn from(address: Address) -> Self {
        Self::Word(address.into_word().0)
    }
}

impl Value {
    const fn is_dynamic(&self) -> bool {
        matches!(self, Self::Bytes(_) | Self::Array(_))
    }

    fn head_bytes(&self) -> usize {
        if let Self::Tuple(parts) = self { 32 * parts.len() } else { 32 }
    }

    fn tail(&self) -> Vec<u8> {
        match self {
            Self::Word(_) | Self::Tuple(_) => Vec::new(),
            Self::Bytes(bytes) => {
                let mut out = U256::from(bytes.len()).to_be_bytes::<32>().to_vec();
                out.extend_from_slice(bytes);
                out.resize(32 + bytes.len().next_multiple_of(32), 0);
                out
            }
            Self::Array(parts) => {
                let mut out = U256::from(parts.len()).to_be_bytes::<32>().to_vec();
                out.extend(sequence(parts));
                out
            }
        }
    }
}

fn sequence(values: &[Value]) -> Vec<u8> {
    let heads: usize = values.iter().map(Value::head_bytes).sum();
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            _ if value.is_dynamic() => {
                head.extend_from_slice(&U256::from(heads + tail.len()).to_be_bytes::<32>());
                tail.extend(value.tail());
            }
            Value::Tuple(parts) => head.extend(sequence(parts)),
            Value::Word(word) => head.extend_from_slice(word),
            Value::Bytes(_) | Value::Array(_) => {}
        }
    }
    head.extend(tail);
    head
}

/// A call of the function with this signature.
pub(super) fn call(signature: &str, arguments: &[Value]) -> Vec<u8> {
    with_selector(&keccak256(signature.as_bytes())[..4], arguments)
}

pub(super) fn with_selector(selector: &[u8], arguments: &[Value]) -> Vec<u8> {
    [selector, &sequence(arguments)].concat()
}
