//! Columns to transactions. Everything here is hostile.

use std::ops::Range;

use ordering_types::transaction::MAX_TRANSACTION_BYTES;

use super::addresses::ReadAddresses;
use super::fields::{Access, Authorization, Fields, Kind};
use super::shapes::{Form, Shape};
use super::streams::{Streams, take_budget};
use super::tracked::Tracked;
use super::words::Column;
use super::{indices, numbers};
use crate::columns::Columns;
use crate::payload::SectionError;

/// The bytes of all transactions, one behind the other, and the length of each.
pub(crate) type Decoded = (Vec<u8>, Vec<usize>);

/// One transaction that is told in fields.
struct Row {
    /// Without its calldata.
    fields: Fields<'static>,
    /// Index in the table of shapes.
    shape: usize,
    /// Index of its recipient in the table of addresses; 0 if it is not there, or there is none.
    to: usize,
    /// Its calldata's place.
    data: Range<usize>,
}

/// What a transaction is told by.
enum Told {
    /// The next row.
    Fields,
    /// The next so many bytes.
    Bytes(usize),
}

/// So many transactions, of what the columns have behind the section's beginning. They are taken from `budget`.
pub(crate) fn transactions(
    mut columns: Streams<Columns<'_>>,
    total: usize,
    budget: &mut usize,
) -> Result<Decoded, SectionError> {
    let chain_id = columns.section.varint()?;
    let shapes = read_shapes(&mut columns, total)?;
    let entries = columns.section.varint()?;
    let mut addresses = ReadAddresses::new(std::mem::take(&mut columns.addresses), entries)?;
    let (told, mut rows) = read_rows(&mut columns, total, shapes.len())?;
    read_in_order(&mut rows, chain_id, &mut columns)?;

    let mut order: Vec<&mut Row> = rows.iter_mut().collect();
    order.sort_by_key(|row| row.shape);
    for rows in order.chunk_by_mut(|one, other| one.shape == other.shape) {
        read_recipients(rows, shape_of(rows, &shapes)?, &mut addresses, &mut columns)?;
    }
    order.sort_by_key(|row| (row.shape, row.to));
    let mut data = Vec::new();
    for rows in order.chunk_by_mut(|one, other| one.shape == other.shape) {
        read_calls(rows, shape_of(rows, &shapes)?, &mut data, &mut addresses, &mut columns, budget)?;
    }
    let mut lists = ListColumns::default();
    for row in &mut order {
        read_lists(&mut row.fields, &mut lists, &mut addresses, &mut columns, budget)?;
    }
    let decoded = write(told, rows, &data, &mut columns.opaque, budget)?;
    let mut left = usize::from(!addresses.is_empty());
    columns.map(|column| left += column.0.len());
    if left == 0 { Ok(decoded) } else { Err(SectionError::Malformed("bytes behind the columns")) }
}

fn read_shapes(columns: &mut Streams<Columns<'_>>, total: usize) -> Result<Vec<Shape>, SectionError> {
    let count = usize::try_from(columns.section.varint()?).unwrap_or(usize::MAX);
    if count > total {
        return Err(SectionError::Malformed("more shapes than transactions"));
    }
    (0..count).map(|_| Shape::read(columns)).collect()
}

fn shape_of<'a>(rows: &[&mut Row], shapes: &'a [Shape]) -> Result<&'a Shape, SectionError> {
    let place = rows.first().and_then(|row| row.shape.checked_sub(1));
    place.and_then(|place| shapes.get(place)).ok_or(SectionError::Malformed("a shape behind the table"))
}

fn read_rows(
    columns: &mut Streams<Columns<'_>>,
    total: usize,
    shapes: usize,
) -> Result<(Vec<Told>, Vec<Row>), SectionError> {
    // Nothing is reserved that the columns do not pay for: a byte each here, the signature of each row below.
    let mut told = Vec::with_capacity(total.min(columns.shape.high.0.len()));
    let mut rows = Vec::with_capacity(total.min(columns.signatures.0.len() / 64));
    for _ in 0..total {
        let shape = indices::read(&mut columns.shape)?;
        if shape > shapes {
            return Err(SectionError::Malformed("a shape behind the table"));
        }
        if shape == 0 {
            told.push(Told::Bytes(read_length(&mut columns.lengths)?));
        } else {
            let fields = Fields { signature: columns.signatures.array()?, ..Fields::default() };
            rows.push(Row { fields, shape, to: 0, data: 0..0 });
            told.push(Told::Fields);
        }
    }
    Ok((told, rows))
}

fn read_length(lengths: &mut Columns<'_>) -> Result<usize, SectionError> {
    Ok(usize::try_from(lengths.varint()?).unwrap_or(usize::MAX))
}

fn read_in_order(
    rows: &mut [Row],
    chain_id: u64,
    columns: &mut Streams<Columns<'_>>,
) -> Result<(), SectionError> {
    let (mut nonces, mut tips, mut fees) = (Tracked::counted(), Tracked::repeated(), Tracked::repeated());
    for Row { fields, .. } in rows {
        let kind = Kind::of_number(columns.kinds.byte()?);
        fields.kind = kind.ok_or(SectionError::Malformed("an unknown kind of transaction"))?;
        fields.chain_id = if fields.kind == Kind::Unprotected { 0 } else { chain_id };
        fields.nonce = fits_u64(nonces.read(&mut columns.nonces)?)?;
        if fields.kind.has_tip() {
            fields.tip = tips.read(&mut columns.tips)?;
        }
        fields.fee = fees.read(&mut columns.fees)?.wrapping_add(fields.tip);
    }
    Ok(())
}

