//! Work that can wait gives way to work that others wait for.

use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// Added to the nice value of a background thread: it gets about a tenth of a busy core, and all of an idle one.
const NICE: i32 = 10;

/// Lowers the priority of the calling thread. On Linux, nice values are of threads (`setpriority(2)`, "C library/kernel
/// differences").
pub(crate) fn give_way() {
    if let Err(error) = setpriority_process(Some(gettid()), NICE) {
        tracing::debug!(%error, "a background thread keeps its priority");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn only_the_calling_thread_gives_way() {
        let before = getpriority_process(Some(gettid())).unwrap();
        let lowered = std::thread::spawn(|| {
            give_way();
            getpriority_process(Some(gettid())).unwrap()
        });
        assert_eq!(lowered.join().unwrap(), NICE.max(before));
        assert_eq!(getpriority_process(Some(gettid())).unwrap(), before);
    }
}
