//! Which of several endpoints tell the truth about L1's head. Pure.
//!
//! Each claims a newest block. One that is far behind the others, or alone far ahead of them, is told by numbers; one that is on
//! another chain, by the hash of a block that all of the rest must have. Three endpoints outvote one that lies; of two that contradict
//! each other the higher head counts, then the operator's order.

use alloy::primitives::B256;

/// Blocks that an honest endpoint may be behind the others.
pub const MAX_LAG: u64 = 2;

/// What an endpoint says of its newest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// What is thought of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can be asked.
    Good,
    /// It does not answer.
    Silent,
    /// So many blocks behind the others.
    Behind(u64),
    /// So many blocks ahead of all others.
    Ahead(u64),
    /// On another chain than the others.
    Forked,
}

/// The block that all who are neither behind nor ahead must have; `None` if there is nothing to compare.
pub(super) fn common_height(claims: &[Option<Head>]) -> Option<u64> {
    let close = || {
        let near = numbers_apart(claims).into_iter().zip(claims);
        near.filter(|(verdict, _)| *verdict == Verdict::Good).filter_map(|(_, claim)| *claim)
    };
    let first = close().next()?;
    close().any(|head| head != first).then(|| close().map(|head| head.number).min()).flatten()
}

/// The verdicts, one an endpoint. `at_common`: what each says is the hash at [`common_height`], where that was asked.
pub(super) fn judge(claims: &[Option<Head>], at_common: &[Option<B256>]) -> Vec<Verdict> {
    let mut verdicts = numbers_apart(claims);
    let asked = || verdicts.iter().zip(at_common).filter(|(verdict, _)| **verdict == Verdict::Good);
    let votes = |hash: &B256| asked().filter(|(_, other)| other.as_ref() == Some(hash)).count();
    // The first of equals: the operator's order decides.
    let most = asked().filter_map(|(_, hash)| *hash).map(|hash| votes(&hash)).max();
    let truth = asked().filter_map(|(_, hash)| *hash).find(|hash| Some(votes(hash)) == most);
    let Some(truth) = truth else { return verdicts };
    for (verdict, hash) in verdicts.iter_mut().zip(at_common) {
        if *verdict == Verdict::Good && *hash != Some(truth) {
            *verdict = if hash.is_none() { Verdict::Silent } else { Verdict::Forked };
        }
    }
    verdicts
}

/// What the numbers alone say.
fn numbers_apart(claims: &[Option<Head>]) -> Vec<Verdict> {
    let mut numbers: Vec<u64> = claims.iter().flatten().map(|head| head.number).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    // A single one cannot raise the bar for three.
    let newest = match numbers.as_slice() {
        [_, second, _, ..] => *second,
        [highest, ..] => *highest,
        [] => 0,
    };
    let verdict = |claim: &Option<Head>| match claim {
        None => Verdict::Silent,
        Some(head) if head.number + MAX_LAG < newest => Verdict::Behind(newest - head.number),
        Some(head) if head.number > newest.saturating_add(MAX_LAG) => Verdict::Ahead(head.number - newest),
        Some(_) => Verdict::Good,
    };
    claims.iter().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u64, fork: u8) -> Option<Head> {
        Some(Head { number, hash: hash(number, fork) })
    }

    fn hash(number: u64, fork: u8) -> B256 {
        B256::left_padding_from(&[fork, number as u8])
    }

    /// As `survey` does it, with endpoints of these heads: each knows its own fork.
    fn verdicts(heads: &[(u64, u8)]) -> Vec<Verdict> {
        let claims: Vec<_> = heads.iter().map(|(number, fork)| head(*number, *fork)).collect();
        let common = common_height(&claims);
        let at = |(_, fork): &(u64, u8)| common.map(|height| hash(height, *fork));
        judge(&claims, &heads.iter().map(at).collect::<Vec<_>>())
    }

    #[test]
    fn who_lies_about_the_head_is_found_out() {
        use Verdict::{Ahead, Behind, Forked, Good};
        for (heads, wanted) in [
            (vec![(9, 0)], vec![Good]),
            (vec![(9, 0), (9, 0)], vec![Good, Good]),
            // A block needs a moment to reach everybody.
            (vec![(9, 0), (11, 0), (10, 0)], vec![Good, Good, Good]),
            (vec![(7, 0), (10, 0)], vec![Behind(3), Good]),
            (vec![(10, 0), (7, 0), (10, 0)], vec![Good, Behind(3), Good]),
            (vec![(13, 0), (10, 0), (10, 0)], vec![Ahead(3), Good, Good]),
            (vec![(10, 1), (10, 0), (10, 0)], vec![Forked, Good, Good]),
            (vec![(11, 1), (10, 0), (9, 0)], vec![Forked, Good, Good]),
            // One against one: the first.
            (vec![(10, 1), (10, 0)], vec![Good, Forked]),
            (vec![(10, 1), (10, 2), (10, 0), (10, 0)], vec![Forked, Forked, Good, Good]),
        ] {
            assert_eq!(verdicts(&heads), wanted, "{heads:?}");
        }
    }

    #[test]
    fn who_does_not_answer_is_no_judge() {
        let claims = [None, head(10, 0), head(10, 0)];
        assert_eq!(common_height(&claims), None, "all the same");
        assert_eq!(judge(&claims, &[None; 3]), [Verdict::Silent, Verdict::Good, Verdict::Good]);
        let claims = [head(10, 0), head(11, 0)];
        assert_eq!(common_height(&claims), Some(10));
        let verdicts = judge(&claims, &[Some(hash(10, 0)), None]);
        assert_eq!(verdicts, [Verdict::Good, Verdict::Silent], "the second question went unanswered");
        assert_eq!(judge(&[], &[]), []);
    }
}