fn fits_u64(number: u128) -> Result<u64, SectionError> {
    u64::try_from(number).map_err(|_| SectionError::Malformed("a number out of range"))
}

fn read_recipients(
    rows: &mut [&mut Row],
    shape: &Shape,
    addresses: &mut ReadAddresses<'_>,
    columns: &mut Streams<Columns<'_>>,
) -> Result<(), SectionError> {
    if shape.creates {
        return Ok(());
    }
    for row in rows {
        let (index, address) = addresses.read_with_index(&mut columns.to)?;
        row.to = index;
        row.fields.to = Some(address);
    }
    Ok(())
}

/// What goes with the function that is called. All rows are of this shape; their calldata is appended to `data`.
fn read_calls(
    rows: &mut [&mut Row],
    shape: &Shape,
    data: &mut Vec<u8>,
    addresses: &mut ReadAddresses<'_>,
    columns: &mut Streams<Columns<'_>>,
    budget: &mut usize,
) -> Result<(), SectionError> {
    let mut gas = Tracked::repeated();
    for row in rows.iter_mut() {
        row.fields.gas = fits_u64(gas.read(&mut columns.gas)?)?;
        let symbol = columns.values.symbols.byte()?;
        let value = (symbol < numbers::FREE).then(|| numbers::read(&mut columns.values, symbol));
        row.fields.value = value.ok_or(SectionError::Malformed("an unknown kind of number"))??;
    }
    let Some(bytes) = shape.form.bytes() else {
        for row in rows {
            let bytes = columns.bytes.take(read_length(&mut columns.lengths)?)?;
            take_budget(budget, bytes.len())?;
            row.data = data.len()..data.len() + bytes.len();
            data.extend_from_slice(bytes);
        }
        return Ok(());
    };
    take_budget(budget, bytes.saturating_mul(rows.len()))?;
    for row in rows.iter_mut() {
        row.data = data.len()..data.len() + bytes;
        data.resize(row.data.end, 0);
    }
    read_words(rows, &shape.form, data, addresses, columns)
}

fn read_words(
    rows: &[&mut Row],
    form: &Form,
    data: &mut [u8],
    addresses: &mut ReadAddresses<'_>,
    columns: &mut Streams<Columns<'_>>,
) -> Result<(), SectionError> {
    const INSIDE: &str = "a form's places are inside of its calldata";
    let layout = form.layout();
    for row in rows {
        for (offset, selector) in &layout.selectors {
            let place = data.get_mut(row.data.start + offset..).and_then(|rest| rest.first_chunk_mut());
            *place.expect(INSIDE) = *selector;
        }
    }
    for offset in layout.words {
        let mut column = Column::default();
        for row in rows {
            let place = data.get_mut(row.data.start + offset..).and_then(|rest| rest.first_chunk_mut());
            *place.expect(INSIDE) = column.read(addresses, columns)?;
        }
    }
    Ok(())
}

/// Access list and authorizations of one row.
fn read_lists(
    fields: &mut Fields<'_>,
    lists: &mut ListColumns,
    addresses: &mut ReadAddresses<'_>,
    columns: &mut Streams<Columns<'_>>,
    budget: &mut usize,
) -> Result<(), SectionError> {
    if fields.kind.has_access_list() {
        for _ in 0..columns.lists.varint()? {
            take_budget(budget, size_of::<Access>())?;
            let address = addresses.read(&mut columns.arguments)?;
            let mut slots = Vec::new();
            for _ in 0..columns.lists.varint()? {
                take_budget(budget, 32)?;
                slots.push(lists.slots.read(addresses, columns)?);
            }
            fields.access_list.push(Access { address, slots });
        }
    }
    if fields.kind == Kind::SetCode {
        for _ in 0..columns.lists.varint()? {
            take_budget(budget, size_of::<Authorization>())?;
            let chain_id = lists.numbers.read(addresses, columns)?;
            let address = addresses.read(&mut columns.arguments)?;
            let nonce = numbers::small(&lists.numbers.read(addresses, columns)?).unwrap_or(u128::MAX);
            let (nonce, signature) = (fits_u64(nonce)?, columns.signatures.array()?);
            fields.authorizations.push(Authorization { chain_id, address, nonce, signature });
        }
    }
    Ok(())
}

/// What the columns of lists have shown.
#[derive(Default)]
struct ListColumns {
    slots: Column,
    numbers: Column,
}

/// The transactions in their order.
fn write(
    told: Vec<Told>,
    rows: Vec<Row>,
    data: &[u8],
    opaque: &mut Columns<'_>,
    budget: &mut usize,
) -> Result<Decoded, SectionError> {
    let (mut out, mut scratch) = (Vec::new(), Vec::new());
    let mut lengths = Vec::with_capacity(told.len());
    let mut rows = rows.into_iter();
    for told in told {
        let start = out.len();
        match told {
            Told::Bytes(length) => out.extend_from_slice(opaque.take(length)?),
            Told::Fields => {
                let row = rows.next().expect("each row was told of");
                let data = data.get(row.data).expect("its place is inside");
                Fields { data, ..row.fields }.write(&mut out, &mut scratch);
            }
        }
        let length = out.len() - start;
        if length == 0 || length > MAX_TRANSACTION_BYTES {
            return Err(SectionError::Malformed("a transaction of an impossible length"));
        }
        take_budget(budget, length)?;
        lengths.push(length);
    }
    Ok((out, lengths))
}
