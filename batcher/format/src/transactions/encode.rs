//! Transactions to columns.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::addresses::WriteAddresses;
use super::fields::{Address, Fields, Kind, Word};
use super::shapes::{Form, Shape};
use super::streams::Streams;
use super::tracked::Tracked;
use super::words::{self, Column};
use super::{indices, numbers};
use crate::columns::put_varint;

/// One transaction that is told in fields.
struct Row<'a> {
    fields: Fields<'a>,
    /// Index in the table of shapes, from 1.
    shape: usize,
    /// Index of its recipient in the table of addresses; 0 if it is not there, or there is none.
    to: usize,
}

/// The columns of all transactions of one rollup in one batch, behind what its section begins with.
pub(super) fn columns(section: Vec<u8>, transactions: &[&Bytes]) -> Streams<Vec<u8>> {
    let mut out = Streams { section, ..Streams::default() };
    let fields = read(transactions);
    let chain_id = most_frequent(&fields);
    put_varint(&mut out.section, chain_id);
    let fields = fields
        .into_iter()
        .map(|fields| fields.filter(|f| f.kind == Kind::Unprotected || f.chain_id == chain_id));

    let mut rows = put_shapes(transactions, fields.collect(), &mut out);
    let (addresses, entries) = WriteAddresses::new(count_addresses(&rows), &mut out.addresses);
    put_varint(&mut out.section, entries as u64);
    put_in_order(&rows, &mut out);
    rows.sort_by_key(|row| row.shape);
    for row in &mut rows {
        if let Some(to) = &row.fields.to {
            row.to = addresses.index(to);
            addresses.put(to, &mut out.to, &mut out.addresses);
        }
    }
    rows.sort_by_key(|row| (row.shape, row.to));
    for rows in rows.chunk_by(|one, other| one.shape == other.shape) {
        put_calls(rows, &addresses, &mut out);
    }
    put_lists(&rows, &addresses, &mut out);
    out
}

/// Only what would be written back to the same bytes.
fn read<'a>(transactions: &[&'a Bytes]) -> Vec<Option<Fields<'a>>> {
    let (mut written, mut scratch) = (Vec::new(), Vec::new());
    let mut same = |fields: &Fields<'_>, bytes: &[u8]| {
        written.clear();
        fields.write(&mut written, &mut scratch);
        written == bytes
    };
    transactions.iter().map(|bytes| Fields::read(bytes).filter(|fields| same(fields, bytes))).collect()
}

/// The chain id of most transactions that have one.
fn most_frequent(fields: &[Option<Fields<'_>>]) -> u64 {
    let mut counts = BTreeMap::new();
    for fields in fields.iter().flatten().filter(|fields| fields.kind != Kind::Unprotected) {
        *counts.entry(fields.chain_id).or_insert(0_u32) += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(chain_id, _)| chain_id)
}

/// The table of shapes, the shape of each transaction, and those that have none.
fn put_shapes<'a>(
    transactions: &[&Bytes],
    fields: Vec<Option<Fields<'a>>>,
    out: &mut Streams<Vec<u8>>,
) -> Vec<Row<'a>> {
    let shape = |fields: &Fields<'_>| {
        let creates = fields.to.is_none();
        Shape { creates, form: Form::of(fields.data, creates) }
    };
    let shapes: Vec<Option<Shape>> = fields.iter().map(|fields| fields.as_ref().map(shape)).collect();
    let mut counts = BTreeMap::new();
    for shape in shapes.iter().flatten() {
        *counts.entry(shape.clone()).or_insert(0) += 1;
    }
    let (table, ranks) = indices::ranked(counts, 1);
    put_varint(&mut out.section, table.len() as u64);
    for shape in &table {
        shape.put(out);
    }
    let mut rows = Vec::with_capacity(transactions.len());
    for ((bytes, fields), shape) in transactions.iter().zip(fields).zip(shapes) {
        let shape = shape.and_then(|shape| ranks.get(&shape)).copied().unwrap_or(0);
        indices::put(&mut out.shape, shape);
        match fields {
            Some(fields) if shape > 0 => rows.push(Row { fields, shape, to: 0 }),
            _ => {
                put_varint(&mut out.lengths, bytes.len() as u64);
                out.opaque.extend_from_slice(bytes);
            }
        }
    }
    rows
}

