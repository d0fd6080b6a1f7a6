//! One signed Ethereum transaction in its fields, and back to the same bytes.

use super::rlp::{Rlp, put_list, put_number, put_string};

pub(super) type Address = [u8; 20];
pub(super) type Word = [u8; 32];

/// Shape of a transaction by EIP-2718 and EIP-155.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Legacy, without a chain id.
    #[default]
    Unprotected,
    /// Legacy, with a chain id (EIP-155).
    Protected,
    /// Type 1 (EIP-2930).
    AccessList,
    /// Type 2 (EIP-1559).
    DynamicFee,
    /// Type 4 (EIP-7702).
    SetCode,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::Unprotected, Self::Protected, Self::AccessList, Self::DynamicFee, Self::SetCode];

    /// Its number in the column of kinds.
    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Byte before the RLP.
    const fn envelope(self) -> Option<u8> {
        match self {
            Self::Unprotected | Self::Protected => None,
            Self::AccessList => Some(1),
            Self::DynamicFee => Some(2),
            Self::SetCode => Some(4),
        }
    }

    /// Has a tip beside its fee cap.
    pub(super) const fn has_tip(self) -> bool {
        matches!(self, Self::DynamicFee | Self::SetCode)
    }

    pub(super) const fn has_access_list(self) -> bool {
        self.envelope().is_some()
    }
}

/// A signature as EIP-2098 packs it: r, then s with the parity of y in its highest bit, which no valid s has.
pub(super) type Signature = [u8; 64];

/// One account of an access list with its slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) address: Address,
    pub(super) slots: Vec<Word>,
}

/// One account's word to run as other code (EIP-7702).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authorization {
    pub(super) chain_id: Word,
    pub(super) address: Address,
    pub(super) nonce: u64,
    pub(super) signature: Signature,
}

/// Everything that a transaction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) kind: Kind,
    /// 0 if it has none.
    pub(super) chain_id: u64,
    pub(super) nonce: u64,
    /// Wei a unit of gas, the cap if there is a tip.
    pub(super) fee: u128,
    /// 0 if its kind has none.
    pub(super) tip: u128,
    pub(super) gas: u64,
    /// `None` creates a contract.
    pub(super) to: Option<Address>,
    pub(super) value: Word,
    pub(super) data: &'a [u8],
    pub(super) access_list: Vec<Access>,
    pub(super) authorizations: Vec<Authorization>,
    pub(super) signature: Signature,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            chain_id: 0,
            nonce: 0,
            fee: 0,
            tip: 0,
            gas: 0,
            to: None,
            value: Word::default(),
            data: &[],
            access_list: Vec::new(),
            authorizations: Vec::new(),
            signature: [0; 64],
        }
    }
}

impl<'a> Fields<'a> {
    /// `None` if these bytes are no transaction that [`Fields::write`] gives back.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        match first {
            1 => Self::read_typed(Kind::AccessList, rest),
            2 => Self::read_typed(Kind::DynamicFee, rest),
            4 => Self::read_typed(Kind::SetCode, rest),
            0xc0.. => Self::read_legacy(bytes),
            _ => None,
        }
    }

    fn read_legacy(bytes: &'a [u8]) -> Option<Self> {
        let mut rlp = Rlp::whole_list(bytes)?;
        let (nonce, fee, gas) = (rlp.u64()?, rlp.u128()?, rlp.u64()?);
        let (to, value, data) = (read_to(&mut rlp)?, rlp.number()?, rlp.string()?);
        let v = rlp.u64()?;
        // 35 + 2 × chain id + parity, or 27 + parity. Chain id 0 is nobody's, and stands for the latter here.
        let (kind, chain_id, parity) = match v {
            27 | 28 => (Kind::Unprotected, 0, v == 28),
            37.. => (Kind::Protected, (v - 35) / 2, (v - 35) % 2 == 1),
            _ => return None,
        };
        let signature = read_signature(&mut rlp, parity)?;
        let (access_list, authorizations) = (Vec::new(), Vec::new());
        #[rustfmt::skip]
        let fields =
            Self { kind, chain_id, nonce, fee, tip: 0, gas, to, value, data, access_list, authorizations, signature };
        rlp.is_empty().then_some(fields)
    }

    fn read_typed(kind: Kind, bytes: &'a [u8]) -> Option<Self> {
        let mut rlp = Rlp::whole_list(bytes)?;
        let (chain_id, nonce) = (rlp.u64()?, rlp.u64()?);
        let tip = if kind.has_tip() { rlp.u128()? } else { 0 };
        let (fee, gas) = (rlp.u128()?, rlp.u64()?);
        let (to, value, data) = (read_to(&mut rlp)?, rlp.number()?, rlp.string()?);
        let access_list = read_access_list(&mut rlp)?;
        let authorizations = if kind == Kind::SetCode { read_authorizations(&mut rlp)? } else { Vec::new() };
        let parity = read_parity(&mut rlp)?;
        let signature = read_signature(&mut rlp, parity)?;
        #[rustfmt::skip]
        let fields =
            Self { kind, chain_id, nonce, fee, tip, gas, to, value, data, access_list, authorizations, signature };
        rlp.is_empty().then_some(fields)
    }

    /// Appends the transaction; `scratch` is overwritten.
    pub(super) fn write(&self, out: &mut Vec<u8>, scratch: &mut Vec<u8>) {
        scratch.clear();
        if self.kind.has_access_list() {
            put_number(scratch, &self.chain_id.to_be_bytes());
        }
        put_number(scratch, &self.nonce.to_be_bytes());
        if self.kind.has_tip() {
            put_number(scratch, &self.tip.to_be_bytes());
        }
        put_number(scratch, &self.fee.to_be_bytes());
        put_number(scratch, &self.gas.to_be_bytes());
        put_string(scratch, self.to.as_ref().map_or(&[], |to| to.as_slice()));
        put_number(scratch, &self.value);
        put_string(scratch, self.data);
        if self.kind.has_access_list() {
            put_list(scratch, &access_list_items(&self.access_list));
        }
        if self.kind == Kind::SetCode {
            put_list(scratch, &authorization_items(&self.authorizations));
        }
        let (r, parity, s) = unpacked(&self.signature);
        let v = match self.kind {
            Kind::Unprotected => 27 + u64::from(parity),
            // Whoever reads a chain id too large for this gets a transaction that is not the encoder's.
            Kind::Protected => self.chain_id.wrapping_mul(2).wrapping_add(35 + u64::from(parity)),
            _ => u64::from(parity),
        };
        put_number(scratch, &v.to_be_bytes());
        put_number(scratch, &r);
        put_number(scratch, &s);
        out.extend(self.kind.envelope());
        put_list(out, scratch);
    }
}

