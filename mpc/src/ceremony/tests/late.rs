//! The log stood still for long: what then stands in one block was said in time by everybody.

use super::*;

impl Log {
    /// Orders what these members have to say, all in one block.
    fn block_of(&mut self, members: &[MemberId]) {
        let time = self.time;
        let (now, later): (Vec<_>, Vec<_>) =
            self.queue.drain(..).partition(|(from, _)| members.contains(from));
        self.queue.extend(later);
        for (sender, payload) in now {
            self.append(sender, payload);
            self.time = time;
        }
        self.time += 1;
    }
}

#[test]
fn announcements_of_one_block_all_count_however_late_it_is() {
    let mut log = Log::new(4, 3);
    log.block_of(&[member(2), member(5)]);
    log.time += 10 * PATIENCE.announce - 100;
    log.block_of(&[member(8), member(11)]);
    log.run(|_, payload| vec![payload]);
    assert_eq!(log.completed().len(), 4);
}

/// And who comes a moment after the quorum, in the next block.
#[test]
fn there_is_some_time_after_the_quorum() {
    let mut log = Log::new(4, 3);
    log.block_of(&[member(2), member(5)]);
    log.time += 4 * PATIENCE.announce;
    log.block_of(&[member(8)]);
    log.idle(PATIENCE.announce / 10 - 2);
    log.block_of(&[member(11)]);
    log.run(|_, payload| vec![payload]);
    assert_eq!(log.completed().len(), 4);
}

/// A complaint that stands in the block of the last acknowledgement that completes the key comes first.
#[test]
fn a_complaint_is_heard_before_the_key_of_its_block_is_complete() {
    let (liar, victim) = (member(2), member(11));
    let all: Vec<MemberId> = committee(4).into_iter().collect();
    let mut log = Log::new(4, 3);
    let context = context(4, 3);
    log.block_of(&all);
    for (sender, payload) in &mut log.queue {
        if *sender == liar {
            *payload =
                wrap(Step::Dealing, ceremony_id(), &dealing_with_bad_share(&context, liar, victim, true));
        }
    }
    log.block_of(&all);
    log.time += 4 * PATIENCE.acknowledge;
    log.block_of(&all);
    assert!(log.observer.convicted().contains(&liar));
    log.run(|_, payload| vec![payload]);
    log.idle(2 * PATIENCE.acknowledge);
    let keys = log.completed();
    assert!(keys.contains_key(&victim), "{:?}", keys.keys());
}