fn count_addresses(rows: &[Row<'_>]) -> BTreeMap<Address, u32> {
    let mut counts = BTreeMap::new();
    let mut count = |address: &Address| *counts.entry(*address).or_insert(0) += 1;
    for Row { fields, .. } in rows {
        fields.to.iter().for_each(&mut count);
        let form = Form::of(fields.data, fields.to.is_none());
        for word in form.layout().words.into_iter().filter_map(|offset| word(fields.data, offset)) {
            words::address(word).into_iter().for_each(&mut count);
        }
        fields.access_list.iter().for_each(|access| count(&access.address));
        fields.authorizations.iter().for_each(|authorization| count(&authorization.address));
    }
    counts
}

fn word(data: &[u8], offset: usize) -> Option<&Word> {
    data.get(offset..)?.first_chunk()
}

/// What goes with time, or with nothing.
fn put_in_order(rows: &[Row<'_>], out: &mut Streams<Vec<u8>>) {
    let (mut nonces, mut tips, mut fees) = (Tracked::counted(), Tracked::repeated(), Tracked::repeated());
    for Row { fields, .. } in rows {
        out.kinds.push(fields.kind.number());
        nonces.put(fields.nonce.into(), &mut out.nonces);
        if fields.kind.has_tip() {
            tips.put(fields.tip, &mut out.tips);
        }
        fees.put(fields.fee.wrapping_sub(fields.tip), &mut out.fees);
        out.signatures.extend_from_slice(&fields.signature);
    }
}

/// What goes with the function that is called. All rows are of one shape.
fn put_calls(rows: &[Row<'_>], addresses: &WriteAddresses, out: &mut Streams<Vec<u8>>) {
    let mut gas = Tracked::repeated();
    for Row { fields, .. } in rows {
        gas.put(fields.gas.into(), &mut out.gas);
        numbers::put(&mut out.values, &fields.value);
    }
    let Some(Row { fields, .. }) = rows.first() else { return };
    match Form::of(fields.data, fields.to.is_none()) {
        Form::Empty => {}
        Form::Bytes => {
            for Row { fields, .. } in rows {
                put_varint(&mut out.lengths, fields.data.len() as u64);
                out.bytes.extend_from_slice(fields.data);
            }
        }
        form @ Form::Call { .. } => {
            for offset in form.layout().words {
                let mut column = Column::default();
                for word in rows.iter().filter_map(|row| word(row.fields.data, offset)) {
                    column.put(word, addresses, out);
                }
            }
        }
    }
}

/// Access lists and authorizations, in the order of the calls.
fn put_lists(rows: &[Row<'_>], addresses: &WriteAddresses, out: &mut Streams<Vec<u8>>) {
    let (mut slots, mut numbers) = (Column::default(), Column::default());
    for Row { fields, .. } in rows {
        if fields.kind.has_access_list() {
            put_varint(&mut out.lists, fields.access_list.len() as u64);
        }
        for access in &fields.access_list {
            addresses.put(&access.address, &mut out.arguments, &mut out.addresses);
            put_varint(&mut out.lists, access.slots.len() as u64);
            access.slots.iter().for_each(|slot| slots.put(slot, addresses, out));
        }
        if fields.kind == Kind::SetCode {
            put_varint(&mut out.lists, fields.authorizations.len() as u64);
        }
        for authorization in &fields.authorizations {
            numbers.put(&authorization.chain_id, addresses, out);
            addresses.put(&authorization.address, &mut out.arguments, &mut out.addresses);
            numbers.put(&numbers::word(authorization.nonce.into()), addresses, out);
            out.signatures.extend_from_slice(&authorization.signature);
        }
    }
}