fn read_to(rlp: &mut Rlp<'_>) -> Option<Option<Address>> {
    match rlp.string()? {
        [] => Some(None),
        to => to.try_into().ok().map(Some),
    }
}

fn read_parity(rlp: &mut Rlp<'_>) -> Option<bool> {
    match rlp.u64()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn read_signature(rlp: &mut Rlp<'_>, parity: bool) -> Option<Signature> {
    let (r, mut s) = (rlp.number::<32>()?, rlp.number::<32>()?);
    let highest = s.first_mut()?;
    if *highest & 0x80 != 0 {
        return None;
    }
    *highest |= u8::from(parity) << 7;
    let mut signature = [0; 64];
    let (left, right) = signature.split_at_mut(32);
    left.copy_from_slice(&r);
    right.copy_from_slice(&s);
    Some(signature)
}

fn unpacked(signature: &Signature) -> (Word, bool, Word) {
    let (mut r, mut s) = (Word::default(), Word::default());
    let (left, right) = signature.split_at(32);
    r.copy_from_slice(left);
    s.copy_from_slice(right);
    let [highest, ..] = &mut s;
    let parity = *highest & 0x80 != 0;
    *highest &= 0x7f;
    (r, parity, s)
}

fn read_access_list(rlp: &mut Rlp<'_>) -> Option<Vec<Access>> {
    let mut list = rlp.list()?;
    let mut accesses = Vec::new();
    while !list.is_empty() {
        let mut access = list.list()?;
        let address = access.array()?;
        let mut keys = access.list()?;
        let mut slots = Vec::new();
        while !keys.is_empty() {
            slots.push(keys.array()?);
        }
        if !access.is_empty() {
            return None;
        }
        accesses.push(Access { address, slots });
    }
    Some(accesses)
}

fn access_list_items(accesses: &[Access]) -> Vec<u8> {
    let (mut items, mut item, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for access in accesses {
        item.clear();
        keys.clear();
        put_string(&mut item, &access.address);
        for slot in &access.slots {
            put_string(&mut keys, slot);
        }
        put_list(&mut item, &keys);
        put_list(&mut items, &item);
    }
    items
}

fn read_authorizations(rlp: &mut Rlp<'_>) -> Option<Vec<Authorization>> {
    let mut list = rlp.list()?;
    let mut authorizations = Vec::new();
    while !list.is_empty() {
        let mut item = list.list()?;
        let (chain_id, address, nonce) = (item.number()?, item.array()?, item.u64()?);
        let parity = read_parity(&mut item)?;
        let signature = read_signature(&mut item, parity)?;
        if !item.is_empty() {
            return None;
        }
        authorizations.push(Authorization { chain_id, address, nonce, signature });
    }
    Some(authorizations)
}

fn authorization_items(authorizations: &[Authorization]) -> Vec<u8> {
    let (mut items, mut item) = (Vec::new(), Vec::new());
    for authorization in authorizations {
        item.clear();
        let (r, parity, s) = unpacked(&authorization.signature);
        put_number(&mut item, &authorization.chain_id);
        put_string(&mut item, &authorization.address);
        put_number(&mut item, &authorization.nonce.to_be_bytes());
        put_number(&mut item, &[u8::from(parity)]);
        put_number(&mut item, &r);
        put_number(&mut item, &s);
        put_list(&mut items, &item);
    }
    items
}
