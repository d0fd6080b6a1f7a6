//! The restart rule at work: asking for own votes, answering peers that ask for theirs, and keeping silent.

use ordering_types::{Time, ValidatorId};

use super::Ordering;
use crate::agreement::{Agreement, Event, Taken};
use crate::api::{Class, Recipient};
use crate::wire::{FetchVote, FetchedVote, Message};

impl Ordering {
    /// Tells agreement something. All that could make it sign passes here, and nothing does while the node must be silent.
    pub(super) fn tell(&mut self, now: Time, event: Event) -> Taken {
        if !self.may_vote(self.agreement.height()) {
            return Taken::Fine;
        }
        self.agreement.handle(now, event)
    }

    /// Asks those peers for our newest vote that should have answered by now.
    pub(super) fn recall(&mut self, now: Time) {
        let message = Message::FetchVote(FetchVote { stamp: self.restart.stamp() });
        for to in self.restart.due(now, self.settings.retry_delay, &self.peers) {
            self.send(Recipient::One(to), Class::Consensus, &message);
        }
    }

    /// A peer started, and asks for its newest vote. Answering is always safe: it signed what we send.
    pub(super) fn serve_vote(&mut self, to: ValidatorId, request: FetchVote) {
        let newest = self.agreement.newest_vote(to);
        let answer = FetchedVote { stamp: request.stamp, newest, decided: self.state.height };
        let message = Message::FetchedVote(answer);
        self.send(Recipient::One(to), Class::Consensus, &message);
    }

    /// A peer's answer. What is wrongly signed is no answer.
    pub(super) fn take_recalled(&mut self, from: ValidatorId, answer: &FetchedVote) {
        // Meant for an earlier start, or of somebody who is not bound to know.
        if answer.stamp != self.restart.stamp() || self.committee().key(from).is_none() {
            return;
        }
        let Some(newest) = &answer.newest else { return self.restart.answer(from, None, answer.decided) };
        let mine = newest.vote.validator == self.me && newest.verify(&self.domain, &self.key.public_key());
        if !mine {
            return self.fault(from);
        }
        let height = newest.vote.height;
        let known = height <= self.state.height || self.agreement.has_signed(&newest.vote);
        self.restart.answer(from, (!known).then_some(height), answer.decided);
    }
}
