mod corpus;
use std::sync::Arc;
use std::time::Instant;
use batcher_format::{BatchHeader, Context, Policies, Policy, measuring, payload, Content};
use ordering_types::chain_spec::{DataPolicy, RollupKind};
use ordering_types::{Block, Digest, Epoch, Header, Height, L1Reference, RollupId, RollupSection};
use bytes::Bytes;
fn block(txs: Vec<Bytes>) -> (BatchHeader, Vec<Arc<Block>>) {
    let mut block = Block { header: Header { version: 1, chain_spec: Digest::ZERO, epoch: Epoch::new(1), height: Height::new(1), parent: Digest::ZERO, time_ms: 1, l1_reference: L1Reference::default(), cut: Digest::sha256(&[b"c"]), tx_root: Digest::ZERO, tx_count: 0, state_root: Digest::sha256(&[b"s"]), seals_batch: true }, sections: vec![RollupSection { rollup: RollupId::new(1), transactions: txs }] };
    let tree = block.tree();
    (block.header.tx_root, block.header.tx_count) = (tree.root(), tree.count());
    let h = &block.header;
    (BatchHeader { number: 1, parent: Digest::ZERO, epoch: h.epoch, first_height: h.height, last_height: h.height, last_header: h.hash(), last_time_ms: 1, forced_cursor: 0, l1_reference: 0 }, vec![Arc::new(block)])
}
fn train(file: &str) {
    let mut samples: Vec<Vec<u8>> = vec![];
    let max: usize = std::env::var("DICT").ok().and_then(|n| n.parse().ok()).unwrap_or(16 << 10);
    for seed in 1000..1008 {
        let mut c = corpus::Corpus::new(seed);
        for k in [20, 200, 1000, 20, 50, 100, 400] {
            let b: Vec<Bytes> = c.by_ref().take(k).map(Bytes::from).collect();
            for col in measuring::columns(&b) {
                if ["addresses", "wide", "signatures"].contains(&col.name) || col.name.ends_with("rest") || col.raw.len() < 16 { continue }
                for chunk in col.raw.chunks(4096) { samples.push(chunk.to_vec()); }
            }
        }
    }
    println!("{} samples {} bytes", samples.len(), samples.iter().map(Vec::len).sum::<usize>());
    let d = zstd::dict::from_samples(&samples, max).unwrap();
    println!("dictionary {}", d.len());
    std::fs::write(file, d).unwrap();
}
fn main() {
    if let Ok(f) = std::env::var("TRAIN") { return train(&f); }
    let t = Instant::now();
    let n: usize = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let size: usize = std::env::var("SIZE").ok().and_then(|n| n.parse().ok()).unwrap_or(512 << 10);
    let all: Vec<Bytes> = corpus::Corpus::new(1).take(n).map(Bytes::from).collect();
    let total: usize = all.iter().map(Bytes::len).sum();
    println!("{} txs, {} bytes, {:.1} B/tx in {:?}", all.len(), total, total as f64 / all.len() as f64, t.elapsed());
    let mut batches: Vec<Vec<Bytes>> = vec![vec![]];
    let mut sum = 0;
    for tx in &all { if sum + tx.len() > size { batches.push(vec![]); sum = 0; } sum += tx.len(); batches.last_mut().unwrap().push(tx.clone()); }
    batches.pop();
    let n: usize = batches.iter().map(Vec::len).sum();
    let raw: usize = batches.iter().flatten().map(Bytes::len).sum();
    let policies: Policies = [(RollupId::new(1), Policy { kind: RollupKind::Evm, data: DataPolicy::Blob })].into_iter().collect();
    let (mut ours, mut enc, mut dec) = (0, 0.0, 0.0);
    let mut cols: Vec<(&str, usize, usize)> = vec![];
    for b in &batches {
        let (h, blocks) = block(b.clone());
        let t = Instant::now();
        let p = payload::encode(&h, &blocks, &policies).unwrap();
        enc += t.elapsed().as_secs_f64();
        ours += p.len();
        let t = Instant::now();
        let d = payload::decode(&p, &h, &Context { parent_header: Digest::ZERO, chain_spec: Digest::ZERO, policies: &policies }).unwrap();
        dec += t.elapsed().as_secs_f64();
        assert!(d.broken.is_empty()); assert_eq!(d.blocks[0].sections[0].content, Content::Data(b.clone()));
        for (i, c) in measuring::columns(b).into_iter().enumerate() {
            if cols.len() <= i { cols.push((c.name, 0, 0)); }
            cols[i].1 += c.raw.len(); cols[i].2 += c.stored;
        }
    }
    for (name, raw, stored) in &cols { if *raw > 0 { println!("{name:16} {:8.3} {:8.3}", *raw as f64 / n as f64, *stored as f64 / n as f64); } }
    println!("sum {:.3}", cols.iter().map(|c| c.2).sum::<usize>() as f64 / n as f64);
    println!("{n} txs in {} batches, raw {:.1}, ours {:.3} at {:.1} MB/s, decode {:.1} MB/s", batches.len(), raw as f64 / n as f64, ours as f64 / n as f64, raw as f64 / 1e6 / enc, raw as f64 / 1e6 / dec);
    if std::env::var("NOBROTLI").is_ok() { return }
    let (mut theirs, mut benc) = (0, 0.0);
    for b in &batches {
        let batch = b.concat();
        let t = Instant::now();
        let params = brotli::enc::BrotliEncoderParams { quality: 10, lgwin: 22, ..Default::default() };
        let mut out = Vec::new();
        brotli::BrotliCompress(&mut &batch[..], &mut out, &params).unwrap();
        benc += t.elapsed().as_secs_f64(); theirs += out.len();
    }
    println!("brotli-10 {:.3} at {:.2} MB/s: ratio {:.4}, speed {:.2}", theirs as f64 / n as f64, raw as f64 / 1e6 / benc, ours as f64 / theirs as f64, benc / enc);
}
