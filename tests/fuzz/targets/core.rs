//! A whole node core that holds its key, and peers that send it anything: what they said before, changed or not, and raw bytes.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use fuzz::founded::{Founded, work};
use fuzz::input::Input;
use fuzz::seeds::write_if_asked;
use libfuzzer_sys::fuzz_target;
use node_core::NodeCore;
use node_core::api::{Class, Input as CoreInput, JobResult, Output};
use ordering_types::{RollupId, Time, Transaction, ValidatorId};

/// Steps of one run.
const MAX_STEPS: usize = 64;
/// What one input may make the core say.
const MAX_OUTPUTS: usize = 1_024;
const MAX_OUTPUT_BYTES: usize = 64 << 20;

static NETWORK: LazyLock<Founded> = LazyLock::new(Founded::new);

fn seeds() -> Vec<Vec<u8>> {
    let replay = |first: u16| (first..first + 40).flat_map(|n| [0, (n >> 8) as u8, n as u8]).collect();
    let messages = NETWORK.messages.len() as u16;
    let mut seeds: Vec<Vec<u8>> = (0..messages).step_by(40).map(replay).collect();
    seeds.push((0..20).flat_map(|n| [96, n, 50, 160, n, n, 128, 20]).collect());
    seeds
}

struct Run {
    core: NodeCore,
    now: Time,
}

impl Run {
    fn step(&mut self, choice: u8, input: &mut Input<'_>) {
        match choice {
            0..=63 => self.replay(input, false),
            64..=95 => self.replay(input, true),
            96..=127 => self.raw(input),
            128..=159 => {
                self.now = self.now + Duration::from_millis(input.small() as u64 * 5);
                self.core.handle(self.now, CoreInput::Wake);
            }
            160..=191 => {
                let rollup = RollupId::new(1 + input.small() as u32 % 4);
                let data = Bytes::copy_from_slice(&[choice, 1, 2].repeat(1 + input.small()));
                let _ = self.core.submit(self.now, Transaction { rollup, data });
            }
            _ => {
                let id = input.small() as u64;
                let failed = JobResult::Encoded { id, result: Err("made up".to_owned()) };
                let passed = JobResult::Checked { id, result: Ok(()) };
                let result = if choice & 1 == 0 { failed } else { passed };
                self.core.handle(self.now, CoreInput::JobDone(result));
            }
        }
        self.drain();
    }

    /// Something that was said to somebody, by whoever said it or by another.
    fn replay(&mut self, input: &mut Input<'_>, change: bool) {
        let (class, from, bytes) = &NETWORK.messages[input.wide() % NETWORK.messages.len()];
        let (mut from, mut bytes) = (*from, bytes.clone());
        if change {
            let mut changed = bytes.to_vec();
            let at = input.wide() % changed.len().max(1);
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= input.small() as u8;
            }
            changed.truncate(changed.len() - input.small().min(changed.len() - at));
            bytes = changed.into();
            from = ValidatorId::new(2 + input.small() as u16 % 3);
        }
        self.core.handle(self.now, CoreInput::Message { from, class: *class, bytes });
    }

    fn raw(&mut self, input: &mut Input<'_>) {
        let class = Class::ALL[input.small() % 4];
        let length = input.small();
        let bytes = Bytes::copy_from_slice(input.bytes(length));
        self.core.handle(self.now, CoreInput::Message { from: ValidatorId::new(2), class, bytes });
    }

    fn drain(&mut self) {
        let (mut outputs, mut said) = (0, 0);
        while let Some(output) = self.core.next_output() {
            outputs += 1;
            match output {
                Output::Send { bytes, .. } => said += bytes.len(),
                Output::Job(job) => {
                    let policies = batcher_format::Policies::of(&NETWORK.spec);
                    self.core.handle(self.now, CoreInput::JobDone(work(job, &policies)));
                }
                Output::Fatal(why) => panic!("the core gives up: {why}"),
                _ => {}
            }
        }
        assert!(outputs <= MAX_OUTPUTS && said <= MAX_OUTPUT_BYTES, "{outputs} outputs of {said} bytes");
    }
}

fuzz_target!(
    init: write_if_asked(seeds),
    |data: &[u8]| {
        let mut run = Run { core: NETWORK.restarted(), now: NETWORK.now };
        let mut input = Input::new(data);
        for _ in 0..MAX_STEPS {
            let Some(choice) = input.byte() else { return };
            run.step(choice, &mut input);
        }
    }
);
