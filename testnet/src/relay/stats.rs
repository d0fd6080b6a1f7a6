//! What the relay counts.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::link::{Class, Conditions};

/// One directed link. Every datagram that came is in exactly one of `delivered`, `lost`, `cut`, `too_long`, `full` and the
/// queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStats {
    /// Of which ports.
    pub class: Class,
    /// Who sends.
    pub from: u16,
    /// Who receives.
    pub to: u16,
    /// Whether it is cut now.
    pub is_cut: bool,
    /// What it does now.
    pub conditions: Conditions,
    /// How many of what.
    #[serde(flatten)]
    pub counts: LinkCounts,
}

/// How many of what one link had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCounts {
    /// Datagrams that came.
    pub datagrams: u64,
    /// Their bytes, without UDP and IP headers.
    pub bytes: u64,
    /// Passed on.
    pub delivered: u64,
    /// Taken by chance.
    pub lost: u64,
    /// Taken by a cut.
    pub cut: u64,
    /// Longer than the path takes.
    pub too_long: u64,
    /// Dropped because too much waited.
    pub full: u64,
    /// Most bytes that waited at once.
    pub queued_max_bytes: u64,
    /// Most datagrams that waited at once.
    pub queued_max_datagrams: u64,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RelayStats {
    /// Every directed link that carried anything or is cut.
    pub links: Vec<LinkStats>,
    /// Datagrams from ports that are no validator's.
    pub strangers: u64,
    /// Datagrams that the kernel dropped because the relay did not read fast enough; a figure above 0 spoils a measurement.
    pub kernel_dropped: u64,
    /// Datagrams that could not be sent.
    pub unsent: u64,
}

impl RelayStats {
    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "  {:<14} {:>9} {:>9} {:>7} {:>7} {:>11} {:>10} {:>9} {:>8} {:>8} {:>6} {:>12}\n",
            "link",
            "delay",
            "jitter",
            "loss",
            "reorder",
            "datagrams",
            "MB",
            "lost",
            "cut",
            "too long",
            "full",
            "queued most"
        );
        for LinkStats { class, from, to, is_cut, conditions, counts } in &self.links {
            let class = match class {
                Class::Mesh => "mesh",
                Class::Chunks => "chunks",
            };
            let name = format!("{class} {from}→{to}{}", if *is_cut { " CUT" } else { "" });
            let ms = |time: std::time::Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  {name:<14} {:>9} {:>9} {:>6.2}% {:>6.2}% {:>11} {:>10.1} {:>9} {:>8} {:>8} {:>6} {:>9.1} KB",
                ms(conditions.delay),
                ms(conditions.jitter),
                conditions.loss * 100.0,
                conditions.reorder * 100.0,
                counts.datagrams,
                counts.bytes as f64 / 1e6,
                counts.lost,
                counts.cut,
                counts.too_long,
                counts.full,
                counts.queued_max_bytes as f64 / 1e3,
            );
        }
        let _ = writeln!(
            text,
            "  from strangers {}, dropped by the kernel {}, not sent {}",
            self.strangers, self.kernel_dropped, self.unsent
        );
        text
    }

    /// Sums over all links.
    pub fn total(&self) -> LinkCounts {
        self.links.iter().fold(LinkCounts::default(), |sum, LinkStats { counts, .. }| LinkCounts {
            datagrams: sum.datagrams + counts.datagrams,
            bytes: sum.bytes + counts.bytes,
            delivered: sum.delivered + counts.delivered,
            lost: sum.lost + counts.lost,
            cut: sum.cut + counts.cut,
            too_long: sum.too_long + counts.too_long,
            full: sum.full + counts.full,
            queued_max_bytes: sum.queued_max_bytes.max(counts.queued_max_bytes),
            queued_max_datagrams: sum.queued_max_datagrams.max(counts.queued_max_datagrams),
        })
    }
}

/// Drops of these local ports in the text of `/proc/net/udp`.
pub(super) fn kernel_drops(table: &str, ports: &[u16]) -> u64 {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        let ours = ports.contains(&u16::from_str_radix(port, 16).ok()?);
        fields.last()?.parse::<u64>().ok().filter(|_| ours)
    };
    table.lines().skip(1).filter_map(row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_those_of_our_ports_alone() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1: 0100007F:2549 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 111 2 0000000000000000 5\n\
            2: 0100007F:254A 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 112 2 0000000000000000 7\n\
            garbage\n";
        assert_eq!(kernel_drops(table, &[0x2549]), 5);
        assert_eq!(kernel_drops(table, &[0x2549, 0x254a]), 12);
        assert_eq!(kernel_drops("", &[1]), 0);
    }
}
